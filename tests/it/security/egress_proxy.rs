//! An egress proxy: everything goes through it, and what it does wrong is not the endpoint's fault.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver};

/// A name that nobody but a proxy knows.
const ENDPOINT: &str = "http://receiver.example/hook?x=1";

#[tokio::test]
async fn every_request_goes_through_the_proxy_which_resolves_names() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", ENDPOINT, "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;

    database.insert("order.created", "{}").await;

    let request = proxy.next().await;
    assert_eq!((request.uri.to_string(), request.header("host")), (ENDPOINT.to_owned(), "receiver.example"));
    request.verify();
    database.until_settled().await;
    assert_eq!(database.count("complete").await, 1);
}

#[tokio::test]
async fn a_special_address_is_refused_before_the_proxy_is_asked() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", "http://10.1.2.3/", "**", "retry_schedule => '{7d}'").await;
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log where error like 'address 10.1.2.3 is not allowed%')").await;

    assert_eq!(proxy.count(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_away_is_waited_for_and_no_attempt_is_counted() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", ENDPOINT, "**", "retry_schedule => '{7d}'").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let dispatcher =
        Dispatcher::start(&database, &["--egress-proxy", &format!("http://me:hunter2@{address}")]).await;

    database.insert("order.created", "{}").await;
    dispatcher.logged(&format!("the egress proxy http://{address} cannot be reached")).await;
    let begun = database.value::<i64>("select count(*) from postrider.attempt_log").await;
    let _proxy = forward(TcpListener::bind(address).await.unwrap(), &receiver);

    let request = receiver.next().await;
    database.until_settled().await;
    assert_eq!((begun, request.header("postrider-attempt")), (0, "1"));
    assert!(request.header("proxy-authorization").starts_with("Basic "));
    assert!(!dispatcher.log().contains("hunter2"));
}

#[tokio::test]
async fn a_proxy_that_refuses_our_credentials_is_not_the_endpoints_fault() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", ENDPOINT, "**", "retry_schedule => '{7d}'").await;
    let dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;
    proxy.answer_once(407, &[], b"");

    database.insert("order.created", "{}").await;
    dispatcher.logged("refuses our credentials").await;

    database.until_settled().await;
    let attempts: i64 = database.value("select count(*) from postrider.attempt_log").await;
    assert_eq!((proxy.count(), attempts, database.count("complete").await), (2, 1, 1));
}

#[tokio::test]
async fn an_endpoint_that_answers_407_itself_is_refused_like_any_other() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", ENDPOINT, "**", "retry_schedule => '{1ms}'").await;
    let dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;
    proxy.answer(407);

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, attempts, last_status_code, last_error from postrider.delivery_status",
            json!({"status": "failed", "attempts": 2, "last_status_code": 407, "last_error": "status 407"}),
        )
        .await;
    // Two while it might have been the proxy.
    assert_eq!(proxy.count(), 4);
    assert!(!dispatcher.log().contains("refuses our credentials\n"), "{}", dispatcher.log());
}

#[tokio::test]
async fn where_others_get_through_407_is_the_endpoints_own_and_costs_nobody_else() {
    let database = Database::new().await;
    let (proxy, _server) = pick(|_, uri| if uri.host() == Some("bad.example") { 407 } else { 200 }).await;
    database.put_endpoint("bad", "http://bad.example/", "**", "retry_schedule => '{1ms}'").await;
    database.put_endpoint("good", "http://good.example:8080/", "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &format!("http://{proxy}")]).await;

    database.insert_many("order.created", 40).await;
    database.until_settled().await;

    database
        .assert_rows(
            "select endpoint_id, status, attempts, count(*) from postrider.delivery_status
             group by endpoint_id, status, attempts order by endpoint_id",
            vec![
                json!({"endpoint_id": "bad", "status": "failed", "attempts": 2, "count": 40}),
                json!({"endpoint_id": "good", "status": "complete", "attempts": 1, "count": 40}),
            ],
        )
        .await;
}

#[tokio::test]
async fn while_everybody_is_refused_it_is_the_proxy_and_no_attempt_is_counted() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", ENDPOINT, "**", "retry_schedule => '{7d}'").await;
    database.put_endpoint("two", "http://other.example/", "**", "retry_schedule => '{7d}'").await;
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;
    proxy.answer(407);

    database.insert("order.created", "{}").await;
    // After three in a row the proxy is asked for a place that nobody has.
    while proxy.next().await.method != Method::HEAD {}
    let counted: i64 = database.value("select count(*) from postrider.attempt_log").await;
    proxy.answer(200);
    database.until_settled().await;

    assert_eq!(counted, 0);
    database
        .assert_row(
            "select distinct status, attempts from postrider.delivery_status",
            json!({"status": "complete", "attempts": 1}),
        )
        .await;
}

