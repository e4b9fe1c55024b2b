//! The kinds of metrics, and how each is built.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

use super::LeaderRole;

/// What is needed to build one metric.
pub(super) struct MetricOptions<'a> {
    pub(super) opts: Opts,
    pub(super) labels: &'a [&'a str],
    /// Upper bounds, for histograms.
    pub(super) buckets: &'a [f64],
    /// The label values that are exported from the start.
    pub(super) known: Vec<Vec<&'static str>>,
}

/// A type of metric.
pub(super) trait Metric: Sized {
    /// The type in the exposition format.
    const TYPE: &'static str;
    /// The leader that alone exports the metric.
    const LEADER: Option<LeaderRole> = None;

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self>;

    /// Exports the metric while this instance is the leader, and only then.
    fn lead(&self, _leader: LeaderRole, _leads: bool) {}
}

impl Metric for IntCounter {
    const TYPE: &'static str = "counter";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        Self::with_opts(declared.opts)
    }
}

impl Metric for IntCounterVec {
    const TYPE: &'static str = "counter";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        let counters = Self::new(declared.opts, declared.labels)?;
        for values in &declared.known {
            counters.get_metric_with_label_values(values)?;
        }
        Ok(counters)
    }
}

impl Metric for IntGauge {
    const TYPE: &'static str = "gauge";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        Self::with_opts(declared.opts)
    }
}

impl Metric for IntGaugeVec {
    const TYPE: &'static str = "gauge";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        Self::new(declared.opts, declared.labels)
    }
}

impl Metric for Histogram {
    const TYPE: &'static str = "histogram";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::from(declared.opts).buckets(declared.buckets.to_vec()))
    }
}

impl Metric for HistogramVec {
    const TYPE: &'static str = "histogram";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        let opts = HistogramOpts::from(declared.opts).buckets(declared.buckets.to_vec());
        let histograms = Self::new(opts, declared.labels)?;
        for values in &declared.known {
            histograms.get_metric_with_label_values(values)?;
        }
        Ok(histograms)
    }
}

/// A gauge of a quantity that may be unknown. While the quantity is unknown, the metric has no series, because neither 0 nor
/// the last value would be correct.
#[derive(Debug, Clone)]
pub struct MeasuredGauge(GaugeVec);

impl MeasuredGauge {
    /// Sets the quantity; `None` if it is unknown.
    pub fn set(&self, quantity: Option<f64>) {
        match quantity {
            Some(quantity) => self.gauge().set(quantity),
            None => self.0.reset(),
        }
    }

    fn gauge(&self) -> Gauge {
        self.0.with_label_values::<&str>(&[])
    }
}

impl Collector for MeasuredGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

impl Metric for MeasuredGauge {
    const TYPE: &'static str = "gauge";

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        GaugeVec::new(declared.opts, declared.labels).map(Self)
    }
}

/// Gauges that only the leader among the relays exports.
pub type RelayGauges = LeaderGauges<RelayLeads>;
/// Gauges that only the leader among the housekeepers exports.
pub type HousekeeperGauges = LeaderGauges<HousekeeperLeads>;

/// The role whose leader exports a metric.
pub trait Leads: Clone + Send + Sync + 'static {
    const LEADER: LeaderRole;
}

#[derive(Debug, Clone)]
pub struct RelayLeads;

impl Leads for RelayLeads {
    const LEADER: LeaderRole = LeaderRole::Relay;
}

#[derive(Debug, Clone)]
pub struct HousekeeperLeads;

impl Leads for HousekeeperLeads {
    const LEADER: LeaderRole = LeaderRole::Housekeeper;
}

/// Gauges about the whole database, which only the leader exports. Other instances export no series: their values would be 0
/// or outdated, and a sum over all instances would be wrong. Values that are set after the leadership was lost are not
/// exported either.
#[derive(Debug, Clone)]
pub struct LeaderGauges<L> {
    gauges: GaugeVec,
    leads: Arc<AtomicBool>,
    _role: std::marker::PhantomData<L>,
}

impl<L> LeaderGauges<L> {
    /// Sets the only series of a metric without labels.
    pub fn set(&self, value: f64) {
        self.gauges.with_label_values::<&str>(&[]).set(value);
    }
}

impl<L> Deref for LeaderGauges<L> {
    type Target = GaugeVec;

    fn deref(&self) -> &GaugeVec {
        &self.gauges
    }
}

impl<L: Leads> Collector for LeaderGauges<L> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.leads.load(Ordering::Acquire) { self.gauges.collect() } else { Vec::new() }
    }
}

impl<L: Leads> Metric for LeaderGauges<L> {
    const TYPE: &'static str = "gauge";
    const LEADER: Option<LeaderRole> = Some(L::LEADER);

    fn build(declared: MetricOptions<'_>) -> prometheus::Result<Self> {
        let gauges = GaugeVec::new(declared.opts, declared.labels)?;
        Ok(Self { gauges, leads: Arc::default(), _role: std::marker::PhantomData })
    }

    fn lead(&self, leader: LeaderRole, leads: bool) {
        if leader == L::LEADER && self.leads.swap(leads, Ordering::AcqRel) != leads {
            self.gauges.reset();
        }
    }
}
