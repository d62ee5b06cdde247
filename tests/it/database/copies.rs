//! A copy of a database sends nothing until somebody says what it is. These copies are in the cluster of the original;
//! `copies_of_clusters` has those that are elsewhere.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{
    CommandOutput, DEADLINE, Database, Dispatcher, Receiver, SHORT_LEASE, command, eventually, get,
    http_client, one_endpoint,
};

#[tokio::test]
async fn a_copy_sends_nothing_and_says_so_everywhere_until_it_is_adopted_as_the_original() {
    let (original, receiver) = left_with_work().await;
    let (_original, copy) = original.copied().await;
    let waiting = Waiting::start(&copy, &[]).await;

    waiting.until_it_says("this is a copy, or the installation was moved").await;
    copy.insert("order.created", "\"of the copy\"").await;
    assert!(waiting.metrics().await.contains("\npostrider_waiting_for_adoption 1\n"));
    let status = CommandOutput::run(&copy.url, &["status"]).await;
    assert!(status.stdout.trim_start().starts_with("NOTHING IS SENT\n"), "{}", status.stdout);
    let doctor = CommandOutput::run(&copy.url, &["doctor", "--json"]).await;
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains("postrider adopt --as original"), "{}", doctor.stdout);
    waiting.dispatcher.logged("nothing is sent: this is a copy").await;
    assert_nothing_is_claimed(&copy).await;
    assert_eq!(receiver.count(), 0);

    let adopted = adopt(&copy, &["--as", "original"]).await;

    waiting.until_ready().await;
    copy.until_settled().await;
    assert_eq!(receiver.webhook_ids().len(), 3);
    assert!(receiver.webhook_ids().iter().all(|id| id.contains(adopted["code"].as_str().unwrap())));
    assert!(waiting.metrics().await.contains("\npostrider_waiting_for_adoption 0\n"));
    copy.assert_counts_agree().await;
}

#[tokio::test]
async fn a_copy_that_is_adopted_as_a_copy_sends_nothing_of_the_original_and_then_under_ids_of_its_own() {
    let (original, receiver) = left_with_work().await;
    let code: String = original.value("select code from postrider.installation_status").await;
    let (original, copy) = original.copied().await;
    let waiting = Waiting::start(&copy, &[]).await;
    waiting.until_it_says("this is a copy").await;

    let adopted = adopt(&copy, &["--as", "copy"]).await;

    assert_eq!((&adopted["events_cancelled"], &adopted["endpoints_paused"]), (&json!(2), &json!(1)));
    assert_ne!(adopted["code"], json!(code));
    waiting.until_ready().await;
    copy.assert_row(
        "select state, reason, pending, in_progress from postrider.endpoint_health",
        json!({"state": "paused", "reason": "copied from another installation", "pending": 0, "in_progress": 0}),
    )
    .await;
    copy.assert_counts_agree().await;
    copy.execute("select postrider.resume_endpoint('one')").await;
    copy.insert("order.created", "\"of the copy\"").await;
    let first = receiver.next().await;
    assert_eq!(first.text(), "\"of the copy\"");
    assert!(first.header("webhook-id").contains(adopted["code"].as_str().unwrap()));
    copy.until_settled().await;
    assert_eq!(receiver.count(), 1);
    // The original knows nothing of it.
    let _dispatcher = Dispatcher::start(&original, &[]).await;
    original.until_settled().await;
    assert_eq!(
        receiver.all().iter().filter(|request| request.header("webhook-id").contains(&code)).count(),
        2
    );
}

#[tokio::test]
async fn what_the_original_had_under_way_is_taken_back_after_its_lease_or_cancelled() {
    let (original, receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    original.insert_many("order.created", 3).await;
    eventually("three are under way", || async { receiver.under_way() == 3 }).await;
    dispatcher.kill().await;
    let (original, moved) = original.copied().await;
    let (_original, copy) = original.copied().await;
    receiver.release();

    adopt(&copy, &["--as", "copy"]).await;
    adopt(&moved, &["--as", "original"]).await;
    let _of_the_copy = Dispatcher::start(&copy, &SHORT_LEASE).await;
    let _of_the_moved = Dispatcher::start(&moved, &SHORT_LEASE).await;

    copy.assert_row(
        "select count(*) filter (where status = 'failed') as failed, count(*) as all from postrider.delivery",
        json!({"failed": 3, "all": 3}),
    )
    .await;
    moved.until_settled().await;
    assert_eq!(moved.count("complete").await, 3);
    // Each came once from the original, which was killed, and once from where it moved.
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (6, 3));
    moved.assert_counts_agree().await;
    copy.assert_counts_agree().await;
}

