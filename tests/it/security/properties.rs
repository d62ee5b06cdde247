//! Whatever somebody writes as a topic, a header, a secret, a URL, a connection string or a Retry-After: nothing panics,
//! nothing is shown that should not be, and those that judge the same thing agree.

mod inputs;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use postrider::model::endpoint::{Auth, EndpointTls, SigningKey, SigningSecret, prepare_headers};
use postrider::model::header::check_header;
use postrider::model::topic::{TOPIC_BYTES_MAX, TopicPattern, check_topic};
use postrider::rules::encryption::Vault;
use postrider::rules::retry::RETRY_AFTER_MAX;
use postrider::sinks::egress::EgressPolicy;
use postrider::sinks::webhook::parse_retry_after;
use postrider::store::{DatabaseUrl, Environment};
use proptest::prelude::*;
use proptest::sample::select;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;
use url::{Host, Url};

pub(crate) use self::inputs::corpus;
use self::inputs::{hold, hold_for, sample};
use crate::support::Database;

/// What stands in the corpora for a password or a key.
const HIDDEN: &str = "Geheim7";

#[test]
fn a_text_is_a_pattern_exactly_if_its_words_say_so_and_is_written_as_it_was_read() {
    hold("topics", |text| {
        let words: Vec<&str> = text.split('.').collect();
        let (last, others) = words.split_last().unwrap();
        let is_pattern = text.len() <= TOPIC_BYTES_MAX
            && others.iter().all(|word| is_word(word) || *word == "*")
            && (is_word(last) || ["*", "**"].contains(last));

        let pattern = TopicPattern::from_str(text);

        prop_assert_eq!(pattern.is_ok(), is_pattern, "{:?}", pattern);
        if let Ok(pattern) = pattern {
            prop_assert_eq!(pattern.to_string(), text);
            prop_assert_eq!(pattern.as_topic().is_some(), check_topic(text).is_ok());
        }
        Ok(())
    });
}

#[test]
fn a_pattern_matches_what_a_word_by_word_reading_of_it_matches() {
    let inputs = corpus("topics");
    let topics: Vec<&str> =
        inputs.iter().map(String::as_str).filter(|text| check_topic(text).is_ok()).collect();
    hold("topics", |text| {
        if let Ok(pattern) = TopicPattern::from_str(text) {
            let words: Vec<&str> = text.split('.').collect();
            for topic in &topics {
                let expected = is_match(&words, &topic.split('.').collect::<Vec<_>>());
                prop_assert_eq!(pattern.matches(topic), expected, "{}", topic);
            }
        }
        Ok(())
    });
}

#[tokio::test]
async fn the_database_and_we_agree_which_texts_are_topics_and_patterns_and_which_match() {
    let (database, inputs) = (Database::new().await, storable(sample("topics")));
    let sql = "select postrider.are_topic_patterns(array[t]),
                      t ~ '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$' and octet_length(t) <= 128
               from unnest($1::text[]) with ordinality as u (t, n) order by n";

    let (mut patterns, mut topics) = (Vec::new(), Vec::new());
    for (text, row) in inputs.iter().zip(database.rows(sql, &[&inputs]).await) {
        let (is_pattern, is_topic): (bool, bool) = (row.get(0), row.get(1));
        assert_eq!(TopicPattern::from_str(text).is_ok(), is_pattern, "{text:?}");
        assert_eq!(check_topic(text).is_ok(), is_topic, "{text:?}");
        patterns.extend(is_pattern.then_some(text));
        topics.extend(is_topic.then_some(text));
    }

    let sql = "select p, t, t ~ postrider.topic_regex(array[p]) from unnest($1::text[]) as p, unnest($2::text[]) as t";
    for row in database.rows(sql, &[&patterns, &topics]).await {
        let (pattern, topic): (&str, &str) = (row.get(0), row.get(1));
        let matches = TopicPattern::from_str(pattern).unwrap().matches(topic);
        assert_eq!(matches, row.get::<_, bool>(2), "{pattern} on {topic}");
    }
}

