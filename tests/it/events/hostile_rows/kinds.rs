//! The table.

use tokio_postgres::error::SqlState;

use super::Expected::{Arrives, GivenUp, Nowhere, Refused, Waits};
use super::{Hostile, Kind, PAYLOAD_BYTES_MAX, Row};

pub(super) fn kinds() -> Vec<Kind> {
    [payloads(), names(), headers(), states(), circumstances()].into_iter().flatten().collect()
}

fn payloads() -> Vec<Kind> {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let text_of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    vec![
        Kind {
            number: "H1",
            trials: vec![
                (payload(&text_of(PAYLOAD_BYTES_MAX)), Arrives),
                (
                    payload(&text_of(PAYLOAD_BYTES_MAX + 1)),
                    GivenUp("the payload is too large: 65537 bytes, --max-payload allows 65536"),
                ),
                (
                    payload(&text_of(1_234_567)),
                    GivenUp("the payload is too large: 1234567 bytes, --max-payload allows 65536"),
                ),
            ],
            note: "",
        },
        Kind { number: "H2", trials: vec![(payload(r#"{"nul": "\u0000"}"#), Arrives)], note: "" },
        Kind { number: "H3", trials: vec![(payload(r#"["\ud800", "\udc00\ud800"]"#), Arrives)], note: "" },
        Kind {
            number: "H4",
            trials: vec![(payload(r#"{"a":1,"a" : 2, "a":1}"#), Arrives)],
            note: "`json` keeps the text: `deliveries::request::payload_bytes_arrive_exactly_as_inserted`",
        },
        Kind {
            number: "H5",
            trials: vec![(payload("[1e400, -0, -0.0, 1.10, 123456789012345678901234567890]"), Arrives)],
            note: "",
        },
        Kind {
            number: "H6",
            trials: vec![
                (payload(&deep(1000)), Arrives),
                // PostgreSQL reads them by recursion, as deep as max_stack_depth allows.
                (payload(&deep(100_000)), Refused(SqlState::STATEMENT_TOO_COMPLEX)),
            ],
            note: "nobody else parses it",
        },
        Kind {
            number: "H7",
            trials: vec![
                (Hostile::Row(Row { payload: None, ..row() }), Refused(SqlState::NOT_NULL_VIOLATION)),
                (payload(""), Refused(SqlState::INVALID_TEXT_REPRESENTATION)),
                (payload(" null\n"), Arrives),
                (payload("{}"), Arrives),
                (payload("\"\""), Arrives),
                (payload("-1.5e-3"), Arrives),
            ],
            note: "",
        },
    ]
}

fn names() -> Vec<Kind> {
    let topic = |topic: &str| Hostile::Row(Row { topic: topic.to_owned(), ..row() });
    let no_topic = |bad: &str| (topic(bad), Refused(SqlState::CHECK_VIOLATION));
    let key = |key: &str| Hostile::Row(Row { idempotency_key: Some(key.to_owned()), ..row() });
    vec![
        Kind {
            number: "H8",
            trials: vec![
                no_topic(""),
                no_topic(&"x".repeat(10_000)),
                no_topic(&"x".repeat(129)),
                no_topic("order created"),
                no_topic("order.created\n"),
                no_topic("größe"),
                no_topic("order.*"),
                (topic("order\0created"), Refused(SqlState::CHARACTER_NOT_IN_REPERTOIRE)),
                (topic(&"x".repeat(128)), Arrives),
                (topic("-._.0"), Arrives),
            ],
            note: "`database::constraints::a_topic_that_is_not_dotted_words_is_refused`",
        },
        Kind {
            number: "H9",
            trials: vec![
                (statement("(id, topic, payload) values (1, 'a', '{}')"), Refused(generated_always())),
                (key("once.\r\n"), Arrives),
                (key("once.\r\n"), Refused(SqlState::UNIQUE_VIOLATION)),
                (key(""), Refused(SqlState::CHECK_VIOLATION)),
                (key(&"x".repeat(1_000_000)), Refused(SqlState::CHECK_VIOLATION)),
                (key("a\0b"), Refused(SqlState::CHARACTER_NOT_IN_REPERTOIRE)),
            ],
            note: "nobody chooses a webhook-id, which has no full stop: `deliveries::request::a_webhook_id_contains_no_full_stop`; \
                   an idempotency key is never sent",
        },
        Kind {
            number: "H10",
            trials: Vec::new(),
            note: "a row has no source: it is the operator's, one for all events",
        },
        Kind {
            number: "H11",
            trials: Vec::new(),
            note: "a row has no extension attributes: what it adds to a request are headers, see H12 and H13",
        },
    ]
}

fn headers() -> Vec<Kind> {
    let with = |headers: &str| Hostile::Row(Row { headers: Some(headers.to_owned()), ..row() });
    let invalid = |headers: &str| (with(headers), Refused(SqlState::CHECK_VIOLATION));
    let reserved = |name: &str| invalid(&format!("{{\"{name}\": \"x\"}}"));
    vec![
        Kind {
            number: "H12",
            trials: vec![
                invalid(r#"{"X Bad": "x"}"#),
                invalid(r#"{"X:Bad": "x"}"#),
                invalid(r#"{"": "x"}"#),
                invalid(r#"{"Ünicode": "x"}"#),
                invalid(r#"{"x": "a\r\nb: c"}"#),
                invalid(r#"{"x": "a\nb"}"#),
                invalid(r#"{"x": "a\tb"}"#),
                invalid(r#"{"x": "🦀"}"#),
                invalid(&format!("{{\"x\": \"{}\"}}", "x".repeat(8200))),
                (with(r#"{"x": "\u0000"}"#), Refused(untranslatable())),
                (with(r#"{"x": " leading"}"#), Arrives),
                (with(r#"{"x": ""}"#), Arrives),
            ],
            note: "visible ASCII and spaces, 8 KiB in all; of spaces around a value a receiver hears nothing",
        },
        Kind {
            number: "H13",
            trials: [
                "host",
                "Content-Length",
                "transfer-encoding",
                "connection",
                "content-type",
                "content-encoding",
                "expect",
                "keep-alive",
                "te",
                "trailer",
                "upgrade",
                "user-agent",
                "webhook-id",
                "Webhook-Anything",
                "postrider-topic",
                "proxy-authorization",
            ]
            .map(reserved)
            .into_iter()
            .chain([(with(r#"{"authorization": "Bearer of-the-producer", "traceparent": "00-1"}"#), Arrives)])
            .collect(),
            note: "authorization is the producer's to give, for this event: it is not among what we own",
        },
    ]
}

fn states() -> Vec<Kind> {
    let due = |time| Hostile::Row(Row { deliver_after: Some(time), ..row() });
    vec![
        Kind {
            number: "H14",
            trials: vec![
                (due("infinity"), Refused(SqlState::CHECK_VIOLATION)),
                (due("-infinity"), Refused(SqlState::CHECK_VIOLATION)),
                (due("294277-01-01 00:00:00+00"), Refused(SqlState::DATETIME_FIELD_OVERFLOW)),
                (
                    statement(
                        "(topic, payload, deliver_after) values ('a', '{}', now() + interval '1000000 years')",
                    ),
                    Refused(SqlState::DATETIME_FIELD_OVERFLOW),
                ),
                (due("294276-12-31 23:59:59.999999+00"), Waits),
                (due("4714-11-24 00:00:00+00 BC"), Arrives),
            ],
            note: "`dispatchers::clocks::events_for_odd_times_do_not_hold_up_each_other`",
        },
        Kind {
            number: "H15",
            trials: vec![
                (
                    statement("(topic, payload, status) values ('a', '{}', 'unheard-of')"),
                    Refused(SqlState::INVALID_TEXT_REPRESENTATION),
                ),
                (
                    statement("(topic, payload, status) values ('a', '{}', 'in_progress')"),
                    Refused(SqlState::CHECK_VIOLATION),
                ),
                (
                    statement(
                        "(topic, payload, deliveries, open_deliveries, failed) values ('a', '{}', 1, -1, 0)",
                    ),
                    Refused(SqlState::CHECK_VIOLATION),
                ),
            ],
            note: "attempts are the endpoint's to limit; of a delivery's own: \
                   `database::constraints::a_delivery_is_in_no_state_that_its_columns_do_not_show`; a producer may set none of it: \
                   `security::roles::a_producer_may_not_set_what_the_dispatcher_sets`",
        },
        Kind {
            number: "H16",
            trials: vec![
                (Hostile::Row(Row { destination: Some("no-such-endpoint"), ..row() }), Nowhere),
                (Hostile::Row(Row { destination: Some(""), ..row() }), Refused(SqlState::CHECK_VIOLATION)),
            ],
            note: "what was for an endpoint that does not exist is failed, with deliveries = 0, and counted: \
                   `events::reached_nobody::an_event_whose_destination_does_not_exist_is_failed_and_counted_whatever_the_reason`; a producer may be deployed before the endpoint is put, and a replay sends it then. \
                   What waits for a deleted one is given up: `endpoints::deletion::what_waits_for_a_deleted_endpoint_is_given_up`",
        },
    ]
}

fn circumstances() -> Vec<Kind> {
    let elsewhere = |number, note| Kind { number, trials: Vec::new(), note };
    let patterns = |topics: &str| {
        let sql = format!(
            "select endpoint_id from postrider.put_endpoint('two', 'https://example.com/', {topics})"
        );
        (Hostile::Statement(sql), Refused(SqlState::INVALID_PARAMETER_VALUE))
    };
    vec![
        elsewhere(
            "H17",
            "`database::manual_changes::a_delivery_that_was_changed_by_hand_while_it_was_attempted_stays_so`, \
             `database::manual_changes::an_event_that_was_settled_by_hand_holds_up_no_outcome`, \
             `database::manual_changes::an_event_that_was_made_pending_by_hand_holds_up_no_other`",
        ),
        elsewhere(
            "H18",
            "`database::manual_changes::what_is_deleted_by_hand_while_it_is_attempted_holds_up_nobody`",
        ),
        elsewhere(
            "H19",
            "`events::large_transactions::a_flood_that_nobody_wants_is_completed_in_bounded_memory`, `events::large_transactions::a_flood_is_delivered_in_bounded_memory`, \
             `events::alone::ringing::under_load_almost_nobody_rings`",
        ),
        Kind {
            number: "H20",
            trials: vec![
                patterns("array['((((a+)+)+)+)$']"),
                patterns("array(select '*' from generate_series(1, 10000))"),
                patterns("array[repeat('*.', 5000) || '*']"),
                patterns("array['**.a']"),
            ],
            note: "words are compared, no regular expression is run by a dispatcher: `events::topic_patterns::sql_and_the_dispatcher_agree_which_topics_a_pattern_matches`",
        },
        elsewhere(
            "H21",
            "our payload is empty, and a ring that fails, whatever the reason, is left: `events::wakeup::a_ring_that_fails_does_not_fail_the_insert`",
        ),
        elsewhere("H22", "the channel has one name, postrider: nobody chooses it"),
        elsewhere(
            "H23",
            "`database::manual_changes::a_producer_whose_search_path_leads_astray_inserts_as_others_do`, \
             `database::manual_changes::a_database_whose_search_path_leads_astray_is_served`, \
             `project::sql::no_function_means_something_else_under_another_search_path`",
        ),
        elsewhere(
            "H24",
            "`database::manual_changes::a_trigger_of_somebody_else_that_raises_is_named_and_waited_for`, \
             `database::refusals::what_the_server_aborts_is_tried_again`, \
             `database::refusals::a_table_that_is_locked_for_longer_than_a_statement_waits_is_waited_for`",
        ),
    ]
}

fn row() -> Row {
    Row {
        topic: "order.created".to_owned(),
        payload: Some("{}".to_owned()),
        headers: None,
        destination: None,
        idempotency_key: None,
        deliver_after: None,
    }
}

fn payload(text: &str) -> Hostile {
    Hostile::Row(Row { payload: Some(text.to_owned()), ..row() })
}

/// What follows `insert into postrider.outbox`.
fn statement(rest: &str) -> Hostile {
    Hostile::Statement(format!("insert into postrider.outbox {rest} returning id"))
}

fn generated_always() -> SqlState {
    SqlState::from_code("428C9")
}

fn untranslatable() -> SqlState {
    SqlState::from_code("22P05")
}
