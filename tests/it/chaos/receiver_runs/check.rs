//! Judges a run: compares what the producer committed, what the receiver was sent, and what the database says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::desk::Entry;
use super::host::Counts;
use super::model::{Lateness, ideal};
use super::plan::Plan;
use super::run::{ENDPOINTS, Move};
use crate::support::Database;

/// Of all breaches so many are told.
const TOLD_MAX: usize = 20;
/// The files of this machine's names are looked at once in so long, and somebody may just be using a connection.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// An answer may be lost with its connection when its address stops within so long.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);
/// An event may take half as long again as the limit makes it take. And it may be so many seconds late: its answer was lost.
const MORE_S: f64 = 3.0;

/// What is known of a run beside the receiver's books and the database.
pub(crate) struct Told {
    /// When each event was committed, by its number.
    pub(crate) committed: Vec<Duration>,
    pub(crate) moves: Vec<Move>,
    pub(crate) counts: Counts,
    /// Circuits.
    pub(crate) opened: usize,
    /// None: something was left.
    pub(crate) drained: Option<Duration>,
    /// Whether the name can move on this machine.
    pub(crate) has_name: bool,
}

/// The sums of a run.
pub(crate) struct Ledger {
    seed: u64,
    told: Told,
    requests: [usize; 2],
    paced: [usize; 2],
    duplicates: BTreeMap<&'static str, usize>,
    failed_attempts: Vec<(String, i64)>,
    /// How late each endpoint's events were.
    late: [Lateness; 2],
    /// How late the limit makes them, and how late one makes them that is half as slow again.
    best: Lateness,
    allowed: Lateness,
    breaches: Vec<String>,
}

/// Judges a run; panics with all breaches.
pub(crate) async fn judge(plan: &Plan, database: &Database, told: Told, books: &[Vec<Entry>; 2]) -> Ledger {
    let paced = books.each_ref().map(|book| book.iter().filter(|entry| entry.status == 429).count());
    let limit = |window| Lateness::of(ideal(&told.committed, plan.limit, window));
    let (best, allowed) = (limit(plan.window), limit(plan.window.mul_f64(1.5)));
    let late = books.each_ref().map(|book| Lateness::of(lateness(book, &told.committed)));
    let mut ledger = Ledger {
        seed: plan.seed,
        requests: books.each_ref().map(Vec::len),
        paced,
        told,
        duplicates: BTreeMap::new(),
        failed_attempts: Vec::new(),
        late,
        best,
        allowed,
        breaches: Vec::new(),
    };
    for (id, book) in ENDPOINTS.iter().zip(books) {
        ledger.check_events(id, book);
        if plan.is_timed {
            ledger.check_moves(plan, id, book);
        }
    }
    ledger.check_database(database).await;
    ledger.check_manners();
    if plan.is_timed {
        ledger.check_lateness();
    }
    let count = ledger.breaches.len();
    if count > 0 {
        let told = ledger.breaches.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("\n");
        panic!("seed {}: {count} promises are broken\n{told}\n{ledger}", plan.seed);
    }
    ledger
}

/// How late each event was that arrived.
fn lateness(book: &[Entry], committed: &[Duration]) -> Vec<Duration> {
    let mut first = BTreeMap::new();
    for entry in book.iter().filter(|entry| entry.status == 200 && entry.is_sent) {
        first.entry(entry.number).or_insert(entry.at);
    }
    let late = |(number, at): (usize, Duration)| Some(at.saturating_sub(*committed.get(number)?));
    first.into_iter().filter_map(late).collect()
}

