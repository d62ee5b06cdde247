//! The listening connection: its own, because pooled ones drop notifications; always read, because a listener that stops
//! reading pins the server's notification queue until producers' commits fail. Its `Err` means "reconnect".

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Connection, Notification};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::backoff::Backoff;
use crate::bell::{Bell, ListenSession};
use crate::metrics::Metrics;
use crate::store::{ConnectError, DatabaseUrl, Session, Store, first_value, one_line};
use crate::trouble::Trouble;

/// For LISTEN and what else a connection begins with.
const SETUP_DEADLINE: Duration = Duration::from_secs(10);
const CANARY_DEADLINE: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Every so many heartbeats the canary is sounded again.
const HEARTBEATS_PER_CANARY: u32 = 6;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A path that loses notifications is tried again this often.
const SILENT_RETRY: Duration = Duration::from_mins(1);

/// Keeps a listening connection up.
pub struct Listener {
    /// Where to listen: a direct connection, not one through a transaction pooler.
    pub url: DatabaseUrl,
    /// Sounds the canary on another connection.
    pub store: Store,
    /// Told when notifications come and when the connection comes and goes.
    pub bell: Arc<Bell>,
    /// Counts rings and reconnects.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub trouble: Arc<Trouble>,
}

/// Why there is no listening connection. Its text is shown as the wake reason.
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
    #[error("canary could not be sounded")]
    Canary(#[source] crate::store::StoreError),
    #[error("the listening connection ended")]
    Ended,
}

impl Listener {
    /// Connects, listens, reconnects until stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while !stop.is_cancelled() {
            let Err(fault) = self.listen(&stop, &mut backoff).await else {
                break;
            };
            self.bell.disconnect(&one_line(&fault));
            let pause = if matches!(fault, ListenError::Silent) { SILENT_RETRY } else { backoff.pause() };
            self.trouble.mention("polling until notifications work again", &fault);
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
        let ears = Ears {
            bell: Arc::clone(&self.bell),
            metrics: Arc::clone(&self.metrics),
            pid: Arc::default(),
            canary: watch::Sender::new(()),
        };
        let mut pump = JoinSet::new();
        // A task of its own, so that the socket is read whatever else is waited for.
        pump.spawn(pump_messages(connection, ears.clone()));
        // Without a prepared statement: a transaction pooler may stand in front.
        let listen = "listen postrider; listen postrider_canary; select pg_backend_pid()";
        let answer = answered(client.simple_query(listen)).await?;
        let pid = first_value(&answer).and_then(|pid| pid.parse().ok());
        ears.pid.store(pid.unwrap_or_default(), Ordering::Relaxed);
        self.prove(&ears).await?;
        let session = answered(ListenSession::new(client, broken.clone())).await?;
        let session = Arc::new(session);
        self.bell.connect(Arc::clone(&session));
        self.bell.seek_leadership().await;
        info!("listening for notifications");
        backoff.reset();
        let mut beats = 0_u32;
        loop {
            tokio::select! {
                // Every branch only waits; none loses anything when dropped.
                () = stop.cancelled() => return Ok(()),
                () = broken.cancelled() => return Err(ListenError::Ended),
                _ = pump.join_next() => return Err(ListenError::Ended),
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            if !session.is_alive().await {
                return Err(ListenError::Ended);
            }
            beats += 1;
            if beats.is_multiple_of(HEARTBEATS_PER_CANARY) {
                self.prove(&ears).await?;
            }
        }
    }

    /// Proves that a notification sent on another connection arrives on this one: a transaction pooler in front
    /// accepts LISTEN and delivers nothing.
    async fn prove(&self, ears: &Ears) -> Result<(), ListenError> {
        let mut canary = ears.canary.subscribe();
        let whose = ears.pid.load(Ordering::Relaxed).to_string();
        self.store.sound_canary(&whose).await.map_err(ListenError::Canary)?;
        let heard = tokio::time::timeout(CANARY_DEADLINE, canary.changed()).await;
        heard.map_err(|_elapsed| ListenError::Silent)?.map_err(|_closed| ListenError::Ended)
    }
}

/// What a server that may be frozen answers in time.
async fn answered<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, ListenError> {
    let done = tokio::time::timeout(SETUP_DEADLINE, work).await;
    done.map_err(|_elapsed| ListenError::Mute)?.map_err(ListenError::Refused)
}

/// What hears the notifications of one connection.
#[derive(Clone)]
struct Ears {
    bell: Arc<Bell>,
    metrics: Arc<Metrics>,
    /// The connection's backend; 0 until it is known.
    pid: Arc<AtomicI32>,
    /// Changes whenever its own canary sings.
    canary: watch::Sender<()>,
}

impl Ears {
    fn hear(&self, notification: &Notification) {
        let pid = self.pid.load(Ordering::Relaxed);
        // A payload is a hint at most: anybody may send one.
        match notification.channel() {
            "postrider_canary" if notification.payload() == pid.to_string() => self.canary.send_replace(()),
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
async fn pump_messages<S, T>(mut connection: Connection<S, T>, ears: Ears)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(notification) = message {
            ears.hear(&notification);
        }
    }
}
