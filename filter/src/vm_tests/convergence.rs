//! What is committed reaches every worker, and each says so.

use super::*;

#[test]
fn a_revocation_is_enforced_by_every_worker_and_acknowledged_by_each() {
    let mut world = World::synced(3);
    assert_eq!(world.statuses(1), [200, 200, 200]);
    world.tick();
    let delta = world.plane.commit(revoked(1));
    world.push(&delta);
    world.streams = Link::Held;
    let acknowledged: Vec<_> = reports(&held(&mut world))
        .into_iter()
        .map(|worker| (worker.slot, worker.revision))
        .collect();
    assert_eq!(acknowledged, [(0, 6), (1, 6), (2, 6)]);
    assert_eq!(world.statuses(1), [403, 403, 403]);
    assert_eq!(world.statuses(2), [200, 200, 200]);
}

#[test]
fn a_lost_wake_does_not_matter_to_the_next_request() {
    let mut world = World::synced(1);
    assert_eq!(world.statuses(1), [200]);
    let delta = world.plane.commit(revoked(1));
    world.push(&delta);
    assert_eq!(world.statuses(1), [403]);
}

#[test]
fn a_gap_is_asked_about_once_and_nothing_is_applied_across_it() {
    let mut world = World::synced(1);
    world.plane.commit(revoked(1));
    let deltas = [world.plane.commit(revoked(1)), world.plane.commit(revoked(1))];
    deltas.iter().for_each(|delta| world.push(delta));
    (world.streams, world.calls) = (Link::Held, Link::Held);
    let said = held(&mut world);
    assert_eq!(resyncs(&said), 1);
    assert_eq!(world.rejected("gap"), 2);
    assert_eq!(world.statuses(1), [200]);
    world.streams = Link::Up;
    let stream = world.proxy.stream().unwrap();
    said.iter().for_each(|message| world.answer(stream, message));
    world.exchange();
    assert_eq!(world.statuses(1), [403]);
    world.commit(revoked(2));
    assert_eq!(world.statuses(2), [403]);
}

#[test]
fn a_last_delta_that_was_lost_is_noticed_by_the_next_heartbeat() {
    let mut world = World::synced(2);
    world.calls = Link::Held;
    world.plane.commit(revoked(1));
    assert_eq!(world.statuses(1), [200, 200], "nobody has said anything");
    world.pass(1);
    assert_eq!(world.rejected("gap"), 1);
    world.pass(1);
    assert_eq!(world.statuses(1), [403, 403]);
}

#[test]
fn workers_that_are_always_a_change_behind_are_not_helped() {
    let mut world = World::synced(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    let stream = world.proxy.stream().unwrap();
    // For less time than the stream may be silent, and fewer than call for a
    // new base.
    for _ in 0..16 {
        world.pass_tick();
        world.vms[1].vm.tick();
        let delta = world.plane.commit(unrelated());
        // The leader is a change ahead whenever it looks.
        world.send(stream, &crate::testing::sealed(delta));
        world.vms[0].vm.tick();
    }
    assert_eq!(resyncs(&held(&mut world)), 0);
}

#[test]
fn no_worker_is_reported_ahead_of_the_leader() {
    let mut world = World::synced(1);
    let (cache, host) = (world.cache(), world.proxy.host());
    let (held_by, cas) = cache.slot(&host, 0).unwrap();
    let mut forged = held_by.unwrap();
    forged.position.revision = Revision(u64::MAX);
    cache.store_slot(&host, 0, Some(&forged), cas).unwrap();
    world.streams = Link::Held;
    world.vms[0].vm.tick();
    let reported = reports(&held(&mut world));
    assert!(!reported.is_empty());
    assert!(reported.into_iter().all(|worker| worker.revision == 5));
}

#[test]
fn every_worker_shows_the_challenge_and_one_that_stands_still_does_not() {
    let mut world = World::synced(3);
    world.tick();
    let nonce = [0x5a; 32];
    let challenge = wire::update::Body::Challenge(wire::Challenge { nonce: nonce.to_vec() });
    let signed = world.plane.sign(challenge);
    world.push(&signed);
    world.streams = Link::Held;
    // The third worker's thread does not come round to its wake.
    world.vms[1].vm.queue_ready();
    world.vms[2].vm.queue_ready();
    world.vms[0].vm.queue_ready();
    let mut shown: Vec<_> = Vec::new();
    for (_, message) in world.proxy.take_all_sent() {
        shown.extend(reports(&[message]).into_iter().map(|it| (it.slot, it.challenge)));
    }
    let first = u64::from_le_bytes([0x5a; 8]);
    assert_eq!(shown, [(0, first), (1, first)]);
    // It does when it moves again.
    world.tick();
    let shown = reports(&held(&mut world));
    assert!(shown.iter().any(|worker| (worker.slot, worker.challenge) == (2, first)));
}

#[test]
fn a_challenge_that_nobody_trusted_signed_is_not_shown() {
    let mut world = World::synced(1);
    let body = wire::update::Body::Challenge(wire::Challenge { nonce: vec![7; 32] });
    let foreign = kya_core::Signer::from_seed([66; 32]);
    let ours = std::mem::replace(&mut world.plane.signer, foreign);
    let foreign = world.plane.sign(body);
    world.plane.signer = ours;
    world.push(&foreign);
    world.proxy.meddle(&world.key("challenge"), &prost::Message::encode_to_vec(&foreign));
    world.tick();
    assert_eq!(world.vms[1].vm.worker().challenge(), 0);
    assert_eq!(world.rejected("unknown_key"), 2, "by the leader and by the worker");
}
