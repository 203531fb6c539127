//! Whose capability tokens count: keys come and go, and each worker believes what it
//! has verified itself.

use std::time::Duration;

use kya_core::jwt::Claims;
use kya_core::testing::capabilities::{
    ACTION, ISSUER, issuer, issuer_key, minted, minted_by, taken_back,
};
use kya_core::{CapabilityId, OpaqueToken};
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};
use kya_host_tests::{HeaderMap, RequestState, VmName};
use serde_json::json;

const WORKERS: usize = 3;

/// What the check of a signature costs at least, and a remembered token at most, in
/// fuel. Measured: 2,000,000 and 40,000.
const VERIFIED: u64 = 500_000;
const REMEMBERED: u64 = 80_000;

fn running(keys: &[u8]) -> (ControlPlane, Sidecar) {
    let mut control = ControlPlane::default();
    control.trust(keys);
    let sidecar = Sidecar::acting(&mut control, WORKERS);
    (control, sidecar)
}

/// How many calls to this endpoint wait for an answer.
fn calls(sidecar: &Sidecar, path: &str) -> usize {
    let to_it = |headers: &HeaderMap| headers.get(":path") == Some(path.as_bytes());
    sidecar.calls().iter().filter(|call| to_it(&call.headers)).count()
}

/// Fuel of a request by this token.
fn fuel(sidecar: &mut Sidecar, worker: usize, token: &str) -> u64 {
    let before = sidecar.proxy.fuel_spent(VmName::Worker(worker));
    assert_allowed(&sidecar.act(worker, ACTION, token), 1);
    sidecar.proxy.fuel_spent(VmName::Worker(worker)) - before
}

#[test]
fn a_key_that_is_not_known_is_looked_for_and_never_asked_about() {
    for mode in ["deny", "introspect"] {
        let mut control = ControlPlane::default();
        control.trust(&[0]);
        let mut configuration = control.acting_configuration();
        configuration["fail_modes"] = json!({ "unknown_token": mode });
        let builder = Sidecar::builder(1);
        let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
        sidecar.sync(&mut control);
        // No pull is due, nor was there one within the last second.
        sidecar.run(&mut control, Duration::from_secs(2));
        sidecar.serves_calls = false;
        control.trust(&[0, 1]);
        sidecar.lose(&control);
        assert_eq!(calls(&sidecar, "/v1/enforcement/pull"), 0);
        let token = minted_by(&issuer_key(1), &control.claims(1));
        // Each is denied at once: nothing waits.
        for _ in 0..3 {
            assert_denied(&sidecar.act(0, ACTION, &token), 401, "token_unknown");
        }
        sidecar.proxy.run_until_idle();
        assert_eq!(calls(&sidecar, "/v1/enforcement/introspect"), 0, "{mode}");
        assert_eq!(sidecar.proxy.metric("kya.introspections"), 0, "{mode}");
        let pulls = calls(&sidecar, "/v1/enforcement/pull");
        assert_eq!(pulls, 1, "{mode}: it asks for news, once");
        // An opaque token that is not known is asked about where that is configured.
        let unknown = OpaqueToken::from_random([200; 32]);
        let request = sidecar.begin_act(0, ACTION, &unknown);
        let held = sidecar.proxy.state(&request) == RequestState::Held;
        assert_eq!(held, mode == "introspect");
        let _ = sidecar.proxy.finish(request);
        // What was lost on the stream comes with the answer.
        sidecar.serves_calls = true;
        sidecar.serve(&mut control);
        assert_allowed(&sidecar.act(0, ACTION, &token), 1);
    }
}

#[test]
fn a_malformed_token_asks_for_nothing() {
    let (_, mut sidecar) = running(&[0]);
    sidecar.serves_calls = false;
    for token in ["eyJ.eyJ.eyJ", "eyJhbGciOiJub25lIn0.e30.", "eyJ"] {
        assert_denied(&sidecar.act(0, ACTION, token), 401, "token_malformed");
    }
    sidecar.proxy.run_until_idle();
    assert_eq!(calls(&sidecar, "/v1/enforcement/pull"), 0);
}

#[test]
fn without_an_issuer_no_capability_token_is_known() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let token = minted(&control.claims(1));
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "token_unknown");
    control.trust(&[0]);
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, ACTION, &token), 1);
    }
    control.trust(&[]);
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_unknown");
    }
}

