//! What a decision costs in the compiled filter, by the kind of token: an opaque one that
//! was looked up before, one that was not, a capability token that the worker has verified
//! before, and one that it has not.
//!
//! Each round has all of them, one after the other, so that whatever else the machine
//! does falls on all alike. Measured is the whole call with the headers of a request,
//! in wasmtime and without counting instructions, as cargo's `bench` profile builds
//! the host. It prints microseconds and does not judge; figures that are the same each time,
//! and judged, are those of `cargo xtask bench instructions`.
//!
//! Before that, what these are made of, natively; then what recording for the audit trail
//! adds to a whole request, and what a delta takes.

mod native;
mod updates;

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

/// The kinds, as they are printed.
const KINDS: [&str; 5] = [
    "opaque",
    "opaque, again",
    "opaque, looked up",
    "capability, remembered",
    "capability, verified",
];

/// What the audit trail is configured to, as it is printed.
const AUDITS: [(&str, &str); 4] = [
    ("audit off", r#"{"mode": "off", "filter_state": false}"#),
    ("filter state alone", r#"{"mode": "off"}"#),
    ("audit alone", r#"{"filter_state": false}"#),
    ("audit and filter state", "{}"),
];
/// Requests after which time passes, so that what was recorded is sent.
const BATCH: usize = 400;

fn main() {
    // Whoever lists or runs tests does not want it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    native::natively();
    tokens();
    audit();
    updates::updates();
}

/// What a whole request costs, without a body, by what is recorded of it: headers,
/// response, end, and its share of what is sent then.
fn audit() {
    let mut sidecars: Vec<_> = AUDITS
        .iter()
        .map(|(_, audit)| {
            let mut control = ControlPlane::default();
            control.trust(&[0]);
            let mut configuration = control.acting_configuration();
            configuration["audit"] = serde_json::from_str(audit).expect("it is JSON");
            let mut sidecar =
                Sidecar::configured(builder(), configuration.to_string()).expect("it starts");
            sidecar.sync(&mut control);
            sidecar.await_reports(&mut control, 1);
            (control, sidecar)
        })
        .collect();
    let token = token(1);
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut sending = [0.0f64; 4];
    for round in 0..WARM_UP + ROUNDS {
        for at in (0..AUDITS.len()).map(|at| (at + round) % AUDITS.len()) {
            let (control, sidecar) = &mut sidecars[at];
            let took = whole(sidecar, token.bytes());
            if round >= WARM_UP {
                times[at].push(took);
            }
            if round % BATCH == BATCH - 1 {
                let begun = Instant::now();
                sidecar.proxy.tick(kya_host_tests::VmName::Worker(0));
                sending[at] += begun.elapsed().as_secs_f64() * 1e6;
                sidecar.serve(control);
            }
        }
    }
    println!("\n{ROUNDS} rounds, microseconds of a whole request without a body:\n");
    println!("{:<24}{:>9}{:>9}{:>9}{:>16}", "", "p50", "p90", "p99", "a tick's share");
    let mut p50 = [0.0; 4];
    for (at, ((name, _), times)) in AUDITS.iter().zip(&mut times).enumerate() {
        let [half, p90, p99] = [50, 90, 99].map(|percent| percentile(times, percent));
        p50[at] = half;
        let share = sending[at] / ((WARM_UP + ROUNDS) as f64);
        println!("{name:<24}{half:>9.2}{p90:>9.2}{p99:>9.2}{share:>16.2}");
    }
    println!("\naudit beside none, at p50: {:+.2} µs", p50[2] - p50[0]);
    println!("with the filter state: {:+.2} µs", p50[3] - p50[0]);
}

/// Sends a request to its end, and says how long the filter took.
fn whole(sidecar: &mut Sidecar, token: &[u8]) -> f64 {
    let (method, path) = route(ACTION);
    let bearer = [b"Bearer ", token].concat();
    let headers = [
        (":method", method.as_bytes()),
        (":path", path.as_bytes()),
        ("authorization", bearer.as_slice()),
        ("x-request-id", b"7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a"),
        ("user-agent", b"curl/8.5.0"),
        ("accept", b"*/*"),
    ];
    let answer: [(&str, &[u8]); 3] = [
        ("content-type", b"application/json"),
        ("content-length", b"17"),
        ("x-envoy-upstream-service-time", b"3"),
    ];
    let begun = Instant::now();
    let request = sidecar.proxy.begin(0, &headers);
    sidecar.proxy.upstream_answers(&request, 200, &answer, false);
    sidecar.proxy.upstream_sends(&request, b"{\"amount\": 12345}", true);
    let took = begun.elapsed().as_secs_f64() * 1e6;
    assert_eq!(sidecar.proxy.state(&request), RequestState::Done);
    let _ = sidecar.proxy.finish(request);
    took
}

/// The time that so many percent of them are not above.
fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn builder() -> kya_host_tests::ProxyBuilder {
    Proxy::builder(&unmetered_filter())
        .workers(1)
        .vm_id("kya")
        .plugin("kya", "kya")
        .node("bench", "bench")
        .wall_clock(1_000 * 1_000_000_000)
}

fn tokens() {
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    // Before the proxy starts, so that they are in its table.
    let others = control.issue_tokens(1, WARM_UP + ROUNDS);
    let mut sidecar = Sidecar::configured(builder(), control.acting_configuration().to_string())
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
    let mut times: [Vec<f64>; 5] = Default::default();
    for (round, other) in others.iter().enumerate() {
        let new = fresh(round);
        let tokens: [&dyn Presented; 5] = [&opaque, &opaque, other, &known, &new];
        // What is recorded is sent before there is no room for more.
        if round % BATCH == BATCH - 1 {
            sidecar.proxy.tick(kya_host_tests::VmName::Worker(0));
            sidecar.serve(&mut control);
        }
        for at in (0..KINDS.len()).map(|at| (at + round) % KINDS.len()) {
            let took = decide(&mut sidecar, tokens[at].bytes());
            if round >= WARM_UP {
                times[at].push(took);
            }
        }
    }

    println!("\n{ROUNDS} rounds, microseconds of one call with the headers of a request:\n");
    println!("{:<24}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99");
    for (kind, times) in KINDS.iter().zip(&mut times) {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(times, percent));
        println!("{kind:<24}{p50:>9.2}{p90:>9.2}{p99:>9.2}");
    }
    let mut p50 = |at: usize| percentile(&mut times[at], 50);
    println!("\nremembered beside opaque, at p50: {:+.2} µs", p50(3) - p50(0));
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
