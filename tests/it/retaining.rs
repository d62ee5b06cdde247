//! Finished events are deleted when they are old enough, and nothing else is.

use crate::support::{Database, Dispatcher, Receiver};

/// Makes time pass for everything inserted so far.
async fn make_older(database: &Database, days: u32) {
    database
        .execute(&format!(
            "update postrider.outbox set created_at = created_at - interval '{days} days', \
             completed_at = completed_at - interval '{days} days'"
        ))
        .await;
}

#[tokio::test]
async fn old_finished_events_are_deleted_with_all_that_belongs_to_them() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("all", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, &["--lease", "4s", "--request-timeout", "2s"]).await;
    for _ in 0..20 {
        database.insert("old.event", "{}").await;
    }
    database.until_settled().await;
    make_older(&database, 8).await;
    let young = database.insert("young.event", "{}").await;
    database.until_settled().await;

    database.until("select count(*) = 1 from postrider.outbox").await;

    assert_eq!(database.value::<i64>("select id from postrider.outbox").await, young);
    assert_eq!(database.value::<i64>("select event_id from postrider.delivery_status").await, young);
    assert_eq!(database.value::<i64>("select event_id from postrider.attempt_log").await, young);
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn failed_events_are_kept_longer_and_unfinished_ones_for_ever() {
    let database = Database::new().await;
    let refusing = Receiver::start().await;
    refusing.answer(500);
    database.put_endpoint("refusing", &refusing.url(), "failing", "retry_schedule => '{1ms}'").await;
    database.put_endpoint("paused", &refusing.url(), "waiting", "").await;
    database.execute("select postrider.pause_endpoint('paused')").await;
    let dispatcher = Dispatcher::start(&database, &["--lease", "4s", "--request-timeout", "2s"]).await;
    let failed = database.insert("failing", "{}").await;
    let waiting = database.insert("waiting", "{}").await;
    database.until(&format!("select status = 'failed' from postrider.outbox where id = {failed}")).await;
    database
        .until(&format!("select status = 'in_progress' from postrider.outbox where id = {waiting}"))
        .await;
    make_older(&database, 20).await;
    let marker = database.insert("nobody.listens", "{}").await;
    database.until_settled_but(waiting).await;
    database
        .execute(&format!(
            "update postrider.outbox set completed_at = completed_at - interval '8 days', \
             created_at = created_at - interval '19 days' where id = {marker}"
        ))
        .await;

    // The marker comes after them in order of id: when it is gone, they have been looked at.
    database.until(&format!("select not exists (select from postrider.outbox where id = {marker})")).await;

    let left: Vec<i64> = database
        .rows("select id from postrider.outbox order by id", &[])
        .await
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(left, [failed, waiting]);
    make_older(&database, 11).await;
    database.until(&format!("select not exists (select from postrider.outbox where id = {failed})")).await;
    assert!(database.is("select count(*) = 1 from postrider.outbox").await);
    assert!(dispatcher.terminate().await.success());
}
