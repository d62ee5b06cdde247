//! What a setting came to, and where it comes from.

use std::path::PathBuf;

use serde_json::Value;

use crate::sinks::egress::EgressProxy;
use crate::store::{DatabaseUrl, Environment};

/// Stands for a text in which a password may be anywhere.
const HIDDEN: &str = "(hidden)";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its flag, or its environment variable: clap merges them.
    Typed,
    /// `DATABASE_URL`.
    DatabaseUrl,
    /// `PGHOST` and the like, alone.
    Libpq,
    /// A file.
    File(PathBuf),
    /// Nowhere.
    Default,
}

/// One setting as it was read.
#[derive(Clone, Debug)]
pub struct ResolvedSetting {
    /// Its name in a file.
    pub name: String,
    /// As it would stand in a file, passwords hidden; null: not set.
    pub value: Value,
    /// Where it comes from.
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
        // The password may be anywhere in it.
        Some(Err(_)) => HIDDEN.into(),
        None => value,
    }
}
