//! Statements about circuits: what attempts say of their endpoints' health, shared by all dispatchers.

use std::time::Duration;

use super::row::Row;
use super::statements::{CLOSE_CIRCUIT, HASTEN_PROBE, NOTE_FAILURES, TAKE_PROBES};
use super::{Store, StoreError, millis};
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
            .query_one(
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
        if row.get("is_locked")? {
            return Ok(Written::Locked);
        }
        if row.is_null("state")? {
            return Ok(Written::Done(None));
        }
        Ok(Written::Done(Some(NotedFailures {
            circuit: circuit(&row)?,
            is_changed: row.get("is_changed")?,
            failing_for: row.duration("failing_ms")?,
        })))
    }

    /// `sql/statements/circuits/close_circuit.sql`: what it was; none: nothing was on record.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn close_circuit(&self, no: EndpointNo) -> Result<Written<Option<CircuitState>>, StoreError> {
        let row = self.query_one(&CLOSE_CIRCUIT, &[&no.get()]).await?;
        if row.get("is_locked")? {
            return Ok(Written::Locked);
        }
        row.word_or_null("state").map(Written::Done)
    }

    /// `sql/statements/circuits/hasten_probe.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn hasten_probe(&self, endpoint_id: &str) -> Result<(), StoreError> {
        self.execute(&HASTEN_PROBE, &[&endpoint_id]).await
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
    })
}
