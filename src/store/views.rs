//! Rows of the views, as people and programs read them. PostgreSQL writes them in JSON, and the command line and the API show
//! the same.

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{ChildCounts, DispatcherState, WakeMode};
use crate::model::delivery::WaitsFor;
use crate::model::endpoint::{CircuitState, EndpointHealth, EndpointState, Format, OnFailed};

/// How far an event or a delivery is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Inserted; or due, now or later.
    Pending,
    /// Event: routed. Delivery: claimed by a dispatcher.
    InProgress,
    /// Delivered.
    Complete,
    /// Given up.
    Failed,
}

impl Status {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A duration that is milliseconds in the database and a text with a unit, as `15s` or `1day 2h`, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = Duration, value_type = String, pattern = "^([0-9]+ ?(ms|s|m|h|d|days?) ?)+$", example = "15s")]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = i64::deserialize(deserializer)?;
        u64::try_from(ms).map(|ms| Self(Duration::from_millis(ms))).map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// An endpoint and its health, without its secrets and the values of its headers.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Endpoint)]
#[expect(missing_docs, reason = "the columns of postrider.endpoint and postrider.endpoint_health")]
pub struct EndpointRow {
    pub id: String,
    pub url: String,
    pub topics: Vec<String>,
    pub header_names: Vec<String>,
    pub max_in_flight: i32,
    pub rate_limit: Option<String>,
    pub timeout: Option<Span>,
    pub retry_schedule: Option<Vec<Span>>,
    pub ordered: bool,
    pub on_failed: OnFailed,
    pub format: Format,
    pub public_key: Option<String>,
    pub has_auth: bool,
    pub has_client_certificate: bool,
    pub ca_certificates: Option<String>,
    pub description: Option<String>,
    pub state: EndpointState,
    pub reason: Option<String>,
    pub pending: i64,
    pub in_progress: i64,
    pub failed_24h: i64,
    pub complete_24h: i64,
    #[schema(format = DateTime)]
    pub oldest_pending_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_success_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_failure_at: Option<String>,
    pub consecutive_failures: i64,
    pub circuit: CircuitState,
    #[schema(format = DateTime)]
    pub next_probe_at: Option<String>,
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    #[schema(format = DateTime)]
    pub disabled_at: Option<String>,
    pub health: EndpointHealth,
    pub cause: Option<String>,
    #[schema(format = DateTime)]
    pub health_since: Option<String>,
    pub failed_attempts_24h: i64,
    #[schema(format = DateTime)]
    pub held_until: Option<String>,
    /// The template whose settings it has; null: it has its own.
    pub template_id: Option<String>,
    /// Of a template: false forbids plain http.
    pub allow_http: Option<bool>,
    /// Of a template: the ranges of which an address must be in one.
    pub allow_cidr: Option<Vec<String>>,
    /// Of a template: its endpoints. Null: it is none.
    pub children: Option<ChildCounts>,
}

/// How many endpoints there are of each health.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = EndpointCounts)]
#[expect(missing_docs, reason = "the words of EndpointHealth")]
pub struct EndpointCounts {
    pub healthy: i64,
    pub failing: i64,
    pub down: i64,
    pub paused: i64,
    pub disabled: i64,
}

impl EndpointCounts {
    /// How many there are of one health.
    pub const fn of(&self, health: EndpointHealth) -> i64 {
        match health {
            EndpointHealth::Healthy => self.healthy,
            EndpointHealth::Failing => self.failing,
            EndpointHealth::Down => self.down,
            EndpointHealth::Paused => self.paused,
            EndpointHealth::Disabled => self.disabled,
        }
    }
}

/// What deleting an endpoint did.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct DeletedEndpoint {
    /// The endpoint.
    pub id: String,
    /// Deliveries that waited for it: dispatchers give them up.
    pub pending: i64,
}

/// What rotating a secret did.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
pub struct RotatedSecret {
    /// The endpoint.
    pub id: String,
    /// The new secret: shown this once.
    pub secret: String,
    /// Requests are signed with the old one too until then.
    #[schema(format = DateTime)]
    pub old_valid_until: String,
}

impl fmt::Debug for RotatedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatedSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A row of `postrider.delivery_status`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Delivery)]
#[expect(missing_docs, reason = "the columns of postrider.delivery_status")]
pub struct DeliveryRow {
    pub id: i64,
    pub event_id: i64,
    pub webhook_id: Option<String>,
    pub endpoint_id: Option<String>,
    pub topic: Option<String>,
    pub key: Option<String>,
    pub status: Status,
    pub attempts: i32,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    pub last_status_code: Option<i16>,
    pub last_error: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub completed_at: Option<String>,
    #[schema(format = DateTime)]
    pub failed_at: Option<String>,
    #[schema(format = DateTime)]
    pub cancelled_at: Option<String>,
    pub waits_for: Option<WaitsFor>,
    #[schema(format = DateTime)]
    pub next_probe_at: Option<String>,
}

