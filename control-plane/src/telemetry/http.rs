//! The figures of the HTTP API.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use super::making::Making;

/// The figures of the HTTP API.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    took: HistogramVec,
    in_flight: IntGauge,
}

/// Counts a request as being in flight until it is dropped.
pub(crate) struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    pub(super) fn new(making: Making<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: making.counters(
                ("kya_http_requests_total", "HTTP requests by route and status."),
                &["method", "route", "status"],
                &[],
            )?,
            took: making.histograms(
                (
                    "kya_http_request_seconds",
                    "From the last header of a request to the first of its answer, by route and class of status.",
                ),
                &["route", "status_class"],
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0],
            )?,
            in_flight: making.gauge("kya_http_requests_in_flight", "HTTP requests now.")?,
        })
    }

    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(crate) fn requested(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.took.with_label_values(&[route, class(status)]).observe(took.as_secs_f64());
    }
}

const fn class(status: u16) -> &'static str {
    match status {
        ..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}
