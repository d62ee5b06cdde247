//! The circuit of an endpoint: opened by failures in a row, probed, closed again, shared by all dispatchers.

use std::time::Duration;

use serde_json::json;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, Scraped, eventually, one_endpoint};

/// What opens a circuit.
const FAILURES: usize = 10;
/// No retry is due before the test says so.
const PATIENT: &str = "retry_schedule => array_fill(interval '1 h', array[20])";

#[tokio::test]
async fn ten_failures_in_a_row_open_the_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.answer(500);

    database.insert_many("order.created", FAILURES - 1).await;
    database
        .until("select consecutive_failures = 9 and circuit = 'closed' from postrider.endpoint_health")
        .await;
    database.insert("order.created", "{}").await;

    until_circuit(&database, "open").await;
    database
        .assert_row(
            "select next_probe_at is not null as has_next_probe,
                    failing_since is not null as is_failing
             from postrider.endpoint_health",
            json!({"has_next_probe": true, "is_failing": true}),
        )
        .await;
}

#[tokio::test]
async fn answers_about_the_request_open_no_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.answer(400);

    database.insert_many("order.created", 3 * FAILURES).await;
    database.until("select consecutive_failures = 30 from postrider.endpoint_health").await;
    // Put on record within a second.
    database.until("select failing_since is not null from postrider.endpoint_health").await;

    database.assert_row("select circuit from postrider.endpoint_health", json!({"circuit": "closed"})).await;
}

#[tokio::test]
async fn a_test_of_an_endpoint_whose_circuit_is_open_is_the_probe() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    receiver.answer(200);

    let tested = CommandOutput::run(&database.url, &["endpoint", "test", "one"]).await;

    assert_eq!(tested.code, Some(0), "{}", tested.stderr);
}

#[tokio::test]
async fn an_endpoint_whose_circuit_is_open_receives_nothing_but_a_probe() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    let before = receiver.count();

    database.insert_many("order.created", 100).await;
    database.make_due().await;
    database.until("select count(*) = 110 from postrider.delivery_status where status = 'pending'").await;
    receiver.hold();
    database.make_probes_due().await;
    until_circuit(&database, "half_open").await;
    eventually("the probe arrives", || async { receiver.under_way() == 1 }).await;
    database.insert_many("order.created", 100).await;
    database.until("select count(*) = 209 from postrider.delivery_status where status = 'pending'").await;

    assert_eq!((receiver.count() - before, receiver.under_way()), (1, 1));
}

#[tokio::test]
async fn what_waits_while_a_circuit_is_open_uses_up_no_attempt() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;

    database.insert_many("order.created", 100).await;
    database.make_due().await;
    database.until("select count(*) = 110 from postrider.delivery_status where status = 'pending'").await;

    database.assert_row("select sum(attempts) from postrider.delivery_status", json!({"sum": 10})).await;
}

#[tokio::test]
async fn a_probe_that_fails_makes_the_next_one_wait_longer() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;

    let mut probes = 0;
    for _ in 0..5 {
        database.make_due().await;
        database.make_probes_due().await;
        probes += 1;
        database
            .until(&format!("select exists (select from postrider.circuit where failed_probes >= {probes} and state = 'open')"))
            .await;
    }

    // 1 s, doubled five times, give or take a fifth; less what has passed.
    assert!(database.is("select probe_at - changed_at >= interval '25 s' from postrider.circuit").await);
}

#[tokio::test]
async fn a_probe_that_succeeds_closes_the_circuit() {
    let (database, receiver, dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    receiver.answer(200);

    database.make_due().await;
    database.make_probes_due().await;
    database.until_settled().await;

    until_circuit(&database, "closed").await;
    database
        .assert_row(
            "select failing_since, next_probe_at from postrider.endpoint_health",
            json!({"failing_since": null, "next_probe_at": null}),
        )
        .await;
    dispatcher.logged("endpoint one answers again").await;
    let told = |word: &str| {
        let line = format!("endpoint one {word}");
        dispatcher.log().lines().filter(|told| told.contains(&line)).count()
    };
    // Recorded together, all ten failures make one line.
    assert!(told("is failing") <= 1, "{}", dispatcher.log());
    assert_eq!((told("is down"), told("answers again")), (1, 1), "{}", dispatcher.log());
}

#[tokio::test]
async fn an_endpoint_that_recovers_is_sent_one_two_four_at_once() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    let other = Receiver::start().await;
    database.execute(&format!("select postrider.put_endpoint('other', '{}', '{{}}')", other.url())).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    database.insert_many("order.created", 100).await;
    receiver.answer(200);
    receiver.hold();

    database.make_due().await;
    database.make_probes_due().await;
    let mut waves = Vec::new();
    for expected in [1, 1, 2, 4, 8] {
        eventually(&format!("{expected} requests"), || async { receiver.under_way() >= expected }).await;
        // Whoever came too early would be there before this, which is claimed and sent after it.
        database
            .execute("insert into postrider.outbox (topic, payload, destination) values ('a', '1', 'other')")
            .await;
        other.next().await;
        waves.push(receiver.under_way());
        receiver.let_pass(expected).await;
    }

    assert_eq!(waves, [1, 1, 2, 4, 8]);
    receiver.release();
    database.until_settled().await;
}

#[tokio::test]
async fn a_receiver_that_recovers_meets_no_storm() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    database.insert_many("order.created", 1000).await;
    receiver.answer(200);
    receiver.answer_after(Duration::from_millis(20));
    let before = receiver.count();

    database.make_due().await;
    database.make_probes_due().await;
    database.until_settled().await;

    // One slot more for each success: the n-th request finds at most n - 1 others under way.
    let all = receiver.all();
    let first = all[before].at;
    let early = all[before..].iter().filter(|r| r.at - first < Duration::from_millis(100)).count();
    // The probe, then in four more rounds of 20 ms at most 1 + 2 + 4 + 8 + 16.
    assert!(early <= 32, "{early} requests within 100 ms");
}

