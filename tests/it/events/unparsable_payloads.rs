//! Payloads that no parser of PostgreSQL takes: the caller hears why, the log hears nothing, and no word of them is shown.

use serde_json::json;

use crate::support::{Api, CommandOutput, Database, Dispatcher, command};

const WORD: &str = "HUNTER2";

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_refused_with_the_reason_and_not_warned_of() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let deep =
        |(open, close): (&str, &str)| format!("{}\"{WORD}\"{}", open.repeat(100_000), close.repeat(100_000));

    for nesting in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":["#, "]}]")] {
        let body = format!("{{\"payload\": {}}}", deep(nesting));
        let answered = api.send_text("POST", "/v1/topics/a.b/events", &body).await;
        let mut publish = command(&["publish", "a.b", "-"]);
        publish.env("DATABASE_URL", &database.url);
        let published = CommandOutput::with_input(publish, deep(nesting).as_bytes()).await;

        assert_eq!(answered.refused(), (422, "invalid_argument".to_owned()));
        for said in [&answered.text, &published.stderr] {
            assert!(said.contains("nested deeper than the server's max_stack_depth allows"), "{said}");
            assert!(!said.contains(WORD), "{said}");
        }
        assert_eq!(published.code, Some(64));
    }
    let in_headers = format!("{{\"payload\": 1, \"headers\": {{\"x\": {}}}}}", deep(("[", "]")));
    let answered = api.send_text("POST", "/v1/topics/a.b/events", &in_headers).await;

    assert!((400..500).contains(&answered.status) && !answered.text.contains(WORD), "{answered:?}");
    assert!(!dispatcher.log().contains("WARN") && !dispatcher.log().contains(WORD), "{}", dispatcher.log());
    assert_eq!(database.value::<i64>("select count(*) from postrider.outbox").await, 0);
}

#[tokio::test]
async fn what_is_not_json_is_refused_without_a_word_of_it() {
    let database = Database::new().await;
    for payload in [
        "{HUNTER2".to_owned(),
        r#"{"a": HUNTER2}"#.to_owned(),
        r#"["HUNTER2]"#.to_owned(),
        r#""\uD8HUNTER2""#.to_owned(),
        "{\"a\": 1} HUNTER2".to_owned(),
        "\"HUNTER2\n\"".to_owned(),
    ] {
        let output = CommandOutput::run(&database.url, &["publish", "a.b", &payload]).await;

        assert_eq!(
            (output.code, output.complaint()),
            (Some(64), "invalid input syntax for type json"),
            "{payload}"
        );
    }
    let mut publish = command(&["publish", "a.b", "-"]);
    publish.env("DATABASE_URL", &database.url);
    let output = CommandOutput::with_input(publish, b"\"HUNTER2 \xff\"").await;

    assert_eq!((output.code, output.complaint()), (Some(1), "payload: stdin needs JSON in UTF-8"));
}

#[tokio::test]
async fn a_value_that_a_trigger_of_somebody_else_cannot_read_is_named_without_it() {
    let database = Database::new().await;
    database
        .execute(
            "create function public.read() returns trigger language plpgsql as
             $$ begin perform (new.payload ->> 'at')::timestamptz, (new.payload ->> 'n')::int; return new; end $$;
             create trigger read before insert on postrider.outbox for each row execute function public.read()",
        )
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for payload in [json!({ "at": WORD }), json!({ "n": WORD }), json!({ "n": format!("{WORD}\" \"") })] {
        let answered = api.send("POST", "/v1/topics/a.b/events", &json!({ "payload": payload })).await;

        assert_eq!(answered.status, 422, "{answered:?}");
        assert!(answered.text.contains("invalid input syntax for type"), "{answered:?}");
        assert!(!answered.text.contains(WORD) && !dispatcher.log().contains(WORD), "{answered:?}");
    }
}
