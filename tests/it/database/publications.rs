//! Somebody publishes our tables: PostgreSQL then changes only rows that it can tell apart. Every table has an identity, and a
//! publication that hides it is named.

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Database, Dispatcher, Receiver, one_endpoint};

#[tokio::test]
async fn every_table_has_rows_that_can_be_told_apart() {
    let database = Database::new().await;

    let without = "select c.relname::text from pg_class as c
        where c.relnamespace = 'postrider'::regnamespace and c.relkind in ('r', 'p')
          and c.relreplident <> 'f'
          and not (c.relreplident = 'd' and exists (
              select from pg_index as i where i.indrelid = c.oid and i.indisprimary and i.indimmediate))";

    let rows = database.rows(without, &[]).await;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, Vec::<String>::new());
}

#[tokio::test]
async fn housekeeping_goes_on_where_somebody_publishes_everything() {
    let is_15 = "select current_setting('server_version_num')::int >= 150000";
    for publication in ["for all tables", "for tables in schema postrider"] {
        let database = Database::new().await;
        if publication.contains("in schema") && !database.is(is_15).await {
            return;
        }
        let receiver = Receiver::start().await;
        database.execute(&format!("create publication everything {publication}")).await;
        database.put_endpoint("one", &receiver.url(), "**", "").await;
        let dispatcher = Dispatcher::start(
            &database,
            &["--lease", "4s", "--request-timeout", "2s", "--retain-complete", "1s"],
        )
        .await;

        for number in 0..5 {
            database.insert("order.created", &number.to_string()).await;
        }
        receiver.next().await;
        database.execute("select postrider.rotate_secret('one', overlap => '1 ms')").await;
        database.execute("select postrider.delete_endpoint('one')").await;

        // Counts are summed up, rotated secrets forgotten, and events deleted.
        database
            .until(
                "select (select count(*) from postrider.outbox) = 0 and (select count(*) from postrider.endpoint_stat) = 0
                    and (select count(*) from postrider.old_secret) = 0",
            )
            .await;
        assert!(!dispatcher.log().contains("maintenance failed"), "{}", dispatcher.log());
        let checks = doctor(&database.url, &[]).await;
        assert!(!checks.stdout.contains("\"publications\""), "{}", checks.stdout);
    }
}

#[tokio::test]
async fn a_publication_that_keeps_rows_from_being_changed_is_named_with_its_reason() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    if !database.is("select current_setting('server_version_num')::int >= 150000").await {
        return;
    }
    for (publication, said) in [
        ("for table postrider.outbox (topic, payload)", "leaves out the table's key"),
        ("for table postrider.outbox where (topic = 'a')", "row filter uses a column"),
        ("for table postrider.outbox (id, topic) where (topic = 'a' and id > 0)", "row filter uses a column"),
        ("for all tables", "has no replica identity"),
    ] {
        let is_all = publication == "for all tables";
        if is_all {
            database.execute("alter table postrider.outbox replica identity nothing").await;
        }
        database.execute(&format!("create publication part {publication}")).await;

        let checks = doctor(&database.url, &[]).await;
        let finding = found(&checks, "publications");
        assert_eq!(finding["result"], "fail", "{publication}");
        assert!(text(&finding, "message").contains(said), "{publication}: {finding}");
        database.insert("order.created", "1").await;
        // The event's own row cannot be written: it waits, and nothing else does.
        dispatcher.logged(if is_all { "replica identity" } else { "\"postrider doctor\" says which" }).await;
        database.execute("drop publication part").await;
        database.until("select postrider.retry_set_aside() >= 0").await;
        receiver.next().await;
        database.until_settled().await;
    }
    for harmless in [
        "for table postrider.outbox (id, topic)",
        "for table postrider.outbox where (id > 5)",
        "for table postrider.outbox (topic) with (publish = 'insert')",
        "for table postrider.endpoint_stat where (complete > 0)",
    ] {
        database.execute("alter table postrider.outbox replica identity default").await;
        database.execute(&format!("create publication part {harmless}")).await;

        let checks = doctor(&database.url, &[]).await;

        assert!(!checks.stdout.contains("\"publications\""), "{harmless}: {}", checks.stdout);
        database.execute("drop publication part").await;
    }
}
