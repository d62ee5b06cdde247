//! What the database decides about circuits, whatever a dispatcher believes: who may probe, and what counts.

use postrider::store::STATEMENTS;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::support::Database;

/// Two dispatchers.
const ONE: i64 = 1;
const TWO: i64 = 2;
const LEASE_MS: i64 = 60_000;

#[tokio::test]
async fn the_right_to_probe_is_given_once_until_it_ends() {
    let database = failing_endpoint("'open', now()", "null").await;

    let first = run(&database, "take_probes", &[&ONE, &vec![1], &LEASE_MS]).await.len();
    let second = run(&database, "take_probes", &[&TWO, &vec![1], &LEASE_MS]).await.len();
    database.execute("update postrider.circuit set probe_at = now()").await;
    let third = run(&database, "take_probes", &[&TWO, &vec![1], &LEASE_MS]).await.len();

    assert_eq!((first, second, third), (1, 0, 1));
}

#[tokio::test]
async fn nobody_probes_before_it_is_time() {
    let database = failing_endpoint("'open', now() + interval '1 minute'", "null").await;

    let taken = run(&database, "take_probes", &[&ONE, &vec![1], &LEASE_MS]).await;

    assert!(taken.is_empty());
}

#[tokio::test]
async fn whoever_does_not_know_that_a_circuit_is_open_claims_nothing_of_what_waits() {
    for (circuit, probe_by) in [("'open', now()", "null"), ("'half_open', now() + interval '1 minute'", "2")]
    {
        let database = failing_endpoint(circuit, probe_by).await;

        let claimed = claim(&database, ONE).await;

        assert_eq!(claimed, 0, "{circuit}");
    }
}

#[tokio::test]
async fn a_prober_claims_one_delivery_however_many_slots_it_has() {
    let database = failing_endpoint("'half_open', now() + interval '1 minute'", "1").await;

    let claimed = claim(&database, ONE).await;

    assert_eq!(claimed, 1);
}

#[tokio::test]
async fn a_prober_whose_right_has_passed_to_another_says_nothing_of_the_probe() {
    let database = failing_endpoint("'half_open', now() + interval '1 minute'", "2").await;

    let late = note(&database, ONE, false, 1).await;
    let prober = note(&database, TWO, false, 1).await;

    assert_eq!((late.as_deref(), prober.as_deref()), (Some("half_open"), Some("open")));
}

#[tokio::test]
async fn failures_before_an_answer_do_not_count() {
    let database = failing_endpoint("'closed', null", "null").await;
    let nine = note(&database, ONE, false, 9).await;

    let answered = note(&database, TWO, true, 9).await;
    let one_more = note(&database, ONE, false, 1).await;

    assert_eq!([nine, answered, one_more].map(Option::unwrap), ["closed", "closed", "open"]);
}

#[tokio::test]
async fn an_endpoint_that_was_deleted_has_no_circuit() {
    let database = failing_endpoint("'open', now()", "null").await;

    database.execute("select postrider.delete_endpoint('one')").await;
    let noted = note(&database, ONE, false, 1).await;

    assert_eq!(noted, None);
    database.assert_row("select count(*) from postrider.circuit", json!({"count": 0})).await;
}

/// Endpoint 1 with a circuit of this state and `probe_at`, ten due deliveries, and two dispatchers.
async fn failing_endpoint(state_and_probe_at: &str, probe_by: &str) -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(&format!(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             select 'test', '0', now() + interval '1 hour', 'poll' from generate_series(1, 2);
             insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select n, 1, 'pending', now() from generate_series(1, 10) as n;
             insert into postrider.circuit
                 (endpoint_no, failures, failing_since, changed_at, state, probe_at, probe_by)
             values (1, 0, now(), now(), {state_and_probe_at}, {probe_by})"
        ))
        .await;
    database
}

async fn claim(database: &Database, dispatcher: i64) -> usize {
    let params: [&(dyn ToSql + Sync); 7] =
        [&dispatcher, &vec![1], &vec![5_i64], &vec![0_i64], &false, &vec![0_i64], &0_i64];
    run(database, "claim_deliveries", &params).await.len()
}

/// Notes failures, the probe among them, and returns the state after that.
async fn note(database: &Database, dispatcher: i64, answered: bool, failures: i32) -> Option<String> {
    let (none, second) = (None::<i64>, 1000_i64);
    let params: [&(dyn ToSql + Sync); 13] = [
        &1,
        &dispatcher,
        &answered,
        &failures,
        &0_i64,
        &true,
        &second,
        &10,
        &true,
        &none,
        &none,
        &second,
        &1_i64,
    ];
    run(database, "note_failures", &params).await[0].get("state")
}

async fn run(database: &Database, name: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
    let statement = STATEMENTS.iter().find(|statement| statement.name == name).unwrap();
    database.client.query(statement.sql, params).await.unwrap()
}
