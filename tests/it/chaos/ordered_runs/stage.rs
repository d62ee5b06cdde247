//! Where a run takes place: a server and perhaps its standby, dispatchers behind a proxy each, the receivers of two ordered endpoints.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::time::Instant;

use super::plan::Plan;
use crate::chaos::seeded_runs::slot::Slot;
use crate::support::{Asked, Database, LaneReceiver, Proxy, Reply, Rules, Server};

/// Impatient dispatchers, which keep little.
pub(crate) const FLAGS: &[&str] =
    &["--lease", "4s", "--request-timeout", "1s", "--grace-period", "2s", "--retain-complete", "1m"];
/// Patient ones: on a busy machine an answer may take longer than a second, and that is a fault.
pub(crate) const PATIENT: &[&str] = &["--lease", "1m", "--request-timeout", "30s"];
/// Of so many requests one is answered 503, by chance.
const UNAVAILABLE_ONE_IN: u64 = 200;
/// And of so many one is accepted, and answered when nobody listens any more.
const UNHEARD_ONE_IN: u64 = 20_000;
/// Of the events of a key each of these is refused for good by the receiver of `few`.
const DOOMED_EACH: u64 = 37;
/// The first attempt and the delays of `few`.
const DOOMED_TRIES: u64 = 6;

/// What everybody in a run knows.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
    /// The first one, and perhaps its standby.
    servers: Vec<Server>,
    primary: AtomicUsize,
    pub(crate) slots: Vec<Slot>,
    /// Of the endpoint that receives everything.
    pub(crate) all: LaneReceiver,
    /// Of the endpoint that receives a tenth of the keys, and goes on after an event that is refused for good.
    pub(crate) few: LaneReceiver,
    /// Each transaction of a producer holds it for reading.
    pub(crate) gate: RwLock<()>,
    /// Events whose commit was confirmed.
    pub(crate) committed: AtomicU64,
    pub(crate) faults: AtomicU64,
    breaches: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Stage {
    /// Everything is there, dispatchers run, and nobody produces yet.
    pub(crate) async fn set(plan: Plan) -> Arc<Self> {
        let server = Server::start_with(&["max_wal_size=2GB", "max_connections=200"]).await;
        let database = server.database().await;
        prepare(&database, plan.keys).await;
        let (all, few) = receivers(&plan).await;
        let again = ["1s"; 44].join(",");
        let schedule = format!("ordered => true, retry_schedule => '{{20ms,100ms,500ms,{again}}}'");
        database.put_endpoint("all", &all.url(), "lane.*", &schedule).await;
        let schedule =
            "ordered => true, on_failed => 'continue', retry_schedule => '{10ms,20ms,50ms,100ms,100ms}'";
        database.put_endpoint("few", &few.url(), "lane.few", schedule).await;
        let login = database.login(Some("postrider_dispatcher")).await;
        drop(database);
        let mut servers = Vec::new();
        if plan.has_failover {
            servers.push(server.standby().await);
        }
        servers.insert(0, server);
        let mut slots = Vec::new();
        for number in 0..plan.dispatchers {
            slots.push(Slot::new(number, Proxy::to_postgres(&login).await, &login));
        }
        let flags = flags(&plan);
        for slot in &slots {
            *slot.process.lock().await = Some(slot.start(flags));
        }
        Arc::new(Self {
            plan,
            began: Instant::now(),
            servers,
            primary: AtomicUsize::new(0),
            slots,
            all,
            few,
            gate: RwLock::new(()),
            committed: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            breaches: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// The server that is the primary now.
    pub(crate) fn server(&self) -> &Server {
        &self.servers[self.primary.load(Ordering::SeqCst)]
    }

    /// The one that is not.
    pub(crate) fn standby(&self) -> &Server {
        &self.servers[1]
    }

    /// The standby is the primary from now on.
    pub(crate) fn fail_over(&self) {
        self.primary.store(1, Ordering::SeqCst);
    }

    pub(crate) async fn database(&self) -> Database {
        Database::at(self.server().url()).await
    }

    /// How dispatchers are started.
    pub(crate) fn flags(&self) -> &'static [&'static str] {
        flags(&self.plan)
    }

    /// Events that are committed and were not accepted yet.
    pub(crate) fn backlog(&self) -> u64 {
        let accepted = self.all.judge(|lanes| lanes.sums().accepted);
        self.committed.load(Ordering::SeqCst).saturating_sub(accepted)
    }

    /// Whether there was work and time enough.
    pub(crate) fn is_enough(&self) -> bool {
        self.committed.load(Ordering::SeqCst) >= self.plan.events && self.ends_within(Duration::ZERO)
    }

    /// Whether there was so much work, and so little time is left.
    pub(crate) fn ends_within(&self, soon: Duration) -> bool {
        self.began.elapsed() + soon >= self.plan.lasts
            && self.committed.load(Ordering::SeqCst) >= self.plan.events
    }

    /// No new work, no new trouble.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Something is wrong.
    pub(crate) fn breach(&self, what: String) {
        self.breaches.lock().unwrap().push(what);
    }

    /// What was wrong.
    pub(crate) fn breaches(&self) -> Vec<String> {
        self.breaches.lock().unwrap().clone()
    }
}

fn flags(plan: &Plan) -> &'static [&'static str] {
    if plan.faults.is_empty() { PATIENT } else { FLAGS }
}

/// The receivers of `all` and of `few`.
async fn receivers(plan: &Plan) -> (LaneReceiver, LaneReceiver) {
    let (seed, has_faults) = (plan.seed, !plan.faults.is_empty());
    let rules = Rules { has_faults, ..Rules::STRICT };
    let all = LaneReceiver::forgetful(rules, move |asked| {
        let dice = |below| Plan::dice(seed, &asked.key, asked.number, asked.attempt, below);
        if dice(UNAVAILABLE_ONE_IN) == 0 {
            return Reply::status(503);
        }
        let is_unheard = has_faults && dice(UNHEARD_ONE_IN) == 1;
        Reply { status: 200, after: Duration::from_secs(2 * u64::from(is_unheard)), is_unheard }
    });
    let is_doomed = |_: &str, number: u64| number.is_multiple_of(DOOMED_EACH);
    let rules = Rules { is_doomed, tries_min: if has_faults { 1 } else { DOOMED_TRIES }, has_faults };
    let refuse = move |asked: &Asked| Reply::status(if is_doomed("", asked.number) { 500 } else { 200 });
    (all.await, LaneReceiver::forgetful(rules, refuse).await)
}

/// A counter for each key, and a function that locks the counters of some keys, in their order, before it inserts their events.
async fn prepare(database: &Database, keys: u64) {
    database
        .execute(&format!(
            "create table public.counter (key integer primary key, number bigint not null) with (fillfactor = 50);
             insert into public.counter select n, 0 from generate_series(0, {keys} - 1) as n;
             create function public.produce(keys integer[], count integer) returns void language plpgsql as $$
             declare
                 of_key integer;
                 last bigint;
             begin
                 foreach of_key in array keys loop
                     update public.counter set number = number + count where key = of_key returning number into last;
                     insert into postrider.outbox (topic, key, payload)
                     select case when of_key % 10 = 0 then 'lane.few' else 'lane.many' end, 'k' || of_key,
                            json_build_object('key', 'k' || of_key, 'number', n)
                     from generate_series(last - count + 1, last) as n order by n;
                 end loop;
             end $$"
        ))
        .await;
}
