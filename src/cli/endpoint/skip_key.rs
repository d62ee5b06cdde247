//! `postrider endpoint skip-key`: gives up the deliveries of one key, step by step.

use serde_json::json;

use super::super::progress::{Repeated, STEP, interrupted, repeat};
use super::super::{Failure, count, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::endpoint_spec::check_reason;
use crate::operations::skip::{KeySkipSpec, skip_key_step};
use crate::validation::TimeArgument;

/// Skips, and prints the number of deliveries.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::EndpointSkipKey,
) -> Result<(), Failure> {
    let until = typed.until.as_ref().map(|text| TimeArgument::parse("until", text, &mut settings.problems));
    check_reason(typed.reason.as_deref(), &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let spec =
        KeySkipSpec { endpoint_id: typed.id, key: typed.key, until: until.flatten(), reason: typed.reason };
    let skip = spec.fix(&store).await?;
    let step = async || skip_key_step(&store, &skip, STEP).await;
    let Repeated { rows: skipped, is_interrupted } = repeat("skipping", step).await?;
    if typed.json {
        output::json(&json!({
            "endpoint_id": skip.endpoint_id, "key": skip.key, "until": skip.until, "skipped": skipped,
        }))?;
    } else {
        output::line(&format!("skipped: {}", count(skipped, "delivery", "deliveries")))?;
    }
    if is_interrupted { Err(interrupted()) } else { Ok(()) }
}
