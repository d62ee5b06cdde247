//! For each scenario a panel per metric, in it a bar per subject: the median over runs, written beside it, with a whisker
//! from the least to the greatest.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, FAINT, FONT, INK, Sample, distinct, number, words};

/// What a panel is drawn of, in the order of the panels.
pub(crate) const METRICS: [&str; 5] = ["deliveries_per_s", "server_us", "dispatcher_us", "p50_ms", "p99_ms"];

/// More would be unreadable at the width of a page.
const COLUMNS: usize = 3;
const PANEL_WIDTH: i32 = 320;
const NAMES_WIDTH: i32 = 124;
/// What the longest bar leaves for the value beside it.
const VALUE_WIDTH: i32 = 60;
const HEADING_HEIGHT: i32 = 34;
const TITLE_HEIGHT: i32 = 24;
const BAR_HEIGHT: i32 = 16;
const BAR_PITCH: i32 = 24;
const MARGIN: i32 = 16;

/// One subject's runs of one scenario, by one metric.
struct Bar<'a> {
    first: &'a Sample,
    median: f64,
    least: f64,
    greatest: f64,
}

/// One metric of one scenario.
type Panel<'a> = Vec<Bar<'a>>;

impl<'a> Bar<'a> {
    fn new(runs: &[&'a Sample]) -> Option<Self> {
        let mut values: Vec<_> = runs.iter().map(|sample| sample.value).collect();
        let median = median(&mut values)?;
        let (least, greatest) = (*values.first()?, *values.last()?);
        Some(Self { first: runs.first()?, median, least, greatest })
    }
}

/// Sorts them.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

pub(crate) fn draw(samples: &[&Sample], out: &Path) -> anyhow::Result<()> {
    let scenarios: Vec<_> = distinct(samples, |sample| sample.scenario.as_str())
        .into_iter()
        .map(|scenario| (scenario, panels(samples, scenario)))
        .collect();
    let columns = scenarios.iter().map(|(_, panels)| panels.len().min(COLUMNS)).max().unwrap_or_default();
    let width = 2 * MARGIN + PANEL_WIDTH * i32::try_from(columns)?;
    let scenario_height =
        |panels: &[Panel<'_>]| HEADING_HEIGHT + panels.chunks(COLUMNS).map(row_height).sum::<i32>();
    let height = 2 * MARGIN + scenarios.iter().map(|(_, panels)| scenario_height(panels)).sum::<i32>();
    let root = SVGBackend::new(out, (width.try_into()?, height.try_into()?)).into_drawing_area();
    root.fill(&WHITE)?;

    let heading = (FONT, 19, FontStyle::Bold).into_font().color(&INK);
    let mut top = MARGIN;
    for (scenario, panels) in &scenarios {
        root.draw(&Text::new((*scenario).to_owned(), (MARGIN, top), heading.clone()))?;
        top += HEADING_HEIGHT;
        for row in panels.chunks(COLUMNS) {
            for (left, bars) in (MARGIN..).step_by(PANEL_WIDTH.try_into()?).zip(row) {
                draw_panel(&root, (left, top), bars)?;
            }
            top += row_height(row);
        }
    }
    root.present()?;
    Ok(())
}

fn panels<'a>(samples: &[&'a Sample], scenario: &str) -> Vec<Panel<'a>> {
    let of = |metric| {
        let its: Vec<_> = samples
            .iter()
            .copied()
            .filter(|sample| sample.scenario == scenario && sample.metric == metric)
            .collect();
        let runs =
            |subject| its.iter().copied().filter(|sample| sample.subject == subject).collect::<Vec<_>>();
        distinct(&its, |sample| sample.subject.as_str())
            .into_iter()
            .filter_map(|subject| Bar::new(&runs(subject)))
            .collect::<Vec<_>>()
    };
    METRICS.into_iter().map(of).filter(|bars| !bars.is_empty()).collect()
}

fn bars_height(bars: &[Bar<'_>]) -> i32 {
    BAR_PITCH * i32::try_from(bars.len()).unwrap_or_default()
}

fn row_height(panels: &[Panel<'_>]) -> i32 {
    TITLE_HEIGHT + panels.iter().map(|bars| bars_height(bars)).max().unwrap_or_default() + MARGIN
}

fn draw_panel(root: &Area<'_>, (left, top): (i32, i32), bars: &[Bar<'_>]) -> anyhow::Result<()> {
    let Some(Bar { first, .. }) = bars.first() else { return Ok(()) };
    let text = (FONT, 14).into_font().color(&INK);
    let title = format!("{}, {}", words(&first.metric), first.unit);
    root.draw(&Text::new(title, (left, top), (FONT, 15).into_font().color(&INK)))?;

    let (zero, top) = (left + NAMES_WIDTH, top + TITLE_HEIGHT);
    root.draw(&PathElement::new([(zero, top - 2), (zero, top + bars_height(bars))], FAINT.stroke_width(1)))?;
    let longest = bars.iter().map(|bar| bar.greatest).fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(PANEL_WIDTH - NAMES_WIDTH - VALUE_WIDTH - MARGIN) / longest;
    #[expect(clippy::cast_possible_truncation, reason = "no longer than a panel is wide")]
    let x = |value: f64| zero + (value * scale).round() as i32;
    for (top, bar) in (top..).step_by(BAR_PITCH.try_into()?).zip(bars) {
        let middle = top + BAR_HEIGHT / 2;
        let name = text.pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new(bar.first.subject.clone(), (zero - 6, middle), name))?;
        root.draw(&Rectangle::new(
            [(zero, top), (x(bar.median), top + BAR_HEIGHT)],
            bar.first.color().filled(),
        ))?;
        if bar.least < bar.greatest {
            let ends = [x(bar.least), x(bar.greatest)];
            root.draw(&PathElement::new(ends.map(|end| (end, middle)), INK.stroke_width(1)))?;
            for end in ends {
                root.draw(&PathElement::new([(end, middle - 3), (end, middle + 3)], INK.stroke_width(1)))?;
            }
        }
        let value = text.pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(number(bar.median), (x(bar.greatest) + 6, middle), value))?;
    }
    Ok(())
}
