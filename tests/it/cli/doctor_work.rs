//! `doctor`: tables, dispatchers, what is late, and endpoints.

use postrider::store::{DatabaseUrl, Environment, Session, Store};
use serde_json::json;

use crate::cli::doctor::{doctor, found, text};
use crate::support::{CommandOutput, Database, Receiver, one_endpoint};

#[tokio::test]
async fn autovacuum_that_is_switched_off_is_a_warning_with_the_table() {
    let database = Database::new().await;
    database.execute("alter table postrider.delivery set (autovacuum_enabled = false)").await;

    let output = doctor(&database.url, &[]).await;

    let check = found(&output, "tables");
    assert_eq!(check["result"], "warn");
    assert_eq!(check["remedy"], "alter table postrider.delivery reset (autovacuum_enabled)");
}

#[tokio::test]
async fn a_dispatcher_that_was_told_to_poll_is_as_it_should_be() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &["--wake", "poll"]).await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(found(&output, "dispatchers")["result"], "ok", "{}", output.stdout);
}

#[tokio::test]
async fn a_dispatcher_that_has_to_poll_is_a_warning_with_its_reason() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode, wake_reason)
             values ('here:1', '0', now() + interval '1 h', 'poll', 'cannot connect to listen')",
        )
        .await;

    let output = doctor(&database.url, &[]).await;

    let check = found(&output, "dispatchers");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "message").contains("here:1 polls: cannot connect to listen"), "{check}");
}

#[tokio::test]
async fn a_dispatcher_whose_lease_ended_does_not_count() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             values ('here:1', '0', now() - interval '1 h', 'notify')",
        )
        .await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(found(&output, "dispatchers")["remedy"], "postrider run");
}

#[tokio::test]
async fn events_that_wait_for_long_are_a_warning() {
    let database = Database::new().await;
    database.insert("order.created", "{}").await;
    database.execute("update postrider.outbox set created_at = now() - interval '2 h'").await;

    let output = doctor(&database.url, &[]).await;

    let check = found(&output, "backlog");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "message").contains("2h"), "{check}");
}

#[tokio::test]
async fn deliveries_are_late_only_if_nobody_holds_them_up_on_purpose() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select 1, e.endpoint_no, 'pending', now() - interval '3 h' from postrider.endpoint as e",
        )
        .await;

    let enabled = doctor(&database.url, &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let paused = doctor(&database.url, &[]).await;

    assert!(text(&found(&enabled, "backlog"), "message").contains("3h"), "{}", enabled.stdout);
    assert_eq!(found(&paused, "backlog")["result"], "ok");
}

#[tokio::test]
async fn deliveries_behind_an_open_circuit_are_late_neither_here_nor_in_the_metrics() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select 1, e.endpoint_no, 'pending', now() - interval '3 h' from postrider.endpoint as e",
        )
        .await;
    let url = DatabaseUrl::parse(&database.url, &Environment::default()).unwrap();
    let store = Store::new(&url, Session::Command, 1).unwrap();
    for (circuit, result) in [
        ("'open', now() + interval '1 h', null", "ok"),
        ("'half_open', now() + interval '1 h', 1", "ok"),
        ("'closed', null, null", "warn"),
    ] {
        database
            .execute(&format!(
                "delete from postrider.circuit;
                 insert into postrider.circuit (endpoint_no, failures, failing_since, changed_at, state, probe_at, probe_by)
                 select e.endpoint_no, 9, now(), now(), {circuit} from postrider.endpoint as e"
            ))
            .await;

        let output = doctor(&database.url, &[]).await;
        let measured = store.measure_backlog().await.unwrap();

        assert_eq!(found(&output, "backlog")["result"], result, "{circuit}: {}", output.stdout);
        assert_eq!(measured.oldest_due_age.is_zero(), result == "ok", "{circuit}");
    }
}

#[tokio::test]
async fn endpoints_that_get_nothing_are_warnings_with_what_mends_them() {
    for state in ["paused", "disabled"] {
        let database = Database::new().await;
        database.put_endpoint("one", "https://example.com/", "**", "").await;
        database
            .execute(&format!("update postrider.endpoint set state = '{state}', reason = 'because'"))
            .await;

        let output = doctor(&database.url, &[]).await;

        assert_eq!(output.code, Some(0), "{}", output.stdout);
        let check = found(&output, "endpoints");
        assert_eq!(
            (&check["result"], &check["remedy"]),
            (&json!("warn"), &json!("postrider endpoint resume one"))
        );
        assert!(text(&check, "message").contains("one (because)"), "{check}");
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_again_and_again_is_a_warning() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", 5).await;

    let output = doctor(&database.url, &[]).await;

    let check = found(&output, "endpoints");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "message").contains("one (5 in a row)"), "{check}");
}

#[tokio::test]
async fn an_endpoint_that_may_not_be_called_fails_unless_run_would_allow_it() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;

    let refused = CommandOutput::run(&database.url, &["doctor", "--json", "--allow-http"]).await;
    let allowed = doctor(&database.url, &[]).await;

    assert_eq!(refused.code, Some(1));
    assert!(text(&found(&refused, "endpoints"), "message").contains("--allow-cidr"), "{}", refused.stdout);
    assert_eq!(found(&allowed, "endpoints")["result"], "ok");
}
