//! Capability tokens natively, by the tables that the compiled filter is tested with.

use kya_core::testing::capabilities::{
    ACTION, LIFETIME, accepted, claims, delegated, delegated_claims, issuer, issuer_key, minted,
    minted_by, refused, route, stops, taken_back,
};

use super::*;
use crate::testing::{Exchange, Standing, acting};

/// A world whose issuer has its first key, and the second that it is there.
fn world(records: impl IntoIterator<Item = Wire>) -> (World, u64) {
    let mut world = World::synced_as(2, acting());
    world.commit([issuer(kya_core::testing::capabilities::ISSUER, &[0])]);
    world.commit(records);
    let second = world.wall_seconds();
    (world, second)
}

/// A request for the usual action by this token, which stays live if it is allowed.
fn begin(world: &mut World, vm: usize, token: &str) -> (ContextId, Flow) {
    let (method, path) = route(ACTION);
    let bearer = format!("Bearer {token}");
    world.vms[vm].begin(&[(":method", method), (":path", path), ("authorization", &bearer)])
}

/// The reason for which such a request is denied; none if it is allowed.
fn reason(world: &mut World, vm: usize, token: &str) -> Option<String> {
    let (context, flow) = begin(world, vm, token);
    let exchange = world.vms[vm].exchange(context);
    world.vms[vm].settle();
    if flow == Flow::Continue {
        world.vms[vm].end(context);
        return None;
    }
    Some(why(&exchange))
}

fn why(exchange: &Exchange) -> String {
    let (_, _, body) = exchange.response.as_ref().expect("it was answered");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    problem["reason"].as_str().unwrap().to_owned()
}

#[test]
fn what_counts_and_what_does_not_is_as_in_the_compiled_filter() {
    let (mut world, second) = world([]);
    let all = accepted(second).into_iter().chain(refused(second));
    // A header of this world is text.
    let all = all.filter_map(|it| Some((it.what, String::from_utf8(it.token).ok()?, it.reason)));
    let mut count = 0;
    for (what, token, expected) in all {
        count += 1;
        for _ in 0..2 {
            assert_eq!(reason(&mut world, 1, &token).as_deref(), expected, "{what}");
        }
    }
    assert!(count > 90);
}

#[test]
fn every_stop_denies_the_token_and_ends_its_requests() {
    let start = world(delegated()).1;
    for stop in stops(start) {
        let (mut world, second) = world(delegated());
        let token = minted(&delegated_claims(second));
        let (waits, flow) = begin(&mut world, 1, &token);
        assert_eq!(flow, Flow::Continue, "{}", stop.what);
        let (responds, _) = begin(&mut world, 2, &token);
        world.vms[2].upstream_responds(responds);
        world.commit([stop.change.clone()]);
        let ended = |vm: usize, context: ContextId| {
            let found = world.finished.iter().find(|it| (it.0, it.1) == (vm, context));
            found.map(|(.., exchange)| exchange.clone())
        };
        let answered = ended(1, waits).unwrap_or_else(|| panic!("{} ends nothing", stop.what));
        assert_eq!((answered.standing, why(&answered).as_str()), (Standing::Answered, stop.reason));
        let reset = ended(2, responds).unwrap_or_else(|| panic!("{} resets nothing", stop.what));
        assert_eq!(reset.standing, Standing::Reset);
        for vm in [1, 2] {
            assert_eq!(reason(&mut world, vm, &token).as_deref(), Some(stop.reason));
        }
    }
}

#[test]
fn a_key_that_is_not_known_is_looked_for_and_never_asked_about() {
    let config = crate::testing::configured(|json| {
        kya_core::testing::capabilities::configured(json);
        json["fail_modes"] = serde_json::json!({ "unknown_token": "introspect" });
    });
    let mut world = World::synced_as(1, config);
    world.commit([issuer(kya_core::testing::capabilities::ISSUER, &[0])]);
    world.pass(2);
    world.calls_made.clear();
    let token = minted_by(&issuer_key(1), &claims(1, world.wall_seconds()));
    for _ in 0..3 {
        assert_eq!(reason(&mut world, 1, &token).as_deref(), Some("token_unknown"));
        world.exchange();
    }
    assert_eq!(world.calls_made, ["/v1/enforcement/pull"]);
}

#[test]
fn keys_rotate_and_the_retired_one_counts_no_more() {
    let (mut world, second) = world([]);
    let name = kya_core::testing::capabilities::ISSUER;
    let (old, new) = (minted(&claims(1, second)), minted_by(&issuer_key(1), &claims(2, second)));
    let unknown = Some("token_unknown".to_owned());
    for (keys, expected) in [
        (&[0][..], [None, unknown.clone()]),
        (&[0, 1], [None, None]),
        (&[1], [unknown.clone(), None]),
        (&[], [unknown.clone(), unknown.clone()]),
    ] {
        world.commit([issuer(name, keys)]);
        for vm in [1, 2] {
            let seen = [reason(&mut world, vm, &old), reason(&mut world, vm, &new)];
            assert_eq!(seen, expected, "{keys:?}");
        }
        world.replace(2);
        world.tick();
    }
}

#[test]
fn a_token_that_was_taken_back_is_forgotten_by_the_control_planes_clock_alone() {
    let (mut world, second) = world([]);
    let claims = claims(1, second);
    let token = minted(&claims);
    world.commit([taken_back(&claims)]);
    let remembered = |world: &World| world.vms[1].vm.worker().known().taken_back_count();
    // The proxy's clock is a day ahead, and then right again.
    let day = 86_400_000_000_000;
    world.proxy.set_ahead_nanos(day);
    (0..8).for_each(|_| world.tick());
    assert_eq!(remembered(&world), 1);
    world.proxy.set_back_nanos(day);
    assert_eq!(reason(&mut world, 1, &token).as_deref(), Some("token_revoked"));
    // An hour after it would have expired nobody needs to know of it any more.
    let seconds = LIFETIME + 3_600;
    world.plane.unix_millis += seconds * 1_000;
    world.proxy.advance_nanos(seconds * 1_000_000_000);
    world.pass(5);
    assert_eq!(remembered(&world), 0);
    assert_eq!(reason(&mut world, 1, &token).as_deref(), Some("token_expired"));
}
