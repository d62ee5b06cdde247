//! Reads requests and writes responses. Unknown fields of bodies and queries are refused by name.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connections::READ_DEADLINE;
use super::problem::{Code, Problem};

/// Largest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(&request)?;
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A body that changes some fields of an object: JSON Merge Patch (RFC 7396), which may say that it is plain JSON.
pub(super) struct MergePatch<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MergePatch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_of_type(&request, MERGE_PATCH) && !is_of_type(&request, JSON) {
            let needs = format!("needs the header Content-Type: {MERGE_PATCH}, or {JSON}");
            return Err(Problem::new(Code::UnsupportedMediaType, needs));
        }
        parse(&read(request, state).await?).map(Self)
    }
}

/// A JSON body that is optional.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let typed = check_media_type(&request);
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        // The description of an optional body allows null too.
        let body: Option<T> = parse(&bytes)?;
        Ok(Self(body.unwrap_or_default()))
    }
}

/// The query of a URL.
pub(super) struct QueryParams<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(QueryRejection::FailedToDeserializeQueryString(fault)) => {
                Err(Problem::new(Code::InvalidRequest, fault.body_text()))
            }
            Err(_) => Err(Problem::new(Code::InvalidRequest, "the query cannot be read")),
        }
    }
}

/// A part of the path, parsed.
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(fault) => Err(Problem::new(Code::InvalidRequest, fault.body_text())),
        }
    }
}

/// A response in JSON.
pub(super) struct JsonResponse<T>(pub(super) StatusCode, pub(super) T);

impl<T: Serialize> IntoResponse for JsonResponse<T> {
    fn into_response(self) -> Response {
        match legible(&self.1) {
            Ok(body) => (self.0, Text(body.into())).into_response(),
            Err(fault) => Problem::new(Code::Internal, fault.to_string()).into_response(),
        }
    }
}

/// A response that is JSON text already.
pub(super) struct Text(pub(super) Bytes);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Writes JSON for people who use curl: over several lines, with a line end at the end.
pub(super) fn legible<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

fn check_media_type(request: &Request) -> Result<(), Problem> {
    if is_of_type(request, JSON) {
        return Ok(());
    }
    // This also refuses every request that a page of another site may send without the browser's preflight.
    Err(Problem::new(Code::UnsupportedMediaType, "needs the header Content-Type: application/json"))
}

fn is_of_type(request: &Request, expected: &str) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let Ok(read) = timeout(READ_DEADLINE, Bytes::from_request(request, state)).await else {
        return Err(Problem::new(Code::Timeout, "the body did not arrive in time"));
    };
    read.map_err(|fault| {
        Problem::of_status(fault.status())
            .unwrap_or_else(|| Problem::new(Code::InvalidRequest, "the body cannot be read"))
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde reads an array as the fields of a struct, in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(Code::InvalidRequest, "invalid type: sequence, expected an object"));
    }
    serde_json::from_slice(bytes)
        .map_err(|fault| Problem::new(Code::InvalidRequest, without_values(&fault.to_string())))
}

/// A fault of serde names the value that has the wrong type: it may be a secret in the wrong place.
fn without_values(fault: &str) -> String {
    match (fault.split_once(": string \""), fault.rsplit_once("\", expected")) {
        (Some((head, _)), Some((_, tail))) => format!("{head}: string, expected{tail}"),
        _ => fault.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_type_is_not_shown() {
        let fault = serde_json::from_str::<Vec<u8>>(r#""whsec_hunter2\", expected x""#).unwrap_err();

        let shown = without_values(&fault.to_string());

        assert!(shown.starts_with("invalid type: string, expected a sequence at line 1"), "{shown}");
    }
}
