//! Receivers that may misbehave in every way that a TCP server can. What they were sent is verified at once.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::behaviour::Behaviour;
use super::history::{Answer, Request};
use super::plan::ENDPOINTS;
use super::stage::Stage;
use crate::support::SECRET;

/// A running one, gone when dropped.
pub(crate) struct Peer {
    /// Where it receives.
    pub(crate) url: String,
    _server: JoinSet<()>,
}

impl Peer {
    /// Starts the receiver of an endpoint.
    pub(crate) async fn start(stage: &Arc<Stage>, endpoint: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        let stage = Arc::clone(stage);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                while connections.try_join_next().is_some() {}
                connections.spawn(talk(Arc::clone(&stage), endpoint, stream));
            }
        });
        Self { url, _server: server }
    }
}

/// One connection's life.
async fn talk(stage: Arc<Stage>, endpoint: usize, mut stream: TcpStream) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::new();
    while let Some((headers, body)) = read_request(&mut stream, &mut buffer).await {
        let Some(request) = judge(&stage, endpoint, &headers, &body) else { return };
        let behaviour = Behaviour::of(&stage, &request);
        let index = stage.history.write(|book| {
            book.requests.push(request);
            book.requests.len() - 1
        });
        let (answered, is_reusable) = behaviour.act(&mut stream).await;
        stage.history.write(|book| book.requests[index].answered = answered);
        if !is_reusable {
            return;
        }
    }
}

/// Verifies what was sent; none: it makes no sense at all.
fn judge(stage: &Stage, endpoint: usize, headers: &HeaderMap, body: &[u8]) -> Option<Request> {
    let name = ENDPOINTS[endpoint].0;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Err(fault) = Webhook::new(SECRET).unwrap().verify(body, headers) {
        stage.history.breach(format!("I5: {name} got a request with an invalid signature: {fault}"));
    }
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let Some(number) = json.and_then(|json| json.get("number")?.as_u64()) else {
        stage.history.breach(format!("I5: {name} got a body that nobody sent"));
        return None;
    };
    let event = stage.plan.event(number);
    if event.payload.as_bytes() != body || header("postrider-topic") != event.topic {
        stage.history.breach(format!("I5: {name} got event {number} changed"));
    }
    Some(Request {
        endpoint,
        number,
        webhook_id: header("webhook-id").to_owned(),
        attempt: header("postrider-attempt").parse().unwrap_or_default(),
        at: stage.history.now(),
        answered: Answer::None,
    })
}

/// The next whole request; none: there is no more.
pub(crate) async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Option<(HeaderMap, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let headers = read_headers(&buffer[..end]);
            let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
            let body = end + 4..end + 4 + length;
            if buffer.len() >= body.end {
                let read = buffer[body.clone()].to_vec();
                buffer.drain(..body.end);
                return Some((headers, read));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn read_headers(head: &[u8]) -> HeaderMap {
    let head = String::from_utf8_lossy(head);
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    };
    head.lines().skip(1).filter_map(pair).collect()
}
