//! Checks that notifications arrive, and that the server's queue for them has room.

use std::future::poll_fn;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::AsyncMessage;

use super::Finding;
use crate::config::RunConfig;
use crate::dispatcher::wakeup::listener::QUEUE_WARN;
use crate::store::{DatabaseUrl, ServerRow, Session, Store, WakeMode, one_line};

/// The probe of dispatchers has as long.
const DEADLINE: Duration = Duration::from_secs(5);
const QUEUE_FAIL: f64 = 0.5;

/// LISTEN on one connection, NOTIFY on another, as `run` does it.
pub(super) async fn path(config: &RunConfig, store: &Store) -> Finding {
    const NAME: &str = "notifications";
    let wake = config.dispatcher.wake;
    if wake != WakeMode::Notify {
        return Finding::ok(NAME, format!("not used: wake = {wake}"));
    }
    match tokio::time::timeout(DEADLINE, hear(&config.dispatcher.listen_database, store)).await {
        Ok(Ok(())) => Finding::ok(NAME, "what is sent on one connection arrives on another"),
        Ok(Err(fault)) => Finding::fail(
            NAME,
            format!("cannot listen: {}", one_line(fault.as_ref())),
            "see --listen-database-url; until then dispatchers poll",
        ),
        Err(_elapsed) => Finding::fail(
            NAME,
            format!(
                "LISTEN is accepted and nothing arrives within {DEADLINE:?}: the usual cause is a transaction pooler in \
                 front (PgBouncer with pool_mode = transaction)"
            ),
            "give --listen-database-url a direct connection, or run with --wake poll",
        ),
    }
}

async fn hear(url: &DatabaseUrl, store: &Store) -> anyhow::Result<()> {
    let (client, mut connection) = url.connect(Session::Listener).await?;
    let (heard, mut probes) = tokio::sync::mpsc::unbounded_channel();
    let mut pump = JoinSet::new();
    pump.spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                // Nobody listens any more: the check is over.
                drop(heard.send(notification.payload().to_owned()));
            }
        }
    });
    client.batch_execute("listen postrider_probe").await?;
    // No dispatcher takes it for its own, which is a bare number.
    let ours = format!("doctor {:016x}", fastrand::u64(..));
    store.send_notify_probe(&ours).await?;
    while let Some(probe) = probes.recv().await {
        if probe == ours {
            return Ok(());
        }
    }
    anyhow::bail!("the listening connection ended")
}

/// When it is full, commits that notify fail.
pub(super) fn queue(row: &ServerRow) -> Finding {
    const NAME: &str = "queue";
    let message =
        format!("the server's notification queue is {:.0} % full", row.notification_queue_usage * 100.0);
    let remedy =
        "a session that listens and sits in a transaction holds it: find it in pg_stat_activity and end it";
    if row.notification_queue_usage >= QUEUE_FAIL {
        Finding::fail(NAME, format!("{message}; when it is full, commits fail"), remedy)
    } else if row.notification_queue_usage >= QUEUE_WARN {
        Finding::warn(NAME, message, remedy)
    } else {
        Finding::ok(NAME, message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, server};
    use super::*;

    #[test]
    fn a_queue_is_judged_by_how_full_it_is() {
        for (usage, verdict) in [
            (0.0, Severity::Ok),
            (0.099, Severity::Ok),
            (0.1, Severity::Warn),
            (0.499, Severity::Warn),
            (0.5, Severity::Fail),
            (1.0, Severity::Fail),
        ] {
            let row = ServerRow { notification_queue_usage: usage, ..server::server() };

            assert_eq!(queue(&row).result, verdict, "{usage}");
        }
    }
}
