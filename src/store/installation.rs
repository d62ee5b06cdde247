//! Statements about the installation: where it is at home, and what a database is that may be a copy.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::statements::{ADOPT, EXPECT_MOVE, READ_INSTALLATION, REQUIRE_HOME};
use super::{Store, StoreError, millis};
use crate::model::installation::InstallationName;

/// Which installation this is, and whether anything is sent from this database.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Installation)]
pub struct InstallationRow {
    /// The name that its dispatchers must be told.
    pub name: Option<String>,
    /// Part of every `webhook-id`.
    pub code: String,
    /// Why nothing is sent from here until somebody adopts the database.
    pub waits_because: Option<String>,
    /// Until when a move is expected.
    #[schema(format = DateTime)]
    pub move_expected_until: Option<String>,
    /// Whether a dispatcher has been here, or in what this was copied from.
    pub is_taken: bool,
    /// Whether the functions of the schema may read the system identifier of the server.
    pub is_server_known: bool,
}

/// The operator's word about a database that may be a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// A new installation.
    Copy,
    /// The installation itself, moved or restored.
    Original,
}

impl Adoption {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Copy, Self::Original];

    /// As `postrider.adopt` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Original => "original",
        }
    }
}

/// The answer to `adopt`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Adopted {
    /// The name that its dispatchers must be told from now on.
    pub name: Option<String>,
    /// Part of every `webhook-id`.
    pub code: String,
    /// Events that are not sent.
    pub events_cancelled: i64,
    /// Endpoints that wait until somebody resumes them.
    pub endpoints_paused: i64,
}

impl Store {
    /// `sql/statements/installation/require_home.sql`.
    ///
    /// # Errors
    /// [`StoreError`]; [`super::waits_for_adoption`] tells whether this database may be a copy.
    pub async fn require_home(&self) -> Result<(), StoreError> {
        self.execute(&REQUIRE_HOME, &[]).await
    }

    /// `sql/statements/installation/read_installation.sql`. `None` if its row is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_installation(&self) -> Result<Option<InstallationRow>, StoreError> {
        self.query_opt(&READ_INSTALLATION, &[]).await?.map(|row| row.json("row")).transpose()
    }

    /// `sql/statements/installation/adopt.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: nothing has changed.
    pub async fn adopt(
        &self,
        adoption: Adoption,
        name: Option<&InstallationName>,
    ) -> Result<Adopted, StoreError> {
        let name = name.map(InstallationName::as_str);
        self.query_one(&ADOPT, &[&adoption.as_str(), &name]).await?.json("row")
    }

    /// `sql/statements/installation/expect_move.sql`: until when. Zero takes it back.
    ///
    /// # Errors
    /// [`StoreError`]: nothing has changed.
    pub async fn expect_move(&self, within: Duration) -> Result<Option<String>, StoreError> {
        self.query_one(&EXPECT_MOVE, &[&millis(within)]).await?.get("move_expected_until")
    }
}
