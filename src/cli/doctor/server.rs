//! The server and this session: version, standby, durability, clock, grants, and what holds everything back.

use std::time::Duration;

use super::Finding;
use crate::cli::count;
use crate::rules::clock::skew;
use crate::store::{OldTransaction, ServerRow, Store};

/// Major versions that the test suite runs on.
const MAJOR_MIN: i32 = 14;
const MAJOR_MAX: i32 = 18;
/// Vacuum and routing wait for the oldest transaction.
const OLD_TRANSACTION: Duration = Duration::from_mins(5);
const TRANSACTIONS: &str = "transactions";
const LACKING_SHOWN: usize = 3;

pub(super) fn connection(row: &ServerRow) -> Finding {
    const NAME: &str = "connection";
    let ServerRow { version, role, .. } = row;
    let major = row.version_no / 10_000;
    let message = format!("PostgreSQL {version}, as role {role}");
    if row.is_standby {
        return Finding::fail(
            NAME,
            format!("{message}; this server is a standby"),
            "give the primary's address",
        );
    }
    if row.is_read_only {
        return Finding::fail(
            NAME,
            format!("{message}; transactions are read-only"),
            "give the primary's address, or wait until the server's read-only mode is over: alter system, database or role ... \
             reset default_transaction_read_only (a dispatcher waits for it)",
        );
    }
    if major < MAJOR_MIN {
        return Finding::fail(
            NAME,
            format!("{message}; {MAJOR_MIN} to {MAJOR_MAX} are supported"),
            "upgrade PostgreSQL",
        );
    }
    if major > MAJOR_MAX {
        return Finding::warn(
            NAME,
            format!("{message}; {MAJOR_MIN} to {MAJOR_MAX} are tested"),
            "look for a newer postrider",
        );
    }
    Finding::ok(NAME, message)
}

/// A text that is no UTF-8 sends its own event to the set-aside ones. `None` if the database takes no such text.
pub(super) fn encoding(row: &ServerRow) -> Option<Finding> {
    (row.encoding != "UTF8").then(|| {
        Finding::warn(
            "encoding",
            format!(
                "the database's encoding is {}: an event with a character that UTF-8 does not have is set aside, alone",
                row.encoding
            ),
            "see postrider.set_aside now and then; a new database: createdb --encoding UTF8 --template template0",
        )
    })
}

pub(super) fn durability(row: &ServerRow) -> Finding {
    const NAME: &str = "durability";
    let message = format!("synchronous_commit = {}", row.synchronous_commit);
    if row.synchronous_commit == "off" {
        return Finding::warn(
            NAME,
            format!(
                "{message}: a crash of the server loses events that were committed, and sends others twice"
            ),
            "set synchronous_commit = on, for the producers' roles too",
        );
    }
    Finding::ok(NAME, message)
}

/// Timestamps of requests are the database's. A hint only: this machine's clock may be the wrong one.
pub(super) fn clock(row: &ServerRow, before_ms: i64, after_ms: i64) -> Finding {
    const NAME: &str = "clock";
    match skew(row.now_ms, before_ms, after_ms) {
        Some(skew) => {
            Finding::warn(NAME, skew, "set the clocks (NTP) of the database server and of this machine")
        }
        None => Finding::ok(NAME, "the database and this machine agree"),
    }
}

pub(super) async fn grants(row: &ServerRow, store: &Store) -> Finding {
    const NAME: &str = "grants";
    if !row.has_schema {
        return Finding::ok(NAME, "none to check: there is no schema yet");
    }
    match store.list_missing_grants().await {
        Ok(missing) if !missing.is_empty() => return missing_grants(&missing, store).await,
        Ok(_) => {}
        Err(fault) => return Finding::broken(NAME, &fault),
    }
    let lacking = match store.list_lacking_grants().await {
        Ok(lacking) => lacking,
        Err(fault) => return Finding::broken(NAME, &fault),
    };
    if lacking.is_empty() {
        return Finding::ok(NAME, format!("{} may do all that run --no-migrate does", row.role));
    }
    let number = count(i64::try_from(lacking.len()).unwrap_or(i64::MAX), "grant", "grants");
    let shown: Vec<String> = lacking.into_iter().take(LACKING_SHOWN).collect();
    Finding::fail(
        NAME,
        format!("{} lacks {number} of those that run needs, as {}", row.role, shown.join(", ")),
        format!("grant postrider_dispatcher to \"{}\"", row.role),
    )
}

