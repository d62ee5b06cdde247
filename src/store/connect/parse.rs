//! The two forms of a connection string, read as libpq reads them. What it would guess at is refused.

use std::iter::Peekable;
use std::str::Chars;

use super::options::Options;

const FORM: &str = "expected postgres://user@host/database";

/// Reads `postgres://…`, `postgresql://…` or `host=… dbname=…`.
///
/// # Errors
/// What is wrong, without a word of what may be the password.
pub(super) fn parse(text: &str) -> Result<Options, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("is empty; {FORM}"));
    }
    if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        return parse_url(rest);
    }
    match text.split_once('=') {
        Some((name, _)) if !name.contains("://") => parse_pairs(text),
        _ => Err(format!("is not a connection string; {FORM}")),
    }
}

/// `[user[:password]@][host[:port],…][/dbname][?name=value&…]`
fn parse_url(rest: &str) -> Result<Options, String> {
    let mut options = Options::default();
    let before_slash = rest.split('/').next().unwrap_or_default();
    let (login, rest) = match before_slash.find('@') {
        Some(at) => (Some(rest.split_at(at).0), rest.split_at(at + 1).1),
        None => (None, rest),
    };
    let (hosts, path, query) = split_place(rest);
    // libpq ends the password at the first @: what follows is then a host, and sent to a name server.
    if hosts.contains('@') && login.is_some_and(|login| login.contains(':')) {
        return Err("has an @ in its password; write it as %40".to_owned());
    }
    if rest.contains('@') {
        return Err("has an @ where none belongs; write it as %40, and a / in a password as %2F".to_owned());
    }
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        set_unless_empty(&mut options, "user", decode(user)?)?;
        set_unless_empty(&mut options, "password", decode(password)?)?;
    }
    let (names, ports) = split_hosts(hosts)?;
    set_unless_empty(&mut options, "host", names)?;
    set_unless_empty(&mut options, "port", ports)?;
    set_unless_empty(&mut options, "dbname", decode(path)?)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or("has an option without a value after its ?; write name=value")?;
        match (decode(name)?.as_str(), decode(value)?) {
            // As JDBC says it; libpq knows it too.
            ("ssl", value) if value == "true" => options.set("sslmode", "require".to_owned())?,
            (name, value) => options.set(name, value)?,
        }
    }
    Ok(options)
}

fn split_place(rest: &str) -> (&str, &str, &str) {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    (hosts, path, query)
}

/// `h1:5432,[::1],h3` as libpq's lists: `h1,::1,h3` and `5432,,`.
fn split_hosts(text: &str) -> Result<(String, String), String> {
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for place in text.split(',') {
        let (name, port) = match place.strip_prefix('[') {
            Some(literal) => match literal.split_once(']') {
                Some((name, "")) => (name, ""),
                Some((name, after)) if after.starts_with(':') => (name, after.split_at(1).1),
                _ => return Err("has an address in brackets that does not end with ] or ]:port".to_owned()),
            },
            None => place.split_once(':').unwrap_or((place, "")),
        };
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    Ok((names.join(","), ports.join(",")))
}

fn set_unless_empty(options: &mut Options, name: &str, value: String) -> Result<(), String> {
    if value.is_empty() { Ok(()) } else { options.set(name, value) }
}

/// Undoes percent-encoding; `+` stays `+`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)?.try_into().ok());
        let (high, low): (Option<u8>, Option<u8>) = (digit(), digit());
        match (high, low) {
            (Some(0), Some(0)) => return Err("has a %00, which no value may hold".to_owned()),
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => return Err("has a % without two hexadecimal digits after it; write it as %25".to_owned()),
        }
    }
    String::from_utf8(bytes).map_err(|_not_utf8| "has percent-encoded bytes that are not UTF-8".to_owned())
}

/// Text as a part of a URL.
pub(super) fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

/// `name = value 'quoted value' …`, with backslashes before what is meant as it stands.
fn parse_pairs(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = text.chars().peekable();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(options);
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
            name.push(c);
        }
        skip_blanks(&mut rest);
        if rest.next_if_eq(&'=').is_none() {
            // The word is not shown: it may be the rest of a password.
            return Err("has a word without = after it; put values with blanks in single quotes".to_owned());
        }
        let has_blank = skip_blanks(&mut rest);
        if has_blank && begins_with_an_option(rest.clone()) {
            // libpq takes `password=x` for the user in `user= password=x`, and would show it as that.
            return Err("has an option with a blank instead of a value; write '' for an empty one, and quotes around one with a =".to_owned());
        }
        let value = if rest.next_if_eq(&'\'').is_some() { quoted(&mut rest)? } else { bare(&mut rest) };
        options.set(&name, value)?;
    }
}

/// Whether there were any.
fn skip_blanks(rest: &mut Peekable<Chars<'_>>) -> bool {
    let mut has_blank = false;
    while rest.next_if(char::is_ascii_whitespace).is_some() {
        has_blank = true;
    }
    has_blank
}

fn begins_with_an_option(rest: Peekable<Chars<'_>>) -> bool {
    let mut rest =
        rest.skip_while(|c| c.is_ascii_alphanumeric() || *c == '_').skip_while(char::is_ascii_whitespace);
    rest.next() == Some('=')
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\'') => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None => return Err("has a single quote that is not closed".to_owned()),
        }
    }
}

