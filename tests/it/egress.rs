//! What a dispatcher may call, seen from the outside: where it has no leave, nobody is called at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Database, Dispatcher, Receiver, command};

/// Somebody who must never be called.
struct Canary {
    port: u16,
    calls: Arc<AtomicUsize>,
    _listener: JoinSet<()>,
}

impl Canary {
    /// Starts listening on a free port of this address.
    async fn start(address: &str) -> Self {
        let listener = match TcpListener::bind((address, 0)).await {
            // A machine without IPv6 has nobody there to call; that the address is refused is seen all the same.
            Err(_) if address == "::1" => TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
            listener => listener.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((_socket, _peer)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, calls, _listener: task }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn without_leave_no_special_address_is_dialled() {
    for (address, host, refused) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1 is not allowed: loopback, 127.0.0.0/8"),
        ("127.0.0.1", "2130706433", "127.0.0.1 is not allowed: loopback, 127.0.0.0/8"),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2 is not allowed: loopback, 127.0.0.0/8"),
        ("127.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1 is not allowed: loopback, 127.0.0.0/8"),
        ("::1", "[::1]", "::1 is not allowed: loopback, ::1/128"),
    ] {
        let canary = Canary::start(address).await;
        let url = format!("http://{host}:{}/", canary.port);

        let error = error_of_an_attempt(&["--allow-http"], &url).await;

        assert_eq!(error, format!("address {refused} (--allow-cidr permits it)"), "{url}");
        assert_eq!(canary.calls(), 0, "{url}");
    }
}

#[tokio::test]
async fn without_leave_a_name_that_leads_to_a_special_address_is_not_dialled() {
    let (v4, v6) = (Canary::start("127.0.0.1").await, Canary::start("::1").await);

    for canary in [&v4, &v6] {
        let url = format!("http://localhost:{}/", canary.port);

        let error = error_of_an_attempt(&["--allow-http"], &url).await;

        assert!(error.starts_with("address "), "{error}");
        assert!(error.contains(" is not allowed: loopback, "), "{error}");
        assert_eq!(canary.calls(), 0, "{url}");
    }
}

#[tokio::test]
async fn leave_for_one_range_is_no_leave_for_another() {
    let canary = Canary::start("127.0.0.1").await;
    let url = format!("http://127.0.0.1:{}/", canary.port);

    let error = error_of_an_attempt(&["--allow-http", "--allow-cidr", "127.0.0.2/32,10.0.0.0/8"], &url).await;

    assert!(error.starts_with("address 127.0.0.1 is not allowed"), "{error}");
    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn without_leave_plain_http_is_not_spoken() {
    let canary = Canary::start("127.0.0.1").await;
    let url = format!("http://127.0.0.1:{}/", canary.port);

    let error = error_of_an_attempt(&["--allow-cidr", "127.0.0.0/8"], &url).await;

    assert_eq!(error, "url needs https (--allow-http permits http)");
    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn a_redirect_to_somebody_else_is_not_followed() {
    let database = Database::new().await;
    let (receiver, canary) = (Receiver::start().await, Canary::start("127.0.0.1").await);
    let location = format!("http://127.0.0.1:{}/", canary.port);
    receiver.answer_once(307, &[("location", &location)], b"");
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{7d}'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log where status_code = 307)").await;

    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn proxies_of_the_environment_are_passed_by() {
    let database = Database::new().await;
    let (receiver, canary) = (Receiver::start().await, Canary::start("127.0.0.1").await);
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = format!("http://127.0.0.1:{}", canary.port);
    let mut run =
        command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
    run.env("DATABASE_URL", &database.url).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        run.env(name, &proxy).env(name.to_ascii_lowercase(), &proxy);
    }
    let _dispatcher = Dispatcher::of(run);

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!((receiver.count(), canary.calls()), (1, 0));
}

/// What is recorded of an attempt on this URL by a dispatcher with this leave and no more.
async fn error_of_an_attempt(leave: &[&str], url: &str) -> String {
    let database = Database::new().await;
    database.put_endpoint("one", url, "**", "retry_schedule => '{7d}'").await;
    let mut run = command(&["run", "--api-listen", "127.0.0.1:0"]);
    run.args(leave).env("DATABASE_URL", &database.url);
    let _dispatcher = Dispatcher::of(run);
    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;
    database.value("select error from postrider.attempt_log").await
}
