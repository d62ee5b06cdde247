//! Secrets at rest belong to one endpoint, one field and, what logs in, one host: moved elsewhere they open for nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Authority, CommandOutput, Database, Dispatcher, Receiver, SECRET, skip};

const KEY_BYTES: [u8; 32] = [1; 32];
/// The same, in base64.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const WITH_KEY: [&str; 2] = ["--encryption-key", KEY];
const OTHER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const LOGIN: &str = r#"auth => '{"type": "bearer", "token": "hushhush"}'"#;
const SIGNING_KEY: &str = "signing_key => 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='";

/// An endpoint `one` with everything that is secret, sealed, and a stranger's receiver.
struct Stage {
    database: Database,
    receiver: Receiver,
    strangers: Receiver,
}

impl Stage {
    async fn new() -> Self {
        let stage = Self {
            database: Database::new().await,
            receiver: Receiver::start().await,
            strangers: Receiver::start().await,
        };
        let certificate = Authority::new().client_pem();
        let more = format!("{LOGIN}, {SIGNING_KEY}, client_certificate => '{certificate}'");
        stage.database.put_endpoint("one", &stage.receiver.url(), "**", &more).await;
        stage.seal(&[]).await;
        stage
    }

    /// What `postrider secret seal` comes to.
    async fn seal(&self, more: &[&str]) -> CommandOutput {
        CommandOutput::run(&self.database.url, &[&["secret", "seal"][..], &WITH_KEY, more].concat()).await
    }

    /// A dispatcher sends nothing for `one`, says that it cannot read it, and goes on with another endpoint.
    async fn assert_left_alone(&self, what: &str, why: &str) {
        let other = Receiver::start().await;
        self.database.put_endpoint("other", &other.url(), "**", "").await;
        let dispatcher = Dispatcher::start(&self.database, &WITH_KEY).await;
        self.database.insert("order.created", "{}").await;

        other.next().await;
        dispatcher.logged("\"one\" has one that is sealed with key ").await;
        assert!(dispatcher.log().contains(why), "{what}: {}", dispatcher.log());
        let untouched = "select status = 'pending' and attempts = 0 from postrider.delivery_status where endpoint_id = 'one'";
        self.database.until(untouched).await;
        assert_eq!((self.strangers.count(), self.receiver.count()), (0, 0), "{what}");
        let checks =
            CommandOutput::run(&self.database.url, &[&["doctor", "--json"][..], &WITH_KEY].concat()).await;
        let checks = checks.json();
        let secrets = checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == "secrets");
        let says = secrets.unwrap()["message"].as_str().unwrap();
        assert!(says.contains("one (sealed with key "), "{what}: {says}");
    }

    async fn put(&self, url: &str, more: &[&str]) -> CommandOutput {
        let put = ["endpoint", "put", "one", "--url", url, "--allow-http", "--allow-cidr", "127.0.0.0/8"];
        CommandOutput::run(&self.database.url, &[&put[..], &WITH_KEY, more].concat()).await
    }
}

