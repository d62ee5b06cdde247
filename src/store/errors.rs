//! Errors of the database: one clear line for each, with its remedy, and which of them waiting does not mend.

mod one_line;

use std::error::Error;
use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};

use self::one_line::{chain, foreign_function, is_raised, tls_error};
use super::StoreError;

pub use one_line::one_line;

/// Messages of the driver before there is a session, where waiting does not help, each with its remedy.
const REFUSALS: [(&str, &str); 4] = [
    ("password missing", "; give it as PGPASSWORD, in ~/.pgpass, or in the connection string"),
    ("server does not support TLS", "; switch ssl on at the server, or write sslmode=prefer to go without"),
    ("server did not use channel binding", "; channel_binding=require needs TLS and scram-sha-256"),
    ("invalid configuration", ""),
];

/// Whether trying again cannot help: wrong password, no such database or role, no grant, wrong schema, a certificate
/// that is not trusted.
pub fn is_permanent(fault: &(dyn Error + 'static)) -> bool {
    let Some(db) = database_error(fault) else {
        let said = chain(fault);
        return tls_error(fault).is_some() || REFUSALS.iter().any(|(part, _)| said.contains(part));
    };
    [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
    ]
    .contains(db.code())
}

/// Whether the server refused a value (SQLSTATE class 22): the same value will be refused again.
pub fn is_data_fault(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| db.code().code().starts_with("22"))
}

/// SQLSTATEs, or classes of them, with which the server refuses a row: what it holds, or what it sets off.
const OF_A_ROW: [&str; 12] = [
    "09", "21", "22", "23", "27", "2F", "38", "39", "54",
    "P0",    // Triggers, constraints, values, limits.
    "53200", // Out of memory: a smaller batch needs less.
    "57014", // It took too long.
];

/// SQLSTATEs, or classes of them, of faults that may be over soon: a deadlock, a lock, a timeout.
const PASSING: [&str; 3] = ["40", "55P03", "57014"];

/// Whether the server refused one row of a statement, and would take the others without it. Causes are a trigger or a
/// constraint that somebody added, a value, or damaged data. A fault of the statement as such, of the session or of the
/// server is none of a row.
pub fn is_row_fault(fault: &(dyn Error + 'static)) -> bool {
    if let Some(StoreError::Row { .. }) = fault.downcast_ref() {
        return true; // It was read, and is not what its statement's header says.
    }
    let Some(db) = database_error(fault).filter(|db| db.parsed_severity() == Some(Severity::Error)) else {
        return false;
    };
    let code = db.code().code();
    let is_of_a_row = OF_A_ROW.iter().any(|start| code.starts_with(start));
    let is_damaged = ["XX001", "XX002"].contains(&code) || is_of_a_value(db);
    // A trigger of somebody else may raise whatever it likes.
    foreign_function(db).is_some()
        || (is_of_a_row && !is_taken_id(fault) && !is_lost_dispatcher(db))
        || is_damaged
        || is_wait_for_a_row(db)
}

/// Whether it waited for a transaction that has locked a row or has inserted the same one, and not for a lock on a table. The
/// server says so, as "while inserting index tuple (0,5) in relation ...". The row of a dispatcher is no row of a batch: all
/// its claims need it.
fn is_wait_for_a_row(db: &DbError) -> bool {
    let is_a_row = |place: &str| place.contains(" tuple (") && !place.contains("in relation \"dispatcher\"");
    *db.code() == SqlState::LOCK_NOT_AVAILABLE && db.where_().is_some_and(is_a_row)
}

/// Whether the row of this dispatcher is gone. The next renewal of its lease registers it anew.
fn is_lost_dispatcher(db: &DbError) -> bool {
    db.schema() == Some("postrider") && db.constraint() == Some("claim_dispatcher_id_fkey")
}

/// Whether the fault may be over soon.
pub(super) fn is_passing(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| PASSING.iter().any(|start| db.code().code().starts_with(start)))
}

/// Damage to a value that is stored apart, and a value too large to be handled, are reported as internal errors.
fn is_of_a_value(db: &DbError) -> bool {
    let is_told = |part| db.message().contains(part);
    *db.code() == SqlState::INTERNAL_ERROR
        && (is_told("toast value") || is_told("invalid memory alloc request"))
}

/// Whether a lock was not to be had within `lock_timeout`.
pub fn is_lock_timeout(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| *db.code() == SqlState::LOCK_NOT_AVAILABLE)
}

