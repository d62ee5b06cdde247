//! What people see on a terminal, and programs do not: colours, shortened texts, a bar, a second screen, a question.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{CommandOutput, Database, RunningCommand, command, terminal};

const RED: &str = "\x1b[38;5;9m";
const GREEN: &str = "\x1b[38;5;10m";
const YELLOW: &str = "\x1b[38;5;11m";

#[tokio::test]
async fn words_of_a_status_are_coloured() {
    let database = database().await;
    database.insert_settled("one", "order.created", "complete", 1).await;
    database.insert_settled("one", "order.created", "failed", 1).await;
    for (args, colour, word) in [
        (&["delivery", "list", "--status", "failed"][..], RED, "failed"),
        (&["delivery", "list", "--status", "complete"], GREEN, "complete"),
        (&["endpoint", "list"], YELLOW, "paused"),
    ] {
        let Some(screen) = terminal(&database, args, &[]).await else { return };

        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(0), "{shown}");
        let (_, after) = shown.split_once(colour).unwrap_or_else(|| panic!("{args:?}: {shown:?}"));
        assert!(after.trim_start().starts_with(word), "{args:?}: {shown:?}");
    }
}

#[tokio::test]
async fn nothing_is_coloured_that_is_not_wanted_or_not_understood() {
    let database = database().await;
    for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let Some(screen) = terminal(&database, &["status"], &[env]).await else { return };

        let (_, shown) = screen.ended().await;

        assert!(shown.contains("paused"), "{env:?}: {shown:?}");
        assert!(!shown.contains('\x1b'), "{env:?}: {shown:?}");
    }
}

#[tokio::test]
async fn an_empty_no_color_wants_colours() {
    let database = database().await;
    let Some(screen) = terminal(&database, &["status"], &[("NO_COLOR", "")]).await else { return };

    let (_, shown) = screen.ended().await;

    assert!(shown.contains(YELLOW), "{shown:?}");
}

#[tokio::test]
async fn no_command_writes_escape_sequences_into_a_pipe() {
    let database = database().await;
    database.insert_settled("one", "order.created", "failed", 1).await;

    for args in [
        &["status"][..],
        &["endpoint", "list"],
        &["endpoint", "show", "one"],
        &["delivery", "list"],
        &["delivery", "show", "1"],
        &["event", "show", "1"],
        &["doctor"],
        &["config", "show"],
        &["replay", "one", "--since", "2h"],
        &["delivery", "retry", "--endpoint", "one"],
        &["--help"],
    ] {
        let output = CommandOutput::run(&database.url, args).await;

        assert!(!output.stdout.contains('\x1b') && !output.stderr.contains('\x1b'), "{args:?}: {output:#?}");
    }
}

#[tokio::test]
async fn a_long_url_is_shortened_to_the_width_of_the_terminal_and_an_id_is_not() {
    let database = Database::new().await;
    let (id, path) = ("i".repeat(64), "p".repeat(200));
    database.put_endpoint(&id, &format!("https://example.com/{path}"), "**", "").await;
    let Some(screen) = terminal(&database, &["endpoint", "list"], &[]).await else { return };

    let (_, on_terminal) = screen.ended().await;
    let in_pipe = CommandOutput::run(&database.url, &["endpoint", "list"]).await.stdout;

    assert!(on_terminal.contains(&id) && on_terminal.contains("..."), "{on_terminal}");
    assert!(!on_terminal.contains(&path), "{on_terminal}");
    assert!(in_pipe.contains(&id) && in_pipe.contains(&path), "{in_pipe}");
}

