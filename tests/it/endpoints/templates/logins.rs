//! Who chooses the value of a template may choose a host. No login goes there, unless its owner named the addresses.

use serde_json::{Value, json};

use super::{insert_for, put_template, with};
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver};

const LOGIN: &str = r#"auth => '{"type": "bearer", "token": "hushhush"}'"#;

/// The refusal of a call in SQL.
async fn refused(database: &Database, call: &str) -> String {
    let refusal = database.refusal(&format!("select postrider.{call}")).await;
    assert_eq!(refusal.code().code(), "22023", "{call}");
    assert!(refusal.detail().unwrap().starts_with("Allowed is "), "{call}");
    refusal.message().to_owned()
}

#[tokio::test]
async fn no_login_goes_to_a_host_that_an_event_names() {
    let database = Database::new().await;
    let certificate = "client_certificate => '-----BEGIN CERTIFICATE-----'";
    let header = |name: &str| format!("headers => '{{\"{name}\": \"hush\"}}'");

    for url in [
        "https://{x}/hook",
        "https://{x}:8443/hook",
        "https://{x}/{x}",
        "https:///{x}/hook",
        "https://{x}./hook",
        "https://a{x}/hook",
        "https://{x}example.com/hook",
        "https://{x}.com/hook",
        "https://{x}.com./hook",
        "https://10.20.3.{x}/hook",
        "https://{x}.20.3/hook",
    ] {
        for (login, named) in [
            (LOGIN, "auth"),
            (certificate, "client_certificate"),
            (&header("Authorization"), "header Authorization"),
            (&header("cookie"), "header cookie"),
            (&header("X-API-Key"), "header X-API-Key"),
        ] {
            let said = format!("endpoint \"a\": {named} would be sent to any host that an event names");
            assert_eq!(
                refused(&database, &format!("put_endpoint('a', '{url}', {login})")).await,
                said,
                "{url}"
            );
        }
        put_template(&database, "fine", url, &format!("{LOGIN}, allow_cidr => '{{10.0.0.0/8}}'")).await;
        put_template(&database, "unsigned", url, &header("x-fleet")).await;
        database.execute("truncate postrider.endpoint cascade").await;
    }
    for url in [
        "https://{x}.example.com/hook",
        "https://{x}.example.com.:8443/hook",
        "https://shop-{x}-eu.example.com/hook",
        "https://a.{x}.example.com/hook",
        "https://example.com/{x}",
        "https://example.com:{x}/",
        "https://[2001:db8::1]:{x}/",
    ] {
        put_template(&database, "fine", url, LOGIN).await;
        database.execute("truncate postrider.endpoint cascade").await;
    }
}

#[tokio::test]
async fn a_login_that_is_added_later_and_ranges_that_are_taken_away_are_refused_everywhere() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    put_template(&database, "bare", "http://{ip}:8080/", "").await;
    let ranges = "allow_cidr => '{10.20.0.0/16}'";
    put_template(&database, "ranged", "http://{ip}:8080/", &format!("{LOGIN}, {ranges}")).await;
    put_template(&database, "fixed", "http://{x}.example.com/", LOGIN).await;
    let before = database.json_rows("select * from postrider.endpoint order by id").await;
    let login = json!({"type": "bearer", "token": "hushhush"});

    let said = "auth would be sent to any host that an event names";
    let added = "postrider endpoint set bare --bearer-token hushhush";
    let taken = "postrider endpoint set ranged --allow-cidr default";
    let moved = "postrider endpoint set fixed --url http://{x}/ --bearer-token hushhush --allow-http";
    for (typed, id, changes) in [
        (added, "bare", json!({"auth": login})),
        (taken, "ranged", json!({"allow_cidr": null})),
        (moved, "fixed", json!({"url": "http://{x}/", "auth": login})),
    ] {
        let in_sql = refused(&database, &format!("set_endpoint('{id}', '{changes}')")).await;
        let args: Vec<&str> = typed.split(' ').skip(1).collect();
        let by_command = CommandOutput::run(&database.url, &args).await;
        let by_api = api.send("PATCH", &format!("/v1/endpoints/{id}"), &changes).await;

        assert_eq!(in_sql, format!("endpoint \"{id}\": {said}"));
        assert_eq!(by_command.code, Some(64), "{by_command:?}");
        assert!(by_command.complaint().contains(said), "{by_command:?}");
        assert!(by_command.complaint().contains("Allowed is auth with allow_cidr"), "{by_command:?}");
        assert_eq!(by_api.refused(), (422, "invalid_argument".to_owned()), "{by_api:?}");
        assert!(by_api.text.contains(said), "{by_api:?}");
        assert!(!format!("{by_command:?}{by_api:?}").contains("hushhush"));
    }
    let put: Value = json!({"url": "http://{ip}:8080/", "auth": login});
    assert!(api.send("PUT", "/v1/endpoints/bare", &put).await.text.contains(said));
    let after = database.json_rows("select * from postrider.endpoint order by id").await;
    assert_eq!(before, after);
    // With both in one call, it may.
    let both = json!({"auth": login, "allow_cidr": ["10.20.0.0/16"]});
    assert_eq!(api.send("PATCH", "/v1/endpoints/bare", &both).await.status, 200);
    database
        .execute(r#"select postrider.set_endpoint('ranged', '{"auth": null, "allow_cidr": null}')"#)
        .await;
}

#[tokio::test]
async fn ranges_grow_only_for_somebody_who_knows_the_login() {
    let database = Database::new().await;
    put_template(&database, "a", "http://{ip}/", &format!("{LOGIN}, allow_cidr => '{{10.20.0.0/16}}'")).await;
    let said = "endpoint \"a\": auth is not taken along to more addresses";

    for wider in ["10.0.0.0/8", "0.0.0.0/0", "10.20.0.0/16,10.21.0.0/16", "::/0"] {
        let call = format!("put_endpoint('a', 'http://{{ip}}/', allow_cidr => '{{{wider}}}')");
        assert_eq!(refused(&database, &call).await, said, "{wider}");
    }

    for narrower in ["10.20.0.0/16", "10.20.1.0/24,10.20.2.0/24"] {
        put_template(&database, "a", "http://{ip}/", &format!("allow_cidr => '{{{narrower}}}'")).await;
    }
    put_template(&database, "a", "http://{ip}/", &format!("{LOGIN}, allow_cidr => '{{10.0.0.0/8}}'")).await;
    put_template(&database, "b", "http://{ip}/", "allow_cidr => '{10.20.0.0/16}'").await;
    put_template(&database, "b", "http://{ip}/", "allow_cidr => '{10.0.0.0/8}'").await;
}

#[tokio::test]
async fn a_login_reaches_the_addresses_that_its_template_names_and_no_other() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    let more = format!("{LOGIN}, retry_schedule => '{{7d}}', allow_cidr => '{{127.9.0.0/16}}'");
    put_template(&database, "devices", &with(&receiver, "{ip}", "/x"), &more).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    for host in ["127.8.0.1", "localhost", "127.9.0.1"] {
        insert_for(&database, &format!("devices/{host}")).await;
    }
    database.until("select count(*) = 3 from postrider.attempt_log").await;

    let all = receiver.all();
    let hosts: Vec<&str> = all.iter().map(|request| request.header("host")).collect();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    assert!(hosts[0].starts_with("127.9.0.1:"), "{hosts:?}");
    assert_eq!(all[0].header("authorization"), "Bearer hushhush");
}
