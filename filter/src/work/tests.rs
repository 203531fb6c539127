use super::*;
use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::testing::{MemoryHost, Proxy, config, delta, revision, snapshot};
use kya_core::wire::AgentStatus;
use kya_core::{Revision, Verifier};

fn plugin(proxy: &Proxy) -> Plugin<MemoryHost> {
    let (host, config) = (proxy.host(), config());
    Plugin {
        cache: Cache::new("kya/t"),
        verifier: Verifier::new(config.update_keys.iter().copied()),
        metrics: Metrics::define(&host),
        host,
        config,
    }
}

fn at(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn head(revision: u64, snapshot: u64) -> Head {
    Head { position: at(revision), snapshot: Revision(snapshot) }
}

fn store(plugin: &Plugin<MemoryHost>, snapshot_at: u64, newest: u64) {
    let signed = snapshot(snapshot_at, &[0; 32]);
    plugin.cache.store_snapshot(&plugin.host, head(snapshot_at, snapshot_at), &signed).unwrap();
    for revision in snapshot_at + 1..=newest {
        let signed = delta(revision, 1, AgentStatus::Revoked);
        plugin.cache.store_delta(&plugin.host, head(revision, snapshot_at), &signed).unwrap();
    }
}

#[test]
fn an_empty_cache_leaves_a_worker_unsynced() {
    let plugin = plugin(&Proxy::new());
    let mut worker = Worker::default();
    assert!(!worker.sync(&plugin, true));
    assert_eq!(worker.authority().position(), None);
}

#[test]
fn a_worker_takes_the_snapshot_and_every_delta_after_it() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 5, 9);
    let mut worker = Worker::default();
    assert!(worker.sync(&plugin, false));
    assert_eq!(revision(worker.position()), Some(9));
    assert!(!worker.sync(&plugin, false), "nothing is new");
}

#[test]
fn a_worker_that_fell_behind_the_ring_takes_the_newer_snapshot() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 1, 2);
    let mut worker = Worker::default();
    worker.sync(&plugin, false);
    store(&plugin, 2 * RING, 2 * RING + 3);
    assert!(worker.sync(&plugin, false));
    assert_eq!(revision(worker.position()), Some(2 * RING + 3));
}

#[test]
fn what_is_announced_but_cannot_be_read_denies_until_it_can() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 1, 2);
    let mut worker = Worker::default();
    worker.sync(&plugin, false);
    assert!(worker.authority().position().is_some());
    plugin.cache.store_delta(&plugin.host, head(4, 1), b"not an update").unwrap();
    assert!(!worker.sync(&plugin, false));
    assert_eq!(worker.authority().position(), None, "it still decides by the old state");
    store(&plugin, 4, 4);
    assert!(worker.sync(&plugin, false));
    assert_eq!(revision(worker.authority().position()), Some(4));
}

#[test]
fn a_head_that_was_set_back_changes_nothing() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 5, 9);
    let mut worker = Worker::default();
    worker.sync(&plugin, false);
    plugin.cache.restore_head(&plugin.host, head(2, 1)).unwrap();
    assert!(!worker.sync(&plugin, true));
    assert_eq!(revision(worker.authority().position()), Some(9));
}

#[test]
fn a_head_that_was_set_back_does_not_free_a_worker_that_knows_of_a_newer_state() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 5, 5);
    let mut worker = Worker::default();
    worker.sync(&plugin, false);
    plugin.cache.store_delta(&plugin.host, head(6, 5), b"not an update").unwrap();
    worker.sync(&plugin, false);
    assert_eq!(worker.authority().position(), None);
    plugin.cache.restore_head(&plugin.host, head(5, 5)).unwrap();
    worker.sync(&plugin, true);
    assert_eq!(worker.authority().position(), None, "it knows that 6 exists");
    store(&plugin, 6, 6);
    worker.sync(&plugin, true);
    assert_eq!(revision(worker.authority().position()), Some(6));
}

#[test]
fn a_head_that_cannot_be_read_denies_for_as_long() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    store(&plugin, 5, 9);
    let mut worker = Worker::default();
    worker.sync(&plugin, false);
    plugin.host.set_shared_data("kya/t/head", b"another plugin was here").unwrap();
    worker.sync(&plugin, false);
    assert_eq!(worker.authority().position(), None);
    plugin.cache.restore_head(&plugin.host, head(9, 5)).unwrap();
    worker.sync(&plugin, false);
    assert_eq!(revision(worker.authority().position()), Some(9));
    proxy.refuse("shared_data");
    worker.sync(&plugin, false);
    assert_eq!(worker.authority().position(), None);
}

#[test]
fn an_update_that_another_plugin_put_into_the_cache_is_not_believed() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    let foreign = crate::testing::signed(
        &kya_core::Signer::from_seed([2; 32]),
        1,
        7,
        kya_core::wire::update::Body::Snapshot(kya_core::wire::Snapshot {
            nonce: vec![0; 32],
            ..Default::default()
        }),
    );
    plugin.cache.store_snapshot(&plugin.host, head(7, 7), &foreign).unwrap();
    let mut worker = Worker::default();
    assert!(!worker.sync(&plugin, true));
    assert_eq!(worker.authority().position(), None);
    assert_eq!(proxy.metric("kya.update.rejected.unknown_key"), 1);
}

#[test]
fn workers_take_slots_of_their_own_and_free_ones_are_taken_over() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    let me = |n: u32| Identity { instance: n.into(), queue: crate::host::QueueId(n) };
    let (mut first, mut second, mut third) =
        (Worker::default(), Worker::default(), Worker::default());
    assert_eq!(first.keep_slot(&plugin, me(1)), None, "the leader has not made the slots");
    plugin.cache.prepare_slots(&plugin.host).unwrap();
    assert_eq!(first.keep_slot(&plugin, me(1)), Some(0));
    assert_eq!(second.keep_slot(&plugin, me(2)), Some(1));
    proxy.advance_nanos(SLOT_EXPIRY_NANOS + 1);
    assert_eq!(second.keep_slot(&plugin, me(2)), Some(1), "it renews its own");
    assert_eq!(third.keep_slot(&plugin, me(3)), Some(0), "the first has not renewed");
    assert_eq!(first.keep_slot(&plugin, me(1)), Some(2), "it comes back elsewhere");
    third.release_slot(&plugin, me(3));
    assert_eq!(plugin.cache.slots(&plugin.host).len(), 2);
}
