//! Endpoint templates: an event whose destination is `TEMPLATE/VALUE` goes to the URL with the value in it, as an endpoint of its own.

mod dispatchers;
mod fleet;
mod hostile_values;
mod logins;
mod narrowing;
mod surfaces;

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, SECRET};

/// A template without subscriptions.
pub(super) async fn put_template(database: &Database, id: &str, url: &str, more: &str) {
    database.put_endpoint(id, url, "", more).await;
}

/// An event for one destination.
pub(super) async fn insert_for(database: &Database, destination: &str) -> i64 {
    let insert = "insert into postrider.outbox (topic, payload, destination) values ('config.updated', '{}', $1) returning id";
    database.client.query_one(insert, &[&destination]).await.unwrap().get(0)
}

/// The URL of a receiver with a value for its port, its host or a segment of its path.
pub(super) fn with(receiver: &Receiver, host: &str, path: &str) -> String {
    receiver.url_at(host).replace("/hook", path)
}

#[tokio::test]
async fn a_value_is_sent_to_as_host_as_port_and_as_segment_of_the_path() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    let port = receiver.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    put_template(&database, "hosts", &with(&receiver, "{destination}", "/config"), "").await;
    put_template(&database, "ports", "http://127.0.0.1:{port}/p", "").await;
    put_template(&database, "paths", &with(&receiver, "127.0.0.1", "/d/{id}/config?x=1"), "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    for (destination, uri, host) in [
        ("hosts/127.20.3.4".to_owned(), "/config", Some("127.20.3.4")),
        (format!("ports/{port}"), "/p", None),
        ("paths/10.20.3.4".to_owned(), "/d/10.20.3.4/config?x=1", None),
        ("paths/a b/c?d#e%2f@:\\".to_owned(), "/d/a%20b%2Fc%3Fd%23e%252f%40%3A%5C/config?x=1", None),
    ] {
        insert_for(&database, &destination).await;

        let request = receiver.next().await;
        request.verify();
        assert_eq!(request.uri.to_string(), uri, "{destination}");
        if let Some(host) = host {
            assert_eq!(request.header("host"), format!("{host}:{port}"), "{destination}");
        }
    }
    database.until_settled().await;
    database
        .assert_row(
            "select count(*) filter (where status = 'complete') as complete,
                    count(distinct endpoint_id) filter (where endpoint_id like '%/%') as endpoints
             from postrider.delivery_status",
            json!({"complete": 4, "endpoints": 4}),
        )
        .await;
}

#[tokio::test]
async fn one_device_that_hangs_delays_no_other() {
    let (database, dead, alive) = (Database::new().await, Receiver::start().await, Receiver::start().await);
    let port = |receiver: &Receiver| {
        receiver.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned()
    };
    dead.hold();
    put_template(&database, "devices", "http://127.0.0.1:{port}/", "max_in_flight => 1").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    for _ in 0..20 {
        insert_for(&database, &format!("devices/{}", port(&dead))).await;
    }
    dead.next().await;

    for _ in 0..20 {
        insert_for(&database, &format!("devices/{}", port(&alive))).await;
    }

    database.until("select count(*) = 20 from postrider.delivery_status where status = 'complete'").await;
    assert_eq!((alive.count(), dead.count()), (20, 1));
    dead.release();
    database.until_settled().await;
}

#[tokio::test]
async fn a_device_that_is_down_has_a_circuit_and_a_health_of_its_own() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let retries = format!("retry_schedule => '{{{}}}'", vec!["1ms"; 20].join(","));
    put_template(&database, "devices", "http://127.0.0.1:{port}/", &retries).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    let alive = receiver.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    // Nobody listens there.
    let down = insert_for(&database, "devices/61998").await;
    database.until("select exists (select from postrider.endpoint_health where health = 'down')").await;

    insert_for(&database, &format!("devices/{alive}")).await;
    database.until_settled_but(down).await;

    database
        .assert_rows(
            "select endpoint_id, template_id, health from postrider.endpoint_health
             where endpoint_id in ('devices', 'devices/61998') order by endpoint_id",
            vec![
                json!({"endpoint_id": "devices", "template_id": null, "health": "healthy"}),
                json!({"endpoint_id": "devices/61998", "template_id": "devices", "health": "down"}),
            ],
        )
        .await;
    let health =
        format!("select health, url from postrider.endpoint_health where endpoint_id = 'devices/{alive}'");
    let url = format!("http://127.0.0.1:{alive}/");
    database.assert_row(&health, json!({"health": "healthy", "url": url})).await;
}