#[test]
fn a_retry_after_is_a_wait_that_is_never_undercut_and_never_more_than_a_day() {
    let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
    hold("retry_after", |text| {
        let wait = parse_retry_after(text, now);

        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
            // Leading zeros aside, six digits are more than a day.
            let digits = trimmed.trim_start_matches('0');
            let seconds = if digits.len() > 5 {
                86_400
            } else {
                format!("0{digits}").parse::<u64>().unwrap().min(86_400)
            };
            prop_assert_eq!(wait, Some(Duration::from_secs(seconds)));
        }
        if let Ok(until) = httpdate::parse_http_date(trimmed) {
            prop_assert_eq!(wait, Some(until.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX)));
        }
        prop_assert!(wait.unwrap_or_default() <= RETRY_AFTER_MAX);
        // A proxy may join two fields into one: the longer wait counts.
        let seven = Duration::from_secs(7);
        for joined in [format!("{text}, 7"), format!("7,{text}")] {
            prop_assert_eq!(parse_retry_after(&joined, now), wait.max(Some(seven)), "{}", joined);
        }
        Ok(())
    });
}

#[test]
fn no_connection_string_of_the_corpus_shows_its_password_and_none_at_all_panics() {
    for text in corpus("connection_strings") {
        assert!(!shown(&text).contains(HIDDEN), "{text}: {}", shown(&text));
    }
    // Of the others nobody can tell what is meant for a password.
    hold("connection_strings", |text| {
        prop_assert!(!shown(text).is_empty());
        Ok(())
    });
}

#[test]
fn a_password_of_any_characters_is_shown_by_no_form_of_a_connection_string() {
    let part = "[qz0-9@:/?#%&='\"\\\\ ,\\[\\]ä.*-]{0,6}";
    let options = select(vec!["host", "hostaddr", "port", "user", "sslmode", "connect_timeout", "options"]);
    hold_for((part, part, options), |(before, after, option)| {
        let password = format!("{before}{HIDDEN}{after}");
        for text in [
            format!("postgres://me:{password}@db.example/shop"),
            format!("postgres://me:{password}@db.example:5433,other.example/shop?sslmode=require"),
            format!("postgres://db.example/shop?user=me&password={password}"),
            format!("postgres://db.example/shop?{option}=&password={password}"),
            format!("host=db.example password={password} dbname=shop"),
            format!("host=db.example password='{password}' dbname=shop"),
            format!("dbname=shop {option}= password={password}"),
        ] {
            let shown = shown(&text);
            prop_assert!(!shown.contains(HIDDEN), "{}: {}", text, shown);
        }
        Ok(())
    });
}

#[test]
fn no_secret_shows_itself_whether_it_is_one_or_not() {
    hold("secrets", |text| {
        let shown = match SigningSecret::from_str(text) {
            Ok(secret) => format!("{secret:?}"),
            Err(fault) => format!("{fault} {fault:?}"),
        };

        prop_assert!(!shown.contains(HIDDEN), "{}", shown);
        Ok(())
    });
}

#[test]
fn no_login_and_no_key_shows_itself_whether_it_is_one_or_not() {
    hold("secrets", |text| {
        let login = |fields: serde_json::Value| match fields.to_string().parse::<Auth>() {
            Ok(auth) => format!("{auth:?}"),
            Err(fault) => format!("{fault} {fault:?}"),
        };
        let key = text.replacen("whsec_", "whsk_", 1);
        for shown in [
            login(json!({ "type": "bearer", "token": text })),
            login(json!({ "type": "basic", "username": "me", "password": text })),
            login(json!({
                 "type": "oauth2", "token_url": "https://a/", "client_id": "me", "client_secret": text
            })),
            login(json!({ "type": text })),
            format!("{:?}", text.parse::<Auth>()),
            format!("{:?}", key.parse::<SigningKey>().map_err(|fault| fault.to_string())),
            format!("{:?}", Vault::parse(text).map_err(|fault| fault.to_string())),
            format!("{:?}", EndpointTls::parse(Some(text), Some(text)).map_err(|fault| fault.to_string())),
        ] {
            prop_assert!(!shown.contains(HIDDEN), "{}", shown);
        }
        Ok(())
    });
}

#[tokio::test]
async fn what_the_database_takes_for_a_signing_secret_is_one() {
    let (database, inputs) = (Database::new().await, storable(sample("secrets")));
    let sql = "select postrider.is_signing_secret(t) from unnest($1::text[]) with ordinality as u (t, n) order by n";

    let mut taken = 0;
    for (text, row) in inputs.iter().zip(database.rows(sql, &[&inputs]).await) {
        if row.get(0) {
            taken += 1;
            assert!(SigningSecret::from_str(text).is_ok(), "{text:?}");
        }
    }

    assert!(taken >= 5, "{taken}");
}

