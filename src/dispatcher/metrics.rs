//! What this process counts of itself, for Prometheus. The stages call one plain method where something happens; each is a
//! few atomic additions, without a lock or an allocation. Labels come from closed sets: never a URL, a topic or a payload.
//! What the database knows better is read at each exporter (see `exporter.rs`).

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::model::outcome::{AttemptResult, NoAnswer, Outcome, Refusal};

/// From a single event on an idle machine to what was retried for days.
const LATENCY_SECONDS: [f64; 20] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 28_800.0, 86_400.0,
];
/// Up to the longest request timeout that there is.
const DURATION_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 60.0, 300.0];
/// No statement takes more than 500.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// The counters and histograms of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    attempts: AttemptCounts,
    attempt_duration: Histogram,
    delivery_latency: Histogram,
    routed: Histogram,
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
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] when two metrics have the same name: shows in every test.
    pub fn new() -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        let claimed = make.batch_sizes()?;
        Ok(Self {
            attempts: make.attempts()?,
            attempt_duration: make.histogram(
                "postrider_attempt_duration_seconds",
                "Length of an HTTP attempt, until the answer was read or given up.",
                &DURATION_SECONDS,
            )?,
            delivery_latency: make.histogram(
                "postrider_delivery_latency_seconds",
                "Age of an event when an endpoint took it, counted by the database's clock from created_at, which is the start \
                 of the inserting transaction and so a little before its commit, or from deliver_after if that is later.",
                &LATENCY_SECONDS,
            )?,
            routed: claimed.with_label_values(&["route"]),
            dispatched: claimed.with_label_values(&["dispatch"]),
            settled: make.histogram(
                "postrider_settled_batch_size",
                "Outcomes written by one statement.",
                &BATCH_SIZES,
            )?,
            lost_claims: make.counter(
                "postrider_lost_claims_total",
                "Outcomes that were not written because their claim was gone.",
            )?,
            put_off: make.counter(
                "postrider_outcomes_put_off_total",
                "Outcomes that were not written with their batch: somebody had locked their row, or the database refused them.",
            )?,
            rings_sent: make.counter(
                "postrider_rings_sent_total",
                "Times this dispatcher rang its siblings: awake and leading, or leaving work that they may have slots for.",
            )?,
            rings_heard: make.counter(
                "postrider_rings_heard_total",
                "Notifications heard, of producers and of a leading sibling.",
            )?,
            naps: make.counter(
                "postrider_naps_total",
                "Times the bell could not be armed because a producer that did not ring was in flight.",
            )?,
            listen_reconnects: make.counter(
                "postrider_listen_reconnects_total",
                "Times the listening connection was lost, or could not be had, and was sought again.",
            )?,
            lease_lost: make.counter(
                "postrider_lease_lost_total",
                "Times the lease was not renewed in time and this dispatcher registered anew.",
            )?,
            circuits: make.circuits()?,
            registry: make.0,
        })
    }

    /// What to export.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// An attempt ended, and its event was this old by then.
    pub fn attempt_ended(&self, outcome: &Outcome, event_age: Duration) {
        self.attempt_duration.observe(outcome.duration.as_secs_f64());
        self.attempts.of(&outcome.result).inc();
        if outcome.result == AttemptResult::Delivered {
            self.delivery_latency.observe(event_age.as_secs_f64());
        }
    }

    /// One statement routed so many events.
    pub fn routed(&self, events: usize) {
        self.routed.observe(size(events));
    }

    /// One statement claimed so many deliveries that had waited.
    pub fn dispatched(&self, deliveries: usize) {
        self.dispatched.observe(size(deliveries));
    }

    /// One statement wrote so many outcomes, and skipped so many whose claims were lost.
    pub fn settled(&self, outcomes: usize, lost: usize) {
        self.settled.observe(size(outcomes));
        self.lost_claims.inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
    }

    /// An outcome is written later than those that it came with.
    pub fn put_off(&self) {
        self.put_off.inc();
    }

    /// The siblings were rung.
    pub fn ring_sent(&self) {
        self.rings_sent.inc();
    }

    /// Somebody rang.
    pub fn ring_heard(&self) {
        self.rings_heard.inc();
    }

    /// A nap instead of a sleep.
    pub fn napped(&self) {
        self.naps.inc();
    }

    /// The listening connection is sought again.
    pub fn listen_reconnected(&self) {
        self.listen_reconnects.inc();
    }

    /// An endpoint failed too often, or did not answer a probe.
    pub fn circuit_opened(&self) {
        self.circuits.open.inc();
    }

    /// So many endpoints are probed.
    pub fn circuits_half_opened(&self, endpoints: usize) {
        self.circuits.half_open.inc_by(u64::try_from(endpoints).unwrap_or(u64::MAX));
    }

    /// An endpoint answers again.
    pub fn circuit_closed(&self) {
        self.circuits.closed.inc();
    }

    /// The lease lapsed.
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
                Refusal::Rejected | Refusal::Gone | Refusal::Overloaded => &self.client_error,
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
            "What one statement took, unless it was nothing: events (route), or deliveries that had waited (dispatch).",
        );
        let sizes = HistogramVec::new(opts.buckets(BATCH_SIZES.to_vec()), &["stage"])?;
        self.0.register(Box::new(sizes.clone()))?;
        Ok(sizes)
    }

    fn circuits(&self) -> prometheus::Result<Circuits> {
        let opts = Opts::new(
            "postrider_circuit_transitions_total",
            "Times this dispatcher opened, half opened (to probe) or closed the circuit of an endpoint.",
        );
        let transitions = IntCounterVec::new(opts, &["to"])?;
        self.0.register(Box::new(transitions.clone()))?;
        let to = |state| transitions.with_label_values(&[state]);
        Ok(Circuits { open: to("open"), half_open: to("half_open"), closed: to("closed") })
    }

    fn attempts(&self) -> prometheus::Result<AttemptCounts> {
        let opts = Opts::new("postrider_attempts_total", "HTTP attempts that ended, by what they came to.");
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
        })
    }
}

fn size(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
