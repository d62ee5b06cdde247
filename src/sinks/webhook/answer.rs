//! The answer of a webhook, translated from HTTP into words of delivery. Only this module decides the meaning of a status code.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use super::retry_after::asked_wait;
use crate::model::outcome::{AttemptResult, Refusal, ResponseCode};

/// Bytes of a response that are read at most.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// The status, for the record.
pub(super) fn code_of(response: &Response) -> ResponseCode {
    ResponseCode::new(response.status().as_u16())
}

/// Whether the webhook took the delivery. `unix_seconds` is the database's time.
pub(super) fn result_of(status: StatusCode, headers: &HeaderMap, unix_seconds: i64) -> AttemptResult {
    let code = status.as_u16();
    let Some(why) = refusal(code) else { return AttemptResult::Delivered };
    let retry_after = asked_wait(headers, unix_seconds);
    // Service Unavailable with a wait is what gateways say to limit the pace.
    let is_asked = retry_after.is_some_and(|wait| !wait.is_zero());
    let why = if code == 503 && is_asked { Refusal::Paced } else { why };
    let error = match why {
        Refusal::Moved => format!("redirect not followed (status {code})"),
        Refusal::Rejected
        | Refusal::Denied
        | Refusal::Gone
        | Refusal::Paced
        | Refusal::Overloaded
        | Refusal::Failing
        | Refusal::Unclear => format!("status {code}"),
    };
    AttemptResult::Refused { why, retry_after, error }
}

/// The refusal that a status stands for. `None` for 2xx: the webhook took the delivery.
fn refusal(status_code: u16) -> Option<Refusal> {
    match status_code {
        200..300 => None,
        300..400 => Some(Refusal::Moved),
        410 => Some(Refusal::Gone),
        // Request Timeout, Too Early.
        408 | 425 => Some(Refusal::Overloaded),
        // Too Many Requests.
        429 => Some(Refusal::Paced),
        // Unauthorized, Payment Required, Forbidden, Not Found, Method Not Allowed, Proxy Authentication Required, Misdirected
        // Request, Upgrade Required, Unavailable For Legal Reasons: they are about us or the place, whatever the delivery.
        401..=405 | 407 | 421 | 426 | 451 => Some(Refusal::Denied),
        400..500 => Some(Refusal::Rejected),
        // 5xx, and codes above that HTTP does not know.
        500.. => Some(Refusal::Failing),
        ..200 => Some(Refusal::Unclear),
    }
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
    use std::time::Duration;

    use reqwest::header::{HeaderValue, RETRY_AFTER};

    use super::*;
    use crate::rules::circuit_breaker::Health;

    fn result(status_code: u16) -> AttemptResult {
        result_of(StatusCode::from_u16(status_code).unwrap(), &HeaderMap::new(), 0)
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
            (401, Some(Refusal::Denied)),
            (404, Some(Refusal::Denied)),
            (408, Some(Refusal::Overloaded)),
            (409, Some(Refusal::Rejected)),
            (410, Some(Refusal::Gone)),
            (413, Some(Refusal::Rejected)),
            (422, Some(Refusal::Rejected)),
            (429, Some(Refusal::Paced)),
            (499, Some(Refusal::Rejected)),
            (500, Some(Refusal::Failing)),
            (503, Some(Refusal::Failing)),
            (999, Some(Refusal::Failing)),
        ] {
            assert_eq!(refusal(status_code), expected, "{status_code}");
        }
    }

    #[test]
    fn an_answer_about_the_delivery_says_nothing_against_the_endpoint() {
        for status_code in [400, 406, 409, 411, 412, 413, 414, 415, 417, 418, 422, 424, 428, 431, 499] {
            assert_eq!(Health::of(&result(status_code)), Health::Picks, "{status_code}");
        }
    }

    #[test]
    fn an_answer_about_the_sender_the_place_or_the_pace_opens_no_circuit() {
        for status_code in [301, 401, 402, 403, 404, 405, 407, 410, 421, 426, 429, 451] {
            assert_eq!(Health::of(&result(status_code)), Health::Answers, "{status_code}");
        }
    }

    #[test]
    fn with_a_wait_503_is_about_the_pace_and_other_failures_are_not() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);

        for (status_code, expected) in
            [(503, Refusal::Paced), (429, Refusal::Paced), (500, Refusal::Failing), (400, Refusal::Rejected)]
        {
            let result = result_of(StatusCode::from_u16(status_code).unwrap(), &headers, 0);
            let AttemptResult::Refused { why, retry_after, .. } = result else { panic!("{status_code}") };
            assert_eq!((why, retry_after), (expected, Some(Duration::from_secs(7))), "{status_code}");
        }
    }

    #[test]
    fn an_endpoint_that_fails_is_unwell() {
        for status_code in [408, 425, 500, 502, 503, 504, 999] {
            assert_eq!(Health::of(&result(status_code)), Health::Unwell, "{status_code}");
        }
    }
}
