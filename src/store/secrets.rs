//! Statements about secrets at rest. They are sealed before they are stored, and opened when they are read.

use super::row::Row;
use super::statements::{FORGET_SECRETS, LIST_UNSEALED, SEAL_SECRETS};
use super::{Store, StoreError, is_row_fault, one_line};
use crate::model::random::NoRandomness;
use crate::rules::encryption::{Field, Place, Vault};
use crate::rules::halves::Halves;

/// Endpoints whose secrets are sealed by one statement.
const ENDPOINTS_MAX: i64 = 200;

/// Which secrets are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToSeal {
    /// Secrets in the clear.
    Clear,
    /// Those, and secrets that another key sealed.
    All,
    /// Those, and secrets that an earlier version sealed without a field and a host. A person has looked at the URLs.
    Unbound,
}

/// The result of sealing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Secrets that are sealed now by the first key.
    pub sealed: usize,
    /// Endpoints of which a secret cannot be opened, and why.
    pub unreadable: Vec<(String, String)>,
}

/// The stored secrets of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Where the endpoint is called: its logins are bound to that host.
    pub(super) url: Option<String>,
    /// The current one and the old ones.
    secret: Vec<String>,
    signing_key: Vec<String>,
    auth: Vec<String>,
    client_certificate: Vec<String>,
    /// The key that verifies signatures of the signing key.
    pub(super) public_key: Option<String>,
}

impl Stored {
    /// The stored secrets of a field.
    pub(super) fn of(&self, field: Field) -> &[String] {
        match field {
            Field::Secret => &self.secret,
            Field::SigningKey => &self.signing_key,
            Field::Auth => &self.auth,
            Field::ClientCertificate => &self.client_certificate,
        }
    }
}

/// The answer of `sql/statements/secrets/read_secrets.sql`; nothing for an endpoint that does not exist.
pub(super) fn stored(row: Option<&Row>) -> Result<Stored, StoreError> {
    let Some(row) = row else { return Ok(Stored::default()) };
    let one = |field: Field| {
        let text: Option<String> = row.get(field.as_str())?;
        Ok::<Vec<String>, StoreError>(text.into_iter().collect())
    };
    let mut secret = one(Field::Secret)?;
    secret.extend(row.get::<Vec<String>>("old_secrets")?);
    Ok(Stored {
        url: row.get("url")?,
        secret,
        signing_key: one(Field::SigningKey)?,
        auth: one(Field::Auth)?,
        client_certificate: one(Field::ClientCertificate)?,
        public_key: row.get("public_key")?,
    })
}

impl Store {
    /// The same store, with the keys that seal and open secrets.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    /// The text to store for a secret: the one that stands there and means the same, or a new one, sealed. `none` stays as
    /// it is.
    pub(super) fn to_store(
        &self,
        place: &Place<'_>,
        given: Option<&str>,
        stored: &[String],
    ) -> Result<Option<String>, StoreError> {
        let Some(given) = given else { return Ok(None) };
        let is_same = |text: &&String| self.vault.open(place, text).is_ok_and(|opened| opened == given);
        if let Some(same) = stored.iter().find(is_same) {
            return Ok(Some(same.clone()));
        }
        if given == "none" {
            Ok(Some(given.to_owned()))
        } else {
            self.vault.seal(place, given).map(Some).map_err(unsealed)
        }
    }

    /// Seals secrets with the first key. Without a key nothing happens. May be repeated, and interrupted at any time.
    ///
    /// # Errors
    /// [`StoreError`]: what was sealed before stays so.
    pub async fn seal_secrets(&self, which: ToSeal) -> Result<Sealing, StoreError> {
        let mut sealing = Sealing::default();
        let Some(seal) = self.vault.seal_of_first_key() else { return Ok(sealing) };
        let seal = match which {
            ToSeal::Clear => "sealed:".to_owned(),
            ToSeal::All | ToSeal::Unbound => seal,
        };
        let mut after_no = 0_i32;
        loop {
            let rows = self.query(&LIST_UNSEALED, &[&seal, &after_no, &ENDPOINTS_MAX]).await?;
            let Some(last) = rows.last() else { return Ok(sealing) };
            after_no = last.get("endpoint_no")?;
            let mut swaps = Vec::new();
            for row in &rows {
                self.seal_endpoint(row, which, &mut swaps, &mut sealing.unreadable)?;
            }
            self.swap(swaps, which, &mut sealing).await?;
        }
    }

