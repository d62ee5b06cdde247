//! What a dispatcher exports, as Prometheus reads it.

use std::collections::BTreeSet;

use super::{Dispatcher, eventually, get};

/// One scrape.
#[derive(Debug)]
pub(crate) struct Scraped {
    /// The whole answer.
    pub(crate) text: String,
}

impl Scraped {
    /// Scrapes a dispatcher.
    pub(crate) async fn of(dispatcher: &Dispatcher) -> Self {
        let response = get(&format!("http://{}/metrics", dispatcher.api().await)).await;
        assert_eq!(response.status(), 200);
        Self { text: response.text().await.unwrap() }
    }

    /// Scrapes again until it is so; fails with `what` at the deadline.
    pub(crate) async fn until(dispatcher: &Dispatcher, what: &str, is_so: impl Fn(&Self) -> bool) {
        eventually(what, || async { is_so(&Self::of(dispatcher).await) }).await;
    }

    /// The value of a series, which is written as in the answer: `name{label="value"}`.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let line = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        self.text.lines().find_map(line)
    }

    /// How many series a metric has.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect()
    }
}
