//! Every kind of hostile receiver of a table (R1 to R26), and what is recorded of an attempt on it. All of them beside each
//! other at one dispatcher, with one that is well.

mod http2;
mod kinds;
mod trial;

use kinds::kinds;
use trial::{Started, Trial};

use crate::project::promises_named::{exists, tests_named};
use crate::support::{Authority, Database, Dispatcher, Receiver, SECRET, command};

/// Sent with every event, and not shown by the log of attempts.
const TOKEN: &str = "token-of-the-event-0123";

/// A row of the list that the suite was written from.
struct Kind {
    number: &'static str,
    /// What such receivers do, each of them.
    trials: Vec<Trial>,
    /// Why ours is another outcome than the list's, or where it is tested; empty: nothing to add.
    note: &'static str,
}

#[tokio::test]
async fn every_kind_of_hostile_receiver_has_its_outcome() {
    let database = Database::new().await;
    let authority = Authority::new();
    let mut started = Vec::new();
    for kind in kinds() {
        for (place, trial) in kind.trials.into_iter().enumerate() {
            started
                .push(Started::start(format!("{}-{place}", kind.number), trial, &database, &authority).await);
        }
    }
    let well = Receiver::start().await;
    database.put_endpoint("well", &well.url(), "", "").await;
    let mut dispatcher = start(&database, &authority);

    let events: usize = started.iter().map(|started| started.trial.events).sum();
    for round in 0.. {
        let ids: Vec<&str> =
            started.iter().filter(|s| round < s.trial.events).map(|s| s.id.as_str()).collect();
        if ids.is_empty() {
            break;
        }
        insert(&database, &ids).await;
    }
    insert(&database, &["well"]).await;
    database.until(&format!("select count(*) = {} from postrider.attempt_log", events + 1)).await;
    database.until("select count(*) = 1 from postrider.endpoint_health where state <> 'enabled'").await;
    insert(&database, &["well"]).await;
    database
        .until("select count(*) = 2 from postrider.delivery_status where endpoint_id = 'well' and status = 'complete'")
        .await;

    let mut wrong = Vec::new();
    for started in &started {
        wrong.extend(started.judge(&database).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(dispatcher.has_ended(), None);
    let log = dispatcher.log();
    assert!(!log.contains("panicked") && !log.contains(TOKEN) && !log.contains(SECRET), "{log}");
}

#[test]
fn no_kind_is_left_out() {
    let kinds = kinds();
    let numbers: Vec<&str> = kinds.iter().map(|kind| kind.number).collect();
    let all: Vec<String> = (1..=26).map(|number| format!("R{number}")).collect();

    assert_eq!(numbers, all);
    for Kind { number, trials, note } in kinds {
        assert!(!trials.is_empty() || !note.is_empty(), "{number}");
        for name in tests_named(note) {
            assert!(exists(&name), "{number}: {name}");
        }
    }
}

/// A dispatcher with the deadlines of an operator who names none: on a busy machine, too, only those receivers take too long
/// that mean to.
fn start(database: &Database, authority: &Authority) -> Dispatcher {
    let mut run = command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8,::1/128"]);
    run.args(["--api-listen", "127.0.0.1:0"]).env("DATABASE_URL", &database.url);
    run.env("SSL_CERT_FILE", authority.file()).env_remove("SSL_CERT_DIR");
    Dispatcher::of(run)
}

async fn insert(database: &Database, destinations: &[&str]) {
    let sql = "insert into postrider.outbox (topic, payload, headers, destination)
               select 'order.created', '{}', jsonb_build_object('x-token', $1::text), d from unnest($2::text[]) as d";
    database.client.execute(sql, &[&TOKEN, &destinations]).await.unwrap();
}
