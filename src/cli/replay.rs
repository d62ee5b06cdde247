//! `postrider replay`: sends an endpoint the events of a period again, step by step.

use super::progress::{InterruptibleStep, STEP, StepProgress, finish};
use super::{Failure, count, open, output, parse_id};
use crate::cli::signals::Signals;
use crate::config::Settings;
use crate::config::args;
use crate::operations::replay::{ReplaySpec, check_times, check_topics, replay_step};
use crate::store::{Replay, Store};
use crate::validation::{Problems, TimeArgument};

/// Events that one step of counting looks up.
const COUNT_STEP: i32 = 100_000;

/// Arguments of `replay`, checked.
struct CheckedReplay {
    since: TimeArgument,
    until: TimeArgument,
    after: i64,
}

/// How far the replay came. `next_after` is set if it was interrupted, and says where to continue.
struct Reached {
    replayed: i64,
    next_after: Option<i64>,
}

/// Replays, and prints the number of events.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::ReplayArgs,
) -> Result<(), Failure> {
    let given = check(&typed, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(given) = given else { return Ok(()) };
    let spec = ReplaySpec {
        endpoint_id: typed.endpoint,
        since: given.since,
        until: Some(given.until),
        topics: typed.topics,
        dry_run: typed.dry_run,
    };
    let replay = spec.fix(&store).await?;
    let reached = replay_all(&store, &replay, given.after).await?;
    if typed.json {
        output::json(&serde_json::json!({
            "endpoint_id": replay.endpoint_id, "since": replay.since, "until": replay.until, "topics": replay.topics,
            "dry_run": replay.dry_run, "replayed": reached.replayed, "next_after": reached.next_after,
        }))?;
    } else {
        output::line(&sentence(&replay, reached.replayed))?;
    }
    match reached.next_after {
        None => Ok(()),
        Some(after) => {
            Err(Failure::Failed(format!("interrupted; to go on: {}", command_to_go_on(&replay, after))))
        }
    }
}

fn check(typed: &args::ReplayArgs, problems: &mut Problems) -> Option<CheckedReplay> {
    let since = TimeArgument::parse("since", &typed.since, problems);
    let until = match &typed.until {
        Some(text) => TimeArgument::parse("until", text, problems),
        None => Some(TimeArgument::Ago(std::time::Duration::ZERO)),
    };
    check_times(since.as_ref(), until.as_ref(), typed.until.as_deref(), problems);
    check_topics(typed.topics.as_deref(), problems);
    let after = match &typed.after {
        Some(text) => parse_id("after", text, problems),
        None => Some(0),
    };
    Some(CheckedReplay { since: since?, until: until?, after: after? })
}

async fn replay_all(store: &Store, replay: &Replay, after: i64) -> Result<Reached, Failure> {
    let mut signals = Signals::install()?;
    let progress = StepProgress::begin(
        if replay.dry_run { "counting" } else { "replaying" },
        total(store, replay, after).await?,
    );
    let mut reached = Reached { replayed: 0, next_after: Some(after) };
    while let Some(after) = reached.next_after {
        let (step, is_last) = match finish(&mut signals, replay_step(store, replay, after, STEP)).await? {
            InterruptibleStep::Done(step) => (step, false),
            InterruptibleStep::Last(step) => (step, true),
            InterruptibleStep::Abandoned => break,
        };
        reached = Reached { replayed: reached.replayed + step.replayed, next_after: step.next_after };
        progress.reach(reached.replayed);
        if is_last {
            break;
        }
    }
    Ok(reached)
}

/// Counts the events first, but only for a bar on a terminal.
async fn total(store: &Store, replay: &Replay, after: i64) -> Result<Option<u64>, Failure> {
    if replay.dry_run || !output::is_aside_watched() {
        return Ok(None);
    }
    let count = Replay { dry_run: true, ..replay.clone() };
    let (mut total, mut next) = (0, Some(after));
    while let Some(after) = next {
        let step = replay_step(store, &count, after, COUNT_STEP).await?;
        total += step.replayed;
        next = step.next_after;
    }
    Ok(u64::try_from(total).ok())
}

fn sentence(replay: &Replay, replayed: i64) -> String {
    let events = count(replayed, "event", "events");
    let verb = match (replay.dry_run, replayed) {
        (true, _) => "would be",
        (false, 1) => "is",
        (false, _) => "are",
    };
    format!("{events} {verb} sent to {} again", output::printable(&replay.endpoint_id))
}

fn command_to_go_on(replay: &Replay, after: i64) -> String {
    let Replay { endpoint_id, since, until, topics, dry_run } = replay;
    let until = until.as_ref().map(|until| format!(" --until {until}")).unwrap_or_default();
    let topics =
        topics.as_ref().map(|topics| format!(" --topics '{}'", topics.join(","))).unwrap_or_default();
    let dry_run = if *dry_run { " --dry-run" } else { "" };
    format!("postrider replay {endpoint_id} --since {since}{until}{topics} --after {after}{dry_run}")
}
