//! Templates by command and API: what they keep, what they refuse, what they list.

use serde_json::json;

use super::{insert_for, put_template, with};
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver};

const URL: &str = "http://{destination}:8080/config";

#[tokio::test]
async fn the_flags_of_a_template_are_kept_and_those_of_another_endpoint_are_not() {
    let database = Database::new().await;
    let leave = ["--allow-http", "--allow-cidr", "10.20.0.0/16,::ffff:10.21.0.0/112"];
    let put = async |id: &str, url: &str| {
        let args = ["endpoint", "put", id, "--url", url, "--json"];
        CommandOutput::run(&database.url, &[&args[..], &leave].concat()).await
    };

    assert_eq!(put("devices", URL).await.json()["result"], "created");
    assert_eq!(put("devices", URL).await.json()["result"], "unchanged");
    assert_eq!(put("one", "http://10.20.1.1/").await.json()["result"], "created");

    let kept = "select id, allow_http, allow_cidr from postrider.endpoint order by id";
    database
        .assert_rows(
            kept,
            vec![
                json!({"id": "devices", "allow_http": true, "allow_cidr": ["10.20.0.0/16", "10.21.0.0/16"]}),
                json!({"id": "one", "allow_http": null, "allow_cidr": null}),
            ],
        )
        .await;
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "devices"]).await.stdout;
    assert!(shown.contains("10.20.0.0/16,10.21.0.0/16") && shown.contains(URL), "{shown}");

    let set = ["endpoint", "set", "devices", "--allow-cidr", "default", "--json"];
    let changes = CommandOutput::run(&database.url, &set).await.json()["changes"].clone();
    assert_eq!(changes, json!(["allow_cidr: 10.20.0.0/16,10.21.0.0/16 -> none"]));
}

#[tokio::test]
async fn a_template_is_judged_like_any_url_by_command_and_api() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for (url, said) in [
        ("http://{a}/{b}", "one name in braces"),
        ("http://h/?x={a}", "a name in braces stands in the host"),
        ("http://h:8{a}/", "a name in braces stands in the host"),
        ("http://[{a}]/", "a name in braces stands in the host"),
        ("http://10.0.0.1:{port}/", "address 10.0.0.1 is not allowed: private"),
        ("http://h:5432/{a}", "port 5432 is not allowed"),
    ] {
        let put = ["endpoint", "put", "x", "--url", url, "--allow-http"];
        let put = CommandOutput::run(&database.url, &put).await;
        let answered = api.send("PUT", "/v1/endpoints/x", &json!({ "url": url })).await;

        assert_eq!(put.code, Some(64), "{url}: {put:?}");
        assert!(put.complaint().contains(said), "{url}: {put:?}");
        assert_eq!(answered.refused(), (422, "invalid_argument".to_owned()), "{url}");
        assert!(answered.text.contains(said), "{url}: {answered:?}");
    }
    let without_leave = ["endpoint", "put", "x", "--url", URL];
    let refused = CommandOutput::run(&database.url, &without_leave).await;
    assert_eq!(refused.complaint(), "url: url needs https (--allow-http permits http)");
    for (body, field) in [
        (json!({"url": "https://{x}/", "allow_cidr": ["10.0.0.0"]}), "allow_cidr"),
        (json!({"url": "https://{x}/", "allow_cidr": []}), "allow_cidr"),
        (json!({"url": "https://example.com/", "allow_cidr": ["10.0.0.0/8"]}), "allow_cidr"),
    ] {
        let answered = api.send("PUT", "/v1/endpoints/x", &body).await;
        assert_eq!(answered.refused(), (422, "invalid_argument".to_owned()), "{body}");
        assert!(answered.text.contains(field), "{answered:?}");
    }
    let body = json!({"url": "https://{x}/", "allow_cidr": ["10.1.2.3/8"], "allow_http": false});
    let answered = api.send("PUT", "/v1/endpoints/x", &body).await.json();
    assert_eq!((&answered["allow_cidr"], &answered["allow_http"]), (&json!(["10.0.0.0/8"]), &json!(false)));
    let patched = api.send("PATCH", "/v1/endpoints/x", &json!({"allow_cidr": null})).await.json();
    assert_eq!((&patched["allow_cidr"], &patched["allow_http"]), (&json!(null), &json!(false)));
}

#[tokio::test]
async fn a_destination_that_cannot_be_is_refused_by_command_and_api() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    put_template(&database, "devices", "http://{ip}:8080/", "").await;
    database.put_endpoint("orders", "https://example.com/", "**", "").await;

    for (destination, said) in [
        ("devices", "endpoint \"devices\" is a template: an event needs a value for it, as devices/VALUE"),
        ("devices/10.0.0.1/24", "its value does not fit into the url of template \"devices\""),
        ("orders/10.0.0.1", "endpoint \"orders/10.0.0.1\" does not exist"),
        ("device/10.0.0.1", "endpoint \"device/10.0.0.1\" does not exist"),
        ("devices/a\u{7}", "without control characters"),
        ("devices/", "without control characters"),
    ] {
        let publish = ["publish", "a.b", "{}", "--destination", destination];
        let published = CommandOutput::run(&database.url, &publish).await;
        let body = json!({"payload": {}, "destination": destination});
        let answered = api.send("POST", "/v1/topics/a.b/events", &body).await;

        assert!(published.complaint().contains(said), "{destination}: {published:?}");
        assert_eq!(answered.status, 422, "{destination}: {answered:?}");
        assert!(
            answered.problem().to_string().replace("\\\"", "\"").contains(said),
            "{destination}: {answered:?}"
        );
    }
    let published =
        CommandOutput::run(&database.url, &["publish", "a.b", "{}", "--destination", "devices/127.9.0.1"])
            .await;
    assert_eq!(published.code, Some(0), "{published:?}");
    let by_sql = "select postrider.publish('a.b', '{}', destination => 'devices/127.9.0.1')";
    database.execute(by_sql).await;
    let refused = database.refusal("select postrider.publish('a.b', '{}', destination => '/x')").await;
    assert_eq!(refused.message(), "event: invalid destination");
}

