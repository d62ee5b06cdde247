//! `postrider dev` and databases of others: it uses one only if its own command line says so, touches nothing there but its own
//! endpoint and the events for it, and leaves nothing.

use futures_util::future::join_all;
use serde_json::json;

use super::dev::{dev, entries};
use crate::support::{
    CommandOutput, Database, Dispatcher, Folder, Receiver, RunningCommand, command, eventually, terminal,
};

/// Everything that a database holds, but the ids of deleted endpoints.
const CONTENTS: &str = "select jsonb_build_array(
    (select jsonb_agg(o order by o.id) from postrider.outbox as o),
    (select jsonb_agg(d order by d.id) from postrider.delivery as d),
    (select jsonb_agg(a order by a.delivery_id, a.attempt) from postrider.attempt as a),
    (select jsonb_agg(e order by e.endpoint_no) from postrider.endpoint as e where e.state <> 'deleted'),
    (select jsonb_agg(d order by d.id) from postrider.dispatcher as d),
    (select jsonb_agg(c order by c.id) from postrider.claim as c))::text";

/// An application's database: an endpoint that is subscribed to everything, an event that nobody has routed, and deliveries that
/// wait, that are complete and that failed.
async fn application() -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("customers", &receiver.url(), "**", "").await;
    database.insert_settled("customers", "order.created", "complete", 3).await;
    database.insert_settled("customers", "order.created", "failed", 2).await;
    let waiting = "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
                   select id, 1, 'pending', now() from postrider.outbox where topic = 'order.waits'";
    database.insert("order.waits", "{\"card\": \"4111\"}").await;
    database.execute("update postrider.outbox set status = 'in_progress', deliveries = 1, open_deliveries = 1, failed = 0 where topic = 'order.waits'").await;
    database.execute(waiting).await;
    database.insert("order.unrouted", "{\"card\": \"4111\"}").await;
    (database, receiver)
}

/// `postrider dev` on a database that its command line names.
fn on(database: &Database, flags: &[&str]) -> tokio::process::Command {
    let mut dev = command(&["dev", "--database-url", &database.url]);
    dev.args(flags);
    dev
}

/// The host, port and name in a URL of a test database.
fn place(database: &Database) -> (String, String) {
    let url = url::Url::parse(&database.url).unwrap();
    (url.port().unwrap().to_string(), url.path()[1..].to_owned())
}

#[tokio::test]
async fn dev_leaves_a_database_alone_that_the_environment_or_a_file_names() {
    let (database, receiver) = application().await;
    let before: String = database.value(CONTENTS).await;
    let (port, name) = place(&database);
    let password = url::Url::parse(&database.url).unwrap().password().unwrap_or_default().to_owned();
    let libpq = [
        ("PGHOST", "127.0.0.1"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGDATABASE", &name),
        ("PGUSER", "postgres"),
        ("PGPASSWORD", &password),
    ];
    let file = format!("database_url = \"{}\"\nmax_in_flight = 1\n", database.url);
    let trials: [(&str, Vec<(&str, &str)>); 4] = [
        ("DATABASE_URL", vec![("DATABASE_URL", &database.url)]),
        (
            "POSTRIDER_DATABASE_URL",
            vec![("POSTRIDER_DATABASE_URL", &database.url), ("POSTRIDER_LISTEN_DATABASE_URL", &database.url)],
        ),
        ("PGHOST, PGHOSTADDR, PGPORT, PGDATABASE", libpq.to_vec()),
        ("database_url in postrider.toml", vec![]),
    ];
    let runs = trials.iter().map(async |(named, variables)| {
        let folder = Folder::new();
        folder.write("postrider.toml", if variables.is_empty() { &file } else { "" });
        let mut dev = dev(&folder, &["--events", "1", "--every", "10ms"]);
        dev.envs(variables.iter().copied()).current_dir(folder.path());
        let output = CommandOutput::of(dev).await;

        let ignored = format!("ignored     {named}: dev uses a private database");
        assert!(output.stdout.contains(&ignored), "{named}: {output:?}");
        assert_eq!(
            (output.code, output.stdout.matches("200 verified evt_").count()),
            (Some(0), 1),
            "{output:?}"
        );
        assert_eq!(entries(&folder), 1, "{named}");
    });

    join_all(runs).await;

    assert_eq!((database.value::<String>(CONTENTS).await, receiver.count()), (before, 0));
}

#[tokio::test]
async fn dev_sends_nothing_of_a_named_database_and_leaves_it_as_it_was() {
    let (database, receiver) = application().await;
    let before: String = database.value(CONTENTS).await;

    let output = CommandOutput::of(on(&database, &["--yes", "--events", "3", "--every", "100ms"])).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.matches("200 verified evt_").count(), 3, "{}", output.stdout);
    assert!(!output.stdout.contains("4111"), "{}", output.stdout);
    assert_eq!((database.value::<String>(CONTENTS).await, receiver.count()), (before, 0));
}

#[tokio::test]
async fn dev_takes_nothing_away_from_a_dispatcher_of_the_application() {
    let (database, receiver) = application().await;
    database
        .put_endpoint("narrow", &receiver.url(), "narrow", "max_in_flight => 1, rate_limit => '1000/s'")
        .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;
    let mut running = RunningCommand::start(on(&database, &["--yes"]));
    running.line_after("stop ").await;

    for _ in 0..5 {
        database.insert("narrow", "{}").await;
    }
    database.until("select count(*) = 5 from postrider.delivery_status where endpoint_id = 'narrow' and status = 'complete'").await;

    // One of two dispatchers would have had no slot for it.
    assert!(running.stop("INT").await.success());
}

