//! Capability tokens: what counts, here and now, and what does not.

use std::time::Duration;

use kya_core::UnixSeconds;
use kya_core::jwt::Claims;
use kya_core::testing::capabilities::{
    ACTION, LIFETIME, OTHER_ACTION, accepted, minted, refused, taken_back,
};
use kya_host_tests::kya::{ControlPlane, Denial, Sidecar, assert_allowed, assert_denied};

const WORKERS: usize = 2;
const NANOS: u64 = 1_000_000_000;

/// A control plane that issues capability tokens, and a sidecar that takes them.
fn running() -> (ControlPlane, Sidecar) {
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    let sidecar = Sidecar::acting(&mut control, WORKERS);
    (control, sidecar)
}

/// Lets time pass until the wall clock shows this second, less a millisecond, and
/// nobody answers the filter.
fn advance_to(sidecar: &mut Sidecar, second: u64) {
    let left = second * NANOS - sidecar.proxy.now();
    sidecar.proxy.advance(Duration::from_nanos(left) - Duration::from_millis(1));
}

#[test]
fn a_capability_token_is_allowed_for_what_it_says_on_every_worker() {
    let (control, mut sidecar) = running();
    let token = minted(&control.claims(1));
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, ACTION, &token), 1);
        assert_allowed(&sidecar.act(worker, OTHER_ACTION, &token), 1);
        let other = sidecar.act(worker, "read_ledger", &token);
        assert_denied(&other, 403, "insufficient_scope");
        let denial = Denial::of(&other);
        assert_eq!(denial.challenge.unwrap(), r#"Bearer realm="kya", error="insufficient_scope""#);
        assert_denied(&sidecar.act(worker, "elsewhere", &token), 403, "action_unknown");
    }
}

#[test]
fn what_honest_issuers_write_is_taken() {
    let (_, mut sidecar) = running();
    let now = sidecar.proxy.now() / NANOS;
    for it in accepted(now) {
        // Once to be verified, and once more as it is remembered.
        for _ in 0..2 {
            let outcome = sidecar.act(0, ACTION, &it.token);
            assert!(outcome.forwarded().is_some(), "{}: {outcome:?}", it.what);
        }
    }
}

#[test]
fn what_is_forged_or_for_something_else_is_denied_each_time() {
    let (_, mut sidecar) = running();
    let now = sidecar.proxy.now() / NANOS;
    let all = refused(now);
    for it in &all {
        for _ in 0..2 {
            let outcome = sidecar.act(0, ACTION, &it.token);
            assert!(outcome.forwarded().is_none(), "{} is allowed", it.what);
            let denial = Denial::of(&outcome);
            assert_eq!(Some(denial.reason()), it.reason, "{}", it.what);
            let secret = it.token.get(100..140);
            let shown = String::from_utf8_lossy(&outcome.local_response().unwrap().body);
            let secret = secret.map(|it| String::from_utf8_lossy(it).into_owned());
            assert!(secret.is_none_or(|it| !shown.contains(&it)), "{shown}");
        }
    }
    assert!(all.len() > 80);
    let malformed = all.iter().filter(|it| it.reason == Some("token_malformed")).count();
    let counted = sidecar.proxy.metric("kya.decision.token_malformed");
    assert_eq!(counted, 2 * u64::try_from(malformed).unwrap());
    assert_eq!(sidecar.proxy.metric("kya.decision.allow"), 0);
}

#[test]
fn a_token_ends_at_its_second_by_the_filters_own_clock_with_no_control_plane() {
    let (mut control, mut sidecar) = running();
    sidecar.set_clock(&mut control);
    let short = |control: &ControlPlane| {
        let claims = control.claims(1);
        let expires = UnixSeconds(claims.issued.0 + 20);
        Claims { expires, ..claims }
    };
    let claims = short(&control);
    let token = minted(&claims);
    (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
    sidecar.lose_stream();
    advance_to(&mut sidecar, claims.expires.0);
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, ACTION, &token), 1);
    }
    sidecar.proxy.advance(Duration::from_millis(1));
    for worker in 0..WORKERS {
        let outcome = sidecar.act(worker, ACTION, &token);
        assert_denied(&outcome, 401, "token_expired");
        assert_eq!(
            Denial::of(&outcome).challenge.unwrap(),
            r#"Bearer realm="kya", error="invalid_token""#
        );
    }
    // A clock that is set back revives nothing.
    sidecar.proxy.advance(Duration::from_secs(2));
    sidecar.proxy.set_wall_clock((claims.issued.0 + 1) * NANOS);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_expired");
    }
}

#[test]
fn a_token_that_is_not_good_yet_is_at_its_time() {
    let (mut control, mut sidecar) = running();
    sidecar.set_clock(&mut control);
    let now = control.second();
    let claims = Claims { not_before: UnixSeconds(now + 10), ..control.claims(1) };
    let token = minted(&claims);
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "token_not_yet");
    advance_to(&mut sidecar, now + 5);
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "token_not_yet");
    sidecar.proxy.advance(Duration::from_millis(1));
    assert_allowed(&sidecar.act(0, ACTION, &token), 1);
}

#[test]
fn two_tokens_are_never_a_choice() {
    let (control, mut sidecar) = running();
    let (token, other) = (minted(&control.claims(1)), minted(&control.claims(2)));
    let opaque = kya_core::testing::bearer(&kya_core::testing::token(1));
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    for second in [bearer(&token), bearer(&other), opaque.into_bytes(), b"Basic eDp5".to_vec()] {
        for [one, two] in [[&bearer(&token), &second], [&second, &bearer(&token)]] {
            let headers = [
                (":method", &b"POST"[..]),
                (":path", b"/v1/charges"),
                ("authorization", one),
                ("authorization", two),
            ];
            let outcome = sidecar.proxy.request(0, &headers);
            assert_denied(&outcome, 401, "multiple_credentials");
        }
    }
}

#[test]
fn a_filter_that_does_not_know_its_service_takes_none() {
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    let mut sidecar = Sidecar::synced(&mut control, 1);
    let token = minted(&control.claims(1));
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "wrong_audience");
}

#[test]
fn a_token_that_was_taken_back_is_denied_and_forgotten_after_its_time() {
    let (mut control, mut sidecar) = running();
    sidecar.set_clock(&mut control);
    let claims = control.claims(1);
    let (token, other) = (minted(&claims), minted(&control.claims(2)));
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, ACTION, &token), 1);
    }
    control.change(taken_back(&claims));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_revoked");
        assert_allowed(&sidecar.act(worker, ACTION, &other), 2);
    }
    (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
    sidecar.lose_stream();
    sidecar.proxy.advance(Duration::from_secs(LIFETIME));
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "token_revoked");
    // Nothing is denied any less for that it is forgotten.
    sidecar.proxy.advance(Duration::from_secs(3_602));
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_expired");
    }
}

#[test]
fn a_clock_that_was_ahead_and_is_set_back_revives_no_token_that_was_taken_back() {
    let (mut control, mut sidecar) = running();
    sidecar.set_clock(&mut control);
    let claims = control.claims(1);
    let token = minted(&claims);
    control.change(taken_back(&claims));
    sidecar.push(&mut control);
    let right = sidecar.proxy.now();
    sidecar.proxy.set_wall_clock(right + 86_400 * NANOS);
    sidecar.run(&mut control, Duration::from_secs(2));
    sidecar.proxy.set_wall_clock(right + 2 * NANOS);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 401, "token_revoked");
    }
}
