//! Statements about circuits: the health of endpoints as attempts show it, shared by all dispatchers.

use std::time::Duration;

use super::row::Row;
use super::statements::{CLOSE_CIRCUIT, HASTEN_PROBE, NOTE_FAILURES, TAKE_PROBES};
use super::{Store, StoreError, millis};
use crate::model::delivery::DispatcherId;
use crate::model::endpoint::{CircuitState, EndpointNo};

/// The circuit of an endpoint whose last attempt failed. An endpoint whose last attempt succeeded has no row.
#[derive(Clone, Copy, Debug)]
pub struct Circuit {
    /// Closed, open or half open.
    pub state: CircuitState,
    /// Failed attempts in a row that count against the endpoint, over all dispatchers.
    pub failures: u32,
    /// Probes in a row that failed.
    pub failed_probes: u32,
    /// Open: until the next probe. Half open: until the right to probe ends. Closed: zero.
    pub probe_in: Duration,
    /// The dispatcher that probes, while half open.
    pub probe_by: Option<DispatcherId>,
    /// Time since the first attempt began that was not taken, since the last one that was. `None` if the last one was taken, and
    /// the record only holds the endpoint.
    pub failing_for: Option<Duration>,
    /// How long the endpoint asked to be left alone from now on.
    pub held_for: Duration,
}

/// The record that a success ended.
#[derive(Clone, Copy, Debug)]
pub struct ClosedCircuit {
    /// The circuit's state before.
    pub state: CircuitState,
    /// How many attempts had failed since the success before.
    pub failed_attempts: u64,
    /// Time since the first of them began. `None` if none had failed, and the endpoint was only held.
    pub failing_for: Option<Duration>,
    /// The record that is left, because the endpoint is still held.
    pub left: Option<Circuit>,
}

/// A circuit as `find_due` finds it.
#[derive(Clone, Copy, Debug)]
pub struct CircuitRow {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// Its circuit.
    pub circuit: Circuit,
}

/// Failed attempts of one endpoint that are not on record yet.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    /// Whether it answered meanwhile. Earlier failures do not count then.
    pub answered: bool,
    /// How many attempts failed since, in a row.
    pub count: u32,
    /// Time since the first failed attempt after the last success began. `None` if none failed, and the endpoint is only held.
    pub failing_for: Option<Duration>,
    /// Whether the probe was one of them.
    pub probe_failed: bool,
    /// Time until the next probe, if these failures open the circuit.
    pub delay: Duration,
    /// Whether one of them says something against the endpoint, and not about a delivery alone.
    pub against_endpoint: bool,
    /// Time until the last of the failed deliveries is due again. `None` if all of them were given up.
    pub retry_in: Option<Duration>,
    /// How long the endpoint asked to be left alone, if it did.
    pub held_for: Option<Duration>,
    /// A gap between failures that is longer than this, and in which nothing was due, says nothing about the endpoint.
    pub quiet_after: Duration,
    /// How many attempts failed, whatever the answer.
    pub attempts: u32,
}

/// The result of changing one row that another transaction may have locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<T> {
    /// It was done.
    Done(T),
    /// Another transaction has locked the row: nothing was done.
    Locked,
}

/// The result of noting failures.
#[derive(Clone, Copy, Debug)]
pub struct NotedFailures {
    /// The circuit as it is now.
    pub circuit: Circuit,
    /// Whether this changed its state.
    pub is_changed: bool,
    /// How long the endpoint has done nothing but fail, over all dispatchers and without times in which nothing was attempted.
    /// `None` if this call brought nothing against the endpoint.
    pub failing_for: Option<Duration>,
    /// How many attempts failed since the last success, over all dispatchers, whatever the answer.
    pub failed_attempts: u64,
}

