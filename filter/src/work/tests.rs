use super::*;
use crate::cache::Cache;
use crate::cache::records::{BaseAt, Place};
use crate::lead::lease::Identity;
use crate::metrics::Metrics;
use crate::testing::{ControlPlane, MemoryHost, Proxy, agent, config, revision};
use kya_core::wire::Status;
use kya_core::{Revision, Signer};
use prost::Message;

fn plugin(proxy: &Proxy) -> Plugin<MemoryHost> {
    let (host, config) = (proxy.host(), config());
    Plugin { cache: Cache::new("kya/t"), metrics: Metrics::define(&host), host, config }
}

fn worker(plugin: &Plugin<MemoryHost>) -> Worker {
    Worker::new(Verifier::new(plugin.config.update_keys.iter().copied()))
}

fn at(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

/// A head whose base is in its first place.
fn head(revision: u64, base: &BaseAt) -> Head {
    Head { position: at(revision), base: *base }
}

/// A control plane at this revision, where only agent 1 was ever changed.
fn plane(revision: u64) -> ControlPlane {
    let mut plane = ControlPlane::new();
    plane.position = at(revision);
    plane
}

/// Stores the present state of a control plane as the base, and as the head.
fn store_base(plugin: &Plugin<MemoryHost>, plane: &mut ControlPlane) -> BaseAt {
    let (cache, host) = (&plugin.cache, &plugin.host);
    let signed = plane.manifest(&[0; 32]);
    let image = plane.published();
    for index in 0..image.manifest().count() as u32 {
        cache.store_chunk(host, None, index, image.chunk(index).unwrap()).unwrap();
    }
    cache.store_manifest(host, Place::A, &signed.encode_to_vec()).unwrap();
    let base = BaseAt { position: plane.position, image: image.id().short(), place: Place::A };
    cache.restore_head(host, Head { position: plane.position, base }).unwrap();
    base
}

/// Commits until this revision, and stores each delta.
fn store_deltas(plugin: &Plugin<MemoryHost>, plane: &mut ControlPlane, base: &BaseAt, newest: u64) {
    while plane.position < at(newest) {
        let signed = plane.commit([agent(1, Status::Revoked)]).encode_to_vec();
        plugin.cache.store_delta(&plugin.host, plane.position.revision, &signed).unwrap();
        plugin.cache.restore_head(&plugin.host, head(plane.position.revision.0, base)).unwrap();
    }
}

/// A base at revision 5 and deltas up to this one.
fn store(plugin: &Plugin<MemoryHost>, newest: u64) -> (ControlPlane, BaseAt) {
    let mut plane = plane(5);
    let base = store_base(plugin, &mut plane);
    store_deltas(plugin, &mut plane, &base, newest);
    (plane, base)
}

/// Announces a revision whose delta cannot be read.
fn store_garbage(plugin: &Plugin<MemoryHost>, revision: u64, base: &BaseAt) {
    plugin.cache.store_delta(&plugin.host, Revision(revision), b"not an update").unwrap();
    plugin.cache.restore_head(&plugin.host, head(revision, base)).unwrap();
}

#[test]
fn an_empty_cache_leaves_a_worker_unsynced() {
    let plugin = plugin(&Proxy::new());
    let mut worker = worker(&plugin);
    assert!(!worker.sync(&plugin, Look::Again));
    assert_eq!(worker.authority().position(), None);
}

#[test]
fn a_worker_takes_the_base_and_every_delta_after_it() {
    let plugin = plugin(&Proxy::new());
    store(&plugin, 9);
    let mut worker = worker(&plugin);
    assert!(worker.sync(&plugin, Look::Always));
    assert_eq!(revision(worker.position()), Some(9));
    assert!(!worker.sync(&plugin, Look::Always), "nothing is new");
}

#[test]
fn a_worker_that_fell_behind_the_ring_takes_the_newer_base() {
    let plugin = plugin(&Proxy::new());
    let (mut plane, _) = store(&plugin, 6);
    let mut worker = worker(&plugin);
    worker.sync(&plugin, Look::Always);
    plane.position = at(2 * RING);
    let base = store_base(&plugin, &mut plane);
    store_deltas(&plugin, &mut plane, &base, 2 * RING + 3);
    assert!(worker.sync(&plugin, Look::Always));
    assert_eq!(revision(worker.position()), Some(2 * RING + 3));
}

#[test]
fn what_is_announced_but_cannot_be_read_denies_until_it_can() {
    let plugin = plugin(&Proxy::new());
    let (mut plane, base) = store(&plugin, 6);
    let mut worker = worker(&plugin);
    worker.sync(&plugin, Look::Always);
    assert!(worker.authority().position().is_some());
    store_garbage(&plugin, 8, &base);
    assert!(!worker.sync(&plugin, Look::Always));
    assert_eq!(worker.authority().position(), None, "it still decides by the old state");
    plane.position = at(8);
    store_base(&plugin, &mut plane);
    assert!(worker.sync(&plugin, Look::Always));
    assert_eq!(revision(worker.authority().position()), Some(8));
}

#[test]
fn a_head_that_was_set_back_changes_nothing() {
    let plugin = plugin(&Proxy::new());
    let (_, base) = store(&plugin, 9);
    let mut worker = worker(&plugin);
    worker.sync(&plugin, Look::Always);
    plugin.cache.restore_head(&plugin.host, head(2, &base)).unwrap();
    assert!(!worker.sync(&plugin, Look::Again));
    assert_eq!(revision(worker.authority().position()), Some(9));
}

#[test]
fn a_head_that_was_set_back_does_not_free_a_worker_that_knows_of_a_newer_state() {
    let plugin = plugin(&Proxy::new());
    let (mut plane, base) = store(&plugin, 5);
    let mut worker = worker(&plugin);
    worker.sync(&plugin, Look::Always);
    store_garbage(&plugin, 6, &base);
    worker.sync(&plugin, Look::Always);
    assert_eq!(worker.authority().position(), None);
    plugin.cache.restore_head(&plugin.host, head(5, &base)).unwrap();
    worker.sync(&plugin, Look::Again);
    assert_eq!(worker.authority().position(), None, "it knows that 6 exists");
    store_deltas(&plugin, &mut plane, &base, 6);
    worker.sync(&plugin, Look::Again);
    assert_eq!(revision(worker.authority().position()), Some(6));
}

#[test]
fn a_head_that_cannot_be_read_denies_for_as_long() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    let (_, base) = store(&plugin, 9);
    let mut worker = worker(&plugin);
    worker.sync(&plugin, Look::Always);
    proxy.meddle("kya/t/head", b"another plugin was here");
    worker.sync(&plugin, Look::Always);
    assert_eq!(worker.authority().position(), None);
    plugin.cache.restore_head(&plugin.host, head(9, &base)).unwrap();
    worker.sync(&plugin, Look::Always);
    assert_eq!(revision(worker.authority().position()), Some(9));
    proxy.refuse("shared_data");
    worker.sync(&plugin, Look::Always);
    assert_eq!(worker.authority().position(), None);
}

