//! The figures of stops: how fast they are heard of, and what becomes of kills.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntGauge};

use super::making::Making;
use super::whole;

/// How a kill was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Every worker that was there had acknowledged it, and nothing was in flight any more.
    Complete,
    /// Nothing more was awaited, but a worker was lost that had not acknowledged it.
    Unacknowledged,
    /// The time was over, and not all was known.
    TimedOut,
    /// Nobody was there.
    NobodyThere,
}

impl Closing {
    const ALL: [Self; 4] =
        [Self::Complete, Self::Unacknowledged, Self::TimedOut, Self::NobodyThere];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Unacknowledged => "unacknowledged",
            Self::TimedOut => "timed_out",
            Self::NobodyThere => "nobody_there",
        }
    }
}

/// The figures of stops.
#[derive(Debug)]
pub(crate) struct KillMetrics {
    acknowledged: Histogram,
    unacknowledged: IntCounter,
    opened: IntCounter,
    closed: HistogramVec,
    open: IntGauge,
    oldest: IntGauge,
    laggards: IntGauge,
}

impl KillMetrics {
    pub(super) fn new(making: Making<'_>) -> Result<Self, prometheus::Error> {
        let closed = making.histograms(
            (
                "kya_kill_closing_seconds",
                "From a kill until its last row was appended by this server, by outcome: complete, unacknowledged, timed_out, nobody_there.",
            ),
            &["outcome"],
            &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0],
        )?;
        for outcome in Closing::ALL {
            closed.get_metric_with_label_values(&[outcome.as_str()])?;
        }
        Ok(Self {
            acknowledged: making.histogram(
                (
                    "kya_stop_acknowledgement_seconds",
                    "From the commit of a stop until the last connected worker had acknowledged it.",
                ),
                &[
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                    30.0, 60.0, 120.0,
                ],
            )?,
            unacknowledged: making.counter(
                "kya_stops_unacknowledged_total",
                "Stops that not every connected worker had acknowledged after a minute, or three where one pulls.",
            )?,
            opened: making.counter(
                "kya_kills_opened_total",
                "Kills whose first row this server has appended to the audit trail.",
            )?,
            closed,
            open: making.gauge("kya_kills_open", "Kills in the audit trail that are not closed.")?,
            oldest: making.gauge(
                "kya_kill_oldest_open_seconds",
                "Age of the oldest kill that is not closed; 0 if all are.",
            )?,
            laggards: making.gauge(
                "kya_kill_laggards",
                "Workers that have not acknowledged a kill that is not closed.",
            )?,
        })
    }

    /// Everybody had heard of a stop after this time.
    pub(crate) fn stop_acknowledged(&self, after: Duration) {
        self.acknowledged.observe(after.as_secs_f64());
    }

    /// Not everybody did in time.
    pub(crate) fn stop_unacknowledged(&self) {
        self.unacknowledged.inc();
    }

    pub(crate) fn opened(&self) {
        self.opened.inc();
    }

    pub(crate) fn closed(&self, how: Closing, after: Duration) {
        self.closed.with_label_values(&[how.as_str()]).observe(after.as_secs_f64());
    }

    /// Those that are open now, the age of the oldest, and workers that they wait for.
    pub(crate) fn are_open(&self, open: usize, oldest: Duration, laggards: usize) {
        self.open.set(whole(open));
        self.oldest.set(whole(oldest.as_secs()));
        self.laggards.set(whole(laggards));
    }
}