#[tokio::test]
async fn no_line_is_wider_than_the_terminal_if_shortening_can_help() {
    let database = Database::new().await;
    database.put_endpoint("one", &format!("https://example.com/{}", "p".repeat(200)), "**", "").await;
    database.insert_settled("one", "a", "failed", 1).await;
    database.execute("update postrider.delivery set last_error = repeat('e', 300)").await;
    for args in [["endpoint", "list"], ["delivery", "list"]] {
        let Some(screen) = terminal(&database, &args, &[("NO_COLOR", "1")]).await else { return };

        let (_, shown) = screen.ended().await;

        for line in shown.lines() {
            // 80 columns cannot hold the headings of all columns and more than a few letters of the long one.
            assert!(line.trim_end().chars().count() <= 105, "{args:?}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_replay_shows_how_far_it_is() {
    let database = database().await;
    database.insert_settled("one", "order.created", "complete", 2_500).await;
    let Some(mut screen) = terminal(&database, &["replay", "one", "--since", "2h"], &[]).await else {
        return;
    };

    screen.until("of 2500").await;
    let (code, shown) = screen.ended().await;

    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("2500 events are sent to one again"), "{shown}");
}

#[tokio::test]
async fn a_retry_shows_how_far_it_is() {
    let database = database().await;
    database.insert_settled("one", "order.created", "failed", 2_500).await;
    let args = ["delivery", "retry", "--endpoint", "one"];
    let Some(mut screen) = terminal(&database, &args, &[]).await else { return };

    screen.until("retrying").await;
    let (code, shown) = screen.ended().await;

    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("due now: 2500 deliveries"), "{shown}");
}

#[tokio::test]
async fn a_dumb_terminal_sees_no_bar() {
    let database = database().await;
    database.insert_settled("one", "order.created", "complete", 10).await;
    let args = ["replay", "one", "--since", "2h"];
    let Some(screen) = terminal(&database, &args, &[("TERM", "dumb")]).await else { return };

    let (_, shown) = screen.ended().await;

    assert_eq!(shown, "10 events are sent to one again\r\n");
}

#[tokio::test]
async fn watch_leaves_the_screen_as_it_was() {
    let database = database().await;
    let Some(mut screen) = terminal(&database, &["status", "--watch"], &[]).await else { return };
    screen.until("paused").await;

    screen.press("\x03").await;
    let (code, shown) = screen.ended().await;

    assert_eq!(code, Some(0), "{shown}");
    let (taken, given_back) = ("\x1b[?1049h", "\x1b[?1049l");
    assert!(shown.trim_start_matches("^C").starts_with(taken), "{shown:?}");
    assert!(shown.trim_end().ends_with(given_back), "{shown:?}");
}

#[tokio::test]
async fn watch_shows_what_has_changed() {
    let database = database().await;
    let Some(mut screen) = terminal(&database, &["status", "--watch"], &[]).await else { return };
    screen.until("paused").await;

    database
        .execute("select postrider.pause_endpoint('one'); update postrider.endpoint set state = 'disabled'")
        .await;

    screen.until("disabled").await;
}

#[tokio::test]
async fn watch_prints_one_object_per_line_for_programs() {
    let database = database().await;
    let mut watch = command(&["status", "--watch", "--json"]);
    watch.env("DATABASE_URL", &database.url);
    let mut watch = RunningCommand::start(watch);

    let first: Value = serde_json::from_str(&watch.line().await).unwrap();
    database.insert("order.created", "{}").await;
    let second: Value = serde_json::from_str(&watch.line().await).unwrap();

    assert_eq!((&first["backlog"]["unrouted"], &second["backlog"]["unrouted"]), (&0.into(), &1.into()));
    assert_eq!(first["endpoints"][0]["id"], "one");
    assert!(watch.stop("INT").await.success());
}

#[tokio::test]
async fn watch_ends_when_nobody_reads_any_more() {
    let database = database().await;
    for args in [&["status", "--watch"][..], &["status", "--watch", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut watch = command(args);
        watch.env("DATABASE_URL", &database.url).stdout(writer).stderr(Stdio::piped()).kill_on_drop(true);

        let child = watch.spawn().unwrap();
        let output =
            tokio::time::timeout(crate::support::DEADLINE, child.wait_with_output()).await.unwrap().unwrap();

        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[tokio::test]
async fn delete_asks_and_does_what_is_answered() {
    for (answer, is_deleted) in [("y", true), ("yes", true), ("n", false), ("", false)] {
        let database = database().await;
        let Some(mut screen) = terminal(&database, &["endpoint", "delete", "one"], &[]).await else { return };
        screen.until("[y/N]").await;

        screen.press(&format!("{answer}\r")).await;
        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(i32::from(!is_deleted)), "{answer}: {shown}");
        let gone = "select not exists (select from postrider.endpoint_health)";
        assert_eq!(database.is(gone).await, is_deleted, "{answer}: {shown}");
    }
}

#[tokio::test]
async fn put_and_set_ask_before_an_endpoint_gets_topics_that_it_did_not_get() {
    for (verb, answer, is_changed) in
        [("put", "y", true), ("put", "n", false), ("set", "yes", true), ("set", "", false)]
    {
        let database = subscribed().await;
        let args = ["endpoint", verb, "one", "--url", "https://example.com/", "--topics", "order.**"];
        let Some(mut screen) = terminal(&database, &args, &[]).await else { return };
        screen.until("one gets events of order.*, and would get more: order.**. Go on? [y/N]").await;

        screen.press(&format!("{answer}\r")).await;
        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(i32::from(!is_changed)), "{verb} {answer}: {shown}");
        let topics: Vec<String> = database.value("select topics from postrider.endpoint").await;
        assert_eq!(topics, [if is_changed { "order.**" } else { "order.*" }], "{verb} {answer}: {shown}");
        assert_eq!(shown.contains("topics: order.* -> order.**"), is_changed, "{verb} {answer}: {shown}");
    }
}

#[tokio::test]
async fn nobody_is_asked_where_no_new_topic_is_received_or_nobody_wants_to_be() {
    for more in [
        &["--topics", "order.created,order.paid"][..],
        &["--max-in-flight", "7"],
        &["--topics", "default", "--yes"],
    ] {
        let database = subscribed().await;
        let args = [&["endpoint", "set", "one"][..], more].concat();
        let Some(screen) = terminal(&database, &args, &[]).await else { return };

        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(0), "{more:?}: {shown}");
        assert!(shown.starts_with("one changed") && !shown.contains("[y/N]"), "{more:?}: {shown}");
    }
}

/// A database with an endpoint that subscribes to `order.*`.
async fn subscribed() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "order.*", "").await;
    database
}

#[tokio::test]
async fn list_says_on_a_terminal_that_there_are_more() {
    let database = database().await;
    database.insert_settled("one", "order.created", "failed", 3).await;
    let Some(screen) = terminal(&database, &["delivery", "list", "--limit", "2"], &[]).await else { return };

    let (_, shown) = screen.ended().await;

    assert!(shown.contains("There are more: --before 2"), "{shown}");
}

/// A database with a paused endpoint, `one`.
async fn database() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database
}
