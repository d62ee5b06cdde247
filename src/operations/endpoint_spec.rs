//! What the command line and the API are asked for, checked by the same rules before a database sees it: an endpoint to
//! put, an event to insert. Every fault is named.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::endpoint::{Auth, EndpointTls, Format, RateLimit, SigningKey, SigningSecret};
use crate::model::header::check_header;
use crate::model::topic::{TopicPattern, check_topic};
use crate::sinks::egress::EgressPolicy;
use crate::sinks::webhook;
use crate::store::{EndpointPut, NewEvent};
use crate::validation::{Problems, parse_duration};

/// Largest `max_in_flight`.
pub const IN_FLIGHT_MAX: usize = 10_000;
/// What is kept unless it is named is removed by this word.
const NONE: &str = "none";
/// A key is made.
const NEW: &str = "new";
const PEM_BYTES_MAX: usize = 64 * 1024;

/// An endpoint as somebody asks for it; texts as typed.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "the arguments of postrider.put_endpoint")]
pub struct EndpointSpec {
    pub id: String,
    pub url: String,
    pub topics: Vec<String>,
    pub headers: Map<String, Value>,
    pub secret: Option<String>,
    pub max_in_flight: Option<usize>,
    pub rate_limit: Option<String>,
    pub timeout: Option<String>,
    pub retry_schedule: Option<Vec<String>>,
    pub ordered: bool,
    pub format: Option<String>,
    /// `whsk_…`, `new` (one is generated) or `none`.
    pub signing_key: Option<String>,
    /// JSON or `none`.
    pub auth: Option<String>,
    pub ca_certificates: Option<String>,
    /// PEM or `none`.
    pub client_certificate: Option<String>,
}

impl EndpointSpec {
    /// Checks everything before it gives up, so that all faults are reported; none: there are some.
    pub fn check(self, policy: &EgressPolicy, problems: &mut Problems) -> Option<EndpointPut> {
        check_id(&self.id, problems);
        if let Err(refused) = policy.judge_text(&self.url) {
            problems.add("url", &refused.to_string(), None);
        }
        check_patterns("topics", &self.topics, problems);
        check_headers(&self.headers, problems);
        check_secret(self.secret.as_deref(), problems);
        if let Some(text) = &self.rate_limit
            && let Err(fault) = text.parse::<RateLimit>()
        {
            problems.add("rate_limit", &fault.to_string(), Some(text));
        }
        let format = self.format.as_deref().unwrap_or(Format::Webhook.as_str()).parse::<Format>();
        if let Err(fault) = &format {
            problems.add("format", &fault.to_string(), self.format.as_deref());
        }
        let is_new_key = self.signing_key.as_deref() == Some(NEW);
        let signing_key = check_signing_key(self.signing_key, problems);
        check_auth(self.auth.as_deref(), &self.headers, policy, problems);
        check_tls(self.ca_certificates.as_deref(), self.client_certificate.as_deref(), problems);
        if self.ordered {
            problems.add("ordered", "is not available yet", None);
        }
        let range = (Duration::from_millis(100), Duration::from_mins(5));
        let timeout = self.timeout.map(|text| parse_duration("timeout", &text, range, problems));
        let retry_schedule = self.retry_schedule.map(|texts| check_schedule(&texts, problems));
        let max_in_flight = self.max_in_flight.filter(|n| (1..=IN_FLIGHT_MAX).contains(n));
        if max_in_flight.is_none() {
            problems.add("max_in_flight", &format!("needs a whole number, 1 to {IN_FLIGHT_MAX}"), None);
        }
        if !problems.is_empty() {
            return None;
        }
        Some(EndpointPut {
            id: self.id,
            url: self.url,
            topics: self.topics,
            headers: Value::Object(self.headers).to_string(),
            secret: self.secret,
            max_in_flight: i32::try_from(max_in_flight?).unwrap_or(i32::MAX),
            rate_limit: self.rate_limit,
            timeout: timeout.flatten(),
            retry_schedule: retry_schedule.flatten(),
            ordered: self.ordered,
            format: format.ok()?,
            signing_key,
            is_new_key,
            auth: self.auth,
            ca_certificates: self.ca_certificates,
            client_certificate: self.client_certificate,
        })
    }
}

/// An event as somebody asks for it.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "the columns of postrider.outbox")]
pub struct EventSpec {
    pub topic: String,
    /// JSON, kept byte for byte.
    pub payload: String,
    pub key: Option<String>,
    pub headers: Map<String, Value>,
    pub idempotency_key: Option<String>,
    pub destination: Option<String>,
    pub delay: Option<Duration>,
    pub deliver_after: Option<String>,
}

impl EventSpec {
    /// Checks what the outbox would refuse; the payload is left to PostgreSQL.
    pub fn check(self, problems: &mut Problems) -> NewEvent {
        if let Err(fault) = check_topic(&self.topic) {
            problems.add("topic", &fault.to_string(), None);
        }
        for (name, value, bytes_max) in
            [("key", &self.key, 256), ("idempotency_key", &self.idempotency_key, 256)]
        {
            let is_wrong = |text: &String| !(1..=bytes_max).contains(&text.len()) || text.contains('\0');
            if value.as_ref().is_some_and(is_wrong) {
                problems.add(name, &format!("needs 1 to {bytes_max} bytes, none of them NUL"), None);
            }
        }
        // What no endpoint can be called would be delivered to nobody, and count as complete.
        if let Some(id) = &self.destination {
            check_endpoint_id("destination", id, problems);
        }
        check_headers(&self.headers, problems);
        NewEvent {
            topic: self.topic,
            payload: self.payload,
            key: self.key,
            headers: (!self.headers.is_empty()).then(|| Value::Object(self.headers).to_string()),
            idempotency_key: self.idempotency_key,
            destination: self.destination,
            delay: self.delay,
            deliver_after: self.deliver_after,
        }
    }
}

