//! Five dispatchers on one database: they share the work evenly, keep to the limits of an endpoint together, and come and go
//! under load.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::support::{Database, Dispatcher, Receiver, Scraped, eventually, one_endpoint};

const COUNT: usize = 5;
/// Nobody learns of another one by renewing its lease.
const LONG_LEASE: [&str; 2] = ["--lease", "1h"];

#[tokio::test]
async fn a_dispatcher_that_comes_is_known_to_the_others_at_once() {
    let flags = [&LONG_LEASE[..], &["--wake", "notify"]].concat();
    let (database, _receiver, one) = one_endpoint("", &flags).await;

    let _two = Dispatcher::start(&database, &flags).await;

    one.logged("2 dispatchers share the endpoints").await;
}

#[tokio::test]
async fn a_dispatcher_that_leaves_is_missed_by_the_others_at_once() {
    let flags = [&LONG_LEASE[..], &["--wake", "notify"]].concat();
    let (database, _receiver, one) = one_endpoint("", &flags).await;
    let two = Dispatcher::start(&database, &flags).await;
    one.logged("2 dispatchers share the endpoints").await;

    two.terminate().await;

    one.logged("1 dispatchers share the endpoints").await;
}

#[tokio::test]
async fn five_dispatchers_share_a_backlog_evenly() {
    let (database, receiver, all) = five_dispatchers("").await;
    receiver.answer_after(Duration::from_millis(5));

    database.insert_many("order.created", 5_000).await;
    database.until_settled().await;

    let shares = attempts(&all).await;
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (5_000, 5_000));
    assert!(shares.iter().all(|share| *share >= 500), "{shares:?} are not all half of 1000");
}

#[tokio::test]
async fn five_dispatchers_share_what_comes_in() {
    let (database, receiver, all) = five_dispatchers("").await;
    receiver.answer_after(Duration::from_millis(5));

    produce(&database, 8, 500).await;
    database.until_settled().await;

    let shares = attempts(&all).await;
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (4_000, 4_000));
    assert!(shares.iter().all(|share| *share >= 200), "{shares:?} are not all a quarter of 800");
}

#[tokio::test]
async fn five_dispatchers_keep_to_max_in_flight_together() {
    let (database, receiver, _all) = five_dispatchers("max_in_flight => 10").await;
    receiver.answer_after(Duration::from_millis(20));

    database.insert_many("order.created", 1000).await;
    database.until_settled().await;

    let most = receiver.under_way_max();
    assert!(most <= 10, "{most} were under way at once");
}

#[tokio::test]
async fn five_dispatchers_keep_to_a_limit_that_is_lower_than_their_number() {
    let (database, receiver, _all) = five_dispatchers("max_in_flight => 2").await;
    receiver.answer_after(Duration::from_millis(5));

    database.insert_many("order.created", 200).await;
    database.until_settled().await;

    let most = receiver.under_way_max();
    assert!(most <= 2, "{most} were under way at once");
    assert_eq!(receiver.count(), 200);
}

#[tokio::test]
async fn what_one_dispatcher_has_no_slot_for_is_begun_by_another_without_a_poll() {
    let (database, receiver, _all) = five_dispatchers("max_in_flight => 5").await;

    receiver.answer_after(Duration::from_millis(50));

    // Each time another one may be the first to look.
    for _ in 0..10 {
        receiver.hold();
        // More than four of them take for half a second.
        database.insert_many("order.created", 60).await;
        eventually("all slots are taken", || async { receiver.under_way() == 5 }).await;
        receiver.release();
        database.until_settled().await;
    }

    assert_eq!((receiver.webhook_ids().len(), receiver.under_way_max()), (600, 5));
}

#[tokio::test]
async fn an_event_that_only_another_dispatcher_has_a_slot_for_is_delivered_without_a_poll() {
    let (database, receiver, _all) = five_dispatchers("max_in_flight => 1").await;

    // Each time another one may be the first to look.
    for number in 0..100 {
        database.insert("order.created", &number.to_string()).await;
        assert_eq!(receiver.next().await.text(), number.to_string());
    }

    assert_eq!((receiver.count(), receiver.under_way_max()), (100, 1));
}

