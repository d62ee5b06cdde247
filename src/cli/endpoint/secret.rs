//! `postrider endpoint rotate-secret`.

use std::time::Duration;

use super::super::{Failure, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::endpoint_spec::check_secret;
use crate::validation::parse_duration;

/// Gives it a new secret, and shows that once.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EndpointRotateSecret,
) -> Result<(), Failure> {
    check_secret(typed.secret.as_deref(), &mut settings.problems);
    let range = (Duration::ZERO, Duration::from_hours(30 * 24));
    let overlap = parse_duration("overlap", &typed.overlap, range, &mut settings.problems);
    let vault = settings.vault(&typed.encryption);
    let (store, _) = open(settings, url)?;
    let (Some(overlap), Some(vault)) = (overlap, vault) else { return Ok(()) };
    let store = store.with_vault(vault);
    let rotated = store.rotate_secret(&typed.id, typed.secret.as_deref(), overlap).await?;
    if typed.json {
        return Ok(output::json(&rotated)?);
    }
    output::line(&format!("signing secret, shown this once: {}", rotated.secret))?;
    let until = output::time(&rotated.old_valid_until);
    Ok(output::line(&format!("{} is signed with the old one too until {until}", rotated.id))?)
}
