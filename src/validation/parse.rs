//! Parses values that people type; each function adds a problem if it fails.

use std::net::SocketAddr;
use std::time::Duration;

use super::Problems;

/// Parses a duration with a unit, within a range.
pub(crate) fn parse_duration(
    name: &str,
    text: &str,
    range: (Duration, Duration),
    problems: &mut Problems,
) -> Option<Duration> {
    let (min, max) = range;
    // humantime accepts a bare 0, which has no unit.
    let text_with_unit = Some(text.trim()).filter(|text| *text != "0");
    let parsed = text_with_unit.and_then(|text| humantime::parse_duration(text).ok());
    let parsed = parsed.filter(|d| (min..=max).contains(d));
    if parsed.is_none() {
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        problems.add(
            name,
            &format!("needs a duration with a unit, {min} to {max}, as 15s or 5m"),
            Some(text),
        );
    }
    parsed
}

/// Parses a whole number from 1 to `max`.
pub(crate) fn parse_number(name: &str, text: &str, max: usize, problems: &mut Problems) -> Option<usize> {
    let parsed = text.trim().parse().ok().filter(|n| (1..=max).contains(n));
    if parsed.is_none() {
        problems.add(name, &format!("needs a whole number, 1 to {max}"), Some(text));
    }
    parsed
}

/// Parses an address and a port.
pub(crate) fn parse_address(name: &str, text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let parsed = text.trim().parse().ok();
    if parsed.is_none() {
        problems.add(name, "needs an address and a port, as 127.0.0.1:7678", Some(text));
    }
    parsed
}
