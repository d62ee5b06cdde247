//! A row per scenario and subject, a column per metric: the medians over runs, as a Markdown table. Builds of Postrider that
//! were measured beside it get a row of ratios each.

use super::bars::median;
use super::{Sample, distinct, number};

/// The build that the others are compared with.
const OURS: &str = "postrider";

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
        if subject.starts_with(OURS) && subject != OURS {
            let ratios =
                METRICS.map(|(metric, _)| ratio(samples, scenario, subject, metric).unwrap_or_default());
            println!("| {scenario} | {OURS} / {subject} | {} |", ratios.join(" | "));
        }
    }
}

/// Of each run our figure by the other's, then the median: a machine that becomes slower in the course of the runs changes
/// nothing in it.
fn ratio(samples: &[&Sample], scenario: &str, subject: &str, metric: &str) -> Option<String> {
    let of = |subject: &str, run: u32| {
        let is_it = |sample: &&&Sample| {
            sample.metric == metric
                && sample.scenario == scenario
                && sample.subject == subject
                && sample.run == run
        };
        samples.iter().find(is_it).map(|sample| sample.value)
    };
    let runs = distinct(samples, |sample| sample.run);
    let mut ratios: Vec<f64> =
        runs.iter().filter_map(|run| Some(of(OURS, *run)? / of(subject, *run)?)).collect();
    median(&mut ratios).map(|ratio| format!("{ratio:.3}"))
}