#[tokio::test]
async fn what_only_a_killed_dispatcher_had_a_slot_for_is_delivered_by_another_after_its_lease() {
    let flags = ["--lease", "2s", "--request-timeout", "1s", "--wake", "notify", "--poll-interval", "1h"];
    let (database, receiver, one) = one_endpoint("max_in_flight => 1", &flags).await;
    let two = Dispatcher::start(&database, &flags).await;
    one.logged("2 dispatchers share the endpoints").await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    // The one whose request is under way.
    let owner: i64 = database.value("select dispatcher_id from postrider.claim").await;
    let (owner, other) = if owner == 1 { (one, two) } else { (two, one) };
    owner.kill().await;
    receiver.release();

    database.insert("order.created", "2").await;
    database.until_settled().await;

    assert_eq!(receiver.webhook_ids().len(), 2);
    assert!(other.log().contains("1 dispatchers share the endpoints"), "{}", other.log());
}

#[tokio::test]
async fn five_dispatchers_keep_to_the_rate_limit_together() {
    let (database, receiver, _all) = five_dispatchers("rate_limit => '50/s'").await;

    database.insert_many("order.created", 150).await;
    database.until_settled().await;

    // Each begins at once; 145 distances of 20 ms follow, and the first request may have been slow to arrive.
    let all = receiver.all();
    let took = all[all.len() - 1].at - all[0].at;
    assert!(took >= Duration::from_millis(2_600), "{took:?}");
}

#[tokio::test]
async fn dispatchers_that_come_and_go_under_load_send_nothing_twice() {
    let (database, receiver, one) = one_endpoint("", &[]).await;
    receiver.answer_after(Duration::from_millis(5));
    let mut load = JoinSet::new();
    let producers = Database::at(&database.url).await;
    load.spawn(async move { produce(&producers, 4, 1_500).await });

    let mut others = Vec::new();
    for _ in 1..COUNT {
        others.push(Dispatcher::start(&database, &[]).await);
    }
    eventually("each does some of it", || async { attempts(&others).await.iter().all(|share| *share > 50) })
        .await;
    let has_load = load.try_join_next().is_none();
    for other in others {
        assert!(other.terminate().await.success());
    }
    load.join_all().await;
    database.until_settled().await;

    assert!(has_load, "it was over before all of them had come");
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (6_000, 6_000));
    assert!(!one.log().contains("WARN"), "{}", one.log());
}

/// Five that know of each other, and an endpoint that receives everything.
async fn five_dispatchers(more: &str) -> (Database, Receiver, Vec<Dispatcher>) {
    // No poll: who sleeps hears of work from producers and from the leader alone.
    let flags = ["--wake", "notify", "--poll-interval", "1h"];
    let (database, receiver, one) = one_endpoint(more, &flags).await;
    let mut all = vec![one];
    for _ in 1..COUNT {
        all.push(Dispatcher::start(&database, &flags).await);
    }
    for dispatcher in &all {
        dispatcher.logged("5 dispatchers share the endpoints").await;
    }
    (database, receiver, all)
}

/// So many producers insert so many events each, one by one.
async fn produce(database: &Database, producers: usize, events: usize) {
    let clients = join_all((0..producers).map(|_| database.connect())).await;
    join_all(clients.iter().map(|client| async {
        for _ in 0..events {
            let insert = "insert into postrider.outbox (topic, payload) values ('order.created', '1')";
            client.batch_execute(insert).await.unwrap();
        }
    }))
    .await;
}

/// How many attempts of each succeeded.
async fn attempts(dispatchers: &[Dispatcher]) -> Vec<u64> {
    join_all(dispatchers.iter().map(async |dispatcher| {
        let scraped = Scraped::of(dispatcher).await;
        let count = scraped.value("postrider_attempts_total{outcome=\"success\"}").unwrap();
        format!("{count}").parse().unwrap()
    }))
    .await
}
