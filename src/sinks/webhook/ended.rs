//! Connections end by themselves: a server restarts, takes a thousand requests per connection, or closes what was idle. Such an
//! end says nothing of the request that met it. The request is sent again over a new connection, once.

use h2::Reason;
use hyper_util::client::legacy::Error as ClientError;
use reqwest::header::CONNECTION;
use reqwest::{Response, StatusCode};

use super::failure::causes;
use super::progress::{Ends, Progress};
use crate::rules::descriptors::Shortage;

/// Whether a request failed because its connection ended by itself.
///
/// If the server said that it did not process the request, any connection may have ended so. Otherwise only one that others
/// use or used: a server that ends a new one without an answer is at fault. One of HTTP/2 has several users from the start.
pub(super) fn ended_by_itself(fault: &reqwest::Error, progress: &Progress) -> bool {
    let connected = causes(fault).find_map(|cause| cause.downcast_ref::<ClientError>()?.connect_info());
    let is_shared = connected.is_some_and(|connected| {
        connected.is_negotiated_h2() || Ends::of(connected).is_some_and(|ends| progress.is_reused(ends))
    });
    was_not_processed(fault) || (is_shared && was_lost_with_its_connection(fault))
}

/// Whether the server said that it did not process the request (RFC 9113, section 8.7): it refused the stream, or closes the
/// connection gracefully and went no further than an earlier stream.
pub(super) fn was_not_processed(fault: &reqwest::Error) -> bool {
    causes(fault).filter_map(|cause| cause.downcast_ref::<h2::Error>()).any(|error| {
        error.is_remote()
            && ((error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
                || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)))
    })
}

/// Whether the connection is gone: closed, reset, broken, or left by the server for whatever reason.
fn was_lost_with_its_connection(fault: &reqwest::Error) -> bool {
    if fault.is_connect() || Shortage::behind(fault).is_some() {
        return false;
    }
    causes(fault).any(|cause| {
        let is_left = |error: &h2::Error| error.is_io() || (error.is_go_away() && error.is_remote());
        cause.downcast_ref().is_some_and(is_closed)
            || cause.downcast_ref().is_some_and(is_left)
            || cause.is::<std::io::Error>()
    })
}

/// Whether a connection was closed under its request, or its task ended with the request in its hands: hyper tells of that by
/// its text alone.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || (error.is_user() && error.to_string().starts_with("dispatch task is gone"))
}

/// Whether the answer is a server's good-bye to an idle connection, and not to the request (RFC 9110, section 15.5.9).
pub(super) fn is_of_an_idle_connection(response: &Response, progress: &Progress) -> bool {
    let closes = |value: &reqwest::header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    response.status() == StatusCode::REQUEST_TIMEOUT
        && response.headers().get(CONNECTION).is_some_and(closes)
        && response.extensions().get().is_some_and(|info| progress.is_reused(Ends::from(info)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn a_connection_whose_task_ends_under_its_request_is_closed() {
        let (io, _server) = tokio::io::duplex(1024);
        let (mut sender, mut connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        let answer = sender.send_request(hyper::Request::new(String::new()));
        // The task takes the request, and ends.
        assert!((&mut connection).now_or_never().is_none());
        drop(connection);

        let fault = answer.await.unwrap_err();

        assert!(is_closed(&fault), "{fault}");
    }
}
