//! Makes time pass: moves rows into the past, where a test would otherwise have to wait.

use super::Database;

impl Database {
    /// Makes time pass for open circuits: they may be probed now.
    pub(crate) async fn make_probes_due(&self) {
        self.execute(
            "update postrider.circuit set probe_at = clock_timestamp() where probe_at is not null;
             select pg_notify('postrider', '')",
        )
        .await;
    }

    /// Makes time pass for everything that is on record about endpoints that fail, or asked to be left alone.
    pub(crate) async fn make_failures_older(&self, by: &str) {
        self.execute(&format!(
            "update postrider.circuit
             set failing_since = failing_since - interval '{by}', failed_at = failed_at - interval '{by}',
                 retry_at = retry_at - interval '{by}', probe_at = probe_at - interval '{by}',
                 held_until = held_until - interval '{by}';
             select pg_notify('postrider', '')"
        ))
        .await;
    }

    /// Makes time stand still for open circuits: they are probed when the test says so.
    pub(crate) async fn put_off_probes(&self) {
        self.execute(
            "update postrider.circuit set probe_at = probe_at + interval '1 h' where probe_at is not null",
        )
        .await;
    }

    /// Makes time pass for everything inserted and finished so far.
    pub(crate) async fn make_older(&self, days: u32) {
        self.execute(&format!(
            "update postrider.outbox set created_at = created_at - interval '{days} days', \
             completed_at = completed_at - interval '{days} days'"
        ))
        .await;
    }

    /// Makes time pass for a dispatcher that is gone: its lease has ended.
    pub(crate) async fn make_lease_end(&self, dispatcher_id: i64) {
        self.execute(&format!(
            "update postrider.dispatcher set lease_until = clock_timestamp() - interval '1 s' where id = {dispatcher_id}"
        ))
        .await;
    }

    /// Makes time pass for waiting deliveries: all of them are due now.
    pub(crate) async fn make_due(&self) {
        // Rings, as the passing of time cannot: a sleeping dispatcher knows when the next delivery was due.
        self.execute(
            "update postrider.delivery set due_at = clock_timestamp() where due_at is not null; select pg_notify('postrider', '')",
        )
        .await;
    }
}
