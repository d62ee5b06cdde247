//! Pages of lists.

use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::{Code, Problem};

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 500;

/// Selects a page.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Rows of a page, at most. Default: 50.
    #[param(minimum = 1, maximum = 500)]
    pub(super) limit: Option<i64>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl PageParams {
    /// Checks the number of rows of a page.
    pub(super) fn limit(&self) -> Result<i64, Problem> {
        check_limit(self.limit)
    }
}

/// Checks the number of rows of a page: 1 to 500.
pub(super) fn check_limit(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(Code::InvalidArgument, format!("limit: needs a whole number, 1 to {LIMIT_MAX}")))
    }
}
