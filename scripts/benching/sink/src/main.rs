//! The receiver of `scripts/bench`: answers every POST with 204 on one thread, at as little cost as hyper allows, counts
//! what arrives, and measures how long it took from the insert, whose time the payload carries as `"at_us":N`.
//!
//! ```text
//! POST /...            204 at once
//! POST /after/MS/...   204 after so many milliseconds
//! POST /never/...      no answer
//! POST with a body that begins with {"refuse":   503 at once, and not counted
//! GET  /stats          one line of JSON about what came since the last reset
//! GET  /wait/N         the same, once N came
//! GET  /reset          the same, and begins anew
//! ```

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// Longer latencies count as this one: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
/// How often `/wait` looks.
const WAIT: Duration = Duration::from_millis(5);
const MARK: &[u8] = b"\"at_us\":";
const REFUSE: &[u8] = b"{\"refuse\":";

/// Answers 204, counts, measures latency.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; the address is printed as `listening on http://ADDRESS`.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// What came since the last reset.
struct Stats {
    received: u64,
    bytes: u64,
    first_us: u64,
    last_us: u64,
    latency_us: Histogram<u64>,
}

impl Stats {
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
        Ok(Self { received: 0, bytes: 0, first_us: 0, last_us: 0, latency_us })
    }

    fn count(&mut self, body: &[u8], arrived_us: u64) {
        self.received += 1;
        self.bytes += u64::try_from(body.len()).unwrap_or_default();
        self.last_us = arrived_us;
        if self.received == 1 {
            self.first_us = arrived_us;
        }
        if let Some(inserted_us) = read_mark(body) {
            self.latency_us.saturating_record(arrived_us.saturating_sub(inserted_us));
        }
    }

    fn to_json(&self) -> String {
        let Self { received, bytes, first_us, last_us, latency_us } = self;
        let quantile = |q| latency_us.value_at_quantile(q);
        format!(
            "{{\"received\":{received},\"bytes\":{bytes},\"first_us\":{first_us},\"last_us\":{last_us},\
             \"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\"max_us\":{}}}\n",
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            latency_us.max(),
        )
    }

    fn reset(&mut self) {
        let Self { received, bytes, first_us, last_us, latency_us } = self;
        (*received, *bytes, *first_us, *last_us) = (0, 0, 0, 0);
        latency_us.reset();
    }
}

/// The number behind the mark, without parsing the rest.
fn read_mark(body: &[u8]) -> Option<u64> {
    let head = body.get(..body.len().min(128))?;
    let at = head.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = head.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or_default()
}

async fn answer(request: Request<Incoming>, stats: &RefCell<Stats>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        if let Some(wanted) = path.strip_prefix("/wait/").and_then(|number| number.parse().ok()) {
            while stats.borrow().received < wanted {
                tokio::time::sleep(WAIT).await;
            }
        }
        let mut stats = stats.borrow_mut();
        let text = stats.to_json();
        if path == "/reset" {
            stats.reset();
        }
        return Response::new(text.into());
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if body.starts_with(REFUSE) {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return refusal;
    }
    stats.borrow_mut().count(&body, now_us());
    match (path.split('/').nth(1), path.split('/').nth(2)) {
        (Some("never"), _) => std::future::pending().await,
        (Some("after"), Some(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms.parse().unwrap_or_default())).await
        }
        _ => {}
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

async fn serve(stream: TcpStream, stats: Rc<RefCell<Stats>>) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request, &stats).await) });
    // A client that closes a connection is none of our business.
    drop(
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(Arguments::parse().listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stats = Rc::new(RefCell::new(Stats::new()?));
    let connections = tokio::task::LocalSet::new();
    connections
        .run_until(async {
            loop {
                // Out of descriptors, say: a moment later it may go on.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                drop(stream.set_nodelay(true));
                drop(tokio::task::spawn_local(serve(stream, Rc::clone(&stats))));
            }
        })
        .await
}
