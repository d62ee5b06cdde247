//! Where a run takes place: a private server that decodes, tables of an application, dispatchers behind a proxy each, a receiver.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::inbox::Inbox;
use super::plan::Plan;
use super::tables::prepare;
use crate::chaos::seeded_runs::slot::Slot;
use crate::support::{Database, Proxy, Server};

/// Impatient dispatchers.
pub(crate) const FLAGS: &[&str] = &["--lease", "4s", "--request-timeout", "1s", "--grace-period", "2s"];
/// What follows the SQLSTATE of a refusal that came from a trigger of ours.
pub(crate) const OURS: &str = " in our trigger";
/// The replication slot that decodes.
pub(crate) const SLOT: &str = "decoded";

/// What everybody in a run knows.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
    pub(crate) server: Server,
    pub(crate) slots: Vec<Slot>,
    pub(crate) inbox: Inbox,
    /// As the application that owns the tables.
    pub(crate) app_url: String,
    /// MERGE came with PostgreSQL 15.
    pub(crate) has_merge: bool,
    pub(crate) counts: Counts,
    refusals: Mutex<BTreeMap<String, (usize, String)>>,
    users_faults: Mutex<BTreeMap<String, usize>>,
    breaches: Mutex<Vec<String>>,
    is_over: AtomicBool,
    is_done: AtomicBool,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Of writers, and carried out.
    pub(crate) statements: AtomicU64,
    /// Of users, and carried out.
    pub(crate) transactions: AtomicU64,
    /// The longest wait of a user for one row, in microseconds.
    pub(crate) wait_max_us: AtomicU64,
    pub(crate) faults: AtomicU64,
}

impl Stage {
    /// Everything is there, and nobody works yet.
    pub(crate) async fn set(plan: Plan) -> Arc<Self> {
        let server =
            Server::start_with(&["wal_level=logical", "max_prepared_transactions=20", "max_wal_size=4GB"])
                .await;
        let database = server.database().await;
        let app_url = prepare(&database, plan.users).await;
        let inbox = Inbox::start(plan.chance(3, 0)).await;
        let schedule = "retry_schedule => '{50ms,100ms,200ms,1s,1s,1s,1s,1s,1s,1s}'";
        database
            .put_endpoint(
                "all",
                &inbox.url,
                "change.item,change.child,change.mark,change.swap,change.part",
                schedule,
            )
            .await;
        database.put_endpoint("work", &inbox.url, "", "retry_schedule => '{20ms,50ms}'").await;
        database
            .execute(&format!("select pg_create_logical_replication_slot('{SLOT}', 'test_decoding')"))
            .await;
        let login = database.login(Some("postrider_dispatcher")).await;
        let mut slots = Vec::new();
        for number in 0..plan.dispatchers {
            slots.push(Slot::new(number, Proxy::to_postgres(&login).await, &login));
        }
        for slot in &slots {
            *slot.process.lock().await = Some(slot.start(FLAGS));
        }
        Arc::new(Self {
            plan,
            began: Instant::now(),
            slots,
            inbox,
            app_url,
            has_merge: database.is("select current_setting('server_version_num')::int >= 150000").await,
            server,
            counts: Counts::default(),
            refusals: Mutex::default(),
            users_faults: Mutex::default(),
            breaches: Mutex::default(),
            is_over: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        })
    }

    /// As superuser.
    pub(crate) async fn database(&self) -> Database {
        Database::at(self.server.url()).await
    }

    /// Whether there was time enough, and users have done their transactions.
    pub(crate) fn is_enough(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    /// Whether it may be enough so soon.
    pub(crate) fn ends_within(&self, soon: Duration) -> bool {
        self.began.elapsed() + soon >= self.plan.lasts
            && self.counts.transactions.load(Ordering::Relaxed) >= self.plan.transactions
    }

    /// No new work, no new trouble.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Nobody changes a row any more.
    pub(crate) fn finish(&self) {
        self.is_done.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::SeqCst)
    }

    /// Something is wrong.
    pub(crate) fn breach(&self, what: String) {
        self.breaches.lock().unwrap().push(what);
    }

    /// What was wrong.
    pub(crate) fn breaches(&self) -> Vec<String> {
        self.breaches.lock().unwrap().clone()
    }

    /// A writer's statement was refused.
    pub(crate) fn note_refusal(&self, fault: &Error, sql: &str) {
        let Some(fault) = fault.as_db_error() else { return };
        let at = fault.where_().unwrap_or_default();
        let ours = if at.contains("postrider_capture") { OURS } else { "" };
        let code = format!("{}{ours}", fault.code().code());
        let example = format!("{}: {sql}: {at}", fault.message());
        self.refusals.lock().unwrap().entry(code).or_insert((0, example)).0 += 1;
    }

    /// The refusals of writers by SQLSTATE, and an example of each.
    pub(crate) fn refusals(&self) -> BTreeMap<String, (usize, String)> {
        self.refusals.lock().unwrap().clone()
    }

    /// A user's transaction failed. Only a server that goes away is an excuse: a deadlock is none.
    pub(crate) fn note_users_fault(&self, fault: &Error) {
        let word = fault.code().map_or("connection lost", SqlState::code);
        *self.users_faults.lock().unwrap().entry(word.to_owned()).or_insert(0) += 1;
        let Some(code) = fault.code() else { return };
        let leaves = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::DATABASE_DROPPED,
        ];
        if !leaves.contains(code) {
            self.breach(format!("a user's transaction failed: {fault:?}"));
        }
    }

    /// Why transactions of users failed, by SQLSTATE, and how many.
    pub(crate) fn users_faults(&self) -> BTreeMap<String, usize> {
        self.users_faults.lock().unwrap().clone()
    }

    /// A user waited so long for a row.
    pub(crate) fn note_wait(&self, waited: Duration) {
        let us = u64::try_from(waited.as_micros()).unwrap();
        self.counts.wait_max_us.fetch_max(us, Ordering::Relaxed);
    }
}
