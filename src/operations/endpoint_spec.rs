//! An endpoint as its owner wants it. A setting is declared here once, for the command line, the API and the database.
//!
//! ```text
//! flags of endpoint put, set ──┐
//! body of PUT, PATCH ──────────┴─> EndpointSpec ── check ─> CheckedEndpoint ── store/registering ─> postrider.write_endpoint
//! ```
//!
//! A setting is not named (`None`, and kept), named with its default (`Named::Default`), or named with a value.
//!
//! A new setting is a field of [`EndpointSpec`], and a check if not every text will do. It touches eight files, this one among
//! them:
//!
//! - `sql/schema/endpoint.sql`: a column of `postrider.endpoint`;
//! - `sql/schema/functions/write_endpoint.sql`: its check, and its name in the insert and the update;
//! - `sql/schema/functions/put_endpoint.sql`: an argument, for SQL users;
//! - `sql/schema/functions/changed_settings.sql`: its name, if answers may show its value;
//! - `sql/statements/endpoints/list_endpoints.sql`, or the view `endpoint_health` if people shall see it in SQL: a column;
//! - `store/views.rs`: a field of `EndpointRow`;
//! - `cli/endpoint.rs`: a line of `endpoint show`.
//!
//! A setting that changes deliveries also is a field of `Endpoint` (`model/endpoint.rs`), a column of `load_endpoints`, and read
//! by `store/endpoints.rs`. `docs/reference/endpoints.md` gets a row. `scripts/update-reference` and `scripts/update-openapi`
//! write the other pages.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::addresses::{check_endpoint_id, check_ranges, check_url};
use super::described::{HeaderName, HeaderValue, Login, Secret, SigningKeyText, TopicPatternText};
use crate::model::endpoint::{Auth, EndpointTls, Format, OnFailed, RateLimit, SigningKey, SigningSecret};
use crate::model::header;
use crate::model::topic::TopicPattern as Pattern;
use crate::sinks::egress::EgressPolicy;
use crate::sinks::webhook;
use crate::store::{CheckedEndpoint, Span, Writing};
use crate::validation::named::{self, Named, named, named_list};
use crate::validation::{Problems, Whole, parse_duration, parse_number};

/// Largest `max_in_flight`.
pub const IN_FLIGHT_MAX: usize = 10_000;
/// This word removes a setting that an endpoint need not have.
const NONE: &str = "none";
/// This word asks for a new key.
const NEW: &str = "new";
const PEM_BYTES_MAX: usize = 64 * 1024;
const DESCRIPTION_CHARS_MAX: usize = 500;
/// The database cuts off what is longer.
const REASON_CHARS_MAX: usize = 500;
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(5));
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_hours(7 * 24));
const DELAYS_MAX: usize = 50;

