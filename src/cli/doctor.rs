//! `postrider doctor`: checks one after the other what a dispatcher needs, and names a remedy for each problem. It changes
//! nothing, except sequences with `--mend`.

mod endpoints;
mod installation;
mod keys;
mod machine;
mod notify;
mod rights;
mod sequences;
mod server;
mod tables;
mod work;

use serde::Serialize;
use serde_json::json;

use super::{Failure, count, output};
use crate::config::args;
use crate::config::{RunConfig, Settings};
use crate::rules::clock::machine_ms;
use crate::store::{self, MigrateError, Session, Store, one_line};

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// All is well.
    Ok,
    /// It works, but an operator should know.
    Warn,
    /// Something does not work.
    Fail,
}

/// Result of one check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: &'static str,
    result: Severity,
    message: String,
    /// Remedy. `None` if none is needed, or if the message names it.
    remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, result: Severity::Ok, message: message.into(), remedy: None }
    }

    fn warn(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, result: Severity::Warn, message: message.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, result: Severity::Fail, message: message.into(), remedy: Some(remedy.into()) }
    }

    /// The check itself failed; the error names its remedy.
    fn broken(name: &'static str, fault: &(dyn std::error::Error + 'static)) -> Self {
        Self { name, result: Severity::Fail, message: one_line(fault), remedy: None }
    }
}

/// Checks everything with the settings that `run` would have.
pub(super) async fn run(settings: Settings, url: Option<String>, typed: args::Doctor) -> Result<(), Failure> {
    let config = RunConfig::check(settings, url, typed.run)?;
    let checks = Box::pin(check_all(&config, typed.mend)).await?;
    let worst = checks.iter().map(|check| check.result).max().unwrap_or(Severity::Ok);
    if typed.json {
        output::json(&json!({ "result": worst, "checks": checks }))?;
    } else {
        print(&checks)?;
    }
    let failed = checks.iter().filter(|check| check.result == Severity::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    let failed = count(i64::try_from(failed).unwrap_or(i64::MAX), "check", "checks");
    Err(Failure::Failed(format!("{failed} failed")))
}

fn print(checks: &[Finding]) -> std::io::Result<()> {
    let mut rows = Vec::new();
    for check in checks {
        let result = match check.result {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "fail",
        };
        rows.push([result.to_owned(), check.name.to_owned(), check.message.clone()]);
        if let Some(remedy) = &check.remedy {
            rows.push([String::new(), String::new(), format!("-> {remedy}")]);
        }
    }
    output::table(["RESULT", "CHECK", "WHAT IT MEANS"], rows)
}

/// Checks from the outside to the inside. Parts that cannot be reached are not checked.
async fn check_all(config: &RunConfig, mend: bool) -> Result<Vec<Finding>, Failure> {
    let store = Store::new(&config.dispatcher.database, Session::Command, 2).map_err(anyhow::Error::from)?;
    let store = store.with_vault(config.dispatcher.vault.clone());
    let before = machine_ms();
    let row = match store.read_server().await {
        Ok(row) => row,
        Err(fault) => return Ok(vec![Finding::broken("connection", &fault)]),
    };
    let mut checks = vec![
        server::connection(&row),
        server::durability(&row),
        server::clock(&row, before, machine_ms()),
        notify::path(config, &store).await,
        notify::queue(&row),
        server::old_transactions(&row, &store).await,
    ];
    checks.extend(server::encoding(&row));
    let grants = server::grants(&row, &store).await;
    let schema = schema(config, row.has_schema).await;
    let is_readable = [&grants, &schema].iter().all(|check| check.result != Severity::Fail);
    checks.extend([grants, schema]);
    if !is_readable {
        checks.push(Finding::warn(
            "the rest",
            "tables, dispatchers, backlog, endpoints and file descriptors were not looked at",
            "mend schema and grants first",
        ));
        return Ok(checks);
    }
    checks.extend(installation::check(config, &store).await);
    checks.extend(server::row_security(&store).await);
    checks.extend(server::rows_of_others(&store).await);
    checks.extend(rights::check(&row, &store).await);
    checks.push(sequences::check(&store, mend).await);
    checks.push(work::tables(&row, &store).await);
    checks.push(work::dispatchers(&store).await);
    checks.push(work::backlog(&store).await);
    checks.push(work::reached_nobody(&store).await);
    checks.extend(keys::check(&store).await);
    checks.extend(tables::check(&store).await);
    checks.extend(endpoints::check(config, &store).await);
    checks.push(endpoints::secrets(&store).await);
    checks.push(machine::descriptors(config, &store).await);
    Ok(checks)
}

async fn schema(config: &RunConfig, exists: bool) -> Finding {
    const NAME: &str = "schema";
    match store::check_schema(&config.dispatcher.database).await {
        Err(MigrateError::Older { .. }) if !exists => {
            Finding::fail(NAME, "there is no schema postrider in this database", "postrider migrate")
        }
        Ok(owner) => Finding::ok(NAME, store::describe_schema(owner.as_deref())),
        Err(fault) => Finding::broken(NAME, &fault),
    }
}
