//! What order means: events of producers that a lock serialises before their inserts are sent in their order, and no others are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::scene::{
    HOURS, TWO, dispatchers, insert, lane_events, ordered_database, ordered_endpoint, put_ordered,
    until_routed,
};
use crate::support::{Database, Dispatcher, LaneReceiver, Rules, chance, eventually};

#[tokio::test]
async fn events_of_producers_that_a_lock_serialises_arrive_in_their_order() {
    const KEYS: u64 = 8;
    let (database, receiver) = ordered_database("", Rules::STRICT).await;
    prepare_counters(&database).await;
    let _dispatchers = dispatchers(&database, TWO, &[]).await;
    let mut rng = chance();
    let mut producers = JoinSet::new();
    for _ in 0..6 {
        let client = database.connect().await;
        let mut rng = fastrand::Rng::with_seed(rng.u64(..));
        producers.spawn(async move {
            for _ in 0..40 {
                let (key, count) = (rng.u64(1..=KEYS), rng.u64(1..=4));
                // An id of a transaction before the lock is taken: who is first has it, and not who began first.
                let end = if rng.u8(..10) == 0 { "rollback" } else { "commit" };
                let sql = format!(
                    "begin; select pg_current_xact_id(); select public.produce('k{key}', {count}); {end}"
                );
                client.batch_execute(&sql).await.unwrap();
            }
        });
    }
    while let Some(done) = producers.join_next().await {
        done.unwrap();
    }
    database.until_settled().await;

    let counts = database.rows("select key, number from public.counter", &[]).await;
    let counts: Vec<(String, i64)> = counts.iter().map(|row| (row.get(0), row.get(1))).collect();
    let counts: Vec<_> =
        counts.iter().map(|(key, count)| (key.as_str(), u64::try_from(*count).unwrap())).collect();
    receiver.assert_in_order(&counts);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn without_a_lock_before_the_insert_the_higher_id_may_be_sent_first() {
    let (database, receiver, _dispatcher) = ordered_endpoint("", &[]).await;
    let (first, second) = (database.connect().await, database.connect().await);
    // The lower id has the higher number: that is the order of the commits.
    first.batch_execute(&format!("begin; {}", lane_events("a", 2..=2))).await.unwrap();
    second.batch_execute(&lane_events("a", 1..=1)).await.unwrap();

    receiver.hold("a");
    let sent_first = receiver.next().await;
    first.batch_execute("commit").await.unwrap();
    insert(&database, "b", 1..=1).await;
    receiver.until_number("b", 1).await;
    until_routed(&database).await;
    let sent_while_the_first_is_under_way = receiver.numbers("a");
    receiver.release("a");
    database.until_settled().await;

    assert_eq!((sent_first.number, sent_while_the_first_is_under_way), (1, vec![1]));
    receiver.assert_in_order(&[("a", 2), ("b", 1)]);
}

#[tokio::test]
async fn a_higher_id_of_a_transaction_that_began_earlier_comes_after_the_lower_one() {
    let (database, receiver) = ordered_database("", Rules::STRICT).await;
    insert_against_the_order_of_transactions(&database, "a").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 2)]);
}

#[tokio::test]
async fn a_higher_id_of_a_transaction_that_began_earlier_waits_while_a_long_transaction_is_open() {
    let (database, receiver) = ordered_database("max_in_flight => 4", Rules::STRICT).await;
    let long = database.connect().await;
    long.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    let _dispatchers = dispatchers(&database, TWO, &[]).await;
    let is_over = Arc::new(AtomicUsize::new(0));
    let mut busy = JoinSet::new();
    // The dispatchers have always something to route meanwhile, in transactions of every age.
    let (client, over) = (database.connect().await, Arc::clone(&is_over));
    busy.spawn(async move {
        let mut number = 0;
        while over.load(Ordering::SeqCst) == 0 {
            number += 1;
            client.batch_execute(&lane_events("busy", number..=number)).await.unwrap();
        }
        number
    });
    let keys: Vec<_> = (1..=40).map(|n| format!("k{n}")).collect();
    for key in &keys {
        insert_against_the_order_of_transactions(&database, key).await;
    }
    is_over.store(1, Ordering::SeqCst);
    let sent = busy.join_next().await.unwrap().unwrap();
    database.until_settled().await;
    long.batch_execute("commit").await.unwrap();

    let mut counts: Vec<_> = keys.iter().map(|key| (key.as_str(), 2)).collect();
    counts.push(("busy", sent));
    receiver.assert_in_order(&counts);
}

