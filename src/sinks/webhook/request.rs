//! One signed request: URL, headers and body of an attempt.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Request};

use crate::model::endpoint::{Format, WebhookDestination, prepare_headers};
use crate::model::event::Event;
use crate::sinks::attempt::Attempt;
use crate::sinks::cloudevents::{Attributes, STRUCTURED};
use crate::sinks::webhook::signature::{SignedContent, sign};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const POSTRIDER_TOPIC: HeaderName = HeaderName::from_static("postrider-topic");
const POSTRIDER_ATTEMPT: HeaderName = HeaderName::from_static("postrider-attempt");
/// Headers of every request, with those that reqwest and hyper add.
const HEADERS_USUAL: usize = 10;
const USER_AGENT_VALUE: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// The parts of a request.
pub(super) struct RequestParts<'a> {
    pub(super) to: &'a WebhookDestination,
    pub(super) attempt: &'a Attempt<'a>,
    /// When it is signed, in seconds of the Unix epoch.
    pub(super) timestamp: i64,
    /// The value of the header `authorization`, if the endpoint wants a login.
    pub(super) authorization: Option<HeaderValue>,
    /// `source` of CloudEvents.
    pub(super) source: &'a Arc<str>,
}

impl RequestParts<'_> {
    /// The request, or in one line why there cannot be one.
    pub(super) fn build(&self) -> Result<Request, String> {
        let (to, event) = (self.to, self.attempt.event);
        let mut request = Request::new(Method::POST, to.url.clone()?);
        let headers = request.headers_mut();
        headers.clone_from(to.headers.as_ref().map_err(Clone::clone)?);
        let of_event = event.headers.as_ref().map_err(Clone::clone)?;
        headers.reserve(HEADERS_USUAL + of_event.len());
        if !of_event.is_empty() {
            headers.extend(prepare_headers(of_event)?);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let body = content(to.format, event, self.source, headers)?;
        let key = to.credentials.signing_key.as_ref().map_err(|fault| format!("signing_key: {fault}"))?;
        let signed = SignedContent { webhook_id: &event.webhook_id, timestamp: self.timestamp, body: &body };
        let signature = sign(to.credentials.secrets(), key.as_ref(), signed);
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        insert(headers, WEBHOOK_ID, &event.webhook_id)?;
        headers.insert(WEBHOOK_TIMESTAMP, self.timestamp.into());
        insert(headers, WEBHOOK_SIGNATURE, &signature)?;
        insert(headers, POSTRIDER_TOPIC, &event.topic)?;
        headers.insert(POSTRIDER_ATTEMPT, self.attempt.number.into());
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}

/// Makes the body, and sets the headers that say what the body is.
fn content(format: Format, event: &Event, source: &str, headers: &mut HeaderMap) -> Result<Bytes, String> {
    let (kind, body) = match format {
        Format::Webhook => ("application/json", event.payload.clone()),
        Format::CloudeventsBinary => {
            for (name, value) in Attributes::of(event, source).headers() {
                insert(headers, HeaderName::from_static(name), &value)?;
            }
            ("application/json", event.payload.clone())
        }
        Format::CloudeventsStructured => {
            let document = Attributes::of(event, source).document(&event.payload);
            #[expect(clippy::map_err_ignore, reason = "the cause may quote the payload")]
            let document =
                document.map_err(|_| "the payload cannot be part of a CloudEvents document".to_owned())?;
            (STRUCTURED, document)
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(body)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    let value = HeaderValue::from_str(value).map_err(|why| format!("header {name} is invalid: {why}"))?;
    headers.insert(name, value);
    Ok(())
}
