//! From the rounds of a measurement to figures with intervals.
//!
//! In a round every variant has its turn, so that what the machine does in that round
//! is in all of them. Whatever is compared is compared within rounds: an interval comes
//! from drawing whole rounds anew, with replacement (the paired bootstrap, by
//! percentiles), and never from two variants that were drawn apart.

use serde::Serialize;

/// How often the rounds are drawn anew.
const DRAWS: usize = 4_000;
/// What is outside of an interval at each of its ends.
const TAIL: f64 = 0.025;

/// A figure, and the interval that holds it in 95 of 100 draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Estimate {
    /// The same with so many digits after the point.
    pub(super) fn rounded(self, digits: i32) -> Self {
        let scale = 10f64.powi(digits);
        let round = |value: f64| (value * scale).round() / scale;
        Self { value: round(self.value), low: round(self.low), high: round(self.high) }
    }
}

/// The median; of an even number, the mean of the two in the middle. Of nothing, or
/// where one is not a number, there is none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let (upper, lower) = (values.len() / 2, values.len().checked_sub(1)? / 2);
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((sorted.get(upper)? + sorted.get(lower)?) / 2.0)
}

/// The smallest of `values` that a part `part` of them is not above (nearest rank).
pub(super) fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * part).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// The median of `values`, which are of one round each.
pub(super) fn of_median(values: &[f64]) -> Option<Estimate> {
    bootstrap(values.len(), |rounds| median(&drawn(values, rounds)))
}

/// The median of one series by the median of another of the same rounds. There is none
/// where the second is not above zero: a part of nothing is not known.
pub(super) fn of_ratio(above: &[f64], below: &[f64]) -> Option<Estimate> {
    if above.len() != below.len() {
        return None;
    }
    bootstrap(above.len(), |rounds| {
        let below = median(&drawn(below, rounds))?;
        let above = median(&drawn(above, rounds))?;
        (below > 0.0).then(|| above / below)
    })
}

/// How far two series of the same thing are apart in a round: what 95 of 100 rounds do
/// not exceed.
pub(super) fn spread(one: &[f64], other: &[f64]) -> Option<f64> {
    let apart: Vec<f64> = one.iter().zip(other).map(|(one, other)| (one - other).abs()).collect();
    quantile(&apart, 0.95)
}

fn drawn(values: &[f64], rounds: &[usize]) -> Vec<f64> {
    rounds.iter().filter_map(|round| values.get(*round)).copied().collect()
}

/// `statistic` of all rounds, and its interval over rounds that are drawn anew. A draw
/// for which there is no statistic counts as one beyond every number.
fn bootstrap(rounds: usize, statistic: impl Fn(&[usize]) -> Option<f64>) -> Option<Estimate> {
    let all: Vec<usize> = (0..rounds).collect();
    let value = statistic(&all)?;
    let mut draw = Draw::default();
    let mut values = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let picked: Vec<usize> = all.iter().map(|_| draw.below(rounds)).collect();
        values.push(statistic(&picked).unwrap_or(f64::INFINITY));
    }
    let (low, high) = (quantile(&values, TAIL)?, quantile(&values, 1.0 - TAIL)?);
    Some(Estimate { value, low, high })
}

/// SplitMix64: the same numbers in every run, so that a result can be computed again
/// from the figures of its rounds.
#[derive(Debug, Default, Clone)]
pub(super) struct Draw(u64);

impl Draw {
    /// One that begins somewhere else.
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        (wide >> 64) as usize
    }

    /// The numbers below `count`, in a random order.
    pub(super) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
