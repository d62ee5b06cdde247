//! Replays: what may be asked for, by the same rules for command line and API.

use super::endpoint_spec::check_patterns;
use super::lookup::{LookupError, known};
use crate::store::{Replay, Replayed, Store, StoreError};
use crate::validation::{Problems, TimeArgument};

/// Which events to send an endpoint again, as somebody asks for it.
#[derive(Clone, Debug)]
pub(crate) struct ReplaySpec {
    /// The endpoint.
    pub endpoint_id: String,
    /// Events created at this time or later.
    pub since: TimeArgument,
    /// Events created before this time. `None`: now, whenever a step runs.
    pub until: Option<TimeArgument>,
    /// Topic patterns. `None`: those of the endpoint.
    pub topics: Option<Vec<String>>,
    /// Whether to count only.
    pub dry_run: bool,
}

impl ReplaySpec {
    /// Fixes its times by the database's clock: "an hour ago" must not move while the steps go on.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be asked.
    pub(crate) async fn fix(self, store: &Store) -> Result<Replay, StoreError> {
        let until = match self.until {
            Some(until) => Some(resolve(store, until).await?),
            None => None,
        };
        Ok(Replay {
            endpoint_id: self.endpoint_id,
            since: resolve(store, self.since).await?,
            until,
            topics: self.topics,
            dry_run: self.dry_run,
        })
    }
}

/// One step of a replay, of at most `up_to` events with a higher id than `after`.
///
/// # Errors
/// [`LookupError`].
pub(crate) async fn replay_step(
    store: &Store,
    replay: &Replay,
    after: i64,
    up_to: i32,
) -> Result<Replayed, LookupError> {
    known(store, &replay.endpoint_id, store.replay(replay, after, up_to).await).await
}

/// Checks that a replay ends after it begins.
pub(crate) fn check_times(
    since: Option<&TimeArgument>,
    until: Option<&TimeArgument>,
    given: Option<&str>,
    problems: &mut Problems,
) {
    if let (Some(since), Some(until)) = (since, until)
        && since.is_after(until)
    {
        problems.add("until", "needs to be later than since", given);
    }
}

/// Checks the topic patterns of a replay, if there are any.
pub(crate) fn check_topics(topics: Option<&[String]>, problems: &mut Problems) {
    check_patterns("topics", topics.unwrap_or_default(), problems);
}

/// A time that the database reads, by its own clock.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub(crate) async fn resolve(store: &Store, moment: TimeArgument) -> Result<String, StoreError> {
    match moment {
        TimeArgument::Ago(ago) => store.read_time(ago).await,
        TimeArgument::At(text) => Ok(text),
    }
}
