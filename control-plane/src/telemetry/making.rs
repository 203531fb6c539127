//! Makes figures and registers them, so that none is forgotten.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

type Made<T> = Result<T, prometheus::Error>;

/// Makes figures of one registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making<'a>(pub(crate) &'a Registry);

impl Making<'_> {
    pub(crate) fn counter(self, name: &str, help: &str) -> Made<IntCounter> {
        self.registered(IntCounter::new(name, help)?)
    }

    pub(crate) fn gauge(self, name: &str, help: &str) -> Made<IntGauge> {
        self.registered(IntGauge::new(name, help)?)
    }

    /// With labels. Each of `known` is there from the beginning, at 0: the first increase of
    /// a counter that was not there is not seen by whoever asks for increases.
    pub(crate) fn counters(
        self,
        (name, help): (&str, &str),
        labels: &[&str],
        known: &[&str],
    ) -> Made<IntCounterVec> {
        let made = self.registered(IntCounterVec::new(Opts::new(name, help), labels)?)?;
        for value in known {
            made.get_metric_with_label_values(&[*value])?;
        }
        Ok(made)
    }

    pub(crate) fn gauges(self, (name, help): (&str, &str), labels: &[&str]) -> Made<IntGaugeVec> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(crate) fn histogram(self, (name, help): (&str, &str), buckets: &[f64]) -> Made<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(options)?)
    }

    pub(crate) fn histograms(
        self,
        (name, help): (&str, &str),
        labels: &[&str],
        buckets: &[f64],
    ) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(HistogramVec::new(options, labels)?)
    }

    fn registered<T: prometheus::core::Collector + Clone + 'static>(self, made: T) -> Made<T> {
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }
}
