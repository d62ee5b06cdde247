//! Who comes to a server of the tests: with its password, because anybody on this machine can reach its port. A server that was
//! given may do without.

use url::Url;

/// The same URL with its password in it, where it names a file of passwords: the bare driver reads none.
pub(crate) fn with_password(url: &str) -> String {
    let Some(file) = passfile(url) else { return url.to_owned() };
    let (plain, _) = url.split_once('?').unwrap();
    let line = std::fs::read_to_string(file).expect("a file of passwords");
    let password = line.trim().rsplit(':').next().unwrap();
    plain.replacen('@', &format!(":{password}@"), 1)
}

/// The file of passwords that a URL names.
pub(crate) fn passfile(url: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    let mut options = url.query_pairs();
    options.find(|(name, _)| name == "passfile").map(|(_, file)| file.into_owned())
}

/// The password of a URL.
pub(crate) fn password(url: &str) -> Option<&str> {
    let (login, _) = url.split_once("://")?.1.split_once('@')?;
    Some(login.split_once(':')?.1)
}

/// The URL of another role, with the same password.
pub(crate) fn as_role(url: &str, role: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    let login = password(url).map_or_else(|| role.to_owned(), |password| format!("{role}:{password}"));
    format!("{scheme}://{login}@{place}")
}

/// What `create role` says so that [`as_role`] serves.
pub(crate) fn login_clause(url: &str) -> String {
    password(url).map_or_else(|| "login".to_owned(), |password| format!("login password '{password}'"))
}
