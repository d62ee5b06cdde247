//! The bell on a real server, where it would lose wake-ups if it could: bursts, aborts, savepoints, slow commits and
//! lost connections, each burst followed by silence. The fallback poll would come in an hour. All interleavings of the
//! protocol itself are searched in `bell_model`.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::support::{Database, Receiver, chance, eventually, one_endpoint};

const RING_ALONE: [&str; 4] = ["--wake", "notify", "--poll-interval", "1h"];
/// Far more than the nap cap and the way to the receiver, far less than the poll.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What was committed, and when the commit returned, by the number in the payload.
type Committed = BTreeMap<u64, Instant>;

#[tokio::test]
async fn every_committed_event_of_a_burst_arrives_without_a_poll() {
    let (committed, arrived) = bursts(60, 8, Kind::ALL).await;

    assert_eq!(arrived.keys().collect::<Vec<_>>(), committed.keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn no_event_waits_long_after_its_commit() {
    let (committed, arrived) = bursts(40, 8, Kind::ALL).await;

    let waits = committed.iter().map(|(number, at)| arrived[number].saturating_duration_since(*at));
    let longest = waits.max().unwrap();
    assert!(longest < WAIT_MAX, "waited {longest:?}");
}

#[tokio::test]
async fn two_producers_that_overlap_lose_no_wake_up() {
    // Most of the bell's races need two: one that did not ring is still in flight when the other one ends.
    let (committed, arrived) = bursts(150, 2, &[Kind::Commit, Kind::SlowCommit]).await;

    assert_eq!(arrived.len(), committed.len());
}

#[tokio::test]
async fn slow_commits_alone_lose_no_wake_up() {
    let (committed, arrived) = bursts(15, 24, &[Kind::SlowCommit]).await;

    assert_eq!(arrived.len(), committed.len());
}

/// What a producer does with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    SlowCommit,
    Rollback,
    Savepoints,
    Error,
    Disconnect,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Commit,
        Self::Commit,
        Self::SlowCommit,
        Self::Rollback,
        Self::Savepoints,
        Self::Error,
        Self::Disconnect,
    ];
}

/// Bursts of up to `producers` at once, each burst followed by silence until all that was committed has arrived.
async fn bursts(bursts: u64, producers: u64, kinds: &[Kind]) -> (Committed, BTreeMap<u64, Instant>) {
    let mut chance = chance();
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    let clients = join_all((0..producers).map(|_| database.connect())).await;
    let mut clients: Vec<Option<Client>> = clients.into_iter().map(Some).collect();
    let mut committed = Committed::new();
    for burst in 0..bursts {
        let active = chance.usize(1..=clients.len());
        let work = clients.iter_mut().zip(0_u64..).take(active).map(|(client, producer)| {
            let first = (burst * producers + producer) * 10;
            produce(&database, client, first, kinds, Rng::with_seed(chance.u64(..)))
        });
        committed.extend(join_all(work.collect::<Vec<_>>()).await.into_iter().flatten());
        eventually("all that was committed arrives", || async { receiver.count() >= committed.len() }).await;
    }
    database.until_settled().await;
    (committed, arrivals(&receiver))
}

/// Up to five transactions one after the other; returns what was committed.
async fn produce(
    database: &Database,
    client: &mut Option<Client>,
    first: u64,
    kinds: &[Kind],
    mut chance: Rng,
) -> Committed {
    let mut committed = Committed::new();
    for number in first..first + chance.u64(1..=5) {
        let kind = kinds[chance.usize(..kinds.len())];
        let connected = match client.take() {
            Some(connected) => connected,
            None => database.connect().await,
        };
        let done = connected.batch_execute(&transaction(kind, number, chance.f64() * 0.03)).await;
        assert_eq!(done.is_err(), kind == Kind::Error, "{kind:?}: {done:?}");
        match kind {
            Kind::Commit | Kind::SlowCommit | Kind::Savepoints => {
                committed.insert(number, Instant::now());
            }
            Kind::Error => connected.batch_execute("rollback").await.unwrap(),
            Kind::Disconnect => continue, // In the middle of its transaction.
            Kind::Rollback => {}
        }
        *client = Some(connected);
    }
    committed
}

fn transaction(kind: Kind, number: u64, pause_s: f64) -> String {
    let insert = |payload: &str| {
        format!("insert into postrider.outbox (topic, payload) values ('order.created', '{payload}')")
    };
    let row = insert(&number.to_string());
    let never = insert("\"rolled back\"");
    match kind {
        Kind::Commit => row,
        Kind::SlowCommit => format!("begin; {row}; select pg_sleep({pause_s}); commit"),
        Kind::Rollback => format!("begin; {never}; select pg_sleep({pause_s}); rollback"),
        Kind::Savepoints => format!(
            "begin; savepoint a; {never}; rollback to a; savepoint b; {row}; release b; savepoint c; {never}; rollback to c; commit"
        ),
        Kind::Error => format!("begin; {never}; select 1 / 0; commit"),
        Kind::Disconnect => format!("begin; {never}"),
    }
}

/// When each number arrived; a payload that was rolled back is no number.
fn arrivals(receiver: &Receiver) -> BTreeMap<u64, Instant> {
    let all = receiver.all();
    let arrived: BTreeMap<_, _> = all.iter().map(|r| (r.text().parse().unwrap(), r.at)).collect();
    assert_eq!(arrived.len(), all.len(), "something arrived twice");
    arrived
}
