//! The keys that count change while everything goes on.

use super::*;
use crate::testing::{held_by, sealed, signer};
use kya_core::Signer;
use kya_core::wire::update::Body;

fn next() -> Signer {
    Signer::from_seed([2; 32])
}

fn third() -> Signer {
    Signer::from_seed([3; 32])
}

/// The next key counts beside the first, and signs; then the first is retired.
fn rotated(workers: usize) -> World {
    let mut world = World::synced(workers);
    let announced = world.plane.rotate(next(), &[&signer(), &next()]);
    world.push(&announced);
    let retired = world.plane.rotate(next(), &[&next()]);
    world.push(&retired);
    world.exchange();
    world
}

#[test]
fn no_active_agent_is_denied_and_no_revoked_one_allowed_while_keys_change() {
    let mut world = World::synced(3);
    world.commit(revoked(2));
    let check = |world: &mut World| {
        assert_eq!((world.statuses(1), world.statuses(2)), (vec![200; 3], vec![403; 3]));
    };
    let stages: [fn(&mut World); 6] = [
        |world| {
            let signed = world.plane.rotate(signer(), &[&signer(), &next()]);
            world.push(&signed);
        },
        |world| world.plane.signer = next(),
        |world| world.commit(unrelated()),
        |world| {
            let signed = world.plane.rotate(next(), &[&next()]);
            world.push(&signed);
        },
        |world| world.commit([agent(4, Status::Revoked)]),
        |world| world.pass(3),
    ];
    for stage in stages {
        stage(&mut world);
        // Before anybody was woken, and after.
        check(&mut world);
        world.exchange();
        check(&mut world);
        world.tick();
        check(&mut world);
    }
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403; 3]);
    assert_eq!(world.rejected("unknown_key"), 0);
}

#[test]
fn the_state_stays_fresh_though_nothing_but_the_keys_has_changed() {
    let mut world = rotated(2);
    for _ in 0..4 * 90 {
        world.tick();
        assert_eq!(world.statuses(1), [200; 2]);
    }
    assert_eq!(world.rejected("unknown_key"), 0);
}

#[test]
fn what_a_retired_key_signs_is_refused() {
    let mut world = rotated(2);
    let ours = std::mem::replace(&mut world.plane.signer, signer());
    let bodies = [
        Body::Delta(wire::Delta { changes: vec![] }),
        Body::Heartbeat(wire::Heartbeat { nonce: vec![] }),
        Body::Keys(wire::Keys { serial: 9, keys: vec![signer().public_key().to_bytes().into()] }),
    ];
    let position = Position { epoch: 1, revision: Revision(6) };
    for body in bodies {
        let old = world.plane.sign_at(position, body);
        world.push(&old);
    }
    world.exchange();
    assert_eq!(world.rejected("unknown_key"), 3);
    world.plane.signer = ours;
    assert_eq!(world.head().unwrap().position, at(5));
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403; 2]);
}

#[test]
fn a_list_of_keys_that_was_recorded_brings_none_back() {
    let mut world = World::synced(1);
    let first = world.plane.rotate(next(), &[&signer(), &next()]);
    world.push(&first);
    let second = world.plane.rotate(next(), &[&next()]);
    world.push(&second);
    world.exchange();
    let serial = |world: &World| world.vms[1].vm.worker().verifier().key_serial();
    world.tick();
    world.commit(unrelated());
    assert_eq!(serial(&world), 2);
    // Signed by what was retired, and by what counts, but older.
    let third_list = world.plane.rotate(next(), &[&next(), &third()]);
    world.push(&third_list);
    world.push(&first);
    world.push(&second);
    world.commit(unrelated());
    assert_eq!(serial(&world), 3);
}

#[test]
fn a_worker_that_knows_only_the_pinned_key_walks_the_chain() {
    let mut world = rotated(2);
    let more = world.plane.rotate(third(), &[&third()]);
    world.push(&more);
    world.commit(revoked(2));
    // There is a base that a key signed that counts; the control plane is away.
    world.pass(2);
    (world.streams, world.calls) = (Link::Down, Link::Down);
    world.break_streams();
    world.replace(1);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200; 2], vec![403; 2]));
    assert_eq!(world.vms[1].vm.worker().verifier().key_serial(), 3);
}

#[test]
fn a_base_that_a_retired_key_signed_is_replaced_for_those_who_walk_the_chain() {
    // The manifest in the cache is from before the rotation.
    let mut world = rotated(2);
    world.replace(1);
    assert_ne!(world.statuses(1)[1], 503, "who was there goes on");
    world.pass(6);
    assert_eq!(world.statuses(1), [200; 2], "who has begun is helped");
}

#[test]
fn a_leader_that_knows_only_the_pinned_key_learns_the_others() {
    let mut world = rotated(2);
    world.replace(0);
    for _ in 0..40 {
        world.tick();
    }
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403; 2]);
}

#[test]
fn a_chain_that_another_plugin_wrote_over_is_put_right() {
    for garbage in [&b"another plugin was here"[..], b""] {
        let mut world = rotated(2);
        world.proxy.meddle(&world.key("keys"), garbage);
        world.replace(1);
        world.pass(6);
        assert_eq!(world.statuses(1), [200; 2]);
    }
}

#[test]
fn a_chain_that_another_plugin_filled_does_not_stay() {
    let mut world = World::synced(2);
    // Signed by a key that never counted, as many as fit into a megabyte.
    let foreign = Signer::from_seed([66; 32]);
    let ours = std::mem::replace(&mut world.plane.signer, foreign);
    let forged = world.plane.rotate(ours, &[&third()]);
    let messages = vec![sealed(forged); 5_000];
    let forged = prost::Message::encode_to_vec(&wire::PullResponse { messages });
    world.plane = {
        let mut plane = crate::testing::ControlPlane::new();
        plane.unix_millis = world.plane.unix_millis;
        plane
    };
    world.proxy.meddle(&world.key("keys"), &forged);
    // Another VM leads from now on, and reads it.
    world.break_streams();
    for _ in 0..24 {
        world.tick_from(1);
    }
    assert!(world.vms[1].vm.leads());
    let announced = world.plane.rotate(next(), &[&signer(), &next()]);
    world.push(&announced);
    world.exchange();
    let stored = world.proxy.data()[&world.key("keys")].len();
    assert!(stored < 1_000, "{stored} bytes");
    world.commit([Wire::Token(held_by(3, 1))]);
    world.replace(2);
    assert_eq!(world.statuses(3), [200; 2]);
}
