//! Many endpoints of one template: what one of them does costs the others nothing.

use serde_json::json;

use super::{put_template, with};
use crate::support::{Database, Dispatcher, Receiver};

#[tokio::test]
async fn of_fifty_devices_a_dead_one_and_one_that_hangs_delay_no_other() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    receiver.answer_for("127.20.0.1", Some(503));
    receiver.answer_for("127.20.0.2", None);
    let retries = format!("max_in_flight => 1, retry_schedule => '{{{}}}'", vec!["20ms"; 50].join(","));
    put_template(&database, "devices", &with(&receiver, "{ip}", "/config"), &retries).await;
    // The one that hangs does so until the end.
    let _dispatcher = Dispatcher::start(&database, &["--request-timeout", "2m", "--lease", "5m"]).await;
    let insert = |from: u32, to: u32, events: u32| {
        format!(
            "insert into postrider.outbox (topic, payload, destination)
             select 'config.updated', '{{}}', 'devices/127.20.0.' || d
             from generate_series(1, {events}) as e, generate_series({from}, {to}) as d"
        )
    };
    database.execute(&insert(1, 2, 10)).await;
    let down = "select exists (select from postrider.endpoint_health
                    where endpoint_id = 'devices/127.20.0.1' and health = 'down')";
    database.until(down).await;
    let hanging = "select count(*) = 1 from postrider.delivery_status
                   where endpoint_id = 'devices/127.20.0.2' and status = 'in_progress'";
    database.until(hanging).await;

    // The dead one and the one that hangs are in each batch, and before all others.
    database.execute(&insert(1, 50, 10)).await;
    database.until("select count(*) = 480 from postrider.delivery_status where status = 'complete'").await;

    // A success of another would have closed a circuit that they share.
    assert!(database.is(down).await);
    assert!(database.is(hanging).await);
    database
        .assert_row(
            "select count(*) as others, count(*) filter (where health = 'healthy') as healthy,
                    (select max(attempts) from postrider.delivery_status where status = 'complete') as attempts
             from postrider.endpoint_health where template_id = 'devices' and endpoint_id !~ '[.]0[.][12]$'",
            json!({"others": 48, "healthy": 48, "attempts": 1}),
        )
        .await;
    let to_hanging = receiver.all().iter().filter(|r| r.header("host").starts_with("127.20.0.2:")).count();
    assert_eq!(to_hanging, 1);
}