/// The three roles lack grants, whoever is a member of them: a restore without privileges leaves that. The schema's owner needs
/// none of them.
async fn missing_grants(missing: &[String], store: &Store) -> Finding {
    const NAME: &str = "grants";
    let number = count(i64::try_from(missing.len()).unwrap_or(i64::MAX), "grant", "grants");
    let shown: Vec<&str> = missing.iter().take(LACKING_SHOWN).map(String::as_str).collect();
    let message = format!(
        "the schema lacks {number} that it is made with (restored without privileges?), as {}",
        shown.join("; ")
    );
    match store.read_owner().await {
        Ok(None) => Finding::warn(NAME, message, "postrider migrate"),
        Ok(Some(owner)) => Finding::fail(NAME, message, format!("postrider migrate, as role \"{owner}\"")),
        Err(fault) => Finding::broken(NAME, &fault),
    }
}

/// Rows that a policy hides from a dispatcher are never delivered. `None` if no table hides rows.
pub(super) async fn row_security(store: &Store) -> Option<Finding> {
    const NAME: &str = "row security";
    let hidden = match store.list_hidden_tables().await {
        Ok(hidden) => hidden,
        Err(fault) => return Some(Finding::broken(NAME, &fault)),
    };
    let first = hidden.first()?;
    Some(Finding::warn(
        NAME,
        format!("policies may hide rows from this role, which then are not delivered: {}", hidden.join(", ")),
        format!(
            "create policy dispatcher on postrider.{first} to postrider_dispatcher using (true) with check (true)"
        ),
    ))
}

/// Mends what [`rows_of_others`] finds missing: as in `sql/schema/outbox.sql`.
const PRODUCERS_POLICY: &str = "drop policy if exists producers on postrider.outbox; \
    create policy producers on postrider.outbox as restrictive for select to postrider_producer \
    using (created_xid = pg_current_xact_id_if_assigned() \
    or pg_has_role('postrider_reader', 'usage') or pg_has_role('postrider_dispatcher', 'usage'))";

/// A producer may read ids and idempotency keys, of its own transaction alone. `None` if that is so.
pub(super) async fn rows_of_others(store: &Store) -> Option<Finding> {
    const NAME: &str = "producers";
    let security = match store.read_outbox_security().await {
        Ok(security) => security?,
        Err(fault) => return Some(Finding::broken(NAME, &fault)),
    };
    let switch_on = "alter table postrider.outbox enable row level security";
    let (why, remedy) = match (security.is_on, security.has_policy) {
        (true, true) => return None,
        (false, true) => ("row-level security of postrider.outbox is switched off", switch_on.to_owned()),
        (true, false) => {
            ("the policy producers of postrider.outbox is gone, or was changed", PRODUCERS_POLICY.to_owned())
        }
        (false, false) => (
            "row-level security of postrider.outbox is switched off, and its policy producers is gone",
            format!("{PRODUCERS_POLICY}; {switch_on}"),
        ),
    };
    Some(Finding::warn(
        NAME,
        format!("{why}: a producer reads ids and idempotency keys of events of others"),
        format!("as the schema's owner: {remedy}"),
    ))
}