#[tokio::test]
async fn a_changed_template_reaches_all_its_endpoints() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert_for(&database, "devices/a").await;
    receiver.next().await.verify();

    let url = with(&receiver, "127.0.0.1", "/v2/{id}");
    let change = json!({"url": url, "headers": {"x-fleet": "north"}, "format": "cloudevents-binary"});
    database.execute(&format!("select postrider.set_endpoint('devices', '{change}')")).await;
    database.execute("select postrider.rotate_secret('devices')").await;
    insert_for(&database, "devices/a").await;

    let request = receiver.next().await;
    // The old secret signs too.
    request.verify();
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    assert_eq!((request.uri.path(), request.header("x-fleet")), ("/v2/a", "north"));
    assert_eq!(request.header("ce-type"), "config.updated");
    database.until_settled().await;
    database
        .assert_row(
            "select count(*) from postrider.endpoint where template_no is not null",
            json!({"count": 1}),
        )
        .await;
}

#[tokio::test]
async fn nothing_of_a_template_is_copied() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert_for(&database, "devices/a").await;
    database.until_settled().await;

    database
        .assert_row(
            "select url, secret, headers, auth, signing_key, client_certificate
             from postrider.endpoint where id = 'devices/a'",
            json!({"url": null, "secret": null, "headers": {}, "auth": null, "signing_key": null, "client_certificate": null}),
        )
        .await;
}

#[tokio::test]
async fn an_event_whose_destination_cannot_be_is_failed_and_counted() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("orders", &receiver.url(), "**", "").await;
    put_template(&database, "devices", "http://{ip}:8080/", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    for destination in [
        "devices",
        "devices/",
        "nothing/10.0.0.1",
        "orders/10.0.0.1",
        "devices/10.0.0.1/24",
        "/devices/10.0.0.1",
    ] {
        insert_for(&database, destination).await;
    }
    // The longest that the outbox takes.
    insert_for(&database, &format!("devices/{}", "a".repeat(312))).await;
    database.until_settled().await;

    database
        .assert_row(
            "select count(*) filter (where o.status = 'failed' and o.deliveries = 0) as failed,
                    (select unknown_destination_24h from postrider.backlog) as counted,
                    (select count(*) from postrider.endpoint) as endpoints
             from postrider.outbox as o",
            json!({"failed": 7, "counted": 7, "endpoints": 2}),
        )
        .await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn pausing_a_template_pauses_all_its_endpoints_and_a_pause_of_one_is_its_own() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    for id in ["devices/a", "devices/b"] {
        insert_for(&database, id).await;
    }
    database.until_settled().await;

    database.execute("select postrider.pause_endpoint('devices', 'new firmware'), postrider.pause_endpoint('devices/a')").await;
    for id in ["devices/a", "devices/b", "devices/c"] {
        insert_for(&database, id).await;
    }
    database.until("select count(*) = 3 from postrider.delivery_status where waits_for = 'pause'").await;

    database
        .assert_rows(
            "select endpoint_id, state, reason from postrider.endpoint_health where endpoint_id like '%/%' order by 1",
            vec![
                json!({"endpoint_id": "devices/a", "state": "paused", "reason": null}),
                json!({"endpoint_id": "devices/b", "state": "paused", "reason": "new firmware"}),
                json!({"endpoint_id": "devices/c", "state": "paused", "reason": "new firmware"}),
            ],
        )
        .await;
    database.execute("select postrider.resume_endpoint('devices')").await;
    database.until("select count(*) = 4 from postrider.delivery_status where status = 'complete'").await;
    database.execute("select postrider.resume_endpoint('devices/a')").await;
    database.until_settled().await;
    assert_eq!(receiver.count(), 5);
}

