//! Which URLs may be registered: the same ones by command, by the API and by SQL.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver};

/// What RFC 3986 allows in a path and a query, and in the name of a scheme.
const FINE: [&str; 12] = [
    "https://example.com/@user/hook",
    "https://example.com?to=me@example.com",
    "https://example.com/a:b@c/!$&'()*+,;=:@/%40?/?:@",
    "HTTPS://Example.com/Hook",
    "https://example.com:8443/~x/../-._",
    "https://order_service:8443/hook",
    "https://_a.b_.example./",
    "https://7.xn--bcher-kva.a--b.example?x",
    "https://b\u{fc}cher.example/",
    "https://[2606:4700::1111]:8443/",
    "https://1.1.1.1/",
    "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/",
];

/// Credentials, however they are written, and what is none.
const WRONG: [&str; 15] = [
    "https://me@example.com/hook",
    "https://me:secret@example.com",
    "https://@example.com/@user",
    "https://a@b@example.com/?x",
    "https://example.com/#@x",
    "https://example.com/a b",
    "https://example.com\\@x",
    "https://a..example/",
    "https://.example/",
    "https://example../",
    "https://-a.example/",
    "https://a-.example:8443/",
    "https://a~b.example/",
    "https://a+b!.example/",
    "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/",
];

#[tokio::test]
async fn a_valid_url_is_taken_by_command_api_and_sql() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for url in FINE {
        let put = CommandOutput::run(&database.url, &["endpoint", "put", "one", "--url", url]).await;
        let answered = api.send("PUT", "/v1/endpoints/two", &json!({ "url": url })).await;
        let sql = "select postrider.put_endpoint('three', $1)";
        let by_sql = database.client.execute(sql, &[&url]).await;

        assert_eq!(put.code, Some(0), "{url}: {}", put.stderr);
        assert!([200, 201].contains(&answered.status), "{url}: {answered:?}");
        assert!(by_sql.is_ok(), "{url}: {by_sql:?}");
        let registered = database.rows("select id from postrider.endpoint where url = $1", &[&url]).await;
        assert_eq!(registered.len(), 3, "{url}");
    }
}

#[tokio::test]
async fn what_is_no_url_for_us_is_wrong_usage_by_command_and_422_by_the_api() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for url in WRONG {
        let put = CommandOutput::run(&database.url, &["endpoint", "put", "one", "--url", url]).await;
        let answered = api.send("PUT", "/v1/endpoints/two", &json!({ "url": url })).await;
        let by_sql = database.client.execute("select postrider.put_endpoint('three', $1)", &[&url]).await;
        let is_taken = database.rows("select postrider.is_endpoint_url($1)", &[&url]).await;

        assert_eq!(put.code, Some(64), "{url}: {}", put.stderr);
        assert_eq!(answered.refused(), (422, "invalid_argument".to_owned()), "{url}");
        assert_eq!(by_sql.unwrap_err().code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{url}");
        assert!(!is_taken[0].get::<_, bool>(0), "{url}");
    }
}

#[tokio::test]
async fn what_only_the_database_can_refuse_is_wrong_usage_too() {
    let database = Database::new().await;
    let auth = r#"auth => '{"type": "bearer", "token": "t"}'"#;
    database.put_endpoint("one", "https://example.com/", "**", auth).await;

    for url in ["https://other.example/", "https://example.com:8443/@", "HTTPS://other.example/"] {
        let put = CommandOutput::run(&database.url, &["endpoint", "put", "one", "--url", url]).await;

        assert_eq!(put.code, Some(64), "{url}: {}", put.stderr);
        assert!(put.complaint().contains("(Allowed is "), "{url}: {}", put.stderr);
    }
    database.assert_row("select url from postrider.endpoint", json!({"url": "https://example.com/"})).await;
}

#[tokio::test]
async fn a_path_with_an_at_sign_arrives_as_it_was_registered() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = receiver.url().replace("/hook", "/@user/hook?mail=me@example.com");
    let insert = "insert into postrider.endpoint (id, url, topics, secret) values ('one', $1, '{**}', $2)";
    database.client.execute(insert, &[&url, &crate::support::SECRET]).await.unwrap();
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;

    assert_eq!(receiver.next().await.uri.to_string(), "/@user/hook?mail=me@example.com");
    database.until_settled().await;
}

#[tokio::test]
async fn an_event_for_a_host_with_an_underscore_arrives() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    for host in ["order_service.localhost", "_x_.7.localhost", "xn--bcher-kva.localhost."] {
        database.put_endpoint(&host.replace('_', "-")[1..], &receiver.url_at(host), "**", "").await;
    }
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    let failed = "select count(*)::int as failed from postrider.delivery_status where status <> 'complete' or attempts > 1";
    database.assert_row(failed, json!({"failed": 0})).await;
    assert_eq!(receiver.count(), 3);
}
