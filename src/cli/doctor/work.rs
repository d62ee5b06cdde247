//! The work: tables and their dead rows, dispatchers, late events and deliveries.

use std::time::Duration;

use super::Finding;
use crate::cli::ago::Now;
use crate::cli::count;
use crate::model::delivery::WaitsFor;
use crate::store::{
    BacklogRow, DispatcherRow, DispatcherState, Lateness, Overdue, ServerRow, Store, StoreError, TableRow,
    WakeMode, WakeState,
};

const TABLES: &str = "tables";
const DISPATCHERS: &str = "dispatchers";
const BACKLOG: &str = "backlog";
/// Fewer dead rows cost nothing, whatever their share.
const DEAD_MIN: i64 = 100_000;
/// A dispatcher that runs routes in milliseconds, and polls every second.
const LATE: Duration = Duration::from_mins(1);

pub(super) async fn tables(server: &ServerRow, store: &Store) -> Finding {
    match store.list_tables().await {
        Ok(tables) => judge_tables(server, &tables),
        Err(fault) => Finding::broken(TABLES, &fault),
    }
}

fn judge_tables(server: &ServerRow, tables: &[TableRow]) -> Finding {
    if !server.is_autovacuum_on {
        return Finding::warn(
            TABLES,
            "autovacuum is off: dead rows stay, and everything gets slower",
            "alter system set autovacuum = on; select pg_reload_conf()",
        );
    }
    let names = |is_so: fn(&TableRow) -> bool| -> Vec<&str> {
        tables.iter().filter(|table| is_so(table)).map(|table| table.name.as_str()).collect()
    };
    let unvacuumed = names(|table| !table.is_autovacuum_enabled);
    if let Some(first) = unvacuumed.first() {
        return Finding::warn(
            TABLES,
            format!("autovacuum is switched off for {}: dead rows stay", unvacuumed.join(", ")),
            format!("alter table postrider.{first} reset (autovacuum_enabled)"),
        );
    }
    let bloated = names(|table| table.dead > DEAD_MIN && table.dead > table.live);
    if let Some(first) = bloated.first() {
        return Finding::warn(
            TABLES,
            format!("more dead rows than live ones in {}", bloated.join(", ")),
            format!("see transactions above; then: vacuum postrider.{first}"),
        );
    }
    Finding::ok(TABLES, "vacuum keeps up")
}

pub(super) async fn dispatchers(store: &Store) -> Finding {
    match read_dispatchers(store).await {
        Ok((rows, now)) => judge_dispatchers(&rows, &now),
        Err(fault) => Finding::broken(DISPATCHERS, &fault),
    }
}

async fn read_dispatchers(store: &Store) -> Result<(Vec<DispatcherRow>, Now), StoreError> {
    Ok((store.read_dispatchers().await?, Now::read(store).await?))
}

fn judge_dispatchers(rows: &[DispatcherRow], now: &Now) -> Finding {
    let in_state = |state| rows.iter().filter(move |row| row.state == state);
    let live: Vec<&DispatcherRow> = in_state(DispatcherState::Live).collect();
    let number = count(i64::try_from(live.len()).unwrap_or(i64::MAX), "runs", "run");
    if let Some(silent) = in_state(DispatcherState::Silent).next() {
        let seen = now.relative(Some(&silent.last_seen_at));
        return Finding::warn(
            DISPATCHERS,
            format!("{number}; {} was last seen {seen}: it died, is cut off or stands still", silent.host),
            "see its log, or postrider run; when its lease ends, the others take its deliveries",
        );
    }
    if live.is_empty() {
        return Finding::warn(DISPATCHERS, "none runs: nothing is delivered", "postrider run");
    }
    let Some(polling) = live.iter().find(|row| is_polling_in_need(row)) else {
        return Finding::ok(DISPATCHERS, format!("{number}, woken as asked for"));
    };
    let why = polling.wake_reason.as_deref().unwrap_or("unknown");
    Finding::warn(
        DISPATCHERS,
        format!("{number}; {} polls: {why}", polling.host),
        "see notifications above; by the poll alone events are delivered later, and none is lost",
    )
}

/// Whether a dispatcher polls although nobody asked for it.
fn is_polling_in_need(row: &DispatcherRow) -> bool {
    row.wake_mode == WakeMode::Poll && row.wake_reason.as_deref() != Some(WakeState::ASKED_FOR)
}

