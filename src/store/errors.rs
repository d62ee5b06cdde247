//! Errors of the database: one clear line for each, with its remedy, and which of them waiting does not mend.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::StoreError;

/// Messages of the driver before there is a session, where waiting does not help, each with its remedy.
const REFUSALS: [(&str, &str); 4] = [
    ("password missing", "; give it as PGPASSWORD, in ~/.pgpass, or in the connection string"),
    ("server does not support TLS", "; switch ssl on at the server, or write sslmode=prefer to go without"),
    ("server did not use channel binding", "; channel_binding=require needs TLS and scram-sha-256"),
    ("invalid configuration", ""),
];

/// The driver's words for a session that cannot write.
const NO_WRITES: &str = "does not allow writes";
const READ_ONLY: &str = "; this server is a standby, or it, the database or the role is read-only for now \
    (default_transaction_read_only): use the primary, or switch that off";

/// Messages of the driver about an answer that no PostgreSQL gives. Waiting may help: a proxy in between may answer for it.
const NONSENSE: [&str; 3] = ["bytes remaining on stream", "invalid message length", "unknown message tag"];

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

/// The whole chain of an error in one line; what the server said stands alone, with the remedy where there is one.
pub fn one_line(fault: &(dyn Error + 'static)) -> String {
    let text = match database_error(fault) {
        Some(db) => from_server(db),
        None => from_driver(fault),
    };
    text.replace(['\n', '\r'], " ")
}

fn from_server(db: &DbError) -> String {
    let said = &without_values(db);
    // Ours alone. The server's own quotes what was wrong: a word of the payload, a secret, or the whole row.
    let detail = db.detail().filter(|detail| is_raised(db) && detail.starts_with("Allowed "));
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let code = db.code().code();
    let has_hint = ["54000", "55000", "PR001"].contains(&code)
        || (["42501", "42P16", "55P03"].contains(&code) && is_raised(db));
    let hint = db.hint().filter(|_| has_hint);
    let hint = hint.map(|hint| format!(": {}", hint.trim_end_matches('.'))).unwrap_or_default();
    let place = foreign_function(db).map(|place| format!(" (in {place})")).unwrap_or_default();
    format!("{said}{detail}{place}{hint}{}", remedy(db))
}

/// A remedy. Empty if none is known.
fn remedy(db: &DbError) -> &'static str {
    let said = db.message();
    if is_foreign(db) {
        return "; that function is not Postrider's: it needs rights of its own, and qualified names or a search_path of its own";
    }
    match *db.code() {
        // By what raised it, because messages speak the server's language.
        SqlState::INSUFFICIENT_PRIVILEGE if db.routine() == Some("CreateRole") => {
            "; a role with createrole makes them once: create role postrider_producer nologin; create role postrider_reader \
             nologin; create role postrider_dispatcher nologin; then migrate again"
        }
        SqlState::INSUFFICIENT_PRIVILEGE if said.contains("for database") => {
            "; to migrate, the role needs: grant create on database, and createrole for the three postrider roles"
        }
        // A function of ours says itself what is needed.
        SqlState::INSUFFICIENT_PRIVILEGE if is_raised(db) => "",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "; the role lacks a grant: grant postrider_dispatcher (to publish only: postrider_producer; to read only: \
             postrider_reader) to it; if it is a member, the schema's owner runs \"postrider migrate\", which puts lost grants back"
        }
        SqlState::INVALID_COLUMN_REFERENCE
            if ["CheckCmdReplicaIdentity"].map(Some).contains(&db.routine()) =>
        {
            "; a publication of the database names columns or rows of it without its key: \"postrider doctor\" says which"
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if said.contains("client certificate") => {
            "; give sslcert=FILE and sslkey=FILE"
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if said.contains("no encryption") => {
            "; where the server wants TLS, write sslmode=verify-full"
        }
        SqlState::STATEMENT_TOO_COMPLEX => {
            "; the JSON is nested deeper than the server's max_stack_depth allows"
        }
        SqlState::INVALID_CATALOG_NAME => "; create it first: createdb",
        SqlState::READ_ONLY_SQL_TRANSACTION => READ_ONLY,
        SqlState::UNIQUE_VIOLATION if is_taken_id(db) => {
            "; the sequence of these ids lies behind the table: run \"postrider doctor --mend\""
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => "; run \"postrider migrate\" first",
        _ => "",
    }
}

/// Whether somebody's function failed over a name or a right, in a statement of ours.
fn is_foreign(db: &DbError) -> bool {
    let names = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_OBJECT,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    names.contains(db.code()) && foreign_function(db).is_some() && !is_raised(db)
}

/// The server's message without the value that it quotes, which may be a secret. The message of a function that raises is
/// shown as its author wrote it.
fn without_values(db: &DbError) -> String {
    let said = db.message();
    if !db.code().code().starts_with("22") || is_raised(db) {
        return said.to_owned();
    }
    // It shows the bytes.
    if said.contains(": 0x") || said.contains("byte sequence 0x") {
        return "a text holds a character that the database cannot store".to_owned();
    }
    match (said.find('"'), said.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) = (said.get(..=first), said.get(last..));
            format!("{}...{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => said.to_owned(),
    }
}

/// Whether a function said so in its own words.
fn is_raised(db: &DbError) -> bool {
    db.where_().and_then(|place| place.lines().next()).is_some_and(|place| place.ends_with(" at RAISE"))
}

/// The function that raised it, if it is not one of ours: somebody's trigger on our tables.
fn foreign_function(db: &DbError) -> Option<&str> {
    // As "PL/pgSQL function audit() line 3 at RAISE", whatever the language; what a function calls stands above it.
    let mut functions = db.where_()?.lines().filter(|line| line.contains("PL/"));
    let function = functions.find_map(|line| line.find("function ").and_then(|at| line.get(at..)))?;
    // A block is the migrator's, and the function of an attached table writes its statuses.
    let ours = ["function postrider.", "function inline_code_block"];
    let is_ours = ours.iter().any(|ours| function.starts_with(ours)) || function.contains("postrider_write_");
    (!is_ours).then_some(function)
}

fn from_driver(fault: &(dyn Error + 'static)) -> String {
    let said = chain(fault);
    let remedy = match tls_error(fault) {
        Some(fault) => certificate_remedy(fault),
        None if said.contains(NO_WRITES) => READ_ONLY,
        None if NONSENSE.iter().any(|part| said.contains(part)) => "; is it PostgreSQL that answers there?",
        None => REFUSALS.iter().find(|(part, _)| said.contains(part)).map_or("", |(_, remedy)| remedy),
    };
    format!("{said}{remedy}")
}

fn certificate_remedy(fault: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(fault) = fault else { return "" };
    if *fault == CertificateError::UnknownIssuer {
        "; give the certificate of the authority that signed the server's as sslrootcert=FILE"
    } else if matches!(
        fault,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "; connect by a name that the certificate is for, or write sslmode=verify-ca"
    } else if matches!(fault, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "; renew the server's certificate"
    } else {
        ""
    }
}

/// The error of TLS. An I/O error does not count the error that it carries among its sources.
fn tls_error<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(fault);
    while let Some(layer) = next {
        let carried = layer.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = carried.and_then(|carried| carried.downcast_ref()) {
            return Some(tls);
        }
        next = layer.source();
    }
    None
}

/// Every layer's own words, once: a layer that only repeats its cause says nothing.
fn chain(fault: &(dyn Error + 'static)) -> String {
    let mut layers: Vec<String> = Vec::new();
    let mut next = Some(fault);
    while let Some(layer) = next {
        layers.push(layer.to_string());
        next = layer.source();
    }
    let mut texts: Vec<&str> = Vec::new();
    // The pool's own layer adds nothing to the cause that it ends with.
    for text in layers.iter().rev().filter(|text| !text.starts_with("Error occurred while")) {
        texts.retain(|cause| !text.contains(cause));
        texts.push(text);
    }
    texts.reverse();
    texts.join(": ")
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
