//! The token of the API of `dev`, in a file that no other user of this machine may read. Without a token everybody here could
//! register an endpoint and read the events.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::cli::Failure;
use crate::model::random::random;

/// Names of such files begin so, and end with the id of the process.
const PREFIX: &str = "postrider-dev-token.";

/// A file with a token. It is removed when this is dropped; the next start removes that of a process that was killed.
pub(super) struct TokenFile(PathBuf);

impl TokenFile {
    /// Writes a new token into the folder for temporary files.
    pub(super) fn create() -> Result<Self, Failure> {
        let folder = std::env::temp_dir();
        remove_leftovers(&folder);
        let file = Self(folder.join(format!("{PREFIX}{}", std::process::id())));
        write_token(&file.0)?;
        Ok(file)
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0)); // The token is worth nothing any more.
    }
}

/// Writes a new token into a new file.
pub(super) fn write_token(path: &Path) -> Result<(), Failure> {
    let token = BASE64.encode(random::<32>().map_err(anyhow::Error::from)?);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{token}")?)
}

/// Removes the files of processes that run no more. Where no process can be looked up, all stay but one of our own id.
fn remove_leftovers(folder: &Path) {
    let can_look = Path::new("/proc/self").exists();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Ok(id) = id.parse::<u32>() else { continue };
        let is_gone = can_look && !Path::new(&format!("/proc/{id}")).exists();
        if id == std::process::id() || is_gone {
            drop(std::fs::remove_file(entry.path())); // Another user's stays.
        }
    }
}
