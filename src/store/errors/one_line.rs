//! What an error of the database says to people: one clear line, with its remedy, without a value of a row.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

use super::{REFUSALS, database_error, is_taken_id};

/// The driver's words for a session that cannot write.
const NO_WRITES: &str = "does not allow writes";
const READ_ONLY: &str = "; this server is a standby, or it, the database or the role is read-only for now \
    (default_transaction_read_only): use the primary, or switch that off";

/// Messages of the driver about an answer that no PostgreSQL gives. Waiting may help: a proxy in between may answer for it.
const NONSENSE: [&str; 3] = ["bytes remaining on stream", "invalid message length", "unknown message tag"];

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
pub(super) fn is_raised(db: &DbError) -> bool {
    db.where_().and_then(|place| place.lines().next()).is_some_and(|place| place.ends_with(" at RAISE"))
}

/// The function that raised it, if it is not one of ours: somebody's trigger on our tables.
pub(super) fn foreign_function(db: &DbError) -> Option<&str> {
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
pub(super) fn tls_error<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
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
pub(super) fn chain(fault: &(dyn Error + 'static)) -> String {
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
