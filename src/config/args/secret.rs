//! `postrider secret …` as typed.

use clap::{Args, Subcommand};

use super::Json;

/// `postrider secret …`
#[derive(Debug, Subcommand)]
pub enum SecretArgs {
    /// Print a new encryption key, for --encryption-key-file; needs no database
    #[command(after_help = "Example: postrider secret new-key > /etc/postrider/keys")]
    NewKey(Json),
    /// Encrypt every secret of endpoints with the first key: those in the clear, and those of another key
    #[command(
        after_help = "A new key: add it below the old one in the file of every dispatcher and restart them; move it to the top and restart them; \
        run this; then the old one can go. \
        Exit code 1 if a secret could not be read with any of the keys, or stands where it was not sealed for.\n\n\
        Example: postrider secret seal --encryption-key-file /etc/postrider/keys"
    )]
    Seal(SecretSeal),
}

/// `postrider secret seal`
#[derive(Args, Debug)]
pub struct SecretSeal {
    /// The keys.
    #[command(flatten)]
    pub encryption: Encryption,
    /// Seal again what an earlier version has sealed; needed once, after the upgrade. Look at the URLs of the endpoints first:
    /// logins and client certificates are bound to the hosts that these name now
    #[arg(long)]
    pub accept_unbound: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The keys that encrypt secrets of endpoints at rest.
#[derive(Args, Clone, Debug, Default)]
pub struct Encryption {
    /// Keys that encrypt secrets of endpoints at rest, base64 of 32 bytes each, comma separated: the first encrypts, all
    /// decrypt; better in the environment or a file, a command line is seen by others
    #[arg(long, env = "POSTRIDER_ENCRYPTION_KEY", hide_env_values = true, value_name = "KEYS")]
    pub encryption_key: Option<String>,
    /// File with such keys, one a line
    #[arg(long, env = "POSTRIDER_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<String>,
}
