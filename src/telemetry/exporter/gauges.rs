//! Gauges that are made anew for each scrape, so that an endpoint or a database that is gone is not exported any more.

use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts, Registry};

/// The gauges of one scrape.
#[derive(Default)]
pub(super) struct Gauges(Registry);

impl Gauges {
    pub(super) fn set(&mut self, name: &str, help: &str, value: impl Value) -> prometheus::Result<()> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value.into_float());
        self.0.register(Box::new(gauge))
    }

    /// One gauge for each value of a label.
    pub(super) fn set_each<'a, V: Value>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, V)>,
    ) -> prometheus::Result<()> {
        let gauges = GaugeVec::new(Opts::new(name, help), &[label])?;
        for (of, value) in values {
            gauges.get_metric_with_label_values(&[of])?.set(value.into_float());
        }
        self.0.register(Box::new(gauges))
    }

    /// One gauge for each pair of values of two labels.
    pub(super) fn set_pairs<'a, V: Value>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: impl IntoIterator<Item = ([&'a str; 2], V)>,
    ) -> prometheus::Result<()> {
        let gauges = GaugeVec::new(Opts::new(name, help), &labels)?;
        for (of, value) in values {
            gauges.get_metric_with_label_values(&of)?.set(value.into_float());
        }
        self.0.register(Box::new(gauges))
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}

/// A value that a gauge may show, in base units.
pub(super) trait Value {
    fn into_float(self) -> f64;
}

impl Value for f64 {
    fn into_float(self) -> f64 {
        self
    }
}

impl Value for bool {
    fn into_float(self) -> f64 {
        self.into()
    }
}

impl Value for Duration {
    fn into_float(self) -> f64 {
        self.as_secs_f64()
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact up to 2^53")]
impl Value for i64 {
    fn into_float(self) -> f64 {
        self as f64
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact up to 2^53")]
impl Value for usize {
    fn into_float(self) -> f64 {
        self as f64
    }
}

impl Value for u32 {
    fn into_float(self) -> f64 {
        self.into()
    }
}
