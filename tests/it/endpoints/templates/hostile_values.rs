//! Every text that somebody may try as a URL, as a value of a template. What comes of it is never more than a value: nobody is called
//! whom the template does not name, and the canaries stay untouched.

use postrider::model::endpoint::TemplateUrl;
use url::{Host, Url};

use super::put_template;
use crate::security::properties::corpus;
use crate::support::{Canaries, Database, Dispatcher, QUIET, Receiver};

/// The texts of the corpus, those of its hosts, and others that a host, a port or a path may be mistaken for.
fn values() -> Vec<String> {
    let port = Canaries::get().port;
    let mut values: Vec<String> = corpus("urls");
    let hosts = values.iter().filter_map(|text| {
        let host = text.split_once("://")?.1.split(['/', '?', '#']).next()?;
        Some(host.to_owned())
    });
    let hosts: Vec<String> = hosts.collect();
    values.extend(hosts);
    values.extend([
        format!("{QUIET}:{port}"),
        format!("{QUIET}:{port}/"),
        format!("@{QUIET}:{port}"),
        format!("x@{QUIET}:{port}#"),
        format!("/{QUIET}:{port}/"),
        format!("\\{QUIET}:{port}\\"),
        format!("?@{QUIET}:{port}/"),
        format!("..//{QUIET}:{port}"),
        QUIET.to_string(),
        format!("{QUIET}."),
        format!("[::ffff:{QUIET}]"),
        format!("::ffff:{QUIET}"),
        "2130706498".to_owned(),
        "0x7f000042".to_owned(),
        "127.66".to_owned(),
        "0177.0.0.0102".to_owned(),
        "127。0。0。66".to_owned(),
        "127%2e0.0.66".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        "%2e%2e".to_owned(),
        "%2e%2e%2f".to_owned(),
        "../..".to_owned(),
        "a".repeat(255),
        "a".repeat(256),
    ]);
    values.retain(|value| !value.contains('\0') && value.len() <= 312);
    values
}

#[tokio::test]
async fn no_text_that_somebody_may_try_leads_elsewhere() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let port = Canaries::get().port;
    let never = "retry_schedule => '{7d}'";
    // The canaries are at this port of hosts that are none of its: all that it may lead to is 127.9.0.0/16.
    let narrow = format!("{never}, allow_cidr => '{{127.9.0.0/16}}'");
    put_template(&database, "hosts", &format!("http://{{v}}:{port}/x"), &narrow).await;
    put_template(&database, "parts", &format!("http://{{v}}.localhost:{port}/x"), &narrow).await;
    put_template(&database, "ports", "http://127.9.0.1:{v}/x", &narrow).await;
    put_template(&database, "paths", &receiver.url().replace("/hook", "/a/{v}/b?q=1"), never).await;
    let _dispatcher = Dispatcher::start(&database, &["--request-timeout", "5s"]).await;

    let values = values();
    let hosts = TemplateUrl::parse("http://{v}/").unwrap();
    for template in ["hosts", "parts", "ports", "paths"] {
        // No name server is asked: the tests stay on this machine.
        let is_asked = |value: &String| {
            let url = hosts.fill(value).ok();
            url.is_some_and(|url| matches!(url.host(), Some(Host::Domain(name)) if !name.trim_end_matches('.').ends_with("localhost")))
        };
        let values: Vec<&String> =
            values.iter().filter(|value| template != "hosts" || !is_asked(value)).collect();
        let insert = "insert into postrider.outbox (topic, payload, destination)
                      select 'order.created', to_json(v.value), $1 || '/' || v.value from unnest($2::text[]) as v (value)";
        database.client.execute(insert, &[&template, &values]).await.unwrap();
    }
    database
        .until(
            "select not exists (select from postrider.outbox where status = 'pending')
                and not exists (select from postrider.delivery where attempts = 0 or status = 'in_progress')",
        )
        .await;

    Canaries::get().assert_untouched();
    for request in receiver.all() {
        let path = request.uri.path();
        let segments: Vec<&str> = path.split('/').collect();
        assert_eq!((segments.len(), segments[1], segments[3]), (4, "a", "b"), "{path}");
        assert_eq!(request.uri.query(), Some("q=1"), "{path}");
        // It arrives as what it was.
        let value: String = serde_json::from_slice(&request.body).unwrap();
        let decoded = Url::parse(&format!("http://h/?{}", segments[2].replace('+', "%2B"))).unwrap();
        let decoded = decoded.query_pairs().next().map(|(name, _)| name.into_owned());
        assert_eq!(decoded, Some(value), "{path}");
    }
    assert!(receiver.count() > values.len() / 2, "{} of {}", receiver.count(), values.len());
}

#[tokio::test]
async fn the_views_show_the_url_that_is_called() {
    let database = Database::new().await;

    for template in [
        "http://{v}:8080/x",
        "http://{v}.example.com/",
        "http://10.20.{v}.1/",
        "http://10.0.0.1:{v}/x",
        "http://[fd00::1]:{v}/x",
        "https://example.com/a/{v}/b?q=1",
        "http://{v}:8080/{v}",
        "https://example.com/{v}{v}",
    ] {
        let url = TemplateUrl::parse(template).unwrap();
        let taken = database.rows("select postrider.is_endpoint_url($1)", &[&template]).await;
        assert!(taken[0].get::<_, bool>(0), "{template}");
        for value in values().iter().map(String::as_str).chain([
            "7",
            "8080",
            "10.20.3.4",
            "fd00::7",
            "b\u{fc}cher.example",
        ]) {
            let shown =
                database.rows("select postrider.child_url($1, 'x/' || $2)", &[&template, &value]).await;
            let shown: Option<String> = shown[0].get(0);

            // What the dispatcher refuses beyond that is a host that is written as no host is.
            if let Ok(called) = url.fill(value) {
                let shown = shown.unwrap_or_else(|| panic!("{template} {value:?}: {called}"));
                assert_eq!(Url::parse(&shown), Ok(called), "{template} {value:?}");
            }
        }
    }
}
