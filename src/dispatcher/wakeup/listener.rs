//! The listening connection. It is not pooled, because pooled connections drop notifications. It is always read: a listener that
//! stops reading pins the server's notification queue until producers' commits fail. An `Err` here means "reconnect".

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, Connection, Notification};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::wakeup::bell::{Bell, ListenSession};
use crate::rules::backoff::Backoff;
use crate::store::{ConnectError, DatabaseUrl, Session, Store, first_value, one_line};

/// Deadline for LISTEN and the other statements at the beginning of a connection.
const SETUP_DEADLINE: Duration = Duration::from_secs(10);
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause between two proofs that notifications come back.
const PROBE_PAUSE: Duration = Duration::from_secs(30);
/// Often enough that the server may end a silent session soon ([`Session::LISTENER_GUARD`]).
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The notification queue is warned about when this part of it is full.
pub(crate) const QUEUE_WARN: f64 = 0.1;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A path that loses notifications is tried again this often.
const SILENT_RETRY: Duration = Duration::from_mins(1);

/// Keeps a listening connection up.
pub(crate) struct Listener {
    /// Where to listen: a direct connection, not one through a transaction pooler.
    pub url: DatabaseUrl,
    /// Sends the probe on another connection.
    pub store: Store,
    /// Learns of notifications, and when the connection comes and goes.
    pub bell: Arc<Bell>,
    /// Counts rings and reconnects.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// Whether the notification queue was filling up when it was last seen.
    pub queue: QueueWatch,
}

/// Notices when the server's notification queue fills up.
#[derive(Debug, Default)]
pub(crate) struct QueueWatch {
    is_filling: AtomicBool,
}

/// Why there is no listening connection. The text is shown as the wake reason.
#[derive(Debug, Error)]
enum ListenError {
    #[error("cannot connect to listen")]
    Connect(#[source] ConnectError),
    #[error("LISTEN was refused")]
    Refused(#[source] tokio_postgres::Error),
    #[error(
        "notifications do not come back (a transaction pooler in front? then give --listen-database-url)"
    )]
    Silent,
    #[error("no answer on the listening connection within {SETUP_DEADLINE:?}")]
    Mute,
    #[error("the probe of notifications could not be sent")]
    Probe(#[source] crate::store::StoreError),
    #[error("the listening connection ended")]
    Ended,
    #[error("the listening connection does not answer")]
    Unanswered,
}

impl Listener {
    /// Connects, listens, reconnects until stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while !stop.is_cancelled() {
            let Err(fault) = self.listen(&stop, &mut backoff).await else {
                break;
            };
            self.bell.disconnect(&one_line(&fault));
            let pause = if matches!(fault, ListenError::Silent) { SILENT_RETRY } else { backoff.pause() };
            self.database_health.log_failure("polling until notifications work again", &fault);
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            self.metrics.listen_reconnected();
        }
        self.bell.disconnect("stopping");
    }

    /// One connection's life. Returns `Ok` when stopped.
    async fn listen(&self, stop: &CancellationToken, backoff: &mut Backoff) -> Result<(), ListenError> {
        let (client, connection) = self.url.connect(Session::Listener).await.map_err(ListenError::Connect)?;
        let broken = CancellationToken::new();
        let handler = NotificationHandler {
            bell: Arc::clone(&self.bell),
            metrics: Arc::clone(&self.metrics),
            pid: Arc::default(),
            probe: watch::Sender::new(()),
        };
        let mut pump = JoinSet::new();
        // A task of its own, so that the socket is read whatever else is waited for.
        pump.spawn(pump_messages(connection, handler.clone()));
        let session = Arc::new(self.set_up(client, &handler, broken.clone()).await?);
        self.bell.connect(Arc::clone(&session));
        self.bell.seek_leadership().await;
        info!("listening for notifications");
        backoff.reset();
        tokio::select! {
            // Every branch only waits; none loses anything when dropped.
            () = stop.cancelled() => Ok(()),
            () = broken.cancelled() => Err(ListenError::Unanswered),
            _ = pump.join_next() => Err(ListenError::Ended),
            fault = self.keep_beating(&session) => Err(fault),
            fault = self.keep_proving(&handler) => Err(fault),
        }
    }

    /// Listens, and proves it.
    async fn set_up(
        &self,
        client: Client,
        handler: &NotificationHandler,
        broken: CancellationToken,
    ) -> Result<ListenSession, ListenError> {
        // Without a prepared statement: a transaction pooler may stand in front.
        let listen = "listen postrider; listen postrider_probe; select pg_catalog.pg_backend_pid()";
        let answer = answered(client.simple_query(listen)).await?;
        let pid = first_value(&answer).and_then(|pid| pid.parse().ok());
        handler.pid.store(pid.unwrap_or_default(), Ordering::Relaxed);
        self.prove(handler).await?;
        answered(async {
            client.batch_execute(Session::LISTENER_PATH).await?;
            client.batch_execute(Session::LISTENER_GUARD).await?;
            ListenSession::new(client, broken).await
        })
        .await
    }

    /// Shows the server that this client lives, and checks that the server does. A dispatcher that does not lead also asks for
    /// the leadership: it is free a moment after the leader's connection ended, for whatever reason.
    async fn keep_beating(&self, session: &ListenSession) -> ListenError {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            self.bell.seek_leadership().await;
            if !session.is_alive().await {
                return ListenError::Unanswered;
            }
        }
    }

    async fn keep_proving(&self, handler: &NotificationHandler) -> ListenError {
        loop {
            tokio::time::sleep(PROBE_PAUSE).await;
            if let Err(fault) = self.prove(handler).await {
                return fault;
            }
        }
    }

    /// Proves that a notification sent on another connection arrives on this one: a transaction pooler in front
    /// accepts LISTEN and delivers nothing.
    async fn prove(&self, handler: &NotificationHandler) -> Result<(), ListenError> {
        let mut probe = handler.probe.subscribe();
        let whose = handler.pid.load(Ordering::Relaxed).to_string();
        let queue_usage = self.store.send_notify_probe(&whose).await.map_err(ListenError::Probe)?;
        if self.queue.begins_to_fill(queue_usage) {
            warn!(
                "the server's notification queue is {:.0} % full; when it is full, commits that notify fail: a session that \
                 listens and does not read, or sits in a transaction, holds it (see pg_stat_activity)",
                queue_usage * 100.0
            );
        }
        let heard = tokio::time::timeout(PROBE_DEADLINE, probe.changed()).await;
        heard.map_err(|_elapsed| ListenError::Silent)?.map_err(|_closed| ListenError::Ended)
    }
}

