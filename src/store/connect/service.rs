//! The service file: connection options under a name.

use std::path::{Path, PathBuf};

use super::options::{Environment, Options};

/// The options of a service, from the first file that has it.
///
/// # Errors
/// Names the service that no file has, the file that cannot be read, or the line that is wrong.
pub(super) fn read(name: &str, environment: &Environment) -> Result<(Options, PathBuf), String> {
    let given = |variable| environment.get(variable).filter(|value: &&str| !value.is_empty());
    let of_user = match given("PGSERVICEFILE") {
        Some(path) => Some(PathBuf::from(path)),
        // A file that nobody named need not be there.
        None => environment
            .home()
            .map(|home| Path::new(home).join(".pg_service.conf"))
            .filter(|path| path.exists()),
    };
    let of_system = given("PGSYSCONFDIR")
        .map(|folder| Path::new(folder).join("pg_service.conf"))
        .filter(|path| path.exists());
    for path in of_user.into_iter().chain(of_system) {
        let text = std::fs::read_to_string(&path)
            .map_err(|fault| format!("service: cannot read {}: {fault}", path.display()))?;
        if let Some(options) = find(&text, name).map_err(|fault| format!("{}{fault}", path.display()))? {
            return Ok((options, path));
        }
    }
    Err(format!(
        "service \"{}\" is in no service file (~/.pg_service.conf, PGSERVICEFILE, PGSYSCONFDIR)",
        name.escape_debug()
    ))
}

/// The options of a section. `None` if there is no such section.
fn find(text: &str, name: &str) -> Result<Option<Options>, String> {
    let mut found = None;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (section.strip_suffix(']') == Some(name)).then(Options::default);
        } else if let Some(options) = &mut found {
            let mut only = Options::default();
            let (key, value) =
                line.split_once('=').ok_or_else(|| format!(", line {number}: expected name=value"))?;
            if key == "service" {
                return Err(format!(", line {number}: a service cannot name another one"));
            }
            only.set(key, value.to_owned()).map_err(|fault| format!(", line {number}: {fault}"))?;
            // The first one counts, unlike in a connection string: so it is in libpq.
            options.fill(only);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# ours\n[other]\nhost=elsewhere\n\n[shop]\nhost=db.example\nport=5433\nport=1\n[late]\nuser=me\n";

    #[test]
    fn a_service_is_the_lines_under_its_name() {
        let options = find(TEXT, "shop").unwrap().unwrap();

        let lines: Vec<_> = options.shown().collect();
        assert_eq!(lines, [("host", "db.example"), ("port", "5433")]);
    }

    #[test]
    fn a_service_that_is_not_there_is_not_found() {
        assert!(find(TEXT, "shopping").unwrap().is_none());
    }

    #[test]
    fn a_line_that_is_wrong_is_named_by_its_number() {
        for (line, says) in [
            ("sslcrl=x", ", line 2: option \"sslcrl\""),
            ("host", ", line 2: expected name=value"),
            ("service=other", ", line 2: a service"),
        ] {
            let fault = find(&format!("[shop]\n{line}\n"), "shop").err().unwrap();

            assert!(fault.starts_with(says), "{fault}");
        }
    }
}
