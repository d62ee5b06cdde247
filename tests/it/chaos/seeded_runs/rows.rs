//! What the database says in the end.

use std::collections::{BTreeMap, HashMap};

use super::plan::ENDPOINTS;
use crate::support::Database;

/// SQL: the number of an event `o`. Of a large one it stands elsewhere, too.
pub(crate) const NUMBER: &str =
    "case when o.topic = 'swollen' then o.idempotency_key else o.payload ->> 'number' end::bigint";

/// All events, deliveries and attempts, by the numbers of events.
pub(crate) struct Rows {
    /// Status of each row of the outbox.
    pub(crate) events: BTreeMap<u64, Vec<String>>,
    /// Status of each delivery.
    pub(crate) deliveries: BTreeMap<(u64, usize), String>,
    /// Attempts that were recorded.
    pub(crate) attempts: HashMap<(u64, usize, u32), Attempt>,
    /// Claims that are left.
    pub(crate) claims: i64,
    /// Connections of dispatchers.
    pub(crate) connections: i64,
}

/// One of them.
pub(crate) struct Attempt {
    pub(crate) status_code: Option<u16>,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
}

impl Rows {
    /// Reads everything.
    pub(crate) async fn read(database: &Database) -> Self {
        let (mut events, mut deliveries, mut attempts) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        let number = NUMBER;
        for row in
            database.rows(&format!("select {number}, o.status::text from postrider.outbox as o"), &[]).await
        {
            let statuses: &mut Vec<String> = events.entry(unsigned(row.get(0))).or_default();
            statuses.push(row.get(1));
        }
        let joined = "postrider.delivery as d
            join postrider.outbox as o on o.id = d.event_id
            join postrider.endpoint as e on e.endpoint_no = d.endpoint_no";
        let sql = format!("select {number}, e.id, d.status::text from {joined}");
        for row in database.rows(&sql, &[]).await {
            deliveries.insert((unsigned(row.get(0)), endpoint(row.get(1))), row.get(2));
        }
        let sql = format!(
            "select {number}, e.id, a.attempt, a.status_code, a.outcome::text, a.error
             from {joined} join (
                 select delivery_id, attempt, status_code, outcome, error from postrider.attempt
                 union all
                 select id, 1, last_status_code, 'complete', null
                 from postrider.delivery where first_duration_ms is not null) as a on a.delivery_id = d.id"
        );
        for row in database.rows(&sql, &[]).await {
            let attempt: i32 = row.get(2);
            let key = (unsigned(row.get(0)), endpoint(row.get(1)), u32::try_from(attempt).unwrap());
            let status_code: Option<i16> = row.get(3);
            let status_code = status_code.map(|code| u16::try_from(code).unwrap());
            attempts.insert(key, Attempt { status_code, outcome: row.get(4), error: row.get(5) });
        }
        let connections = "select count(*) from pg_stat_activity where application_name in ('postrider', 'postrider listener')";
        Self {
            events,
            deliveries,
            attempts,
            claims: database.value("select count(*) from postrider.claim").await,
            connections: database.value(connections).await,
        }
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap()
}

fn endpoint(id: &str) -> usize {
    ENDPOINTS.iter().position(|(known, _)| *known == id).unwrap()
}
