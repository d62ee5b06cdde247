//! `postrider receive`: a local receiver that verifies signatures and can misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use super::{Failure, output};
use crate::cli::signals::Signals;
use crate::config::Settings;
use crate::config::args;
use crate::model::endpoint::SigningSecret;
use crate::validation::{Problems, parse_address, parse_duration};

const BODY_BYTES_MAX: usize = 256 << 20;

/// Behaviour of a receiver.
#[derive(Clone)]
pub(super) struct Behaviour {
    pub(super) secret: Option<SigningSecret>,
    pub(super) status: StatusCode,
    pub(super) fail_rate: f64,
    pub(super) delay: Duration,
    pub(super) json: bool,
    /// Whether a body may be printed.
    pub(super) shows: fn(&[u8]) -> bool,
}

/// One request, as it is printed.
#[derive(Serialize)]
struct Received<'a> {
    status: u16,
    signature: &'static str,
    webhook_id: &'a str,
    topic: &'a str,
    attempt: &'a str,
    /// Microseconds of the Unix epoch, by this machine's clock.
    #[serde(rename = "received_at")]
    at: u128,
    body: &'a str,
}

/// Receives until a signal comes.
pub(super) async fn run(settings: Settings, typed: &args::Receive) -> Result<(), Failure> {
    let (address, behaviour) = check(settings, typed)?;
    let mut signals = Signals::install()?;
    let listener = bind(address).await?;
    output::line(&format!("listening on http://{}", listener.local_addr()?))?;
    tokio::select! {
        served = serve(listener, behaviour) => Ok(served?),
        _ = signals.next() => Ok(()),
    }
}

/// Takes the address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|fault| Failure::Failed(format!("cannot listen on {address}: {fault}")))
}

/// Answers every POST, whatever its path.
pub(super) async fn serve(listener: TcpListener, behaviour: Behaviour) -> std::io::Result<()> {
    let router = Router::new()
        .fallback(receive)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(behaviour));
    axum::serve(listener, router).await
}

async fn receive(State(behaviour): State<Arc<Behaviour>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = now_us();
    tokio::time::sleep(behaviour.delay).await;
    let signature = match &behaviour.secret {
        None => "unchecked",
        Some(secret) => verify(secret, &headers, &body),
    };
    let status = match signature {
        "invalid" => StatusCode::UNAUTHORIZED,
        _ if fastrand::f64() < behaviour.fail_rate => StatusCode::INTERNAL_SERVER_ERROR,
        _ => behaviour.status,
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    let received = Received {
        status: status.as_u16(),
        signature,
        webhook_id: text("webhook-id"),
        topic: text("postrider-topic"),
        attempt: text("postrider-attempt"),
        at,
        body: &if (behaviour.shows)(&body) { String::from_utf8_lossy(&body) } else { "(not shown)".into() },
    };
    let printed = if behaviour.json {
        output::json_line(&received).map(drop)
    } else {
        let Received { status, webhook_id, topic, attempt, body, .. } = received;
        let line = format!("{status} {signature} {webhook_id} {topic} attempt {attempt}  {body}");
        // In one line: otherwise a body could end with text that looks like another request.
        output::line(&output::printable(&line))
    };
    drop(printed); // Nowhere to report that the output cannot be written.
    status
}

fn verify(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> &'static str {
    let verified =
        Webhook::from_bytes(secret.as_bytes().to_vec()).and_then(|webhook| webhook.verify(body, headers));
    if verified.is_ok() { "verified" } else { "invalid" }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a receiver is another machine's program: it has a clock of its own"
)]
fn now_us() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros()
}

fn check(mut settings: Settings, typed: &args::Receive) -> Result<(SocketAddr, Behaviour), Problems> {
    let problems = &mut settings.problems;
    let address = parse_address("listen", &typed.listen, problems);
    let secret = typed.secret.as_deref().and_then(|text| {
        text.parse()
            .map_err(|fault: crate::model::endpoint::SecretError| {
                problems.add("secret", &fault.to_string(), None);
            })
            .ok()
    });
    let status = typed.status.parse::<u16>().ok().filter(|code| (200..600).contains(code));
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    if status.is_none() {
        problems.add("status", "needs an HTTP status, 200 to 599", Some(&typed.status));
    }
    let fail_rate = typed.fail_rate.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    if fail_rate.is_none() {
        problems.add("fail_rate", "needs a number from 0 to 1", Some(&typed.fail_rate));
    }
    let delay = parse_duration("delay", &typed.delay, (Duration::ZERO, Duration::from_hours(1)), problems);
    let all = || {
        Some((
            address?,
            Behaviour {
                secret,
                status: status?,
                fail_rate: fail_rate?,
                delay: delay?,
                json: typed.json,
                shows: |_| true,
            },
        ))
    };
    let checked = all();
    settings.problems.unless_any(checked)
}
