//! Who leads, and what becomes of the others.

use super::*;
use crate::testing::{Standing, TestVm};

fn tick_workers(world: &mut World, ticks: u32) {
    (0..ticks).for_each(|_| world.tick_from(1));
}

fn slots(world: &World) -> usize {
    world.cache().slots(&world.proxy.host()).len()
}

#[test]
fn a_worker_leads_where_the_main_thread_does_not_and_hands_over_when_it_does() {
    let mut world = World::new(2);
    tick_workers(&mut world, 2 * PATIENCE_TICKS);
    assert!(world.vms[1].vm.leads() ^ world.vms[2].vm.leads());
    assert_eq!(slots(&world), 2, "a worker that leads is a worker");
    assert_eq!(world.statuses(1), [200, 200]);
    (0..3).for_each(|_| world.tick());
    assert!(world.vms[0].vm.leads());
    assert!(!world.vms[1].vm.leads() && !world.vms[2].vm.leads());
    assert_eq!(slots(&world), 2, "the main thread's VM is none");
}

#[test]
fn the_main_threads_vm_is_no_worker_even_while_another_leads() {
    let mut world = World::new(2);
    for _ in 0..3 * PATIENCE_TICKS {
        world.pass_tick();
        // The main thread is always the last to be ticked.
        world.vms.iter_mut().rev().for_each(|vm| vm.vm.tick());
        world.exchange();
        assert!(world.vms[0].vm.slot.number().is_none());
    }
    assert!(world.vms[0].vm.leads());
}

#[test]
fn a_vm_that_was_taken_for_the_main_threads_and_serves_is_a_worker_before_it_decides() {
    let mut world = World::synced(1);
    assert_eq!(slots(&world), 1);
    assert_eq!(world.vms[0].status_of(1), 200);
    assert_eq!(slots(&world), 2, "no tick and no wake was needed");
    world.exchange();
    let (context, _) = world.vms[0].begin_with(&crate::testing::token(1));
    world.commit(revoked(1));
    let ended = world.finished.iter().find(|(vm, ended, _)| (*vm, *ended) == (0, context));
    let standing = ended.map(|(_, _, exchange)| exchange.standing);
    assert_eq!(standing, Some(Standing::Answered), "its wakes reach it");
}

#[test]
fn a_worker_that_serves_before_its_first_tick_is_listed_before_it_decides() {
    let mut world = World::synced(1);
    world.pass(3);
    world.vms.push(TestVm::new(&world.proxy));
    assert_eq!(slots(&world), 1);
    assert_eq!(world.vms[2].status_of(1), 200);
    assert_eq!(slots(&world), 2);
}

#[test]
fn of_vms_that_come_later_all_are_listed_and_one_that_does_not_serve_leads_in_the_end() {
    let mut world = World::synced(2);
    world.pass(3);
    for vm in &mut world.vms {
        vm.vm.stop();
    }
    // A new filter: all threads make theirs at once, the workers first.
    world.vms = (0..3).map(|_| TestVm::new(&world.proxy)).collect();
    world.pass(3);
    assert_eq!(slots(&world), 3, "nobody can tell which serves nobody");
    assert!(world.vms[0].vm.leads());
    assert_eq!(world.vms[0].status_of(1), 200);
    assert_eq!(world.vms[2].status_of(1), 200);
    world.pass(1);
    assert!(world.vms[1].vm.leads(), "the one that has served nobody");
    assert_eq!(slots(&world), 3);
}

#[test]
fn another_configuration_of_the_same_vm_leaves_its_role() {
    let mut world = World::synced(2);
    let roles = |world: &World| world.vms.iter().map(|vm| vm.vm.role()).collect::<Vec<_>>();
    let before = roles(&world);
    assert_eq!(before, [Role::Main, Role::Worker, Role::Worker]);
    world.pass(3);
    let again = |role: &Role| {
        let host = world.proxy.host();
        Vm::new(host, crate::testing::config(), Some(*role)).unwrap().role()
    };
    assert_eq!(before.iter().map(again).collect::<Vec<_>>(), before);
}

#[test]
fn a_plugin_that_goes_away_leaves_its_lease_and_its_slot_at_once() {
    let mut world = World::synced(2);
    (0..PATIENCE_TICKS).for_each(|_| world.tick());
    let before = world.proxy.stream().unwrap();
    world.vms[0].vm.stop();
    world.vms[1].vm.stop();
    assert_eq!(world.proxy.stream(), None);
    world.tick_from(2);
    assert!(world.vms[2].vm.leads());
    assert_ne!(world.proxy.stream(), Some(before));
    assert_eq!(slots(&world), 1, "its own, since it is a worker");
}

#[test]
fn a_leader_that_was_replaced_and_has_not_noticed_stores_nothing() {
    let mut world = World::synced(2);
    let old_stream = world.proxy.stream().unwrap();
    // The main thread stands still for longer than its lease; a worker takes over,
    // and is told of what was committed meanwhile.
    let first = world.plane.commit([agent(2, Status::Active)]);
    world.plane.commit(revoked(1));
    tick_workers(&mut world, 3 * PATIENCE_TICKS);
    assert!(world.vms[1].vm.leads());
    assert_eq!(world.statuses(1), [403, 403]);
    // What the old leader still had in its socket.
    world.send(old_stream, &crate::testing::sealed(first));
    assert_eq!(world.statuses(1), [403, 403]);
    assert_eq!(revision(world.head().map(|head| head.position)), Some(7));
    assert_eq!(world.proxy.owner_of(old_stream), None, "it gives its stream up");
}

#[test]
fn a_leader_that_was_replaced_meanwhile_touches_nothing_of_the_newer_base() {
    let mut world = World::synced(2);
    world.pass(3);
    // The main thread stands still; a worker takes over, and a new base comes in
    // which the chunk of a token is another.
    tick_workers(&mut world, 3 * PATIENCE_TICKS);
    assert!(world.vms[1].vm.leads());
    let revoked = wire::Token { revoked: true, ..crate::testing::held_by(1, 1) };
    world.plane.commit([Wire::Token(revoked)]);
    world.plane.forget_deltas();
    world.break_streams();
    let loaded = |world: &World| world.head().map(|it| it.base.position);
    for _ in 0..6 * PATIENCE_TICKS {
        if loaded(&world) != Some(world.plane.position) {
            tick_workers(&mut world, 1);
        }
    }
    assert_eq!(loaded(&world), Some(world.plane.position));
    // It goes on where it was, and takes the lease back.
    for _ in 0..2 * PATIENCE_TICKS {
        world.vms[0].vm.tick();
        assert!(world.vms[0].vm.leads());
        assert_eq!(world.statuses(1), [401, 401], "the newer base can be read");
        assert_eq!(world.statuses(2), [200, 200]);
        world.proxy.advance_nanos(1_000_000);
    }
}

#[test]
fn a_new_leader_goes_on_from_what_the_last_one_left() {
    let mut world = World::synced(2);
    world.commit(unrelated());
    let (manifests, chunks) = (world.manifests_sent, world.chunks_sent);
    world.break_streams();
    tick_workers(&mut world, 3 * PATIENCE_TICKS);
    assert!(world.vms[1].vm.leads());
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403, 403]);
    assert_eq!((world.manifests_sent, world.chunks_sent), (manifests, chunks));
}