#[test]
fn an_update_that_another_plugin_put_into_the_cache_is_not_believed() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    let mut foreign = plane(7);
    foreign.signer = Signer::from_seed([2; 32]);
    store_base(&plugin, &mut foreign);
    let mut worker = worker(&plugin);
    assert!(!worker.sync(&plugin, Look::Again));
    assert_eq!(worker.authority().position(), None);
    assert_eq!(proxy.metric("kya.update.rejected.unknown_key"), 1);
}

#[test]
fn workers_take_slots_of_their_own_and_free_ones_are_taken_over() {
    let proxy = Proxy::new();
    let plugin = plugin(&proxy);
    let me = |n: u32| Identity { instance: n.into(), queue: crate::host::QueueId(n) };
    let word = |n: u32| {
        move |renewed_nanos| crate::cache::records::Slot {
            instance: n.into(),
            queue: crate::host::QueueId(n),
            position: at(5),
            applied_nanos: 0,
            renewed_nanos,
            challenge: 0,
            state_age: 0,
            cut: 0,
        }
    };
    let [mut first, mut second, mut third] = [(); 3].map(|()| SlotHolder::default());
    assert_eq!(first.keep(&plugin, me(1), word(1)), None, "the leader has not made the slots");
    plugin.cache.prepare_slots(&plugin.host).unwrap();
    assert_eq!(first.keep(&plugin, me(1), word(1)), Some(0));
    assert_eq!(second.keep(&plugin, me(2), word(2)), Some(1));
    proxy.advance_nanos(SLOT_EXPIRY_NANOS + 1);
    assert_eq!(second.keep(&plugin, me(2), word(2)), Some(1), "it renews its own");
    assert_eq!(third.keep(&plugin, me(3), word(3)), Some(0), "the first has not renewed");
    assert_eq!(first.keep(&plugin, me(1), word(1)), Some(2), "it comes back elsewhere");
    third.release(&plugin, me(3));
    assert_eq!(plugin.cache.slots(&plugin.host).len(), 2);
}
