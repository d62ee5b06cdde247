//! `postrider run` and `postrider migrate`.

use std::time::Duration;

use tracing::{info, warn};

use super::service::Service;
use super::signals::Signals;
use super::{Failure, output};
use crate::config::args;
use crate::config::{RunConfig, Settings};
use crate::store;
use crate::validation::Problems;

/// Longest time that a start may still take after it is told to stop.
const START_MAX: Duration = Duration::from_secs(2);

/// Delivers until a signal comes.
pub(super) async fn run(settings: Settings, url: Option<String>, typed: args::Run) -> Result<(), Failure> {
    let config = RunConfig::check(settings, url, typed)?;
    let mut signals = Signals::install()?;
    let prepared = tokio::select! {
        prepared = Box::pin(Service::prepare(&config)) => prepared?,
        signal = signals.next() => {
            info!("{signal} before there was a database");
            return Ok(());
        }
    };
    let mut starting = Box::pin(Service::start(config, prepared));
    let dispatcher = tokio::select! {
        dispatcher = &mut starting => dispatcher?,
        signal = signals.next() => {
            info!("{signal} while starting");
            // If the database answers, the start ends in a moment and signs off.
            if let Ok(Ok(dispatcher)) = tokio::time::timeout(START_MAX, starting).await {
                dispatcher.stop().await;
            }
            return Ok(());
        }
    };
    let signal = signals.next().await;
    dispatcher.stop_intake();
    info!("{signal}: finishing what is in flight; a second signal exits at once");
    tokio::select! {
        () = dispatcher.stop() => Ok(()),
        signal = signals.next() => {
            warn!("{signal} again: exiting at once");
            Err(Failure::Failed("stopped before everything in flight was finished; it is attempted again after the lease".to_owned()))
        }
    }
}

/// Applies, verifies or prints the schema.
pub(super) async fn migrate(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::Migrate,
) -> Result<(), Failure> {
    if typed.print {
        // Printing needs no settings.
        let mut problems = Problems::default();
        let after = check_after(typed.after.as_deref(), &mut problems);
        let after = problems.unless_any(after)?;
        return Ok(output::line(&store::print_migrations(after))?);
    }
    let url = settings.database(url);
    let url = settings.problems.unless_any(url)?;
    if typed.check {
        let owner = store::check_schema(&url).await.map_err(anyhow::Error::from)?;
        let version = store::SCHEMA_VERSION;
        if typed.json {
            let answer = owner.map_or_else(
                || serde_json::json!({ "version": version }),
                |owner| serde_json::json!({ "version": version, "other_owner": owner }),
            );
            return Ok(output::json(&answer)?);
        }
        return Ok(output::line(&format!("schema {}", store::describe_schema(owner.as_deref())))?);
    }
    let applied = store::migrate(&url).await.map_err(anyhow::Error::from)?;
    if typed.json {
        return Ok(output::json(
            &serde_json::json!({ "version": store::SCHEMA_VERSION, "applied": applied }),
        )?);
    }
    for migration in &applied {
        output::line(&format!("applied {migration}"))?;
    }
    Ok(output::line(&format!("schema version {}", store::SCHEMA_VERSION))?)
}

/// A schema version that this binary knows. 0 means no schema.
fn check_after(typed: Option<&str>, problems: &mut Problems) -> Option<i32> {
    let Some(text) = typed else { return Some(0) };
    let known = 0..=store::SCHEMA_VERSION;
    let parsed = text.trim().parse().ok().filter(|version| known.contains(version));
    if parsed.is_none() {
        problems.add("after", &format!("needs a schema version, 0 to {}", store::SCHEMA_VERSION), Some(text));
    }
    parsed
}
