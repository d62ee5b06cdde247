//! The words `default` and `none`.

use serde_json::Value;

use super::{Stage, lines};

#[tokio::test]
async fn the_word_default_gives_the_default_on_the_command_line() {
    let stage = Stage::new().await;
    for (flags, name, told) in [
        (["--topics", "default"], "topics", "topics: order.* -> **"),
        (["--rate-limit", "default"], "rate_limit", "rate_limit: 50/s -> none"),
        (["--max-in-flight", "default"], "max_in_flight", "max_in_flight: 7 -> 64"),
        (["--timeout", "default"], "timeout", "timeout: 3s -> default"),
        (["--retry-schedule", "default"], "retry_schedule", "retry_schedule: 1s,1h30m -> default"),
        (["--on-failed", "default"], "on_failed", "on_failed: continue -> block"),
        (["--header", "default"], "headers", "headers: X-One removed, x-two removed"),
        (["--format", "default"], "format", "format: cloudevents-binary -> webhook"),
        (["--description", "default"], "description", "description: \"Orders team\" -> none"),
        (["--signing-key", "default"], "signing_key", "signing_key: removed"),
        (["--ca-file", "default"], "ca_certificates", "ca_certificates: removed"),
        (["--client-certificate-file", "default"], "client_certificate", "client_certificate: removed"),
    ] {
        let before = stage.row().await;

        let output = stage.command("set", &flags).await;

        assert_eq!(lines(&output.json()["changes"]), [told], "{flags:?}");
        stage.assert_changed(&before, &[name, "public_key"], name).await;
    }
    let ordered = stage.command("set", &["--ordered=default"]).await;
    assert_eq!(lines(&ordered.json()["changes"]), ["ordered: true -> false"]);
    let beside_others = stage.command("set", &["--topics", "default,order.*"]).await;
    assert_eq!(beside_others.code, Some(64), "{}", beside_others.stderr);
    assert_eq!(stage.command("set", &["--secret", "default"]).await.json()["result"], "unchanged");
}

#[tokio::test]
async fn the_word_none_removes_what_an_endpoint_need_not_have() {
    for flags in [["--rate-limit", "none"], ["--ca-file", "none"], ["--signing-key", "none"]] {
        let stage = Stage::new().await;

        let output = stage.command("put", &[&["--url", &stage.receiver.url()][..], &flags].concat()).await;

        assert_eq!(lines(&output.json()["changes"]).len(), 1, "{flags:?}: {}", output.stdout);
    }
    let stage = Stage::new().await;
    let url = stage.receiver.url();
    stage
        .database
        .execute(&format!("select postrider.put_endpoint('one', '{url}', rate_limit => 'none')"))
        .await;
    assert_eq!(stage.row().await["rate_limit"], Value::Null);
}