#[tokio::test]
async fn a_database_that_is_dropped_and_restored_beneath_a_dispatcher_is_not_claimed_from_until_it_is_adopted()
 {
    let (original, receiver) = left_with_work().await;
    let (original, backup) = original.copied().await;
    let waiting = Waiting::start(&original, &SHORT_LEASE).await;
    waiting.until_ready().await;
    original.insert_many("order.created", 3).await;
    original.until_settled().await;
    assert_eq!(receiver.count(), 5);

    let restored = original.dropped_and_restored_from(backup).await;

    waiting.until_it_says("this is a copy, or the installation was moved").await;
    restored.insert("order.created", "\"after the restore\"").await;
    assert_nothing_is_claimed(&restored).await;
    assert_eq!(receiver.count(), 5);
    adopt(&restored, &["--as", "original"]).await;
    restored.until_settled().await;
    waiting.until_ready().await;
    // What the backup did not know to be delivered comes again, under the same ids.
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (8, 6));
    restored.assert_counts_agree().await;
}

#[tokio::test]
async fn an_outcome_of_a_claim_that_a_restore_has_undone_settles_nothing_that_has_its_numbers_now() {
    let (original, receiver) = left_with_work().await;
    let (original, backup) = original.copied().await;
    let waiting = Waiting::start(&original, &[]).await;
    original.until_settled().await;
    receiver.hold();
    original.insert("order.created", "\"undone\"").await;
    eventually("it is under way", || async { receiver.under_way() == 1 }).await;

    let restored = original.dropped_and_restored_from(backup).await;
    waiting.until_it_says("this is a copy").await;
    adopt(&restored, &["--as", "original"]).await;
    eventually("what waited is under way", || async { receiver.under_way() == 3 }).await;
    let after = restored.insert("order.created", "\"after\"").await;
    eventually("it is under way, too", || async { receiver.under_way() == 4 }).await;
    receiver.let_pass(1).await;
    waiting.dispatcher.logged("their claims were lost").await;

    let is_waited_for = format!("select status = 'in_progress' from postrider.outbox where id = {after}");
    assert!(restored.is(&is_waited_for).await);
    receiver.release();
    restored.until_settled().await;
    assert_eq!(receiver.all().iter().filter(|request| request.text() == "\"after\"").count(), 1);
    restored.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_is_told_another_name_than_the_database_has_sends_nothing() {
    let (database, receiver) = left_with_work().await;
    adopt(&database, &["--as", "original", "--installation", "production"]).await;

    // A physical copy carries the name, and nothing in it differs from the original.
    let nameless = Waiting::start(&database, &[]).await;
    let staging = Waiting::start(&database, &["--installation", "staging"]).await;
    nameless.until_it_says("named \"production\", and the dispatcher was told no name").await;
    staging.until_it_says("named \"production\", and the dispatcher was told \"staging\"").await;
    assert_nothing_is_claimed(&database).await;
    assert_eq!(receiver.count(), 0);

    let own = adopt(&database, &["--as", "copy", "--installation", "staging", "--yes"]).await;
    staging.until_ready().await;
    nameless.until_it_says("named \"staging\"").await;
    assert_eq!(own["name"], json!("staging"));
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn the_first_dispatcher_makes_a_database_its_home_and_names_it() {
    let database = Database::new().await;
    let _dispatcher = Waiting::start(&database, &["--installation", "shop-1"]).await;

    database.until("select coalesce(name = 'shop-1', false) from postrider.installation_status").await;
    database.until("select waits_because is null from postrider.installation_status").await;
    let other = Waiting::start(&database, &[]).await;
    other.until_it_says("named \"shop-1\"").await;
}

#[tokio::test]
async fn a_move_that_was_expected_stops_nobody_who_is_told_the_name_and_no_copy_beside_it() {
    let (original, receiver) = left_with_work().await;
    let refused = CommandOutput::run(&original.url, &["adopt", "--expect-move", "1h"]).await;
    assert!(refused.complaint().contains("has no name, so every copy"), "{refused:?}");
    adopt(&original, &["--as", "original", "--installation", "production"]).await;
    let expected = CommandOutput::run(&original.url, &["adopt", "--expect-move", "1h"]).await;
    assert_eq!(expected.code, Some(0), "{expected:?}");
    let (original, moved) = original.copied().await;
    let (original, staging) = original.copied().await;
    original.execute("update postrider.installation set move_expected_until = now() - interval '1 s'").await;
    let (_original, late) = original.copied().await;

    let copies = [
        Waiting::start(&staging, &[]).await,
        Waiting::start(&staging, &["--installation", "staging"]).await,
        Waiting::start(&late, &["--installation", "production"]).await,
    ];
    for copy in &copies {
        copy.until_it_says("nothing is sent").await;
    }
    assert_eq!(receiver.count(), 0);
    let dispatchers = [
        Waiting::start(&moved, &["--installation", "production"]).await,
        Waiting::start(&moved, &["--installation", "production"]).await,
    ];
    for dispatcher in &dispatchers {
        dispatcher.until_ready().await;
    }
    moved.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2, 2));
    assert!(moved.is("select move_expected_until is null from postrider.installation_status").await);
}

