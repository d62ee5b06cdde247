//! The table that Postrider was made for, attached as the guide begins: with the application's own trigger beside it, with several
//! devices, one of which is dead, and with two dispatchers.

use std::collections::BTreeMap;

use serde_json::json;

use super::attached::CONFIGURATION_UPDATE;
use crate::support::{CommandOutput, Database, Dispatcher, Listener, Receiver};

/// The application's own: whoever listens is told of each new row.
const NOTIFY: &str = "
    create function configuration_update_notify() returns trigger language plpgsql as
        $$ begin perform pg_notify('configuration_update', new.id::text); return null; end $$;
    create trigger notify after insert on configuration_update for each row execute function configuration_update_notify()";
const ALIVE: [&str; 3] = ["127.20.3.4", "127.20.3.5", "127.20.3.6"];
/// Nobody listens there.
const DEAD: &str = "127.20.3.9";

#[tokio::test]
async fn the_status_of_each_row_turns_to_complete_and_a_dead_device_holds_up_no_other() {
    let database = Database::new().await;
    database.execute(&format!("{CONFIGURATION_UPDATE}; {NOTIFY}")).await;
    let listener = Listener::listen(&database).await;
    listener.listen_to("configuration_update").await;
    let devices = devices().await;
    let (_one, _two) = (Dispatcher::start(&database, &[]).await, Dispatcher::start(&database, &[]).await);
    // Rows that are there when the table is attached: 1 to 4 are pending.
    for host in ALIVE.into_iter().chain([DEAD]) {
        insert(&database, "'pending'", host).await;
    }
    insert(&database, "'complete'", ALIVE[0]).await;

    put_devices(&database, &devices[0]).await;
    attach(&database).await;
    for host in [ALIVE[0], DEAD, ALIVE[1], ALIVE[2], ALIVE[0]] {
        insert(&database, "'pending'", host).await;
    }
    insert(&database, "null", ALIVE[1]).await;

    // The next attempts at the dead device are an hour away: it is still retried when all others are done.
    let alive =
        format!("from configuration_update where host(destination) <> '{DEAD}' and status is not null");
    database.until(&format!("select count(*) = 8 and bool_and(status = 'complete') {alive}")).await;
    database
        .until(&format!(
            "select count(*) = 2 and bool_and(status = 'pending' and attempts = 1)
             from postrider.delivery_status where endpoint_id = 'devices/{DEAD}'"
        ))
        .await;
    database.until(&status_of_dead("in_progress")).await;
    database.make_due().await;
    database.until(&status_of_dead("failed")).await;
    assert!(database.is("select status is null from configuration_update where id = 11").await);
    assert_received(&database, &devices).await;
    let ids: Vec<String> = (1..=11).map(|id| id.to_string()).collect();
    assert_eq!(listener.heard("configuration_update").await, ids);
}

/// Devices that are alive. All of them listen on one port, each at an address of its own.
async fn devices() -> Vec<Receiver> {
    let mut devices = vec![Receiver::start_at(&format!("{}:0", ALIVE[0])).await];
    for host in &ALIVE[1..] {
        let address = devices[0].url_at(host).replace("http://", "").replace("/hook", "");
        devices.push(Receiver::start_at(&address).await);
    }
    devices
}

async fn put_devices(database: &Database, device: &Receiver) {
    let url = device.url_at("{destination}").replace("/hook", "/config");
    let args = ["endpoint", "put", "devices", "--url", &url, "--allow-http", "--allow-cidr", "127.20.0.0/16"];
    succeed(database, &[&args[..], &["--retry-schedule", "1h"]].concat()).await;
}

async fn attach(database: &Database) {
    let args = ["table", "attach", "configuration_update", "--topic", "configuration.updated"];
    let columns = ["--payload", "content", "--key", "destination", "--destination", "devices/{destination}"];
    let more = ["--status", "status", "--when", "new.status = 'pending'", "--backfill"];
    succeed(database, &[&args[..], &columns, &more].concat()).await;
}

async fn succeed(database: &Database, args: &[&str]) {
    let output = CommandOutput::run(&database.url, args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
}

/// The application's INSERT.
async fn insert(database: &Database, status: &str, host: &str) {
    let insert = format!(
        "insert into configuration_update (content, status, destination)
         values ('{{\"for\": \"{host}\"}}', {status}, '{host}')"
    );
    database.execute(&insert).await;
}

/// Whether both rows of the dead device have this status.
fn status_of_dead(status: &str) -> String {
    format!(
        "select count(*) = 2 and bool_and(status = '{status}') from configuration_update where host(destination) = '{DEAD}'"
    )
}

/// Each device got its own rows, each row once, and each event belongs to its destination.
async fn assert_received(database: &Database, devices: &[Receiver]) {
    let mut received = BTreeMap::new();
    for (device, host) in devices.iter().zip(ALIVE) {
        let requests = device.all();
        for request in &requests {
            assert_eq!(
                (request.text(), request.uri.path()),
                (format!("{{\"for\": \"{host}\"}}").as_str(), "/config")
            );
        }
        received.insert(host, requests.len());
    }
    assert_eq!(received, BTreeMap::from([(ALIVE[0], 3), (ALIVE[1], 2), (ALIVE[2], 2)]));
    database
        .assert_row(
            "select count(*) as events, count(distinct row_key) as rows, bool_and(destination = 'devices/' || key) as routed
             from postrider.outbox",
            json!({"events": 9, "rows": 9, "routed": true}),
        )
        .await;
}
