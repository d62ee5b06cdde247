//! `postrider endpoint rotate-secret`.

use super::super::{Failure, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::rotate_secret::SecretRotation;

/// Gives an endpoint a new secret, and shows it once.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EndpointRotateSecret,
) -> Result<(), Failure> {
    let rotation =
        SecretRotation::check(typed.id.clone(), typed.secret.clone(), &typed.overlap, &mut settings.problems);
    let vault = settings.vault(&typed.encryption);
    let (store, _) = open(settings, url)?;
    let (Some(rotation), Some(vault)) = (rotation, vault) else { return Ok(()) };
    let store = store.with_vault(vault);
    let rotated = rotation.run(&store).await?;
    if typed.json {
        return Ok(output::json(&rotated)?);
    }
    output::line(&format!("signing secret, shown this once: {}", rotated.secret))?;
    let until = output::time(&rotated.old_valid_until);
    Ok(output::line(&format!("{} is signed with the old one too until {until}", rotated.id))?)
}
