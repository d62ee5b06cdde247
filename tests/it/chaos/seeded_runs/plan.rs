//! What a seed means: the events, the transactions of each producer, the behaviour of receivers and the schedule of
//! faults. Nothing here depends on time, so that the same seed plans the same run.

use std::time::Duration;

use fastrand::Rng;

use super::kind::Kind;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything else follows from it.
    pub(crate) seed: u64,
    /// How long there is work and trouble.
    pub(crate) lasts: Duration,
    /// How many dispatchers share the work.
    pub(crate) dispatchers: usize,
    /// What goes wrong.
    pub(crate) kinds: &'static [Kind],
    /// How long nothing goes wrong between two faults, on average.
    pub(crate) pause: Duration,
    /// Whether receivers misbehave.
    pub(crate) is_hostile: bool,
    /// Settings of the dispatchers.
    pub(crate) flags: &'static [&'static str],
    /// Their lease.
    pub(crate) lease: Duration,
    /// While nothing but strangers is in the way, 99 of 100 deliveries that they do not touch arrive within this.
    pub(crate) lateness_max: Duration,
}

/// How many sessions insert events side by side.
pub(crate) const PRODUCERS: u64 = 4;
/// Before strangers have the database to themselves, and after: who was disturbed finds back.
const QUIET: Duration = Duration::from_secs(8);
/// In every payload, and in no log.
pub(crate) const CANARY: &str = "kanarienvogel";

/// A fault in the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// Since the one before it began.
    pub(crate) after: Duration,
    /// What goes wrong.
    pub(crate) kind: Kind,
    /// Where, counted round.
    pub(crate) target: usize,
    /// For how long.
    pub(crate) lasts: Duration,
}

impl Plan {
    /// The faults, one after the other, without end. They are dealt like cards: each kind comes before one comes again,
    /// first those that disturb everybody, then strangers, alone.
    pub(crate) fn schedule(&self) -> impl Iterator<Item = Planned> + use<> {
        let (kinds, pause) = (self.kinds, self.pause);
        let mut rng = Rng::with_seed(self.seed);
        let (mut deck, mut before) = (Vec::new(), None);
        std::iter::from_fn(move || {
            if deck.is_empty() {
                let (mut strangers, mut others): (Vec<Kind>, Vec<Kind>) =
                    kinds.iter().partition(|kind| kind.is_strangers());
                rng.shuffle(&mut strangers);
                rng.shuffle(&mut others);
                deck = [strangers, others].concat();
            }
            let kind: Kind = deck.pop()?;
            let is_turn =
                before.replace(kind).is_some_and(|before| before.is_strangers() != kind.is_strangers());
            let lasts = kind.lasts(&mut rng);
            let quiet = if is_turn { QUIET } else { Duration::ZERO };
            Some(Planned {
                after: quiet + pause.mul_f64(0.5 + rng.f64()),
                kind,
                target: rng.usize(..1000),
                lasts,
            })
        })
    }

    /// The transactions of one producer, without end.
    pub(crate) fn transactions(&self, producer: u64) -> Transactions {
        Transactions {
            rng: Rng::with_seed(mixed(&[self.seed, producer])),
            next: producer * 1_000_000_000,
            keyed: None,
        }
    }

    /// An event by its number.
    pub(crate) fn event(&self, number: u64) -> Event {
        if is_swollen(number) { Event::swollen() } else { Event::of(self.seed, number) }
    }

    /// Chance for one request.
    pub(crate) fn chance(&self, endpoint: usize, number: u64, attempt: u32) -> Rng {
        Rng::with_seed(mixed(&[self.seed, u64::try_from(endpoint).unwrap(), number, attempt.into()]))
    }
}

/// One number out of several.
fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |mixed, part| Rng::with_seed(mixed ^ part).u64(..))
}

/// An event as it is inserted.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) topic: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) destination: Option<&'static str>,
    pub(crate) deliver_after: Option<Duration>,
    pub(crate) payload: String,
}

impl Event {
    /// One that nobody receives; what is in it does not matter.
    fn swollen() -> Self {
        let destination = Some(ENDPOINTS[TARGET].0);
        Self { topic: SWOLLEN, key: None, destination, deliver_after: None, payload: String::new() }
    }