/// A transaction that is open for long keeps dead rows from being vacuumed. If it writes, it also holds back the watermark of
/// routing.
pub(super) async fn old_transactions(row: &ServerRow, store: &Store) -> Finding {
    match store.list_old_transactions(OLD_TRANSACTION).await {
        Ok(old) => judge_old_transactions(row, &old),
        Err(fault) => Finding::broken(TRANSACTIONS, &fault),
    }
}

fn judge_old_transactions(row: &ServerRow, old: &[OldTransaction]) -> Finding {
    let limit = humantime::format_duration(OLD_TRANSACTION);
    let partly = if row.sees_all_sessions { "" } else { " (of other roles only pg_read_all_stats sees)" };
    let Some(first) = old.first() else {
        return Finding::ok(TRANSACTIONS, format!("none is open for more than {limit}{partly}"));
    };
    let (what, remedy) = describe(first);
    let number = count(i64::try_from(old.len()).unwrap_or(i64::MAX), "holds", "hold");
    Finding::warn(
        TRANSACTIONS,
        format!("{number} back vacuum, and maybe routing, for more than {limit}; {what}"),
        remedy,
    )
}

fn describe(old: &OldTransaction) -> (String, String) {
    let OldTransaction { kind, name, says: _, age_ms: _ } = old;
    let remedy = match kind.as_str() {
        "session" => format!("end it, or: select pg_terminate_backend({name})"),
        "prepared transaction" => format!("commit prepared '{name}', or: rollback prepared '{name}'"),
        _ => format!("let its subscriber catch up, or: select pg_drop_replication_slot('{name}')"),
    };
    (old.to_string(), remedy)
}

/// A server that is as it should be.
#[cfg(test)]
pub(super) fn server() -> ServerRow {
    ServerRow {
        version: "17.2".to_owned(),
        version_no: 170_002,
        is_standby: false,
        is_read_only: false,
        encoding: "UTF8".to_owned(),
        synchronous_commit: "on".to_owned(),
        is_autovacuum_on: true,
        role: "postrider".to_owned(),
        is_superuser: false,
        sees_all_sessions: true,
        has_schema: true,
        notification_queue_usage: 0.0,
        now_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn only_a_supported_primary_is_a_good_server() {
        for (change, verdict) in [
            (server(), Severity::Ok),
            (ServerRow { version_no: 130_012, ..server() }, Severity::Fail),
            (ServerRow { version_no: 140_000, ..server() }, Severity::Ok),
            (ServerRow { version_no: 189_999, ..server() }, Severity::Ok),
            (ServerRow { version_no: 190_000, ..server() }, Severity::Warn),
            (ServerRow { is_standby: true, ..server() }, Severity::Fail),
            (ServerRow { is_read_only: true, ..server() }, Severity::Fail),
        ] {
            assert_eq!(connection(&change).result, verdict, "{change:?}");
        }
    }

    #[test]
    fn whatever_holds_back_vacuum_is_named_with_what_ends_it() {
        for (kind, remedy) in [
            ("session", "pg_terminate_backend(7)"),
            ("prepared transaction", "rollback prepared '7'"),
            ("replication slot", "pg_drop_replication_slot('7')"),
        ] {
            let old = OldTransaction {
                kind: kind.to_owned(),
                name: "7".to_owned(),
                says: "somebody".to_owned(),
                age_ms: Some(600_000),
            };

            let check = judge_old_transactions(&server(), &[old]);

            assert_eq!(check.result, Severity::Warn);
            assert!(check.message.contains(&format!("{kind} 7 (somebody), for 10m")), "{check:?}");
            assert!(check.remedy.is_some_and(|text| text.contains(remedy)), "{kind}");
        }
    }

    #[test]
    fn a_role_that_sees_its_own_sessions_only_is_told_so() {
        let blind = ServerRow { sees_all_sessions: false, ..server() };

        assert!(judge_old_transactions(&blind, &[]).message.contains("pg_read_all_stats"));
        assert!(!judge_old_transactions(&server(), &[]).message.contains("pg_read_all_stats"));
    }
}