#[tokio::test]
async fn endpoints_that_answer_407_in_concert_do_not_pass_for_the_proxy() {
    let database = Database::new().await;
    let (proxy, _server) = pick(|method, _| if *method == Method::HEAD { 502 } else { 407 }).await;
    for id in ["one", "two"] {
        database.put_endpoint(id, &format!("http://{id}.example/"), "**", "retry_schedule => '{1ms}'").await;
    }
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &format!("http://{proxy}")]).await;

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    database
        .assert_row(
            "select distinct status, attempts from postrider.delivery_status",
            json!({"status": "failed", "attempts": 2}),
        )
        .await;
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_without_other_credentials_costs_no_attempt() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://receiver.example/", "**", "retry_schedule => '{7d}'").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _peer)) = listener.accept().await {
            let mut head = [0; 4096];
            let _count = stream.read(&mut head).await.unwrap();
            drop(
                stream
                    .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                    .await,
            );
        }
    });
    let dispatcher = Dispatcher::start(&database, &["--egress-proxy", &format!("http://{address}")]).await;

    database.insert("order.created", "{}").await;
    dispatcher.logged("refuses our credentials\n").await;

    assert_eq!(database.value::<i64>("select count(*) from postrider.attempt_log").await, 0);
}

#[tokio::test]
async fn a_proxy_that_lets_no_question_for_a_token_through_costs_no_attempt() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    let auth = r#"{"type": "oauth2", "token_url": "http://tokens.example/", "client_id": "a", "client_secret": "b"}"#;
    let more = format!("retry_schedule => '{{7d}}', auth => '{auth}'");
    database.put_endpoint("one", ENDPOINT, "**", &more).await;
    let dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin(&proxy)]).await;
    proxy.answer_once(407, &[], b"");
    proxy.answer_once(200, &[], br#"{"access_token": "t", "token_type": "Bearer"}"#);

    database.insert("order.created", "{}").await;
    dispatcher.logged("refuses our credentials").await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "complete", "attempts": 1}),
        )
        .await;
    assert_eq!(proxy.count(), 3);
}

#[tokio::test]
async fn what_is_no_proxy_is_refused_without_showing_its_password() {
    for proxy in
        ["", "proxy:3128", "https://me:hunter2@proxy", "http://me:hunter2@proxy/path", "socks5://proxy"]
    {
        let output =
            CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--egress-proxy", proxy])
                .await;

        assert_eq!(output.code, Some(64), "{proxy}: {}", output.stderr);
        assert!(output.stderr.contains("egress_proxy: needs http://host:port"), "{proxy}: {}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{proxy}: {}", output.stderr);
    }
}

#[tokio::test]
async fn config_show_hides_the_password_of_the_proxy() {
    let args = ["config", "show", "--egress-proxy", "http://me:hunter2@proxy:3128"];

    let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

    assert!(
        output.stdout.contains("http://proxy:3128") && !output.stdout.contains("hunter2"),
        "{}",
        output.stdout
    );
}

/// Without a path.
fn origin(proxy: &Receiver) -> String {
    let url = url::Url::parse(&proxy.url()).unwrap();
    url.origin().ascii_serialization()
}

/// A proxy that answers by method and URL.
async fn pick(status: fn(&Method, &Uri) -> u16) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer =
        move |method: Method, uri: Uri| async move { StatusCode::from_u16(status(&method, &uri)).unwrap() };
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (address, server)
}

/// Passes every connection on to the receiver, which stands in for a proxy.
fn forward(listener: TcpListener, receiver: &Receiver) -> JoinSet<()> {
    let target = origin(receiver).trim_start_matches("http://").to_owned();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut passed = JoinSet::new();
        while let Ok((mut from, _peer)) = listener.accept().await {
            let mut to = TcpStream::connect(&target).await.unwrap();
            passed.spawn(async move { copy_bidirectional(&mut from, &mut to).await });
        }
    });
    task
}