#[tokio::test]
async fn an_event_of_a_transaction_that_was_open_for_long_comes_before_what_follows_it() {
    let (database, receiver, dispatcher) = ordered_endpoint("", &[]).await;
    let long = database.connect().await;
    long.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    // The dispatcher looks while it is open.
    insert(&database, "b", 1..=1).await;
    receiver.until_number("b", 1).await;
    dispatcher.signal("STOP").await;
    long.batch_execute(&format!("{}; commit", lane_events("a", 1..=1))).await.unwrap();
    insert(&database, "a", 2..=3).await;

    dispatcher.signal("CONT").await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 3), ("b", 1)]);
}

#[tokio::test]
async fn only_one_event_of_a_key_is_under_way_and_other_keys_wait_for_nobody() {
    let (database, receiver, _dispatcher) = ordered_endpoint("", &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=20).await;
    receiver.until_number("a", 1).await;

    for key in ["b", "c", "d"] {
        insert(&database, key, 1..=20).await;
        receiver.until_number(key, 20).await;
    }
    let sent = receiver.numbers("a");
    receiver.release("a");
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 20), ("b", 20), ("c", 20), ("d", 20)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn events_without_a_key_wait_for_nobody() {
    let (database, receiver) = ordered_database("max_in_flight => 20", Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.hold_all();

    let keyless = "insert into postrider.outbox (topic, payload)
        select 'lane.event', json_build_object('key', 'none', 'number', n) from generate_series(1, 20) as n";
    database.execute(keyless).await;

    receiver.until_numbers("none", 20).await;
    receiver.release_all();
    database.until_settled().await;
    assert_eq!(receiver.numbers("none").len(), 20);
}

#[tokio::test]
async fn an_endpoint_that_is_not_ordered_and_another_ordered_one_wait_for_nobody() {
    let (database, one, _dispatcher) = ordered_endpoint("", &[]).await;
    let (two, unordered) = (LaneReceiver::start().await, LaneReceiver::start_with(Rules::AFTER_FAULTS).await);
    put_ordered(&database, "two", &two, "").await;
    database.put_endpoint("unordered", &unordered.url(), "**", "").await;
    one.hold("a");
    unordered.hold("a");

    insert(&database, "a", 1..=10).await;
    two.until_number("a", 10).await;
    unordered.until_numbers("a", 10).await;
    let sent = one.numbers("a");
    one.release("a");
    unordered.release("a");
    database.until_settled().await;

    assert_eq!(sent, [1]);
    one.assert_in_order(&[("a", 10)]);
    two.assert_in_order(&[("a", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_follower_waits_for_its_head_and_never_for_a_timer() {
    let (database, receiver, _dispatcher) =
        ordered_endpoint(HOURS, &["--poll-interval", "1h", "--wake", "notify"]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=1).await;
    receiver.until_number("a", 1).await;
    // Behind the head, each in a transaction of its own.
    for number in 2..=30 {
        insert(&database, "a", number..=number).await;
    }
    until_routed(&database).await;

    receiver.release("a");
    eventually("all are accepted", || async { receiver.judge(|lanes| lanes.sums().accepted) == 30 }).await;

    database.until_settled().await;
    receiver.assert_in_order(&[("a", 30)]);
}

/// Two transactions of a key: one began earlier and has the higher id. The other one had the lock first.
async fn insert_against_the_order_of_transactions(database: &Database, key: &str) {
    let (earlier, later) = (database.connect().await, database.connect().await);
    earlier.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    later.batch_execute(&lane_events(key, 1..=1)).await.unwrap();
    earlier.batch_execute(&format!("{}; commit", lane_events(key, 2..=2))).await.unwrap();
}

/// A counter for each key, and a function that takes its lock before it inserts.
async fn prepare_counters(database: &Database) {
    database
        .execute(
            "create table public.counter (key text primary key, number bigint not null);
             insert into public.counter select 'k' || n, 0 from generate_series(1, 8) as n;
             create function public.produce(of_key text, count integer) returns void language plpgsql as $$
             declare
                 last bigint;
             begin
                 update public.counter set number = number + count where key = of_key returning number into last;
                 insert into postrider.outbox (topic, key, payload)
                 select 'lane.event', of_key, json_build_object('key', of_key, 'number', n)
                 from generate_series(last - count + 1, last) as n order by n;
             end $$",
        )
        .await;
}
