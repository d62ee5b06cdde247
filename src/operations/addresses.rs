//! How endpoints are named, and where they may lead: ids, the URL, and the ranges of a template.

use serde_json::Value;

use crate::model::endpoint::{Narrowing, TemplateUrl, VALUE_BYTES_MAX, template_of, value_of};
use crate::sinks::egress::{EgressPolicy, NotAllowed, parse_range};
use crate::store::EndpointRow;
use crate::validation::Problems;

const RANGES_MAX: usize = 100;

/// An endpoint's id under the name of an argument.
pub(crate) fn check_endpoint_id(name: &str, id: &str, problems: &mut Problems) {
    if template_of(id).is_some_and(is_id) {
        problems.add(name, "needs the template: its endpoints have its settings", Some(id));
    } else if !is_id(id) {
        problems.add(name, "needs 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a full stop", Some(id));
    }
}

/// An endpoint's id as an event names it: it may be that of an endpoint of a template, too.
pub(crate) fn check_destination_id(name: &str, id: &str, problems: &mut Problems) {
    let is_value =
        |value: &str| (1..=VALUE_BYTES_MAX).contains(&value.len()) && !value.contains(char::is_control);
    let is_child = || template_of(id).is_some_and(is_id) && value_of(id).is_some_and(is_value);
    if !is_id(id) && !is_child() {
        problems.add(
            name,
            "needs 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a full stop; or a template, / and a value of 1 to 255 bytes without control characters",
            Some(id),
        );
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Where to POST.
pub(super) fn check_url(name: &str, url: &str, policy: &EgressPolicy, problems: &mut Problems) {
    let judged = if TemplateUrl::is_meant(url) {
        policy.judge_template(url)
    } else {
        policy.judge_text(url).map(drop)
    };
    if let Err(refused) = judged {
        problems.add(name, &refused.to_string(), None);
    }
}

/// Judges the URL of a template, of one of its endpoints, or of any other endpoint.
pub(crate) fn judge_row(policy: &EgressPolicy, row: &EndpointRow) -> Result<(), NotAllowed> {
    let ranges = row.allow_cidr.as_ref().filter(|_| row.template_id.is_some());
    let narrowing = Narrowing {
        forbids_http: row.allow_http == Some(false),
        only_cidrs: ranges.map(|texts| texts.iter().filter_map(|text| text.parse().ok()).collect()),
    };
    let policy = policy.narrowed(&narrowing);
    if row.children.is_some() {
        policy.judge_template(&row.url)
    } else {
        policy.judge_text(&row.url).map(drop)
    }
}

/// The ranges as the database reads them.
pub(super) fn check_ranges(texts: &[String], problems: &mut Problems) -> Value {
    if !(1..=RANGES_MAX).contains(&texts.len()) {
        problems.add("allow_cidr", &format!("needs 1 to {RANGES_MAX} ranges"), None);
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_range(text) {
            Ok(range) => ranges.push(range.to_string()),
            Err(fault) => problems.add("allow_cidr", &fault.to_string(), Some(text)),
        }
    }
    ranges.into()
}