#[test]
fn keys_rotate_without_a_moment_in_which_none_counts() {
    let (mut control, mut sidecar) = running(&[0]);
    let (old, new) =
        (control.claims(1), Claims { id: CapabilityId::from_bytes([2; 16]), ..control.claims(1) });
    let (old, new) = (minted(&old), minted_by(&issuer_key(1), &new));
    let expect = |sidecar: &mut Sidecar, old_counts: bool, new_counts: bool| {
        for worker in 0..WORKERS {
            for (token, counts) in [(&old, old_counts), (&new, new_counts)] {
                let outcome = sidecar.act(worker, ACTION, token);
                if counts {
                    assert_allowed(&outcome, 1);
                } else {
                    assert_denied(&outcome, 401, "token_unknown");
                }
            }
        }
    };
    expect(&mut sidecar, true, false);
    let live = sidecar.begin_act(0, ACTION, &old);
    for (keys, old_counts, new_counts) in
        [(&[0, 1][..], true, true), (&[1], false, true), (&[1, 0], true, true), (&[1], false, true)]
    {
        control.trust(keys);
        sidecar.push(&mut control);
        expect(&mut sidecar, old_counts, new_counts);
        // Whoever begins anew reads the same.
        sidecar.proxy.crash(VmName::Worker(1));
        sidecar.proxy.replace(VmName::Worker(1)).unwrap();
        expect(&mut sidecar, old_counts, new_counts);
    }
    assert_allowed(&sidecar.proxy.finish(live), 1);
}

#[test]
fn an_issuer_of_another_name_ends_every_token_of_the_one_before() {
    let (mut control, mut sidecar) = running(&[0]);
    let claims = control.claims(1);
    let other = Claims { issuer: "https://other.example".into(), ..claims.clone() };
    let (token, other) = (minted(&claims), minted(&other));
    assert_allowed(&sidecar.act(0, ACTION, &token), 1);
    assert_denied(&sidecar.act(0, ACTION, &other), 401, "token_malformed");
    control.change(issuer("https://other.example", &[0]));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_malformed");
        assert_allowed(&sidecar.act(worker, ACTION, &other), 1);
    }
    control.change(issuer(ISSUER, &[0]));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, ACTION, &token), 1);
        assert_denied(&sidecar.act(worker, ACTION, &other), 401, "token_malformed");
    }
}

#[test]
fn each_worker_verifies_a_token_once_whatever_changes_beside_its_keys() {
    let (mut control, mut sidecar) = running(&[0]);
    let token = minted(&control.claims(1));
    for worker in 0..WORKERS {
        let first = fuel(&mut sidecar, worker, &token);
        let second = fuel(&mut sidecar, worker, &token);
        println!("fuel of a token, then of the same again: {first}, {second}");
        assert!(first >= VERIFIED, "{first}");
        assert!(second <= REMEMBERED, "{second}");
    }
    control.register(9);
    control.trust(&[0]);
    sidecar.push(&mut control);
    // One request applies what is new, unless a wake has.
    let _ = fuel(&mut sidecar, 0, &token);
    let after = fuel(&mut sidecar, 0, &token);
    assert!(after <= REMEMBERED, "{after}");
    control.trust(&[0, 1]);
    sidecar.push(&mut control);
    let others = fuel(&mut sidecar, 1, &token);
    assert!(others >= VERIFIED, "other keys: {others}");
}

#[test]
fn a_new_vm_reads_the_issuer_and_what_was_taken_back_from_shared_data() {
    let (mut control, mut sidecar) = running(&[0]);
    sidecar.set_clock(&mut control);
    let claims = control.claims(1);
    let good = Claims { id: CapabilityId::from_bytes([3; 16]), ..claims.clone() };
    let (taken, good) = (minted(&claims), minted(&good));
    control.change(taken_back(&claims));
    sidecar.push(&mut control);
    (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
    sidecar.lose_stream();
    for vm in [VmName::Worker(0), VmName::Main, VmName::Worker(2)] {
        sidecar.proxy.crash(vm);
        sidecar.proxy.replace(vm).unwrap();
        sidecar.proxy.advance(Duration::from_secs(3));
        for worker in 0..WORKERS {
            assert_allowed(&sidecar.act(worker, ACTION, &good), 1);
            assert_denied(&sidecar.act(worker, ACTION, &taken), 401, "token_revoked");
        }
    }
}
