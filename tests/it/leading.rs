//! The leadership: one dispatcher arms the bell, and the loop hears of it.

use std::sync::Arc;

use postrider::bell::{Armed, Bell, ListenSession};
use tokio_util::sync::CancellationToken;

use crate::support::Database;

#[tokio::test]
async fn one_dispatcher_of_two_arms_the_bell() {
    let database = Database::new().await;
    let (one, two) = (connected(&database).await, connected(&database).await);

    one.seek_leadership().await;
    two.seek_leadership().await;

    assert_eq!((one.arm().await, two.arm().await), (Armed::Yes, Armed::NotOurs));
}

#[tokio::test]
async fn a_dispatcher_that_became_the_leader_looks_once_more() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    let mut looks = bell.looks();
    // The loop has looked since the connection was made, found nothing, and sleeps: it could not arm the bell.
    assert_eq!(bell.arm().await, Armed::NotOurs);
    looks.mark_unchanged();

    bell.seek_leadership().await;

    assert!(looks.has_changed().unwrap());
}

#[tokio::test]
async fn the_bell_is_not_armed_while_a_producer_that_did_not_ring_is_in_flight() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    bell.seek_leadership().await;
    database.execute("begin; insert into postrider.outbox (topic, payload) values ('a', '{}')").await;

    let during = bell.arm().await;
    database.execute("commit").await;
    let after = bell.arm().await;

    assert_eq!((during, after), (Armed::ProducersInFlight, Armed::Yes));
}

#[tokio::test]
async fn a_producer_does_not_hold_the_bell_for_what_it_rolled_back_to_a_savepoint() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    bell.seek_leadership().await;
    database
        .execute(
            "begin; savepoint before; insert into postrider.outbox (topic, payload) values ('a', '{}');
             rollback to before",
        )
        .await;

    let armed = bell.arm().await;

    assert_eq!(armed, Armed::Yes);
}

/// A bell with a listening connection, as after a start.
async fn connected(database: &Database) -> Bell {
    let bell = Bell::new("starting");
    let session = ListenSession::new(database.connect().await, CancellationToken::new()).await.unwrap();
    bell.connect(Arc::new(session));
    bell
}
