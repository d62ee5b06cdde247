//! Logs: one line per lifecycle event, none per delivery, as text or as JSON.

use serde_json::Value;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, command, one_endpoint};

#[tokio::test]
async fn a_delivery_leaves_no_line_in_the_log() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(500, &[], b"");
    database.insert("a", "{}").await;
    database.until_settled().await;
    // The endpoint failed and recovered; that is told.
    dispatcher.logged("answers again").await;
    let before = dispatcher.log().lines().count();

    database.insert_many("order.created", 200).await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 202);
    let log = dispatcher.log();
    assert_eq!(log.lines().count(), before, "{log}");
}

#[tokio::test]
async fn every_line_of_the_json_log_is_an_object_with_time_level_and_message() {
    let (database, _receiver, dispatcher) = one_endpoint("", &["--log-format", "json"]).await;
    database.insert("a", "{}").await;
    database.until_settled().await;

    dispatcher.signal("TERM").await;
    dispatcher.logged("stopped").await;

    let log = dispatcher.log();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(entry[field].is_string(), "{field}: {line}");
        }
    }
}

#[tokio::test]
async fn an_attempt_is_told_at_debug_with_its_fields_and_without_payload() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let flags = ["--log-format", "json", "--log", "postrider=debug"];
    let dispatcher = Dispatcher::start(&database, &flags).await;

    database.insert("a", r#"{"hunter": 2}"#).await;
    dispatcher.logged("attempt ended").await;

    let log = dispatcher.log();
    let line = log.lines().find(|line| line.contains("attempt ended")).unwrap();
    let entry: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&entry["endpoint.id"], &entry["attempt"], &entry["status_code"]),
        (&"one".into(), &1.into(), &200.into())
    );
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_watches_has_no_colours() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;

    dispatcher.logged("runs, schema version").await;

    assert!(!dispatcher.log().contains('\x1b'), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    for format in ["text", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut run =
            command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
        run.args(["--log", "trace", "--log-format", format]).env("DATABASE_URL", &database.url);

        let mut child = run.stderr(writer).kill_on_drop(true).spawn().unwrap();
        database.insert("order.created", "{}").await;

        receiver.next().await;
        database.until_settled().await;
        assert_eq!(child.try_wait().unwrap(), None, "{format}");
    }
}

#[tokio::test]
async fn another_log_format_is_refused() {
    let output = CommandOutput::of(command(&["migrate", "--print", "--log-format", "xml"])).await;

    // Nothing of the settings is needed to print, but a wrong one is not passed over where they are.
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let output =
        CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--log-format", "xml"]).await;
    assert_eq!(output.code, Some(64));
    assert_eq!(output.complaint(), "log_format: needs text or json, got \"xml\"");
}