/// Tables whose ids come from a sequence.
const NUMBERED: [&str; 7] = [
    "outbox_pkey",
    "row_due_pkey",
    "delivery_pkey",
    "claim_pkey",
    "dispatcher_pkey",
    "endpoint_pkey",
    "endpoint_change_pkey",
];

/// Whether a new id was taken already. A sequence that lies behind its table gives out such ids.
pub(super) fn is_taken_id(fault: &(dyn Error + 'static)) -> bool {
    is_duplicate(fault)
        && database_error(fault).is_some_and(|db| {
            db.schema() == Some("postrider") && db.constraint().is_some_and(|name| NUMBERED.contains(&name))
        })
}

/// Whether there is such a row already.
pub fn is_duplicate(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| *db.code() == SqlState::UNIQUE_VIOLATION)
}

/// Whether a prepared statement is older than the schema, or gone, or another client's, which left one of this name behind
/// at a pooler. Nothing of the statement was done.
pub(super) fn is_stale_plan(fault: &(dyn Error + 'static)) -> bool {
    let Some(db) = database_error(fault) else { return false };
    // "cached plan must not change result type" is the only one of its code that ours can meet.
    [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT]
        .contains(db.code())
}

/// Whether the server has refused a statement and goes on with the session.
pub(super) fn leaves_connection_usable(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| db.parsed_severity() == Some(Severity::Error))
}

/// Whether the server refused a statement because of what it says or meets, and is itself in order.
pub fn is_refused_by_server(fault: &(dyn Error + 'static)) -> bool {
    leaves_connection_usable(fault) && !is_outage(fault) && !waits_for_adoption(fault)
}

/// Whether a dispatcher must send nothing from this database until somebody says what it is (`postrider.require_home`).
pub fn waits_for_adoption(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| db.code().code() == "PR001")
}

/// Whether this server is no primary, for now.
pub fn is_read_only(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Whether the database is out of order for now: it shuts down or recovers, has no room, is read-only, or is not there. What
/// was begun is undone.
pub fn is_outage(fault: &(dyn Error + 'static)) -> bool {
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"]; // Connections, resources, operators, the system below.
    match database_error(fault) {
        Some(db) => is_read_only(fault) || CLASSES.iter().any(|class| db.code().code().starts_with(class)),
        None => chain(fault).contains("connection closed") || io_error(fault),
    }
}

fn io_error(fault: &(dyn Error + 'static)) -> bool {
    let mut next = Some(fault);
    while let Some(layer) = next {
        if layer.is::<io::Error>() {
            return true;
        }
        next = layer.source();
    }
    false
}

/// Whether something in between takes nothing but the most common settings of a session.
pub(super) fn is_refused_setting(fault: &(dyn Error + 'static)) -> bool {
    database_error(fault).is_some_and(|db| db.message().starts_with("unsupported startup parameter"))
}

/// Why the database refuses the request of a caller, as the schema's functions say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseRefusal {
    /// There is nothing of that id (SQLSTATE P0002).
    Unknown,
    /// An argument or a value is invalid (class 22, a CHECK, or nested too deeply).
    Invalid,
    /// It is not in a state that allows this (55000, 40001).
    WrongState,
    /// There are as many as there may be (54000).
    TooMany,
}

/// Why the database refused the request of a caller. `None` if something else went wrong.
pub fn refusal(fault: &(dyn Error + 'static)) -> Option<DatabaseRefusal> {
    let db = database_error(fault)?;
    match db.code().code() {
        "P0002" => Some(DatabaseRefusal::Unknown),
        // 40001: it is being deleted.
        "55000" | "40001" => Some(DatabaseRefusal::WrongState),
        "54000" => Some(DatabaseRefusal::TooMany),
        // 54001: JSON that is nested deeper than the server reads.
        "23514" | "54001" => Some(DatabaseRefusal::Invalid),
        // A table that is none, or has no primary key, and a column that it does not have.
        "42809" | "42P16" | "42703" if is_raised(db) => Some(DatabaseRefusal::Invalid),
        code if code.starts_with("22") => Some(DatabaseRefusal::Invalid),
        _ => None,
    }
}

fn database_error<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a DbError> {
    let mut next = Some(fault);
    while let Some(layer) = next {
        if let Some(db) = layer.downcast_ref::<DbError>() {
            return Some(db);
        }
        next = layer.source();
    }
    None
}
