//! How often producers ring under load. A dispatcher that other tests keep from running rests more often, and is rung more often.

use futures_util::future::join_all;

use crate::support::{Listener, one_endpoint};

#[tokio::test]
async fn under_load_almost_nobody_rings() {
    let (database, _receiver, _dispatcher) =
        one_endpoint("", &["--wake", "notify", "--poll-interval", "1h"]).await;
    let listener = Listener::listen(&database).await;
    let producers = join_all((0..16).map(|_| database.connect())).await;

    join_all(producers.iter().map(|producer| async {
        for _ in 0..250 {
            // As long as a commit takes that is flushed to a disk.
            let insert = "begin; insert into postrider.outbox (topic, payload) values ('order.created', '1'); \
                 select pg_sleep(0.005); commit";
            producer.batch_execute(insert).await.unwrap();
        }
    }))
    .await;
    let rings = listener.rings().await;

    // A dispatcher that is kept from running by others rests more often: some hundred at most, instead of thousands.
    assert!(rings <= 400, "{rings} rings in 4000 transactions");
}
