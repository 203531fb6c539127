//! What a request, and news, cost the filter: what was committed, and no more.

use std::io::Write as _;

use kya_host_tests::kya::instructions::{baseline, differences, measure};

#[test]
fn nothing_costs_more_than_was_committed_and_all_of_it_the_same_each_time() {
    let figures = measure();
    assert_eq!(figures, measure(), "the same things cost something else the second time");
    let differences = differences(&baseline(), &figures);
    if let Some(praise) = differences.praise() {
        // Past what the harness keeps to itself of a test that passes.
        let _ = std::io::stderr().write_all(praise.as_bytes());
    }
    if let Some(complaint) = differences.complaint() {
        panic!("{complaint}");
    }
}
