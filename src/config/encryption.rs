//! The keys that encrypt secrets at rest.

use std::path::Path;

use super::Settings;
use crate::config::args;
use crate::rules::encryption::Vault;

impl Settings {
    /// Reads the keys. Without keys the vault encrypts nothing. A wrong key is a problem, and is never shown.
    pub fn vault(&mut self, typed: &args::Encryption) -> Option<Vault> {
        let key = self.text("encryption_key", typed.encryption_key.clone(), None);
        let file = self.text("encryption_key_file", typed.encryption_key_file.clone(), None);
        let key = self.parse_vault("encryption_key", key.as_deref().unwrap_or_default());
        let Some(path) = file else { return key };
        self.warn_if_public("encryption_key_file", Path::new(&path));
        let text = std::fs::read_to_string(&path).map_err(|fault| {
            let expected = format!("cannot be read: {fault}");
            self.problems.add("encryption_key_file", &expected, Some(&path));
        });
        let from_file = self.parse_vault("encryption_key_file", &text.ok()?)?;
        if from_file.key_id().is_none() {
            self.problems.add("encryption_key_file", "holds no key", Some(&path));
            return None;
        }
        key.map(|key| key.and(from_file))
    }

    fn parse_vault(&mut self, name: &str, text: &str) -> Option<Vault> {
        Vault::parse(text).map_err(|fault| self.problems.add(name, &fault.to_string(), None)).ok()
    }
}
