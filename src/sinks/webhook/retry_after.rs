//! How long a receiver asks us to wait: `Retry-After` (RFC 9110, section 10.2.3), in every form in which it comes over the wire.
//!
//! The RFC has seconds and dates. Proxies join two fields into one (`7, 7`), some receivers write fractions (`0.25`) or a parameter
//! (`7;why`), and not every answer has a `Date`. A wait that can be read is never undercut: of several the longest counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::rules::retry::RETRY_AFTER_MAX;

/// The wait that the headers ask for, a day at most. `None` if they ask for none. A date is compared with the answer's own `Date`, so
/// that nobody's clock matters; without one with `unix_seconds`, the database's time.
pub(super) fn asked_wait(headers: &HeaderMap, unix_seconds: i64) -> Option<Duration> {
    let own = texts(headers, DATE).find_map(|text| parse_date(&text));
    let since_epoch = Duration::from_secs(u64::try_from(unix_seconds).unwrap_or_default());
    let now = own.or_else(|| UNIX_EPOCH.checked_add(since_epoch)).unwrap_or(UNIX_EPOCH);
    texts(headers, RETRY_AFTER).filter_map(|text| parse_retry_after(&text, now)).max()
}

/// The values of a header as text. Bytes that are not ASCII can be no part of a wait.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = String> {
    let text = |bytes: &[u8]| bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { ' ' }).collect();
    headers.get_all(name).into_iter().map(move |value| text(value.as_bytes()))
}

/// Reads one `Retry-After` field of an answer that was sent at `now`: the longest wait in it, a day at most. `None` if no part of it is
/// a wait.
///
/// A part is a number of seconds, with or without a fraction, or a date. Parts are separated by commas, and a semicolon ends one. A
/// date has a comma of its own.
pub fn parse_retry_after(field: &str, now: SystemTime) -> Option<Duration> {
    let until = |date: SystemTime| date.duration_since(now).unwrap_or_default();
    let parts: Vec<&str> = field.split(',').map(|part| part.split(';').next().unwrap_or_default()).collect();
    let alone = parts.iter().filter_map(|part| parse_seconds(part).or_else(|| parse_date(part).map(until)));
    let pairs = parts.windows(2).filter_map(|pair| parse_date(&pair.join(",")).map(until));
    alone.chain(pairs).max().map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// Seconds as a decimal number, rounded up to a millisecond. More digits than fit are simply "very long".
fn parse_seconds(text: &str) -> Option<Duration> {
    let text = text.trim_matches(is_space);
    let number = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty());
    if !is_number || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let (millis, rest) = fraction.split_at(fraction.len().min(3));
    let is_more = rest.bytes().any(|b| b != b'0');
    let millis: u64 = format!("{millis:0<3}").parse().unwrap_or_default();
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_millis(millis + u64::from(is_more))))
}