/// An endpoint's id.
pub fn check_id(id: &str, problems: &mut Problems) {
    check_endpoint_id("id", id, problems);
}

fn check_endpoint_id(name: &str, id: &str, problems: &mut Problems) {
    let is_valid = (1..=64).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_valid {
        problems.add(name, "needs 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a full stop", Some(id));
    }
}

/// A signing secret, if one was given.
pub fn check_secret(secret: Option<&str>, problems: &mut Problems) {
    if let Some(Err(fault)) = secret.map(str::parse::<SigningSecret>) {
        problems.add("secret", &fault.to_string(), None);
    }
}

/// The key, a new one where that is asked for.
fn check_signing_key(given: Option<String>, problems: &mut Problems) -> Option<String> {
    match given.as_deref() {
        None | Some(NONE) => given,
        Some(NEW) => {
            SigningKey::generate().map_err(|fault| problems.add("signing_key", &fault.to_string(), None)).ok()
        }
        Some(text) => {
            if let Err(fault) = text.parse::<SigningKey>() {
                problems.add("signing_key", &format!("{fault}; or new, or none"), None);
            }
            given
        }
    }
}

/// A login, and whether where it asks for tokens may be called.
fn check_auth(
    given: Option<&str>,
    headers: &Map<String, Value>,
    policy: &EgressPolicy,
    problems: &mut Problems,
) {
    let Some(text) = given.filter(|text| *text != NONE) else { return };
    match text.parse::<Auth>() {
        Err(fault) => problems.add("auth", &fault.to_string(), None),
        Ok(Auth::Fixed(_)) => {}
        Ok(Auth::OAuth2(login)) => {
            if let Err(refused) = policy.judge_text(login.token_url.as_str()) {
                problems.add("auth", &format!("token_url: {refused}"), None);
            }
        }
    }
    if headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
        problems.add("headers", "authorization is what auth sends: give one of them", None);
    }
}

/// TLS of the endpoint's own: whether a connection could be opened with it.
fn check_tls(ca_certificates: Option<&str>, client_certificate: Option<&str>, problems: &mut Problems) {
    let client_certificate = client_certificate.filter(|text| *text != NONE);
    for (name, text) in [("ca_certificates", ca_certificates), ("client_certificate", client_certificate)] {
        if text.is_some_and(|text| text.len() > PEM_BYTES_MAX || !text.is_ascii()) {
            problems.add(name, &format!("needs PEM of at most {PEM_BYTES_MAX} bytes"), None);
            return;
        }
    }
    // Apart, so that the one at fault is named.
    for (name, ca, client) in
        [("ca_certificates", ca_certificates, None), ("client_certificate", None, client_certificate)]
    {
        match EndpointTls::parse(ca, client) {
            Err(fault) => problems.add(name, &fault.to_string(), None),
            Ok(Some(tls)) if webhook::check_tls(&tls).is_err() => {
                problems.add(
                    name,
                    "cannot be used: a certificate is damaged, or the key is not its own",
                    None,
                );
            }
            Ok(_) => {}
        }
    }
}

/// Topic patterns, at most 100.
pub fn check_patterns(name: &str, patterns: &[String], problems: &mut Problems) {
    if patterns.len() > 100 {
        problems.add(name, "needs at most 100 patterns", None);
    }
    for pattern in patterns {
        if let Err(fault) = pattern.parse::<TopicPattern>() {
            problems.add(name, &format!("pattern {fault}"), Some(pattern));
        }
    }
}

fn check_headers(headers: &Map<String, Value>, problems: &mut Problems) {
    for (name, value) in headers {
        match value.as_str().map(|value| check_header(name, value)) {
            Some(Ok(())) => {}
            Some(Err(fault)) => problems.add("headers", &fault.to_string(), None),
            None => problems.add("headers", &format!("\"{name}\" needs a text"), None),
        }
    }
    if Value::Object(headers.clone()).to_string().len() > HEADERS_BYTES_MAX {
        problems.add("headers", &format!("need at most {HEADERS_BYTES_MAX} bytes in all"), None);
    }
}

/// The CHECK of the schema counts 8192 bytes with jsonb's own spaces.
const HEADERS_BYTES_MAX: usize = 7_000;

fn check_schedule(texts: &[String], problems: &mut Problems) -> Option<Vec<Duration>> {
    if !(1..=50).contains(&texts.len()) {
        problems.add("retry_schedule", "needs 1 to 50 delays", None);
    }
    let range = (Duration::from_millis(1), Duration::from_hours(7 * 24));
    let delays: Vec<Option<Duration>> =
        texts.iter().map(|text| parse_duration("retry_schedule", text, range, problems)).collect();
    delays.into_iter().collect()
}