pub(super) async fn backlog(store: &Store) -> Finding {
    let Lateness { unrouted, overdue, set_aside, reason } = match store.read_lateness().await {
        Ok(lateness) => lateness,
        Err(fault) => return Finding::broken(BACKLOG, &fault),
    };
    if set_aside > 0 {
        let number = count(set_aside, "event or delivery is", "events and deliveries are");
        return Finding::warn(
            BACKLOG,
            format!("{number} refused by the database: {}", reason.unwrap_or_default()),
            "select * from postrider.set_aside; mend what stands in the way; then: select postrider.retry_set_aside()",
        );
    }
    if let Some(age) = unrouted.filter(|age| *age > LATE).map(whole_seconds) {
        return Finding::warn(
            BACKLOG,
            format!("the oldest event waits to be routed for {age}"),
            "see dispatchers and transactions above; postrider run on more machines",
        );
    }
    if let Some(overdue) = overdue.filter(|overdue| overdue.age > LATE) {
        return late(&overdue);
    }
    Finding::ok(BACKLOG, "nothing is late")
}

/// A finding that says why the most overdue delivery waits, and how to help.
fn late(overdue: &Overdue) -> Finding {
    let Overdue { age, endpoint_id: id, waits_for } = overdue;
    let age = whole_seconds(*age);
    match waits_for {
        Some(WaitsFor::Slot) => Finding::warn(
            BACKLOG,
            format!("the most overdue delivery waits for {age}, for a slot of endpoint {id}"),
            format!("raise max_in_flight or rate_limit of {id}, or make its receiver answer sooner"),
        ),
        Some(
            WaitsFor::Due
            | WaitsFor::Retry
            | WaitsFor::Circuit
            | WaitsFor::Pause
            | WaitsFor::Later
            | WaitsFor::Key,
        )
        | None => Finding::warn(
            BACKLOG,
            format!("the most overdue delivery waits for {age}: no dispatcher takes it, for endpoint {id}"),
            "see dispatchers above; postrider run, on more machines if each is busy",
        ),
    }
}

/// Events that no endpoint got. One that names its endpoint was meant for somebody; a topic may be for nobody on purpose.
pub(super) async fn reached_nobody(store: &Store) -> Finding {
    const NAME: &str = "events without receiver";
    let BacklogRow { unmatched_24h, unknown_destination_24h, .. } = match store.read_backlog().await {
        Ok(backlog) => backlog,
        Err(fault) => return Finding::broken(NAME, &fault),
    };
    let unmatched = match unmatched_24h {
        0 => "every topic of the last 24 hours has a subscriber".to_owned(),
        some => format!("{} of the last 24 hours matched no endpoint", count(some, "event", "events")),
    };
    if unknown_destination_24h == 0 {
        return Finding::ok(NAME, unmatched);
    }
    let number = count(unknown_destination_24h, "event", "events");
    Finding::warn(
        NAME,
        format!("{number} of the last 24 hours named a destination that does not exist; {unmatched}"),
        "select id, topic, destination from postrider.outbox where deliveries = 0 and destination is not null order by id desc limit 20; \
         put the endpoint, then: postrider replay ENDPOINT --since 24h",
    )
}

fn whole_seconds(age: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(age.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, server};
    use super::*;

    #[test]
    fn tables_are_bloated_when_many_rows_are_dead_and_few_alive() {
        for (live, dead, verdict) in [
            (0, 0, Severity::Ok),
            (0, 100_000, Severity::Ok),
            (1_000_000, 900_000, Severity::Ok),
            (100_000, 100_001, Severity::Warn),
        ] {
            let table = TableRow { live, dead, ..table() };

            assert_eq!(judge_tables(&server::server(), &[table]).result, verdict, "{live} live, {dead} dead");
        }
    }

    #[test]
    fn a_server_without_autovacuum_is_named_before_its_tables() {
        let server = ServerRow { is_autovacuum_on: false, ..server::server() };

        let check = judge_tables(&server, &[table()]);

        assert!(check.remedy.is_some_and(|remedy| remedy.contains("alter system set autovacuum")));
    }

    fn table() -> TableRow {
        TableRow {
            name: "delivery".to_owned(),
            live: 0,
            dead: 0,
            is_autovacuum_enabled: true,
            last_vacuum_at: None,
        }
    }
}