impl Ledger {
    fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }

    /// Every committed event was answered with 2xx, and why each of them was taken twice is known.
    fn check_events(&mut self, id: &str, book: &[Entry]) {
        let mut taken: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
        for entry in book.iter().filter(|entry| entry.status == 200) {
            taken.entry(entry.number).or_default().push(entry);
        }
        for number in 0..self.told.committed.len() {
            if !taken.get(&number).is_some_and(|entries| entries.iter().any(|entry| entry.is_sent)) {
                self.breach(format!("event {number} was never answered with 2xx by {id}"));
            }
        }
        if let Some(number) = taken.keys().find(|number| **number >= self.told.committed.len()) {
            self.breach(format!("{id} got event {number}, which nobody committed"));
        }
        for (number, entries) in taken {
            for pair in entries.windows(2) {
                let why = self.explain(pair[0]);
                *self.duplicates.entry(why.unwrap_or("UNEXPLAINED")).or_default() += 1;
                if why.is_none() {
                    let (one, two) = (pair[0].at, pair[1].at);
                    self.breach(format!(
                        "{id} answered event {number} with 2xx at {one:?} and got it again at {two:?}"
                    ));
                }
            }
        }
        let pairs: BTreeSet<_> = book.iter().map(|entry| (entry.number, &entry.webhook_id)).collect();
        let numbers: BTreeSet<_> = pairs.iter().map(|(number, _)| number).collect();
        if numbers.len() != pairs.len() {
            self.breach(format!("{id} got {} events under {} ids", numbers.len(), pairs.len()));
        }
    }

    /// Why an event is sent again that was taken.
    fn explain(&self, taken: &Entry) -> Option<&'static str> {
        let stops = |moved: &Move| {
            moved.left == taken.address
                && taken.at <= moved.stopped
                && moved.stopped <= taken.at + STOPPED_WITHIN
        };
        if !taken.is_sent {
            return Some("its connection ended before the answer");
        }
        self.told.moves.iter().any(stops).then_some("its address stopped as it answered")
    }

    /// Nobody uses an address for long that the name has left.
    fn check_moves(&mut self, plan: &Plan, id: &str, book: &[Entry]) {
        let allowed = plan.connection_age_max + NOTICED_WITHIN;
        for Move { left, at, stopped } in self.told.moves.clone() {
            let late = at + allowed..stopped;
            let count = book.iter().filter(|entry| entry.address == left && late.contains(&entry.at)).count();
            if count > 0 {
                self.breach(format!(
                    "{id} got {count} requests more than {allowed:?} after its name had left at {at:?}"
                ));
            }
        }
    }

    /// Nothing failed, no circuit opened, nothing was disabled, and refusals for pace were not counted.
    async fn check_database(&mut self, database: &Database) {
        for what in database.disagreements().await {
            self.breach(what);
        }
        if self.told.drained.is_none() {
            let left = "select coalesce(string_agg(to_jsonb(d)::text, '; '), 'no delivery')
                        from (select * from postrider.delivery where status in ('pending', 'in_progress') limit 5) as d";
            let left: String = database.value(left).await;
            self.breach(format!("something is left to do: {left}"));
        }
        if self.told.opened > 0 {
            self.breach(format!("{} dispatchers opened a circuit", self.told.opened));
        }
        for (what, sql) in [
            ("events that are not complete", "select count(*) from postrider.outbox where status <> 'complete'"),
            ("deliveries that are not complete", "select count(*) from postrider.delivery where status <> 'complete'"),
            (
                "endpoints that are down or disabled, or whose circuit is not closed",
                "select count(*) from postrider.endpoint_health
                 where health not in ('healthy', 'failing') or circuit <> 'closed'",
            ),
            (
                "deliveries of which refusals for pace were counted",
                "select count(*) from postrider.delivery as d
                 where coalesce(d.paced, 0) <> (select count(*) from postrider.attempt as a where a.delivery_id = d.id and a.status_code = 429)",
            ),
        ] {
            let count: i64 = database.value(sql).await;
            if count > 0 {
                self.breach(format!("{count} {what}"));
            }
        }
        let failed = "select error, count(*) from postrider.attempt_log
                      where error is not null and status_code is distinct from 429 group by 1 order by 1";
        let failed = database.rows(failed, &[]).await;
        self.failed_attempts = failed.iter().map(|row| (row.get(0), row.get(1))).collect();
    }

    /// The receiver did everything that this run is about.
    fn check_manners(&mut self) {
        let Counts { goodbyes, refused, idle, just_used, lost: _, moves } = self.told.counts;
        let did = [
            ("refused a request for pace", self.paced[0]),
            ("refused a request for pace by HTTP/1.1", self.paced[1]),
            ("said GOAWAY", goodbyes),
            ("refused a stream", refused),
            ("closed an idle connection", idle),
            ("closed a connection that was just used", just_used),
            ("moved its name", if self.told.has_name { moves } else { 1 }),
        ];
        for (what, count) in did {
            if count == 0 {
                self.breach(format!("the receiver never {what}"));
            }
        }
    }

    fn check_lateness(&mut self) {
        for (id, late) in ENDPOINTS.iter().zip(self.late) {
            if !late.is_within(&self.allowed, MORE_S) {
                self.breach(format!(
                    "{id} is more than {MORE_S} s later than a limit would make it that is half as slow again: {}",
                    self.allowed
                ));
            }
        }
    }
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Counts { goodbyes, refused, idle, just_used, lost, moves } = self.told.counts;
        let sum = |counts: [usize; 2]| format!("{} by HTTP/2, {} by HTTP/1.1", counts[0], counts[1]);
        writeln!(f, "seed            {}", self.seed)?;
        writeln!(f, "committed       {} events, each for two endpoints", self.told.committed.len())?;
        writeln!(f, "requests        {}", sum(self.requests))?;
        writeln!(f, "too fast (429)  {}", sum(self.paced))?;
        writeln!(f, "HTTP/2          {goodbyes} times GOAWAY, {refused} streams refused")?;
        writeln!(
            f,
            "closed          {idle} idle connections, {just_used} just used, {lost} before the answer"
        )?;
        if self.told.has_name {
            writeln!(f, "moves           {moves}")?;
        } else {
            writeln!(f, "moves           not possible on this machine (unshare -Urm)")?;
        }
        writeln!(f, "duplicates      {}", self.duplicates.values().sum::<usize>())?;
        self.duplicates.iter().try_for_each(|(why, count)| writeln!(f, "{count:>20} {why}"))?;
        let failed: i64 = self.failed_attempts.iter().map(|(_, count)| count).sum();
        writeln!(f, "failed attempts {failed}")?;
        self.failed_attempts.iter().try_for_each(|(error, count)| writeln!(f, "{count:>20} {error}"))?;
        writeln!(f, "circuits opened {}", self.told.opened)?;
        for (id, late) in ENDPOINTS.iter().zip(self.late) {
            writeln!(f, "late, {id}     {late}")?;
        }
        writeln!(f, "  limit allows  {}", self.best)?;
        writeln!(f, "  1.5 as slow   {}", self.allowed)?;
        match self.told.drained {
            Some(drained) => write!(f, "after healing   drained in {drained:.1?}"),
            None => write!(f, "after healing   not drained"),
        }
    }
}

impl Display for Lateness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { mean, median, p99, longest } = self;
        write!(f, "{mean:.2} s on average, {median:.2} s (median), {p99:.2} s (P99), {longest:.2} s (all)")
    }
}
