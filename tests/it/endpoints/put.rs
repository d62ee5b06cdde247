//! `postrider.put_endpoint`, `pause_endpoint` and `resume_endpoint`, as SQL users call them.

use postrider::model::endpoint::SigningSecret;
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{CommandOutput, Database, SECRET};

#[tokio::test]
async fn the_same_call_twice_changes_nothing() {
    let database = Database::new().await;
    let put = "select result from postrider.put_endpoint('one', 'https://example.com/', '{a.*}', retry_schedule => '{5s}')";
    let version = "select version from postrider.endpoint_version";
    let first: String = database.value(put).await;
    let before: i64 = database.value(version).await;

    let second: String = database.value(put).await;

    let after: i64 = database.value(version).await;
    assert_eq!((first.as_str(), second.as_str()), ("created", "unchanged"));
    assert_eq!(after, before);
}

#[tokio::test]
async fn every_argument_that_differs_is_a_change() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    for (url, topics, more) in [
        ("https://example.com/2", "**", ""),
        ("https://example.com/2", "a", ""),
        ("https://example.com/2", "a", ", headers => '{\"x-a\": \"b\"}'"),
        ("https://example.com/2", "a", ", max_in_flight => 2"),
        ("https://example.com/2", "a", ", rate_limit => '5/s'"),
        ("https://example.com/2", "a", ", timeout => '1s'"),
        ("https://example.com/2", "a", ", retry_schedule => '{1s}'"),
        ("https://example.com/2", "a", ", secret => 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'"),
        ("https://example.com/2", "a", ", ordered => true"),
        ("https://example.com/2", "a", ", on_failed => 'continue'"),
        ("https://example.com/2", "a", ", description => 'theirs'"),
        ("https://example.com/", "**", ""),
    ] {
        let put = format!("select result from postrider.put_endpoint('one', '{url}', '{{{topics}}}'{more})");

        let result: String = database.value(&put).await;

        assert_eq!(result, "changed", "{put}");
    }
}

#[tokio::test]
async fn a_generated_secret_is_returned_once_and_is_valid() {
    let database = Database::new().await;
    let put = "select new_secret from postrider.put_endpoint('one', 'https://example.com/')";

    let first: Option<String> = database.value(put).await;
    let second: Option<String> = database.value(put).await;

    assert!(first.unwrap().parse::<SigningSecret>().is_ok());
    assert_eq!(second, None);
}

#[tokio::test]
async fn a_secret_for_a_new_endpoint_is_stored_and_returned_by_the_call_that_creates_it_alone() {
    let database = Database::new().await;
    let put = async |secret: &str| {
        let put = "select new_secret from postrider.put_endpoint('one', 'https://example.com/', new_secret_if_created => $1)";
        let row = database.client.query_one(put, &[&secret]).await.unwrap();
        row.get::<_, Option<String>>(0)
    };

    assert_eq!(put(SECRET).await.as_deref(), Some(SECRET));
    assert_eq!(put("whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3").await, None);

    let stored: String = database.value("select secret from postrider.endpoint").await;
    assert_eq!(stored, SECRET);
}

#[tokio::test]
async fn no_two_endpoints_get_the_same_secret() {
    let database = Database::new().await;

    database
        .execute(
            "select postrider.put_endpoint('e' || n, 'https://example.com/') from generate_series(1, 100) as n",
        )
        .await;

    let secrets: i64 = database.value("select count(distinct secret) from postrider.endpoint").await;
    assert_eq!(secrets, 100);
}

#[tokio::test]
async fn a_secret_is_kept_when_none_is_given() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    database.execute("select postrider.put_endpoint('one', 'https://example.com/2')").await;

    let secret: String = database.value("select secret from postrider.endpoint").await;
    assert_eq!(secret, SECRET);
}

#[tokio::test]
async fn a_paused_endpoint_stays_paused_when_it_is_put_again() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.pause_endpoint('one', 'maintenance')").await;

    database.put_endpoint("one", "https://example.com/2", "**", "").await;

    let rows = database.rows("select state, reason from postrider.endpoint_health", &[]).await;
    assert_eq!((rows[0].get("state"), rows[0].get("reason")), ("paused", "maintenance"));
}

#[tokio::test]
async fn a_pause_that_does_not_say_why_leaves_the_reason_of_the_one_before() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.pause_endpoint('one', 'maintenance')").await;

    let again: String = database.value("select reason from postrider.pause_endpoint('one')").await;
    let other: String = database.value("select reason from postrider.pause_endpoint('one', 'moved')").await;
    database.execute("select postrider.resume_endpoint('one')").await;
    let new: Option<String> = database.value("select reason from postrider.pause_endpoint('one')").await;

    assert_eq!((again.as_str(), other.as_str(), new), ("maintenance", "moved", None));
}

#[tokio::test]
async fn calls_for_one_new_id_that_meet_create_one_endpoint() {
    let database = Database::new().await;
    let (one, two) = (database.connect().await, database.connect().await);
    let put = "select result from postrider.put_endpoint('one', 'https://example.com/')";
    one.batch_execute("begin").await.unwrap();
    let first: String = one.query_one(put, &[]).await.unwrap().get(0);

    let commit = async {
        database
            .until(
                "select exists (select from pg_locks as l join pg_database as d on d.oid = l.database
                                where d.datname = current_database() and l.locktype = 'advisory' and not l.granted)",
            )
            .await;
        one.batch_execute("commit").await.unwrap();
    };
    let (second, ()) = tokio::join!(two.query_one(put, &[]), commit);

    let second: String = second.unwrap().get(0);
    assert_eq!((first.as_str(), second.as_str()), ("created", "unchanged"));
}

