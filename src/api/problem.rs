//! Refusals of the API: problem+json (RFC 9457) with a stable code.

use std::error::Error;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{debug, warn};
use utoipa::ToSchema;

use super::extract::legible;
use crate::operations::destination::DestinationError;
use crate::operations::find_table::TableError;
use crate::operations::lookup::LookupError;
use crate::operations::test_endpoint::TestError;
use crate::store::{DatabaseRefusal, StoreError, is_read_only, one_line, refusal};
use crate::validation::Problems;

/// Says why a request was refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found",
    "detail": "endpoint \"orders\" does not exist", "errors": []
}))]
pub(super) struct Problem {
    /// Always `about:blank`; `code` says what happened.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// Stable, for programs.
    code: Code,
    /// For people.
    detail: String,
    /// The invalid fields.
    errors: Vec<FieldError>,
}

/// An invalid field.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field.
    field: String,
    /// The allowed values, and the given value.
    detail: String,
}

/// Code of a refusal, for programs. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The request cannot be read: not JSON, a field that is unknown, missing or of the wrong type.
    InvalidRequest,
    /// A field has a value that is not allowed.
    InvalidArgument,
    /// No token, or a wrong one.
    Unauthorized,
    /// The Host or Origin header names another site: a browser was led here.
    Forbidden,
    /// The id or the route does not exist.
    NotFound,
    /// The route exists, for other methods.
    MethodNotAllowed,
    /// The state of the object does not allow this.
    Conflict,
    /// The largest allowed number exists already.
    LimitReached,
    /// The body is too large.
    TooLarge,
    /// The body is not `application/json`, nor, of a PATCH, `application/merge-patch+json`.
    UnsupportedMediaType,
    /// The request did not arrive in time, or took too long.
    Timeout,
    /// Too many requests at once.
    Busy,
    /// The database is out of reach.
    Unavailable,
    /// A fault of Postrider; the log has the details.
    Internal,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::LimitReached => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    /// Makes a problem with a text for the caller.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = code.status();
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Makes the problem for an unknown id.
    pub(super) fn unknown(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{what} {id} does not exist"))
    }

    /// Returns the problem for a bare status of the router. `None` if we never send that status.
    pub(super) fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::NOT_FOUND => Self::new(Code::NotFound, "no such route; see /openapi.json"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Code::MethodNotAllowed, "this route does not know the method; see Allow")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, "the body is larger than 1 MiB"),
            StatusCode::BAD_REQUEST => Self::new(Code::InvalidRequest, "the request cannot be read"),
            _ => return None,
        })
    }
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Self {
        let errors = problems.iter().map(|p| FieldError { field: p.name.clone(), detail: p.text.clone() });
        Self { errors: errors.collect(), ..Self::new(Code::InvalidArgument, problems.to_string()) }
    }
}

impl From<StoreError> for Problem {
    fn from(fault: StoreError) -> Self {
        let text = one_line(&fault);
        // A refused connection says nothing about the request.
        let refused = refusal(&fault).filter(|_| !matches!(fault, StoreError::Unavailable(_)));
        match refused {
            Some(DatabaseRefusal::Unknown) => return Self::new(Code::NotFound, text),
            Some(DatabaseRefusal::Invalid) => return Self::new(Code::InvalidArgument, text),
            Some(DatabaseRefusal::WrongState) => return Self::new(Code::Conflict, text),
            Some(DatabaseRefusal::TooMany) => return Self::new(Code::LimitReached, text),
            None => {}
        }
        let problem = match &fault {
            StoreError::Unavailable(_) | StoreError::Deadline { .. } => {
                Self::new(Code::Unavailable, "the database is out of reach")
            }
            // Without a reply of the server: the connection broke.
            StoreError::Failed { source, .. } if source.as_db_error().is_none() && is_io(source) => {
                Self::new(Code::Unavailable, "the connection to the database broke")
            }
            StoreError::Failed { .. } if is_read_only(&fault) => {
                Self::new(Code::Unavailable, "the database is read-only for now")
            }
            StoreError::Failed { .. }
            | StoreError::Row { .. }
            | StoreError::IdTaken
            | StoreError::Emptied => {
                Self::new(Code::Internal, "internal error; the log of the dispatcher says more")
            }
        };
        // The stages log an outage of the database; one line per request would flood the log.
        if problem.code == Code::Internal {
            warn!("a request to the API failed: {text}");
        } else {
            debug!("a request to the API failed: {text}");
        }
        problem
    }
}

impl From<LookupError> for Problem {
    fn from(fault: LookupError) -> Self {
        match fault {
            LookupError::Endpoint(_) | LookupError::Event(_) => Self::new(Code::NotFound, fault.to_string()),
            LookupError::Store(fault) => fault.into(),
        }
    }
}

impl From<DestinationError> for Problem {
    fn from(fault: DestinationError) -> Self {
        let text = fault.to_string();
        match fault {
            DestinationError::Unknown(_)
            | DestinationError::Template(_)
            | DestinationError::Misfit { .. } => {
                let mut problems = Problems::default();
                problems.add("destination", &text, None);
                problems.into()
            }
            DestinationError::Store(fault) => fault.into(),
        }
    }
}

impl From<TableError> for Problem {
    fn from(fault: TableError) -> Self {
        let text = fault.to_string();
        match fault {
            TableError::Unknown { .. } | TableError::NotAttached(_) => Self::new(Code::NotFound, text),
            TableError::Several { .. } => Self::new(Code::InvalidArgument, text),
            TableError::Store(fault) => fault.into(),
        }
    }
}

impl From<TestError> for Problem {
    fn from(fault: TestError) -> Self {
        let text = fault.to_string();
        match fault {
            TestError::Template(_) => Self::new(Code::Conflict, text),
            TestError::NotEnabled { .. } => Self::new(Code::Conflict, format!("{text}; resume it first")),
            TestError::Lookup(fault) => fault.into(),
            TestError::Store(fault) => fault.into(),
        }
    }
}

fn is_io(fault: &tokio_postgres::Error) -> bool {
    fault.is_closed() || fault.source().is_some_and(<dyn Error>::is::<std::io::Error>)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code;
        let body = legible(&self).unwrap_or_default();
        let mut response = (code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if code.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
