//! Registering a metric, and keeping the list of all of them.
//!
//! In: name, labels, help. Out: the metric, in the registry and on the list.
//!
//! # Invariants
//! - What is registered is listed, so that documents and dashboards can be held to it.
//!
//! Deliberately unknown here: which metrics there are.

use prometheus::core::Collector;
use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// A metric that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it is.
    pub help: &'static str,
}

/// A label's names.
pub type Labels = &'static [&'static str];

/// Where metrics are registered.
#[derive(Default)]
pub struct Register {
    /// Where they are gathered.
    pub registry: Registry,
    /// All of them.
    pub listed: Vec<Listed>,
}

type Text = &'static str;

impl Register {
    fn add<M: Collector + Clone + 'static>(
        &mut self,
        kind: Text,
        (name, labels, help): (Text, Labels, Text),
        made: impl FnOnce(Opts) -> Result<M, Error>,
    ) -> Result<M, Error> {
        let metric = made(Opts::new(name, help))?;
        self.registry.register(Box::new(metric.clone()))?;
        self.listed.push(Listed { name, labels, kind, help });
        Ok(metric)
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: Text, help: Text) -> Result<IntCounter, Error> {
        self.add("counter", (name, &[], help), IntCounter::with_opts)
    }

    /// Counters.
    pub fn counters(
        &mut self,
        name: Text,
        labels: Labels,
        help: Text,
    ) -> Result<IntCounterVec, Error> {
        self.add("counter", (name, labels, help), |opts| IntCounterVec::new(opts, labels))
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: Text, help: Text) -> Result<IntGauge, Error> {
        self.add("gauge", (name, &[], help), IntGauge::with_opts)
    }

    /// Gauges of whole numbers; without labels, one that need not be there.
    pub fn gauges(&mut self, name: Text, labels: Labels, help: Text) -> Result<IntGaugeVec, Error> {
        self.add("gauge", (name, labels, help), |opts| IntGaugeVec::new(opts, labels))
    }

    /// Gauges of fractions.
    pub fn fractions(&mut self, name: Text, labels: Labels, help: Text) -> Result<GaugeVec, Error> {
        self.add("gauge", (name, labels, help), |opts| GaugeVec::new(opts, labels))
    }

    /// A histogram without labels.
    pub fn histogram(
        &mut self,
        name: Text,
        buckets: &[f64],
        help: Text,
    ) -> Result<Histogram, Error> {
        let buckets = buckets.to_vec();
        self.add("histogram", (name, &[], help), |opts| {
            Histogram::with_opts(HistogramOpts { common_opts: opts, buckets })
        })
    }

    /// Histograms.
    pub fn histograms(
        &mut self,
        name: Text,
        labels: Labels,
        buckets: &[f64],
        help: Text,
    ) -> Result<HistogramVec, Error> {
        let buckets = buckets.to_vec();
        self.add("histogram", (name, labels, help), |opts| {
            HistogramVec::new(HistogramOpts { common_opts: opts, buckets }, labels)
        })
    }
}

/// Begin at 0 what a closed set of labels can say: a series that appears with its first count shows
/// no increase.
pub fn begin(counters: &IntCounterVec, values: &[&[&str]]) {
    for labels in values {
        counters.with_label_values(labels);
    }
}
