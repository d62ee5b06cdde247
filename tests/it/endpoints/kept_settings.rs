//! What nobody names is kept, what is named with null or `default` gets its default, and every answer says what changed: by
//! command, API and SQL.

mod refused;
mod words;

use postrider::operations::endpoint_spec::EndpointSpec;
use serde_json::{Map, Value, json};

use crate::support::{Answered, Api, Authority, CommandOutput, Database, Dispatcher, Receiver};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_SECRET: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";
const SIGNING_KEY: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
/// The settings of a row, and who it is.
const ROW: &str = "select to_jsonb(e) - '{changed_at}'::text[] from postrider.endpoint as e where id = 'one'";
/// Settings that have a default, and how a row has them then.
const DEFAULTS: [(&str, &str); 14] = [
    ("topics", r#"["**"]"#),
    ("headers", "{}"),
    ("max_in_flight", "64"),
    ("rate_limit", "null"),
    ("timeout", "null"),
    ("retry_schedule", "null"),
    ("ordered", "false"),
    ("on_failed", r#""block""#),
    ("format", r#""webhook""#),
    ("signing_key", "null"),
    ("auth", "null"),
    ("ca_certificates", "null"),
    ("client_certificate", "null"),
    ("description", "null"),
];

/// Who changes it.
#[derive(Clone, Copy, Debug)]
enum By {
    CommandPut,
    CommandSet,
    ApiPut,
    ApiPatch,
    SqlPut,
    SqlSet,
}

impl By {
    const ALL: [Self; 6] =
        [Self::CommandPut, Self::CommandSet, Self::ApiPut, Self::ApiPatch, Self::SqlPut, Self::SqlSet];
}

/// An endpoint `one` with something of its own in every setting.
struct Stage {
    database: Database,
    receiver: Receiver,
    api: Api,
    _dispatcher: Dispatcher,
}

impl Stage {
    async fn new() -> Self {
        let (database, receiver) = (Database::new().await, Receiver::start().await);
        let dispatcher = Dispatcher::start(&database, &[]).await;
        let api = Api::of(&dispatcher).await;
        let stage = Self { database, receiver, api, _dispatcher: dispatcher };
        stage.database.put_endpoint("one", &stage.receiver.url(), "order.*", &every_setting()).await;
        stage
    }

    /// Moves it to another path of its host, and names nothing else. Returns what was told of it.
    async fn move_by(&self, by: By, url: &str) -> Vec<String> {
        let body = json!({ "url": url });
        let told = match by {
            By::CommandPut => self.command("put", &["--url", url]).await.json()["changes"].clone(),
            By::CommandSet => self.command("set", &["--url", url]).await.json()["changes"].clone(),
            By::ApiPut => self.api.send("PUT", "/v1/endpoints/one", &body).await.json()["changes"].clone(),
            By::ApiPatch => {
                self.api.send("PATCH", "/v1/endpoints/one", &body).await.json()["changes"].clone()
            }
            By::SqlPut => {
                self.database.execute(&format!("select postrider.put_endpoint('one', '{url}')")).await;
                return Vec::new();
            }
            By::SqlSet => json!(self.set(&body).await),
        };
        lines(&told)
    }

    async fn command(&self, verb: &str, more: &[&str]) -> CommandOutput {
        let args = ["endpoint", verb, "one", "--json", "--allow-http", "--allow-cidr", "127.0.0.0/8"];
        CommandOutput::run(&self.database.url, &[&args[..], more].concat()).await
    }

    /// `postrider.set_endpoint`: what it says that it changed.
    async fn set(&self, changes: &Value) -> Vec<String> {
        let set = "select changed from postrider.set_endpoint('one', $1::text::jsonb)";
        self.database.rows(set, &[&changes.to_string()]).await[0].get(0)
    }

    async fn row(&self) -> Map<String, Value> {
        let row: Value =
            serde_json::from_str(&self.database.value::<String>(&format!("select ({ROW})::text")).await)
                .unwrap();
        row.as_object().unwrap().clone()
    }

    /// The row is as it was, but for these.
    async fn assert_changed(&self, before: &Map<String, Value>, names: &[&str], what: &str) {
        let after = self.row().await;
        for (name, value) in before {
            if !names.contains(&name.as_str()) {
                assert_eq!(&after[name], value, "{what}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_put_or_set_of_the_url_keeps_everything_else_and_says_what_it_changed() {
    let stage = Stage::new().await;
    for by in By::ALL {
        let before = stage.row().await;
        let (old, new) = (before["url"].as_str().unwrap(), format!("{}/{by:?}", stage.receiver.url()));

        let told = stage.move_by(by, &new).await;

        stage.assert_changed(&before, &["url"], &format!("{by:?}")).await;
        assert_eq!(stage.row().await["url"], new.as_str(), "{by:?}");
        if !matches!(by, By::SqlPut) {
            assert_eq!(told, [format!("url: {old} -> {new}")], "{by:?}");
        }
    }
}

#[tokio::test]
async fn an_event_of_another_topic_is_not_sent_to_an_endpoint_whose_url_was_changed() {
    for by in [By::CommandPut, By::ApiPut, By::SqlPut] {
        let (database, receiver) = (Database::new().await, Receiver::start().await);
        let dispatcher = Dispatcher::start(&database, &[]).await;
        database.put_endpoint("one", &receiver.url(), "order.*", "").await;
        let api = Api::of(&dispatcher).await;
        let stage = Stage { database, receiver, api, _dispatcher: dispatcher };
        let url = format!("{}/moved", stage.receiver.url());

        stage.move_by(by, &url).await;
        stage.database.insert("invoice.created", "{}").await;
        stage.database.insert("order.created", "{}").await;
        stage.database.until_settled().await;

        let topics: Vec<String> =
            stage.receiver.all().iter().map(|request| request.header("postrider-topic").to_owned()).collect();
        assert_eq!(topics, ["order.created"], "{by:?}");
    }
}

#[test]
fn every_setting_but_four_is_tried_with_its_default() {
    let spec = serde_json::to_value(EndpointSpec::default()).unwrap();

    let without_trial: Vec<&String> = spec
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !DEFAULTS.iter().any(|(tried, _)| tried == name))
        .collect();

    // Of templates, twice; kept; required.
    assert_eq!(without_trial, ["allow_cidr", "allow_http", "secret", "url"]);
}

#[tokio::test]
async fn a_setting_that_is_named_null_has_its_default_and_the_others_are_kept() {
    let stage = Stage::new().await;
    let url = stage.receiver.url();
    for (name, default) in DEFAULTS {
        let own = stage.row().await[name].clone();
        let default: Value = serde_json::from_str(default).unwrap();
        assert_ne!(own, default, "{name}");
        for method in ["PUT", "PATCH", "SQL"] {
            let before = stage.row().await;
            let mut body = json!({ name: null });
            if method == "PUT" {
                body["url"] = json!(url);
            }

            let told = if method == "SQL" {
                stage.set(&body).await
            } else {
                lines(&stage.api.send(method, "/v1/endpoints/one", &body).await.json()["changes"])
            };

            let what = format!("{method} {name}");
            stage.assert_changed(&before, &[name, "public_key"], &what).await;
            assert_eq!(stage.row().await[name], default, "{what}");
            assert_eq!(told.len(), 1, "{what}: {told:?}");
            assert!(told[0].starts_with(&format!("{name}: ")), "{what}: {told:?}");
            assert_eq!(stage.set(&json!({ name: own })).await.len(), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn no_answer_shows_a_secret_or_the_value_of_a_header() {
    let stage = Stage::new().await;
    let body = json!({
        "secret": OTHER_SECRET, "headers": { "X-One": "hush2", "x-new": "hush3" },
        "auth": { "type": "basic", "username": "u", "password": "hush4" }, "signing_key": null
    });

    let told = stage.set(&body).await;

    assert_eq!(
        told,
        ["auth: changed", "secret: changed", "signing_key: removed", "headers: X-One changed, x-new added"]
    );
    let put = stage.command("put", &["--url", &stage.receiver.url(), "--header", "x-new: hush5"]).await;
    assert_eq!(lines(&put.json()["changes"]), ["headers: X-One removed, x-new changed, x-two removed"]);
    assert!(!put.stdout.contains("hush") && !put.stderr.contains("hush"), "{put:?}");
}

#[tokio::test]
async fn a_patch_changes_headers_one_by_one_whatever_their_capitals() {
    let stage = Stage::new().await;
    let before = stage.row().await;
    let merge = async |by: &str, headers: Value| match by {
        "API" => drop(
            patched(&stage.api, "application/merge-patch+json", &json!({ "headers": headers })).await.json(),
        ),
        _ => drop(stage.set(&json!({ "headers": headers })).await),
    };
    for by in ["API", "SQL"] {
        merge(by, json!({ "x-one": "new", "x-three": "3", "X-Two": null, "x-unknown": null })).await;
        assert_eq!(stage.row().await["headers"], json!({ "x-one": "new", "x-three": "3" }), "{by}");
        merge(by, json!({ "X-One": "hush", "x-two": "2", "X-Three": null })).await;
        assert_eq!(stage.row().await["headers"], before["headers"], "{by}");
    }
    let flags = ["--header", "x-three: 3", "--no-header", "x-one"];
    assert_eq!(stage.command("set", &flags).await.code, Some(0));
    assert_eq!(stage.row().await["headers"], json!({ "x-three": "3", "x-two": "2" }));
    stage.assert_changed(&before, &["headers"], "headers").await;
}

#[tokio::test]
async fn two_who_change_different_settings_at_once_both_have_their_way() {
    let stage = Stage::new().await;
    let (held, before) = (stage.database.connect().await, stage.row().await);
    held.batch_execute("begin; select postrider.set_endpoint('one', '{\"topics\": [\"invoice.*\"]}')")
        .await
        .unwrap();

    let patch = json!({ "max_in_flight": 9 });
    let (set, asked, ()) = tokio::join!(
        stage.command("set", &["--rate-limit", "9/s"]),
        stage.api.send("PATCH", "/v1/endpoints/one", &patch),
        async {
            let waiting = "select count(distinct pid) = 2 from pg_locks
                 where not granted and pid in (select pid from pg_stat_activity where datname = current_database())";
            stage.database.until(waiting).await;
            held.batch_execute("commit").await.unwrap();
        }
    );

    assert_eq!(lines(&set.json()["changes"]), ["rate_limit: 50/s -> 9/s"]);
    assert_eq!(lines(&asked.json()["changes"]), ["max_in_flight: 7 -> 9"]);
    let row = stage.row().await;
    assert_eq!(
        (&row["topics"], &row["rate_limit"], &row["max_in_flight"]),
        (&json!(["invoice.*"]), &json!("9/s"), &json!(9))
    );
    stage.assert_changed(&before, &["topics", "rate_limit", "max_in_flight"], "both").await;
}

#[tokio::test]
async fn no_login_goes_along_to_another_host_by_any_way_and_the_answer_says_so() {
    let stage = Stage::new().await;
    let stranger = Receiver::start().await;
    for (login, kept) in [
        (json!({}), "auth"),
        (json!({ "auth": null }), "client_certificate"),
        (
            json!({ "auth": null, "client_certificate": null, "headers": { "Authorization": "hush" } }),
            "header Authorization",
        ),
        (json!({ "headers": { "authorization": null, "cookie": "hush" } }), "header cookie"),
    ] {
        stage.set(&login).await;
        let why = format!("{kept} is not taken along to another host");

        for verb in ["put", "set"] {
            let typed = stage.command(verb, &["--url", &stranger.url()]).await;
            assert_eq!(typed.code, Some(64), "{verb} {kept}: {}", typed.stdout);
            assert!(typed.complaint().contains(&why), "{verb} {kept}: {}", typed.stderr);
        }
        for method in ["PUT", "PATCH"] {
            let asked = stage.api.send(method, "/v1/endpoints/one", &json!({ "url": stranger.url() })).await;
            assert_eq!(asked.refused().0, 422, "{method} {kept}");
            assert!(asked.text.contains(&why), "{method} {kept}: {}", asked.text);
        }
    }
    let named = json!({ "url": stranger.url(), "headers": { "Cookie": "theirs" } });
    assert_eq!(stage.set(&named).await.len(), 2);
    let row = stage.row().await;
    assert_eq!(row["headers"], json!({ "X-One": "hush", "x-two": "2", "Cookie": "theirs" }));
}

#[tokio::test]
async fn a_login_that_is_set_alone_is_sealed_for_the_host_that_the_endpoint_has() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let with_key = ["--encryption-key", KEY];
    let set = [&["endpoint", "set", "one", "--bearer-token", "hushhush"][..], &with_key].concat();

    let first = CommandOutput::run(&database.url, &set).await.stdout;
    let second = CommandOutput::run(&database.url, &set).await.stdout;
    let _dispatcher = Dispatcher::start(&database, &with_key).await;
    database.insert("a", "{}").await;

    assert_eq!((first.as_str(), second.as_str()), ("one changed\nauth: added\n", "one unchanged\n"));
    assert!(database.is("select auth like 'sealed:%' from postrider.endpoint").await);
    let request = receiver.next().await;
    request.verify();
    assert_eq!(request.header("authorization"), "Bearer hushhush");
}

#[tokio::test]
async fn a_service_that_registers_at_every_start_with_nulls_changes_nothing_the_second_time() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let body = json!({
        "url": "http://127.0.0.1:61999/", "topics": null, "headers": null, "secret": null, "max_in_flight": null,
        "rate_limit": null, "timeout": null, "retry_schedule": null, "ordered": null, "on_failed": null, "format": null, "signing_key": null,
        "auth": null, "ca_certificates": null, "client_certificate": null, "description": null
    });

    let first = api.send("PUT", "/v1/endpoints/one", &body).await.json();
    let second = api.send("PUT", "/v1/endpoints/one", &body).await.json();

    assert_eq!((&first["result"], &first["topics"]), (&json!("created"), &json!(["**"])));
    assert!(first["secret"].is_string());
    assert_eq!((&second["result"], &second["secret"]), (&json!("unchanged"), &Value::Null));
}

/// Arguments of `put_endpoint` beside url and topics: none of them is the default.
fn every_setting() -> String {
    let authority = Authority::new();
    let (ca, certificate) = (authority.pem(), authority.client_pem());
    format!(
        "headers => '{{\"X-One\": \"hush\", \"x-two\": \"2\"}}', max_in_flight => 7, rate_limit => '50/s', timeout => '3s',
         retry_schedule => '{{1s,90min}}', ordered => true, on_failed => 'continue', format => 'cloudevents-binary', signing_key => '{SIGNING_KEY}',
         auth => '{{\"type\": \"bearer\", \"token\": \"hush\"}}', ca_certificates => '{ca}', client_certificate => '{certificate}',
         description => 'Orders team'"
    )
}

async fn patched(api: &Api, kind: &str, body: &Value) -> Answered {
    let request = api.request("PATCH", "/v1/endpoints/one").header("content-type", kind);
    Answered::to(request.body(body.to_string())).await
}

fn lines(changes: &Value) -> Vec<String> {
    changes.as_array().into_iter().flatten().map(|line| line.as_str().unwrap().to_owned()).collect()
}