#[tokio::test]
async fn a_resumed_endpoint_is_enabled_and_forgets_why_it_was_not() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.pause_endpoint('one', 'maintenance')").await;

    let state: String = database.value("select state from postrider.resume_endpoint('one')").await;

    assert_eq!(state, "enabled");
    database
        .assert_row(
            "select state, reason from postrider.endpoint_health",
            json!({"state": "enabled", "reason": null}),
        )
        .await;
}

#[tokio::test]
async fn an_unknown_endpoint_is_an_error() {
    let database = Database::new().await;

    for call in [
        "select postrider.pause_endpoint('nobody')",
        "select postrider.resume_endpoint('nobody')",
        "select postrider.delete_endpoint('nobody')",
        "select postrider.rotate_secret('nobody')",
        "select postrider.retry_failed('nobody')",
        "select postrider.replay('nobody', now())",
    ] {
        let fault = database.refusal(call).await;

        assert_eq!(fault.code(), &SqlState::NO_DATA_FOUND, "{call}");
        assert_eq!(fault.message(), "endpoint \"nobody\" does not exist", "{call}");
    }
}

#[tokio::test]
async fn an_invalid_argument_is_named_with_what_is_allowed() {
    let database = Database::new().await;

    for (name, arguments) in [
        ("id", "null, 'https://example.com/'"),
        ("id", "'a b', 'https://example.com/'"),
        ("id", "repeat('x', 65), 'https://example.com/'"),
        ("url", "'one', null"),
        ("url", "'one', 'ftp://example.com/'"),
        ("url", "'one', 'https://user@example.com/'"),
        ("url", "'one', 'https://example.com/#part'"),
        ("url", "'one', 'https://example.com/' || repeat('x', 2048)"),
        ("topics", "'one', 'https://example.com/', '{a..b}'"),
        ("topics", "'one', 'https://example.com/', '{**.a}'"),
        ("topics", "'one', 'https://example.com/', '{null}'"),
        ("topics", "'one', 'https://example.com/', array_fill('a'::text, '{101}')"),
        ("headers", "'one', 'https://example.com/', headers => '[]'"),
        ("headers", "'one', 'https://example.com/', headers => '{\"host\": \"x\"}'"),
        ("headers", "'one', 'https://example.com/', headers => '{\"x-a\": 1}'"),
        ("secret", "'one', 'https://example.com/', secret => 'whsec_c2hvcnQ='"),
        ("new_secret_if_created", "'one', 'https://example.com/', new_secret_if_created => 'whsec_c2hvcnQ='"),
        ("max_in_flight", "'one', 'https://example.com/', max_in_flight => 0"),
        ("rate_limit", "'one', 'https://example.com/', rate_limit => '0/s'"),
        ("timeout", "'one', 'https://example.com/', timeout => '1ms'"),
        ("retry_schedule", "'one', 'https://example.com/', retry_schedule => '{}'"),
        ("retry_schedule", "'one', 'https://example.com/', retry_schedule => '{-1s}'"),
        ("retry_schedule", "'one', 'https://example.com/', retry_schedule => '{null}'"),
        ("on_failed", "'one', 'https://example.com/', ordered => true, on_failed => 'stop'"),
        ("description", "'one', 'https://example.com/', description => repeat('ä', 501)"),
    ] {
        let fault = database.refusal(&format!("select postrider.put_endpoint({arguments})")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{arguments}: {fault:?}");
        assert!(fault.message().ends_with(&format!("invalid {name}")), "{arguments}: {fault:?}");
        let allowed = format!("Allowed is {name}: ");
        assert!(fault.detail().unwrap().starts_with(&allowed), "{arguments}: {fault:?}");
    }
}

#[tokio::test]
async fn an_invalid_secret_is_not_repeated_in_the_error() {
    let database = Database::new().await;

    let fault = database
        .refusal("select postrider.put_endpoint('one', 'https://example.com/', secret => 'hunter2')")
        .await;

    assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
}

#[tokio::test]
async fn there_are_no_more_endpoints_than_the_installation_allows() {
    let database = Database::new().await;
    database.execute("update postrider.installation set endpoints_max = 2").await;
    for id in ["one", "two"] {
        database.execute(&format!("select postrider.put_endpoint('{id}', 'https://example.com/')")).await;
    }
    let put = ["endpoint", "put", "three", "--url", "https://example.com/"];

    let refused = CommandOutput::run(&database.url, &put).await;
    database.execute("select postrider.put_endpoint('two', 'https://example.com/changed')").await;
    database.execute("select postrider.delete_endpoint('one')").await;
    let created = CommandOutput::run(&database.url, &put).await;

    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .complaint()
            .contains("endpoint \"three\": the limit of 2 endpoints is reached: Delete endpoints, or raise"),
        "{}",
        refused.stderr
    );
    assert!(created.stdout.starts_with("three created\n"), "{}", created.stderr);
}
