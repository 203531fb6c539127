//! What a flood of requests costs, and what it does not.

use super::introspection::never_issued;
use super::*;

#[test]
fn a_flood_of_unknown_tokens_is_one_refresh_a_second() {
    let mut world = World::synced(4);
    world.pass(3);
    let pulls =
        |world: &World| world.calls_made.iter().filter(|path| path.ends_with("/pull")).count();
    let before = pulls(&world);
    for n in 0..10_000u32 {
        let worker = 1 + n as usize % 4;
        assert_eq!(world.vms[worker].status_with(&never_issued(n)), 401);
        if n % 100 == 0 {
            world.exchange();
        }
    }
    assert_eq!(pulls(&world) - before, 1, "all of it within one second");
    for _ in 0..4 * 10 {
        world.tick();
        for worker in 1..=4 {
            world.vms[worker].status_with(&never_issued(1));
        }
    }
    assert!(pulls(&world) - before <= 12, "{} in ten seconds", pulls(&world) - before);
    // Nothing has grown.
    assert_eq!(world.vms[1].vm.live.len(), 0);
    assert_eq!(world.vms[1].vm.worker().authority().token_count(), 0);
    assert!(world.proxy.queued() <= 4, "{} messages wait", world.proxy.queued());
    assert_eq!(world.statuses(1), [200; 4]);
}

#[test]
fn a_flood_writes_nothing_into_the_cache() {
    let mut world = World::synced(1);
    let keys = |world: &World| world.proxy.data().len();
    let before = keys(&world);
    for n in 0..2_000 {
        world.vms[1].status_with(&never_issued(n));
    }
    world.pass(2);
    assert_eq!(keys(&world), before);
}
