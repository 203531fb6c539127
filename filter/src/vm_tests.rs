//! One proxy's VMs together: the main thread's and the workers'.

use super::*;
use crate::testing::{Proxy, TestVm, delta, revision, signed, snapshot};
use kya_core::wire::{self, AgentStatus, proxy_message::Message};

const TICK_NANOS: u64 = TICK_MILLIS as u64 * 1_000_000;

fn unavailable() -> StreamEnd {
    StreamEnd { status: 14, message: String::new() }
}

fn tick(proxy: &Proxy, vms: &mut [TestVm]) {
    proxy.advance_nanos(TICK_NANOS);
    vms.iter_mut().for_each(|vm| vm.vm.tick());
}

fn hello_nonce(proxy: &Proxy) -> Vec<u8> {
    match proxy.take_sent().remove(0) {
        Message::Hello(hello) => hello.nonce,
        other => panic!("the first message is {other:?}"),
    }
}

/// `count` VMs as Envoy makes them: after a canary, and the main thread's first.
fn started(proxy: &Proxy, count: usize) -> Vec<TestVm> {
    drop(TestVm::new(proxy));
    (0..count).map(|_| TestVm::new(proxy)).collect()
}

/// `count` VMs, of which the first leads and has stored a snapshot of revision 5.
pub(crate) fn synced(proxy: &Proxy, count: usize) -> Vec<TestVm> {
    let mut vms = started(proxy, count);
    tick(proxy, &mut vms);
    tick(proxy, &mut vms);
    let nonce = hello_nonce(proxy);
    vms[0].vm.stream_message(proxy.stream().unwrap(), &snapshot(5, &nonce));
    tick(proxy, &mut vms);
    vms
}

fn reports(proxy: &Proxy) -> Vec<wire::WorkerReport> {
    let sent = proxy.take_sent().into_iter();
    sent.filter_map(|message| match message {
        Message::Workers(report) => Some(report),
        _ => None,
    })
    .collect()
}

#[test]
fn a_revocation_is_enforced_by_every_worker_and_acknowledged_by_each() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 3);
    assert_eq!((vms[1].status_of(1), vms[2].status_of(1)), (200, 200));
    tick(&proxy, &mut vms);
    proxy.take_sent();

    vms[0].vm.stream_message(proxy.stream().unwrap(), &delta(6, 1, AgentStatus::Revoked));
    vms[1].vm.queue_ready();
    vms[2].vm.queue_ready();
    vms[0].vm.queue_ready();

    let acknowledged: Vec<_> =
        reports(&proxy).into_iter().flat_map(|report| report.workers).collect();
    let slots: Vec<_> = acknowledged.iter().map(|worker| (worker.slot, worker.revision)).collect();
    assert_eq!(slots, [(0, 6), (1, 6)]);
    assert_eq!((vms[1].status_of(1), vms[2].status_of(1)), (403, 403));
    assert_eq!((vms[1].status_of(2), vms[2].status_of(2)), (200, 200));
}

#[test]
fn a_lost_wake_does_not_matter_to_the_next_request() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    assert_eq!(vms[1].status_of(1), 200);
    vms[0].vm.stream_message(proxy.stream().unwrap(), &delta(6, 1, AgentStatus::Revoked));
    assert_eq!(vms[1].status_of(1), 403);
}

#[test]
fn nothing_is_believed_before_the_nonce_came_back() {
    let proxy = Proxy::new();
    let mut vms = started(&proxy, 2);
    tick(&proxy, &mut vms);
    tick(&proxy, &mut vms);
    let nonce = hello_nonce(&proxy);
    let stream = proxy.stream().unwrap();
    for message in [
        snapshot(5, &[9; 32]),
        delta(1, 1, AgentStatus::Active),
        delta(6, 1, AgentStatus::Active),
        b"garbage".to_vec(),
        Vec::new(),
    ] {
        vms[0].vm.stream_message(stream, &message);
        assert_eq!(vms[1].status_of(1), 503);
    }
    assert_eq!(proxy.metric("kya.update.rejected.wrong_nonce"), 1);
    assert_eq!(proxy.metric("kya.update.rejected.unproven"), 2);
    vms[0].vm.stream_message(stream, &snapshot(5, &nonce));
    assert_eq!(vms[1].status_of(1), 200);
    // A nonce is good for one answer.
    vms[0].vm.stream_message(stream, &snapshot(6, &nonce));
    assert_eq!(proxy.metric("kya.update.rejected.wrong_nonce"), 2);
}

