//! What every test needs: a database of its own, dispatchers as processes, HTTP peers, and patience with a deadline.

mod api;
mod canaries;
mod cluster;
mod command_output;
mod connection;
mod database;
mod dispatcher;
mod encrypted;
mod folder;
mod http2_receiver;
mod installation;
mod lane;
mod lane_receiver;
mod lanes;
mod listener;
mod login;
mod misbehaving_server;
mod passing_time;
mod proxy;
mod receiver;
mod running_command;
mod scene;
mod scraped;
mod secrets;
mod server;
mod signal;
mod skipping;
mod terminal;
mod test_server;
mod tls;
mod watched_dispatcher;

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use api::{Answered, Api};
pub(crate) use canaries::{Canaries, QUIET};
pub(crate) use cluster::Cluster;
pub(crate) use command_output::CommandOutput;
pub(crate) use connection::{connect, open, set_up};
pub(crate) use database::Database;
pub(crate) use dispatcher::{Dispatcher, command, limited, with_hosts};
pub(crate) use encrypted::{ASKED, CARDHOLDER, Encrypted, PASSWORD};
pub(crate) use folder::Folder;
pub(crate) use http2_receiver::{Desk, Http2Receiver, Judged, Manners};
pub(crate) use installation::Installation;
pub(crate) use lane_receiver::{Asked, LaneReceiver, Reply};
pub(crate) use lanes::{Lanes, Rules, Sums};
pub(crate) use listener::Listener;
pub(crate) use login::{as_role, login_clause, passfile, password, with_password};
pub(crate) use misbehaving_server::{Act, MisbehavingServer};
pub(crate) use proxy::{Door, Proxy, Toxic, Toxics};
pub(crate) use receiver::{Received, Receiver};
pub(crate) use running_command::RunningCommand;
pub(crate) use scene::{
    IS_BAD, SHORT_LEASE, SHORT_RETENTION, SOON, Scene, Stranger, refuse, refuse_no_more, soon,
};
pub(crate) use scraped::Scraped;
pub(crate) use secrets::TOKEN;
pub(crate) use server::Server;
pub(crate) use signal::send_signal;
pub(crate) use skipping::skip;
pub(crate) use terminal::terminal;
pub(crate) use tls::{Authority, MOVING, Tls, TlsReceiver};
pub(crate) use watched_dispatcher::WatchedDispatcher;

/// Every wait of a test ends by then. Generous: many tests run at once, and the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// The secret of endpoints in tests.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Asks again until it is so; fails with `what` at the deadline.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let begun = tokio::time::Instant::now();
    let poll = async {
        while !is_so().await {
            // What has taken long may take a little longer, and others need the processors.
            let pause = (begun.elapsed() / 10).clamp(Duration::from_millis(20), Duration::from_millis(50));
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll)
        .await
        .unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain: {what}"));
}

/// Asks for a URL, on a connection of its own.
pub(crate) async fn get(url: &str) -> reqwest::Response {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        // Nothing is kept open: a connection belongs to the runtime of the test that opened it.
        http_client().timeout(DEADLINE).pool_max_idle_per_host(0).build().unwrap()
    });
    client.get(url).send().await.unwrap()
}

/// A client for `http://` alone: it reads no certificate of the system, which costs more than a request.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    // Without a provider for TLS no client can be built; an error means that another test was faster.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}

/// A dispatcher with one endpoint `one`, which subscribes to everything; `more` as in [`Database::put_endpoint`].
pub(crate) async fn one_endpoint(more: &str, flags: &[&str]) -> (Database, Receiver, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", more).await;
    let dispatcher = Dispatcher::start(&database, flags).await;
    (database, receiver, dispatcher)
}

/// Inserts an event whose first attempt fails, and waits until the next one is due later; for [`one_endpoint`] with a
/// `retry_schedule` that is long. Returns the event's id.
pub(crate) async fn waiting_for_retry(database: &Database, receiver: &Receiver) -> i64 {
    receiver.answer_once(500, &[], b"");
    let event = database.insert("order.created", "{}").await;
    database
        .until("select exists (select from postrider.delivery_status where next_attempt_at > now())")
        .await;
    event
}

/// A source of chance, printed so that a failure can be repeated with `POSTRIDER_TEST_SEED`.
pub(crate) fn chance() -> fastrand::Rng {
    let seed = std::env::var_os("POSTRIDER_TEST_SEED")
        .and_then(|seed| seed.to_str()?.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("POSTRIDER_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A variable of the caller's environment.
#[expect(clippy::disallowed_methods, reason = "the test run is steered by it")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
