//! Dashboard, alert rules and the page of metrics name what is exported, all of it, and nothing else.

use std::collections::BTreeSet;

use crate::support::{Scraped, one_endpoint};

#[tokio::test]
async fn the_dashboard_shows_every_metric_and_no_other() {
    let named = metrics_named_in("docs/grafana-dashboard.json");

    assert_eq!(named, exported().await);
}

#[tokio::test]
async fn the_page_of_metrics_describes_every_metric_and_no_other() {
    let named = metrics_named_in("docs/reference/metrics.md");

    assert_eq!(named, exported().await);
}

#[tokio::test]
async fn alert_rules_ask_for_metrics_that_exist() {
    let named = metrics_named_in("docs/alerts.yml");

    let exported = exported().await;
    assert!(named.len() > 5, "{named:?}");
    assert!(named.is_subset(&exported), "{:?}", named.difference(&exported));
}

#[test]
fn the_dashboard_is_json_whose_panels_ask_for_something() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana-dashboard.json")).unwrap();

    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mute: Vec<_> = panels.filter(|panel| panel["targets"][0]["expr"].as_str().is_none()).collect();

    assert!(mute.is_empty(), "{mute:?}");
}

/// The metrics of a dispatcher that has met everything that is measured.
async fn exported() -> BTreeSet<String> {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    // The server's statistics come a moment late.
    Scraped::until(&dispatcher, "updates", |s| s.count("postrider_table_hot_update_ratio") >= 2).await;
    Scraped::of(&dispatcher).await.names()
}

/// Every word that begins as metrics do; the parts of a histogram stand for the histogram.
fn metrics_named_in(path: &str) -> BTreeSet<String> {
    read(path)
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("postrider_"))
        .map(|word| ["_bucket", "_sum", "_count"].iter().fold(word, |word, part| word.trim_end_matches(part)))
        .map(str::to_owned)
        .collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
