//! `endpoint delete|rotate-secret|test`, and what `pause` and `resume` print for programs.

use serde_json::{Value, json};

use crate::support::{Database, Dispatcher, Ended, Receiver, SECRET, Talker, command, one_endpoint};

const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh";
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn pause_and_resume_print_the_endpoint_as_show_does() {
    let database = endpoint().await;

    for args in [
        &["endpoint", "pause", "one", "--reason", "why", "--json"][..],
        &["endpoint", "resume", "one", "--json"],
    ] {
        let ended = Ended::run(&database.url, args).await;

        let shown = Ended::run(&database.url, &["endpoint", "show", "one", "--json"]).await;
        assert_eq!(ended.json(), shown.json(), "{args:?}");
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

    let ended = Ended::run(&database.url, &["endpoint", "delete", "one", "--yes", "--json"]).await;

    assert_eq!(
        (ended.code, ended.json()),
        (Some(0), json!({ "id": "one", "pending": 2 })),
        "{}",
        ended.stderr
    );
    assert!(database.is("select not exists (select from postrider.endpoint_health)").await);
}

#[tokio::test]
async fn delete_needs_yes_where_nobody_can_be_asked() {
    let ended = Ended::run(NOWHERE, &["endpoint", "delete", "one"]).await;

    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.complaint().starts_with("yes: "), "{}", ended.stderr);
}

#[tokio::test]
async fn delete_reads_no_answer_from_a_pipe() {
    let database = endpoint().await;
    let mut delete = command(&["endpoint", "delete", "one"]);
    delete.env("DATABASE_URL", &database.url);

    let ended = Ended::with_input(delete, b"y\n").await;

    assert_eq!(ended.code, Some(64), "{}", ended.stdout);
    assert!(database.is("select exists (select from postrider.endpoint_health)").await);
}

#[tokio::test]
async fn an_unknown_endpoint_is_a_failure_that_names_it() {
    let database = Database::new().await;

    for args in [
        &["endpoint", "delete", "nobody", "--yes"][..],
        &["endpoint", "rotate-secret", "nobody"],
        &["endpoint", "test", "nobody"],
        &["endpoint", "pause", "nobody", "--json"],
        &["delivery", "retry", "--endpoint", "nobody"],
    ] {
        let ended = Ended::run(&database.url, args).await;

        assert_eq!(ended.code, Some(1), "{args:?}");
        assert_eq!(ended.complaint(), "endpoint \"nobody\" does not exist", "{args:?}");
    }
}

#[tokio::test]
async fn rotate_secret_shows_the_new_one_once() {
    let database = endpoint().await;

    let ended = Ended::run(&database.url, &["endpoint", "rotate-secret", "one"]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let secret: String = database.value("select secret from postrider.endpoint").await;
    assert_ne!(secret, SECRET);
    assert_eq!(ended.stdout.matches(&secret).count(), 1, "{}", ended.stdout);
}

#[tokio::test]
async fn rotate_secret_takes_a_secret_and_how_long_the_old_one_signs_too() {
    let database = endpoint().await;

    let args = ["endpoint", "rotate-secret", "one", "--secret", NEW_SECRET, "--overlap", "2h", "--json"];
    let ended = Ended::run(&database.url, &args).await;

    let rotated = ended.json();
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

    Ended::run(&database.url, &["endpoint", "rotate-secret", "one"]).await;

    let is_a_day = "select valid_until - now() between interval '23 h 59 min' and interval '24 h' from postrider.old_secret";
    assert!(database.is(is_a_day).await);
}

#[tokio::test]
async fn rotate_secret_refuses_wrong_arguments_without_showing_the_secret() {
    let args = ["endpoint", "rotate-secret", "one", "--secret", "whsec_hunter2", "--overlap", "31days"];
    let ended = Ended::run(NOWHERE, &args).await;

    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    let named: Vec<&str> =
        ended.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["secret", "overlap"]);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_test_that_is_accepted_shows_the_answer() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(202, &[], b"thanks");

    let ended = Ended::run(&database.url, &["endpoint", "test", "one", "--json"]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let request = receiver.next().await;
    assert_eq!(request.header("postrider-topic"), "postrider.test");
    request.verify();
    let mut tested = ended.json();
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

    Ended::run(&database.url, &["endpoint", "test", "one"]).await;

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

    let ended = Ended::run(&database.url, &["endpoint", "test", "one"]).await;

    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.complaint(), "endpoint \"one\" did not accept the test");
    assert!(ended.stdout.contains("503") && ended.stdout.contains("busy"), "{}", ended.stdout);
    assert!(database.is("select status = 'failed' and cancelled_at is not null from postrider.outbox").await);
    assert_eq!(database.count("pending").await, 0);
}

#[tokio::test]
async fn a_test_that_finds_no_dispatcher_says_so() {
    let database = endpoint().await;

    let ended = Ended::run(&database.url, &["endpoint", "test", "one", "--wait", "200ms", "--json"]).await;

    assert_eq!((ended.code, ended.complaint()), (Some(1), "no dispatcher runs: start postrider run"));
    assert_eq!((&ended.json()["is_delivered"], &ended.json()["delivery_id"]), (&json!(false), &Value::Null));
    assert!(database.is("select status = 'failed' and cancelled_at is not null from postrider.outbox").await);
}

#[tokio::test]
async fn a_test_of_an_endpoint_that_hangs_says_so() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();

    let ended = Ended::run(&database.url, &["endpoint", "test", "one", "--wait", "2s"]).await;

    assert_eq!(ended.code, Some(1));
    assert!(ended.complaint().contains("still under way"), "{}", ended.stderr);
    assert!(database.is("select cancelled_at is not null from postrider.outbox").await);
}

#[tokio::test]
async fn a_test_that_is_interrupted_is_not_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let mut test = command(&["endpoint", "test", "one"]);
    test.env("DATABASE_URL", &database.url);
    let test = Talker::start(test);
    receiver.next().await;

    test.signal("INT").await;
    let ended = test.ended().await;

    assert_eq!((ended.code, ended.complaint()), (Some(1), "interrupted before there was an answer"));
    assert!(database.is("select cancelled_at is not null from postrider.outbox").await);
}

#[tokio::test]
async fn a_test_of_an_endpoint_that_gets_nothing_says_why_and_sends_nothing() {
    let database = endpoint().await;
    for (state, reason) in [("paused", "maintenance"), ("disabled", "410 Gone")] {
        database
            .execute(&format!("update postrider.endpoint set state = '{state}', reason = '{reason}'"))
            .await;

        let ended = Ended::run(&database.url, &["endpoint", "test", "one"]).await;

        assert_eq!(ended.code, Some(1), "{state}");
        let complaint = ended.complaint();
        assert!(complaint.contains(state) && complaint.contains(reason), "{complaint}");
        assert!(complaint.contains("postrider endpoint resume one"), "{complaint}");
    }
    assert!(database.is("select not exists (select from postrider.outbox)").await);
}

#[tokio::test]
async fn a_test_with_a_wrong_wait_is_refused() {
    for wait in ["5", "0s", "2h"] {
        let ended = Ended::run(NOWHERE, &["endpoint", "test", "one", "--wait", wait]).await;

        assert_eq!(ended.code, Some(64), "{wait}");
        assert!(ended.complaint().starts_with("wait: "), "{wait}: {}", ended.stderr);
    }
}

/// A database with one endpoint, `one`.
async fn endpoint() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
}
