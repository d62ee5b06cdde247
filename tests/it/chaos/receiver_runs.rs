//! One receiver as real ones are, by a seed: it limits its pace, leaves connections, closes idle ones without a word, loses an
//! answer now and then, and its name moves. Every event arrives once, or it is explained why not; no circuit opens, and nothing
//! is later than the limit makes it. `scripts/chaos --receiver` runs this for as long as you like.

mod check;
mod desk;
mod host;
mod http1;
mod model;
mod name;
mod plan;
mod run;

use std::time::Duration;

use self::model::ideal;
use self::plan::Plan;
use self::run::run;
use crate::support::variable;

#[tokio::test]
async fn a_receiver_that_limits_leaves_connections_and_moves_gets_every_event() {
    let plan = Plan {
        lasts: Duration::from_secs(15),
        calm_ms: 2_000..3_000,
        burst: 40..80,
        first_move: Duration::from_secs(2),
        moves_each: Duration::from_mins(1),
        both_for: Duration::from_secs(11),
        connection_age_max: Duration::from_secs(2),
        is_timed: false,
        ..Plan::long(9, Duration::ZERO)
    };

    run(plan).await;
}

#[tokio::test]
async fn a_long_run_against_one_receiver_keeps_every_promise() {
    let number =
        |name| variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")));
    let Some(minutes) = number("POSTRIDER_CHAOS_RECEIVER_MINUTES") else {
        println!("skipped: scripts/chaos --receiver runs it");
        return;
    };
    let seed = number("POSTRIDER_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let dispatchers =
        number("POSTRIDER_CHAOS_DISPATCHERS").map_or(2, |count| usize::try_from(count).unwrap());

    run(Plan { dispatchers, ..Plan::long(seed, Duration::from_secs(60 * minutes)) }).await;
}

#[test]
fn a_seed_plans_the_same_arrivals_every_time() {
    let planned = |seed| Plan::long(seed, Duration::from_mins(10)).arrivals().collect::<Vec<_>>();

    assert_eq!(planned(7), planned(7));
    assert_ne!(planned(7), planned(8));
}

#[test]
fn the_load_is_two_thirds_of_what_the_receiver_takes() {
    let plan = Plan::long(7, Duration::from_hours(1));

    let events: usize = plan.arrivals().map(|(_, count)| count).sum();
    let taken = plan.limit * 3_600;
    assert!((taken * 60 / 100..taken * 70 / 100).contains(&events), "{events} of {taken}");
}

#[test]
fn an_ideal_sender_fills_each_window_and_wastes_none() {
    let at = |ms: u64| Duration::from_millis(ms);
    // Two in a window of one second. The third waits for the next one, and the last for nothing.
    let committed = [at(100), at(200), at(300), at(1_500), at(1_600), at(7_000)];

    let late: Vec<_> = ideal(&committed, 2, at(1_000));

    assert_eq!(late, [at(0), at(0), at(700), at(0), at(400), at(0)]);
}
