//! `/v1/endpoints`: a service registers itself, looks after itself, and leaves.

use serde_json::{Value, json};

use crate::support::{Api, Database, Dispatcher, Receiver, SECRET, one_endpoint};

const URL: &str = "http://127.0.0.1:61999/hook";

#[tokio::test]
async fn put_creates_an_endpoint_and_shows_its_secret_once() {
    let (_database, _dispatcher, api) = api().await;

    let created = api.send("PUT", "/v1/endpoints/one", &json!({ "url": URL })).await;

    let body = created.json();
    assert_eq!((created.status, &body["id"], &body["result"]), (201, &json!("one"), &json!("created")));
    assert!(body["secret"].as_str().unwrap().starts_with("whsec_"), "{body}");
    assert!(!api.get("/v1/endpoints/one").await.text.contains("whsec_"));
}

#[tokio::test]
async fn put_twice_makes_one_registration() {
    let (database, _dispatcher, api) = api().await;
    let body = json!({ "url": URL, "topics": ["a.*"], "secret": SECRET, "headers": { "x-a": "b" } });
    api.send("PUT", "/v1/endpoints/one", &body).await;

    let again = api.send("PUT", "/v1/endpoints/one", &body).await;

    assert_eq!((again.status, &again.json()["result"]), (200, &json!("unchanged")));
    database.assert_row("select count(*) from postrider.endpoint", json!({"count": 1})).await;
}

#[tokio::test]
async fn put_replaces_what_it_names_and_keeps_the_secret() {
    let (database, _dispatcher, api) = api().await;
    api.send("PUT", "/v1/endpoints/one", &json!({ "url": URL, "topics": ["a"], "secret": SECRET })).await;
    let body = json!({
        "url": "http://127.0.0.1:61999/other", "topics": ["b", "c.**"], "headers": { "x-a": "b" }, "max_in_flight": 7,
        "rate_limit": "5/s", "timeout": "3s", "retry_schedule": ["1s", "2m"], "ordered": true,
        "on_failed": "continue", "description": "theirs",
    });

    let changed = api.send("PUT", "/v1/endpoints/one", &body).await.json();

    for (field, value) in [
        ("result", json!("changed")),
        ("url", json!("http://127.0.0.1:61999/other")),
        ("topics", json!(["b", "c.**"])),
        ("header_names", json!(["x-a"])),
        ("max_in_flight", json!(7)),
        ("rate_limit", json!("5/s")),
        ("timeout", json!("3s")),
        ("retry_schedule", json!(["1s", "2m"])),
        ("ordered", json!(true)),
        ("on_failed", json!("continue")),
        ("description", json!("theirs")),
        ("state", json!("enabled")),
        ("secret", Value::Null),
    ] {
        assert_eq!(changed[field], value, "{field}: {changed}");
    }
    database.assert_row("select secret from postrider.endpoint", json!({"secret": SECRET})).await;
}

#[tokio::test]
async fn put_names_every_field_that_is_wrong() {
    let (_database, _dispatcher, api) = api().await;
    let body = json!({
        "url": "ftp://example.com", "topics": ["a..b"], "headers": { "Host": "x" }, "secret": "hunter2",
        "max_in_flight": 0, "rate_limit": "5", "timeout": "3", "retry_schedule": ["1"], "on_failed": "stop",
        "description": "ä".repeat(501),
    });

    let refused = api.send("PUT", "/v1/endpoints/a%20b", &body).await;

    assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()));
    let problem = refused.problem();
    let mut named: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "description",
            "headers",
            "id",
            "max_in_flight",
            "on_failed",
            "rate_limit",
            "retry_schedule",
            "secret",
            "timeout",
            "topics",
            "url"
        ]
    );
    assert!(!refused.text.contains("hunter2"), "{}", refused.text);
}

