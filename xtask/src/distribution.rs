//! Percentiles, and a picture of them.

use serde::Serialize;

const BAR: usize = 50;

/// The spread of some times, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Distribution {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Distribution {
    /// Of `times`; nothing of nothing. A percentile is the smallest time that
    /// so many are not above (nearest rank), so it is one that happened.
    pub(crate) fn of(times: &[f64]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).map(|ms| (ms * 1000.0).round() / 1000.0)
        };
        Some(Self {
            min: rank(0)?,
            p50: rank(50)?,
            p90: rank(90)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

/// A spread in one line.
pub(crate) fn line(spread: &Option<Distribution>) -> String {
    match spread {
        Some(Distribution { min, p50, p90, p99, max }) => {
            format!("min {min}  p50 {p50}  p90 {p90}  p99 {p99}  max {max}")
        }
        None => "nothing was measured".to_owned(),
    }
}

/// `times` counted into bins of doubling width, a line each.
pub(crate) fn histogram(times: &[f64]) -> String {
    let mut bins: Vec<(f64, f64, usize)> = Vec::new();
    let (mut low, mut high) = (0.0, 0.25);
    let largest = times.iter().copied().fold(0.0, f64::max);
    while low <= largest {
        let count = times.iter().filter(|ms| (low..high).contains(*ms)).count();
        bins.push((low, high, count));
        (low, high) = (high, high * 2.0);
    }
    let most = bins.iter().map(|bin| bin.2).max().unwrap_or(0).max(1);
    let first = bins.iter().position(|bin| bin.2 > 0).unwrap_or(0);
    let mut text = String::new();
    for (low, high, count) in bins.into_iter().skip(first) {
        let bar = "█".repeat((count * BAR).div_ceil(most));
        text.push_str(&format!("  {low:>7.2} – {high:>7.2} ms  {count:>5}  {bar}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_happened() {
        let times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let spread = Distribution::of(&times).unwrap();
        assert_eq!(spread, Distribution { min: 1.0, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 });
        assert_eq!(Distribution::of(&[7.0]).unwrap().p99, 7.0);
        assert_eq!(Distribution::of(&[]), None);
    }

    #[test]
    fn every_time_is_in_one_bin() {
        let drawn = histogram(&[0.3, 0.4, 0.6, 9.0]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[0].contains("0.25 –    0.50 ms      2"), "{drawn}");
        assert!(lines.last().unwrap().contains("8.00 –   16.00 ms      1"), "{drawn}");
        assert!(!histogram(&[]).contains('█'));
    }
}
