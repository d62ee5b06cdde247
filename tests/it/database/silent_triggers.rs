//! Triggers of ours that do not fire: in sessions that load rows as a replica does, they do; disabled ones are named and put back.

use crate::cli::doctor::{doctor, found, text};
use crate::support::{CommandOutput, Database, Receiver, one_endpoint};

/// Only by a ring is anything found in time.
const RING_ALONE: [&str; 4] = ["--wake", "notify", "--poll-interval", "1h"];

#[tokio::test]
async fn what_a_session_changes_that_loads_rows_as_a_replica_does_is_noticed() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    database.until_bell_is_armed().await;
    let other = Receiver::start().await;
    let loader = database.connect().await;
    loader.batch_execute("set session_replication_role = replica").await.unwrap();

    loader
        .batch_execute(&format!("select postrider.put_endpoint('other', '{}', '{{other.*}}')", other.url()))
        .await
        .unwrap();
    loader
        .batch_execute("insert into postrider.outbox (topic, payload) values ('other.made', '1')")
        .await
        .unwrap();
    assert_eq!(other.next().await.text(), "1");
    receiver.next().await;
    database.until_settled().await;
    loader.batch_execute("select postrider.pause_endpoint('other')").await.unwrap();
    database.insert("other.made", "2").await;
    receiver.next().await;
    database.until("select count(*) = 1 from postrider.delivery_status where endpoint_id = 'other' and status = 'pending'").await;
    loader.batch_execute("select postrider.resume_endpoint('other')").await.unwrap();

    assert_eq!(other.next().await.text(), "2");
}

#[tokio::test]
async fn every_trigger_of_ours_fires_in_every_session() {
    let database = Database::new().await;

    // A view's cannot be told to fire always; where it does not, an INSERT fails.
    let rows = "select tgname::text from pg_trigger as g join pg_class as c on c.oid = g.tgrelid
                where c.relnamespace = 'postrider'::regnamespace and c.relkind <> 'v' and not g.tgisinternal and g.tgenabled <> 'A'";

    assert_eq!(database.rows(rows, &[]).await.len(), 0);
}

#[tokio::test]
async fn triggers_that_somebody_disabled_are_named_and_a_migration_enables_them() {
    for (disable, named) in [
        ("alter table postrider.endpoint disable trigger all", "endpoint_changed on postrider.endpoint"),
        ("alter table postrider.outbox disable trigger ring", "ring on postrider.outbox"),
        ("alter table postrider.outbox enable trigger size_payload", "size_payload on postrider.outbox"),
        (
            "alter table postrider.endpoint enable replica trigger forget_circuit",
            "forget_circuit on postrider.endpoint",
        ),
        ("alter table postrider.claim disable trigger all", "claim_dispatcher_id_fkey on postrider.claim"),
    ] {
        let database = Database::new().await;
        database.execute(disable).await;

        let finding = found(&doctor(&database.url, &[]).await, "triggers");
        let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

        assert_eq!(finding["result"], "fail", "{disable}");
        assert!(text(&finding, "message").contains(named), "{disable}: {finding}");
        assert!(migrated.stdout.contains(named), "{disable}: {} {}", migrated.stdout, migrated.stderr);
        assert!(!doctor(&database.url, &[]).await.stdout.contains("\"triggers\""), "{disable}");
    }
}

#[tokio::test]
async fn a_trigger_that_somebody_dropped_is_named() {
    let database = Database::new().await;
    database.execute("drop trigger ring on postrider.outbox").await;

    let finding = found(&doctor(&database.url, &[]).await, "triggers");

    assert_eq!(finding["result"], "fail");
    assert!(text(&finding, "message").contains("missing: ring on postrider.outbox"), "{finding}");
    assert_eq!(CommandOutput::run(&database.url, &["migrate", "--check"]).await.code, Some(0));
}