#[test]
fn a_gap_is_asked_about_once_and_nothing_is_applied_across_it() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    proxy.take_sent();
    let stream = proxy.stream().unwrap();
    for revision in [7, 8] {
        vms[0].vm.stream_message(stream, &delta(revision, 1, AgentStatus::Revoked));
    }
    let questions: Vec<_> = proxy
        .take_sent()
        .into_iter()
        .filter_map(|message| match message {
            Message::Resync(resync) => Some(resync.nonce),
            _ => None,
        })
        .collect();
    assert_eq!(questions.len(), 1);
    assert_eq!(vms[1].status_of(1), 200);
    vms[0].vm.stream_message(stream, &snapshot(8, &questions[0]));
    vms[0].vm.stream_message(stream, &delta(9, 1, AgentStatus::Revoked));
    assert_eq!(vms[1].status_of(1), 403);
}

#[test]
fn an_older_snapshot_is_refused_even_with_the_right_nonce() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    let stream = proxy.stream().unwrap();
    vms[0].vm.stream_message(stream, &delta(6, 1, AgentStatus::Revoked));
    vms[0].vm.stream_closed(stream, &unavailable());
    for _ in 0..8 {
        tick(&proxy, &mut vms);
    }
    let nonce = hello_nonce(&proxy);
    let again = proxy.stream().unwrap();
    assert_ne!(stream, again);
    vms[0].vm.stream_message(again, &snapshot(5, &nonce));
    assert_eq!(proxy.metric("kya.update.rejected.not_newer"), 1);
    assert_eq!(proxy.stream(), None, "the stream is given up");
    assert_eq!(vms[1].status_of(1), 403);
}

#[test]
fn a_stream_that_does_not_answer_is_given_up_and_opened_again() {
    let proxy = Proxy::new();
    let mut vms = started(&proxy, 1);
    let mut opened = std::collections::BTreeSet::new();
    for _ in 0..60 {
        tick(&proxy, &mut vms);
        opened.extend(proxy.stream().map(|stream| stream.0));
    }
    assert!(opened.len() >= 2, "15 seconds of silence, {} streams", opened.len());
}

#[test]
fn a_proxy_that_refuses_the_stream_or_its_messages_is_asked_again() {
    for call in ["open_stream", "send", "random"] {
        let proxy = Proxy::new();
        let mut vms = started(&proxy, 1);
        proxy.refuse(call);
        for _ in 0..20 {
            tick(&proxy, &mut vms);
        }
        assert_eq!(vms[0].status_of(1), 503, "{call}");
    }
}

#[test]
fn a_worker_leads_where_the_main_thread_does_not_and_hands_over_when_it_does() {
    let proxy = Proxy::new();
    let mut vms = started(&proxy, 3);
    for _ in 0..2 * PATIENCE_TICKS {
        tick(&proxy, &mut vms[1..]);
    }
    assert!(vms[1].vm.leader.is_some() ^ vms[2].vm.leader.is_some());
    let slots = |vms: &[TestVm]| vms[1].vm.plugin.cache.slots(&proxy.host()).len();
    assert_eq!(slots(&vms), 2, "a worker that leads is a worker");
    for _ in 0..3 {
        tick(&proxy, &mut vms);
    }
    assert!(vms[0].vm.leader.is_some());
    assert!(vms[1].vm.leader.is_none() && vms[2].vm.leader.is_none());
    assert_eq!(slots(&vms), 2, "the main thread's VM is none");
}

#[test]
fn the_main_threads_vm_is_no_worker_even_while_another_leads() {
    let proxy = Proxy::new();
    let mut vms = started(&proxy, 3);
    for _ in 0..3 * PATIENCE_TICKS {
        proxy.advance_nanos(TICK_NANOS);
        // The main thread is always the last to be ticked.
        vms.iter_mut().rev().for_each(|vm| vm.vm.tick());
        assert!(vms[0].vm.worker.slot().is_none());
    }
    assert!(vms[0].vm.leader.is_some());
}

