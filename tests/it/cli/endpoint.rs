//! `endpoint delete|rotate-secret|test`, and what `pause` and `resume` print for programs.

use serde_json::{Value, json};

use crate::support::{
    CommandOutput, Database, Dispatcher, Receiver, RunningCommand, SECRET, command, one_endpoint,
};

const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh";
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn pause_and_resume_print_the_endpoint_as_show_does() {
    let database = endpoint().await;

    for args in [
        &["endpoint", "pause", "one", "--reason", "why", "--json"][..],
        &["endpoint", "resume", "one", "--json"],
    ] {
        let output = CommandOutput::run(&database.url, args).await;

        let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one", "--json"]).await;
        assert_eq!(output.json(), shown.json(), "{args:?}");
    }
}

#[tokio::test]
async fn delete_removes_the_endpoint_and_says_what_is_given_up() {
    let database = endpoint().await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select n, e.endpoint_no, 'pending', now() from postrider.endpoint as e, generate_series(1, 2) as n",
        )
        .await;

    let output = CommandOutput::run(&database.url, &["endpoint", "delete", "one", "--yes", "--json"]).await;

    assert_eq!(
        (output.code, output.json()),
        (Some(0), json!({ "id": "one", "pending": 2 })),
        "{}",
        output.stderr
    );
    database.assert_row("select count(*) from postrider.endpoint_health", json!({"count": 0})).await;
}

#[tokio::test]
async fn delete_needs_yes_where_nobody_can_be_asked() {
    let output = CommandOutput::run(NOWHERE, &["endpoint", "delete", "one"]).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    assert!(output.complaint().starts_with("yes: "), "{}", output.stderr);
}

#[tokio::test]
async fn delete_reads_no_answer_from_a_pipe() {
    let database = endpoint().await;
    let mut delete = command(&["endpoint", "delete", "one"]);
    delete.env("DATABASE_URL", &database.url);

    let output = CommandOutput::with_input(delete, b"y\n").await;

    assert_eq!(output.code, Some(64), "{}", output.stdout);
    database.assert_row("select count(*) from postrider.endpoint_health", json!({"count": 1})).await;
}

#[tokio::test]
async fn an_unknown_endpoint_is_a_failure_that_names_it() {
    let database = Database::new().await;
    database.put_endpoint("orders", "https://example.com/", "**", "").await;

    for (given, hint) in [("nobody", ""), ("orderz", ", did you mean \"orders\"?")] {
        for args in [
            &["endpoint", "delete", given, "--yes"][..],
            &["endpoint", "rotate-secret", given],
            &["endpoint", "test", given],
            &["endpoint", "pause", given, "--json"],
            &["delivery", "retry", "--endpoint", given],
            &["replay", given, "--since", "1h"],
            &["replay", given, "--since", "1h", "--dry-run"],
        ] {
            let output = CommandOutput::run(&database.url, args).await;

            assert_eq!(output.code, Some(1), "{args:?}");
            let complaint = format!("endpoint \"{given}\" does not exist{hint}");
            assert_eq!(output.complaint(), complaint, "{args:?}");
        }
    }
}

