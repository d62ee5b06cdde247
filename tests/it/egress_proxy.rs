//! An egress proxy: everything goes through it, and what it does wrong is not the endpoint's fault.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Database, Dispatcher, Ended, Receiver};

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
async fn what_is_no_proxy_is_refused_without_showing_its_password() {
    for proxy in
        ["", "proxy:3128", "https://me:hunter2@proxy", "http://me:hunter2@proxy/path", "socks5://proxy"]
    {
        let ended =
            Ended::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--egress-proxy", proxy]).await;

        assert_eq!(ended.code, Some(64), "{proxy}: {}", ended.stderr);
        assert!(ended.stderr.contains("egress_proxy: needs http://host:port"), "{proxy}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{proxy}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn config_show_hides_the_password_of_the_proxy() {
    let args = ["config", "show", "--egress-proxy", "http://me:hunter2@proxy:3128"];

    let ended = Ended::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

    assert!(
        ended.stdout.contains("http://proxy:3128") && !ended.stdout.contains("hunter2"),
        "{}",
        ended.stdout
    );
}

/// Without a path.
fn origin(proxy: &Receiver) -> String {
    let url = url::Url::parse(&proxy.url()).unwrap();
    url.origin().ascii_serialization()
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
