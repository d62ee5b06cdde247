//! How far a request has come: looking for a connection, waiting for a stream of one, or on the wire. HTTP clients do not say;
//! the connector and the body of the request do.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::client::legacy::connect::{Connected, HttpInfo};
use reqwest::{Body, Request};
use tokio::select;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::deadline::Deadline;

/// A wait that is shorter is none: a connection hands requests on within this.
const UNNOTICED: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// The request that a connection is opened for.
    static REQUEST: Progress;
}

/// The way of one request.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Followed>);

#[derive(Debug)]
struct Followed {
    way: Mutex<Way>,
    /// Told of by a change of the phase.
    changed: Notify,
}

#[derive(Debug)]
struct Way {
    phase: Phase,
    /// The connection that was opened for this request, if one was.
    opened: Option<Ends>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has no connection yet, or one without a free stream.
    Waiting,
    /// A connection is being opened for it.
    Dialling,
    /// It is on the wire.
    Sent,
    /// Nobody waits for it any more.
    Abandoned,
}

/// Both ends of a connection. No two that are open have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
}

impl Ends {
    pub(super) fn of(connected: &Connected) -> Option<Self> {
        let mut extras = hyper::http::Extensions::new();
        connected.get_extras(&mut extras);
        extras.get().map(Self::from)
    }
}

impl From<&HttpInfo> for Ends {
    fn from(info: &HttpInfo) -> Self {
        Self { local: info.local_addr(), remote: info.remote_addr() }
    }
}

impl Progress {
    /// Follows a request. Its body says when it is sent. Over plain http no request waits for a stream, because HTTP/2 is agreed on by
    /// TLS.
    pub(super) fn follow(request: &mut Request) -> Self {
        let is_alone = request.url().scheme() == "http" || request.body().is_none();
        let phase = if is_alone { Phase::Sent } else { Phase::Waiting };
        let way = Mutex::new(Way { phase, opened: None });
        let progress = Self(Arc::new(Followed { way, changed: Notify::new() }));
        if !is_alone && let Some(body) = request.body_mut().take() {
            let followed = FollowedBody { body, progress: progress.clone() };
            *request.body_mut() = Some(Body::wrap(followed));
        }
        progress
    }

    /// Sends the request. `None` if it waited for a stream too long, and was given up.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the request off.
    pub(super) async fn send<F: Future>(
        &self,
        sending: Pin<&mut F>,
        deadline: &Deadline,
    ) -> Option<F::Output> {
        let sending = pin!(REQUEST.scope(self.clone(), sending));
        if self.is(Phase::Sent) {
            return Some(sending.await);
        }
        select! {
            biased;
            done = sending => Some(done),
            () = self.waited_in_vain(deadline) => {
                self.way().phase = Phase::Abandoned;
                None
            }
        }
    }

    async fn waited_in_vain(&self, deadline: &Deadline) {
        deadline.until_slow().await;
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if !self.is(Phase::Waiting) {
                changed.await;
            } else if timeout(UNNOTICED, changed.as_mut()).await.is_err() {
                let _standstill = deadline.stand_still();
                if timeout(deadline.wait_max(), changed).await.is_err() {
                    return;
                }
            }
        }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, phase: Phase) -> bool {
        self.way().phase == phase
    }

    /// Whether these are the ends of another connection than the one that was opened for this request.
    pub(super) fn is_reused(&self, ends: Ends) -> bool {
        self.way().opened != Some(ends)
    }

    fn set(&self, phase: Phase) {
        let mut way = self.way();
        if way.phase != phase && !matches!(way.phase, Phase::Sent | Phase::Abandoned) {
            way.phase = phase;
            drop(way);
            self.0.changed.notify_waiters();
        }
    }
}

/// A connection that is being opened. Until this is dropped its request is not waiting.
pub(super) struct Dial(Option<Progress>);

impl Dial {
    /// For the request that is being sent by this task, if it is followed.
    pub(super) fn begin() -> Self {
        let progress = REQUEST.try_with(Clone::clone).ok();
        if let Some(progress) = &progress {
            progress.set(Phase::Dialling);
        }
        Self(progress)
    }

    /// The connection is open.
    pub(super) fn opened(&self, connected: &Connected) {
        if let Some(progress) = &self.0 {
            progress.way().opened = Ends::of(connected);
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.set(Phase::Waiting);
        }
    }
}

/// A body that says when it is asked for. A connection asks once it has a place for the request.
struct FollowedBody {
    body: Body,
    progress: Progress,
}

impl HttpBody for FollowedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // A stream that comes too late carries nothing: the request is on its way elsewhere.
        if self.progress.is(Phase::Abandoned) {
            return Poll::Ready(Some(Err(io::Error::other("the request was given up").into())));
        }
        self.progress.set(Phase::Sent);
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
