//! What another plugin of the same VM scope writes into the cache, and a later
//! epoch of the control plane.

use super::*;
use crate::cache::records::Head;

#[test]
fn a_leader_puts_a_head_right_that_somebody_changed() {
    for garbage in [true, false] {
        let mut world = World::synced(2);
        world.commit(revoked(1));
        world.tick();
        let mine = world.head().unwrap();
        if garbage {
            world.proxy.meddle(&world.key("head"), b"another plugin was here");
        } else {
            let older = Head { position: at(5), ..mine };
            world.cache().restore_head(&world.proxy.host(), older).unwrap();
        }
        world.streams = Link::Held;
        world.pass(1);
        assert_eq!(world.head(), Some(mine));
        assert_eq!(world.statuses(1), [403, 403]);
        assert_eq!(world.statuses(2), [200, 200]);
        assert_eq!(resyncs(&held(&mut world)), 1);
    }
}

#[test]
fn a_forged_head_far_ahead_denies_and_is_overcome() {
    let mut world = World::synced(1);
    let forged = Head { position: at(u64::MAX), ..world.head().unwrap() };
    world.cache().restore_head(&world.proxy.host(), forged).unwrap();
    world.vms[1].vm.tick();
    assert_eq!(world.statuses(1), [503]);
    world.pass(10);
    assert_eq!(world.head().map(|head| head.position), Some(at(5)));
    // A VM that never saw the forged head serves; one that did goes on denying.
    assert_eq!(world.statuses(1), [503]);
    world.replace(1);
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn a_worker_that_cannot_read_what_was_announced_is_helped_by_a_manifest() {
    let mut world = World::synced(2);
    let delta = world.plane.commit(revoked(1));
    world.push(&delta);
    for name in ["delta/6", "manifest/a", "manifest/b"] {
        world.proxy.meddle(&world.key(name), b"another plugin was here");
    }
    assert_eq!(world.statuses(2), [503, 503]);
    world.pass(4);
    assert_eq!(world.statuses(1), [403, 403]);
    assert_eq!(world.statuses(2), [200, 200]);
}

#[test]
fn a_worker_that_nothing_helps_does_not_call_for_a_manifest_each_second() {
    let mut world = World::synced(1);
    let manifests = world.manifests_sent;
    for _ in 0..4 * 120 {
        // Another plugin keeps a slot for a worker that is nobody's.
        let (cache, host) = (world.cache(), world.proxy.host());
        let mut forged = cache.slot(&host, 0).unwrap().0.unwrap();
        forged.instance ^= 1;
        forged.position = at(1);
        forged.renewed_nanos = clock::monotonic_nanos(&host);
        let (_, cas) = cache.slot(&host, 1).unwrap();
        cache.store_slot(&host, 1, Some(&forged), cas).unwrap();
        world.tick();
    }
    let asked = world.manifests_sent - manifests;
    assert!((2..=9).contains(&asked), "{asked} manifests in two minutes");
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn a_base_far_back_is_replaced_before_the_ring_has_gone_round() {
    let mut world = World::synced(1);
    let manifests = world.manifests_sent;
    for _ in 0..crate::cache::RING / 2 {
        world.commit(unrelated());
    }
    assert_eq!(world.head().unwrap().base.position, at(5));
    world.pass(2);
    let head = world.head().unwrap();
    assert_eq!(head.base.position, head.position);
    assert_eq!(world.manifests_sent, manifests + 1);
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn a_later_epoch_replaces_the_state() {
    let mut world = World::synced(1);
    world.commit([agent(3, Status::Active)]);
    world.plane.restore_backup(Position { epoch: 2, revision: Revision(1) });
    world.plane.commit([agent(2, Status::Suspended)]);
    world.break_streams();
    world.sync();
    assert_eq!(world.statuses(1), [200]);
    assert_eq!(world.statuses(2), [403]);
}