#[tokio::test]
async fn the_secret_of_an_endpoint_of_a_template_is_rotated_with_the_template() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    insert_for(&database, "devices/a").await;
    database.until_settled().await;

    let said = "endpoint \"devices/a\" has the secret of its template: rotate that of \"devices\"";
    let by_command = CommandOutput::run(&database.url, &["endpoint", "rotate-secret", "devices/a"]).await;
    let by_api = api.post("/v1/endpoints/devices%2Fa/rotate-secret").await;
    let by_sql = database.refusal("select postrider.rotate_secret('devices/a')").await;

    assert!(by_command.complaint().contains(said), "{by_command:?}");
    assert_eq!(by_api.status, 422, "{by_api:?}");
    assert_eq!(by_sql.message(), said);
    let set = CommandOutput::run(&database.url, &["endpoint", "set", "devices/a", "--timeout", "5s"]).await;
    assert_eq!(set.code, Some(64));
    assert!(set.complaint().contains("needs the template"), "{set:?}");
}

#[tokio::test]
async fn endpoints_of_a_template_are_counted_in_its_line_and_listed_when_asked_for() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = with(&receiver, "127.0.0.1", "/{id}");
    put_template(&database, "devices", &url, "retry_schedule => '{1h}'").await;
    database.put_endpoint("orders", &receiver.url(), "order.*", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    receiver.answer_once(500, &[], b"");
    insert_for(&database, "devices/a").await;
    receiver.next().await;
    insert_for(&database, "devices/b").await;
    receiver.next().await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;
    database.until("select exists (select from postrider.endpoint_health where health = 'failing')").await;

    let list = async |args: &[&str]| {
        let output = CommandOutput::run(&database.url, &[&["endpoint", "list"], args].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout
    };
    let ids = |text: &str| -> Vec<String> {
        text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let listed = list(&[]).await;
    assert_eq!(ids(&listed), ["devices", "orders"]);
    assert!(listed.contains("2 endpoints: 1 failing"), "{listed}");
    assert_eq!(ids(&list(&["--all"]).await), ["devices", "devices/a", "devices/b", "orders"]);
    assert_eq!(ids(&list(&["--template", "devices"]).await), ["devices/a", "devices/b"]);
    let unknown = CommandOutput::run(&database.url, &["endpoint", "list", "--template", "device"]).await;
    assert_eq!(unknown.complaint(), "endpoint \"device\" does not exist, did you mean \"devices\"?");

    let data = async |query: &str| {
        let page = api.get(&format!("/v1/endpoints{query}")).await.json();
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(data("").await, ["devices", "orders"]);
    assert_eq!(data("?all=true").await, ["devices", "devices/a", "devices/b", "orders"]);
    assert_eq!(data("?template=devices&limit=1").await, ["devices/a"]);
    assert_eq!(data("?sort=trouble&limit=1").await, ["devices/a"]);
    let one = api.get("/v1/endpoints/devices%2Fb").await.json();
    assert_eq!((&one["template_id"], &one["url"]), (&json!("devices"), &json!(url.replace("{id}", "b"))));
    let children = json!({"healthy": 1, "failing": 1, "down": 0, "paused": 0, "disabled": 0, "pending": 1});
    assert_eq!(api.get("/v1/endpoints/devices").await.json()["children"], children);
    let tested = CommandOutput::run(&database.url, &["endpoint", "test", "devices"]).await;
    assert!(tested.complaint().contains("is a template: test one of its endpoints"), "{tested:?}");
}

#[tokio::test]
async fn who_resumes_an_endpoint_of_a_paused_template_is_told_that_it_waits_for_the_template() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    put_template(&database, "devices", &with(&receiver, "127.0.0.1", "/{id}"), "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert_for(&database, "devices/a").await;
    database.until_settled().await;
    let run = async |verb: &str, id: &str| CommandOutput::run(&database.url, &["endpoint", verb, id]).await;
    run("pause", "devices").await;
    run("pause", "devices/a").await;

    let resumed = run("resume", "devices/a").await.stdout;
    let tested = run("test", "devices/a").await;

    let waits = "devices/a is enabled, but its template devices is paused; its deliveries wait\n";
    assert_eq!(resumed, waits);
    let hint = "to enable it: postrider endpoint resume devices/a, or devices, its template";
    assert!(tested.complaint().contains(hint), "{tested:?}");
    assert_eq!(run("resume", "devices").await.stdout, "devices is enabled\n");
    assert_eq!(run("resume", "devices/a").await.stdout, "devices/a is enabled\n");
    assert_eq!(run("test", "devices/a").await.code, Some(0));
}
