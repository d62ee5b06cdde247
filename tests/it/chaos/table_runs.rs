//! Tables of an application, attached, by a seed. Many sessions change their rows in every way that SQL knows, and what the outbox
//! says of each row is what logical decoding says. Users lock and change rows that get a status, and no user is ever part of a
//! deadlock. All that while dispatchers and the server are stopped and killed. `scripts/chaos --tables` runs it for as long as
//! you like.

mod check;
mod decoded;
mod faults;
mod inbox;
mod plan;
mod run;
mod stage;
mod statements;
mod story;
mod tables;
mod users;
mod writers;

use std::time::Duration;

use self::plan::{Fault, Plan};
use self::run::run;
use self::statements::Statement;
use crate::support::variable;

#[tokio::test]
async fn what_the_outbox_says_of_each_row_is_what_logical_decoding_says() {
    let ledger = run(Plan { users: 0, faults: &[], ..plan(1) }).await;

    assert!(ledger.decoded > 50 && ledger.decoded == ledger.delivered, "{ledger}");
}

#[tokio::test]
async fn no_change_is_lost_or_invented_while_dispatchers_and_the_server_are_killed() {
    let faults = &[Fault::Kill, Fault::KillServer, Fault::Reset, Fault::StopServer, Fault::EndSessions];
    let ledger = run(Plan { users: 0, faults, ..plan(2) }).await;

    assert!(ledger.decoded > 50 && ledger.faults > 1, "{ledger}");
}

#[tokio::test]
async fn every_row_gets_the_status_of_its_newest_event_whatever_goes_wrong() {
    let faults = &[Fault::Freeze, Fault::Kill, Fault::StopServer, Fault::Terminate, Fault::Reset];
    let ledger = run(Plan { writers: 0, faults, ..plan(3) }).await;

    assert!(ledger.changes > 20 && ledger.faults > 1, "{ledger}");
}

#[tokio::test]
async fn no_users_transaction_is_ever_part_of_a_deadlock() {
    let plan = Plan { transactions: 2_000, writers: 0, users: 8, dispatchers: 3, faults: &[], ..plan(4) };
    let ledger = run(plan).await;

    assert!(ledger.transactions >= 2_000 && ledger.users_faults.is_empty(), "{ledger}");
}

#[test]
fn a_seed_means_the_same_statements_and_the_same_trouble_every_time() {
    let planned = |seed| {
        let plan = plan(seed);
        let mut rng = plan.chance(1, 0);
        let statements: Vec<_> = (0..100).map(|_| Statement::next(&mut rng, true)).collect();
        format!("{:?} {statements:?}", plan.schedule().take(20).collect::<Vec<_>>())
    };

    assert_eq!(planned(7), planned(7));
    assert_ne!(planned(7), planned(8));
}

#[tokio::test]
async fn a_long_run_with_tables_keeps_every_promise() {
    let number =
        |name| variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")));
    let Some(minutes) = number("POSTRIDER_CHAOS_TABLES_MINUTES") else {
        println!("skipped: scripts/chaos --tables runs it");
        return;
    };
    let seed = number("POSTRIDER_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let dispatchers =
        number("POSTRIDER_CHAOS_DISPATCHERS").map_or(2, |count| usize::try_from(count).unwrap());

    let transactions = number("POSTRIDER_CHAOS_TABLES_TRANSACTIONS").unwrap_or_default();
    let (lasts, pause) = (Duration::from_secs(60 * minutes), Duration::from_secs(3));
    run(Plan { lasts, transactions, dispatchers, pause, users: 8, ..plan(seed) }).await;
}

/// A few sessions, a few seconds, a fault a second.
fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        lasts: Duration::from_secs(6),
        transactions: 0,
        dispatchers: 2,
        writers: 6,
        users: 4,
        faults: Fault::ALL,
        pause: Duration::from_millis(700),
    }
}
