//! Rows that were brought here from another cluster: its transactions say nothing here, and its sequences may be missing.

use crate::support::{CommandOutput, Database, Dispatcher, Installation, Receiver};

/// Housekeeping steps every second.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];

#[tokio::test]
async fn a_dump_of_a_cluster_with_higher_transactions_is_routed_delivered_and_deleted_when_old() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source.can_be_dumped("database::restored_rows::a_dump_of_a_cluster_with_higher_transactions_is_routed_delivered_and_deleted_when_old").await {
        return;
    }
    let receiver = Receiver::start().await;
    source.burn(5000).await;
    fill(&source.database, &receiver).await;
    source.dump_into(&target).await;

    goes_on(&target.database, &receiver).await;
}

#[tokio::test]
async fn a_dump_of_a_cluster_with_lower_transactions_is_routed_delivered_and_deleted_when_old() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source
        .can_be_dumped(
            "database::restored_rows::a_dump_of_a_cluster_with_lower_transactions_is_routed_delivered_and_deleted_when_old",
        )
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    fill(&source.database, &receiver).await;
    target.burn(5000).await;
    source.dump_into(&target).await;

    goes_on(&target.database, &receiver).await;
}

#[tokio::test]
async fn a_dump_of_a_dump_is_routed_delivered_and_deleted_when_old() {
    let (first, second, third) =
        (Installation::start().await, Installation::start().await, Installation::start().await);
    if !first
        .can_be_dumped("database::restored_rows::a_dump_of_a_dump_is_routed_delivered_and_deleted_when_old")
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    first.burn(6000).await;
    fill(&first.database, &receiver).await;
    first.dump_into(&second).await;
    second.burn(2000).await;
    // What the second one adds is young, and stands before what the first one left.
    second.database.insert("added.later", "\"added\"").await;
    second.dump_into(&third).await;

    goes_on(&third.database, &receiver).await;

    assert_eq!(receiver.all().iter().filter(|request| request.text() == "\"added\"").count(), 1);
}

#[tokio::test]
async fn a_logical_copy_without_its_sequences_is_routed_delivered_and_deleted_when_old() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source
        .can_be_dumped(
            "database::restored_rows::a_logical_copy_without_its_sequences_is_routed_delivered_and_deleted_when_old",
        )
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    source.burn(5000).await;
    fill(&source.database, &receiver).await;
    target.database.migrate().await;
    target.database.execute("delete from postrider.installation").await;
    source.dump(&["--data-only", "--exclude-table=postrider.schema_*"]).await;
    source.restore_into(&target, &["--data-only"]).await;
    target
        .database
        .execute(
            "select setval(s.oid::regclass, 1, false) from pg_class as s
             where s.relkind = 'S' and s.relnamespace = 'postrider'::regnamespace",
        )
        .await;

    goes_on(&target.database, &receiver).await;
}

#[tokio::test]
async fn events_inserted_after_a_restore_are_routed_although_the_server_has_passed_the_saved_watermark() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source.can_be_dumped("database::restored_rows::events_inserted_after_a_restore_are_routed_although_the_server_has_passed_the_saved_watermark").await {
        return;
    }
    let receiver = Receiver::start().await;
    source.burn(3000).await;
    fill(&source.database, &receiver).await;
    source.dump_into(&target).await;

    target.database.insert("after.restore", "\"early\"").await;
    assert_eq!(target.database.value::<i64>("select unrouted from postrider.backlog").await, 4);
    target.burn(5000).await;
    assert!(
        target
            .database
            .is("select routed_below < pg_snapshot_xmin(pg_current_snapshot()) from postrider.installation")
            .await
    );

    goes_on(&target.database, &receiver).await;
    assert_eq!(receiver.all().iter().filter(|request| request.text() == "\"early\"").count(), 1);
}

/// Old events are deleted while new ones keep coming; what waited is delivered once, and so is what is new.
async fn goes_on(database: &Database, receiver: &Receiver) {
    let is_old_gone = "select not exists (select from postrider.outbox where topic = 'old.event')";
    let before = receiver.count();
    adopt_as_original(database).await;

    let _dispatcher = Dispatcher::start(database, &SHORT_LEASE).await;

    database.insert("new.event", "\"new\"").await;
    crate::support::eventually("old events go while new ones come", || async {
        database.insert("new.event", "\"more\"").await;
        database.is(is_old_gone).await
    })
    .await;
    database.until_settled().await;
    for waited in ["\"unrouted 1\"", "\"unrouted 2\"", "\"unrouted 3\"", "\"due\"", "\"new\""] {
        let count = receiver.all().iter().filter(|request| request.text() == waited).count();
        assert_eq!(count, 1, "{waited}");
    }
    assert!(receiver.count() > before);
    database.assert_counts_agree().await;
    assert_eq!(database.value::<i64>("select unrouted from postrider.backlog").await, 0);
}

/// An installation that has run: 50 old events, one delivery that waits, and three events that are not routed yet.
async fn fill(database: &Database, receiver: &Receiver) {
    database.migrate().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.insert_settled("one", "old.event", "complete", 50).await;
    let dispatcher = Dispatcher::start(database, &SHORT_LEASE).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert("order.created", "\"due\"").await;
    database.until("select count(*) = 1 from postrider.delivery where status = 'pending'").await;
    // The watermark is saved behind it.
    database.until("select routed_below > (select max(created_xid) from postrider.outbox) from postrider.installation").await;
    assert!(dispatcher.terminate().await.success());
    database
        .execute(
            "update postrider.outbox set created_at = now() - interval '8 days', completed_at = now() - interval '8 days'
             where topic = 'old.event';
             select postrider.resume_endpoint('one')",
        )
        .await;
    for n in 1..=3 {
        database.insert("order.created", &format!("\"unrouted {n}\"")).await;
    }
}

async fn adopt_as_original(database: &Database) {
    let adopted = CommandOutput::run(&database.url, &["adopt", "--as", "original"]).await;
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
}