impl Store {
    /// `sql/statements/circuits/note_failures.sql`; `open_after` failures in a row open the circuit.
    /// `Done(None)` if the endpoint is deleted.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is noted, unless the answer was lost.
    pub async fn note_failures(
        &self,
        no: EndpointNo,
        by: DispatcherId,
        failures: &Failures,
        open_after: u32,
    ) -> Result<Written<Option<NotedFailures>>, StoreError> {
        let row = self
            .query_one(
                &NOTE_FAILURES,
                &[
                    &no.get(),
                    &by.get(),
                    &failures.answered,
                    &i32::try_from(failures.count).unwrap_or(i32::MAX),
                    &failures.failing_for.map(millis),
                    &failures.probe_failed,
                    &millis(failures.delay),
                    &i32::try_from(open_after).unwrap_or(i32::MAX),
                    &failures.against_endpoint,
                    &failures.retry_in.map(millis),
                    &failures.held_for.map(ceil_millis),
                    &millis(failures.quiet_after),
                    &i64::from(failures.attempts),
                ],
            )
            .await?;
        if row.get("is_locked")? {
            return Ok(Written::Locked);
        }
        if row.is_null("state")? {
            return Ok(Written::Done(None));
        }
        Ok(Written::Done(Some(NotedFailures {
            circuit: circuit(&row)?,
            is_changed: row.get("is_changed")?,
            failing_for: row.duration_or_null("failed_ms")?,
            failed_attempts: attempts(&row)?,
        })))
    }

    /// `sql/statements/circuits/close_circuit.sql`: the record before. `Done(None)` if no failure was on record.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn close_circuit(&self, no: EndpointNo) -> Result<Written<Option<ClosedCircuit>>, StoreError> {
        let row = self.query_one(&CLOSE_CIRCUIT, &[&no.get()]).await?;
        if row.get("is_locked")? {
            return Ok(Written::Locked);
        }
        let Some(state) = row.word_or_null("state")? else { return Ok(Written::Done(None)) };
        let (failed_attempts, failing_for) = (attempts(&row)?, row.duration_or_null("failing_ms")?);
        let left = row.duration_or_null("held_ms")?.map(|held_for| Circuit {
            state: CircuitState::Closed,
            failures: 0,
            failed_probes: 0,
            probe_in: Duration::ZERO,
            probe_by: None,
            failing_for: None,
            held_for,
        });
        Ok(Written::Done(Some(ClosedCircuit { state, failed_attempts, failing_for, left })))
    }

    /// `sql/statements/circuits/hasten_probe.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn hasten_probe(&self, endpoint_id: &str) -> Result<(), StoreError> {
        self.execute(&HASTEN_PROBE, &[&endpoint_id]).await
    }

    /// `sql/statements/circuits/take_probes.sql`: the endpoints that we may probe, each with the number of probes that failed
    /// before.
    ///
    /// # Errors
    /// [`StoreError`]: no probe is taken, unless the answer was lost. `find_due` finds those later.
    pub async fn take_probes(
        &self,
        by: DispatcherId,
        endpoints: &[EndpointNo],
        lease: Duration,
    ) -> Result<Vec<(EndpointNo, u32)>, StoreError> {
        let nos: Vec<i32> = endpoints.iter().map(|no| no.get()).collect();
        let rows = self.query(&TAKE_PROBES, &[&by.get(), &nos, &millis(lease)]).await?;
        let taken = |row: &Row| {
            let no = EndpointNo::new(row.get("endpoint_no")?);
            Ok((no, row.count("failed_probes")?))
        };
        rows.iter().map(taken).collect()
    }
}

/// Reads the columns of a circuit, which several statements return.
pub(super) fn circuit(row: &Row) -> Result<Circuit, StoreError> {
    let probe_by: Option<i64> = row.get("probe_by")?;
    Ok(Circuit {
        state: row.word("state")?,
        failures: row.count("failures")?,
        failed_probes: row.count("failed_probes")?,
        probe_in: row.duration_or_null("probe_ms")?.unwrap_or_default(),
        probe_by: probe_by.map(DispatcherId::new),
        failing_for: row.duration_or_null("failing_ms")?,
        held_for: row.duration_or_null("held_ms")?.unwrap_or_default(),
    })
}

fn attempts(row: &Row) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.get::<i64>("failed_attempts")?).unwrap_or_default())
}

/// Rounded up: a wait is never undercut.
fn ceil_millis(duration: Duration) -> i64 {
    millis(duration).saturating_add(1)
}