/// A date in one of the three forms of RFC 9110, section 5.6.7. Runs of spaces, which folding leaves, are one space.
fn parse_date(text: &str) -> Option<SystemTime> {
    let text = text.trim_matches(is_space);
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    let parse = |text: &str| httpdate::parse_http_date(text).ok();
    // The form of asctime fills a day of one digit up with a space.
    let filled = || match words.as_slice() {
        [weekday, month, day, time, year] if day.len() == 1 => {
            parse(&format!("{weekday} {month}  {day} {time} {year}"))
        }
        _ => None,
    };
    parse(text).or_else(|| parse(&words.join(" "))).or_else(filled)
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const DATE_TEXT: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

    fn now() -> SystemTime {
        httpdate::parse_http_date(DATE_TEXT).unwrap()
    }

    fn seconds(field: &str) -> Option<f64> {
        parse_retry_after(field, now()).map(|wait| wait.as_secs_f64())
    }

    fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    #[test]
    fn seconds_are_read_in_every_form_and_rounded_up() {
        for (field, expected) in [
            ("0", 0.0),
            ("7", 7.0),
            (" \t7 ", 7.0),
            ("007", 7.0),
            ("+7", 7.0),
            ("7.", 7.0),
            (".25", 0.25),
            ("6.0000001", 6.001),
            ("6.9999", 7.0),
            ("7;why", 7.0),
            ("7 ; why=\"8\"", 7.0),
            ("99999999999999999999999", 86_400.0),
            ("86400.5", 86_400.0),
        ] {
            assert_eq!(seconds(field), Some(expected), "{field}");
        }
    }

    #[test]
    fn dates_are_read_in_every_form() {
        for field in [
            "Wed, 21 Oct 2015 07:29:30 GMT",
            "Wednesday, 21-Oct-15 07:29:30 GMT",
            "Wed Oct 21 07:29:30 2015",
            "Wed, 21 Oct 2015   07:29:30 GMT",
        ] {
            assert_eq!(seconds(field), Some(90.0), "{field}");
        }
        assert_eq!(seconds("Sun Nov  1 07:28:00 2015"), Some(86_400.0));
        assert_eq!(seconds("Sun Nov 1 07:28:00 2015"), Some(86_400.0));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0.0));
        assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86_400.0));
    }

    #[test]
    fn of_what_a_proxy_joined_the_longest_counts() {
        for (field, expected) in [
            ("7, 7", 7.0),
            ("5,7 ,6", 7.0),
            ("soon, 7", 7.0),
            (", 7,", 7.0),
            ("7, Wed, 21 Oct 2015 07:29:30 GMT", 90.0),
            ("Wed, 21 Oct 2015 07:29:30 GMT, Wed, 21 Oct 2015 07:28:30 GMT", 90.0),
            ("Wed, 21 Oct 2015 07:28:30 GMT;x, 100;y", 100.0),
            ("Wed Oct 21 07:29:30 2015, 5", 90.0),
        ] {
            assert_eq!(seconds(field), Some(expected), "{field}");
        }
    }

    #[test]
    fn other_texts_ask_for_nothing() {
        for field in [
            "", " ", ".", "+", "-5", "-0", "NaN", "inf", "1e400", "1.5.2", "+-7", "7s", "0x10", "1_000",
            "soon",
        ] {
            assert_eq!(seconds(field), None, "{field}");
        }
    }

    #[test]
    fn a_date_is_compared_with_the_answers_own_and_without_one_with_the_databases_time() {
        let until: (&str, &[u8]) = ("retry-after", b"Wed, 21 Oct 2015 07:29:30 GMT");
        let at = 1_445_412_480 - 30;

        assert_eq!(
            asked_wait(&headers(&[until, ("date", DATE_TEXT.as_bytes())]), 0),
            Some(Duration::from_secs(90))
        );
        assert_eq!(asked_wait(&headers(&[until]), at), Some(Duration::from_mins(2)));
        assert_eq!(asked_wait(&headers(&[until, ("date", b"yesterday")]), at), Some(Duration::from_mins(2)));
    }

    #[test]
    fn of_several_fields_the_longest_counts_and_bytes_that_are_no_text_hide_none() {
        let fields =
            headers(&[("retry-after", b"5"), ("retry-after", b"\xff 7 \xa0"), ("retry-after", b"\xff")]);

        assert_eq!(asked_wait(&fields, 0), Some(Duration::from_secs(7)));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_undercut_in_whatever_company(
            whole in 0_u64..100_000, fraction in "[0-9]{0,9}", before in "[^,]{0,20}", after in "[^,]{0,20}",
        ) {
            let field = format!("{before}, {whole}.{fraction} ;{after},");

            let asked = format!("{whole}.{fraction}0").parse::<f64>().unwrap().min(86_400.0);
            prop_assert!(seconds(&field) >= Some(asked), "{field}");
        }

        #[test]
        fn no_header_panics(value in prop::collection::vec(any::<u8>(), 0..60), date in ".{0,60}", at in any::<i64>()) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
            if let Ok(date) = HeaderValue::from_str(&date) {
                headers.insert(DATE, date);
            }
            prop_assert!(asked_wait(&headers, at).unwrap_or_default() <= RETRY_AFTER_MAX);
        }
    }
}
