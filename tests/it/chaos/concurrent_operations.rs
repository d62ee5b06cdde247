//! Everything at once: people retry, replay, cancel, pause and resume while producers insert and dispatchers deliver.

use std::sync::Arc;

use postrider::store::{STATEMENTS, Session};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::events::replay::complete;
use crate::support::{Database, Dispatcher, Receiver, chance, one_endpoint, set_up};

const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--request-timeout", "1s"];
const ENDPOINTS: [&str; 3] = ["good", "flaky", "paused"];

#[tokio::test]
async fn whatever_people_do_meanwhile_no_count_is_wrong_and_nothing_is_lost() {
    let (database, receivers) = three_endpoints().await;
    let dispatchers =
        [Dispatcher::start(&database, &SHORT_LEASE).await, Dispatcher::start(&database, &SHORT_LEASE).await];
    let mut random = chance();

    let mut people = JoinSet::new();
    for _ in 0..4 {
        people.spawn(meddle(database.connect().await, Arc::clone(&receivers), random.fork(), 150));
    }
    while let Some(done) = people.join_next().await {
        done.unwrap();
    }
    for endpoint in ENDPOINTS {
        database.execute(&format!("select postrider.resume_endpoint('{endpoint}')")).await;
    }
    settle_all(&database).await;
    database.assert_counts_agree().await;
    // The flaky one may have some refusals left.
    let retry = "select sum(postrider.retry_failed(endpoint_id))::bigint from postrider.endpoint_health";
    while database.value::<i64>(retry).await > 0 {
        settle_all(&database).await;
    }

    database.assert_counts_agree().await;
    database
        .assert_row(
            "select pending, in_progress, unrouted from postrider.backlog",
            json!({"pending": 0, "in_progress": 0, "unrouted": 0}),
        )
        .await;
    database.until("select not exists (select from postrider.claim)").await;
    assert_nothing_is_lost(&database, &receivers).await;
    for dispatcher in dispatchers {
        assert!(!dispatcher.log().contains("deadlock"), "{}", dispatcher.log());
    }
}

#[tokio::test]
async fn retries_beside_the_settling_of_the_same_events_keep_every_count() {
    let (database, receiver, one) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    let other = Receiver::start().await;
    database.put_endpoint("other", &other.url(), "**", "retry_schedule => '{1ms}'").await;
    let two = Dispatcher::start(&database, &[]).await;
    receiver.answer(400);
    other.answer(400);
    let (first, second) = (database.connect().await, database.connect().await);
    let retry = ["select postrider.retry_failed('one')", "select postrider.retry_failed('other')"];

    for _ in 0..30 {
        database.insert_many("order.created", 50).await;
        for (of_first, of_second) in [(retry[0], retry[1]), (retry[1], retry[1])] {
            let (one, two) = tokio::join!(first.batch_execute(of_first), second.batch_execute(of_second));
            assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        }
    }
    settle_all(&database).await;

    database.assert_counts_agree().await;
    assert!(!one.log().contains("deadlock") && !two.log().contains("deadlock"), "{}{}", one.log(), two.log());
}

