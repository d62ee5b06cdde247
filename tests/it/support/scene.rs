//! A bad one among good ones: what one row, one endpoint or one stranger's transaction does costs that row or endpoint, and
//! never the others. The bad one is kept from its next state, good ones are done while it still is, and when the stranger has
//! gone, the bad one is done, too.

use std::time::Duration;

use serde_json::json;
use tokio_postgres::Client;

use super::{Database, Dispatcher, Receiver, eventually};

/// Good ones are done within this: a busy machine has time enough, and no wait for a lock ends so soon.
pub(crate) const SOON: Duration = Duration::from_secs(8);
/// Housekeeping steps every second, and a dispatcher that is killed is missed soon.
pub(crate) const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];
/// And what stayed is looked at again every three seconds.
pub(crate) const SHORT_RETENTION: [&str; 6] =
    ["--lease", "4s", "--request-timeout", "2s", "--retain-complete", "1m"];
/// Whether an event `o` is a bad one.
pub(crate) const IS_BAD: &str = "o.topic like 'bad%'";

/// Two endpoints, `good` and `bad`, which receive the topics that begin with their names.
pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) good: Receiver,
    pub(crate) bad: Receiver,
    pub(crate) dispatcher: Dispatcher,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::start_with("", &[]).await
    }

    /// The same; `more` as in [`Database::put_endpoint`].
    pub(crate) async fn start_with(more: &str, flags: &[&str]) -> Self {
        let database = Database::new().await;
        let (good, bad) = (Receiver::start().await, Receiver::start().await);
        database.put_endpoint("good", &good.url(), "good.**", more).await;
        database.put_endpoint("bad", &bad.url(), "bad.**", more).await;
        let dispatcher = Dispatcher::start(&database, flags).await;
        Self { database, good, bad, dispatcher }
    }

    /// Ten events in one transaction, the fourth of which is bad: their requests are on their way, and held, when their
    /// dispatcher is killed.
    pub(crate) async fn left_by_the_dead() -> (Database, Receiver, Receiver) {
        let scene = Self::start_with("", &SHORT_LEASE).await;
        scene.good.hold();
        scene.bad.hold();
        scene.insert_ten().await;
        let Self { database, good, bad, dispatcher } = scene;
        eventually("all are on their way", || async { good.under_way() + bad.under_way() == 10 }).await;
        dispatcher.kill().await;
        (database, good, bad)
    }

    /// Inserts ten events in one transaction, the fourth of which is bad.
    pub(crate) async fn insert_ten(&self) {
        self.insert_ten_with("null").await;
    }

    /// The same; SQL says after when they are delivered.
    pub(crate) async fn insert_ten_with(&self, deliver_after: &str) {
        self.database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload, deliver_after)
                 select case when n = 4 then 'bad.one' else 'good.one' end, '{{}}', {deliver_after}
                 from generate_series(1, 10) as n"
            ))
            .await;
    }

    /// Requests for so many bad and good events are on their way, and are not answered before `answer`.
    pub(crate) async fn send(&self, bad: usize, good: usize) {
        self.bad.hold();
        self.good.hold();
        // Claimed apart from each other.
        self.database.insert_many("bad.one", bad).await;
        eventually("bad ones are on their way", || async { self.bad.under_way() == bad }).await;
        self.database.insert_many("good.one", good).await;
        eventually("good ones are on their way", || async { self.good.under_way() == good }).await;
    }

    /// Answers what is on its way.
    pub(crate) fn answer(&self) {
        self.bad.release();
        self.good.release();
    }

    /// Waits a short time until a query's one value is true.
    pub(crate) async fn soon(&self, sql: &str) {
        soon(&self.database, &self.dispatcher, sql).await;
    }

    /// Every good event is complete soon; so are ten more that come now, together and alone.
    pub(crate) async fn assert_good_ones_are_done(&self) {
        let is_done = "select not exists (select from postrider.outbox as o where o.topic like 'good%' and o.status <> 'complete')";
        self.soon(is_done).await;
        self.database.insert_many("good.two", 5).await;
        for _ in 0..5 {
            self.database.insert("good.three", "{}").await;
        }
        self.soon(is_done).await;
    }

    /// No bad event is complete or failed.
    pub(crate) async fn assert_bad_ones_are_not_done(&self) {
        self.database
            .assert_row(
                "select count(*) as done from postrider.outbox where topic like 'bad%' and status in ('complete', 'failed')",
                json!({"done": 0}),
            )
            .await;
    }

    /// Now that the stranger has gone, everything is complete, and no row contradicts another.
    pub(crate) async fn assert_all_is_done(&self) {
        self.database.execute("select postrider.retry_set_aside()").await;
        self.database.until_settled().await;
        self.database
            .assert_row("select distinct status from postrider.outbox", json!({"status": "complete"}))
            .await;
        self.database.until("select not exists (select from postrider.claim)").await;
        self.database.assert_counts_agree().await;
    }
}

/// Waits a short time until a query's one value is true.
pub(crate) async fn soon(database: &Database, dispatcher: &Dispatcher, sql: &str) {
    let waiting = tokio::time::timeout(SOON, database.until(sql)).await;
    assert!(waiting.is_ok(), "not within {SOON:?}: {sql}; the log:\n{}", dispatcher.log());
}

/// Somebody else's transaction: open until it is ended or dropped.
pub(crate) struct Stranger {
    pub(crate) client: Client,
}

impl Stranger {
    /// Begins with a query that finds or returns something.
    pub(crate) async fn begin(database: &Database, query: &str) -> Self {
        let client = database.connect().await;
        client.batch_execute("begin").await.unwrap();
        let rows = client.query(query, &[]).await.unwrap_or_else(|fault| panic!("{query}: {fault:?}"));
        assert!(!rows.is_empty(), "nothing to hold: {query}");
        Self { client }
    }

    pub(crate) async fn commit(self) {
        self.client.batch_execute("commit").await.unwrap();
    }

    pub(crate) async fn rollback(self) {
        self.client.batch_execute("rollback").await.unwrap();
    }
}

/// A trigger of somebody else's: for rows of which `condition` is true it does `statement`, which raises.
pub(crate) async fn refuse(database: &Database, table: &str, when: &str, condition: &str, statement: &str) {
    let kind = if when.starts_with("deferred") { "constraint trigger" } else { "trigger" };
    let deferred = if when.starts_with("deferred") { "deferrable initially deferred" } else { "" };
    let when = when.replace("deferred", "after");
    database
        .execute(&format!(
            "create function public.refuse() returns trigger language plpgsql as
             $$ begin if {condition} then {statement}; end if; return coalesce(new, old); end $$;
             create {kind} refuse {when} on postrider.{table} {deferred} for each row execute function public.refuse()"
        ))
        .await;
}

/// The trigger is gone.
pub(crate) async fn refuse_no_more(database: &Database) {
    database.execute("drop function public.refuse() cascade").await;
}