#[tokio::test]
async fn dev_prints_no_payload_but_its_own_samples() {
    let (database, _receiver) = application().await;
    let mut running = RunningCommand::start(on(&database, &["--yes", "--every", "1h"]));
    let first = running.line_after("200 verified ").await;

    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('dev.sample', '{\"card\": \"4111\"}', 'dev')",
        )
        .await;
    let second = running.line_after("200 verified ").await;

    assert!(first.ends_with("{\"sample\": 1}"), "{first}");
    assert!(second.ends_with(" dev.sample attempt 1  (not shown)"), "{second}");
    assert!(running.stop("TERM").await.success());
}

#[tokio::test]
async fn dev_asks_before_it_uses_a_database_with_endpoints_or_events() {
    let with_endpoint = Database::new().await;
    with_endpoint.put_endpoint("one", "https://example.com/", "**", "").await;
    let with_event = Database::new().await;
    with_event.insert("a", "{}").await;
    for (database, found) in
        [(with_endpoint, "has 1 endpoint and no events"), (with_event, "has 0 endpoints and events")]
    {
        let before: String = database.value(CONTENTS).await;

        let output = CommandOutput::of(on(&database, &["--events", "1"])).await;

        assert_eq!(output.code, Some(64), "{}", output.stdout);
        let complaint = output.complaint();
        assert!(complaint.starts_with("yes: is missing: ") && complaint.contains(found), "{complaint}");
        assert_eq!(database.value::<String>(CONTENTS).await, before);
    }
}

#[tokio::test]
async fn dev_takes_a_no_on_the_terminal_for_a_no() {
    let (database, receiver) = application().await;
    let before: String = database.value(CONTENTS).await;
    let args = ["dev", "--events", "1", "--every", "10ms", "--database-url", &database.url];
    for (answer, code, says) in [("n\n", Some(1), "nothing was done"), ("y\n", Some(0), "200 verified evt_")]
    {
        let Some(mut screen) = terminal(&database, &args, &[]).await else { return };
        screen.until("Go on? [y/N]").await;

        screen.press(answer).await;

        let (ended, shown) = screen.ended().await;
        assert_eq!(ended, code, "{shown}");
        assert!(shown.contains(says), "{shown}");
        assert_eq!((database.value::<String>(CONTENTS).await, receiver.count()), (before.clone(), 0));
    }
}

#[tokio::test]
async fn dev_does_not_replace_an_endpoint_of_its_name_that_is_somebody_elses() {
    let database = Database::new().await;
    database.put_endpoint("dev", "https://example.com/", "**", "description => 'the team''s'").await;
    let before: String = database.value(CONTENTS).await;

    let output = CommandOutput::of(on(&database, &["--yes", "--events", "1"])).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.complaint().starts_with("endpoint \"dev\" exists in this database"), "{}", output.stderr);
    assert_eq!(database.value::<String>(CONTENTS).await, before);
}

#[tokio::test]
async fn dev_leaves_nothing_in_a_named_database_whatever_signal_ends_it() {
    let (database, receiver) = application().await;
    let before: String = database.value(CONTENTS).await;
    for signal in ["INT", "TERM", "HUP"] {
        let mut running = RunningCommand::start(on(&database, &["--yes", "--every", "20ms"]));
        running.line_after("200 verified ").await;

        assert!(running.stop(signal).await.success(), "{signal}");

        assert_eq!(
            (database.value::<String>(CONTENTS).await, receiver.count()),
            (before.clone(), 0),
            "{signal}"
        );
    }
}

#[tokio::test]
async fn dev_leaves_nothing_in_a_named_database_when_it_fails() {
    let (database, _receiver) = application().await;
    let before: String = database.value(CONTENTS).await;
    // Its samples are refused.
    database
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'no samples'; end $$;
             create trigger refuse before insert on postrider.outbox for each row when (new.topic = 'dev.sample')
                 execute function refuse()",
        )
        .await;

    let output = CommandOutput::of(on(&database, &["--yes"])).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.complaint().contains("no samples"), "{}", output.stderr);
    assert_eq!(database.value::<String>(CONTENTS).await, before);
}

#[tokio::test]
async fn what_a_killed_dev_left_is_taken_away_by_the_next_one() {
    let (database, _receiver) = application().await;
    let before: String = database.value(CONTENTS).await;
    let folder = Folder::new();
    let start = |flags: &[&str]| {
        let mut dev = on(&database, flags);
        dev.env("TMPDIR", folder.path());
        dev
    };
    let mut running = RunningCommand::start(start(&["--yes", "--every", "10ms"]));
    running.line_after("200 verified ").await;
    let beside = CommandOutput::of(start(&["--yes", "--events", "1"])).await;
    assert!(beside.complaint().starts_with("postrider dev uses this database already"), "{}", beside.stderr);
    running.stop("KILL").await;
    assert!(database.is("select exists (select from postrider.outbox where topic = 'dev.sample')").await);

    let output = CommandOutput::of(start(&["--yes", "--events", "1", "--every", "10ms"])).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!((database.value::<String>(CONTENTS).await, entries(&folder)), (before, 0));
}

#[tokio::test]
async fn the_api_of_dev_on_a_named_database_is_closed_to_others() {
    let database = Database::new().await;
    let mut running = RunningCommand::start(on(&database, &[]));
    let dashboard = running.line_after("dashboard   http://").await;
    let (address, token_file) = dashboard.split_once("/, its token is in ").unwrap();

    let answered = crate::support::Api::at(address).get("/v1/endpoints").await;

    assert_eq!(answered.status, 401);
    let token_file = token_file.to_owned();
    assert!(running.stop("INT").await.success());
    eventually("the token is gone", || async { !std::path::Path::new(&token_file).exists() }).await;
    database.assert_row("select count(*) from postrider.endpoint_health", json!({"count": 0})).await;
}
