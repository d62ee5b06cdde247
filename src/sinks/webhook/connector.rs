//! What stands in front of the connector: it opens a connection only where file descriptors are left for it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;
use tower_layer::Layer;
use tower_service::Service;

use crate::rules::descriptors::Descriptors;

type BoxError = Box<dyn Error + Send + Sync>;

/// A new connection could not be kept after its request: one that ends with it will do.
#[derive(Clone, Copy, Debug, Error)]
#[error("too many connections are kept already")]
pub(super) struct NotKept;

/// What becomes of a connection after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It is kept for the next one.
    Kept,
    /// It ends.
    Closed,
}

/// For each client.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    pub(super) descriptors: Descriptors,
    pub(super) after: After,
}

/// The connector, bounded.
#[derive(Clone, Debug)]
pub(super) struct Connector<S> {
    inner: S,
    bounded: Bounded,
}

impl<S> Layer<S> for Bounded {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector { inner, bounded: self.clone() }
    }
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let Bounded { descriptors, after } = &self.bounded;
        let refused = match after {
            After::Kept => (!descriptors.keep_one()).then(|| BoxError::from(NotKept)),
            After::Closed => descriptors.open(1).err().map(BoxError::from),
        };
        match refused {
            Some(refused) => Box::pin(async { Err(refused) }),
            None => Box::pin(self.inner.call(to)),
        }
    }
}