#[test]
fn a_vm_that_was_taken_for_the_main_threads_and_serves_is_a_worker() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    assert_eq!(vms[0].status_of(1), 200);
    for _ in 0..2 {
        tick(&proxy, &mut vms);
    }
    assert_eq!(vms[0].vm.plugin.cache.slots(&proxy.host()).len(), 2);
}

#[test]
fn a_plugin_that_goes_away_leaves_its_lease_and_its_slot_at_once() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 3);
    for _ in 0..PATIENCE_TICKS {
        tick(&proxy, &mut vms);
    }
    let before = proxy.stream().unwrap();
    vms[0].vm.stop();
    vms[1].vm.stop();
    assert_eq!(proxy.stream(), None);
    let mut last = vec![vms.remove(2)];
    tick(&proxy, &mut last);
    assert!(last[0].vm.leader.is_some());
    assert_ne!(proxy.stream(), Some(before));
    let plugin = &last[0].vm.plugin;
    assert_eq!(plugin.cache.slots(&plugin.host).len(), 1, "its own, since it is a worker");
}

#[test]
fn a_leader_that_was_replaced_and_has_not_noticed_stores_nothing() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 3);
    let old_stream = proxy.stream().unwrap();
    // The main thread stands still for longer than its lease; a worker takes over.
    for _ in 0..3 * PATIENCE_TICKS {
        tick(&proxy, &mut vms[1..]);
    }
    assert!(vms[1].vm.leader.is_some());
    let nonce = hello_nonce(&proxy);
    let revoked = {
        let mut agents = vec![crate::testing::agent(1, AgentStatus::Revoked)];
        agents.push(crate::testing::agent(2, AgentStatus::Active));
        let body = wire::Snapshot { nonce, agents, tokens: crate::testing::tokens() };
        let signer = crate::testing::signer();
        signed(&signer, 1, 7, wire::update::Body::Snapshot(body))
    };
    vms[1].vm.stream_message(proxy.stream().unwrap(), &revoked);
    // What the old leader still had in its socket.
    vms[0].vm.stream_message(old_stream, &delta(6, 2, AgentStatus::Active));
    assert_eq!((vms[1].status_of(1), vms[2].status_of(1)), (403, 403));
    let head = vms[1].vm.plugin.cache.head(&proxy.host()).unwrap().unwrap();
    assert_eq!(revision(Some(head.position)), Some(7));
}

#[test]
fn a_leader_puts_a_head_right_that_somebody_changed() {
    let garbage = b"another plugin was here".to_vec();
    for meddle in [Some(garbage), None] {
        let proxy = Proxy::new();
        let mut vms = synced(&proxy, 3);
        vms[0].vm.stream_message(proxy.stream().unwrap(), &delta(6, 1, AgentStatus::Revoked));
        let plugin = &vms[1].vm.plugin;
        let mine = plugin.cache.head(&plugin.host).unwrap().unwrap();
        match meddle {
            Some(garbage) => {
                let key = format!("{}/head", plugin.config.namespace());
                plugin.host.set_shared_data(&key, &garbage).unwrap();
            }
            None => {
                let position = kya_core::Position { epoch: 1, revision: kya_core::Revision(5) };
                let old = crate::records::Head { position, ..mine };
                plugin.cache.restore_head(&plugin.host, old).unwrap();
            }
        }
        tick(&proxy, &mut vms);
        assert_eq!(vms[1].vm.plugin.cache.head(&proxy.host()), Ok(Some(mine)));
        assert_eq!((vms[1].status_of(1), vms[2].status_of(1)), (403, 403));
        assert!(proxy.take_sent().iter().any(|sent| matches!(sent, Message::Resync(_))));
    }
}

