//! What a decision costs in the compiled filter, by the kind of token: an opaque one,
//! a capability token that the worker has verified before, and one that it has not.
//!
//! Each round has all of them, one after the other, so that whatever else the machine
//! does falls on all alike. Measured is the whole call with the headers of a request,
//! in wasmtime and without counting instructions, as cargo's `bench` profile builds
//! the host. It prints microseconds and does not judge.

use std::time::Instant;

use kya_core::CapabilityId;
use kya_core::jwt::Claims;
use kya_core::testing::capabilities::{ACTION, minted, route};
use kya_core::testing::token;
use kya_host_tests::kya::{ControlPlane, Presented, Sidecar, unmetered_filter};
use kya_host_tests::{Proxy, RequestState};

const ROUNDS: usize = 4_000;
/// Rounds before what is measured.
const WARM_UP: usize = 500;

/// The four kinds, as they are printed.
const KINDS: [&str; 4] =
    ["opaque", "opaque, again", "capability, remembered", "capability, verified"];

fn main() {
    // Whoever lists or runs tests does not want it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    let builder = Proxy::builder(&unmetered_filter())
        .workers(1)
        .vm_id("kya")
        .plugin("kya", "kya")
        .node("bench", "bench")
        .wall_clock(1_000 * 1_000_000_000);
    let mut sidecar = Sidecar::configured(builder, control.acting_configuration().to_string())
        .expect("the filter starts");
    sidecar.sync(&mut control);
    sidecar.await_reports(&mut control, 1);

    let usual = control.claims(1);
    let known = minted(&usual);
    let fresh = |n: usize| {
        let id = CapabilityId::from_bytes(u128::MAX.wrapping_sub(n as u128).to_be_bytes());
        minted(&Claims { id, ..usual.clone() })
    };
    let opaque = token(1);
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        let new = fresh(round);
        let tokens: [&dyn Presented; 4] = [&opaque, &opaque, &known, &new];
        for at in (0..KINDS.len()).map(|at| (at + round) % KINDS.len()) {
            let took = decide(&mut sidecar, tokens[at].bytes());
            if round >= WARM_UP {
                times[at].push(took);
            }
        }
    }

    println!("{ROUNDS} rounds, microseconds of one call with the headers of a request:\n");
    println!("{:<24}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99");
    for (kind, times) in KINDS.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        println!("{kind:<24}{:>9.2}{:>9.2}{:>9.2}", at(50), at(90), at(99));
    }
    let p50 = |at: usize| times[at][times[at].len() / 2];
    println!("\nremembered beside opaque, at p50: {:+.2} µs", p50(2) - p50(0));
    println!("opaque beside itself, at p50: {:+.2} µs", p50(1) - p50(0));
}

/// Sends a request by this token, and says how long its decision took.
fn decide(sidecar: &mut Sidecar, token: &[u8]) -> f64 {
    let (method, path) = route(ACTION);
    let bearer = [b"Bearer ", token].concat();
    let headers = [
        (":method", method.as_bytes()),
        (":path", path.as_bytes()),
        ("authorization", bearer.as_slice()),
    ];
    let begun = Instant::now();
    let request = sidecar.proxy.begin(0, &headers);
    let took = begun.elapsed().as_secs_f64() * 1e6;
    assert_eq!(sidecar.proxy.state(&request), RequestState::Forwarded);
    let _ = sidecar.proxy.finish(request);
    took
}