#[tokio::test]
async fn an_event_that_is_cancelled_during_its_replay_stays_cancelled() {
    let database = Database::new().await;
    complete(&database, 1).await;
    database.put_endpoint("late", "https://example.com/", "**", "").await;
    database.execute("select postrider.replay('one', '-infinity')").await;
    let (canceller, other) = (database.connect().await, database.connect().await);
    canceller.batch_execute("begin; select postrider.cancel(1)").await.unwrap();

    let commit = async {
        database.until_somebody_waits_for_a_lock().await;
        canceller.batch_execute("commit").await.unwrap();
    };
    let (replayed, ()) =
        tokio::join!(other.batch_execute("select postrider.replay('late', '-infinity')"), commit);

    replayed.unwrap();
    assert_eq!(database.count("pending").await, 0);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn two_replays_at_once_are_one() {
    let database = Database::new().await;
    complete(&database, 20).await;
    database.execute("delete from postrider.delivery where event_id % 2 = 0").await;
    database.execute("update postrider.outbox set deliveries = 0 where id % 2 = 0").await;
    let (one, two) = (database.connect().await, database.connect().await);
    let replay = "select postrider.replay('one', '-infinity')";
    one.batch_execute("begin").await.unwrap();
    one.batch_execute(replay).await.unwrap();

    let commit = async {
        database.until_somebody_waits_for_a_lock().await;
        one.batch_execute("commit").await.unwrap();
    };
    let (second, ()) = tokio::join!(two.batch_execute(replay), commit);

    second.unwrap();
    assert_eq!(database.count("pending").await, 20);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_replay_locks_events_in_the_order_in_which_they_are_settled() {
    let database = Database::new().await;
    complete(&database, 20).await;
    // The first event is new to the endpoint, the last one is not.
    database.execute("delete from postrider.delivery where event_id = 1").await;
    database.execute("update postrider.outbox set deliveries = 0 where id = 1").await;

    let (asked, settled) = database.run_beside_settling("select postrider.replay('one', '-infinity')").await;

    assert!(asked.is_ok() && settled.is_ok(), "{asked:?} {settled:?}");
}

#[tokio::test]
async fn what_is_given_back_waits_for_no_lock_and_leaves_what_is_locked() {
    for call in
        ["release_deliveries ('{2,1}', '{1,1}', '{false,false}', '{1}')", "rescue_claims (20, 0, null)"]
    {
        let database = Database::new().await;
        database
            .execute(
                "insert into postrider.dispatcher (host, version, lease_until, wake_mode) values ('test', '0', now(), 'poll');
                 insert into postrider.claim (dispatcher_id, delivery_ids) values (1, '{2,1}');
                 insert into postrider.delivery (event_id, endpoint_no, status, claim_id)
                 values (1, 1, 'in_progress', 1), (1, 2, 'in_progress', 1)",
            )
            .await;
        let (other, dispatcher) = (database.connect().await, database.connect().await);
        other.batch_execute("begin; select from postrider.delivery where id = 1 for update").await.unwrap();
        let (name, _) = call.split_once(' ').unwrap();
        let statement = STATEMENTS.iter().find(|statement| statement.name == name).unwrap();
        set_up(&dispatcher, Session::Dispatcher).await;
        dispatcher.batch_execute(&format!("prepare {name} as {}", statement.sql)).await.unwrap();
        let pending = "select concat_ws(' ', string_agg(id::text, ',' order by id), (select count(*) from postrider.claim))
                       from postrider.delivery where status = 'pending'";

        dispatcher.batch_execute(&format!("execute {call}")).await.unwrap();

        let first: String = database.value(pending).await;
        other.batch_execute("commit").await.unwrap();
        dispatcher.batch_execute(&format!("execute {call}")).await.unwrap();
        let then: String = database.value(pending).await;
        assert_eq!((first.as_str(), then.as_str()), ("2 1", "1,2 0"), "{call}");
    }
}

async fn three_endpoints() -> (Database, Arc<[Receiver; 3]>) {
    let database = Database::new().await;
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    for (endpoint, receiver) in ENDPOINTS.iter().zip(&receivers) {
        database.put_endpoint(endpoint, &receiver.url(), "**", "retry_schedule => '{5ms,5ms}'").await;
    }
    (database, Arc::new(receivers))
}

/// So many things that a person or a producer may do.
async fn meddle(client: Client, receivers: Arc<[Receiver; 3]>, mut random: fastrand::Rng, steps: usize) {
    for _ in 0..steps {
        let endpoint = ENDPOINTS[random.usize(..3)];
        let some = |table: &str, n: u32| {
            format!(
                "(select id from postrider.{table} where id >= {n} * (select max(id) from postrider.{table}) / 1000 order by id limit 1)"
            )
        };
        let statement = match random.u8(..10) {
            0..=3 => format!(
                "insert into postrider.outbox (topic, payload) select 'mix.' || n, '{{}}' from generate_series(1, {}) as n",
                random.u8(1..8)
            ),
            4 => format!("select postrider.retry({})", some("delivery", random.u32(..1000))),
            5 => format!("select postrider.retry_failed('{endpoint}', up_to => {})", random.u8(1..40)),
            6 => format!(
                "select postrider.replay('{endpoint}', now() - interval '{} ms', topics => '{{mix.{}}}', up_to => 5)",
                random.u16(..2000),
                random.u8(1..8)
            ),
            7 => format!("select postrider.cancel({})", some("outbox", random.u32(..1000))),
            8 => "select postrider.pause_endpoint('paused')".to_owned(),
            _ => "select postrider.resume_endpoint('paused')".to_owned(),
        };
        for _ in 0..random.u8(..3) {
            receivers[1].answer_once(if random.bool() { 400 } else { 422 }, &[], b"");
        }
        if let Err(fault) = client.batch_execute(&statement).await {
            let is_refused = [SqlState::NO_DATA_FOUND, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE]
                .iter()
                .any(|code| fault.code() == Some(code));
            assert!(is_refused, "{statement}: {fault:?}");
        }
    }
}

async fn settle_all(database: &Database) {
    database.make_due().await;
    database.until_settled().await;
}

/// What nobody cancelled is complete, and what is complete has arrived.
async fn assert_nothing_is_lost(database: &Database, receivers: &[Receiver; 3]) {
    let lost = "select count(*) from postrider.outbox as o
                where o.status <> 'complete' and o.cancelled_at is null
                  and not exists (select from postrider.delivery as d where d.event_id = o.id and d.cancelled_at is not null)";
    assert_eq!(database.value::<i64>(lost).await, 0);
    for (endpoint, receiver) in ENDPOINTS.iter().zip(receivers) {
        let arrived = receiver.webhook_ids();
        let complete =
            "select webhook_id from postrider.delivery_status where endpoint_id = $1 and status = 'complete'";
        for row in database.rows(complete, &[endpoint]).await {
            assert!(arrived.contains(row.get::<_, &str>(0)), "{endpoint}");
        }
    }
}
