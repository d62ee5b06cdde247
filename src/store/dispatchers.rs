//! Statements about dispatchers: register, renew the lease, leave; and the probe of the notification path.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::statements::{REGISTER_DISPATCHER, REMOVE_DISPATCHERS, RENEW_LEASE, SEND_NOTIFY_PROBE};
use super::{Store, StoreError, millis};
use crate::model::delivery::DispatcherId;

/// How a dispatcher learns of new events.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WakeMode {
    /// By LISTEN/NOTIFY, with the poll as a fallback.
    Notify,
    /// By the poll alone.
    Poll,
    /// By the poll alone, and an idle dispatcher leaves the database alone in between.
    Sleep,
}

impl WakeMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Notify, Self::Poll, Self::Sleep];

    /// As it stands in `postrider.dispatcher_status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Poll => "poll",
            Self::Sleep => "sleep",
        }
    }
}

impl fmt::Display for WakeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a dispatcher is still there.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispatcherState {
    /// It renews its lease in time.
    Live,
    /// A renewal is missing: it died, is cut off, or stands still.
    Silent,
    /// Its lease has ended: others take its deliveries.
    Gone,
}

impl fmt::Display for DispatcherState {
    /// As it stands in `postrider.dispatcher_status`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The wake mode and, while it polls, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeState {
    /// The mode.
    pub mode: WakeMode,
    /// Why it polls.
    pub reason: Option<String>,
}

impl WakeState {
    /// The reason of a dispatcher that was told to poll.
    pub const ASKED_FOR: &str = "--wake poll";

    /// That of a dispatcher that was told this mode, and has no listening connection yet.
    pub fn at_start(mode: WakeMode) -> Self {
        match mode {
            WakeMode::Notify => Self { mode: WakeMode::Poll, reason: Some("starting".to_owned()) },
            WakeMode::Poll => Self { mode, reason: Some(Self::ASKED_FOR.to_owned()) },
            WakeMode::Sleep => Self { mode, reason: None },
        }
    }
}

/// A dispatcher as it registers itself.
#[derive(Clone, Debug)]
pub struct DispatcherInfo {
    /// Host name and process id.
    pub host: String,
    /// How long its lease lasts without renewal.
    pub lease: Duration,
    /// The one endpoint that it serves. `None`: all of them.
    pub only_endpoint: Option<String>,
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// Dispatchers with a valid lease that serve all endpoints, and this one.
    pub live_dispatchers: u32,
    /// Those of them that registered before this one.
    pub earlier_dispatchers: u32,
    /// The database's clock, in milliseconds of the Unix epoch.
    pub now_ms: i64,
}

impl Store {
    /// `sql/statements/dispatchers/register_dispatcher.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register_dispatcher(
        &self,
        who: &DispatcherInfo,
        wake: &WakeState,
    ) -> Result<DispatcherId, StoreError> {
        let row = self
            .query_one(
                &REGISTER_DISPATCHER,
                &[
                    &who.host,
                    &env!("CARGO_PKG_VERSION"),
                    &millis(who.lease),
                    &wake.mode.as_str(),
                    &wake.reason,
                    &who.only_endpoint,
                ],
            )
            .await?;
        row.get("dispatcher_id").map(DispatcherId::new)
    }

    /// `sql/statements/dispatchers/renew_lease.sql`. `None` if the lease was lost.
    ///
    /// # Errors
    /// [`StoreError`]: the old lease goes on until its end.
    pub async fn renew_lease(
        &self,
        id: DispatcherId,
        lease: Duration,
        is_leader: bool,
        wake: &WakeState,
    ) -> Result<Option<Renewal>, StoreError> {
        let row = self
            .query_opt(
                &RENEW_LEASE,
                &[&id.get(), &millis(lease), &is_leader, &wake.mode.as_str(), &wake.reason],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let count = |name| -> Result<u32, StoreError> {
            let count: i64 = row.get(name)?;
            Ok(u32::try_from(count).unwrap_or(u32::MAX))
        };
        Ok(Some(Renewal {
            live_dispatchers: count("live_dispatchers")?.max(1),
            earlier_dispatchers: count("earlier_dispatchers")?,
            now_ms: row.get("now_ms")?,
        }))
    }

    /// `sql/statements/dispatchers/remove_dispatchers.sql`: removes one that stops. `None` removes the dead ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_dispatchers(&self, id: Option<DispatcherId>) -> Result<(), StoreError> {
        self.execute(&REMOVE_DISPATCHERS, &[&id.map(DispatcherId::get)]).await
    }

    /// `sql/statements/dispatchers/send_notify_probe.sql`: how full the notification queue is, 0 to 1.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn send_notify_probe(&self, whose: &str) -> Result<f64, StoreError> {
        let row = self.query_one(&SEND_NOTIFY_PROBE, &[&whose]).await?;
        row.get("queue_usage")
    }
}
