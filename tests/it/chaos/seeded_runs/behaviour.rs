//! How a receiver answers one request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::history::{Answer, Request};
use super::plan::{STRICT, is_refused};
use super::stage::Stage;

/// The longest that anything goes on.
const ENDLESS: Duration = Duration::from_secs(30);
/// Longer than a dispatcher of these runs waits for an answer.
const TOO_LATE: Duration = Duration::from_millis(1_500);

/// A way to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// 200, after so many milliseconds.
    Fine(u64),
    /// This status.
    Status(u16),
    /// 429 with `Retry-After`.
    Busy,
    /// A redirect to where nobody may go.
    Redirect,
    /// 200 when nobody waits for it any more.
    Late,
    ResetAfterAnswer,
    /// Closes a connection that it promised to keep.
    CloseAfterAnswer,
    HugeHeader,
    ManyHeaders,
    TwoLengths,
    /// Bytes that are no text, with this status.
    Binary(u16),
    /// More than one answer to one request.
    TwoAnswers,
    Broken(Broken),
}

/// An answer that is none, or never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Hang,
    /// One byte of a head now and then, and never the last.
    DripHead,
    /// A whole head, then one byte of the body now and then.
    DripBody,
    ResetBeforeHead,
    ResetInHead,
    CloseBeforeHead,
    /// 10 GiB are announced, and begun.
    HugeBody,
    EndlessBody,
    NoHttp,
    EndlessContinue,
    SwitchingProtocols,
}

impl Behaviour {
    const HOSTILE: [Self; 27] = [
        Self::Status(500),
        Self::Status(500),
        Self::Status(503),
        Self::Status(404),
        Self::Status(299),
        Self::Busy,
        Self::Redirect,
        Self::Fine(500),
        Self::Late,
        Self::Broken(Broken::Hang),
        Self::Broken(Broken::DripHead),
        Self::Broken(Broken::DripBody),
        Self::Broken(Broken::ResetBeforeHead),
        Self::Broken(Broken::ResetInHead),
        Self::ResetAfterAnswer,
        Self::Broken(Broken::CloseBeforeHead),
        Self::CloseAfterAnswer,
        Self::Broken(Broken::HugeBody),
        Self::Broken(Broken::EndlessBody),
        Self::HugeHeader,
        Self::ManyHeaders,
        Self::Broken(Broken::NoHttp),
        Self::Broken(Broken::EndlessContinue),
        Self::Broken(Broken::SwitchingProtocols),
        Self::TwoLengths,
        Self::Binary(200),
        Self::Binary(500),
    ];

    /// Decided by the seed, whenever the request comes.
    pub(super) fn of(stage: &Stage, request: &Request) -> Self {
        let Request { endpoint, number, attempt, .. } = *request;
        let mut chance = stage.plan.chance(endpoint, number, attempt);
        match (endpoint, chance.u8(..10)) {
            // About the event, and not about the endpoint: its circuit stays closed.
            (STRICT, _) if is_refused(number) => Self::Status(422),
            (0 | STRICT, _) => Self::Fine(chance.u64(..5)),
            _ if stage.is_over() || !stage.plan.is_hostile => Self::Fine(0),
            (_, ..6) => Self::Fine(chance.u64(..50)),
            (_, 6) => Self::TwoAnswers,
            (_, _) => Self::HOSTILE[chance.usize(..Self::HOSTILE.len())],
        }
    }

