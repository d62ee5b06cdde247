//! From INSERT to a signed POST, and back into the status views.

use crate::support::{Database, Dispatcher, Receiver};

#[tokio::test]
async fn a_committed_event_reaches_every_matching_endpoint_exactly_once() {
    let database = Database::new().await;
    let (one, two, other) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    database.put_endpoint("one", &one.url(), "order.*", "").await;
    database
        .put_endpoint("two", &two.url(), "**,order.created", "")
        .await;
    database
        .put_endpoint("other", &other.url(), "invoice.*", "")
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    for number in 0..100 {
        database
            .insert("order.created", &format!("{{\"number\": {number}}}"))
            .await;
    }
    database.until_settled().await;

    assert_eq!((one.count(), two.count(), other.count()), (100, 100, 0));
    for request in one.all().iter().chain(&two.all()) {
        request.verify();
    }
    assert!(
        database
            .is("select bool_and(status = 'complete' and attempts = 1) from postrider.delivery_status")
            .await
    );
    assert!(dispatcher.terminate().await.success());
}
