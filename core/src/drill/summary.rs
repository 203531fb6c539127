//! The figures of a drill, from its samples. Pure.

use serde::{Deserialize, Serialize};

use super::in_flight::InFlight;
use super::samples::{Measured, Micros};

/// A distribution, by the nearest rank: each figure is one that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: usize,
    /// Half of them are not above it.
    pub p50: f64,
    /// The same of 90 in 100.
    pub p90: f64,
    /// The same of 99 in 100.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// One sample: what each party did, in the order of the parties.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The stop, if it has an id.
    pub kill_id: Option<String>,
    /// When every connected worker had acknowledged the stop; `None` if they had not all.
    pub acknowledged_us: Option<Micros>,
    /// The parties.
    pub parties: Vec<Measured>,
}

/// The figures of one party.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartyFigures {
    /// Samples in which the canary worked there before the stop.
    pub measured: usize,
    /// Of these, in how many it was not rejected for good.
    pub not_rejected: usize,
    /// From the stop to the first rejection.
    pub first_rejection_ms: Option<Percentiles>,
    /// From the stop to the first rejection after the last allow.
    pub last_rejection_ms: Option<Percentiles>,
    /// Requests that were allowed though they were sent after the acknowledgement.
    pub allowed_after_ack: u64,
    /// Requests that were in flight at a stop, and how they ended.
    pub in_flight: InFlight,
    /// Probes, and what became of those that say nothing.
    pub probes: u64,
    /// Not sent when they were due.
    pub missed: u64,
    /// Without an answer.
    pub unanswered: u64,
    /// Neither allowed nor rejected.
    pub other: u64,
}

/// The figures of all parties together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Per sample, the party that rejected first.
    pub first_rejection_ms: Option<Percentiles>,
    /// Per sample, the last party of those that rejected: from then on they all did.
    pub last_rejection_ms: Option<Percentiles>,
    /// Per sample that was acknowledged by all, when it was.
    pub receipt_complete_ms: Option<Percentiles>,
    /// Requests that were allowed though they were sent after the acknowledgement.
    pub allowed_after_ack: u64,
    /// Requests that were in flight at a stop, and how they ended.
    pub in_flight: InFlight,
    /// Samples that not every connected worker acknowledged.
    pub unacknowledged: usize,
}

impl Percentiles {
    /// Of these; `None` if there are none.
    pub fn of(figures: impl IntoIterator<Item = Micros>) -> Option<Self> {
        let mut sorted: Vec<_> = figures.into_iter().collect();
        sorted.sort_unstable();
        let count = sorted.len();
        let ranked = |percent: usize| {
            let rank = count.saturating_mul(percent).div_ceil(100).max(1);
            sorted.get(rank.saturating_sub(1)).map(|micros| millis(*micros))
        };
        Some(Self {
            count,
            p50: ranked(50)?,
            p90: ranked(90)?,
            p99: ranked(99)?,
            max: ranked(100)?,
        })
    }
}

fn millis(micros: Micros) -> f64 {
    // Exact: a drill does not last for 2^53 µs.
    micros as f64 / 1000.0
}

/// The figures of the party at this place.
pub fn of_party(samples: &[Sample], place: usize) -> PartyFigures {
    let all = || samples.iter().filter_map(|sample| sample.parties.get(place));
    let worked = || all().filter(|party| party.worked);
    let sum = |count: &dyn Fn(&Measured) -> u64| all().map(count).fold(0, u64::saturating_add);
    PartyFigures {
        measured: worked().count(),
        not_rejected: worked().filter(|party| party.settled_us.is_none()).count(),
        first_rejection_ms: Percentiles::of(worked().filter_map(|it| it.first_rejection_us)),
        last_rejection_ms: Percentiles::of(worked().filter_map(|it| it.settled_us)),
        allowed_after_ack: sum(&|it| it.allowed_after_ack),
        in_flight: all().map(|it| it.in_flight).fold(InFlight::default(), InFlight::and),
        probes: sum(&|it| it.probes),
        missed: sum(&|it| it.missed),
        unanswered: sum(&|it| it.unanswered),
        other: sum(&|it| it.other),
    }
}

