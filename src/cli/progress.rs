//! Work in steps: shows a bar on a terminal, and an interruption loses nothing.

use std::future::Future;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, output};
use crate::cli::signals::Signals;
use crate::operations::lookup::LookupError;

/// Rows of one step: few enough to interrupt soon, enough to be worth a round trip.
pub(super) const STEP: i32 = 1_000;

/// A bar on stderr, if that is a terminal. Cleared when dropped.
pub(super) struct StepProgress(ProgressBar);

/// Result of a step.
pub(super) enum InterruptibleStep<T> {
    /// The step is done.
    Done(T),
    /// The step is done, and a signal came: do not begin another.
    Last(T),
    /// A second signal came: the result of the step is unknown.
    Abandoned,
}

impl StepProgress {
    /// Begins at 0 of `total`. `None` if the total is unknown.
    pub(super) fn begin(what: &'static str, total: Option<u64>) -> Self {
        if !output::is_aside_watched() {
            return Self(ProgressBar::hidden());
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{msg} {bar:32} {pos} of {len}, {elapsed}"),
            None => (ProgressBar::new_spinner(), "{msg} {spinner} {pos}, {elapsed}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.tick();
        Self(bar)
    }

    /// Shows that `done` rows are done.
    pub(super) fn reach(&self, done: i64) {
        self.0.set_position(u64::try_from(done).unwrap_or_default());
    }
}

impl Drop for StepProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Runs a step to its end, even if a signal comes; a second signal abandons it.
pub(super) async fn finish<T>(
    signals: &mut Signals,
    step: impl Future<Output = Result<T, LookupError>>,
) -> Result<InterruptibleStep<T>, Failure> {
    let mut step = std::pin::pin!(step);
    tokio::select! {
        done = &mut step => return Ok(InterruptibleStep::Done(done?)),
        _ = signals.next() => {}
    }
    tokio::select! {
        done = &mut step => Ok(InterruptibleStep::Last(done?)),
        _ = signals.next() => Ok(InterruptibleStep::Abandoned),
    }
}