#[tokio::test]
async fn a_sealed_login_that_is_moved_to_another_host_is_sent_to_nobody() {
    let named =
        "auth => (select auth from postrider.endpoint where id = 'one'), client_certificate => 'none'";
    let ways = [
        // As its owner could do it, who need not know what is sealed.
        format!("select postrider.put_endpoint('one', 'URL/', '{{**}}', {named})"),
        // As whoever may write the table could.
        "update postrider.endpoint set url = 'URL/'".to_owned(),
        "update postrider.endpoint set url = 'URL/', auth = null".to_owned(),
        format!("select postrider.delete_endpoint('one'); select postrider.put_endpoint('one', 'URL/', '{{**}}', {LOGIN});
                 update postrider.endpoint set auth = SEALED where id = 'one' and state <> 'deleted'"),
    ];
    for moved in ways {
        let stage = Stage::new().await;
        let sealed: String = stage.database.value("select quote_literal(auth) from postrider.endpoint").await;
        let moved = moved.replace("URL", &stage.strangers.url()).replace("SEALED", &sealed);

        stage.database.execute(&moved).await;

        stage.assert_left_alone(&moved, "or moved here from another endpoint, field or host").await;
    }
}

#[tokio::test]
async fn what_is_sealed_for_one_field_or_endpoint_opens_in_no_other() {
    let swaps = [
        ("one", "secret", "signing_key"),
        ("one", "signing_key", "auth"),
        ("one", "auth", "client_certificate"),
        ("one", "client_certificate", "secret"),
        ("two", "auth", "auth"),
        ("two", "client_certificate", "client_certificate"),
    ];
    for (id, from, into) in swaps {
        let stage = Stage::new().await;
        if id == "two" {
            // The same host, and its own owner.
            let url = stage.receiver.url();
            let certificate = Authority::new().client_pem();
            let more = format!("{LOGIN}, client_certificate => '{certificate}'");
            stage.database.put_endpoint("two", &url, "none", &more).await;
            stage.seal(&[]).await;
        }

        let swap = format!(
            "update postrider.endpoint set {into} = (select {from} from postrider.endpoint where id = '{id}') where id = 'one'"
        );
        stage.database.execute(&swap).await;

        stage.assert_left_alone(&swap, "or moved here from another endpoint, field or host").await;
    }
}

#[tokio::test]
async fn an_old_secret_opens_as_the_secret_that_it_was() {
    let stage = Stage::new().await;
    stage.database.execute("update postrider.endpoint set client_certificate = null").await;
    let rotate = ["endpoint", "rotate-secret", "one"];
    CommandOutput::run(&stage.database.url, &[&rotate[..], &WITH_KEY].concat()).await;

    let _dispatcher = Dispatcher::start(&stage.database, &WITH_KEY).await;
    stage.database.insert("order.created", "{}").await;

    assert_eq!(stage.receiver.next().await.header("webhook-signature").matches("v1,").count(), 2);
}

#[tokio::test]
async fn a_login_stays_where_the_url_changes_and_its_host_does_not() {
    let stage = Stage::new().await;
    stage.database.execute("update postrider.endpoint set client_certificate = null").await;
    let url = stage.receiver.url();

    let put = stage.put(&format!("{url}/other?a=b"), &[]).await;
    assert_eq!(put.stdout, format!("one changed\nurl: {url} -> {url}/other?a=b\n"));
    let _dispatcher = Dispatcher::start(&stage.database, &WITH_KEY).await;
    stage.database.insert("order.created", "{}").await;

    assert_eq!(stage.receiver.next().await.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn a_login_that_is_named_again_with_another_host_is_sealed_for_that_host() {
    let stage = Stage::new().await;
    let url = stage.strangers.url();
    let login = ["--bearer-token", "hushhush", "--client-certificate-file", "none"];

    let moved =
        format!("url: {} -> {url}\nauth: changed\nclient_certificate: removed\n", stage.receiver.url());
    assert_eq!(stage.put(&url, &login).await.stdout, format!("one changed\n{moved}"));
    assert_eq!(stage.put(&url, &login).await.stdout, "one unchanged\n");
    let _dispatcher = Dispatcher::start(&stage.database, &WITH_KEY).await;
    stage.database.insert("order.created", "{}").await;

    assert_eq!(stage.strangers.next().await.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn neither_a_login_nor_a_certificate_is_taken_along_to_another_host() {
    let stage = Stage::new().await;
    let url = stage.strangers.url();
    let refused = async |more: &str| {
        let put = format!("select postrider.put_endpoint('one', '{url}', '{{**}}'{more})");
        let refusal = stage.database.refusal(&put).await;
        assert_eq!(refusal.code(), &SqlState::INVALID_PARAMETER_VALUE);
        refusal.message().to_owned()
    };

    let [login, certificate] = [", client_certificate => 'none'", ", auth => 'none'"];
    assert_eq!(refused(login).await, "endpoint \"one\": auth is not taken along to another host");
    assert_eq!(
        refused(certificate).await,
        "endpoint \"one\": client_certificate is not taken along to another host"
    );
    let output = stage.put(&url, &["--bearer-token", "hushhush"]).await;
    assert!(output.complaint().contains("client_certificate is not taken along"), "{}", output.stderr);
    let both = format!("select postrider.put_endpoint('one', '{url}', '{{**}}'{login}, auth => 'none')");
    stage.database.execute(&both).await;
}

#[tokio::test]
async fn a_host_is_another_one_whatever_its_url_looks_like() {
    let database = Database::new().await;
    for (url, other) in [
        ("https:///example.com/", "https:///elsewhere.example/"),
        ("https://example.com/", "https:///example.com/"),
        ("https://example.com?a", "https://example.community?a"),
    ] {
        database.execute("truncate postrider.endpoint cascade").await;
        database.put_endpoint("one", url, "**", LOGIN).await;

        let refusal = database.refusal(&format!("select postrider.put_endpoint('one', '{other}')")).await;

        assert!(refusal.message().contains("is not taken along"), "{other}: {refusal}");
    }
}

#[tokio::test]
async fn hosts_are_compared_as_the_network_compares_them_in_a_turkish_database() {
    let base = Database::without_schema().await;
    let name: String = base.value("select current_database() || '_tr'").await;
    let create = format!(
        "create database {name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'tr' locale 'C'"
    );
    if let Err(fault) = base.client.batch_execute(&create).await {
        skip("hosts in a Turkish database", &format!("{fault:?}"));
        return;
    }
    let database = Database::at(
        &base.url.replace(&base.value::<String>("select current_database()::text").await, &name),
    )
    .await;
    CommandOutput::run(&database.url, &["migrate"]).await;
    database.put_endpoint("one", "https://i.example/", "**", LOGIN).await;

    // Small letters of this one are those of i.example, in Turkish alone.
    let refusal = database.refusal("select postrider.put_endpoint('one', 'https://\u{130}.example/')").await;

    assert!(refusal.message().contains("is not taken along"), "{refusal}");
    database.execute("select postrider.put_endpoint('one', 'https://I.EXAMPLE/other')").await;
}

#[tokio::test]
async fn what_an_earlier_version_sealed_waits_until_somebody_says_that_it_is_where_it_belongs() {
    let stage = Stage::new().await;
    stage
        .database
        .execute(
            "update postrider.endpoint set client_certificate = null, signing_key = null, public_key = null",
        )
        .await;
    let key_id: String =
        stage.database.value("select split_part(secret, ':', 3) from postrider.endpoint").await;
    let login = r#"{"type": "bearer", "token": "hushhush"}"#;
    let [secret, login] = [SECRET, login].map(|text| sealed_by_an_earlier_version(&key_id, "one", text));
    stage
        .database
        .execute(&format!("update postrider.endpoint set secret = '{secret}', auth = '{login}'"))
        .await;

    let with_both = ["--encryption-key", &format!("{OTHER_KEY},{KEY}")];
    let seal = async |more: &[&str]| {
        CommandOutput::run(&stage.database.url, &[&["secret", "seal"][..], &with_both, more].concat()).await
    };
    stage
        .assert_left_alone("an earlier version", "then run \"postrider secret seal --accept-unbound\"")
        .await;
    // Another key takes the place of this one: that alone is no word about where secrets belong.
    let refused = seal(&[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("endpoint \"one\": a secret is sealed with key "), "{}", refused.stderr);
    assert!(refused.stderr.contains("--accept-unbound"), "{}", refused.stderr);
    let accepted = seal(&["--accept-unbound"]).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);

    stage.database.execute("select postrider.delete_endpoint('other')").await;
    let _dispatcher = Dispatcher::start(&stage.database, &["--encryption-key", OTHER_KEY]).await;
    let request = stage.receiver.next().await;
    request.verify();
    assert_eq!(request.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn what_an_earlier_version_sealed_for_another_endpoint_is_not_accepted() {
    let stage = Stage::new().await;
    let key_id: String =
        stage.database.value("select split_part(secret, ':', 3) from postrider.endpoint").await;
    let moved = sealed_by_an_earlier_version(&key_id, "two", SECRET);
    stage.database.execute(&format!("update postrider.endpoint set secret = '{moved}'")).await;

    let refused = stage.seal(&["--accept-unbound"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.complaint().contains("damaged, or moved here"), "{}", refused.stderr);
    stage.database.assert_row("select secret from postrider.endpoint", json!({"secret": moved})).await;
}

#[tokio::test]
async fn a_login_that_is_put_with_another_host_while_it_is_sealed_opens_for_that_host() {
    let database = Database::new().await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("one", &receiver.url(), "**", LOGIN).await;
    let open = database.connect().await;
    let put = format!("begin; select postrider.put_endpoint('one', '{}', '{{**}}', {LOGIN})", other.url());
    open.batch_execute(&put).await.unwrap();

    // What is sealed was read before the other host was there, and the login stands there unchanged.
    let seal = [&["secret", "seal"][..], &WITH_KEY].concat();
    let (output, ()) = tokio::join!(CommandOutput::run(&database.url, &seal), async {
        database.until_somebody_waits_for_a_lock().await;
        open.batch_execute("commit").await.unwrap();
    });
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let _dispatcher = Dispatcher::start(&database, &WITH_KEY).await;
    database.insert("order.created", "{}").await;

    assert_eq!(other.next().await.header("authorization"), "Bearer hushhush");
    assert_eq!(receiver.count(), 0);
}

/// As it was written before the field and the host were bound in.
fn sealed_by_an_earlier_version(key_id: &str, endpoint_id: &str, secret: &str) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY_BYTES).unwrap());
    let mut bytes = secret.as_bytes().to_vec();
    let nonce = [7; 12];
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(endpoint_id.as_bytes()),
            &mut bytes,
        )
        .unwrap();
    format!("sealed:{key_id}:{}", BASE64.encode([&nonce, bytes.as_slice(), tag.as_ref()].concat()))
}