#[tokio::test]
async fn rotate_secret_shows_the_new_one_once() {
    let database = endpoint().await;

    let output = CommandOutput::run(&database.url, &["endpoint", "rotate-secret", "one"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let secret: String = database.value("select secret from postrider.endpoint").await;
    assert_ne!(secret, SECRET);
    assert_eq!(output.stdout.matches(&secret).count(), 1, "{}", output.stdout);
}

#[tokio::test]
async fn rotate_secret_takes_a_secret_and_how_long_the_old_one_signs_too() {
    let database = endpoint().await;

    let args = ["endpoint", "rotate-secret", "one", "--secret", NEW_SECRET, "--overlap", "2h", "--json"];
    let output = CommandOutput::run(&database.url, &args).await;

    let rotated = output.json();
    assert_eq!((&rotated["id"], &rotated["secret"]), (&json!("one"), &json!(NEW_SECRET)));
    assert!(
        database
            .is("select e.secret <> s.secret and s.valid_until - now() between interval '119 min' and interval '2 h'
                 from postrider.endpoint as e join postrider.old_secret as s on s.endpoint_no = e.endpoint_no")
            .await
    );
}

#[tokio::test]
async fn rotate_secret_lets_the_old_one_sign_for_a_day_if_nothing_is_said() {
    let database = endpoint().await;

    CommandOutput::run(&database.url, &["endpoint", "rotate-secret", "one"]).await;

    let is_a_day = "select valid_until - now() between interval '23 h 59 min' and interval '24 h' from postrider.old_secret";
    assert!(database.is(is_a_day).await);
}

#[tokio::test]
async fn rotate_secret_refuses_wrong_arguments_without_showing_the_secret() {
    let args = ["endpoint", "rotate-secret", "one", "--secret", "whsec_hunter2", "--overlap", "31days"];
    let output = CommandOutput::run(NOWHERE, &args).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["secret", "overlap"]);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[tokio::test]
async fn a_test_that_is_accepted_shows_the_answer() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(202, &[], b"thanks");

    let output = CommandOutput::run(&database.url, &["endpoint", "test", "one", "--json"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let request = receiver.next().await;
    assert_eq!(request.header("postrider-topic"), "postrider.test");
    request.verify();
    let mut tested = output.json();
    assert!(tested["duration_ms"].take().is_u64(), "{tested}");
    assert_eq!(
        tested,
        json!({
            "endpoint_id": "one", "event_id": 1, "delivery_id": 1, "is_delivered": true, "status_code": 202,
            "duration_ms": null, "error": null, "response_excerpt": "thanks",
        })
    );
}

#[tokio::test]
async fn a_test_goes_to_its_endpoint_alone_whatever_that_subscribes_to() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "order.*", "").await;
    database.put_endpoint("two", &receiver.url(), "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    CommandOutput::run(&database.url, &["endpoint", "test", "one"]).await;

    let reached: Vec<String> = database
        .rows("select endpoint_id from postrider.delivery_status", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(reached, ["one"]);
}

#[tokio::test]
async fn a_test_that_is_refused_is_a_failure_and_is_not_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer_once(503, &[], b"busy");

    let output = CommandOutput::run(&database.url, &["endpoint", "test", "one"]).await;

    assert_eq!(output.code, Some(1));
    assert_eq!(output.complaint(), "endpoint \"one\" did not accept the test");
    assert!(output.stdout.contains("503") && output.stdout.contains("busy"), "{}", output.stdout);
    database
        .assert_row(
            "select status, attempts, last_error from postrider.delivery_status",
            json!({"status": "failed", "attempts": 1, "last_error": "status 503"}),
        )
        .await;
    database.assert_row("select status from postrider.outbox", json!({"status": "failed"})).await;
}

#[tokio::test]
async fn a_test_that_finds_no_dispatcher_says_so() {
    let database = endpoint().await;

    let output =
        CommandOutput::run(&database.url, &["endpoint", "test", "one", "--wait", "200ms", "--json"]).await;

    assert_eq!((output.code, output.complaint()), (Some(1), "no dispatcher runs: start postrider run"));
    assert_eq!(
        (&output.json()["is_delivered"], &output.json()["delivery_id"]),
        (&json!(false), &Value::Null)
    );
    database
        .assert_row(
            "select status, cancelled_at is not null as is_cancelled from postrider.outbox",
            json!({"status": "failed", "is_cancelled": true}),
        )
        .await;
}

#[tokio::test]
async fn a_test_of_an_endpoint_that_hangs_says_so() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();

    let output = CommandOutput::run(&database.url, &["endpoint", "test", "one", "--wait", "2s"]).await;

    assert_eq!(output.code, Some(1));
    assert!(output.complaint().contains("still under way"), "{}", output.stderr);
    database
        .assert_row(
            "select cancelled_at is not null as is_cancelled from postrider.outbox",
            json!({"is_cancelled": true}),
        )
        .await;
}

#[tokio::test]
async fn a_test_that_is_interrupted_is_not_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let mut test = command(&["endpoint", "test", "one"]);
    test.env("DATABASE_URL", &database.url);
    let test = RunningCommand::start(test);
    receiver.next().await;

    test.signal("INT").await;
    let output = test.ended().await;

    assert_eq!((output.code, output.complaint()), (Some(1), "interrupted before there was an answer"));
    database
        .assert_row(
            "select cancelled_at is not null as is_cancelled from postrider.outbox",
            json!({"is_cancelled": true}),
        )
        .await;
}

#[tokio::test]
async fn a_test_of_an_endpoint_that_gets_nothing_says_why_and_sends_nothing() {
    let database = endpoint().await;
    for (state, reason) in [("paused", "maintenance"), ("disabled", "410 Gone")] {
        database
            .execute(&format!("update postrider.endpoint set state = '{state}', reason = '{reason}'"))
            .await;

        let output = CommandOutput::run(&database.url, &["endpoint", "test", "one"]).await;

        assert_eq!(output.code, Some(1), "{state}");
        let complaint = output.complaint();
        assert!(complaint.contains(state) && complaint.contains(reason), "{complaint}");
        assert!(complaint.contains("postrider endpoint resume one"), "{complaint}");
    }
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn a_test_with_a_wrong_wait_is_refused() {
    for wait in ["5", "0s", "2h"] {
        let output = CommandOutput::run(NOWHERE, &["endpoint", "test", "one", "--wait", wait]).await;

        assert_eq!(output.code, Some(64), "{wait}");
        assert!(output.complaint().starts_with("wait: "), "{wait}: {}", output.stderr);
    }
}

/// A database with one endpoint, `one`.
async fn endpoint() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
}
