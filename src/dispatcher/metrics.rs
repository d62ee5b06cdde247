//! Counters and histograms of this process, for Prometheus. A stage calls one plain method when something happens; each call
//! is a few atomic additions, without a lock or an allocation. Labels come from closed sets: never a URL, a topic or a
//! payload. Numbers that the database knows better are read at each scrape (see `telemetry/exporter.rs`).

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::model::endpoint::CircuitState;
use crate::model::outcome::{AttemptResult, NoAnswer, Outcome, Refusal};
use crate::store::ReachedNobody;

/// From one event on an idle machine to an event that was retried for days.
const LATENCY_SECONDS: [f64; 20] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 28_800.0, 86_400.0,
];
/// Up to the longest request timeout that an endpoint may have.
const DURATION_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 60.0, 300.0];
/// A statement takes at most 500 rows.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// The counters and histograms of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    attempts: AttemptCounts,
    attempt_duration: Histogram,
    delivery_latency: Histogram,
    routed: Histogram,
    unknown_destinations: IntCounter,
    unmatched: IntCounter,
    dispatched: Histogram,
    settled: Histogram,
    lost_claims: IntCounter,
    put_off: IntCounter,
    rings_sent: IntCounter,
    rings_heard: IntCounter,
    naps: IntCounter,
    listen_reconnects: IntCounter,
    lease_lost: IntCounter,
    circuits: Circuits,
    write_back: WriteBackCounts,
}

/// What was written into attached tables, and what was not.
#[derive(Debug)]
struct WriteBackCounts {
    rows: IntCounter,
    failures: IntCounter,
}

/// `postrider_circuit_transitions_total`, one child per state.
#[derive(Debug)]
struct Circuits {
    open: IntCounter,
    half_open: IntCounter,
    closed: IntCounter,
}

/// `postrider_attempts_total`, one child per outcome.
#[derive(Debug)]
struct AttemptCounts {
    success: IntCounter,
    redirect: IntCounter,
    client_error: IntCounter,
    server_error: IntCounter,
    timeout: IntCounter,
    no_answer: IntCounter,
    refused_address: IntCounter,
    paced: IntCounter,
}

