//! What `GET /metrics` reads of the database: the right numbers, at a bounded price, and as much of them as there is.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::support::{Database, Dispatcher, SECRET, Scraped, one_endpoint};

#[tokio::test]
async fn what_waits_for_a_paused_endpoint_is_backlog_but_not_overdue() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert_many("order.created", 7).await;
    database.until("select pending = 7 from postrider.backlog").await;

    make_older(&database).await;

    Scraped::until(&dispatcher, "a backlog of 7", |scraped| {
        scraped.value("postrider_backlog_pending") == Some(7.0)
            && scraped.value("postrider_backlog_unrouted") == Some(0.0)
            && scraped.value("postrider_backlog_oldest_unrouted_age_seconds") == Some(0.0)
            && scraped.value("postrider_backlog_oldest_due_age_seconds") == Some(0.0)
            && scraped.value("postrider_endpoint_pending{endpoint=\"one\"}") == Some(7.0)
            && scraped.value("postrider_endpoint_enabled{endpoint=\"one\"}") == Some(0.0)
            && is_hours(scraped, "postrider_endpoint_oldest_pending_age_seconds{endpoint=\"one\"}", 2.0)
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_slot_is_overdue() {
    let (database, receiver, dispatcher) = one_endpoint("max_in_flight => 1", &[]).await;
    receiver.hold();
    database.insert_many("order.created", 100).await;
    database.until("select pending > 0 and unrouted = 0 from postrider.backlog").await;

    make_older(&database).await;

    Scraped::until(&dispatcher, "due for an hour", |scraped| {
        is_hours(scraped, "postrider_backlog_oldest_due_age_seconds", 1.0)
            && scraped.value("postrider_backlog_in_progress") > Some(0.0)
            && scraped.value("postrider_endpoint_enabled{endpoint=\"one\"}") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_routed_is_backlog() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database
        .execute(
            "create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
             create trigger fail before insert on postrider.delivery execute function fail()",
        )
        .await;

    database
        .execute(
            "insert into postrider.outbox (topic, payload, created_at)
             select 'order.created', '{}', now() - interval '1 hour' from generate_series(1, 3)",
        )
        .await;

    Scraped::until(&dispatcher, "three unrouted events", |scraped| {
        scraped.value("postrider_backlog_unrouted") == Some(3.0)
            && is_hours(scraped, "postrider_backlog_oldest_unrouted_age_seconds", 1.0)
    })
    .await;
}

#[tokio::test]
async fn of_many_endpoints_those_with_the_most_waiting_are_shown() {
    let database = Database::new().await;
    database
        .execute(&format!(
            "select postrider.put_endpoint('e' || n, 'https://example.com/', '{{}}', secret => '{SECRET}'),
                    postrider.pause_endpoint('e' || n)
             from generate_series(1, 150) as n;
             insert into postrider.outbox (topic, payload, destination)
             select 'a.b', '{{}}', 'e' || n from generate_series(140, 150) as n"
        ))
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select pending = 11 from postrider.backlog").await;

    Scraped::until(&dispatcher, "all that wait", |scraped| {
        (140..=150)
            .all(|n| scraped.value(&format!("postrider_endpoint_pending{{endpoint=\"e{n}\"}}")) == Some(1.0))
    })
    .await;

    let scraped = Scraped::of(&dispatcher).await;
    let labelled: Vec<_> =
        scraped.names().into_iter().filter(|n| n.starts_with("postrider_endpoint_")).collect();
    assert!(labelled.len() >= 5, "{labelled:?}");
    assert!(labelled.iter().all(|name| scraped.count(name) == 100), "{}", scraped.text);
    assert_eq!(scraped.value("postrider_endpoints_omitted"), Some(50.0));
}

#[tokio::test]
async fn the_tables_are_measured() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    for _ in 0..500 {
        receiver.answer_once(200, &[], b"an answer to keep");
    }
    database.insert_many("order.created", 500).await;
    database.until_settled().await;
    let old = database.connect().await;
    old.batch_execute("begin isolation level repeatable read; select").await.unwrap();

    // The server's statistics come a moment late.
    Scraped::until(&dispatcher, "all tables", |scraped| {
        ["outbox", "delivery", "attempt"].iter().all(|table| {
            let of = |name| scraped.value(&format!("postrider_table_{name}{{table=\"{table}\"}}"));
            of("live_tuples") == Some(500.0)
                && of("size_bytes") >= Some(8192.0)
                && of("dead_tuples").is_some()
                // Nobody updates an attempt.
                && of("hot_update_ratio").is_some() == (*table != "attempt")
        }) && scraped.value("postrider_table_size_bytes{table=\"claim\"}").is_some()
            && scraped.value("postrider_oldest_snapshot_age_seconds") > Some(0.0)
            && scraped.value("postrider_notification_queue_usage_ratio") < Some(0.1)
    })
    .await;
}

#[tokio::test]
async fn without_a_database_a_dispatcher_still_says_what_it_knows_itself() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    database.admit_connections(false).await;
    cut_connections(&database).await;

    Scraped::until(&dispatcher, "no database", |scraped| scraped.value("postrider_database_up") == Some(0.0))
        .await;

    let scraped = Scraped::of(&dispatcher).await;
    assert_eq!(scraped.value("postrider_attempts_total{outcome=\"success\"}"), Some(1.0));
    assert_eq!(scraped.value("postrider_backlog_pending"), None);
    database.admit_connections(true).await;
    Scraped::until(&dispatcher, "a database", |scraped| scraped.value("postrider_database_up") == Some(1.0))
        .await;
}

#[tokio::test]
async fn a_part_that_cannot_be_read_hides_no_other() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let lock = database.connect().await;

    lock.batch_execute("begin; lock postrider.endpoint in access exclusive mode").await.unwrap();

    Scraped::until(&dispatcher, "all but what knows of endpoints", |scraped| {
        scraped.value("postrider_database_up") == Some(0.0)
            && scraped.value("postrider_endpoints_omitted").is_none()
            && scraped.value("postrider_table_live_tuples{table=\"outbox\"}") == Some(0.0)
            && scraped.value("postrider_notification_queue_usage_ratio").is_some()
    })
    .await;
}

#[tokio::test]
async fn many_scrapers_share_one_reading() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert("order.created", "{}").await;
    // Grows by the millisecond.
    let age =
        |scraped: &Scraped| scraped.value("postrider_endpoint_oldest_pending_age_seconds{endpoint=\"one\"}");
    Scraped::until(&dispatcher, "something due", |scraped| age(scraped) > Some(0.0)).await;

    let scrapes = join_all((0..100).map(|_| Scraped::of(&dispatcher))).await;

    // Two, if the first reading ceased to be fresh meanwhile.
    let readings: HashSet<_> = scrapes.iter().map(|scraped| age(scraped).unwrap().to_bits()).collect();
    assert!(readings.len() <= 2, "{readings:?}");
}

