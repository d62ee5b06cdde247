//! Everything at once, by a seed: real dispatchers on a private server, behind a network that misbehaves, before
//! receivers that do, while processes, connections and the server itself are stopped and killed. Then all is healed, and
//! what producers, receivers and the database say must agree. `scripts/chaos` runs this for as long as you like.

mod behaviour;
mod check;
mod faults;
mod history;
mod kind;
mod lateness;
mod ledger;
pub(crate) mod peer;
mod plan;
mod produce;
mod rows;
mod run;
pub(crate) mod slot;
pub(crate) mod stage;
mod strangers;
mod watch;

use std::time::Duration;

use self::kind::{Kind, Network, Process, Restart, Session, Stranger};
use self::plan::Plan;
use self::run::run;
use crate::support::variable;

const IMPATIENT: &[&str] = &["--lease", "4s", "--request-timeout", "1s", "--grace-period", "2s"];
const SECONDS: Duration = Duration::from_secs(8);

#[tokio::test]
async fn without_a_fault_nothing_is_sent_twice() {
    // Patient: on a busy machine an answer may take longer than a second, and that is a fault.
    let flags = &["--lease", "1m", "--request-timeout", "30s"];
    let plan = Plan { is_hostile: false, flags, lease: Duration::from_mins(1), ..plan(1, &[]) };

    let ledger = run(plan).await;

    assert_eq!(ledger.duplicates.len(), 0);
}

#[tokio::test]
async fn hostile_receivers_break_no_invariant() {
    run(plan(2, &[])).await;
}

#[tokio::test]
async fn dispatchers_that_crash_again_and_again_break_no_invariant() {
    let kinds =
        &[Kind::Process(Process::Kill), Kind::Process(Process::Kill), Kind::Process(Process::Terminate)];
    run(Plan { pause: Duration::from_millis(500), ..plan(3, kinds) }).await;
}

#[tokio::test]
async fn dispatchers_that_stand_still_break_no_invariant() {
    let kinds = &[
        Kind::Process(Process::Freeze),
        Kind::Process(Process::FreezeBeyondLease),
        Kind::Session(Session::Pause),
    ];
    run(Plan { lasts: Duration::from_secs(11), ..plan(4, kinds) }).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_and_killed_breaks_no_invariant() {
    let kinds = &[
        Kind::Server(Restart::StopFast),
        Kind::Server(Restart::StopImmediate),
        Kind::Server(Restart::KillServer),
        Kind::Session(Session::EndListeners),
        Kind::Session(Session::EndClaimers),
        Kind::Session(Session::LockTable),
        Kind::Session(Session::Revoke),
    ];
    run(Plan { lasts: Duration::from_secs(10), pause: Duration::from_millis(1_200), ..plan(5, kinds) }).await;
}

#[tokio::test]
async fn a_network_that_misbehaves_breaks_no_invariant() {
    let kinds = &[
        Kind::Network(Network::Slow),
        Kind::Network(Network::Narrow),
        Kind::Network(Network::Hole),
        Kind::Network(Network::HoleDown),
        Kind::Network(Network::Resets),
        Kind::Network(Network::ShutOut),
        Kind::Network(Network::CutMidway),
        Kind::Network(Network::LoseCommit),
        Kind::Network(Network::LoseSettle),
        Kind::Session(Session::LoseProducersCommit),
        Kind::Network(Network::Deafen),
    ];
    run(Plan { pause: Duration::from_millis(700), ..plan(6, kinds) }).await;
}

#[tokio::test]
async fn strangers_cost_nobody_whose_rows_they_do_not_touch() {
    let kinds = &[
        Kind::Stranger(Stranger::HoldDeliveries),
        Kind::Stranger(Stranger::HoldEvents),
        Kind::Stranger(Stranger::HoldEndpoint),
        Kind::Stranger(Stranger::HoldInstallation),
        Kind::Stranger(Stranger::OpenPut),
        Kind::Stranger(Stranger::OpenPause),
        Kind::Stranger(Stranger::RefuseDeliveries),
        Kind::Stranger(Stranger::RefuseEvents),
        Kind::Stranger(Stranger::Swell),
    ];
    run(Plan { pause: Duration::from_millis(700), ..plan(7, kinds) }).await;
}

#[test]
fn strangers_have_times_of_their_own_among_all_faults() {
    let schedule: Vec<_> = plan(7, Kind::ALL).schedule().take(3 * Kind::ALL.len()).collect();

    let alone = schedule.windows(2).filter(|pair| pair[0].kind.is_strangers() && pair[1].kind.is_strangers());
    let turns = schedule.windows(2).filter(|pair| pair[0].kind.is_strangers() != pair[1].kind.is_strangers());
    assert_eq!((alone.count(), turns.clone().count()), (24, 5));
    assert!(turns.into_iter().all(|pair| pair[1].after >= Duration::from_secs(8)));
}

#[test]
fn a_seed_plans_the_same_work_and_the_same_trouble_every_time() {
    let planned = |seed| {
        let plan = plan(seed, Kind::ALL);
        let mut transactions = plan.transactions(1);
        let transactions: Vec<_> = (0..100).map(|_| transactions.next()).collect();
        let events: Vec<_> = (0..100).map(|number| plan.event(number)).collect();
        format!("{:?} {transactions:?} {events:?}", plan.schedule().take(100).collect::<Vec<_>>())
    };

    assert_eq!(planned(7), planned(7));
    assert_ne!(planned(7), planned(8));
}

#[tokio::test]
async fn a_long_run_breaks_no_invariant() {
    let number =
        |name| variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")));
    let Some(minutes) = number("POSTRIDER_CHAOS_MINUTES") else {
        println!("skipped: scripts/chaos runs it");
        return;
    };
    let seed = number("POSTRIDER_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let dispatchers =
        number("POSTRIDER_CHAOS_DISPATCHERS").map_or(3, |count| usize::try_from(count).unwrap());

    let lateness_max = Duration::from_secs(2);
    run(Plan {
        lasts: Duration::from_secs(60 * minutes),
        dispatchers,
        lateness_max,
        ..plan(seed, Kind::ALL)
    })
    .await;
}

/// Impatient dispatchers, hostile receivers, a fault a second.
fn plan(seed: u64, kinds: &'static [Kind]) -> Plan {
    Plan {
        seed,
        lasts: SECONDS,
        dispatchers: 2,
        kinds,
        pause: Duration::from_secs(1),
        is_hostile: true,
        flags: IMPATIENT,
        lease: Duration::from_secs(4),
        // Generous: the suite has the machine to share.
        lateness_max: Duration::from_secs(5),
    }
}
