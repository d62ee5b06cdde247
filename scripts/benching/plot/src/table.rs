//! A row per scenario and subject, a column per metric: the medians over runs, as a Markdown table.

use super::bars::median;
use super::{Sample, distinct, number};

/// The columns, and how they are headed.
const METRICS: [(&str, &str); 10] = [
    ("deliveries_per_s", "deliveries/s"),
    ("settled_per_s", "settled/s"),
    ("server_us", "server µs"),
    ("dispatcher_us", "dispatcher µs"),
    ("sink_us", "receiver µs"),
    ("claim_us", "claim µs"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("p999_ms", "p99.9 ms"),
    ("memory_mib", "memory MiB"),
];

pub(crate) fn print(samples: &[&Sample]) {
    let headings = METRICS.map(|(_, heading)| heading);
    println!("| scenario | subject | {} |", headings.join(" | "));
    println!("|---|---|{}", "---:|".repeat(headings.len()));
    for (scenario, subject) in distinct(samples, |sample| (&sample.scenario, &sample.subject)) {
        let cell = |(metric, _)| {
            let its = |sample: &&&Sample| {
                sample.metric == metric && &sample.scenario == scenario && &sample.subject == subject
            };
            let mut values: Vec<f64> = samples.iter().filter(its).map(|sample| sample.value).collect();
            median(&mut values).map(number).unwrap_or_default()
        };
        println!("| {scenario} | {subject} | {} |", METRICS.map(cell).join(" | "));
    }
}