fn bare(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_ascii_whitespace()) {
        if c == '\\' {
            value.extend(rest.next());
        } else {
            value.push(c);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(&'static str, String)> {
        let options = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let password = options.text("password").map(|value| ("password", value.to_owned()));
        options.shown().map(|(name, value)| (name, value.to_owned())).chain(password).collect()
    }

    fn wrong(text: &str) -> String {
        parse(text).map(|_| ()).expect_err(text)
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        for (text, values) in [
            ("postgres://", &[][..]),
            ("postgresql://db", &[("host", "db")]),
            ("postgres://me@", &[("user", "me")]),
            ("postgres:///shop", &[("dbname", "shop")]),
            ("postgres://db/", &[("host", "db")]),
            ("postgres://db:5433/shop", &[("dbname", "shop"), ("host", "db"), ("port", "5433")]),
            ("postgres://me:a%20b@db", &[("host", "db"), ("user", "me"), ("password", "a b")]),
            ("postgres://me:a:b?c#d@db", &[("host", "db"), ("user", "me"), ("password", "a:b?c#d")]),
            ("postgres://[::1]:5433/", &[("host", "::1"), ("port", "5433")]),
            ("postgres://[fe80::1]", &[("host", "fe80::1")]),
            ("postgres://%2Fvar%2Frun/shop", &[("dbname", "shop"), ("host", "/var/run")]),
            ("postgres://a:1,b,[::1]:3/", &[("host", "a,b,::1"), ("port", "1,,3")]),
            (
                "postgres://db?sslmode=require&user=me",
                &[("host", "db"), ("sslmode", "require"), ("user", "me")],
            ),
            ("postgres://db/?ssl=true", &[("host", "db"), ("sslmode", "require")]),
            ("postgres://db?host=other", &[("host", "other")]),
            (
                "postgres://db/a+b?options=-c%20geqo%3Doff",
                &[("dbname", "a+b"), ("host", "db"), ("options", "-c geqo=off")],
            ),
            ("  postgres://db\n", &[("host", "db")]),
        ] {
            let values: Vec<_> = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();

            assert_eq!(read(text), values, "{text}");
        }
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        for (text, values) in [
            ("host=db", &[("host", "db")][..]),
            (" host = db\tport=5433 ", &[("host", "db"), ("port", "5433")]),
            ("user='a b'dbname=''", &[("dbname", ""), ("user", "a b")]),
            (r"user='it\'s' dbname=a\ b\\", &[("dbname", r"a b\"), ("user", "it's")]),
            ("user=me user=you", &[("user", "you")]),
            ("user=a@b", &[("user", "a@b")]),
            ("options = -cgeqo=off", &[("options", "-cgeqo=off")]),
        ] {
            let values: Vec<_> = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();

            assert_eq!(read(text), values, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_the_form_of_one() {
        for text in ["", "  ", "nothing", "mysql://me:hunter2@db/shop", "mysql://me:hunter2@db/?a=b"] {
            let fault = wrong(text);

            assert!(fault.contains(FORM) && !fault.contains("hunter2"), "{text}: {fault}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_not_shown() {
        for (text, says) in [
            ("postgres://me:hun@ter2@db/shop", "has an @ in its password; write it as %40"),
            ("postgres://me:h@n@ter2@db/shop", "has an @ in its password; write it as %40"),
            ("postgres://me:12/ter2@db/shop", "a / in a password as %2F"),
            ("postgres://me:h@n/ter2@db/shop", "a / in a password as %2F"),
            ("postgres://me@here:ter2@db/shop", "has an @ where none belongs"),
            ("postgres://me:h@n?ter2=x@db/shop", "has an @ where none belongs"),
            ("postgres://me:100%ter2@db/shop", "write it as %25"),
            ("postgres://me:%FFter2@db/shop", "not UTF-8"),
            ("postgres://me:%00ter2@db/shop", "%00"),
            ("password=hun ter2", "has a word without ="),
            ("password=hun TER2=x", "option of that name is not supported"),
            ("password='hun ter2", "has a single quote that is not closed"),
            ("hostaddr= password=hunter2", "has an option with a blank instead of a value; write ''"),
            ("user = password = hunter2", "has an option with a blank instead of a value; write ''"),
        ] {
            let fault = wrong(text);

            assert!(fault.contains(says), "{text}: {fault}");
            assert!(!fault.to_lowercase().contains("ter2"), "{text}: {fault}");
        }
    }

    #[test]
    fn an_option_that_is_unknown_or_not_supported_is_named() {
        for name in ["sslpassword", "sslcrl", "requirepeer", "krbsrvname", "keepalives_retries", "hots"] {
            for text in [format!("host=db {name}=x"), format!("postgres://db/?{name}=x")] {
                let fault = wrong(&text);

                let rest = if name == "hots" { ", did you mean \"host\"?" } else { "; known are host, " };
                assert!(fault.starts_with(&format!("option \"{name}\" is not supported{rest}")), "{fault}");
            }
        }
    }

    fn quote(value: &str) -> String {
        format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
    }

    proptest! {
        #[test]
        fn any_name_and_password_survive_a_url(values in proptest::array::uniform3("[^\\x00]{1,20}")) {
            let [user, password, database] = values.each_ref().map(|value| encode(value));

            let options = parse(&format!("postgres://{user}:{password}@db/{database}")).unwrap();

            let read = ["user", "password", "dbname"].map(|name| options.text(name).unwrap().to_owned());
            prop_assert_eq!(read, values);
        }

        #[test]
        fn any_name_and_password_survive_quotes(values in proptest::array::uniform3("[^\\x00]{1,20}")) {
            let [user, password, database] = values.each_ref().map(|value| quote(value));

            let options = parse(&format!("user={user} password = {password} dbname={database}")).unwrap();

            let read = ["user", "password", "dbname"].map(|name| options.text(name).unwrap().to_owned());
            prop_assert_eq!(read, values);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            for text in [text.clone(), format!("postgres://{text}"), format!("password={text}")] {
                drop(parse(&text));
            }
        }
    }
}
