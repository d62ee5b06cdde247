//! Shows the figures of `scripts/bench` as a table or as SVG, from the lines of JSON that it wrote.
//!
//! ```text
//! plot table FILE...                   a row per scenario and subject: medians over runs
//! plot bars --out FILE.svg FILE...     a panel per scenario and metric: a bar per subject
//! plot series --out FILE.svg FILE...   a panel per metric over time: a line per scenario, subject and run
//! ```
//!
//! Lines with `at_s` belong to series, the others to table and bars; metrics that a figure does not know are left out of it.

mod bars;
mod series;
mod table;

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, RGBColor, SVGBackend};
use serde::Deserialize;

/// A place to draw on, in pixels.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const FAINT: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const OURS: RGBColor = RGBColor(0x4c, 0x8b, 0xc9);
const THEIRS: RGBColor = RGBColor(0xb0, 0xb8, 0xc1);
const FONT: &str = "sans-serif";

/// Shows the figures of scripts/bench.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Subcommand)]
enum Figure {
    /// Medians over runs, as a Markdown table on stdout.
    Table {
        /// Lines of JSON, one sample each.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Medians over runs, with a whisker from the least to the greatest.
    Bars(Files),
    /// Values over time.
    Series(Files),
}

#[derive(Args)]
struct Files {
    /// The SVG to write.
    #[arg(long)]
    out: PathBuf,
    /// Lines of JSON, one sample each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// One measured value.
#[derive(Deserialize)]
struct Sample {
    scenario: String,
    subject: String,
    #[serde(default)]
    run: u32,
    metric: String,
    value: f64,
    unit: String,
    at_s: Option<f64>,
}

impl Sample {
    /// Postrider and its variants stand out from the peers.
    fn color(&self) -> RGBColor {
        if self.subject.starts_with("postrider") { OURS } else { THEIRS }
    }
}

/// Every sample of these files, in their order.
fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for path in files {
        let text = read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let sample = serde_json::from_str(line);
            samples.push(sample.with_context(|| format!("{}, line {}", path.display(), index + 1))?);
        }
    }
    Ok(samples)
}

/// What a metric's panel is called; those that have no words yet keep their name.
fn words(metric: &str) -> &str {
    match metric {
        "deliveries_per_s" => "deliveries per second",
        "server_us" => "server CPU per delivery",
        "dispatcher_us" => "dispatcher CPU per delivery",
        "p50_ms" => "latency, median",
        "p99_ms" => "latency, 99th percentile",
        other => other,
    }
}

/// The different keys, in the order in which they come first.
fn distinct<'a, K: PartialEq>(samples: &[&'a Sample], key: impl Fn(&'a Sample) -> K) -> Vec<K> {
    let mut keys = Vec::new();
    for sample in samples {
        let key = key(sample);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Three significant digits, and thousands apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut apart = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + fraction
}

fn draw(
    files: &Files,
    figure: impl Fn(&[&Sample], &Path) -> anyhow::Result<()>,
    is_its: impl Fn(&Sample) -> bool,
) -> anyhow::Result<()> {
    let samples = read(&files.files)?;
    let its: Vec<_> = samples.iter().filter(|sample| is_its(sample)).collect();
    anyhow::ensure!(!its.is_empty(), "nothing to draw in these files");
    figure(&its, &files.out)
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().figure {
        Figure::Table { files } => {
            let samples = read(&files)?;
            table::print(&samples.iter().filter(|sample| sample.at_s.is_none()).collect::<Vec<_>>());
            Ok(())
        }
        Figure::Bars(files) => {
            let is_its =
                |sample: &Sample| sample.at_s.is_none() && bars::METRICS.contains(&sample.metric.as_str());
            draw(&files, bars::draw, is_its)
        }
        Figure::Series(files) => draw(&files, series::draw, |sample| sample.at_s.is_some()),
    }
}
