//! A dispatcher that is watched through trouble with its database: whether it says that it is ready, and how often it
//! tries to connect and speaks meanwhile.

use std::time::Duration;

use postrider::store::{DatabaseUrl, Environment, migrate};
use tokio::time::Instant;

use super::{Database, Dispatcher, Proxy, Receiver, eventually, get};

/// With an endpoint that receives everything. The dispatcher reaches the database through a proxy, everybody else does
/// not.
pub(crate) struct WatchedDispatcher {
    pub(crate) url: String,
    pub(crate) receiver: Receiver,
    pub(crate) proxy: Proxy,
    pub(crate) dispatcher: Dispatcher,
    sent: usize,
}

/// How much a dispatcher had done at some moment.
pub(crate) struct Count {
    at: Instant,
    connections: usize,
    lines: usize,
}

impl Count {
    /// How many connections were tried since then.
    pub(crate) fn connections_since(&self, begun: &Self) -> usize {
        self.connections - begun.connections
    }

    /// How long that is.
    pub(crate) fn seconds_since(&self, begun: &Self) -> f64 {
        (self.at - begun.at).as_secs_f64()
    }
}

impl WatchedDispatcher {
    /// Migrates a database, and starts a dispatcher that is ready.
    pub(crate) async fn start(url: &str, flags: &[&str]) -> Self {
        Self::start_as(url, url, flags).await
    }

    /// The same; the dispatcher connects by another URL of the same database.
    pub(crate) async fn start_as(url: &str, dispatchers_url: &str, flags: &[&str]) -> Self {
        let (receiver, proxy) = Self::prepare(url).await;
        let dispatcher = Dispatcher::spawn(&proxy.url(dispatchers_url), flags);
        let watched = Self { url: url.to_owned(), receiver, proxy, dispatcher, sent: 0 };
        watched.until_ready().await;
        watched
    }

    /// A dispatcher that is started in the middle of trouble.
    pub(crate) fn of(url: &str, receiver: Receiver, proxy: Proxy, dispatcher: Dispatcher) -> Self {
        Self { url: url.to_owned(), receiver, proxy, dispatcher, sent: 0 }
    }

    /// A migrated database with an endpoint, and a proxy to it.
    pub(crate) async fn prepare(url: &str) -> (Receiver, Proxy) {
        migrate(&DatabaseUrl::parse(url, &Environment::default()).unwrap()).await.unwrap();
        let receiver = Receiver::start().await;
        Database::at(url).await.put_endpoint("one", &receiver.url(), "**", "").await;
        (receiver, Proxy::to_postgres(url).await)
    }

    /// Commits one event more, on a connection of its own.
    pub(crate) async fn insert(&mut self) {
        self.insert_by(&Database::at(&self.url).await).await;
    }

    /// Commits one event more.
    pub(crate) async fn insert_by(&mut self, database: &Database) {
        database.insert("order.created", &self.sent.to_string()).await;
        self.sent += 1;
    }

    /// Waits until every event that was committed has arrived. One may come twice: what became of it may have been lost.
    pub(crate) async fn until_all_arrived(&self) {
        let arrived = || async { self.receiver.webhook_ids().len() == self.sent };
        eventually(&format!("{} events arrive; the log:\n{}", self.sent, self.dispatcher.log()), arrived)
            .await;
    }

    /// What `/readyz` says: 200, 503.
    pub(crate) async fn readiness(&self) -> u16 {
        self.probe("readyz").await
    }

    /// What a probe says.
    pub(crate) async fn probe(&self, name: &str) -> u16 {
        get(&format!("http://{}/{name}", self.dispatcher.api().await)).await.status().as_u16()
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn until_ready(&self) {
        eventually("it is ready", || async { self.readiness().await == 200 }).await;
    }

    /// Waits until it says that it is not.
    pub(crate) async fn until_not_ready(&self) {
        eventually("it is not ready", || async { self.readiness().await == 503 }).await;
    }

    /// Where it stands now.
    pub(crate) fn count(&self) -> Count {
        Count {
            at: Instant::now(),
            connections: self.proxy.connections(),
            lines: self.dispatcher.log().lines().count(),
        }
    }

    /// Lets trouble last for a while, and checks that it is not ready until the end, and has neither tried to connect
    /// nor spoken more than twice a second since `begun`.
    pub(crate) async fn assert_calm_trouble(&self, begun: &Count) {
        self.until_not_ready().await;
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            assert_eq!(self.readiness().await, 503, "{}", self.dispatcher.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.assert_calm(begun);
    }

    /// Checks that it has neither tried to connect nor spoken more than twice a second since `begun`.
    pub(crate) fn assert_calm(&self, begun: &Count) {
        let now = self.count();
        let seconds = now.seconds_since(begun);
        for (what, done) in
            [("connections", now.connections - begun.connections), ("lines", now.lines - begun.lines)]
        {
            let rate = f64::from(u32::try_from(done).unwrap()) / seconds;
            assert!(rate <= 2.0, "{done} {what} in {seconds:.1} s; the log:\n{}", self.dispatcher.log());
        }
    }
}
