//! The table.

mod answers;
mod ways;

use std::time::Duration;

use super::Kind;
use super::trial::{Expected, Peer, Trial};
use crate::support::{Act, Tls};

/// For those that would go on for ever.
const ONE_SECOND: &str = "timeout => '1s'";
const TIMEOUT: &str = "timeout: no answer within 1s";
const BROKEN: Expected = Expected::Unanswered("request: ", "");

pub(super) fn kinds() -> Vec<Kind> {
    answers::kinds().into_iter().chain(ways::kinds()).collect()
}

fn misbehaving(does: &'static str, acts: Vec<Act>, expected: Expected) -> Trial {
    Trial::of(does, Peer::MisbehavingServer(acts), expected)
}

fn tls(does: &'static str, tls: Tls, says: &'static str) -> Trial {
    Trial::of(does, Peer::Tls(tls), Expected::Unanswered("", says))
}

fn http2(does: &'static str, frames: Vec<Vec<u8>>, again: bool, expected: Expected) -> Trial {
    Trial::of(does, Peer::Http2(frames, again), expected)
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// After the first line of a 200.
fn ok(rest: &str) -> Act {
    send(&format!("HTTP/1.1 200 OK\r\n{rest}"))
}

fn answer(status: u16) -> Act {
    send(&format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n"))
}

fn retry_after(value: &str, date: &str) -> Vec<Act> {
    vec![send(&format!("HTTP/1.1 503 Busy\r\nretry-after: {value}\r\n{date}content-length: 0\r\n\r\n"))]
}

fn repeat(text: &str, pause_ms: u64) -> Act {
    Act::Repeat(text.as_bytes().to_vec(), Duration::from_millis(pause_ms))
}
