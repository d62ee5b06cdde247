//! A layer in front of the connector of the HTTP client. It opens a connection only while file descriptors are left for it, and
//! tells the request that it is opened for.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use thiserror::Error;
use tower_layer::Layer;
use tower_service::Service;

use super::progress::Dial;
use crate::rules::descriptors::Descriptors;

type BoxError = Box<dyn Error + Send + Sync>;

/// A new connection could not be kept after its request. The caller opens one that ends with the request instead.
#[derive(Clone, Copy, Debug, Error)]
#[error("too many connections are kept already")]
pub(super) struct NotKept;

/// The fate of a connection after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterRequest {
    /// The client keeps it for the next request.
    Keep,
    /// The client closes it.
    Close,
}

/// The layer, one for each client.
#[derive(Clone, Debug)]
pub(super) struct BoundedLayer {
    pub(super) descriptors: Descriptors,
    pub(super) after: AfterRequest,
}

/// The connector behind the layer.
#[derive(Clone, Debug)]
pub(super) struct BoundedConnector<S> {
    inner: S,
    bounded: BoundedLayer,
}

impl<S> Layer<S> for BoundedLayer {
    type Service = BoundedConnector<S>;

    fn layer(&self, inner: S) -> BoundedConnector<S> {
        BoundedConnector { inner, bounded: self.clone() }
    }
}

impl<S, R> Service<R> for BoundedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Connection + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let BoundedLayer { descriptors, after } = &self.bounded;
        let refused = match after {
            AfterRequest::Keep => (!descriptors.keep_one()).then(|| BoxError::from(NotKept)),
            AfterRequest::Close => descriptors.open(1).err().map(BoxError::from),
        };
        if let Some(refused) = refused {
            return Box::pin(async { Err(refused) });
        }
        let (dial, opening) = (Dial::begin(), self.inner.call(to));
        Box::pin(async move {
            let connection = opening.await?;
            dial.opened(&connection.connected());
            Ok(connection)
        })
    }
}