#[test]
fn a_forged_head_far_ahead_denies_and_is_overcome() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    let plugin = &vms[1].vm.plugin;
    let position = kya_core::Position { epoch: 1, revision: kya_core::Revision(u64::MAX) };
    let forged = crate::records::Head { position, snapshot: kya_core::Revision(5) };
    plugin.cache.restore_head(&plugin.host, forged).unwrap();
    assert_eq!(vms[1].status_of(1), 503);
    proxy.take_sent();
    for _ in 0..40 {
        tick(&proxy, &mut vms);
        let sent = proxy.take_sent();
        let nonce = sent.into_iter().find_map(|message| match message {
            Message::Resync(resync) => Some(resync.nonce),
            Message::Hello(hello) => Some(hello.nonce),
            _ => None,
        });
        if let (Some(nonce), Some(stream)) = (nonce, proxy.stream()) {
            vms[0].vm.stream_message(stream, &snapshot(6, &nonce));
        }
    }
    let head = vms[1].vm.plugin.cache.head(&proxy.host()).unwrap().unwrap();
    assert_eq!(revision(Some(head.position)), Some(6));
    // A VM that never saw the forged head serves; one that did goes on denying.
    let mut fresh = TestVm::new(&proxy);
    assert_eq!((fresh.status_of(1), vms[1].status_of(1)), (200, 503));
}

#[test]
fn a_worker_that_cannot_read_what_was_announced_is_helped_by_a_snapshot() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 3);
    let stream = proxy.stream().unwrap();
    vms[0].vm.stream_message(stream, &delta(6, 2, AgentStatus::Active));
    let plugin = &vms[1].vm.plugin;
    for key in ["delta/6", "snapshot"] {
        let key = format!("{}/{key}", plugin.config.namespace());
        plugin.host.set_shared_data(&key, b"another plugin was here").unwrap();
    }
    assert_eq!(vms[1].status_of(1), 503);
    proxy.take_sent();
    for _ in 0..8 {
        tick(&proxy, &mut vms);
    }
    let nonce = proxy.take_sent().into_iter().find_map(|message| match message {
        Message::Resync(resync) => Some(resync.nonce),
        _ => None,
    });
    vms[0].vm.stream_message(stream, &snapshot(6, &nonce.expect("no snapshot was asked for")));
    assert_eq!((vms[1].status_of(1), vms[2].status_of(1)), (200, 200));
}

#[test]
fn workers_that_are_always_a_change_behind_are_not_helped() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    let stream = proxy.stream().unwrap();
    proxy.take_sent();
    // For less time than a question may stay unanswered.
    for revision in 6..22 {
        tick(&proxy, &mut vms[1..]);
        // The leader is a change ahead whenever it looks.
        vms[0].vm.stream_message(stream, &delta(revision, 2, AgentStatus::Active));
        vms[0].vm.tick();
    }
    assert!(proxy.take_sent().iter().all(|sent| !matches!(sent, Message::Resync(_))));
}

#[test]
fn no_worker_is_reported_ahead_of_the_leader() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    let plugin = &vms[1].vm.plugin;
    let (held, cas) = plugin.cache.slot(&plugin.host, 0).unwrap();
    let mut forged = held.unwrap();
    forged.position.revision = kya_core::Revision(u64::MAX);
    plugin.cache.store_slot(&plugin.host, 0, Some(&forged), cas).unwrap();
    proxy.take_sent();
    vms[0].vm.tick();
    let reported = reports(&proxy).into_iter().flat_map(|report| report.workers);
    assert!(reported.into_iter().all(|worker| worker.revision == 5));
}

#[test]
fn a_snapshot_far_back_is_replaced_before_the_ring_has_gone_round() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    proxy.take_sent();
    let stream = proxy.stream().unwrap();
    for revision in 6..6 + crate::cache::RING {
        vms[0].vm.stream_message(stream, &delta(revision, 2, AgentStatus::Active));
    }
    tick(&proxy, &mut vms);
    assert!(proxy.take_sent().iter().any(|message| matches!(message, Message::Resync(_))));
    assert_eq!(vms[1].status_of(1), 200);
}

#[test]
fn a_later_epoch_replaces_the_state() {
    let proxy = Proxy::new();
    let mut vms = synced(&proxy, 2);
    let stream = proxy.stream().unwrap();
    vms[0].vm.stream_closed(stream, &unavailable());
    for _ in 0..8 {
        tick(&proxy, &mut vms);
    }
    let empty = wire::Snapshot { nonce: hello_nonce(&proxy), ..Default::default() };
    let signer = crate::testing::signer();
    let update = signed(&signer, 2, 1, wire::update::Body::Snapshot(empty));
    vms[0].vm.stream_message(proxy.stream().unwrap(), &update);
    assert_eq!(vms[1].status_of(1), 401);
}
