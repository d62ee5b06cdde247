//! Secrets at rest: with a key they stand sealed in the database, and nothing else changes.

use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::{CommandOutput, Database, Dispatcher, Received, Receiver, SECRET};

/// Base64 of 32 bytes each.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const NEW_SECRET: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";
const WITH_KEY: [&str; 2] = ["--encryption-key", KEY];
/// Every secret that an endpoint can have, as SQL users name them.
const ALL_SECRETS: &str = r#"signing_key => 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==',
    auth => '{"type": "bearer", "token": "hushhush"}'"#;
/// Whether nothing that is secret stands in the clear.
const ALL_SEALED: &str = "select bool_and(s.secret like 'sealed:%')
    from (select unnest(array[secret, signing_key, auth, client_certificate]) as secret from postrider.endpoint
          union all select secret from postrider.old_secret) as s where s.secret is not null";

#[tokio::test]
async fn what_sql_users_put_is_sealed_soon_and_signs_as_before() {
    let (database, receiver) = endpoint(ALL_SECRETS).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW_SECRET}')")).await;
    let _dispatcher = Dispatcher::start(&database, &WITH_KEY).await;

    database.until(ALL_SEALED).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, SECRET) && verifies(&request, NEW_SECRET));
    assert!(request.header("webhook-signature").contains(" v1a,"));
    assert_eq!(request.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn what_is_put_by_command_never_stands_in_the_clear() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = receiver.url();
    let put = ["endpoint", "put", "one", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8"];
    let put =
        [&put[..], &WITH_KEY, &["--bearer-token", "hushhush", "--signing-key", "new", "--json"]].concat();

    let created: Value = serde_json::from_str(&CommandOutput::run(&database.url, &put).await.stdout).unwrap();
    let is_sealed = database.is(ALL_SEALED).await;
    let _dispatcher = Dispatcher::start(&database, &WITH_KEY).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(is_sealed);
    assert!(verifies(&request, created["secret"].as_str().unwrap()));
    assert_eq!(request.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn the_same_call_twice_changes_nothing_although_it_would_be_sealed_differently() {
    let (database, receiver) = endpoint("").await;
    let url = receiver.url();
    let put = ["endpoint", "put", "one", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8"];
    let put = [&put[..], &WITH_KEY, &["--secret", NEW_SECRET, "--bearer-token", "hushhush"]].concat();

    let first = CommandOutput::run(&database.url, &put).await.stdout;
    let second = CommandOutput::run(&database.url, &put).await.stdout;

    assert_eq!(
        (first.as_str(), second.as_str()),
        ("one changed\nauth: added\nsecret: changed\n", "one unchanged\n")
    );
}

#[tokio::test]
async fn a_secret_is_rotated_without_a_gap_and_without_standing_in_the_clear() {
    let (database, receiver) = endpoint("").await;
    let _dispatcher = Dispatcher::start(&database, &WITH_KEY).await;
    database.until(ALL_SEALED).await;

    let rotate = [&["endpoint", "rotate-secret", "one", "--json"][..], &WITH_KEY].concat();
    let rotated: Value =
        serde_json::from_str(&CommandOutput::run(&database.url, &rotate).await.stdout).unwrap();
    assert!(database.is(ALL_SEALED).await);
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    assert!(verifies(&request, SECRET) && verifies(&request, rotated["secret"].as_str().unwrap()));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_waits_and_holds_up_no_other() {
    let (database, receiver) = endpoint("").await;
    seal(&database, &[KEY]).await;
    let other = Receiver::start().await;
    database.put_endpoint("other", &other.url(), "**", "").await;
    let wrong = Dispatcher::start(&database, &["--encryption-key", OTHER_KEY]).await;

    database.insert("order.created", "{}").await;
    other.next().await;
    wrong.logged("the secrets of 1 endpoints cannot be read here").await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'complete'").await;
    database
        .assert_row(
            "select status, attempts from postrider.delivery_status where endpoint_id = 'one'",
            json!({"status": "pending", "attempts": 0}),
        )
        .await;
    assert!(wrong.log().contains("\"one\""), "{}", wrong.log());
    assert!(wrong.terminate().await.success());
    let _right = Dispatcher::start(&database, &["--encryption-key", &format!("{OTHER_KEY},{KEY}")]).await;

    assert!(verifies(&receiver.next().await, SECRET));
}

#[tokio::test]
async fn what_is_moved_to_another_endpoint_does_not_open() {
    let (database, _receiver) = endpoint("").await;
    database.put_endpoint("other", "https://example.com/", "**", "").await;
    seal(&database, &[KEY]).await;

    database
        .execute("update postrider.endpoint set secret = (select secret from postrider.endpoint where id = 'other') where id = 'one'")
        .await;
    let dispatcher = Dispatcher::start(&database, &WITH_KEY).await;
    database.insert("order.created", "{}").await;

    dispatcher.logged("\"one\" has one that is sealed with key").await;
    dispatcher.logged("damaged").await;
}

#[tokio::test]
async fn a_new_key_takes_the_place_of_the_old_one() {
    let (database, receiver) = endpoint(ALL_SECRETS).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW_SECRET}')")).await;

    assert!(seal(&database, &[KEY]).await.starts_with("4 secrets sealed with key "));
    assert!(seal(&database, &[KEY]).await.starts_with("0 secrets sealed with key "));
    assert!(seal(&database, &[OTHER_KEY, KEY]).await.starts_with("4 secrets sealed with key "));
    let _dispatcher = Dispatcher::start(&database, &["--encryption-key", OTHER_KEY]).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, SECRET) && verifies(&request, NEW_SECRET));
}

#[tokio::test]
async fn sealing_names_what_no_key_opens() {
    let (database, _receiver) = endpoint("").await;
    seal(&database, &[KEY]).await;

    let output = CommandOutput::run(&database.url, &["secret", "seal", "--encryption-key", OTHER_KEY]).await;

    assert_eq!(output.code, Some(1));
    assert!(
        output.complaint().starts_with("endpoint \"one\": a secret is sealed with key "),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn doctor_names_what_a_dispatcher_could_not_read() {
    let (database, _receiver) = endpoint("").await;
    seal(&database, &[KEY]).await;
    let secrets = async |more: &[&str]| {
        let run = CommandOutput::run(&database.url, &[&["doctor", "--json"][..], more].concat()).await.stdout;
        let checks: Value = serde_json::from_str(&run).unwrap();
        let checks = checks["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "secrets").unwrap().clone()
    };

    let (without, with) = (secrets(&[]).await, secrets(&WITH_KEY).await);

    assert_eq!((&without["result"], &with["result"]), (&"fail".into(), &"ok".into()));
    assert!(without["message"].as_str().unwrap().contains("one (sealed with key "), "{without}");
}

#[tokio::test]
async fn without_a_key_nothing_is_sealed() {
    let (database, _receiver) = endpoint("").await;

    let output = CommandOutput::run(&database.url, &["secret", "seal"]).await;

    assert_eq!(output.code, Some(64));
    assert!(output.complaint().starts_with("encryption_key_file: is missing"), "{}", output.stderr);
}

#[tokio::test]
async fn a_new_key_is_one_and_another_each_time() {
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let first = CommandOutput::run(nowhere, &["secret", "new-key"]).await.stdout;
    let second = CommandOutput::run(nowhere, &["secret", "new-key"]).await.stdout;
    let (database, _receiver) = endpoint("").await;

    assert_ne!(first, second);
    assert!(seal(&database, &[first.trim()]).await.starts_with("1 secret sealed with key "));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_shown_to_nobody() {
    for (flag, text) in [("--encryption-key", "hush"), ("--encryption-key-file", "/does/not/exist")] {
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", flag, text]).await;

        assert_eq!(output.code, Some(64));
        let name = flag.trim_start_matches('-').replace('-', "_");
        assert!(output.complaint().starts_with(&format!("{name}: ")), "{}", output.stderr);
        assert!(!output.stderr.contains("hush"), "{}", output.stderr);
    }
    let shown = CommandOutput::run(
        "postgres://nobody@127.0.0.1:1/nothing",
        &["config", "show", "--encryption-key", KEY],
    )
    .await;
    assert!(shown.stdout.contains("encryption_key") && !shown.stdout.contains(KEY), "{}", shown.stdout);
}

/// An endpoint `one` with the secret of the tests, and its receiver.
async fn endpoint(more: &str) -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", more).await;
    (database, receiver)
}

/// What `postrider secret seal` prints; the first key seals.
async fn seal(database: &Database, keys: &[&str]) -> String {
    let output =
        CommandOutput::run(&database.url, &["secret", "seal", "--encryption-key", &keys.join(",")]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(database.is(ALL_SEALED).await);
    output.stdout
}

fn verifies(request: &Received, secret: &str) -> bool {
    Webhook::new(secret).unwrap().verify(&request.body, &request.headers).is_ok()
}
