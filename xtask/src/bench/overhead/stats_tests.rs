use super::*;

/// Rounds of a machine that is slower in some: both series have the same disturbance.
fn disturbed(base: f64, rounds: usize) -> Vec<f64> {
    let mut draw = Draw::seeded(7);
    (0..rounds).map(|_| base + draw.below(1000) as f64 / 1000.0).collect()
}

#[test]
fn the_median_is_in_the_middle_and_there_is_none_of_nothing() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[1.0, f64::NAN]), None);
}

#[test]
fn quantiles_are_values_that_were_measured() {
    let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!(quantile(&values, 0.5), Some(50.0));
    assert_eq!(quantile(&values, 0.95), Some(95.0));
    assert_eq!(quantile(&values, 0.0), Some(1.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn the_interval_of_a_median_holds_it_and_shrinks_with_more_rounds() {
    let few = of_median(&disturbed(10.0, 8)).unwrap();
    let many = of_median(&disturbed(10.0, 200)).unwrap();
    for estimate in [few, many] {
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{estimate:?}");
        assert!(estimate.low >= 10.0 && estimate.high <= 11.0, "{estimate:?}");
    }
    assert!(many.high - many.low < (few.high - few.low) / 2.0, "{few:?} {many:?}");
}

/// The half-width of a normal interval of a mean is 1.96 standard errors; that of the
/// median of normal values is 1.2533 times as wide.
#[test]
fn the_interval_is_as_wide_as_theory_says() {
    let mut draw = Draw::seeded(3);
    // The sum of twelve uniform numbers has variance 1.
    let mut normal = || (0..12).map(|_| draw.below(1 << 30) as f64 / f64::from(1 << 30)).sum();
    let values: Vec<f64> = (0..400).map(|_| normal()).collect();
    let estimate = of_median(&values).unwrap();
    let expected = 2.0 * 1.96 * 1.2533 / 400f64.sqrt();
    let width = estimate.high - estimate.low;
    assert!((width / expected - 1.0).abs() < 0.35, "{width} instead of {expected}");
}

#[test]
fn a_ratio_is_paired_by_rounds() {
    let below = disturbed(1.0, 14);
    let above: Vec<f64> = below.iter().map(|value| value * 2.0).collect();
    // Whatever the rounds did, they did it to both.
    let estimate = of_ratio(&above, &below).unwrap().rounded(9);
    assert_eq!(estimate, Estimate { value: 2.0, low: 2.0, high: 2.0 });
}

#[test]
fn a_ratio_to_nothing_is_not_known() {
    assert_eq!(of_ratio(&[1.0, 1.0], &[0.0, -1.0]), None);
    assert_eq!(of_ratio(&[1.0, 1.0], &[1.0]), None);
    assert_eq!(of_ratio(&[], &[]), None);
    // It may be nothing, so that the ratio has no upper end.
    let below = [1.0, 1.0, 1.0, -1.0, -1.0];
    assert_eq!(of_ratio(&[1.0; 5], &below).unwrap().high, f64::INFINITY);
}

#[test]
fn two_series_of_the_same_thing_are_apart_by_what_nearly_all_rounds_do_not_exceed() {
    let one: Vec<f64> = (0..100).map(f64::from).collect();
    let other = one.iter().map(|value| value + if *value < 96.0 { 1.0 } else { 50.0 });
    let other = other.collect::<Vec<f64>>();
    assert_eq!(spread(&one, &other), Some(1.0));
    assert_eq!(spread(&[], &[]), None);
}

#[test]
fn an_order_has_everybody_once_and_is_another_each_time() {
    let mut draw = Draw::seeded(1);
    let (first, second) = (draw.order(50), draw.order(50));
    assert_ne!(first, second);
    for mut order in [first, second] {
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn every_number_is_drawn_about_as_often() {
    let mut draw = Draw::seeded(9);
    let mut counts = [0u32; 5];
    (0..10_000).for_each(|_| counts[draw.below(5)] += 1);
    assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    assert_eq!(draw.below(0), 0);
}
