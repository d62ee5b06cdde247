//! `postrider adopt`: says what a database is that was copied, moved or restored. Until then nothing is sent from it.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use serde_json::json;

use super::{Failure, count, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::model::installation::InstallationName;
use crate::store::{Adopted, Adoption, Store};
use crate::validation::{Problems, parse_duration};

/// The longest time in which a move may be expected: every copy that is made meanwhile, and told the same name, sends too.
const EXPECTED_MAX: Duration = Duration::from_hours(7 * 24);

/// The operator's word about the database.
enum Said {
    Is(Adoption),
    WillMove(Duration),
}

/// Adopts the database, or says beforehand that it will move.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::Adopt,
) -> Result<(), Failure> {
    let said = check(&typed, &mut settings.problems);
    let name = settings.installation(typed.installation);
    let (store, _) = open(settings, url)?;
    match said {
        Some(Said::Is(adoption)) => {
            if !typed.yes && adoption == Adoption::Copy && !is_meant(&store).await? {
                return Err(Failure::Failed("nothing was adopted".to_owned()));
            }
            let adopted = store.adopt(adoption, name.as_ref()).await?;
            print(adoption, &adopted, typed.json)
        }
        Some(Said::WillMove(within)) => expect_move(&store, within, typed.json).await,
        None => Ok(()),
    }
}

fn check(typed: &args::Adopt, problems: &mut Problems) -> Option<Said> {
    if let Some(text) = &typed.expect_move {
        let within = parse_duration("expect_move", text, (Duration::ZERO, EXPECTED_MAX), problems)?;
        return Some(Said::WillMove(within));
    }
    let text = typed.kind.as_deref()?;
    let adoption = Adoption::ALL.into_iter().find(|adoption| adoption.as_str() == text);
    if adoption.is_none() {
        problems.add("as", "needs copy or original", Some(text));
    }
    adoption.map(Said::Is)
}

/// A copy at another place has said so itself. Here it may be the original, whose work would be cancelled.
async fn is_meant(store: &Store) -> Result<bool, Failure> {
    let is_elsewhere =
        store.read_installation().await?.is_some_and(|installation| installation.waits_because.is_some());
    if !std::io::stdin().is_terminal() {
        if is_elsewhere {
            return Ok(true);
        }
        let mut problems = Problems::default();
        let expected =
            "is missing: this may be the original, and stdin is no terminal, so nobody can be asked";
        problems.add("yes", expected, None);
        return Err(problems.into());
    }
    let backlog = store.read_backlog().await?;
    let waiting = count(backlog.pending + backlog.in_progress, "delivery", "deliveries");
    let unrouted = count(backlog.unrouted, "event that is not routed", "events that are not routed");
    output::aside(&format!(
        "Cancel {waiting} and {unrouted}, and pause every endpoint of this database? [y/N] "
    ))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn print(adoption: Adoption, adopted: &Adopted, as_json: bool) -> Result<(), Failure> {
    let Adopted { name, code, events_cancelled, endpoints_paused } = adopted;
    if as_json {
        return Ok(output::json(&json!({
            "as": adoption.as_str(), "name": name, "code": code,
            "events_cancelled": events_cancelled, "endpoints_paused": endpoints_paused,
        }))?);
    }
    let lines = match adoption {
        Adoption::Original => format!("adopted as the original, {code}: dispatchers go on"),
        Adoption::Copy => format!(
            "adopted as a copy, {code}: {} cancelled, {} paused; postrider endpoint resume ID lets one go on",
            count(*events_cancelled, "event is", "events are"),
            count(*endpoints_paused, "endpoint is", "endpoints are"),
        ),
    };
    output::line(&lines)?;
    Ok(output::line(&told(name.as_deref()))?)
}

/// Tells which flag the dispatchers of this installation need.
fn told(name: Option<&str>) -> String {
    let name = name.and_then(InstallationName::parse);
    match name {
        Some(name) => format!("its dispatchers need --installation {}", name.as_str()),
        None => "its dispatchers need no --installation".to_owned(),
    }
}

async fn expect_move(store: &Store, within: Duration, as_json: bool) -> Result<(), Failure> {
    let until = store.expect_move(within).await?;
    if as_json {
        return Ok(output::json(&json!({ "move_expected_until": until }))?);
    }
    let line = match until {
        Some(until) => format!(
            "a move is expected until {}: the first dispatcher elsewhere that is told this installation's name goes on as the original",
            output::time(&until)
        ),
        None => "no move is expected".to_owned(),
    };
    Ok(output::line(&line)?)
}
