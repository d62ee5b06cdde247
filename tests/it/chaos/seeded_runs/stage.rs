//! Where a run takes place: a private server, dispatchers behind a proxy each, receivers, and the history of it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use postrider::store::{DatabaseUrl, Environment, migrate};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use super::history::History;
use super::peer::Peer;
use super::plan::{ENDPOINTS, Plan, STRICT};
use super::slot::Slot;
use super::strangers::prepare_refusals;
use crate::support::{Database, Proxy, Server};

/// In the database's URL, and in no log.
pub(crate) const PASSWORD: &str = "parole-im-rotkohl";

/// What everybody in a run knows.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) history: History,
    pub(crate) server: Server,
    /// As superuser, and not through a proxy.
    pub(crate) admin_url: String,
    pub(crate) producers_url: String,
    pub(crate) producers: Proxy,
    pub(crate) slots: Vec<Slot>,
    /// How many events were inserted that are too large to be sent.
    pub(crate) swollen: AtomicU64,
    is_over: AtomicBool,
}

impl Stage {
    /// Everything is there, and no dispatcher runs yet.
    pub(crate) async fn set(plan: Plan) -> (Arc<Self>, Vec<Peer>) {
        let server = Server::start().await;
        Database::at(server.url()).await.execute("create database chaos").await;
        let (place, _) = server.url().rsplit_once('/').unwrap();
        let admin_url = format!("{place}/chaos");
        migrate(&DatabaseUrl::parse(&admin_url, &Environment::default()).unwrap()).await.unwrap();
        let database = Database::at(&admin_url).await;
        prepare_refusals(&database).await;
        let role = database.login(Some("postrider_dispatcher")).await;
        let (login, place) = role.split_once('@').unwrap();
        let name = login.split("//").nth(1).unwrap().split(':').next().unwrap();
        // One that is looked for in all that was logged.
        database.execute(&format!("alter role {name} password '{PASSWORD}'")).await;
        let role = format!("postgres://{name}:{PASSWORD}@{place}");
        let producers = Proxy::to_postgres(&admin_url).await;
        let mut slots = Vec::new();
        for number in 0..plan.dispatchers {
            slots.push(Slot::new(number, Proxy::to_postgres(&role).await, &role));
        }
        let stage = Arc::new(Self {
            plan,
            history: History::new(),
            server,
            producers_url: producers.url(&admin_url),
            producers,
            admin_url,
            slots,
            swollen: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut peers = Vec::new();
        for (endpoint, (id, topics)) in ENDPOINTS.iter().enumerate() {
            let peer = Peer::start(&stage, endpoint).await;
            let again = if endpoint == STRICT { "50ms,50ms".to_owned() } else { ["1s"; 46].join(",") };
            let schedule = format!("retry_schedule => '{{100ms,200ms,400ms,{again}}}'");
            database.put_endpoint(id, &peer.url, topics, &schedule).await;
            peers.push(peer);
        }
        (stage, peers)
    }

    /// No new work, no new trouble, and receivers are friendly.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Does something in the database, as soon as there is one.
    pub(crate) async fn execute(&self, sql: &str) {
        while !self.try_execute(sql).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Does something in the database, if there is one.
    pub(crate) async fn try_execute(&self, sql: &str) -> bool {
        let Some(client) = connect(&self.admin_url).await else { return false };
        matches!(timeout(Duration::from_secs(20), client.batch_execute(sql)).await, Ok(Ok(())))
    }
}

/// A connection, if there is a database.
pub(crate) async fn connect(url: &str) -> Option<Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = timeout(Duration::from_secs(5), connecting).await.ok()?.ok()?;
    #[expect(clippy::disallowed_methods, reason = "ends with its client")]
    drop(tokio::spawn(connection));
    Some(client)
}
