//! `postrider secret new-key|seal`.

use anyhow::Context as _;
use serde_json::json;

use super::{Failure, count, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::rules::encryption::Vault;
use crate::store::ToSeal;

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: args::SecretArgs,
) -> Result<(), Failure> {
    match typed {
        args::SecretArgs::NewKey(typed) => {
            let key = Vault::new_key().context("cannot make a key")?;
            if typed.json {
                output::json(&json!({ "key": key }))?;
            } else {
                output::line(&key)?;
            }
            Ok(())
        }
        args::SecretArgs::Seal(typed) => seal(settings, url, &typed).await,
    }
}

async fn seal(mut settings: Settings, url: Option<String>, typed: &args::SecretSeal) -> Result<(), Failure> {
    let vault = settings.vault(&typed.encryption);
    if vault.as_ref().is_some_and(|vault| vault.key_id().is_none()) {
        settings.problems.add(
            "encryption_key_file",
            "is missing; postrider secret new-key makes a key",
            None,
        );
    }
    let (store, _) = open(settings, url)?;
    let vault = vault.unwrap_or_default();
    let key_id = vault.key_id().unwrap_or_default().to_owned();
    let which = if typed.accept_unbound { ToSeal::Unbound } else { ToSeal::All };
    let sealing = store.with_vault(vault).seal_secrets(which).await?;
    if typed.json {
        let unreadable: Vec<&str> = sealing.unreadable.iter().map(|(id, _)| id.as_str()).collect();
        output::json(&json!({ "key_id": key_id, "sealed": sealing.sealed, "unreadable": unreadable }))?;
    } else {
        let sealed = i64::try_from(sealing.sealed).unwrap_or(i64::MAX);
        output::line(&format!("{} sealed with key {key_id}", count(sealed, "secret", "secrets")))?;
    }
    let unreadable: Vec<String> =
        sealing.unreadable.iter().map(|(id, why)| format!("endpoint \"{id}\": a secret is {why}")).collect();
    if unreadable.is_empty() { Ok(()) } else { Err(Failure::Failed(unreadable.join("\n"))) }
}
