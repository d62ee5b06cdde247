//! What the log tells of endpoints that fail: enough to be noticed, never a flood.

use crate::support::{Database, Dispatcher, Receiver, eventually, one_endpoint};

#[tokio::test]
async fn an_endpoint_that_refuses_everything_is_told_at_the_first_failure_then_ever_more_rarely() {
    let (database, receiver, dispatcher) =
        one_endpoint("retry_schedule => array_fill(interval '1 ms', array[50])", &[]).await;
    receiver.answer(404);
    database.insert("order.created", r#"{"hunter": 2}"#).await;
    dispatcher.logged("endpoint one is failing: status 404").await;
    database.insert_many("order.created", 12).await;
    database.until_settled().await;
    database.until("select exists (select from postrider.circuit where failed_attempts = 663)").await;

    receiver.answer(200);
    database.insert("order.created", "{}").await;
    dispatcher.logged("endpoint one answers again and is healthy, after 663 failed in a row").await;

    let log = dispatcher.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("endpoint one is failing")).collect();
    // At the first, at ten, at a hundred; what is recorded together makes one line.
    assert!((2..=3).contains(&told.len()), "{log}");
    assert!(told.iter().all(|line| line.contains("WARN") && line.contains("status 404")), "{log}");
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test]
async fn two_dispatchers_tell_a_failure_once() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer(422);
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1h}', max_in_flight => 2").await;
    let (one, two) = (Dispatcher::start(&database, &[]).await, Dispatcher::start(&database, &[]).await);

    for _ in 0..9 {
        database.insert("order.created", "{}").await;
    }
    database.until("select exists (select from postrider.circuit where failed_attempts = 9)").await;

    let told = || {
        [&one, &two].map(|each| each.log().matches("endpoint one is failing").count()).iter().sum::<usize>()
    };
    eventually("the failure is told", || async { told() > 0 }).await;
    assert_eq!(told(), 1, "{}\n{}", one.log(), two.log());
}

#[tokio::test]
async fn however_many_endpoints_fail_at_once_the_log_is_not_flooded() {
    let database = Database::new().await;
    database
        .execute(
            "select postrider.put_endpoint('e' || n, 'http://127.0.0.1:1/', '{**}', retry_schedule => '{1h}')
             from generate_series(1, 300) as n",
        )
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select count(*) = 300 from postrider.endpoint_health where health = 'failing'").await;
    let told = || dispatcher.log().matches(" is failing: ").count();
    let has_counted = || dispatcher.log().contains("more lines about endpoints are left out");
    eventually("the others are counted", || async { has_counted() || told() > 150 }).await;

    let told = told();
    assert!((100..=150).contains(&told), "{told}: {}", dispatcher.log());
}