impl Metrics {
    /// Starts all counters at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics have the same name; every test would show that.
    pub fn new() -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        let claimed = make.batch_sizes()?;
        let nobody = make.reached_nobody()?;
        Ok(Self {
            attempts: make.attempts()?,
            attempt_duration: make.histogram(
                "postrider_attempt_duration_seconds",
                "Duration of one attempt, until the response was read or the attempt was given up.",
                &DURATION_SECONDS,
            )?,
            delivery_latency: make.histogram(
                "postrider_delivery_latency_seconds",
                "Age of an event when an endpoint took it, counted by the database's clock from created_at, which is the start \
                 of the inserting transaction and so a little before its commit, or from deliver_after if that is later.",
                &LATENCY_SECONDS,
            )?,
            routed: claimed.with_label_values(&["route"]),
            unknown_destinations: nobody.with_label_values(&["destination"]),
            unmatched: nobody.with_label_values(&["topic"]),
            dispatched: claimed.with_label_values(&["claim"]),
            settled: make.histogram(
                "postrider_settled_batch_size",
                "Outcomes written by one statement.",
                &BATCH_SIZES,
            )?,
            lost_claims: make.counter(
                "postrider_lost_claims_total",
                "Outcomes that were not written because their claim was lost.",
            )?,
            put_off: make.counter(
                "postrider_outcomes_deferred_total",
                "Outcomes that were not written with their batch, because their row was locked or the database refused them. They are written later.",
            )?,
            rings_sent: make.counter(
                "postrider_notifications_sent_total",
                "Notifications that this dispatcher sent to the others: it led and woke up, or it left work that they may have slots for.",
            )?,
            rings_heard: make.counter(
                "postrider_notifications_received_total",
                "Notifications received, from producers and from a leading dispatcher.",
            )?,
            naps: make.counter(
                "postrider_unarmed_sleeps_total",
                "Short sleeps with the bell not armed, because a transaction that had inserted events without a notification was open.",
            )?,
            listen_reconnects: make.counter(
                "postrider_listen_reconnects_total",
                "Times the LISTEN connection was lost or could not be opened, and was tried again.",
            )?,
            lease_lost: make.counter(
                "postrider_lease_lost_total",
                "Times the lease was not renewed in time, and this dispatcher registered again.",
            )?,
            circuits: make.circuits()?,
            write_back: make.write_back()?,
            registry: make.0,
        })
    }

    /// The metrics to export.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts an attempt that ended; its event was `event_age` old then.
    pub fn attempt_ended(&self, outcome: &Outcome, event_age: Duration) {
        self.attempt_duration.observe(outcome.duration.as_secs_f64());
        self.attempts.of(&outcome.result).inc();
        if outcome.result == AttemptResult::Delivered {
            self.delivery_latency.observe(event_age.as_secs_f64());
        }
    }

    /// Counts one statement that routed `events`, some of which no endpoint gets.
    pub fn routed(&self, events: usize, nobody: ReachedNobody) {
        self.routed.observe(size(events));
        self.unknown_destinations.inc_by(u64::try_from(nobody.destination).unwrap_or_default());
        self.unmatched.inc_by(u64::try_from(nobody.topic).unwrap_or_default());
    }

    /// Counts one statement that claimed waiting `deliveries`.
    pub fn dispatched(&self, deliveries: usize) {
        self.dispatched.observe(size(deliveries));
    }

    /// Counts one statement that wrote `outcomes`, and skipped `lost` ones, whose claims were lost.
    pub fn settled(&self, outcomes: usize, lost: usize) {
        self.settled.observe(size(outcomes));
        self.lost_claims.inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
    }

    /// Counts an outcome that is written later than the rest of its batch.
    pub fn put_off(&self) {
        self.put_off.inc();
    }

    /// Counts a notification to the other dispatchers.
    pub fn ring_sent(&self) {
        self.rings_sent.inc();
    }

    /// Counts a notification that was received.
    pub fn ring_heard(&self) {
        self.rings_heard.inc();
    }

    /// Counts a short sleep with the bell not armed.
    pub fn napped(&self) {
        self.naps.inc();
    }

    /// Counts a new try to open the LISTEN connection.
    pub fn listen_reconnected(&self) {
        self.listen_reconnects.inc();
    }

    /// Counts a circuit that opened: the endpoint failed too often, or failed a probe.
    pub fn circuit_opened(&self) {
        self.circuits.open.inc();
    }

    /// Counts `endpoints` whose circuit half opened, for a probe.
    pub fn circuits_half_opened(&self, endpoints: usize) {
        self.circuits.half_open.inc_by(u64::try_from(endpoints).unwrap_or(u64::MAX));
    }

    /// Counts a circuit that closed: the endpoint answers again.
    pub fn circuit_closed(&self) {
        self.circuits.closed.inc();
    }

    /// Counts `rows` of attached tables that got another status.
    pub fn written_back(&self, rows: usize) {
        self.write_back.rows.inc_by(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    /// Counts a row, or a whole attached table, that could not be written.
    pub fn write_back_failed(&self) {
        self.write_back.failures.inc();
    }

    /// Counts a lease that ended before it was renewed.
    pub fn lease_lost(&self) {
        self.lease_lost.inc();
    }
}

impl AttemptCounts {
    fn of(&self, result: &AttemptResult) -> &IntCounter {
        match result {
            AttemptResult::Delivered => &self.success,
            AttemptResult::Refused { why, .. } => match why {
                Refusal::Moved => &self.redirect,
                Refusal::Paced => &self.paced,
                Refusal::Rejected | Refusal::Denied | Refusal::Gone | Refusal::Overloaded => {
                    &self.client_error
                }
                Refusal::Failing | Refusal::Unclear => &self.server_error,
            },
            AttemptResult::NoAnswer { why, .. } => match why {
                NoAnswer::Timeout => &self.timeout,
                NoAnswer::Broken => &self.no_answer,
                NoAnswer::RefusedAddress => &self.refused_address,
            },
        }
    }
}

/// Makes metrics and registers them.
struct Maker(Registry);

impl Maker {
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
        self.0.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }

    fn batch_sizes(&self) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(
            "postrider_claimed_batch_size",
            "Rows that one statement claimed, if any: new events (route), or waiting deliveries (claim).",
        );
        let sizes = HistogramVec::new(opts.buckets(BATCH_SIZES.to_vec()), &["stage"])?;
        self.0.register(Box::new(sizes.clone()))?;
        Ok(sizes)
    }

    fn reached_nobody(&self) -> prometheus::Result<IntCounterVec> {
        let opts = Opts::new(
            "postrider_events_reached_nobody_total",
            "Events that this dispatcher routed and that no endpoint gets: their destination does not exist, or nobody subscribes to their topic.",
        );
        let events = IntCounterVec::new(opts, &["why"])?;
        self.0.register(Box::new(events.clone()))?;
        Ok(events)
    }

    fn write_back(&self) -> prometheus::Result<WriteBackCounts> {
        Ok(WriteBackCounts {
            rows: self.counter(
                "postrider_rows_written_back_total",
                "Rows of attached tables that got the status of their event, or were deleted because it is complete.",
            )?,
            failures: self.counter(
                "postrider_write_back_failures_total",
                "Tries to write the status of an event into an attached table that the database refused. They are tried again.",
            )?,
        })
    }

    fn circuits(&self) -> prometheus::Result<Circuits> {
        let opts = Opts::new(
            "postrider_circuit_transitions_total",
            "Circuits of endpoints that this dispatcher opened, half opened (to send a probe) or closed.",
        );
        let transitions = IntCounterVec::new(opts, &["to"])?;
        self.0.register(Box::new(transitions.clone()))?;
        let to = |state: CircuitState| transitions.with_label_values(&[state.to_string()]);
        Ok(Circuits {
            open: to(CircuitState::Open),
            half_open: to(CircuitState::HalfOpen),
            closed: to(CircuitState::Closed),
        })
    }

    fn attempts(&self) -> prometheus::Result<AttemptCounts> {
        let opts = Opts::new("postrider_attempts_total", "Attempts that ended, by outcome.");
        let attempts = IntCounterVec::new(opts, &["outcome"])?;
        self.0.register(Box::new(attempts.clone()))?;
        let of = |outcome| attempts.with_label_values(&[outcome]);
        Ok(AttemptCounts {
            success: of("success"),
            redirect: of("redirect"),
            client_error: of("client_error"),
            server_error: of("server_error"),
            timeout: of("timeout"),
            no_answer: of("no_answer"),
            refused_address: of("refused_address"),
            paced: of("paced"),
        })
    }
}

fn size(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
