//! R17 to R26: statuses, waits, TLS, HTTP/2, and how a receiver treats what it was given.

use std::time::Duration;

use super::super::http2::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, frame,
};
use super::super::trial::Expected::{Counts, Refused, Unanswered};
use super::super::trial::{Peer, Trial};
use super::super::{Kind, TOKEN};
use super::{BROKEN, ONE_SECOND, answer, http2, misbehaving, ok, retry_after, tls};
use crate::support::{Act, SECRET, Tls};

/// A header of an endpoint.
const PASSWORD: &str = "hunter2hunter2";
/// How much later than asked for a busy machine may settle an attempt.
const SETTLE_S: f64 = 60.0;

pub(super) fn kinds() -> Vec<Kind> {
    statuses().into_iter().chain(transports()).collect()
}

fn statuses() -> Vec<Kind> {
    let schedule = |trial: Trial| trial.waits(799.9, 1200.0 + SETTLE_S);
    let a_day = |trial: Trial| trial.waits(86_399.9, 86_400.0 + SETTLE_S);
    let after = |does, value: &str| {
        misbehaving(does, retry_after(value, "date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"), Refused(503))
    };
    let refusals = [("400", 400), ("401", 401), ("403", 403), ("404", 404), ("413", 413), ("415", 415)];
    vec![
        Kind {
            number: "R17",
            trials: vec![misbehaving("410", vec![answer(410)], Refused(410))],
            note: "deliveries wait in `pending`: `deliveries::retries::gone_disables_the_endpoint_and_keeps_its_deliveries`",
        },
        Kind {
            number: "R18",
            trials: vec![
                a_day(after("99999999999", "99999999999")),
                schedule(after("-5", "-5")),
                schedule(after("NaN", "NaN")),
                schedule(after("1e400", "1e400")),
                schedule(after("the past", "Wed, 21 Oct 2015 07:28:00 GMT")),
                a_day(after("9999", "Fri, 31 Dec 9999 23:59:59 GMT")),
                a_day(misbehaving(
                    "9999 without a date",
                    retry_after("Fri, 31 Dec 9999 23:59:59 GMT", ""),
                    Refused(503),
                )),
                schedule(after("empty", "")),
                after("a fraction", "4999.5").waits(4999.5, 5000.0 + SETTLE_S),
                after("two joined by a proxy", "5, 5000").waits(4999.9, 5000.0 + SETTLE_S),
                after("a parameter", "5000;why").waits(4999.9, 5000.0 + SETTLE_S),
                // None of them is undercut.
                after("twice", "5\r\nretry-after: 5000").waits(4999.9, 5000.0 + SETTLE_S),
                after("twice, one of them garbage", "soon\r\nretry-after: 5000")
                    .waits(4999.9, 5000.0 + SETTLE_S),
            ],
            note: "`deliveries::misbehaving_receivers::a_retry_after_that_is_none_or_lies_in_the_past_leaves_the_schedule_alone`",
        },
        Kind {
            number: "R19",
            trials: refusals
                .map(|(does, code)| misbehaving(does, vec![answer(code)], Refused(code.try_into().unwrap())))
                .into(),
            note: "for ever: `deliveries::retries::the_delivery_has_failed_after_the_tenth_attempt`; the status speaks for itself, 415 too",
        },
        Kind {
            number: "R20",
            trials: vec![
                misbehaving("late", vec![Act::Pause(Duration::from_millis(700)), answer(200)], Counts(200))
                    .takes(700),
            ],
            note: "`endpoints::isolation::one_of_a_hundred_endpoints_that_hangs_does_not_delay_the_others`",
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn transports() -> Vec<Kind> {
    let secrets =
        format!("authorization: Bearer {PASSWORD}, only {PASSWORD}, x-token: {TOKEN}, want {SECRET}.");
    let goaway = frame(GOAWAY, 0, &[0; 8]);
    let refused_stream = frame(RST_STREAM, 1, &[0, 0, 0, 7]);
    let promise = frame(PUSH_PROMISE, 1, &[0, 0, 0, 2]);
    let headless = frame(DATA, 1, b"ok");
    vec![
        Kind {
            number: "R21",
            trials: vec![
                tls("expired", Tls::Expired, "certificate expired"),
                tls("another name", Tls::WrongName, "not valid for name"),
                tls("self-signed", Tls::SelfSigned, "invalid peer certificate"),
                tls("unknown authority", Tls::Unknown, "invalid peer certificate"),
                tls("TLS 1.0", Tls::Old, "ProtocolVersion"),
                // By TLS 1.3 we are done with the handshake before it says so: whoever writes first finds out.
                tls("wants a certificate", Tls::WantsCertificate, ""),
                tls("no TLS", Tls::Plain, "connect: "),
            ],
            note: "revocation is not looked up, as by every client without a browser's lists; `security::receiver_tls::a_receiver_with_a_trusted_certificate_receives`",
        },
        Kind {
            number: "R22",
            trials: vec![Trial::of(
                "called by its address",
                Peer::TlsByAddress,
                Unanswered("connect: ", "not valid for name"),
            )],
            note: "",
        },
        Kind {
            number: "R23",
            trials: vec![
                http2("GOAWAY", vec![goaway], false, BROKEN),
                http2("REFUSED_STREAM", vec![refused_stream.clone()], false, BROKEN),
                http2("RST_STREAM without end", vec![refused_stream], true, BROKEN),
                http2("SETTINGS without end", vec![frame(SETTINGS, 0, &[])], true, Unanswered("", ""))
                    .with(ONE_SECOND),
                http2("PING without end", vec![frame(PING, 0, &[0; 8])], true, Unanswered("", ""))
                    .with(ONE_SECOND),
                http2(
                    "a head without end",
                    vec![frame(HEADERS, 1, &[]), frame(CONTINUATION, 1, &[])],
                    true,
                    Unanswered("", ""),
                )
                .with(ONE_SECOND),
                http2("a push", vec![promise], false, BROKEN),
                http2("a body without a head", vec![headless], false, BROKEN),
            ],
            note: "",
        },
        Kind {
            number: "R24",
            trials: vec![
                misbehaving(
                    "closes every time",
                    vec![ok("connection: close\r\ncontent-length: 0\r\n\r\n"), Act::Close],
                    Counts(200),
                )
                .times(5),
            ],
            note: "idle connections: we open them, for a minute, and no more than were under way at once, which max_in_flight bounds",
        },
        Kind {
            number: "R25",
            trials: vec![
                misbehaving(
                    "sends our secrets back",
                    vec![ok(&format!("content-length: {}\r\n\r\n{secrets}", secrets.len()))],
                    Counts(200),
                )
                .with("headers => '{\"authorization\": \"Bearer hunter2hunter2\"}'")
                .keeps("authorization: (hidden), only (hidden), x-token: (hidden), want whsec_(hidden)."),
            ],
            note: "",
        },
        Kind {
            number: "R26",
            trials: Vec::new(),
            note: "nobody is asked for consent by OPTIONS: who registers an endpoint is trusted to may, and a receiver that wants nothing says 410",
        },
    ]
}
