//! What strangers wrote on its way to a terminal: shown by every command and every log, obeyed by none.

use serde_json::Value;

use crate::support::{
    Api, CommandOutput, Database, Dispatcher, Receiver, RunningCommand, command, eventually, get, terminal,
};

/// The title of a window, the same by C1, an isolate from right to left, a mark, a line end, and a tag.
const HOSTILE: &str = "a\u{1b}]0;b\u{7}\u{9d}c\u{2067}d\u{200f}e\u{2028}f\u{e0061}g";
/// As it is shown; in a database's text no NUL can stand.
const SHOWN: &str = r"a\u{1b}]0;b\u{7}\u{9d}c\u{2067}d\u{200f}e\u{2028}f\u{e0061}g";

#[tokio::test]
async fn no_command_obeys_what_a_stranger_wrote() {
    let database = database().await;
    for (args, is_shown) in [
        (&["event", "show", "1"][..], true),
        (&["event", "show", "1", "--json"], false),
        (&["delivery", "show", "1"], true),
        (&["delivery", "show", "1", "--json"], false),
        (&["delivery", "list"], true),
        (&["delivery", "list", "--json"], false),
        (&["endpoint", "list"], false),
        (&["endpoint", "list", "--json"], false),
        (&["endpoint", "show", "one"], true),
        (&["endpoint", "show", "one", "--json"], false),
        (&["endpoint", "test", "one"], true),
        (&["endpoint", "show", HOSTILE], true),
        (&["endpoint", "pause", HOSTILE], true),
        (&["publish", HOSTILE, "1"], false),
        (&["delivery", "retry", HOSTILE], false),
        (&["status"], true),
        (&["status", "--json"], false),
        (&["doctor"], false),
        (&["doctor", "--json"], false),
        (&[HOSTILE], false),
        (&["event", HOSTILE], false),
        (&["config", "show", "--cloudevents-source", HOSTILE], false),
        (&["--config", HOSTILE, "status"], false),
    ] {
        let output = CommandOutput::run(&database.url, args).await;

        let all = format!("{}{}", output.stdout, output.stderr);
        assert_none_is_obeyed(&format!("{args:?}"), &all);
        assert!(!is_shown || all.contains(SHOWN), "{args:?}: {output:#?}");
        if args.contains(&"--json") {
            assert!(!output.json().is_null(), "{args:?}");
        }
    }
    let shown = CommandOutput::run(&database.url, &["event", "show", "1", "--json"]).await.json();
    assert_eq!((&shown["key"], &shown["payload"]["\u{202e}"]), (&HOSTILE.into(), &"\u{7f}\u{202d}".into()));
}

#[tokio::test]
async fn a_terminal_gets_our_colours_and_nothing_of_a_strangers() {
    let database = database().await;
    for args in [
        &["endpoint", "list"][..],
        &["event", "show", "1"],
        &["event", "show", "1", "--json"],
        &["delivery", "list"],
    ] {
        let Some(screen) = terminal(&database, args, &[]).await else { return };

        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(0), "{shown:?}");
        for c in ["\u{1b}]", "\u{9d}", "\u{2067}", "\u{200f}", "\u{2028}", "\u{e0061}", "\u{202d}"] {
            assert!(!shown.contains(c), "{args:?} {c:?}: {shown:?}");
        }
    }
}

#[tokio::test]
async fn receive_shows_a_body_in_one_line_whoever_sends_it() {
    for flags in [&[][..], &["--json"]] {
        let mut receive = command(&["receive", "--listen", "127.0.0.1:0"]);
        receive.args(flags);
        let mut receive = RunningCommand::start(receive);
        let address = receive.line().await.trim_start_matches("listening on http://").to_owned();
        let api = Api::at(&address);

        let posted = api
            .request("POST", "/")
            .body(format!("{HOSTILE}\r\n200 verified - - attempt -  forged\n"))
            .send()
            .await;
        let line = receive.line().await;

        assert!(posted.unwrap().status().is_success());
        assert_none_is_obeyed("receive", &line);
        assert!(line.contains("forged"), "{line}");
        if flags.is_empty() {
            assert!(line.contains(SHOWN) && line.contains(r"g\r\n200 verified"), "{line}");
        } else {
            let received: Value = serde_json::from_str(&line).unwrap();
            assert!(received["body"].as_str().unwrap().starts_with(HOSTILE), "{line}");
        }
    }
}

#[tokio::test]
async fn no_line_of_a_log_obeys_what_a_stranger_wrote() {
    for format in ["text", "json"] {
        let (database, receiver) = (Database::new().await, Receiver::start().await);
        database.put_endpoint("one", &receiver.url(), "**", "").await;
        let sql = format!(
            "create function public.refuse() returns trigger language plpgsql as
             $$ begin raise exception 'no%forged', E'{HOSTILE}\\n'; end $$;
             create trigger refuse after insert on postrider.delivery for each row execute function public.refuse()"
        );
        database.execute(&sql).await;
        let dispatcher = Dispatcher::start(&database, &["--log-format", format]).await;

        database.insert("order.created", "{}").await;
        dispatcher.logged("forged").await;

        let log = dispatcher.log();
        assert_none_is_obeyed(format, &log);
        let line = log.lines().find(|line| line.contains("forged")).unwrap();
        if format == "json" {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["message"].as_str().unwrap().contains('\u{2067}'), "{line}");
        } else {
            assert!(line.contains(r"c\u{2067}d\u{200f}e\u{2028}f\u{e0061}g"), "{line}");
        }
        // It still works for those who ask it.
        eventually("it answers", || async {
            get(&format!("http://{}/healthz", dispatcher.api().await)).await.status().is_success()
        })
        .await;
    }
}

/// An event with a delivery to the paused endpoint `one`, and hostile texts wherever strangers may write some.
async fn database() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", 1).await;
    let write = [
        "update postrider.outbox set key = $1, idempotency_key = $1",
        "update postrider.delivery set last_error = $1",
        "update postrider.attempt set error = $1, response_excerpt = $1 || E'\\n' || $1",
        "update postrider.endpoint set url = 'https://example.com/' || translate($1, E'\\x1b\\x07', '')",
        "select postrider.pause_endpoint('one', $1)",
        "insert into postrider.dispatcher (host, version, lease_until, wake_mode, wake_reason)
         values ($1, $1, now() + interval '1 h', 'poll', $1)",
    ];
    for sql in write {
        database.client.execute(sql, &[&HOSTILE]).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    }
    let payload = "{\"\u{202e}\":\r\"\u{7f}\u{202d}\"}";
    database
        .client
        .execute("update postrider.outbox set payload = $1::text::json", &[&payload])
        .await
        .unwrap();
    database
}

/// Line ends and tabs are ours.
fn assert_none_is_obeyed(what: &str, text: &str) {
    let is_obeyed = |c: &char| {
        (c.is_control() && !['\n', '\t'].contains(c))
            || ('\u{200b}'..='\u{200f}').contains(c)
            || ('\u{2028}'..='\u{202e}').contains(c)
            || ('\u{2060}'..='\u{206f}').contains(c)
            || ('\u{e0000}'..='\u{e0fff}').contains(c)
    };
    assert_eq!(text.chars().find(is_obeyed), None, "{what}: {text:?}");
}
