//! Work in steps: a bar on a terminal, and an interruption that loses nothing.

use std::future::Future;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, output};
use crate::cli::signals::Signals;
use crate::store::StoreError;

/// How many rows one step takes: short enough to interrupt, long enough to be worth its round trip.
pub(super) const STEP: i32 = 1_000;

/// A bar on stderr, if a person looks there. Cleared when dropped.
pub(super) struct StepProgress(ProgressBar);

/// What a step came to.
pub(super) enum Step<T> {
    /// It is done.
    Done(T),
    /// It is done, and a signal came: begin no other.
    Last(T),
    /// A second signal came: nobody knows what it did.
    Abandoned,
}

impl StepProgress {
    /// Begins at nothing of so many; none: nobody knows how many.
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

    /// So many are done.
    pub(super) fn reach(&self, done: i64) {
        self.0.set_position(u64::try_from(done).unwrap_or_default());
    }
}

impl Drop for StepProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Runs a step to its end, also when a signal comes meanwhile; a second signal waits for nothing.
pub(super) async fn finish<T>(
    signals: &mut Signals,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<Step<T>, Failure> {
    let mut step = std::pin::pin!(step);
    tokio::select! {
        done = &mut step => return Ok(Step::Done(done?)),
        _ = signals.next() => {}
    }
    tokio::select! {
        done = &mut step => Ok(Step::Last(done?)),
        _ = signals.next() => Ok(Step::Abandoned),
    }
}
