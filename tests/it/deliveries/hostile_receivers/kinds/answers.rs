//! R1 to R16: what comes over the connection.

use super::super::Kind;
use super::super::trial::Expected::{Counts, Refused, Unanswered};
use super::{BROKEN, ONE_SECOND, TIMEOUT, misbehaving, ok, repeat, send, tls};
use crate::support::{Act, Tls};

/// For those whose head is to be there by then, on a busy machine too.
const FIVE_SECONDS: &str = "timeout => '5s'";

pub(super) fn kinds() -> Vec<Kind> {
    [slow(), bodies(), heads(), endings()].into_iter().flatten().collect()
}

fn slow() -> Vec<Kind> {
    vec![
        Kind {
            number: "R1",
            trials: vec![
                misbehaving("says nothing", vec![Act::Hang], Unanswered(TIMEOUT, "")).with(ONE_SECOND),
            ],
            note: "",
        },
        Kind {
            number: "R2",
            trials: vec![tls("handshake stalls", Tls::Stalls, TIMEOUT).with(ONE_SECOND)],
            note: "",
        },
        Kind {
            number: "R3",
            trials: vec![
                misbehaving("head drips", vec![ok("x-drip: "), repeat("a", 50)], Unanswered(TIMEOUT, ""))
                    .with(ONE_SECOND),
            ],
            note: "",
        },
        Kind {
            number: "R4",
            trials: vec![
                misbehaving(
                    "body drips",
                    vec![ok("content-length: 9999\r\n\r\n"), repeat("a", 50)],
                    Counts(200),
                )
                .with(FIVE_SECONDS)
                .takes(5000),
            ],
            note: "`deliveries::misbehaving_receivers::a_body_that_does_not_end_is_left_at_the_deadline_and_its_head_counts`",
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn bodies() -> Vec<Kind> {
    let block = "a".repeat(64 * 1024);
    let answer = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        vec![Act::Send([head.as_bytes(), body].concat())]
    };
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03";
    vec![
        Kind {
            number: "R5",
            trials: vec![
                misbehaving(
                    "10 GiB",
                    vec![ok("content-length: 10737418240\r\n\r\n"), repeat(&block, 0)],
                    Counts(200),
                )
                .keeps(&block[..2048]),
            ],
            note: "`deliveries::misbehaving_receivers::of_a_body_of_any_size_two_kib_are_kept_and_little_is_in_memory`",
        },
        Kind {
            number: "R6",
            trials: vec![
                misbehaving("compressed unasked", vec![Act::Send(gzip.to_vec())], Counts(200))
                    .keeps("\u{1f}\u{fffd}\u{8}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{3}"),
            ],
            note: "",
        },
        Kind {
            number: "R7",
            trials: vec![
                misbehaving(
                    "64 headers",
                    vec![ok(&format!("{}content-length: 0\r\n\r\n", "x-many: a\r\n".repeat(63)))],
                    Counts(200),
                ),
                misbehaving(
                    "300 headers",
                    vec![ok(&format!("{}\r\n", "x-many: a\r\n".repeat(300))), Act::Close],
                    BROKEN,
                ),
                misbehaving(
                    "a header of 1 MB",
                    vec![ok(&format!("x-huge: {}\r\n\r\n", "a".repeat(1_000_000))), Act::Close],
                    BROKEN,
                ),
            ],
            note: "the error says what is wrong in words, as everywhere",
        },
        Kind {
            number: "R8",
            trials: vec![
                misbehaving("NUL in a header", vec![ok("x-a: a\0b\r\n\r\n"), Act::Close], BROKEN),
                misbehaving("CR in a header", vec![ok("x-a: a\rb\r\n\r\n"), Act::Close], BROKEN),
                misbehaving(
                    "bytes in a header",
                    vec![Act::Send(
                        b"HTTP/1.1 200 \xff\r\nx: \x80\xff\r\ncontent-length: 2\r\n\r\nok".to_vec(),
                    )],
                    Counts(200),
                )
                .keeps("ok"),
            ],
            note: "",
        },
        Kind {
            number: "R9",
            trials: vec![
                misbehaving("NUL", answer(b"a\0b"), Counts(200)).keeps("a\u{fffd}b"),
                misbehaving("an escaped NUL", answer(br#"{"a": "\u0000"}"#), Counts(200))
                    .keeps(r#"{"a": "\u0000"}"#),
                misbehaving("no UTF-8", answer(b"\xc3(\xa0\xed\xa0\x80"), Counts(200))
                    .keeps("\u{fffd}(\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
                misbehaving(
                    "cut within an emoji",
                    answer(format!("{}🦀", &block[..2046]).as_bytes()),
                    Counts(200),
                )
                .keeps(&block[..2046]),
            ],
            note: "what is not text is replaced, not encoded: people read it",
        },
    ]
}

fn heads() -> Vec<Kind> {
    let status =
        |line: &str| vec![send(&format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n")), Act::Close];
    vec![
        Kind {
            number: "R10",
            trials: vec![
                misbehaving("099", status("099 Early"), BROKEN),
                misbehaving("199", status("199 Note"), BROKEN),
                misbehaving("299", status("299 Fine"), Counts(299)),
                misbehaving("600", status("600 Odd"), Refused(600)),
                misbehaving("999", status("999 Odd"), Refused(999)),
                misbehaving("2xx", status("2xx OK"), BROKEN),
                misbehaving("1000", status("1000 Odd"), BROKEN),
            ],
            note: "",
        },
        Kind {
            number: "R11",
            trials: vec![
                misbehaving(
                    "100 without end",
                    vec![repeat("HTTP/1.1 100 Continue\r\n\r\n", 5)],
                    Unanswered(TIMEOUT, ""),
                )
                .with(ONE_SECOND),
                misbehaving(
                    "103 without end",
                    vec![repeat("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 5)],
                    Unanswered(TIMEOUT, ""),
                )
                .with(ONE_SECOND),
            ],
            note: "not counted: the deadline ends them, and none is kept in memory",
        },
        Kind {
            number: "R12",
            trials: vec![
                misbehaving(
                    "101",
                    vec![
                        send(
                            "HTTP/1.1 101 Switching Protocols\r\nupgrade: tea\r\nconnection: upgrade\r\n\r\n",
                        ),
                        Act::Close,
                    ],
                    Refused(101),
                ),
                misbehaving(
                    "204 with a body",
                    vec![send("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"), Act::Close],
                    Counts(204),
                ),
                misbehaving("304", status("304 Not Modified"), Refused(304)),
            ],
            note: "",
        },
    ]
}

fn endings() -> Vec<Kind> {
    let glued = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    vec![
        Kind {
            number: "R13",
            trials: vec![
                misbehaving("two answers glued together", vec![send(glued)], Counts(200)).times(3),
                misbehaving(
                    "bytes after the end",
                    vec![ok("content-length: 2\r\n\r\nok, and more")],
                    Counts(200),
                )
                .times(3),
            ],
            note: "",
        },
        Kind {
            number: "R14",
            trials: vec![
                misbehaving(
                    "two lengths",
                    vec![ok("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), Act::Close],
                    BROKEN,
                ),
                misbehaving(
                    "a length and chunks",
                    vec![ok(
                        "content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP",
                    )],
                    Counts(200),
                )
                .times(2)
                .keeps("ok"),
            ],
            note: "chunks outdo a length (RFC 9112, 6.3): a receiver could deceive nobody but itself, for nobody else's answers come by its connection",
        },
        Kind {
            number: "R15",
            trials: vec![
                misbehaving(
                    "reset after the head",
                    vec![ok("content-length: 9999\r\n\r\nbegun"), Act::Reset],
                    Counts(200),
                ),
                misbehaving(
                    "reset within the head",
                    vec![ok("content-length: 9999\r\n"), Act::Reset],
                    BROKEN,
                ),
            ],
            note: "",
        },
        Kind {
            number: "R16",
            trials: vec![
                misbehaving("closed before a byte", vec![Act::Close], BROKEN),
                misbehaving("reset before a byte", vec![Act::Reset], BROKEN),
            ],
            note: "",
        },
    ]
}