/// An endpoint as its owner wants it. What is left out is kept, and has its default in a new endpoint; null gives the default.
///
/// Values are texts and lists as people type them. The fields that clap skips have flags of a form of their own
/// (`config::args::EndpointPut`).
#[derive(Args, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = EndpointBody,
    description = "An endpoint as its owner wants it. What is left out is kept, and has its default in a new endpoint. Null gives the default; that of `secret` is the one that the endpoint has."
)]
pub struct EndpointSpec {
    /// Where to POST: `https://host/path` to a public address, unless the dispatcher allows more
    #[arg(long)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = true, format = "uri", max_length = 2048, example = "https://orders.example/hook")]
    pub url: Option<Named<String>>,
    /// Patterns of dotted words: `*` is one word, `**` at the end one or more; several with commas [default: `**`, everything]
    #[arg(long, value_delimiter = ',', value_name = "PATTERNS")]
    #[serde(default, deserialize_with = "named_list")]
    #[schema(value_type = Option<Vec<TopicPatternText>>, max_items = 100, example = json!(["order.*"]))]
    pub topics: Option<Vec<Named<String>>>,
    /// Headers of every request; texts of visible ASCII
    #[arg(skip)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<HashMap<HeaderName, HeaderValue>>)]
    pub headers: Option<Named<Map<String, Value>>>,
    /// Signing secret, `whsec_` and base64 of 24 to 64 bytes [default: generated, and shown once, for a new endpoint]
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true, value_name = "whsec_...")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Secret>, write_only)]
    pub secret: Option<Named<String>>,
    /// Requests under way at once over all dispatchers, 1 to 10000 [default: 64]
    #[arg(long, value_name = "N")]
    #[serde(default, deserialize_with = "whole_number")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    pub max_in_flight: Option<Named<String>>,
    /// Requests per s, m or h over all dispatchers, as `50/s`; `none` removes the limit
    #[arg(long, value_name = "RATE|none")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, pattern = "^([1-9][0-9]{0,6}/[smh]|none)$", example = "50/s")]
    pub rate_limit: Option<Named<String>>,
    /// Deadline of one attempt, 100ms to 5m [default: that of run --request-timeout]
    #[arg(long, value_name = "DURATION")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Span>)]
    pub timeout: Option<Named<String>>,
    /// 1 to 50 delays before the 2nd, 3rd ... attempt [default: 5s,5m,30m,2h,5h,10h,14h,20h,24h; if ordered, at most 5m each, for as long]
    #[arg(long, value_delimiter = ',', value_name = "DURATIONS")]
    #[serde(default, deserialize_with = "named_list")]
    #[schema(value_type = Option<Vec<Span>>, min_items = 1, max_items = 50, example = json!(["5s", "5m", "30m"]))]
    pub retry_schedule: Option<Vec<Named<String>>>,
    /// Attempt the deliveries of one key one after the other, in order of their events; false switches it off
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<bool>)]
    pub ordered: Option<Named<bool>>,
    /// Once a delivery has failed for good, block its key until somebody retries or skips it, or continue; only if ordered [default: block]
    #[arg(long, value_name = "block|continue")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<OnFailed>)]
    pub on_failed: Option<Named<String>>,
    /// Form of a request: webhook (the payload), cloudevents-binary or cloudevents-structured [default: webhook]
    #[arg(long, value_name = "FORMAT")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Format>)]
    pub format: Option<Named<String>>,
    /// Sign with ed25519 (`v1a`) too: `whsk_...`, `new` to have a key made, `none` to remove it
    #[arg(long, env = "POSTRIDER_SIGNING_KEY", hide_env_values = true, value_name = "whsk_...|new|none")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<SigningKeyText>, write_only)]
    pub signing_key: Option<Named<String>>,
    /// How to log in; type `none` to do so no more
    #[arg(skip)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Login>, write_only)]
    pub auth: Option<Named<Map<String, Value>>>,
    /// PEM: the authorities that alone are trusted; `none`: those of the system
    #[arg(skip)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 65536)]
    pub ca_certificates: Option<Named<String>>,
    /// PEM: the certificate to show, its chain and its private key; `none` to remove it
    #[arg(skip)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 65536, write_only)]
    pub client_certificate: Option<Named<String>>,
    /// A note for people, at most 500 characters
    #[arg(long, value_name = "TEXT")]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 500, example = "Orders team, #orders-oncall")]
    pub description: Option<Named<String>>,
    /// Of a template: false forbids plain http, whatever run allows
    #[arg(skip)]
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<bool>)]
    pub allow_http: Option<Named<bool>>,
    /// Of a template: an address must be in one of these ranges, and run must allow it as well
    #[arg(skip)]
    #[serde(default, deserialize_with = "named_list")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100, example = json!(["10.20.0.0/16"]))]
    pub allow_cidr: Option<Vec<Named<String>>>,
}