#[test]
fn a_header_that_is_let_in_is_one_to_http() {
    hold("headers", |text| {
        for (name, value) in [(text, "x"), ("x-any", text), (text, text)] {
            if check_header(name, value).is_ok() {
                prop_assert!(HeaderName::from_bytes(name.as_bytes()).is_ok(), "{:?}", name);
                prop_assert!(HeaderValue::from_str(value).is_ok_and(|sent| sent == value), "{:?}", value);
                prop_assert!(prepare_headers(&[(name.to_owned(), value.to_owned())]).is_ok());
            }
        }
        Ok(())
    });
}

#[tokio::test]
async fn the_database_and_we_agree_which_headers_may_be_added() {
    let (database, inputs) = (Database::new().await, storable(sample("headers")));
    let sql = "select postrider.are_headers_valid(jsonb_build_object(t, 'x')),
                      postrider.are_headers_valid(jsonb_build_object('x-any', t))
               from unnest($1::text[]) with ordinality as u (t, n) order by n";

    for (text, row) in inputs.iter().zip(database.rows(sql, &[&inputs]).await) {
        let ours = (check_header(text, "x").is_ok(), check_header("x-any", text).is_ok());
        assert_eq!(ours, (row.get(0), row.get(1)), "{text:?}");
    }
}

#[test]
fn a_url_that_is_let_in_leads_to_a_public_place_and_means_what_it_says() {
    let strict = EgressPolicy::default();
    hold("urls", |text| {
        let Ok(url) = strict.judge_text(text) else { return Ok(()) };

        prop_assert_eq!(url.scheme(), "https");
        prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        prop_assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\'));
        match url.host().unwrap() {
            Host::Ipv4(v4) => prop_assert!(!is_special(v4), "{}", v4),
            Host::Ipv6(v6) => prop_assert!(is_public(v6), "{}", v6),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                prop_assert!(name != "localhost" && !name.ends_with(".localhost"), "{}", name);
            }
        }
        // What a list shows of it, typed again, is the same.
        let again = strict.judge_text(url.as_str());
        prop_assert!(url.as_str().len() > 2048 || again.as_ref() == Ok(&url), "{:?}", again);
        Ok(())
    });
}

#[tokio::test]
async fn what_we_let_in_as_a_url_the_database_takes_and_credentials_neither_of_us() {
    let lenient = EgressPolicy {
        allow_http: true,
        allow_cidrs: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..EgressPolicy::default()
    };
    let (database, inputs) = (Database::new().await, storable(sample("urls")));
    let sql =
        "select postrider.is_endpoint_url(t) from unnest($1::text[]) with ordinality as u (t, n) order by n";

    let mut taken = 0;
    for (text, row) in inputs.iter().zip(database.rows(sql, &[&inputs]).await) {
        let is_taken: bool = row.get(0);
        if lenient.judge_text(text).is_ok() {
            taken += 1;
            assert!(is_taken, "{text:?}");
        }
        let has_credentials =
            Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some());
        assert!(!(is_taken && has_credentials), "{text:?}");
    }

    assert!(taken >= 30, "{taken}");
}

/// All that is said of a connection string.
fn shown(text: &str) -> String {
    match DatabaseUrl::parse(text, &Environment::default()) {
        Ok(url) => format!("{url:?} {} {} {:?}", url.database(), url.without_password(), url.warnings()),
        Err(fault) => format!("{fault} {fault:?}"),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-'))
}

fn is_match(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) | (["**"], [_, ..]) => true,
        (["*", pattern @ ..], [_, topic @ ..]) => is_match(pattern, topic),
        ([word, pattern @ ..], [same, topic @ ..]) if word == same => is_match(pattern, topic),
        _ => false,
    }
}

/// PostgreSQL has no text with a NUL in it.
fn storable(mut inputs: Vec<String>) -> Vec<String> {
    inputs.retain(|text| !text.contains('\0'));
    inputs
}

/// By the registries of IANA, in other words than those of the code.
fn is_special(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    matches!(a, 0 | 10 | 127 | 224..)
        || matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18..=19))
        || matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113))
}

fn is_public(v6: Ipv6Addr) -> bool {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return !is_special(v4);
    }
    let [first, second, ..] = v6.segments();
    let is_special =
        matches!((first, second), (0x2001, 0..0x200 | 0xdb8) | (0x2002, _) | (0x3fff, 0..0x1000));
    (0x2000..0x4000).contains(&first) && !is_special
}