    fn of(seed: u64, number: u64) -> Self {
        let mut rng = Rng::with_seed(mixed(&[seed, 7, number]));
        let topic = TOPICS[rng.usize(..TOPICS.len())];
        let destination = match rng.u8(..20) {
            0 | 1 => Some("target"),
            2 => Some("all"),
            _ => None,
        };
        // What is long is stored in a hundredth of its length.
        let filler = "x".repeat(match rng.u8(..240) {
            0 => rng.usize(100_000..300_000),
            1..=8 => rng.usize(..20_000),
            _ => rng.usize(..200),
        });
        Self {
            topic,
            key: rng.bool().then(|| format!("customer-{}", rng.u8(..10))),
            destination,
            deliver_after: (rng.u8(..20) == 0).then(|| Duration::from_millis(rng.u64(..2_000))),
            // With spaces that a parser would not keep.
            payload: format!(r#"{{ "number": {number},"text" :"{CANARY} ✓ {filler}" }}"#),
        }
    }
}

/// Of events.
pub(crate) const TOPICS: [&str; 6] =
    ["order.created", "order.paid", "invoice.sent", "invoice.line.added", "audit.login", "nobody"];

/// Who subscribes to what. The last one takes nothing but what is destined for it.
pub(crate) const ENDPOINTS: [(&str, &str); 5] = [
    ("all", "**"),
    ("orders", "order.*,invoice.**"),
    ("deep", "audit.*"),
    ("strict", "order.created"),
    ("target", ""),
];
/// The endpoint that refuses some events for good.
pub(crate) const STRICT: usize = 3;

/// The one that receives what is destined for it.
const TARGET: usize = 4;
/// Those that answer at once, whatever others do.
pub(crate) const PROMPT: [usize; 2] = [0, STRICT];

/// The topic of events that are too large to be sent, and the numbers of them.
pub(crate) const SWOLLEN: &str = "swollen";
pub(crate) const SWOLLEN_FROM: u64 = 900_000_000_000;
/// The number of the event that is inserted last.
pub(crate) const FRESH: u64 = 999_000_000_000;

/// Whether an event is too large to be sent.
pub(crate) fn is_swollen(number: u64) -> bool {
    (SWOLLEN_FROM..FRESH).contains(&number)
}

/// Whether the strict endpoint refuses an event, as often as it is sent.
pub(crate) fn is_refused(number: u64) -> bool {
    number.is_multiple_of(5)
}

/// Which endpoints must receive an event.
pub(crate) fn receivers(event: &Event) -> Vec<usize> {
    let takes = |endpoint: usize| match (event.destination, endpoint) {
        (Some(destination), _) => ENDPOINTS[endpoint].0 == destination,
        (None, 0) => true,
        (None, 1) => event.topic.starts_with("order.") || event.topic.starts_with("invoice."),
        (None, 2) => event.topic == "audit.login",
        (None, STRICT) => event.topic == "order.created",
        (None, _) => false,
    };
    (0..ENDPOINTS.len()).filter(|endpoint| takes(*endpoint)).collect()
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
    /// The connection is dropped in the middle.
    Vanish,
}

/// One event's place in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insert {
    pub(crate) number: u64,
    /// In a savepoint that is rolled back.
    pub(crate) is_undone: bool,
    /// The number whose idempotency key it has; another's: it must not be inserted twice.
    pub(crate) idempotency: Option<u64>,
}

/// A producer's transaction.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) pause: Duration,
    pub(crate) inserts: Vec<Insert>,
    pub(crate) hold: Duration,
    pub(crate) end: End,
}

/// The transactions of one producer.
pub(crate) struct Transactions {
    rng: Rng,
    next: u64,
    keyed: Option<u64>,
}

impl Transactions {
    /// The next one.
    pub(crate) fn next(&mut self) -> Transaction {
        let rng = &mut self.rng;
        let count = match rng.u8(..30) {
            0 => rng.u64(30..60),
            1..=15 => 1,
            _ => rng.u64(2..6),
        };
        let has_savepoint = rng.u8(..5) == 0;
        let mut inserts = Vec::new();
        for number in self.next..self.next + count {
            let idempotency = match (rng.u8(..10), self.keyed) {
                (0, Some(earlier)) => Some(earlier),
                (1 | 2, _) => Some(number),
                _ => None,
            };
            inserts.push(Insert { number, is_undone: has_savepoint && rng.bool(), idempotency });
        }
        self.next += count;
        self.keyed =
            inserts.iter().rev().find_map(|i| i.idempotency.filter(|key| *key == i.number)).or(self.keyed);
        Transaction {
            pause: Duration::from_millis(rng.u64(10..200)),
            inserts,
            hold: Duration::from_millis(if rng.u8(..10) == 0 { rng.u64(..1_000) } else { 0 }),
            end: match rng.u8(..20) {
                0..=2 => End::Rollback,
                3 => End::Vanish,
                _ => End::Commit,
            },
        }
    }
}