#[tokio::test]
async fn the_probe_is_the_delivery_that_was_due_last() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    // What failed before may be why it is open.
    database.make_due().await;
    database.insert("order.created", "\"fresh\"").await;
    database.until("select count(*) = 11 from postrider.delivery_status where status = 'pending'").await;
    receiver.answer(200);
    receiver.hold();
    let before = receiver.count();

    database.make_probes_due().await;
    eventually("the probe arrives", || async { receiver.under_way() == 1 }).await;

    assert_eq!(receiver.all()[before].text(), "\"fresh\"");
    receiver.release();
    database.until_settled().await;
}

#[tokio::test]
async fn two_dispatchers_send_one_probe() {
    let (database, receiver, _one) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    let _two = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", 100).await;
    database.make_due().await;
    receiver.hold();
    let before = receiver.count();

    database.make_probes_due().await;
    until_circuit(&database, "half_open").await;
    eventually("the probe arrives", || async { receiver.under_way() == 1 }).await;
    // Both have looked since.
    for _ in 0..3 {
        database.execute("select pg_notify('postrider', '')").await;
        database.insert("order.created", "{}").await;
    }
    database.until("select unrouted = 0 from postrider.backlog").await;

    assert_eq!(receiver.count() - before, 1);
}

#[tokio::test]
async fn failures_of_two_dispatchers_count_together() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", PATIENT).await;
    receiver.answer(500);
    let one = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", 6).await;
    database.until("select exists (select from postrider.circuit where failures = 6)").await;
    assert!(one.terminate().await.success());
    let _two = Dispatcher::start(&database, &[]).await;

    database.insert_many("order.created", 4).await;

    until_circuit(&database, "open").await;
    assert_eq!(receiver.count(), FAILURES);
}

#[tokio::test]
async fn a_circuit_stays_open_when_the_dispatcher_is_restarted() {
    let (database, receiver, dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    dispatcher.kill().await;
    let before = receiver.count();
    database.make_due().await;

    let _next = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", 10).await;
    database.until("select unrouted = 0 from postrider.backlog").await;
    database.until("select count(*) = 20 from postrider.delivery_status where status = 'pending'").await;

    assert_eq!(receiver.count(), before);
}

#[tokio::test]
async fn a_prober_that_is_killed_leaves_the_probe_to_others_after_its_lease() {
    let flags = ["--lease", "4s", "--request-timeout", "2s"];
    let (database, receiver, one) = one_endpoint(PATIENT, &flags).await;
    open(&database, &receiver).await;
    receiver.answer(200);
    receiver.hold();
    database.make_due().await;
    database.make_probes_due().await;
    eventually("the probe arrives", || async { receiver.under_way() == 1 }).await;
    let _two = Dispatcher::start(&database, &flags).await;

    one.kill().await;
    receiver.release();

    database.until_settled().await;
    until_circuit(&database, "closed").await;
}

#[tokio::test]
async fn resuming_an_endpoint_closes_its_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    receiver.answer(200);
    database.make_due().await;

    database.execute("select postrider.resume_endpoint('one')").await;

    database.until_settled().await;
}

#[tokio::test]
async fn a_new_url_closes_the_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;
    let moved = Receiver::start().await;
    database.make_due().await;

    database.put_endpoint("one", &moved.url(), "**", "").await;

    database.until_settled().await;
    assert_eq!(moved.webhook_ids().len(), FAILURES);
}

#[tokio::test]
async fn a_late_success_of_an_attempt_from_before_closes_the_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.hold();
    receiver.answer(500);
    database.insert_many("order.created", FAILURES).await;
    eventually("they are under way", || async { receiver.under_way() == FAILURES }).await;
    receiver.answer(200);
    database.insert("order.created", "{}").await;
    eventually("one more is under way", || async { receiver.under_way() == FAILURES + 1 }).await;
    // In order of arrival: all but the last are answered with 500.
    receiver.let_pass(FAILURES).await;
    until_circuit(&database, "open").await;
    database.put_off_probes().await;

    receiver.release();

    until_circuit(&database, "closed").await;
}

#[tokio::test]
async fn the_command_line_and_the_metrics_show_an_open_circuit() {
    let (database, receiver, dispatcher) = one_endpoint(PATIENT, &[]).await;
    open(&database, &receiver).await;
    database.put_off_probes().await;

    let listed = CommandOutput::run(&database.url, &["endpoint", "list"]).await;
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one", "--json"]).await;

    assert!(listed.stdout.contains("  down  "), "{}", listed.stdout);
    assert_eq!((&shown.json()["circuit"], &shown.json()["health"]), (&json!("open"), &json!("down")));
    Scraped::until(&dispatcher, "the open circuit", |scraped| {
        scraped.value("postrider_open_circuits") == Some(1.0)
            && scraped.value("postrider_circuit_transitions_total{to=\"open\"}") == Some(1.0)
    })
    .await;
}

/// Ten events fail, and the circuit is open.
async fn open(database: &Database, receiver: &Receiver) {
    receiver.answer(500);
    database.insert_many("order.created", FAILURES).await;
    until_circuit(database, "open").await;
    // The circuit may be on record before the outcomes are.
    database.until("select count(*) = 10 from postrider.delivery_status where status = 'pending'").await;
}

async fn until_circuit(database: &Database, state: &str) {
    database
        .until(&format!(
            "select circuit = '{state}' from postrider.endpoint_health where endpoint_id = 'one'"
        ))
        .await;
}
