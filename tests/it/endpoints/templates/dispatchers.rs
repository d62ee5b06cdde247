//! Endpoints of templates among several dispatchers, over restarts, up to the limit, and when nobody sends to them any more.

use serde_json::json;

use super::{insert_for, put_template, with};
use crate::support::{Database, Dispatcher, Receiver, SHORT_LEASE};

#[tokio::test]
async fn two_dispatchers_make_each_endpoint_once() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let one = Dispatcher::start(&database, &[]).await;
    let _two = Dispatcher::start(&database, &[]).await;

    for _ in 0..10 {
        database
            .execute(
                "insert into postrider.outbox (topic, payload, destination)
                 select 'config.updated', '{}', 'devices/' || (n % 200) from generate_series(1, 400) as n order by random()",
            )
            .await;
    }
    database.until_settled().await;

    database
        .assert_row(
            "select (select count(*) from postrider.endpoint where template_no is not null) as endpoints,
                    count(*) as deliveries, count(*) filter (where status = 'complete' and attempts = 1) as complete
             from postrider.delivery_status",
            json!({"endpoints": 200, "deliveries": 4000, "complete": 4000}),
        )
        .await;
    database.assert_counts_agree().await;
    assert!(!one.log().contains("ERROR"), "{}", one.log());
}

#[tokio::test]
async fn what_waits_for_an_endpoint_that_another_dispatcher_made_is_sent_by_the_one_that_is_left() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = with(&receiver, "127.0.0.1", "/{id}");
    put_template(&database, "devices", &url, "retry_schedule => '{1h}'").await;
    let maker = Dispatcher::start(&database, &[]).await;
    let left = Dispatcher::start(&database, &[]).await;
    receiver.answer(500);
    for number in 0..40 {
        insert_for(&database, &format!("devices/{number}")).await;
    }
    database.until("select count(*) = 40 from postrider.attempt_log").await;
    receiver.answer(200);

    // Each has made some.
    maker.terminate().await;
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 40);
    left.terminate().await;
    let _new = Dispatcher::start(&database, &[]).await;
    insert_for(&database, "devices/7").await;
    database.until_settled().await;
    database
        .assert_row(
            "select count(*) as endpoints,
                    (select count(*) from postrider.delivery_status where endpoint_id = 'devices/7') as deliveries
             from postrider.endpoint where template_no is not null",
            json!({"endpoints": 40, "deliveries": 2}),
        )
        .await;
}

#[tokio::test]
async fn beyond_the_limit_an_event_fails_visibly_and_the_others_go_on() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    database.execute("update postrider.installation set endpoints_max = 3").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    for id in ["devices/a", "devices/b"] {
        insert_for(&database, id).await;
    }
    database.until_settled().await;
    for id in ["devices/c", "devices/a"] {
        insert_for(&database, id).await;
    }
    database.until_settled().await;

    dispatcher.logged("cannot make 1 endpoints of templates, as \"devices/c\"").await;
    database
        .assert_row(
            "select count(*) filter (where status = 'complete') as complete,
                    count(*) filter (where status = 'failed' and destination = 'devices/c' and deliveries = 0) as failed,
                    (select unknown_destination_24h from postrider.backlog) as counted
             from postrider.outbox",
            json!({"complete": 3, "failed": 1, "counted": 1}),
        )
        .await;
    database.execute("update postrider.installation set endpoints_max = 4").await;
    insert_for(&database, "devices/c").await;
    database.until("select count(*) = 4 from postrider.outbox where status = 'complete'").await;
}

#[tokio::test]
async fn an_endpoint_of_a_template_without_deliveries_for_a_week_is_forgotten_and_comes_back() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = with(&receiver, "127.0.0.1", "/{id}");
    put_template(&database, "devices", &url, "retry_schedule => '{1h}'").await;
    let first = Dispatcher::start(&database, &SHORT_LEASE).await;
    for id in ["devices/idle", "devices/paused", "devices/used", "devices/waiting"] {
        if id == "devices/waiting" {
            receiver.answer_once(500, &[], b"");
        }
        insert_for(&database, id).await;
        receiver.next().await;
    }
    database.until("select not exists (select from postrider.delivery where status = 'in_progress')").await;
    database.execute("select postrider.pause_endpoint('devices/paused')").await;
    first.terminate().await;
    database
        .execute(
            "update postrider.endpoint set changed_at = now() - interval '8 days' where template_no is not null;
             delete from postrider.endpoint_stat
             where endpoint_no <> (select endpoint_no from postrider.endpoint where id = 'devices/used');
             delete from postrider.endpoint_stat_hourly
             where endpoint_no <> (select endpoint_no from postrider.endpoint where id = 'devices/used')",
        )
        .await;

    let _second = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until("select exists (select from postrider.endpoint where reason = 'idle')").await;

    database
        .assert_rows(
            "select id from postrider.endpoint where state = 'deleted' order by id",
            vec![json!({"id": "devices/idle"})],
        )
        .await;
    insert_for(&database, "devices/idle").await;
    assert_eq!(receiver.next().await.uri.path(), "/idle");
    database
        .until("select count(*) = 2 from postrider.delivery_status where endpoint_id = 'devices/idle'")
        .await;
}

#[tokio::test]
async fn nothing_is_lost_where_an_endpoint_is_forgotten_while_an_event_is_routed_to_it() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = with(&receiver, "127.0.0.1", "/{id}");
    put_template(&database, "devices", &url, "retry_schedule => '{1ms,1h}'").await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    for id in ["devices/a", "devices/b"] {
        receiver.answer_once(500, &[], b"");
        receiver.answer_once(500, &[], b"");
        insert_for(&database, id).await;
    }
    database
        .until("select count(*) = 2 from postrider.delivery_status where attempts = 2 and status = 'pending'")
        .await;

    // As if it had been idle a moment ago. Of one there is a successor already.
    database
        .execute(
            "update postrider.endpoint set state = 'deleted', reason = 'idle' where template_no is not null",
        )
        .await;
    insert_for(&database, "devices/b").await;
    database.until("select exists (select from postrider.delivery_status where endpoint_id = 'devices/b' and status = 'complete')").await;
    database
        .until("select exists (select from postrider.endpoint where id = 'devices/a' and state = 'enabled')")
        .await;
    database
        .until(
            "select count(*) = 1 from postrider.delivery as d
             join postrider.endpoint as e on e.endpoint_no = d.endpoint_no and e.state = 'enabled'
             where e.id = 'devices/b' and d.due_at is not null",
        )
        .await;
    database.make_due().await;
    database.until_settled().await;

    database
        .assert_row("select count(*) from postrider.outbox where status = 'complete'", json!({"count": 3}))
        .await;
    database.assert_counts_agree().await;
}
