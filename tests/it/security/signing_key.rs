//! `v1a`, the ed25519 signature beside the HMAC: receivers need no secret of ours to verify it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::{CommandOutput, Database, Dispatcher, Received, Receiver, one_endpoint};

/// Svix' own key (worker.rs, `test_asymmetric_key_signing`).
const KEY: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

#[tokio::test]
async fn every_request_is_signed_by_the_key_beside_the_secret() {
    let (database, receiver, _dispatcher) = one_endpoint(&format!("signing_key => '{KEY}'"), &[]).await;

    database.insert("order.created", "{\"a\":  \"ü\"}").await;
    let request = receiver.next().await;

    request.verify();
    assert!(verifies(&request, PUBLIC));
    database.assert_row("select public_key from postrider.endpoint", json!({"public_key": PUBLIC})).await;
}

#[tokio::test]
async fn a_changed_byte_does_not_verify() {
    let (database, receiver, _dispatcher) = one_endpoint(&format!("signing_key => '{KEY}'"), &[]).await;

    database.insert("order.created", "{}").await;
    let mut request = receiver.next().await;
    request.body = "{ }".into();

    assert!(!verifies(&request, PUBLIC));
}

#[tokio::test]
async fn a_key_is_made_on_request_and_only_its_public_half_is_shown() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let put =
        ["endpoint", "put", "one", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8", "--json"];
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    let output = CommandOutput::run(&database.url, &[&put[..], &["--signing-key", "new"]].concat()).await;
    let result: Value = serde_json::from_str(&output.stdout).unwrap();
    let public_key = result["public_key"].as_str().unwrap();
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, public_key));
    assert!(!output.stdout.contains("whsk_"), "{}", output.stdout);
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one", "--json"]).await;
    assert!(shown.stdout.contains(public_key) && !shown.stdout.contains("whsk_"), "{}", shown.stdout);
}

#[tokio::test]
async fn a_key_is_kept_unless_it_is_named_and_removed_by_none() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", &format!("signing_key => '{KEY}'")).await;

    database.put_endpoint("one", "https://example.com/other", "**", "").await;
    let kept = database.is("select signing_key is not null from postrider.endpoint").await;
    database.put_endpoint("one", "https://example.com/other", "**", "signing_key => 'none'").await;

    assert!(kept);
    database
        .assert_row(
            "select signing_key, public_key from postrider.endpoint",
            json!({"signing_key": null, "public_key": null}),
        )
        .await;
}

#[tokio::test]
async fn a_key_that_is_not_one_is_refused_without_being_shown() {
    let cut = KEY.trim_end_matches("vg==");
    for wrong in [cut, "whsk_aHVzaA==", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", ""] {
        let args = ["endpoint", "put", "one", "--url", "https://example.com/", "--signing-key", wrong];

        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

        assert_eq!(output.code, Some(64));
        assert!(
            output.complaint().starts_with("signing_key: needs whsk_ and base64 of 64 bytes"),
            "{}",
            output.stderr
        );
        assert!(wrong.is_empty() || !output.stderr.contains(wrong), "{}", output.stderr);
    }
}

/// As a receiver verifies it: over `id.timestamp.body`, with the public key alone.
fn verifies(request: &Received, public_key: &str) -> bool {
    let key = BASE64.decode(public_key.strip_prefix("whpk_").unwrap()).unwrap();
    let head = format!("{}.{}.", request.header("webhook-id"), request.header("webhook-timestamp"));
    let signed = [head.as_bytes(), &request.body].concat();
    let signatures = request.header("webhook-signature").split(' ').filter_map(|s| s.strip_prefix("v1a,"));
    let verified = signatures
        .map(|signature| BASE64.decode(signature).unwrap())
        .map(|signature| UnparsedPublicKey::new(&ED25519, &key).verify(&signed, &signature).is_ok());
    verified.collect::<Vec<_>>() == [true]
}