/// The figures of all parties.
pub fn of_all(samples: &[Sample]) -> Totals {
    let first =
        |sample: &Sample| sample.parties.iter().filter_map(|it| it.first_rejection_us).min();
    let last = |sample: &Sample| sample.parties.iter().filter_map(|it| it.settled_us).max();
    let parties = || samples.iter().flat_map(|sample| &sample.parties);
    let allowed = parties().map(|it| it.allowed_after_ack);
    Totals {
        first_rejection_ms: Percentiles::of(samples.iter().filter_map(first)),
        last_rejection_ms: Percentiles::of(samples.iter().filter_map(last)),
        receipt_complete_ms: Percentiles::of(samples.iter().filter_map(|it| it.acknowledged_us)),
        allowed_after_ack: allowed.fold(0, u64::saturating_add),
        in_flight: parties().map(|it| it.in_flight).fold(InFlight::default(), InFlight::and),
        unacknowledged: samples.iter().filter(|it| it.acknowledged_us.is_none()).count(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn party(first: Option<Micros>, settled: Option<Micros>, allowed_after_ack: u64) -> Measured {
        let (first_rejection_us, settled_us) = (first, settled);
        let worked = true;
        Measured {
            worked,
            first_rejection_us,
            settled_us,
            allowed_after_ack,
            ..Measured::default()
        }
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let of = |figures: &[Micros]| Percentiles::of(figures.iter().copied());
        assert_eq!(of(&[]), None);
        let one = Percentiles { count: 1, p50: 7.5, p90: 7.5, p99: 7.5, max: 7.5 };
        assert_eq!(of(&[7500]), Some(one));
        let hundred: Vec<_> = (1..=100).rev().map(|n| n * 1000).collect();
        let expected = Percentiles { count: 100, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 };
        assert_eq!(of(&hundred), Some(expected));
        let twenty: Vec<_> = (1..=20).map(|n| n * 1000).collect();
        let expected = Percentiles { count: 20, p50: 10.0, p90: 18.0, p99: 20.0, max: 20.0 };
        assert_eq!(of(&twenty), Some(expected));
    }

    #[test]
    fn the_last_rejection_of_a_sample_is_that_of_its_last_party() {
        let sample = |acknowledged_us, parties| Sample { kill_id: None, acknowledged_us, parties };
        let samples = [
            sample(
                Some(4000),
                vec![party(Some(2000), Some(3000), 0), party(Some(1000), Some(9000), 0)],
            ),
            sample(None, vec![party(Some(5000), Some(5000), 0), party(None, None, 3)]),
        ];
        let totals = of_all(&samples);
        let max = |it: &Option<Percentiles>| it.as_ref().map(|it| (it.count, it.p50, it.max));
        assert_eq!(max(&totals.first_rejection_ms), Some((2, 1.0, 5.0)));
        assert_eq!(max(&totals.last_rejection_ms), Some((2, 5.0, 9.0)));
        assert_eq!(max(&totals.receipt_complete_ms), Some((1, 4.0, 4.0)));
        assert_eq!((totals.allowed_after_ack, totals.unacknowledged), (3, 1));
        let second = of_party(&samples, 1);
        assert_eq!((second.measured, second.not_rejected), (2, 1));
        assert_eq!(max(&second.last_rejection_ms), Some((1, 9.0, 9.0)));
    }

    proptest! {
        /// At least so many in a hundred are not above it, and one less would not be enough.
        #[test]
        fn each_percentile_is_the_least_figure_that_enough_are_not_above(
            figures in proptest::collection::vec(0i64..1000, 1..200),
        ) {
            let found = Percentiles::of(figures.iter().copied()).unwrap();
            for (percent, figure) in
                [(50, found.p50), (90, found.p90), (99, found.p99), (100, found.max)]
            {
                let within = |bound: f64| {
                    figures.iter().filter(|it| **it as f64 / 1000.0 <= bound).count() * 100
                };
                prop_assert!(within(figure) >= percent * figures.len());
                let below = figures.iter().map(|it| *it as f64 / 1000.0).filter(|it| *it < figure);
                if let Some(next) = below.fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b)))) {
                    prop_assert!(within(next) < percent * figures.len());
                }
            }
        }
    }
}