#[tokio::test]
async fn a_scraper_that_goes_away_leaves_its_reading_to_the_next() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let lock = database.connect().await;
    lock.batch_execute("begin; lock postrider.endpoint in access exclusive mode").await.unwrap();
    let waits = "select count(*) = 1 from pg_stat_activity
                 where datname = current_database() and application_name = 'postrider metrics'
                   and wait_event_type = 'Lock'";
    tokio::select! {
        _ = Scraped::of(&dispatcher) => panic!("the endpoints are locked"),
        () = database.until(waits) => {}
    }

    lock.batch_execute("rollback").await.unwrap();

    assert_eq!(Scraped::of(&dispatcher).await.value("postrider_database_up"), Some(1.0));
}

#[tokio::test]
async fn a_mere_dispatcher_may_read_all_of_it() {
    let database = Database::new().await;
    let url = database.login(Some("postrider_dispatcher")).await;

    let dispatcher = Dispatcher::spawn(&url, &["--no-migrate"]);

    Scraped::until(&dispatcher, "all", |scraped| scraped.value("postrider_database_up") == Some(1.0)).await;
}

async fn cut_connections(database: &Database) {
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name like 'postrider%'",
        )
        .await;
}

/// Makes time pass for what waits: due an hour ago, routed two hours ago.
async fn make_older(database: &Database) {
    database
        .execute(
            "update postrider.delivery
             set due_at = due_at - interval '1 hour', created_at = created_at - interval '2 hours'
             where due_at is not null",
        )
        .await;
}

fn is_hours(scraped: &Scraped, series: &str, hours: f64) -> bool {
    let seconds = hours * 3600.0;
    scraped.value(series).is_some_and(|age| (seconds..seconds + 60.0).contains(&age))
}
