//! Pages of lists.

use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 500;

/// Checks the number of rows of a page: 1 to 500.
pub(super) fn check_limit(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(Code::InvalidArgument, format!("limit: needs a whole number, 1 to {LIMIT_MAX}")))
    }
}

/// An order of endpoints.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndpointSort {
    /// By id: all pages together have each endpoint once.
    #[default]
    Id,
    /// By trouble: disabled endpoints come first, then down, failing, paused and healthy ones. There is one page.
    Trouble,
}
