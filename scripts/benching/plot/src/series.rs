//! A panel per metric, over minutes: a line per scenario, subject and run.

use std::path::Path;

use plotters::prelude::*;

use super::{Area, FAINT, FONT, INK, Sample, distinct, number, words};

const WIDTH: u32 = 900;
const LEGEND_HEIGHT: u32 = 32;
const PANEL_HEIGHT: u32 = 220;
const LEFT: i32 = 12;

pub(crate) fn draw(samples: &[&Sample], out: &Path) -> anyhow::Result<()> {
    let metrics = distinct(samples, |sample| sample.metric.as_str());
    let height = LEGEND_HEIGHT + PANEL_HEIGHT * u32::try_from(metrics.len())?;
    let root = SVGBackend::new(out, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (legend, panels) = root.split_vertically(LEGEND_HEIGHT);
    draw_legend(&legend, samples)?;
    let minutes = samples.iter().map(|sample| minute(sample)).fold(f64::MIN_POSITIVE, f64::max);
    for (panel, metric) in panels.split_evenly((metrics.len(), 1)).iter().zip(metrics) {
        let its: Vec<_> = samples.iter().copied().filter(|sample| sample.metric == metric).collect();
        draw_panel(panel, &its, minutes)?;
    }
    root.present()?;
    Ok(())
}

fn minute(sample: &Sample) -> f64 {
    sample.at_s.unwrap_or_default() / 60.0
}

/// The subjects, in the colours of their lines.
fn draw_legend(legend: &Area<'_>, samples: &[&Sample]) -> anyhow::Result<()> {
    let text = (FONT, 15).into_font().color(&INK);
    for (left, (subject, color)) in
        (LEFT..).step_by(170).zip(distinct(samples, |sample| (sample.subject.as_str(), sample.color())))
    {
        legend.draw(&PathElement::new([(left, 18), (left + 18, 18)], color.stroke_width(3)))?;
        legend.draw(&Text::new(subject.to_owned(), (left + 24, 11), text.clone()))?;
    }
    Ok(())
}

fn draw_panel(panel: &Area<'_>, samples: &[&Sample], minutes: f64) -> anyhow::Result<()> {
    let Some(first) = samples.first() else { return Ok(()) };
    let greatest = samples.iter().map(|sample| sample.value).fold(f64::MIN_POSITIVE, f64::max);
    let title = format!("{}, {}", words(&first.metric), first.unit);
    panel.draw(&Text::new(title, (LEFT, 4), (FONT, 15).into_font().color(&INK)))?;
    let mut chart = ChartBuilder::on(panel)
        .margin_top(28)
        .margin_right(20)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..minutes, 0.0..greatest * 1.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_desc("minutes")
        .x_labels(12)
        .y_labels(5)
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .draw()?;
    let line = |sample: &Sample| (sample.scenario.clone(), sample.subject.clone(), sample.run);
    for key in distinct(samples, line) {
        let its = samples.iter().filter(|sample| line(sample) == key);
        let color = its.clone().next().map_or(INK, |sample| sample.color());
        let points = its.map(|sample| (minute(sample), sample.value));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    }
    Ok(())
}

/// A number without the zeros that say nothing.
fn tick(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
