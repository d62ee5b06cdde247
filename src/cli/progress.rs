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

/// The result of a repeated step.
pub(super) struct Repeated {
    /// Rows, of all steps.
    pub rows: i64,
    /// Whether a signal came before all was done.
    pub is_interrupted: bool,
}

/// Repeats a step of at most [`STEP`] rows until one has fewer, or a signal comes.
pub(super) async fn repeat(
    what: &'static str,
    mut step: impl AsyncFnMut() -> Result<i64, LookupError>,
) -> Result<Repeated, Failure> {
    let mut signals = Signals::install()?;
    let progress = StepProgress::begin(what, None);
    let mut done = Repeated { rows: 0, is_interrupted: false };
    loop {
        let of_step = match finish(&mut signals, step()).await? {
            InterruptibleStep::Done(of_step) => of_step,
            InterruptibleStep::Last(of_step) => {
                done.is_interrupted = true;
                of_step
            }
            InterruptibleStep::Abandoned => {
                done.is_interrupted = true;
                return Ok(done);
            }
        };
        done.rows += of_step;
        progress.reach(done.rows);
        if done.is_interrupted || of_step < i64::from(STEP) {
            return Ok(done);
        }
    }
}

/// The failure of a command whose repeated step was interrupted.
pub(super) fn interrupted() -> Failure {
    Failure::Failed("interrupted; the same command goes on with what is left".to_owned())
}
