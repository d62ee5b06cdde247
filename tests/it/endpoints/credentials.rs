//! How we log in at endpoints: basic, bearer, and tokens of OAuth 2 client credentials.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, eventually, one_endpoint};

const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn basic_and_bearer_are_sent_with_every_request() {
    for (auth, expected) in [
        // RFC 7617, section 2; RFC 6750, section 2.1.
        (
            r#"{"type": "basic", "username": "Aladdin", "password": "open sesame"}"#,
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (r#"{"type": "bearer", "token": "mF_9.B5f-4.1JqM"}"#, "Bearer mF_9.B5f-4.1JqM"),
    ] {
        let (database, receiver, dispatcher) = one_endpoint(&format!("auth => '{auth}'"), &[]).await;

        database.insert("order.created", "{}").await;

        assert_eq!(receiver.next().await.header("authorization"), expected);
        assert!(!dispatcher.log().contains("Aladdin") && !dispatcher.log().contains("mF_9"));
    }
}

#[tokio::test]
async fn a_producer_cannot_take_the_place_of_a_login() {
    let auth = r#"auth => '{"type": "bearer", "token": "ours"}'"#;
    let (database, receiver, _dispatcher) = one_endpoint(auth, &[]).await;

    database
        .execute(
            r#"insert into postrider.outbox (topic, payload, headers) values ('a', '{}', '{"Authorization": "Bearer theirs"}')"#,
        )
        .await;

    assert_eq!(receiver.next().await.header("authorization"), "Bearer ours");
}

#[tokio::test]
async fn one_token_serves_many_requests() {
    let (database, receiver, issuer, _dispatcher) = oauth2("").await;
    issuer.answer_once(200, &[], br#"{"access_token": "first", "token_type": "Bearer", "expires_in": 3600}"#);

    database.insert_many("order.created", 20).await;
    database.until_settled().await;

    assert_eq!(issuer.count(), 1);
    assert!(receiver.all().iter().all(|request| request.header("authorization") == "Bearer first"));
    let asked = issuer.next().await;
    assert_eq!(asked.header("authorization"), "Basic Y2xpZW50OmhpZGRlbi1zZWNyZXQ=");
    assert_eq!(asked.text(), "grant_type=client_credentials&scope=events");
}

#[tokio::test]
async fn a_token_that_has_expired_is_asked_for_anew() {
    let (database, receiver, issuer, _dispatcher) = oauth2("").await;
    issuer.answer_once(200, &[], br#"{"access_token": "first", "token_type": "bearer", "expires_in": 0}"#);
    issuer.answer_once(200, &[], br#"{"access_token": "second", "token_type": "bearer", "expires_in": 0}"#);

    database.insert("order.created", "1").await;
    let first = receiver.next().await;
    database.insert("order.created", "2").await;
    let second = receiver.next().await;

    assert_eq!(first.header("authorization"), "Bearer first");
    assert_eq!(second.header("authorization"), "Bearer second");
}

#[tokio::test]
async fn a_token_that_the_endpoint_refuses_is_asked_for_anew() {
    let (database, receiver, issuer, _dispatcher) = oauth2("retry_schedule => '{1ms}'").await;
    issuer.answer_once(200, &[], br#"{"access_token": "first", "token_type": "bearer"}"#);
    issuer.answer_once(200, &[], br#"{"access_token": "second", "token_type": "bearer"}"#);
    receiver.answer_once(401, &[], b"");

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    let sent: Vec<String> =
        receiver.all().iter().map(|request| request.header("authorization").to_owned()).collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_attempt_says_why_without_a_secret() {
    let (database, receiver, issuer, dispatcher) = oauth2("retry_schedule => '{7d}'").await;
    issuer.answer_once(401, &[], br#"{"error": "invalid_client", "leak": "hidden-secret"}"#);

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    let error: String = database.value("select error from postrider.attempt_log").await;
    assert_eq!(error, "oauth2: no token: status 401");
    assert_eq!(receiver.count(), 0);
    assert!(!dispatcher.log().contains("hidden-secret"));
}

#[tokio::test]
async fn who_refuses_a_token_is_not_asked_by_every_attempt_that_waits() {
    let (database, _receiver, issuer, _dispatcher) = oauth2("retry_schedule => '{7d}'").await;
    issuer.answer(503);
    issuer.hold();

    database.insert_many("order.created", 50).await;
    eventually("one asks", || async { issuer.under_way() == 1 }).await;
    issuer.release();
    database.until("select count(*) > 0 from postrider.attempt_log").await;
    database.until("select not exists (select from postrider.delivery_in_progress)").await;

    assert_eq!(issuer.under_way_max(), 1);
    // One second a refusal: so many could only be asked if the fifty took as many seconds.
    assert!(issuer.count() < 50, "{}", issuer.count());
}

#[tokio::test]
async fn where_tokens_are_asked_for_is_judged_like_an_endpoint() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let auth = r#"auth => '{"type": "oauth2", "token_url": "http://10.0.0.1/token", "client_id": "a", "client_secret": "b"}'"#;
    database.put_endpoint("one", &receiver.url(), "**", &format!("{auth}, retry_schedule => '{{7d}}'")).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    let error: String = database.value("select error from postrider.attempt_log").await;
    assert!(error.starts_with("oauth2: no token: address 10.0.0.1 is not allowed"), "{error}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_login_that_is_none_is_refused_without_being_shown() {
    let put = ["endpoint", "put", "one", "--url", "https://example.com/"];
    for (more, named) in [
        (&["--bearer-token", "hush hush"][..], "auth: token needs"),
        (&["--basic-auth", "hush"], "auth: password needs"),
        (&["--bearer-token", "hush", "--no-auth"], "auth: needs one of"),
        (
            &[
                "--oauth2-token-url",
                "https://127.0.0.1/",
                "--oauth2-client-id",
                "a",
                "--oauth2-client-secret",
                "hush",
            ],
            "auth: token_url: address 127.0.0.1 is not allowed",
        ),
        (
            &["--bearer-token", "hush", "--header", "authorization: x"],
            "headers: authorization is what auth sends",
        ),
    ] {
        let output = CommandOutput::run(NOWHERE, &[&put[..], more].concat()).await;

        assert_eq!(output.code, Some(64), "{more:?}");
        let complaints = output.complaints();
        assert!(complaints.iter().any(|line| line.starts_with(named)), "{complaints:?}");
        assert!(!output.stderr.contains("hush"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_login_is_kept_unless_it_is_named_and_removed_by_none() {
    let database = Database::new().await;
    let put = ["endpoint", "put", "one", "--url", "https://example.com/"];
    let run =
        async |more: &[&str]| CommandOutput::run(&database.url, &[&put[..], more].concat()).await.stdout;

    assert!(run(&["--bearer-token", "hush"]).await.contains("created"));
    assert_eq!(run(&["--bearer-token", "hush"]).await, "one unchanged\n");
    assert_eq!(run(&[]).await, "one unchanged\n");
    assert_eq!(run(&["--no-auth"]).await, "one changed\nauth: removed\n");
    database.assert_row("select auth from postrider.endpoint", json!({"auth": null})).await;
}

/// An endpoint at which a token is needed, and who issues it.
async fn oauth2(more: &str) -> (Database, Receiver, Receiver, Dispatcher) {
    let database = Database::new().await;
    let (receiver, issuer) = (Receiver::start().await, Receiver::start().await);
    let auth = format!(
        r#"auth => '{{"type": "oauth2", "token_url": "{}", "client_id": "client", "client_secret": "hidden-secret", "scope": "events"}}'"#,
        issuer.url()
    );
    let more = if more.is_empty() { auth } else { format!("{auth}, {more}") };
    database.put_endpoint("one", &receiver.url(), "**", &more).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, receiver, issuer, dispatcher)
}

#[tokio::test]
async fn a_login_that_a_receiver_sends_back_is_hidden() {
    let auth = r#"auth => '{"type": "bearer", "token": "mF_9.B5f-4.1JqM"}', retry_schedule => '{7d}'"#;
    let (database, receiver, _dispatcher) = one_endpoint(auth, &[]).await;
    receiver.answer_once(500, &[], b"who is mF_9.B5f-4.1JqM?");

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    let excerpt: String = database.value("select response_excerpt from postrider.attempt_log").await;
    assert_eq!(excerpt, "who is (hidden)?");
}

#[tokio::test]
async fn a_login_is_not_taken_along_to_another_host() {
    let database = Database::new().await;
    let auth = r#"auth => '{"type": "bearer", "token": "hushhush"}'"#;
    database.put_endpoint("one", "https://example.com/hook", "**", auth).await;
    let put = async |url: &str, more: &str| {
        database.client.execute(&format!("select postrider.put_endpoint('one', '{url}'{more})"), &[]).await
    };

    for url in
        ["https://elsewhere.example/hook", "https://example.com.evil.example/", "https://example.com:8443/"]
    {
        let fault = put(url, "").await.unwrap_err();
        let fault = fault.as_db_error().unwrap();
        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{url}");
        assert!(!format!("{fault:?}").contains("hushhush"), "{fault:?}");
    }
    put("https://EXAMPLE.com/other?a=b", "").await.unwrap();
    database
        .assert_row("select auth is not null as has_auth from postrider.endpoint", json!({"has_auth": true}))
        .await;
    put("https://elsewhere.example/hook", ", auth => 'none'").await.unwrap();
}
