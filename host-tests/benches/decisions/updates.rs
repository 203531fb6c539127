//! What a delta of one change takes in the compiled filter, from the leader that gets it
//! to the worker that decides by it.

use std::time::Instant;

use kya_host_tests::kya::{ControlPlane, Sidecar};

use crate::{builder, percentile};

const ROUNDS: usize = 1_000;
const WARM_UP: usize = 100;

pub(crate) fn updates() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::configured(builder(), control.acting_configuration().to_string())
        .expect("it starts");
    sidecar.sync(&mut control);
    sidecar.await_reports(&mut control, 1);
    let mut times = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        match round % 2 {
            0 => control.suspend(2),
            _ => control.restore(2),
        }
        let begun = Instant::now();
        sidecar.push(&mut control);
        if round >= WARM_UP {
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        assert_eq!(sidecar.proxy.metric("kya.revision"), control.revision());
        sidecar.serve(&mut control);
    }
    println!(
        "\n{ROUNDS} rounds, microseconds from a delta of one change to its worker, which both verify:\n"
    );
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&mut times, percent));
    println!("p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}");
}
