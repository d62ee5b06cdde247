//! A connection that hears what dispatchers hear.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::{Database, eventually};

/// Counts the rings of one database.
pub(crate) struct Listener {
    client: Client,
    heard: Arc<Mutex<Heard>>,
    asked: AtomicUsize,
    _pump: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    rings: usize,
    marker: String,
    others: Vec<(String, String)>,
}

impl Listener {
    /// Listens from now on.
    pub(crate) async fn listen(database: &Database) -> Self {
        Self::listen_at(&database.url).await
    }

    /// Listens from now on, by way of this URL.
    pub(crate) async fn listen_at(url: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let written = Arc::clone(&heard);
        let mut pump = JoinSet::new();
        pump.spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let mut heard = written.lock().unwrap();
                    match notification.channel() {
                        "postrider" => heard.rings += 1,
                        "listener_marker" => notification.payload().clone_into(&mut heard.marker),
                        channel => {
                            let other = (channel.to_owned(), notification.payload().to_owned());
                            heard.others.push(other);
                        }
                    }
                }
            }
        });
        client.batch_execute("listen postrider; listen listener_marker").await.unwrap();
        Self { client, heard, asked: AtomicUsize::new(0), _pump: pump }
    }

    /// How many rings have arrived.
    pub(crate) fn rings_so_far(&self) -> usize {
        self.heard.lock().unwrap().rings
    }

    /// Waits for an answer of the server: what it sent before has arrived, or never will.
    pub(crate) async fn check(&self) {
        self.client.check_connection().await.unwrap();
    }

    /// How many rings were committed until now.
    pub(crate) async fn rings(&self) -> usize {
        self.catch_up().await;
        self.heard.lock().unwrap().rings
    }

    /// Listens to a channel of the application, too.
    pub(crate) async fn listen_to(&self, channel: &str) {
        self.client.batch_execute(&format!("listen {channel}")).await.unwrap();
    }

    /// What was committed on such a channel until now.
    pub(crate) async fn heard(&self, channel: &str) -> Vec<String> {
        self.catch_up().await;
        let heard = self.heard.lock().unwrap();
        heard.others.iter().filter(|(name, _)| name == channel).map(|(_, payload)| payload.clone()).collect()
    }

    async fn catch_up(&self) {
        // Notifications arrive in the order of commits: all that come before the marker are heard with it.
        let marker = self.asked.fetch_add(1, Ordering::SeqCst).to_string();
        self.client.execute("select pg_notify('listener_marker', $1)", &[&marker]).await.unwrap();
        eventually("the marker is heard", || async { self.heard.lock().unwrap().marker == marker }).await;
    }
}