#[tokio::test]
async fn nobody_cancels_the_work_of_an_original_by_adopting_it_as_a_copy() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;

    let unasked = CommandOutput::run(&database.url, &["adopt", "--as", "copy"]).await;
    let with_dispatchers = CommandOutput::run(&database.url, &["adopt", "--as", "copy", "--yes"]).await;
    let wrong = CommandOutput::run(&database.url, &["adopt", "--as", "mine", "--installation", "it's"]).await;

    assert!(unasked.complaint().starts_with("yes: is missing: this may be the original"), "{unasked:?}");
    assert!(with_dispatchers.complaint().starts_with("dispatchers work here"), "{with_dispatchers:?}");
    assert_eq!((unasked.code, with_dispatchers.code, wrong.code), (Some(64), Some(1), Some(64)));
    assert_eq!(wrong.complaints().len(), 2, "{wrong:?}");
    assert!(database.is("select state = 'enabled' from postrider.endpoint_health").await);
}

#[tokio::test]
async fn a_dispatcher_stops_within_a_renewal_when_its_installation_gets_another_name() {
    let (database, receiver) = left_with_work().await;
    let waiting = Waiting::start(&database, &SHORT_LEASE).await;
    waiting.until_ready().await;
    database.until_settled().await;

    adopt(&database, &["--as", "original", "--installation", "production"]).await;

    waiting.until_it_says("named \"production\"").await;
    database.insert("order.created", "1").await;
    let named = Waiting::start(&database, &["--installation", "production"]).await;
    named.until_ready().await;
    database.until_settled().await;
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn where_the_servers_identity_may_not_be_read_a_copy_in_the_cluster_is_recognised_all_the_same() {
    let (original, receiver) = left_with_work().await;
    // As a managed server may: nobody but superusers.
    let owner = original.login(None).await;
    let role = owner.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    original
        .execute(&format!(
            "revoke execute on function pg_control_system() from public;
             alter function postrider.why_not_at_home(text) owner to {role};
             grant usage on schema postrider to {role};
             grant select on postrider.installation to {role};
             grant execute on function postrider.server_identity() to {role}"
        ))
        .await;
    let dispatcher = Waiting::start(&original, &["--no-migrate"]).await;
    dispatcher.until_ready().await;
    original.until_settled().await;
    assert!(dispatcher.dispatcher.terminate().await.success());
    let (_original, copy) = original.copied().await;

    let waiting = Waiting::start(&copy, &["--no-migrate"]).await;

    waiting.until_it_says("of server unknown").await;
    assert_eq!(receiver.count(), 2);
}

/// An installation where a dispatcher has been, with an endpoint, a delivery that waits, and an event that is not routed.
/// Nobody works on it.
async fn left_with_work() -> (Database, Receiver) {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert("order.created", "\"routed\"").await;
    database.until("select count(*) = 1 from postrider.delivery where status = 'pending'").await;
    assert!(dispatcher.terminate().await.success());
    database.execute("select postrider.resume_endpoint('one')").await;
    database.insert("order.created", "\"unrouted\"").await;
    (database, receiver)
}

async fn assert_nothing_is_claimed(database: &Database) {
    database
        .assert_row(
            "select (select count(*) from postrider.claim) as claims,
                    (select count(*) from postrider.outbox where status = 'in_progress') as routed,
                    (select count(*) from postrider.delivery) as deliveries",
            json!({"claims": 0, "routed": 1, "deliveries": 1}),
        )
        .await;
}

/// Adopts a database, and returns what is said of it.
async fn adopt(database: &Database, flags: &[&str]) -> serde_json::Value {
    let adopted = CommandOutput::run(&database.url, &[&["adopt", "--json"], flags].concat()).await;
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    adopted.json()
}

/// A dispatcher that may wait, with its API at a port that is known before.
struct Waiting {
    dispatcher: Dispatcher,
    api: String,
}

impl Waiting {
    async fn start(database: &Database, flags: &[&str]) -> Self {
        let api = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut run = command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", &api]);
        run.args(flags).env("DATABASE_URL", &database.url);
        let dispatcher = Dispatcher::of(run);
        eventually("its API is there", || async { tokio::net::TcpStream::connect(&api).await.is_ok() }).await;
        Self { dispatcher, api }
    }

    /// Waits until its probe says this, and 503.
    async fn until_it_says(&self, what: &str) {
        let says = async || self.probe().await.is_some_and(|(code, says)| code == 503 && says.contains(what));
        eventually(&format!("/readyz says: {what}"), says).await;
    }

    async fn until_ready(&self) {
        eventually("it is ready", || async { self.probe().await.is_some_and(|(code, _)| code == 200) }).await;
    }

    /// What `/readyz` says. `None`: the connection was cut, as in the moment in which a start ends.
    async fn probe(&self) -> Option<(u16, String)> {
        let client = http_client().timeout(DEADLINE).build().unwrap();
        let answer = client.get(format!("http://{}/readyz", self.api)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn metrics(&self) -> String {
        format!("\n{}", get(&format!("http://{}/metrics", self.api)).await.text().await.unwrap())
    }
}