#[tokio::test]
async fn a_deleted_endpoint_of_a_template_is_made_again_and_a_deleted_template_takes_all_along() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = with(&receiver, "127.0.0.1", "/{id}");
    put_template(&database, "devices", &url, "retry_schedule => '{1h}'").await;
    let _dispatcher = Dispatcher::start(&database, &["--lease", "4s", "--request-timeout", "2s"]).await;
    insert_for(&database, "devices/a").await;
    database.until_settled().await;
    database.execute("select postrider.delete_endpoint('devices/a')").await;

    receiver.answer_once(500, &[], b"");
    insert_for(&database, "devices/a").await;
    database
        .until("select exists (select from postrider.endpoint_health where endpoint_id = 'devices/a' and pending = 1)")
        .await;
    let pending: i64 = database.value("select pending from postrider.delete_endpoint('devices')").await;
    database.until_settled().await;
    insert_for(&database, "devices/a").await;
    database.until_settled().await;

    assert_eq!((pending, receiver.count()), (1, 2));
    database
        .assert_row(
            "select count(*) as endpoints, count(*) filter (where state = 'deleted') as deleted,
                    (select count(*) from postrider.outbox where status = 'failed') as failed
             from postrider.endpoint",
            json!({"endpoints": 3, "deleted": 3, "failed": 2}),
        )
        .await;
}

#[tokio::test]
async fn what_a_template_may_not_be_is_refused_in_sql() {
    let database = Database::new().await;
    put_template(&database, "devices", "http://{ip}:8080/", "").await;
    database.put_endpoint("orders", "https://example.com/", "**", "").await;

    for (call, said) in [
        ("postrider.put_endpoint('a', 'http://{a}/{b}')", "endpoint \"a\": invalid url"),
        ("postrider.put_endpoint('a', 'http://h/?x={a}')", "endpoint \"a\": invalid url"),
        ("postrider.put_endpoint('a', '{a}://h/')", "endpoint \"a\": invalid url"),
        ("postrider.put_endpoint('a', 'http://h:8{a}/')", "endpoint \"a\": invalid url"),
        ("postrider.put_endpoint('a', 'http://[{a}]/')", "endpoint \"a\": invalid url"),
        ("postrider.put_endpoint('a', 'http://{a}/', '{order.*}')", "endpoint \"a\": invalid topics"),
        (
            "postrider.put_endpoint('a', 'http://h/', allow_http => true)",
            "endpoint \"a\": invalid allow_http",
        ),
        (
            "postrider.put_endpoint('a', 'http://h/', allow_cidr => '{10.0.0.0/8}')",
            "endpoint \"a\": invalid allow_cidr",
        ),
        (
            "postrider.put_endpoint('a', 'http://{a}/', allow_cidr => '{}')",
            "endpoint \"a\": invalid allow_cidr",
        ),
        ("postrider.put_endpoint('devices', 'https://example.com/')", "endpoint \"devices\": invalid url"),
        ("postrider.put_endpoint('orders', 'https://{x}/')", "endpoint \"orders\": invalid url"),
        (
            "postrider.set_endpoint('devices', '{\"topics\": [\"**\"]}')",
            "endpoint \"devices\": invalid topics",
        ),
        (
            "postrider.put_endpoint('devices/10.0.0.1', 'https://example.com/')",
            "endpoint \"devices/10.0.0.1\": invalid id",
        ),
    ] {
        let refused = database.refusal(&format!("select {call}")).await;

        assert_eq!((refused.code().code(), refused.message()), ("22023", said), "{call}");
        assert!(refused.detail().unwrap().starts_with("Allowed is "), "{call}");
    }
    database
        .assert_rows(
            "select id, topics from postrider.endpoint order by id",
            vec![json!({"id": "devices", "topics": []}), json!({"id": "orders", "topics": ["**"]})],
        )
        .await;
}

#[tokio::test]
async fn a_secret_is_sealed_for_the_template_and_opened_for_its_endpoints() {
    let key = crate::support::CommandOutput::run("", &["secret", "new-key"]).await.stdout;
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let _dispatcher = Dispatcher::start(&database, &["--encryption-key", key.trim()]).await;
    let auth = r#"auth => '{"type": "bearer", "token": "t"}'"#;
    put_template(&database, "ports", "http://127.0.0.1:{port}/", auth).await;
    database.until("select secret like 'sealed:%' and auth like 'sealed:%' from postrider.endpoint").await;

    let port = receiver.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    insert_for(&database, &format!("ports/{port}")).await;

    let request = receiver.next().await;
    request.verify();
    assert_eq!(request.header("authorization"), "Bearer t");
    database.until_settled().await;
    assert!(!SECRET.is_empty());
}
