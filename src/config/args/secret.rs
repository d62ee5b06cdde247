//! `postrider secret …` as typed.

use clap::{Args, Subcommand};

use super::Json;

/// `postrider secret …`
#[derive(Debug, Subcommand)]
pub enum SecretArgs {
    /// Print a new encryption key, for --encryption-key-file; needs no database
    #[command(after_help = "Example: postrider secret new-key > /etc/postrider/keys")]
    NewKey(Json),
    /// Encrypt stored secrets of endpoints with the first key, those in the clear and those with another key
    #[command(
        after_help = "To change the key: add the new one below the old one in the file of every dispatcher, and restart them. Move it to the top, and restart them. \
        Run this. Then remove the old one. \
        Exit code 1 if a secret cannot be decrypted with any of the keys, or was encrypted for another place.\n\n\
        Example: postrider secret seal --encryption-key-file /etc/postrider/keys"
    )]
    Seal(SecretSeal),
}

/// `postrider secret seal`
#[derive(Args, Debug)]
pub struct SecretSeal {
    /// Encryption keys.
    #[command(flatten)]
    pub encryption: Encryption,
    /// Encrypt again the secrets that an earlier version encrypted; needed once, after the upgrade. Check the URLs of the
    /// endpoints first: logins and client certificates are bound to the hosts that these URLs name now
    #[arg(long)]
    pub accept_unbound: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The keys that encrypt secrets of endpoints at rest.
#[derive(Args, Clone, Debug, Default)]
pub struct Encryption {
    /// Keys that encrypt secrets of endpoints at rest, base64 of 32 bytes each, comma separated. The first encrypts, all
    /// decrypt. Prefer the environment or a file: other users can see a command line
    #[arg(long, env = "POSTRIDER_ENCRYPTION_KEY", hide_env_values = true, value_name = "KEYS")]
    pub encryption_key: Option<String>,
    /// File with such keys, one per line
    #[arg(long, env = "POSTRIDER_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<String>,
}
