//! The answer of a webhook, translated from HTTP into words of delivery. Only this module decides the meaning of a status code.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::model::outcome::{AttemptResult, Refusal, ResponseCode};
use crate::rules::retry::RETRY_AFTER_MAX;

/// Bytes of a response that are read at most.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// The status, for the record.
pub(super) fn code_of(response: &Response) -> ResponseCode {
    ResponseCode::new(response.status().as_u16())
}

/// Whether the webhook took the delivery.
pub(super) fn result_of(status: StatusCode, headers: &HeaderMap) -> AttemptResult {
    let Some(why) = refusal(status.as_u16()) else { return AttemptResult::Delivered };
    let code = status.as_u16();
    let error = match why {
        Refusal::Moved => format!("redirect not followed (status {code})"),
        Refusal::Rejected | Refusal::Gone | Refusal::Overloaded | Refusal::Failing | Refusal::Unclear => {
            format!("status {code}")
        }
    };
    AttemptResult::Refused { why, retry_after: retry_after(headers), error }
}

/// The refusal that a status stands for. `None` for 2xx: the webhook took the delivery.
fn refusal(status_code: u16) -> Option<Refusal> {
    match status_code {
        200..300 => None,
        300..400 => Some(Refusal::Moved),
        410 => Some(Refusal::Gone),
        // Request Timeout, Too Many Requests.
        408 | 429 => Some(Refusal::Overloaded),
        400..500 => Some(Refusal::Rejected),
        // 5xx, and codes above that HTTP does not know.
        500.. => Some(Refusal::Failing),
        ..200 => Some(Refusal::Unclear),
    }
}

/// The wait that the headers ask for. Of several the longest counts, so that none is undercut.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let texts = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let date = texts(DATE).next();
    texts(RETRY_AFTER).filter_map(|value| parse_retry_after(value, date)).max()
}

/// Reads a `Retry-After` header (RFC 9110 section 10.2.3): seconds, or a date. A date is compared with the answer's own
/// `Date`, so that nobody's clock matters. `None` for any other text.
pub fn parse_retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are simply "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)).min(RETRY_AFTER_MAX));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// The body, as far as it is read. A body that breaks off is what came before.
pub(super) async fn read_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let left = RESPONSE_BYTES_MAX - body.len();
        body.extend_from_slice(chunk.get(..left).unwrap_or(&chunk));
        if body.len() >= RESPONSE_BYTES_MAX {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::circuit_breaker::Health;

    fn result(status_code: u16) -> AttemptResult {
        result_of(StatusCode::from_u16(status_code).unwrap(), &HeaderMap::new())
    }

    #[test]
    fn every_status_but_2xx_is_a_refusal_of_its_kind() {
        for (status_code, expected) in [
            (200, None),
            (204, None),
            (299, None),
            (101, Some(Refusal::Unclear)),
            (301, Some(Refusal::Moved)),
            (304, Some(Refusal::Moved)),
            (400, Some(Refusal::Rejected)),
            (408, Some(Refusal::Overloaded)),
            (410, Some(Refusal::Gone)),
            (429, Some(Refusal::Overloaded)),
            (499, Some(Refusal::Rejected)),
            (500, Some(Refusal::Failing)),
            (503, Some(Refusal::Failing)),
            (999, Some(Refusal::Failing)),
        ] {
            assert_eq!(refusal(status_code), expected, "{status_code}");
        }
    }

    #[test]
    fn an_answer_about_the_request_says_nothing_against_the_endpoint() {
        for status_code in [301, 400, 401, 404, 410, 413, 422] {
            assert_eq!(Health::of(&result(status_code)), Health::Answers, "{status_code}");
        }
    }

    #[test]
    fn an_endpoint_that_fails_or_asks_for_a_pause_is_unwell() {
        for status_code in [408, 429, 500, 503, 999] {
            assert_eq!(Health::of(&result(status_code)), Health::Unwell, "{status_code}");
        }
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_and_ignores_the_rest() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");

        assert_eq!(parse_retry_after("120", None), Some(Duration::from_mins(2)));
        assert_eq!(parse_retry_after("99999999999999999999999", None), Some(RETRY_AFTER_MAX));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:29:30 GMT", date), Some(Duration::from_secs(90)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", date), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", date), Some(RETRY_AFTER_MAX));
        for garbage in ["", "-5", "NaN", "1e400", "1.5", "soon"] {
            assert_eq!(parse_retry_after(garbage, date), None, "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value in ".{0,60}", date in ".{0,60}") {
            parse_retry_after(&value, Some(&date));
        }
    }
}
