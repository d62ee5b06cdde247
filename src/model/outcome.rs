//! Words: what an attempt came to. A refused webhook is a value, never an `Err`.

use std::time::Duration;

use thiserror::Error;

/// What one HTTP attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer, or why there was none.
    pub answer: Answer,
    /// From the first byte of work to the last byte read.
    pub duration: Duration,
    /// At most 2 KiB of the response, as text; what is not text is replaced.
    pub response_excerpt: Option<String>,
}

/// The answer to one HTTP attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx: delivered.
    Success {
        /// 200 to 299.
        status_code: u16,
    },
    /// Any other status; a redirect too, it is not followed.
    Refused {
        /// The status.
        status_code: u16,
        /// How long the endpoint asks us to wait.
        retry_after: Option<Duration>,
    },
    /// No answer: no connection, a timeout, an address that may not be called.
    NoAnswer {
        /// What kind of failure it is.
        why: NoAnswer,
        /// What went wrong, in one line, without a secret.
        error: String,
    },
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It did not come in time.
    Timeout,
    /// The address may not be called; nothing was sent.
    RefusedAddress,
    /// No connection, one that broke, or a request that could not be made.
    Broken,
}

/// Why an event cannot be sent at all: its deliveries are given up without an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unsendable {
    /// Somebody deleted it.
    #[error("the event was deleted")]
    Deleted,
    /// Its payload is larger than the operator allows.
    #[error("the payload is too large: {bytes} bytes, --max-payload allows {bytes_max}")]
    TooLarge {
        /// Bytes it has.
        bytes: u64,
        /// Bytes it may have.
        bytes_max: u64,
    },
}

impl Outcome {
    /// HTTP status, if there was an answer.
    pub fn status_code(&self) -> Option<u16> {
        match self.answer {
            Answer::Success { status_code } | Answer::Refused { status_code, .. } => Some(status_code),
            Answer::NoAnswer { .. } => None,
        }
    }

    /// Why the attempt failed; none after a success.
    pub fn error(&self) -> Option<String> {
        match &self.answer {
            Answer::Success { .. } => None,
            Answer::Refused { status_code, .. } if (300..400).contains(status_code) => {
                Some(format!("redirect not followed (status {status_code})"))
            }
            Answer::Refused { status_code, .. } => Some(format!("status {status_code}")),
            Answer::NoAnswer { error, .. } => Some(error.clone()),
        }
    }
}
