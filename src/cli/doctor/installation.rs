//! Whether this database is where the installation is at home. Nothing is sent from a copy.

use super::Finding;
use crate::config::RunConfig;
use crate::model::installation::InstallationName;
use crate::store::{InstallationRow, Store};

const NAME: &str = "installation";
const ADOPT: &str = "postrider adopt --as original, if the installation is here now; postrider adopt --as copy, if this is a copy of it";

/// Says which installation this is, and what keeps dispatchers from sending. `None` if its row is gone: the schema's check tells.
pub(super) async fn check(config: &RunConfig, store: &Store) -> Option<Finding> {
    let told = config.dispatcher.database.installation().map(InstallationName::as_str);
    match store.read_installation().await {
        Ok(row) => row.map(|row| judge(&row, told)),
        Err(fault) => Some(Finding::broken(NAME, &fault)),
    }
}

fn judge(row: &InstallationRow, told: Option<&str>) -> Finding {
    if let Some(why) = &row.waits_because {
        return Finding::fail(
            NAME,
            format!("nothing is sent: {why}; dispatchers shown are the original's"),
            ADOPT,
        );
    }
    let name = row.name.as_deref();
    if row.is_taken && name != told {
        let shown = |name: Option<&str>| name.map_or("none".to_owned(), |name| format!("\"{name}\""));
        let message =
            format!("nothing is sent: its name is {}, and the one given is {}", shown(name), shown(told));
        return Finding::fail(
            NAME,
            message,
            format!("give --installation {}; {ADOPT}", name.unwrap_or("nothing")),
        );
    }
    let named = name.map(|name| format!(", named {name}")).unwrap_or_default();
    if !row.is_server_known && name.is_none() {
        return Finding::warn(
            NAME,
            format!(
                "{}{named}; the server's identity may not be read, so a copy on another server may send",
                row.code
            ),
            "grant execute on function pg_control_system() to the schema's owner, or give it a name: postrider adopt --as original --installation NAME",
        );
    }
    let moves =
        row.move_expected_until.as_ref().map(|until| format!("; it is expected to move until {until}"));
    Finding::ok(NAME, format!("{} is at home here{named}{}", row.code, moves.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn row() -> InstallationRow {
        InstallationRow {
            name: Some("production".to_owned()),
            code: "0123456789".to_owned(),
            waits_because: None,
            move_expected_until: None,
            is_taken: true,
            is_server_known: true,
        }
    }

    #[test]
    fn whatever_keeps_dispatchers_from_sending_is_a_failure() {
        let copied = InstallationRow { waits_because: Some("this is a copy".to_owned()), ..row() };
        let unnamed = InstallationRow { name: None, ..row() };
        let new = InstallationRow { name: None, is_taken: false, ..row() };
        let blind = InstallationRow { name: None, is_server_known: false, ..row() };
        for (row, told, verdict) in [
            (&row(), Some("production"), Severity::Ok),
            (&row(), Some("staging"), Severity::Fail),
            (&row(), None, Severity::Fail),
            (&copied, Some("production"), Severity::Fail),
            (&unnamed, Some("staging"), Severity::Fail),
            (&unnamed, None, Severity::Ok),
            (&new, Some("production"), Severity::Ok),
            (&blind, None, Severity::Warn),
        ] {
            assert_eq!(judge(row, told).result, verdict, "{row:?} {told:?}");
        }
    }
}