impl fmt::Debug for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Several of the others are secret.
        f.debug_struct("EndpointSpec").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl EndpointSpec {
    /// Checks everything before it gives up, so that all faults are reported. `None` if there are any.
    pub fn check(
        mut self,
        id: String,
        writing: Writing,
        policy: &EgressPolicy,
        problems: &mut Problems,
    ) -> Option<CheckedEndpoint> {
        check_endpoint_id("id", &id, problems);
        match (named::text(self.url.as_ref()), writing) {
            (Some(url), _) => check_url("url", url, policy, problems),
            (None, Writing::Set) if self.url.is_none() => {}
            (None, _) => problems.add("url", "is missing: it has no default", None),
        }
        check_patterns("topics", &named::values("topics", self.topics.as_deref(), problems), problems);
        check_secret(named::text(self.secret.as_ref()), problems);
        let rate_limit = named::text(self.rate_limit.as_ref()).filter(|text| *text != NONE);
        check_parsed::<RateLimit>("rate_limit", rate_limit, problems);
        check_parsed::<OnFailed>("on_failed", named::text(self.on_failed.as_ref()), problems);
        check_parsed::<Format>("format", named::text(self.format.as_ref()), problems);
        self.check_headers_and_auth(writing, policy, problems);
        let pem = [named::text(self.ca_certificates.as_ref()), named::text(self.client_certificate.as_ref())];
        check_tls(pem.map(|pem| pem.filter(|text| *text != NONE)), problems);
        check_description(named::text(self.description.as_ref()), problems);
        let is_new_key = named::text(self.signing_key.as_ref()).is_some_and(|text| text == NEW);
        let settings = self.settings(problems);
        problems.is_empty().then_some(CheckedEndpoint { id, settings, is_new_key, writing })
    }

    fn check_headers_and_auth(&mut self, writing: Writing, policy: &EgressPolicy, problems: &mut Problems) {
        let mut headers = named::value(self.headers.as_ref()).cloned().unwrap_or_default();
        if let (Writing::Set, Some(Named::To(auth))) = (writing, &mut self.auth) {
            // Nobody sees the login that is stored, so a patch names all of it: null is what it does not have.
            auth.retain(|_, value| !value.is_null());
        }
        if writing == Writing::Set {
            headers.retain(|_, value| !value.is_null());
        }
        check_header_set(&headers, problems);
        check_auth(named::value(self.auth.as_ref()), &headers, policy, problems);
    }

    /// The document for the database: every setting that was named, and null for a default. Where it reads another form than people
    /// type, that form.
    fn settings(self, problems: &mut Problems) -> Map<String, Value> {
        let timeout = named::text(self.timeout.as_ref()).map(|text| check_timeout(text, problems));
        let schedule = named::values("retry_schedule", self.retry_schedule.as_deref(), problems);
        let schedule =
            named::has_values(self.retry_schedule.as_deref()).then(|| check_schedule(&schedule, problems));
        let max_in_flight = named::text(self.max_in_flight.as_ref());
        let max_in_flight =
            max_in_flight.map(|text| parse_number("max_in_flight", text, IN_FLIGHT_MAX, problems).into());
        let signing_key =
            named::text(self.signing_key.as_ref()).map(|text| check_signing_key(text, problems).into());
        let auth = named::value(self.auth.as_ref()).map(|auth| auth_text(auth).into());
        let ranges = named::values("allow_cidr", self.allow_cidr.as_deref(), problems);
        let ranges = named::has_values(self.allow_cidr.as_deref()).then(|| check_ranges(&ranges, problems));
        let forms = [
            ("timeout", timeout),
            ("retry_schedule", schedule),
            ("max_in_flight", max_in_flight),
            ("signing_key", signing_key),
            ("auth", auth),
            ("allow_cidr", ranges),
        ];
        let settings = match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            // Texts and lists are always an object. Without its url, the database would refuse the document.
            Ok(_) | Err(_) => Map::new(),
        };
        let named = settings.into_iter().filter_map(|(name, named)| Some((name, named::plain(named)?)));
        let forms = forms.into_iter().filter_map(|(name, form)| Some((name.to_owned(), form?)));
        named.chain(forms).collect()
    }
}

/// A whole number, which becomes a text as the command line has it.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Named<String>>, D::Error> {
    let whole = Option::<Whole>::deserialize(deserializer)?;
    Ok(Some(whole.map_or(Named::Default, |whole| Named::To(whole.0.to_string()))))
}

/// A signing secret, if one was given. It is not shown.
pub fn check_secret(secret: Option<&str>, problems: &mut Problems) {
    if let Some(Err(fault)) = secret.map(str::parse::<SigningSecret>) {
        problems.add("secret", &fault.to_string(), None);
    }
}

/// Topic patterns, at most 100.
pub fn check_patterns(name: &str, patterns: &[String], problems: &mut Problems) {
    if patterns.len() > 100 {
        problems.add(name, "needs at most 100 patterns", None);
    }
    for pattern in patterns {
        if let Err(fault) = pattern.parse::<Pattern>() {
            problems.add(name, &format!("pattern {fault}"), Some(pattern));
        }
    }
}