#[tokio::test]
async fn put_refuses_what_the_dispatcher_would_not_call() {
    let (_database, _dispatcher, api) = api().await;

    for url in
        ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "https://user@example.com/"]
    {
        let refused = api.send("PUT", "/v1/endpoints/one", &json!({ "url": url })).await;

        assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()), "{url}");
        assert_eq!(refused.problem()["errors"][0]["field"], "url", "{url}");
    }
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_its_name() {
    let (_database, _dispatcher, api) = api().await;

    for (method, path, body) in [
        ("PUT", "/v1/endpoints/one", json!({ "url": URL, "topicz": [] })),
        ("POST", "/v1/endpoints/one/pause", json!({ "topicz": "" })),
        ("POST", "/v1/endpoints/one/rotate-secret", json!({ "topicz": "" })),
        ("POST", "/v1/endpoints/one/replay", json!({ "since": "2026-01-01T00:00:00Z", "topicz": [] })),
        ("POST", "/v1/topics/a/events", json!({ "payload": 1, "topicz": [] })),
    ] {
        let refused = api.send(method, path, &body).await;

        assert_eq!(refused.refused(), (400, "invalid_request".to_owned()), "{path}");
        assert!(refused.text.contains("unknown field `topicz`"), "{path}: {}", refused.text);
    }
    for path in ["/v1/endpoints?topicz=1", "/v1/deliveries?topicz=1", "/v1/events/1?topicz=1"] {
        let refused = api.get(path).await;

        assert_eq!(refused.refused(), (400, "invalid_request".to_owned()), "{path}");
        assert!(refused.text.contains("topicz"), "{path}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_missing_field_is_refused_by_its_name() {
    let (_database, _dispatcher, api) = api().await;

    let refused = api.send("PUT", "/v1/endpoints/one", &json!({})).await;

    assert_eq!(refused.refused(), (400, "invalid_request".to_owned()));
    assert!(refused.text.contains("missing field `url`"), "{}", refused.text);
}

#[tokio::test]
async fn every_route_of_an_endpoint_says_when_it_does_not_exist() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("orders", URL, "**", "").await;
    let since = json!({ "since": "2026-01-01T00:00:00Z" });

    for (given, hint) in [("nobody", ""), ("orderz", ", did you mean \"orders\"?")] {
        let place = format!("/v1/endpoints/{given}");
        for answered in [
            api.get(&place).await,
            api.send("PATCH", &place, &json!({ "timeout": "5s" })).await,
            api.delete(&place).await,
            api.post(&format!("{place}/pause")).await,
            api.post(&format!("{place}/resume")).await,
            api.post(&format!("{place}/rotate-secret")).await,
            api.post(&format!("{place}/test")).await,
            api.send("POST", &format!("{place}/replay"), &since).await,
        ] {
            assert_eq!(answered.refused(), (404, "not_found".to_owned()));
            let detail = format!("endpoint \"{given}\" does not exist{hint}");
            assert_eq!(answered.problem()["detail"], detail);
        }
    }
}

#[tokio::test]
async fn list_goes_through_all_endpoints_page_by_page() {
    let (database, _dispatcher, api) = api().await;
    for id in ["d", "b", "a", "c", "e"] {
        database.put_endpoint(id, URL, "**", "").await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/endpoints?limit=2".to_owned();

    loop {
        let page = api.get(&path).await.json();
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/endpoints?limit=2&cursor={cursor}");
    }

    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_page_has_1_to_500_rows() {
    let (_database, _dispatcher, api) = api().await;

    for path in ["/v1/endpoints?limit=0", "/v1/endpoints?limit=501", "/v1/deliveries?limit=-1"] {
        assert_eq!(api.get(path).await.refused(), (422, "invalid_argument".to_owned()), "{path}");
    }
    assert_eq!(api.get("/v1/endpoints?limit=500").await.status, 200);
}

#[tokio::test]
async fn pause_and_resume_are_seen_by_everyone() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("one", URL, "**", "").await;

    let paused = api.send("POST", "/v1/endpoints/one/pause", &json!({ "reason": "lunch" })).await.json();
    let seen: String =
        database.value("select concat_ws(' ', state, reason) from postrider.endpoint_health").await;
    let resumed = api.post("/v1/endpoints/one/resume").await.json();

    assert_eq!((&paused["state"], &paused["reason"]), (&json!("paused"), &json!("lunch")));
    assert_eq!(seen, "paused lunch");
    assert_eq!((&resumed["state"], &resumed["reason"]), (&json!("enabled"), &Value::Null));
}

#[tokio::test]
async fn what_was_changed_here_is_seen_here_at_once() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("one", URL, "**", "").await;

    for (verb, state) in [("pause", "paused"), ("resume", "enabled")].repeat(10) {
        api.post(&format!("/v1/endpoints/one/{verb}")).await.json();

        let (one, all) = (api.get("/v1/endpoints/one").await.json(), api.get("/v1/endpoints").await.json());
        assert_eq!((&one["state"], &all["data"][0]["state"]), (&json!(state), &json!(state)));
    }
}

#[tokio::test]
async fn an_endless_reason_is_refused() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("one", URL, "**", "").await;

    let refused = api.send("POST", "/v1/endpoints/one/pause", &json!({ "reason": "ä".repeat(501) })).await;
    let accepted = api.send("POST", "/v1/endpoints/one/pause", &json!({ "reason": "ä".repeat(500) })).await;

    assert_eq!((refused.refused(), accepted.status), ((422, "invalid_argument".to_owned()), 200));
}

#[tokio::test]
async fn a_body_that_may_be_missing_may_be_null_but_not_a_list() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("one", URL, "**", "").await;

    for (body, status) in [("", 200), ("null", 200), ("{}", 200), ("[]", 400), ("[null]", 400), ("1", 400)] {
        let answered = api.send_text("POST", "/v1/endpoints/one/pause", body).await;

        assert_eq!(answered.status, status, "{body}: {answered:?}");
    }
}