    /// `sql/statements/secrets/seal_secrets.sql`; an endpoint that the database refuses to change keeps no other from being sealed.
    async fn swap(&self, swaps: Vec<Swap>, which: ToSeal, sealing: &mut Sealing) -> Result<(), StoreError> {
        let mut halves = Halves::new(swaps);
        while let Some(part) = halves.next_part() {
            let nos: Vec<i32> = part.iter().map(|swap| swap.no).collect();
            let urls: Vec<&str> = part.iter().map(|swap| swap.url.as_str()).collect();
            let fields: Vec<&str> = part.iter().map(|swap| swap.field).collect();
            let stored: Vec<&str> = part.iter().map(|swap| swap.stored.as_str()).collect();
            let sealed: Vec<&str> = part.iter().map(|swap| swap.sealed.as_str()).collect();
            // A person waits for a locked row. A dispatcher comes again.
            let skips_locked = which == ToSeal::Clear;
            let params: super::Params<'_> = &[&nos, &urls, &fields, &stored, &sealed, &skips_locked];
            match self.query_one(&SEAL_SECRETS, params).await {
                Ok(row) => {
                    let changed: i64 = row.get("sealed")?;
                    sealing.sealed += if changed > 0 { part.len() } else { 0 };
                }
                Err(fault) if is_row_fault(&fault) => {
                    if let Some(swap) = halves.refused(part) {
                        sealing.unreadable.push((swap.endpoint_id, one_line(&fault)));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Seals the secrets of one endpoint, which is a row of `sql/statements/secrets/list_unsealed.sql`.
    fn seal_endpoint(
        &self,
        row: &Row,
        which: ToSeal,
        swaps: &mut Vec<Swap>,
        unreadable: &mut Vec<(String, String)>,
    ) -> Result<(), StoreError> {
        let no: i32 = row.get("endpoint_no")?;
        let endpoint_id: &str = row.get("id")?;
        let url: &str = row.get("url")?;
        let names: Vec<&str> = row.get("fields")?;
        let stored: Vec<&str> = row.get("stored")?;
        for (name, stored) in names.into_iter().zip(stored) {
            let Some(field) = Field::ALL.into_iter().find(|field| field.as_str() == name) else { continue };
            let place = Place { endpoint_id, url, field };
            let opened = match which {
                ToSeal::Clear | ToSeal::All => self.vault.open(&place, stored),
                ToSeal::Unbound => self.vault.open_unbound(&place, stored),
            };
            match opened {
                Ok(opened) => {
                    let sealed = self.vault.seal(&place, &opened).map_err(unsealed)?;
                    swaps.push(Swap {
                        no,
                        endpoint_id: endpoint_id.to_owned(),
                        url: url.to_owned(),
                        field: field.as_str(),
                        stored: stored.to_owned(),
                        sealed,
                    });
                }
                Err(fault) => unreadable.push((endpoint_id.to_owned(), fault.to_string())),
            }
        }
        Ok(())
    }

    /// `sql/statements/secrets/forget_secrets.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_secrets(&self) -> Result<(), StoreError> {
        self.execute(&FORGET_SECRETS, &[]).await
    }
}

/// A secret and its sealed form, which replaces it: an entry of `sql/statements/secrets/seal_secrets.sql`.
struct Swap {
    no: i32,
    endpoint_id: String,
    url: String,
    field: &'static str,
    stored: String,
    sealed: String,
}

fn unsealed(fault: NoRandomness) -> StoreError {
    StoreError::Row { statement: SEAL_SECRETS.name, fault: fault.to_string() }
}