/// Headers of an endpoint or an event.
pub(super) fn check_header_set(headers: &Map<String, Value>, problems: &mut Problems) {
    for fault in header::check_headers(headers) {
        problems.add("headers", &fault.to_string(), None);
    }
}

/// A text that a type of ours can read.
fn check_parsed<T: std::str::FromStr<Err: fmt::Display>>(
    name: &str,
    text: Option<&str>,
    problems: &mut Problems,
) {
    if let Some(Err(fault)) = text.map(str::parse::<T>) {
        problems.add(name, &fault.to_string(), text);
    }
}

/// A note for people: any text that the database can store.
fn check_description(text: Option<&str>, problems: &mut Problems) {
    if text.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0')) {
        let expected = format!("needs at most {DESCRIPTION_CHARS_MAX} characters, none of them NUL");
        problems.add("description", &expected, None);
    }
}

/// Why an endpoint is paused: any text that the database can store.
pub fn check_reason(text: Option<&str>, problems: &mut Problems) {
    if text.is_some_and(|text| text.chars().count() > REASON_CHARS_MAX || text.contains('\0')) {
        problems.add(
            "reason",
            &format!("needs at most {REASON_CHARS_MAX} characters, none of them NUL"),
            None,
        );
    }
}

fn check_timeout(text: &str, problems: &mut Problems) -> Value {
    parse_duration("timeout", text, TIMEOUTS, problems).map(interval).into()
}

fn check_schedule(texts: &[String], problems: &mut Problems) -> Value {
    if !(1..=DELAYS_MAX).contains(&texts.len()) {
        problems.add("retry_schedule", &format!("needs 1 to {DELAYS_MAX} delays"), None);
    }
    let delays = texts.iter().filter_map(|text| parse_duration("retry_schedule", text, DELAYS, problems));
    delays.map(interval).collect::<Vec<_>>().into()
}

/// A duration as PostgreSQL reads it, in whole milliseconds.
fn interval(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// The key, a new one where that is asked for.
fn check_signing_key(text: &str, problems: &mut Problems) -> Option<String> {
    let fault = match text {
        NONE => return Some(text.to_owned()),
        NEW => match SigningKey::generate() {
            Ok(key) => return Some(key),
            Err(fault) => fault.to_string(),
        },
        _ => match text.parse::<SigningKey>() {
            Ok(_) => return Some(text.to_owned()),
            Err(fault) => format!("{fault}; or new, or none"),
        },
    };
    problems.add("signing_key", &fault, None);
    None
}

/// A login as it is stored, or `none`.
fn auth_text(auth: &Map<String, Value>) -> String {
    let is_none = auth.len() == 1 && auth.get("type").is_some_and(|kind| kind == NONE);
    if is_none { NONE.to_owned() } else { Value::Object(auth.clone()).to_string() }
}

/// A login, and whether the address where it asks for tokens may be called.
fn check_auth(
    given: Option<&Map<String, Value>>,
    headers: &Map<String, Value>,
    policy: &EgressPolicy,
    problems: &mut Problems,
) {
    let Some(text) = given.map(auth_text).filter(|text| text != NONE) else { return };
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
fn check_tls([ca_certificates, client_certificate]: [Option<&str>; 2], problems: &mut Problems) {
    for (name, text) in [("ca_certificates", ca_certificates), ("client_certificate", client_certificate)] {
        if text.is_some_and(|text| text.len() > PEM_BYTES_MAX || !text.is_ascii() || text.contains('\0')) {
            problems.add(name, &format!("needs PEM of at most {PEM_BYTES_MAX} bytes"), None);
            return;
        }
    }
    // One after the other, so that the one at fault is named.
    for (name, ca, client) in
        [("ca_certificates", ca_certificates, None), ("client_certificate", None, client_certificate)]
    {
        match EndpointTls::parse(ca, client) {
            Err(fault) => problems.add(name, &fault.to_string(), None),
            Ok(Some(tls)) if webhook::check_tls(&tls).is_err() => {
                let fault = "cannot be used: a certificate is damaged, or the key is not its own";
                problems.add(name, fault, None);
            }
            Ok(_) => {}
        }
    }
}