#[tokio::test]
async fn a_number_that_is_whole_may_be_written_as_a_float() {
    let (_database, _dispatcher, api) = api().await;

    let body = format!("{{\"url\": \"{URL}\", \"max_in_flight\": 7.0}}");
    let put = api.send_text("PUT", "/v1/endpoints/one", &body).await.json();

    assert_eq!(put["max_in_flight"], 7);
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    let rotated =
        api.send("POST", "/v1/endpoints/one/rotate-secret", &json!({ "overlap": "1h" })).await.json();
    database.insert("a", "{}").await;
    let request = receiver.next().await;

    request.verify();
    let new = standardwebhooks::Webhook::new(rotated["secret"].as_str().unwrap()).unwrap();
    new.verify(&request.body, &request.headers).expect("the new secret verifies too");
    assert!(
        database
            .is(&format!(
                "select '{}'::timestamptz between now() + interval '59 min' and now() + interval '61 min'",
                rotated["old_valid_until"].as_str().unwrap()
            ))
            .await
    );
}

#[tokio::test]
async fn a_test_shows_what_the_endpoint_answered() {
    let (_database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    let tested = api.post("/v1/endpoints/one/test?wait=50s").await.json();

    assert_eq!(receiver.next().await.header("postrider-topic"), "postrider.test");
    assert_eq!(
        (&tested["status"], &tested["attempt_log"][0]["status_code"]),
        (&json!("complete"), &json!(200))
    );
}

#[tokio::test]
async fn a_test_without_an_attempt_in_time_says_why_and_is_not_retried() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let api = Api::of(&dispatcher).await;

    let tested = api.post("/v1/endpoints/one/test?wait=1s").await;

    assert_eq!(tested.status, 202);
    let event: i64 = database.value("select id from postrider.outbox").await;
    let reason = "the attempt is still under way: endpoint \"one\" does not answer";
    assert_eq!(tested.json(), json!({ "event_id": event, "reason": reason }));
    assert!(database.is("select cancelled_at is not null from postrider.outbox").await);
}

#[tokio::test]
async fn a_test_of_an_endpoint_that_gets_nothing_is_refused_and_sends_nothing() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    for (state, reason) in [("paused", "maintenance"), ("disabled", "410 Gone")] {
        database
            .execute(&format!("update postrider.endpoint set state = '{state}', reason = '{reason}'"))
            .await;

        let refused = api.post("/v1/endpoints/one/test?wait=1s").await;

        assert_eq!(refused.refused(), (409, "conflict".to_owned()), "{state}");
        assert_eq!(
            refused.problem()["detail"],
            format!("endpoint \"one\" is {state} ({reason}): nothing is sent to it; resume it first")
        );
    }
    assert!(database.is("select not exists (select from postrider.outbox)").await);
}

#[tokio::test]
async fn replay_sends_again_and_says_how_many() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    database.insert_many("a.b", 3).await;
    database.until_settled().await;
    let since = json!({ "since": "2026-01-01T00:00:00Z", "topics": ["a.*"], "limit": 2, "dry_run": true });

    let counted = api.send("POST", "/v1/endpoints/one/replay", &since).await.json();
    let body = json!({ "since": "2026-01-01T00:00:00Z", "limit": 2 });
    let first = api.send("POST", "/v1/endpoints/one/replay", &body).await.json();
    let body = json!({ "since": "2026-01-01T00:00:00Z", "limit": 2, "after": first["next_after"] });
    let second = api.send("POST", "/v1/endpoints/one/replay", &body).await.json();
    database.until_settled().await;

    assert_eq!((&counted["replayed"], &first["replayed"]), (&json!(2), &json!(2)));
    assert_eq!(second, json!({ "id": "one", "replayed": 1, "next_after": null }));
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (6, 3));
}

#[tokio::test]
async fn a_replay_that_ends_before_it_begins_is_refused() {
    let (database, _dispatcher, api) = api().await;
    database.put_endpoint("one", URL, "**", "").await;
    let body = json!({ "since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:30:00+01:00" });

    let refused = api.send("POST", "/v1/endpoints/one/replay", &body).await;

    assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()));
    assert_eq!(refused.problem()["errors"][0]["field"], "until");
}

#[tokio::test]
async fn a_deleted_endpoint_receives_nothing_more() {
    let database = Database::new().await;
    let (gone, stays) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("gone", &gone.url(), "**", "").await;
    database.put_endpoint("stays", &stays.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    let deleted = api.delete("/v1/endpoints/gone").await.json();
    database.insert("a", "{}").await;
    database.until_settled().await;

    assert_eq!(deleted, json!({ "id": "gone", "pending": 0 }));
    assert_eq!((gone.count(), stays.count()), (0, 1));
    assert_eq!(api.get("/v1/endpoints/gone").await.status, 404);
}

/// A dispatcher without endpoints, and its API.
async fn api() -> (Database, Dispatcher, Api) {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    (database, dispatcher, api)
}
