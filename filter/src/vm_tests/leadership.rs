//! Who leads, and what becomes of the others.

use super::*;

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
fn a_vm_that_was_taken_for_the_main_threads_and_serves_is_a_worker() {
    let mut world = World::synced(1);
    assert_eq!(world.vms[0].status_of(1), 200);
    (0..2).for_each(|_| world.tick());
    assert_eq!(slots(&world), 2);
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
