//! Statements about secrets at rest: sealed before they are stored, opened when they are read.

use super::statements::{FORGET_SECRETS, LIST_UNSEALED, READ_SECRETS, SEAL_SECRETS};
use super::{Store, StoreError, column};
use crate::vault::{NoRandomness, Vault};

/// Endpoints whose secrets are sealed by one statement.
const ENDPOINTS_MAX: i64 = 200;

/// Which secrets are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToSeal {
    /// Those that stand in the clear.
    Clear,
    /// Those of another key, too.
    All,
}

/// What sealing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Secrets that are sealed now by the first key.
    pub sealed: usize,
    /// Endpoints of which a secret cannot be opened, and why.
    pub unreadable: Vec<(String, String)>,
}

/// What is stored of one endpoint, secret by secret.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) exists: bool,
    pub(super) secret: Vec<String>,
    pub(super) signing_key: Vec<String>,
    pub(super) auth: Vec<String>,
    pub(super) client_certificate: Vec<String>,
}

impl Store {
    /// The same store, with the keys that seal and open secrets.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    /// `sql/read_secrets.sql`: nothing for an endpoint that does not exist.
    pub(super) async fn read_secrets(&self, id: &str) -> Result<Stored, StoreError> {
        let Some(row) = self.row(&READ_SECRETS, &[&id]).await? else { return Ok(Stored::default()) };
        let one = |name| {
            Ok::<_, StoreError>(column::<Option<String>>(&READ_SECRETS, &row, name)?.into_iter().collect())
        };
        let mut secret: Vec<String> = one("secret")?;
        secret.extend(column::<Vec<String>>(&READ_SECRETS, &row, "old_secrets")?);
        Ok(Stored {
            exists: true,
            secret,
            signing_key: one("signing_key")?,
            auth: one("auth")?,
            client_certificate: one("client_certificate")?,
        })
    }

    /// The text to store for a secret: the one that stands there and means the same, or a new one, sealed. `none` stays as
    /// it is.
    pub(super) fn to_store(
        &self,
        id: &str,
        given: Option<&str>,
        stored: &[String],
    ) -> Result<Option<String>, StoreError> {
        let Some(given) = given else { return Ok(None) };
        let is_same = |text: &&String| self.vault.open(id, text).is_ok_and(|opened| opened == given);
        if let Some(same) = stored.iter().find(is_same) {
            return Ok(Some(same.clone()));
        }
        if given == "none" {
            Ok(Some(given.to_owned()))
        } else {
            self.vault.seal(id, given).map(Some).map_err(unsealed)
        }
    }

    /// Seals secrets with the first key. Without a key nothing happens. May be repeated, and interrupted at any time.
    ///
    /// # Errors
    /// [`StoreError`]: what was sealed before stays so.
    pub async fn seal_secrets(&self, which: ToSeal) -> Result<Sealing, StoreError> {
        let mut sealing = Sealing::default();
        let Some(key_id) = self.vault.key_id() else { return Ok(sealing) };
        let mut after_no = 0_i32;
        let seal = match which {
            ToSeal::Clear => "sealed:".to_owned(),
            ToSeal::All => format!("sealed:{key_id}:"),
        };
        loop {
            let rows = self.rows(&LIST_UNSEALED, &[&seal, &after_no, &ENDPOINTS_MAX]).await?;
            let Some(last) = rows.last() else { return Ok(sealing) };
            after_no = column(&LIST_UNSEALED, last, "no")?;
            let (mut nos, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
            for row in &rows {
                let id: String = column(&LIST_UNSEALED, row, "id")?;
                for stored in column::<Vec<String>>(&LIST_UNSEALED, row, "stored")? {
                    match self.vault.open(&id, &stored) {
                        Ok(opened) => {
                            nos.push(column::<i32>(&LIST_UNSEALED, row, "no")?);
                            new.push(self.vault.seal(&id, &opened).map_err(unsealed)?);
                            drop(opened);
                            old.push(stored);
                        }
                        Err(fault) => sealing.unreadable.push((id.clone(), fault.to_string())),
                    }
                }
            }
            sealing.sealed += nos.len();
            if !nos.is_empty() {
                self.rows(&SEAL_SECRETS, &[&nos, &old, &new]).await?;
            }
        }
    }

    /// `sql/forget_secrets.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_secrets(&self) -> Result<(), StoreError> {
        self.rows(&FORGET_SECRETS, &[]).await.map(drop)
    }
}

fn unsealed(fault: NoRandomness) -> StoreError {
    StoreError::Row { statement: SEAL_SECRETS.name, fault: fault.to_string() }
}
