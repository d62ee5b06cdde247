//! Changes that are refused: by whom, and with what words.

use serde_json::json;
use tokio_postgres::error::SqlState;

use super::{Stage, patched};
use crate::support::CommandOutput;

#[tokio::test]
async fn a_patch_says_what_it_is_and_names_only_settings() {
    let stage = Stage::new().await;
    for (kind, status) in
        [("application/merge-patch+json", 200), ("application/json; charset=utf-8", 200), ("text/plain", 415)]
    {
        assert_eq!(patched(&stage.api, kind, &json!({})).await.status, status, "{kind}");
    }
    for (body, status) in [
        (json!(null), 400),
        (json!([]), 400),
        (json!({ "topicz": null }), 400),
        (json!({ "state": "paused" }), 400),
        (json!({ "topics": "order.*" }), 400),
        (json!({ "url": null }), 422),
        (json!({ "url": "http://10.0.0.1/" }), 422),
        (json!({ "headers": { "host": "x" } }), 422),
        (json!({ "ordered": "yes" }), 400),
        (json!({ "on_failed": "stop" }), 422),
        (json!({ "secret": null }), 200),
    ] {
        let before = stage.row().await;

        let answered = stage.api.send("PATCH", "/v1/endpoints/one", &body).await;

        assert_eq!(answered.status, status, "{body}: {}", answered.text);
        stage.assert_changed(&before, &[], &body.to_string()).await;
    }
}

#[tokio::test]
async fn set_needs_an_endpoint_that_exists_and_proposes_the_nearest_name() {
    let stage = Stage::new().await;
    stage.database.put_endpoint("orders", "https://example.com/", "**", "").await;

    let typed =
        CommandOutput::run(&stage.database.url, &["endpoint", "set", "order", "--timeout", "5s"]).await;
    let asked = stage.api.send("PATCH", "/v1/endpoints/order", &json!({ "timeout": "5s" })).await;
    let in_sql =
        stage.database.refusal("select postrider.set_endpoint('order', '{\"timeout\": \"5s\"}')").await;

    assert_eq!(typed.code, Some(1));
    assert_eq!(typed.complaint(), "endpoint \"order\" does not exist, did you mean \"orders\"?");
    assert_eq!(asked.refused(), (404, "not_found".to_owned()));
    assert_eq!(in_sql.code(), &SqlState::NO_DATA_FOUND);
    for verb in ["show", "pause", "resume", "rotate-secret"] {
        let typed = CommandOutput::run(&stage.database.url, &["endpoint", verb, "order"]).await;
        assert!(typed.complaint().ends_with("did you mean \"orders\"?"), "{verb}: {}", typed.stderr);
    }
    assert!(stage.database.is("select count(*) = 2 from postrider.endpoint").await);
}

#[tokio::test]
async fn a_change_of_the_wrong_form_is_refused_by_its_name_and_not_shown() {
    let stage = Stage::new().await;
    let before = stage.row().await;
    for (changes, invalid) in [
        (r#"{"max_in_flight": "hush"}"#, "invalid max_in_flight"),
        (r#"{"timeout": "hush"}"#, "invalid timeout"),
        (r#"{"timeout": {"a": 1}}"#, "invalid timeout"),
        (r#"{"topics": "hush"}"#, "invalid topics"),
        (r#"{"topics": [null]}"#, "invalid topics"),
        (r#"{"ordered": "hush"}"#, "invalid ordered"),
        (r#"{"on_failed": "hush"}"#, "invalid on_failed"),
        (r#"{"headers": "hush"}"#, "invalid headers"),
        (r#"{"headers": {"x-a": {"hush": null}}}"#, "invalid headers"),
        (r#"{"secret": "hush"}"#, "invalid secret"),
        (r#"{"auth": {"type": "hush"}}"#, "invalid auth"),
        (r#"{"url": null}"#, "invalid url"),
        (r#"{"new_secret_if_created": null}"#, "unknown setting \"new_secret_if_created\""),
        (r#"{"state": "paused"}"#, "unknown setting \"state\""),
        ("[]", "invalid settings"),
        ("null", "invalid settings"),
    ] {
        let fault =
            stage.database.refusal(&format!("select postrider.set_endpoint('one', '{changes}')")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{changes}: {fault:?}");
        assert_eq!(fault.message(), format!("endpoint \"one\": {invalid}"), "{changes}");
        let told = [fault.message(), fault.detail().unwrap_or_default(), fault.hint().unwrap_or_default()];
        assert!(!told.concat().contains("hush"), "{changes}: {fault:?}");
    }
    stage.assert_changed(&before, &[], "refused").await;
}

#[tokio::test]
async fn a_login_and_a_header_that_logs_in_are_refused_together_whoever_came_first() {
    let stage = Stage::new().await;

    let with_auth =
        stage.api.send("PATCH", "/v1/endpoints/one", &json!({ "headers": { "authorization": "x" } })).await;
    stage.set(&json!({ "auth": null, "headers": { "authorization": "x" } })).await;
    let with_header = stage.command("set", &["--bearer-token", "hush"]).await;

    assert_eq!(with_auth.refused().0, 422);
    assert_eq!(with_header.code, Some(64), "{}", with_header.stdout);
    assert!(
        with_header.complaint().contains("authorization, which is what auth sends"),
        "{}",
        with_header.stderr
    );
}
