//! A setting with its value and its source.

use std::path::PathBuf;

use serde_json::Value;

use crate::sinks::egress::EgressProxy;
use crate::store::{DatabaseUrl, Environment};

/// Shown instead of a text that may hold a password anywhere.
const HIDDEN: &str = "(hidden)";

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its flag, or its environment variable: clap merges them.
    Typed,
    /// `DATABASE_URL`.
    DatabaseUrl,
    /// libpq's variables alone, as `PGHOST`.
    Libpq,
    /// A file.
    File(PathBuf),
    /// The default.
    Default,
}

/// One setting that was read.
#[derive(Clone, Debug)]
pub struct ResolvedSetting {
    /// Its name in a file.
    pub name: String,
    /// Its value as a file would have it, passwords hidden. Null if it is not set.
    pub value: Value,
    /// Its source.
    pub source: Source,
}

impl ResolvedSetting {
    pub(super) fn new(name: &str, value: Value, source: Source, environment: &Environment) -> Self {
        let value = match name {
            "database_url" | "listen_database_url" => without_password(value, environment),
            "encryption_key" if !value.is_null() => HIDDEN.into(),
            "egress_proxy" => match value.as_str().map(str::parse::<EgressProxy>) {
                Some(Ok(proxy)) => proxy.to_string().into(),
                Some(Err(_)) => HIDDEN.into(),
                None => value,
            },
            _ => value,
        };
        Self { name: name.to_owned(), value, source }
    }
}

fn without_password(value: Value, environment: &Environment) -> Value {
    match value.as_str().map(|text| DatabaseUrl::parse(text, environment)) {
        Some(Ok(url)) => url.without_password().into(),
        // The password may be anywhere in a text that cannot be parsed.
        Some(Err(_)) => HIDDEN.into(),
        None => value,
    }
}
