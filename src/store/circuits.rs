//! Statements about circuits: what attempts say of their endpoints' health, shared by all dispatchers.

use std::time::Duration;

use super::statements::{CLOSE_CIRCUIT, HASTEN_PROBE, NOTE_FAILURES, TAKE_PROBES};
use super::{Statement, Store, StoreError, column, from_millis, millis, missing};
use crate::model::delivery::DispatcherId;
use crate::model::endpoint::{CircuitState, EndpointNo};

/// The circuit of an endpoint whose last attempt failed; an endpoint that is well has none.
#[derive(Clone, Copy, Debug)]
pub struct Circuit {
    /// Closed, open or half open.
    pub state: CircuitState,
    /// Sender in a row that count against the endpoint, over all dispatchers.
    pub failures: u32,
    /// Probes in a row that failed.
    pub failed_probes: u32,
    /// Until the next probe, or the end of the right to make one; zero while closed.
    pub probe_in: Duration,
    /// Who probes, while half open.
    pub probe_by: Option<DispatcherId>,
}

/// A circuit as the sweep finds it.
#[derive(Clone, Copy, Debug)]
pub struct CircuitRow {
    /// Whose.
    pub endpoint_no: EndpointNo,
    /// How it stands.
    pub circuit: Circuit,
}

/// Failed attempts of one endpoint that are not on record yet.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    /// Whether it gave an answer meanwhile: what failed before that does not count.
    pub answered: bool,
    /// How many since, in a row.
    pub count: u32,
    /// Since the first failed attempt after the last success began.
    pub failing_for: Duration,
    /// Whether the probe was one of them.
    pub probe_failed: bool,
    /// Until the next probe, if they open the circuit.
    pub delay: Duration,
}

/// What a change of one row came to, where somebody else may have locked the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<T> {
    /// It was done.
    Done(T),
    /// Somebody has locked the row: nothing was done.
    Locked,
}

/// What noting failures came to.
#[derive(Clone, Copy, Debug)]
pub struct NotedFailures {
    /// How the circuit stands now.
    pub circuit: Circuit,
    /// Whether this changed its state.
    pub is_changed: bool,
    /// How long the endpoint has done nothing but fail, over all dispatchers.
    pub failing_for: Duration,
}

impl Store {
    /// `sql/statements/circuits/note_failures.sql`; `open_after` failures in a row open the circuit. None: the endpoint is deleted.
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
            .row(
                &NOTE_FAILURES,
                &[
                    &no.get(),
                    &by.get(),
                    &failures.answered,
                    &i32::try_from(failures.count).unwrap_or(i32::MAX),
                    &millis(failures.failing_for),
                    &failures.probe_failed,
                    &millis(failures.delay),
                    &i32::try_from(open_after).unwrap_or(i32::MAX),
                ],
            )
            .await?;
        let row = row.ok_or_else(|| missing(&NOTE_FAILURES))?;
        if column(&NOTE_FAILURES, &row, "is_locked")? {
            return Ok(Written::Locked);
        }
        if column::<Option<&str>>(&NOTE_FAILURES, &row, "state")?.is_none() {
            return Ok(Written::Done(None));
        }
        Ok(Written::Done(Some(NotedFailures {
            circuit: circuit(&NOTE_FAILURES, &row)?,
            is_changed: column(&NOTE_FAILURES, &row, "is_changed")?,
            failing_for: from_millis(column(&NOTE_FAILURES, &row, "failing_ms")?),
        })))
    }

    /// `sql/statements/circuits/close_circuit.sql`: what it was; none: nothing was on record.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn close_circuit(&self, no: EndpointNo) -> Result<Written<Option<CircuitState>>, StoreError> {
        let row = self.row(&CLOSE_CIRCUIT, &[&no.get()]).await?.ok_or_else(|| missing(&CLOSE_CIRCUIT))?;
        if column(&CLOSE_CIRCUIT, &row, "is_locked")? {
            return Ok(Written::Locked);
        }
        let was: Option<&str> = column(&CLOSE_CIRCUIT, &row, "state")?;
        was.map(|_| state(&CLOSE_CIRCUIT, &row)).transpose().map(Written::Done)
    }

    /// `sql/statements/circuits/hasten_probe.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn hasten_probe(&self, endpoint_id: &str) -> Result<(), StoreError> {
        self.rows(&HASTEN_PROBE, &[&endpoint_id]).await.map(drop)
    }

    /// `sql/statements/circuits/take_probes.sql`: whom we may probe, and how many probes failed before.
    ///
    /// # Errors
    /// [`StoreError`]: none is taken, unless the answer was lost; the sweep finds those.
    pub async fn take_probes(
        &self,
        by: DispatcherId,
        endpoints: &[EndpointNo],
        lease: Duration,
    ) -> Result<Vec<(EndpointNo, u32)>, StoreError> {
        let nos: Vec<i32> = endpoints.iter().map(|no| no.get()).collect();
        let rows = self.rows(&TAKE_PROBES, &[&by.get(), &nos, &millis(lease)]).await?;
        let taken = |row| {
            let no = EndpointNo::new(column(&TAKE_PROBES, row, "endpoint_no")?);
            Ok((no, count(&TAKE_PROBES, row, "failed_probes")?))
        };
        rows.iter().map(taken).collect()
    }
}

/// The columns of a circuit, as several statements return them.
pub(super) fn circuit(statement: &Statement, row: &tokio_postgres::Row) -> Result<Circuit, StoreError> {
    let probe_ms: Option<i64> = column(statement, row, "probe_ms")?;
    let probe_by: Option<i64> = column(statement, row, "probe_by")?;
    Ok(Circuit {
        state: state(statement, row)?,
        failures: count(statement, row, "failures")?,
        failed_probes: count(statement, row, "failed_probes")?,
        probe_in: probe_ms.map(from_millis).unwrap_or_default(),
        probe_by: probe_by.map(DispatcherId::new),
    })
}

fn state(statement: &Statement, row: &tokio_postgres::Row) -> Result<CircuitState, StoreError> {
    match column(statement, row, "state")? {
        "closed" => Ok(CircuitState::Closed),
        "open" => Ok(CircuitState::Open),
        "half_open" => Ok(CircuitState::HalfOpen),
        other => Err(StoreError::Row { statement: statement.name, fault: format!("unknown state {other}") }),
    }
}

fn count(statement: &Statement, row: &tokio_postgres::Row, name: &str) -> Result<u32, StoreError> {
    let count: i32 = column(statement, row, name)?;
    Ok(u32::try_from(count).unwrap_or_default())
}
