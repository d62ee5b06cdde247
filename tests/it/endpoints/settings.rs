//! A setting of an endpoint is declared once: the command line, the API and SQL know the same ones, and judge them alike.

use std::collections::BTreeSet;

use postrider::operations::endpoint_spec::EndpointSpec;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

use crate::support::{Api, CommandOutput, Database, Dispatcher};

/// Settings that the command line has in a form of its own, and the flags for them.
const OTHER_FLAGS: [(&str, &str); 6] = [
    ("headers", "--header"),
    ("allow_http", "--allow-http[=<true|false>]"),
    ("ordered", "--ordered[=<true|false>]"),
    ("auth", "--bearer-token"),
    ("ca_certificates", "--ca-file"),
    ("client_certificate", "--client-certificate-file"),
];
/// Arguments of `postrider.put_endpoint` that are no settings.
const NO_SETTINGS: [&str; 3] = ["id", "public_key", "new_secret_if_created"];
/// Largest set of headers, as jsonb writes it.
const HEADERS_BYTES_MAX: usize = 8192;

const URL: &str = "https://example.com/hook";

#[test]
fn the_body_of_the_api_has_the_same_settings() {
    let described: Value = serde_json::to_value(postrider::api::openapi()).unwrap();

    let fields = described["components"]["schemas"]["EndpointBody"]["properties"].as_object().unwrap();

    assert_eq!(fields.keys().cloned().collect::<BTreeSet<_>>(), settings());
}

#[tokio::test]
async fn the_command_line_has_the_same_settings() {
    let help = CommandOutput::run("", &["endpoint", "put", "--help"]).await.stdout;
    let flags: BTreeSet<&str> =
        help.lines().filter_map(|line| line.split_whitespace().find(|w| w.starts_with("--"))).collect();

    for setting in settings() {
        let other = OTHER_FLAGS.iter().find(|(name, _)| *name == setting);
        let flag = other.map_or_else(|| format!("--{}", setting.replace('_', "-")), |(_, f)| (*f).to_owned());

        assert!(flags.contains(flag.as_str()), "{flag} is not in {flags:?}");
    }
}

#[tokio::test]
async fn put_endpoint_has_the_same_settings() {
    let database = Database::new().await;
    let arguments =
        "select proargnames[1:pronargs] from pg_proc where oid = 'postrider.put_endpoint'::regproc";

    let arguments: Vec<String> = database.value(arguments).await;

    let arguments = arguments.into_iter().filter(|name| !NO_SETTINGS.contains(&name.as_str()));
    assert_eq!(arguments.collect::<BTreeSet<_>>(), settings());
}

#[tokio::test]
async fn a_name_that_is_no_setting_is_refused_by_the_database_too() {
    let database = Database::new().await;

    for name in ["topicz", "state", "endpoint_no"] {
        let document = json!({ "url": URL, name: null });
        let fault = database.refusal(&format!("select postrider.write_endpoint('one', '{document}')")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{name}");
        assert_eq!(fault.message(), format!("endpoint \"one\": unknown setting \"{name}\""));
    }
}

#[tokio::test]
async fn what_a_document_leaves_out_has_the_default_of_the_argument() {
    let database = Database::new().await;
    let document = json!({ "url": URL });
    database.execute(&format!("select postrider.write_endpoint('one', '{document}')")).await;

    let put = format!("select result from postrider.put_endpoint('one', '{URL}')");
    let result: String = database.value(&put).await;

    assert_eq!(result, "unchanged");
}

#[tokio::test]
async fn a_description_is_shown_everywhere() {
    let database = Database::new().await;
    let put = ["endpoint", "put", "one", "--url", URL, "--description", "theirs"];
    assert_eq!(CommandOutput::run(&database.url, &put).await.code, Some(0));

    let health: String = database.value("select description from postrider.endpoint_health").await;
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one"]).await.stdout;
    let listed = CommandOutput::run(&database.url, &["endpoint", "list", "--json"]).await.json();
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await.get("/v1/endpoints/one").await.json();

    assert_eq!(health, "theirs");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(shown.lines().any(|line| words(line) == ["description", "theirs"]), "{shown}");
    assert_eq!((&listed[0]["description"], &api["description"]), (&json!("theirs"), &json!("theirs")));
}

#[tokio::test]
async fn headers_may_be_as_long_here_as_in_the_database() {
    let database = Database::new().await;
    // One long header, or many short ones: jsonb writes a space after each colon and comma.
    for count in [2, 300] {
        for (bytes, is_taken) in [(HEADERS_BYTES_MAX, true), (HEADERS_BYTES_MAX + 1, false)] {
            let headers = headers(count, bytes);
            let document: String = serde_json::to_string(&headers).unwrap();
            let mut args: Vec<String> = ["endpoint", "put", "one", "--url", URL].map(str::to_owned).to_vec();
            for (name, value) in &headers {
                args.extend(["--header".to_owned(), format!("{name}: {}", value.as_str().unwrap())]);
            }

            let in_sql = format!("select postrider.are_headers_valid('{document}')");
            let typed =
                CommandOutput::run(&database.url, &args.iter().map(String::as_str).collect::<Vec<_>>()).await;

            assert_eq!(database.value::<bool>(&in_sql).await, is_taken, "{count} {bytes}");
            assert_eq!(typed.code, Some(if is_taken { 0 } else { 64 }), "{count} {bytes}: {}", typed.stderr);
        }
    }
}

/// So many headers of so many bytes as jsonb writes them, escapes included.
fn headers(count: usize, bytes: usize) -> serde_json::Map<String, Value> {
    let mut headers: serde_json::Map<String, Value> =
        (1..count).map(|n| (format!("x-{n}"), json!(r#"a"\"#))).collect();
    headers.insert("x-last".to_owned(), json!(""));
    let written = serde_json::to_string(&headers).unwrap().len() + 2 * count - 1;
    headers.insert("x-last".to_owned(), json!("a".repeat(bytes - written)));
    headers
}

/// The names of all settings, as they are declared.
fn settings() -> BTreeSet<String> {
    let spec = serde_json::to_value(EndpointSpec::default()).unwrap();
    spec.as_object().unwrap().keys().cloned().collect()
}
