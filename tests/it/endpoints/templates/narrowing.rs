//! What a template may lead to: only addresses that run allows and that are in its own ranges, judged when they are dialled.

use serde_json::json;

use super::{insert_for, put_template, with};
use crate::support::{Canaries, Database, Dispatcher, QUIET, Receiver};

/// The error of the only attempt on each endpoint, in order of the ids.
async fn errors(database: &Database, count: usize) -> Vec<String> {
    database.until(&format!("select count(*) = {count} from postrider.attempt_log")).await;
    let rows = database.rows("select error from postrider.attempt_log order by endpoint_id", &[]).await;
    rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
}

#[tokio::test]
async fn the_ranges_of_a_template_narrow_what_run_allows() {
    let database = Database::new().await;
    let url = format!("http://{{ip}}:{}/", Canaries::get().port);
    // run allows all of 127.0.0.0/8; the template a part of it, and more than run.
    let more = "retry_schedule => '{7d}', allow_cidr => '{127.9.0.0/16,10.0.0.0/8}'";
    put_template(&database, "devices", &url, more).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    for value in ["10.1.2.3", &QUIET.to_string(), &format!("::ffff:{QUIET}"), "localhost", "8.8.8.8"] {
        insert_for(&database, &format!("devices/{value}")).await;
    }

    let outside =
        |address: &str| format!("address {address} is not allowed: in no range of its template's allow_cidr");
    let errors = errors(&database, 5).await;
    assert_eq!(errors[0], "address 10.1.2.3 is not allowed: private, 10.0.0.0/8 (--allow-cidr permits it)");
    assert_eq!(errors[1], outside(&QUIET.to_string()));
    assert_eq!(errors[2], outside("8.8.8.8"));
    assert_eq!(errors[3], outside(&QUIET.to_string()));
    // The name is judged by the address that it leads to.
    assert_eq!(errors[4], outside("127.0.0.1"));
    Canaries::get().assert_untouched();
}

#[tokio::test]
async fn a_connection_of_another_endpoint_is_not_used_for_a_narrower_one() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    // The same host and port: an idle connection leads there.
    database.put_endpoint("wide", &receiver.url_at("localhost"), "**", "").await;
    let narrow = "retry_schedule => '{7d}', allow_cidr => '{127.9.0.0/16}'";
    put_template(&database, "narrow", &with(&receiver, "{host}", "/narrow"), narrow).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "{}").await;
    receiver.next().await;
    database.until_settled().await;

    insert_for(&database, "narrow/localhost").await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;

    database
        .assert_row(
            "select error from postrider.attempt_log where endpoint_id = 'narrow/localhost'",
            json!({"error": "address 127.0.0.1 is not allowed: in no range of its template's allow_cidr"}),
        )
        .await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_template_is_narrowed_and_widened_again_while_it_is_used() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    put_template(&database, "devices", &with(&receiver, "{ip}", "/x"), "retry_schedule => '{1h}'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert_for(&database, "devices/127.9.0.1").await;
    database.until_settled().await;

    database.execute(r#"select postrider.set_endpoint('devices', '{"allow_cidr": ["127.8.0.0/16"]}')"#).await;
    insert_for(&database, "devices/127.9.0.1").await;
    database
        .until(
            "select exists (select from postrider.attempt_log where error like 'address 127.9.0.1 is not%')",
        )
        .await;
    let before = receiver.count();
    database.execute(r#"select postrider.set_endpoint('devices', '{"allow_cidr": null}')"#).await;
    database.make_due().await;
    database.until_settled().await;

    assert_eq!((before, receiver.count()), (1, 2));
}

#[tokio::test]
async fn a_template_that_forbids_plain_http_sends_nothing_by_it() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    let more = "retry_schedule => '{7d}', allow_http => false";
    put_template(&database, "devices", &with(&receiver, "{ip}", "/x"), more).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    insert_for(&database, "devices/127.9.0.1").await;

    assert_eq!(errors(&database, 1).await, ["url needs https (--allow-http permits http)"]);
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn behind_an_egress_proxy_a_narrowed_template_takes_addresses_and_no_names() {
    let (database, proxy) = (Database::new().await, Receiver::start().await);
    let more = "retry_schedule => '{7d}', allow_cidr => '{127.9.0.0/16}'";
    put_template(&database, "devices", "http://{host}:8080/x", more).await;
    let origin = proxy.url().replace("/hook", "");
    let _dispatcher = Dispatcher::start(&database, &["--egress-proxy", &origin]).await;

    for value in ["127.9.0.1", "127.8.0.1", "receiver.example"] {
        insert_for(&database, &format!("devices/{value}")).await;
    }

    let errors = errors(&database, 3).await;
    assert_eq!(errors[0], "address 127.8.0.1 is not allowed: in no range of its template's allow_cidr");
    assert_eq!(errors[1], "");
    assert!(errors[2].starts_with("a name is not allowed by its template's allow_cidr"), "{errors:?}");
    let uris: Vec<String> = proxy.all().iter().map(|request| request.uri.to_string()).collect();
    assert_eq!(uris, ["http://127.9.0.1:8080/x"]);
    database
        .assert_row(
            "select count(*) from postrider.delivery_status where status = 'complete'",
            json!({"count": 1}),
        )
        .await;
}
