//! Endpoints that get nothing, or refuse it, or may not be called.

use super::Finding;
use crate::cli::ago::Now;
use crate::cli::endpoint::ENDPOINTS_MAX;
use crate::config::RunConfig;
use crate::model::endpoint::EndpointHealth;
use crate::operations::addresses::judge_row;
use crate::store::{EndpointRow, Store, StoreError};

const SHOWN: usize = 5;
const NAME: &str = "endpoints";

/// One check for each thing that is wrong with some; one if all is well.
pub(super) async fn check(config: &RunConfig, store: &Store) -> Vec<Finding> {
    let (rows, now) = match read(store).await {
        Ok(read) => read,
        Err(fault) => return vec![Finding::broken(NAME, &fault)],
    };
    if rows.is_empty() {
        return vec![Finding::warn(NAME, "there are none", "postrider endpoint put ID --url URL")];
    }
    let by_health = EndpointHealth::ALL.iter().rev().filter_map(|health| unhealthy(*health, &rows, &now));
    let found: Vec<Finding> = refused(config, &rows).into_iter().chain(by_health).collect();
    if found.is_empty() { vec![Finding::ok(NAME, format!("{} healthy", rows.len()))] } else { found }
}

async fn read(store: &Store) -> Result<(Vec<EndpointRow>, Now), StoreError> {
    Ok((store.list_endpoints_by_trouble(ENDPOINTS_MAX).await?, Now::read(store).await?))
}

/// Checks whether a dispatcher with these keys could read every secret.
pub(super) async fn secrets(store: &Store) -> Finding {
    const NAME: &str = "secrets";
    let set = match store.load_endpoints().await {
        Ok(set) => set,
        Err(fault) => return Finding::broken(NAME, &fault),
    };
    let unreadable: Vec<String> =
        set.endpoints.iter().filter_map(|e| Some(format!("{} ({})", e.id, e.unreadable()?))).collect();
    match some(&unreadable) {
        None => Finding::ok(NAME, "of all endpoints can be read"),
        Some(names) => Finding::fail(
            NAME,
            format!("cannot be read, deliveries wait: {names}"),
            "give run and doctor the --encryption-key-file with that key",
        ),
    }
}

fn refused(config: &RunConfig, rows: &[EndpointRow]) -> Option<Finding> {
    let refused: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let refused = judge_row(&config.dispatcher.egress, row).err()?;
            Some(format!("{} ({refused})", row.id))
        })
        .collect();
    let first = some(&refused)?;
    Some(Finding::fail(
        NAME,
        format!("run with these settings may not call {first}"),
        "give run and doctor the same --allow-http and --allow-cidr, or put the endpoint with another --url",
    ))
}

/// A finding about the endpoints with this health. `None` if no endpoint has it, or if it is a good one.
fn unhealthy(health: EndpointHealth, rows: &[EndpointRow], now: &Now) -> Option<Finding> {
    let found: Vec<&EndpointRow> = rows.iter().filter(|row| row.health == health).collect();
    let id = &found.first()?.id;
    let (wait, remedy) = match health {
        EndpointHealth::Healthy => return None,
        EndpointHealth::Failing => {
            ("", format!("postrider endpoint test {id}; postrider delivery list --endpoint {id}"))
        }
        EndpointHealth::Down => (
            ", deliveries wait for a probe",
            format!("mend the receiver; postrider endpoint test {id} probes it at once"),
        ),
        EndpointHealth::Paused | EndpointHealth::Disabled => {
            (", deliveries wait", format!("postrider endpoint resume {id}"))
        }
    };
    let described: Vec<String> = found.iter().map(|row| describe(row, now)).collect();
    let names = some_by(&described, "; ")?;
    Some(Finding::warn(NAME, format!("{health}{wait}: {names}"), remedy))
}

/// An endpoint that is not healthy: why, since when, and when it is tried again.
fn describe(row: &EndpointRow, now: &Now) -> String {
    let id = &row.id;
    let since = now.age(row.health_since.as_ref()).map(|age| format!(" for {age}")).unwrap_or_default();
    let cause = row.cause.as_deref();
    let failures = row.consecutive_failures;
    match row.health {
        EndpointHealth::Healthy => id.clone(),
        EndpointHealth::Paused | EndpointHealth::Disabled => {
            let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
            format!("{id}{cause}{since}")
        }
        EndpointHealth::Failing => {
            format!("{id} ({failures} in a row){since}: {}", cause.unwrap_or("-"))
        }
        EndpointHealth::Down => {
            let probe = now.relative(row.next_probe_at.as_ref());
            format!("{id} ({failures} in a row){since}: {}, next probe {probe}", cause.unwrap_or("-"))
        }
    }
}

/// Names the first ones, and the number of the others. `None` if the list is empty.
pub(super) fn some(names: &[String]) -> Option<String> {
    some_by(names, ", ")
}

/// The same, with something else between them.
pub(super) fn some_by(names: &[String], separator: &str) -> Option<String> {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator);
    match names.len().checked_sub(SHOWN) {
        _ if names.is_empty() => None,
        None | Some(0) => Some(shown),
        Some(more) => Some(format!("{shown} and {more} more")),
    }
}