    /// Answers; returns what, and whether the connection may be used again.
    pub(super) async fn act(self, stream: &mut TcpStream) -> (Answer, bool) {
        match self {
            Self::Fine(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                (answer(stream, 200, "", b"fine").await, true)
            }
            Self::Status(code) => (answer(stream, code, "", b"no").await, true),
            Self::Busy => (answer(stream, 429, "retry-after: 1\r\n", b"").await, true),
            Self::Redirect => (answer(stream, 302, "location: http://169.254.169.254/\r\n", b"").await, true),
            Self::Binary(code) => (answer(stream, code, "", b"a\0b\xff\xfe\xf0\x9f\x92").await, true),
            Self::CloseAfterAnswer => (answer(stream, 200, "", b"bye").await, false),
            Self::Late => {
                tokio::time::sleep(TOO_LATE).await;
                (answer(stream, 200, "", b"late").await.doubtful(), false)
            }
            Self::ResetAfterAnswer => {
                let answered = answer(stream, 200, "", b"fine").await.doubtful();
                reset(stream);
                (answered, false)
            }
            Self::TwoAnswers => {
                // In one piece: later, the second would be taken for the answer to the next request.
                let two = b"HTTP/1.1 200 So\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 500 So\r\ncontent-length: 3\r\n\r\ntwo";
                send(stream, two).await;
                (Answer::Clear(200), false)
            }
            Self::HugeHeader => {
                let header = format!("x-huge: {}\r\n", "a".repeat(1024 * 1024));
                (answer(stream, 200, &header, b"").await.doubtful(), false)
            }
            Self::ManyHeaders => {
                (answer(stream, 200, &"x-many: a\r\n".repeat(10_000), b"").await.doubtful(), false)
            }
            Self::TwoLengths => (answer(stream, 200, "content-length: 7\r\n", b"ok").await.doubtful(), false),
            Self::Broken(broken) => (broken.act(stream).await, false),
        }
    }
}

impl Broken {
    async fn act(self, stream: &mut TcpStream) -> Answer {
        match self {
            Self::ResetInHead => send(stream, b"HTTP/1.1 200 OK\r\ncontent-le").await,
            Self::NoHttp => send(stream, b"\x16\x03\x01 220 smtp.example.com ready\r\n\r\n").await,
            Self::DripHead => {
                send(stream, b"HTTP/1.1 200 OK\r\nx-drip: ").await;
                repeat(stream, b"a", Duration::from_millis(200)).await;
            }
            Self::EndlessContinue => {
                repeat(stream, b"HTTP/1.1 100 Continue\r\n\r\n", Duration::from_millis(5)).await;
            }
            Self::SwitchingProtocols => {
                send(
                    stream,
                    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: tea\r\nconnection: upgrade\r\n\r\n",
                )
                .await;
                return Answer::Doubtful(101);
            }
            Self::DripBody => {
                send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
                repeat(stream, b"a", Duration::from_millis(200)).await;
                return Answer::Clear(200);
            }
            Self::HugeBody => {
                send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n").await;
                repeat(stream, &vec![b'a'; 65_536], Duration::ZERO).await;
                return Answer::Clear(200);
            }
            Self::EndlessBody => {
                send(stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                repeat(stream, b"10\r\n0123456789abcdef\r\n", Duration::ZERO).await;
                return Answer::Clear(200);
            }
            Self::Hang => drop(timeout(ENDLESS, stream.read_u8()).await),
            Self::ResetBeforeHead | Self::CloseBeforeHead => {}
        }
        if matches!(self, Self::ResetBeforeHead | Self::ResetInHead) {
            reset(stream);
        }
        Answer::None
    }
}

impl Answer {
    /// It may not have been understood.
    fn doubtful(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Clear(code) | Self::Doubtful(code) => Self::Doubtful(code),
        }
    }
}

/// A whole answer. If nobody takes it, it may have been understood or not.
async fn answer(stream: &mut TcpStream, code: u16, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let mut bytes = format!("HTTP/1.1 {code} So\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    match timeout(ENDLESS, stream.write_all(&bytes)).await {
        Ok(Ok(())) => Answer::Clear(code),
        _ => Answer::Doubtful(code),
    }
}

/// A part of an answer; the other side may be gone.
async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    drop(timeout(ENDLESS, stream.write_all(bytes)).await);
}

/// Again and again, until nobody takes it any more.
async fn repeat(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    let endless = async {
        while stream.write_all(bytes).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    };
    drop(timeout(ENDLESS, endless).await);
}

/// RST instead of FIN.
fn reset(stream: &TcpStream) {
    drop(stream.set_zero_linger());
}
