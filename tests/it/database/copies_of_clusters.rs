//! Copies and moves from one cluster to another: by dump, by logical replication, and file by file.

use serde_json::json;

use crate::support::{CommandOutput, Database, Dispatcher, Installation, Receiver, Server, eventually};

#[tokio::test]
async fn a_dump_that_is_restored_elsewhere_sends_nothing_until_it_is_adopted() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source
        .can_be_dumped(
            "database::copies_of_clusters::a_dump_that_is_restored_elsewhere_sends_nothing_until_it_is_adopted",
        )
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    leave_work(&source.database, &receiver).await;
    source.dump_into(&target).await;

    let dispatcher = Dispatcher::spawn(&target.database.url, &[]);
    dispatcher.logged("nothing is sent: this is a copy").await;
    assert_eq!(receiver.count(), 0);
    adopt(&target.database, "original").await;
    target.database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2, 2));
    target.database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_logical_replica_sends_nothing_until_it_is_adopted_and_loses_nothing_then() {
    let source = Installation::start_with(&["wal_level=logical"]).await;
    let target = Installation::start_with(&["wal_level=logical"]).await;
    if !source
        .can_be_dumped(
            "database::copies_of_clusters::a_logical_replica_sends_nothing_until_it_is_adopted_and_loses_nothing_then",
        )
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    source.burn(3000).await;
    leave_work(&source.database, &receiver).await;
    replicate(&source, &target).await;
    // While it streams, too.
    source.database.insert("order.created", "\"streamed\"").await;
    target.database.until("select count(*) = 3 from postrider.outbox").await;

    let dispatcher = Dispatcher::spawn(&target.database.url, &[]);
    dispatcher.logged("nothing is sent: this is a copy").await;
    assert_eq!(receiver.count(), 0);
    target.database.execute("drop subscription moving").await;
    adopt(&target.database, "original").await;
    dispatcher.logged("going on").await;
    target.database.insert("order.created", "\"of the target\"").await;
    target.database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (4, 4));
    target.database.assert_counts_agree().await;
}

#[tokio::test]
async fn events_that_logical_replication_brings_into_an_installation_at_work_are_sent() {
    let source = Installation::start_with(&["wal_level=logical"]).await;
    let target = Installation::start_with(&["wal_level=logical"]).await;
    let receiver = Receiver::start().await;
    source.database.migrate().await;
    target.burn(5000).await;
    target.database.migrate().await;
    target.database.put_endpoint("one", &receiver.url(), "**", "").await;
    let _dispatcher = Dispatcher::start(&target.database, &[]).await;
    // Its watermark is far above the transactions of the source.
    target.database.until("select routed_below > '5000' from postrider.installation").await;
    source.database.insert("order.created", "\"copied\"").await;

    source.database.execute("create publication events for table postrider.outbox").await;
    subscribe(&source, &target, "events").await;
    target.database.until("select exists (select from postrider.outbox)").await;
    source.database.insert("order.created", "\"streamed\"").await;

    eventually("both are sent", || async { receiver.webhook_ids().len() == 2 }).await;
    target.database.execute("drop subscription moving").await;
}

#[tokio::test]
async fn a_dump_of_a_cluster_whose_transactions_are_two_epochs_ahead_is_delivered_in_a_younger_one() {
    let (source, target) = (Installation::start().await, Installation::start().await);
    if !source
        .can_be_dumped(
            "database::copies_of_clusters::a_dump_of_a_cluster_whose_transactions_are_two_epochs_ahead_is_delivered_in_a_younger_one",
        )
        .await
    {
        return;
    }
    let receiver = Receiver::start().await;
    leave_work(&source.database, &receiver).await;
    // As after `pg_resetwal -e 2`.
    source
        .database
        .execute(
            "update postrider.outbox set created_xid = (8589934592 + created_xid::text::bigint)::text::xid8;
             update postrider.installation set routed_below = (8589934592 + routed_below::text::bigint)::text::xid8",
        )
        .await;
    source.dump_into(&target).await;

    adopt(&target.database, "original").await;
    let _dispatcher = Dispatcher::start(&target.database, &[]).await;
    target.database.insert("order.created", "\"of the younger\"").await;
    target.database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (3, 3));
    target.database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_physical_copy_is_told_from_its_original_by_the_name_that_its_dispatchers_are_told() {
    let server = Server::start().await;
    let database = server.database().await;
    let receiver = Receiver::start().await;
    leave_work(&database, &receiver).await;
    let named =
        CommandOutput::run(&database.url, &["adopt", "--as", "original", "--installation", "production"])
            .await;
    assert_eq!(named.code, Some(0), "{named:?}");
    drop(database);

    let copy = server.physical_copy().await;
    let at_copy = Dispatcher::spawn(copy.url(), &["--installation", "staging"]);
    let at_original = Dispatcher::spawn(server.url(), &["--installation", "production"]);

    at_copy.logged("named \"production\", and the dispatcher was told \"staging\"").await;
    at_original.logged("runs, schema version").await;
    Database::at(server.url()).await.until_settled().await;
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2, 2));
    let copy = Database::at(copy.url()).await;
    copy.assert_row("select count(*) from postrider.outbox where status = 'pending'", json!({"count": 1}))
        .await;
}

/// An installation where a dispatcher has been: a delivery that waits, and an event that is not routed.
async fn leave_work(database: &Database, receiver: &Receiver) {
    database.migrate().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(database, &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert("order.created", "\"routed\"").await;
    database.until("select count(*) = 1 from postrider.delivery where status = 'pending'").await;
    assert!(dispatcher.terminate().await.success());
    database.execute("select postrider.resume_endpoint('one')").await;
    database.insert("order.created", "\"unrouted\"").await;
}

async fn adopt(database: &Database, kind: &str) {
    let adopted = CommandOutput::run(&database.url, &["adopt", "--as", kind]).await;
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
}

/// All tables of ours, into another cluster, as an upgrade by logical replication does it.
async fn replicate(source: &Installation, target: &Installation) {
    target.create_roles().await;
    source.dump(&["--schema-only"]).await;
    source.restore_into(target, &[]).await;
    source
        .database
        .execute(
            "do $$ begin execute (
                 select 'create publication moving for table ' || string_agg(format('postrider.%I', c.relname), ', ')
                 from pg_class as c where c.relnamespace = 'postrider'::regnamespace and c.relkind = 'r'); end $$",
        )
        .await;
    subscribe(source, target, "moving").await;
    target.database.until("select bool_and(srsubstate = 'r') from pg_subscription_rel").await;
}

async fn subscribe(source: &Installation, target: &Installation, publication: &str) {
    target
        .database
        .execute(&format!(
            "create subscription moving connection '{}' publication {publication}",
            source.cluster.url
        ))
        .await;
}