/// A row of `postrider.attempt_log`, within its delivery.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Attempt)]
#[expect(missing_docs, reason = "the columns of postrider.attempt_log")]
pub struct AttemptRow {
    pub attempt: i32,
    #[schema(format = DateTime)]
    pub started_at: String,
    pub duration_ms: i32,
    pub status_code: Option<i16>,
    pub error: Option<String>,
    pub response_excerpt: Option<String>,
}

/// A delivery with its attempts, at most the first 1,000.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryRow,
    /// Its attempts, in order.
    pub attempt_log: Vec<AttemptRow>,
}

/// Why no endpoint gets an event.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NobodyReason {
    /// Its destination did not exist.
    Destination,
    /// Nobody subscribed to its topic.
    Topic,
}

impl fmt::Display for NobodyReason {
    /// In words, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destination => "the destination did not exist",
            Self::Topic => "no endpoint subscribed to the topic",
        })
    }
}

/// An event with its deliveries.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Event)]
#[expect(missing_docs, reason = "the columns of postrider.outbox")]
pub struct EventRow {
    pub id: i64,
    pub webhook_id: String,
    pub topic: String,
    pub key: Option<String>,
    pub idempotency_key: Option<String>,
    pub destination: Option<String>,
    /// The attached table that it tells of; null if none, or if it is not attached any more.
    pub table: Option<String>,
    /// The primary key of the row that it tells of, each column as text; null if it tells of none.
    pub row: Option<Vec<String>>,
    #[schema(format = DateTime)]
    pub deliver_after: Option<String>,
    pub status: Status,
    /// How many endpoints it goes to; null until it is routed.
    pub deliveries: Option<i32>,
    pub open_deliveries: Option<i32>,
    pub failed: Option<i32>,
    /// Why no endpoint gets it; null if one does, or if it is not routed or was cancelled.
    pub reached_nobody: Option<NobodyReason>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub completed_at: Option<String>,
    #[schema(format = DateTime)]
    pub cancelled_at: Option<String>,
    pub payload_bytes: i32,
    /// As inserted; null if it has more than 64 KiB.
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<Box<RawValue>>,
    /// At most the first 1,000 deliveries.
    pub delivery_list: Vec<DeliveryRow>,
}

/// One page of deliveries, the newest first.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryPage {
    /// May be empty although there is more.
    pub deliveries: Vec<DeliveryRow>,
    /// Where the next page goes on. `None` if there is nothing older.
    pub next_before: Option<i64>,
    /// Whether the endpoint of the filter exists, or did when its deliveries were made. True without one.
    #[serde(skip)]
    pub has_endpoint: bool,
    /// Whether the event of the filter exists. True without one.
    #[serde(skip)]
    pub has_event: bool,
}

/// What cancelling an event did.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Cancelled {
    /// The event.
    pub id: i64,
    /// The event's status afterwards.
    pub status: Status,
    /// Deliveries that waited and were given up.
    pub cancelled: i32,
    /// Deliveries whose attempt was under way: it may still arrive, and is not retried.
    pub under_way: i32,
}

/// What a retry did.
#[derive(Clone, Copy, Debug)]
pub struct Retried {
    /// Whether others of its key come first.
    pub is_behind: bool,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// Events that are sent again (or would be, by a dry run).
    pub replayed: i64,
    /// Where to go on; none: done.
    pub next_after: Option<i64>,
}

/// The row of `postrider.backlog`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Backlog)]
#[expect(missing_docs, reason = "the columns of postrider.backlog")]
pub struct BacklogRow {
    pub unrouted: i64,
    pub pending: i64,
    pub in_progress: i64,
    pub failed: i64,
    #[schema(format = DateTime)]
    pub oldest_unrouted_at: Option<String>,
    #[schema(format = DateTime)]
    pub oldest_due_at: Option<String>,
    /// Events of the last 24 hours that reached nobody, because no endpoint subscribes to their topic.
    pub unmatched_24h: i64,
    /// Events of the last 24 hours that reached nobody, because their destination does not exist.
    pub unknown_destination_24h: i64,
}

/// A row of `postrider.dispatcher_status`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Dispatcher)]
#[expect(missing_docs, reason = "the columns of postrider.dispatcher_status")]
pub struct DispatcherRow {
    pub id: i64,
    pub host: String,
    pub version: String,
    #[schema(format = DateTime)]
    pub started_at: String,
    #[schema(format = DateTime)]
    pub lease_until: String,
    #[schema(format = DateTime)]
    pub last_seen_at: String,
    pub state: DispatcherState,
    pub is_live: bool,
    pub is_leader: bool,
    pub wake_mode: WakeMode,
    pub wake_reason: Option<String>,
}