impl QueueWatch {
    /// Whether the queue is fuller than it should be, for the first time since it was not.
    fn begins_to_fill(&self, usage: f64) -> bool {
        let is_filling = usage >= QUEUE_WARN;
        let was_filling = self.is_filling.swap(is_filling, Ordering::Relaxed);
        is_filling && !was_filling
    }
}

/// The answer of the listening connection, if it comes in time.
async fn answered<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ListenError> {
    let answer = tokio::time::timeout(SETUP_DEADLINE, asked).await;
    answer.map_err(|_elapsed| ListenError::Mute)?.map_err(ListenError::Refused)
}

/// Handles the notifications of one connection.
#[derive(Clone)]
struct NotificationHandler {
    bell: Arc<Bell>,
    metrics: Arc<Metrics>,
    /// The connection's backend; 0 until it is known.
    pid: Arc<AtomicI32>,
    /// Changes whenever its own probe comes back.
    probe: watch::Sender<()>,
}

impl NotificationHandler {
    fn handle(&self, notification: &Notification) {
        let pid = self.pid.load(Ordering::Relaxed);
        // A payload is a hint at most: anybody may send one.
        match notification.channel() {
            "postrider_probe" if notification.payload() == pid.to_string() => self.probe.send_replace(()),
            // Another dispatcher has come, goes on, or has left.
            "postrider_probe" => self.bell.count_again(),
            // Rung by ourselves, for the siblings.
            "postrider" if notification.process_id() != pid => {
                self.metrics.ring_heard();
                self.bell.look_now();
            }
            _ => {}
        }
    }
}

/// Reads the socket until it ends.
async fn pump_messages<S, T>(mut connection: Connection<S, T>, handler: NotificationHandler)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(notification) = message {
            handler.handle(&notification);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_fills_up_is_noticed_once_each_time() {
        let queue = QueueWatch::default();

        let noticed = [0.0, 0.09, 0.1, 0.5, 0.1, 0.05, 0.2].map(|usage| queue.begins_to_fill(usage));

        assert_eq!(noticed, [false, false, true, false, false, false, true]);
    }
}
