//! What arrives on the stream is believed only if a pinned key signed it, for this
//! stream, in order. Everything else is counted, and changes nothing.

use kya_core::wire::{Agent, Change, Delta, SignedUpdate, change, update};
use kya_host_tests::kya::{ControlPlane, Sidecar, altered, assert_allowed, assert_denied};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

const WORKERS: usize = 2;

/// Delivers what must not be believed, and says that it was counted under this
/// cause and that agent 1 is still allowed at the same revision.
#[track_caller]
fn refused(sidecar: &mut Sidecar, token: &kya_core::OpaqueToken, bytes: &[u8], cause: &str) {
    let metric = format!("kya.update.rejected.{cause}");
    let before = (sidecar.proxy.metric(&metric), sidecar.proxy.metric("kya.revision"));
    sidecar.deliver_bytes(bytes);
    assert_eq!(sidecar.proxy.metric(&metric), before.0 + 1, "{:?}", sidecar.proxy.metrics());
    assert_eq!(sidecar.proxy.metric("kya.revision"), before.1);
    for outcome in sidecar.ask_all(token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn an_update_that_no_pinned_key_signed_is_ignored_and_counted() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    control.revoke(1);
    let genuine = control.delta(3);

    let foreign = control.impostor().delta(3);
    refused(&mut sidecar, &token, &foreign.encode_to_vec(), "unknown_key");
    let disguised = SignedUpdate { key_id: genuine.key_id.clone(), ..foreign };
    refused(&mut sidecar, &token, &disguised.encode_to_vec(), "bad_signature");
    let other_payload = altered(&genuine, |update| update.unix_millis += 1);
    refused(&mut sidecar, &token, &other_payload.encode_to_vec(), "bad_signature");
    let mut other_signature = genuine.clone();
    other_signature.signature[7] ^= 1;
    refused(&mut sidecar, &token, &other_signature.encode_to_vec(), "bad_signature");
    let no_signature = SignedUpdate { signature: Vec::new(), ..genuine.clone() };
    refused(&mut sidecar, &token, &no_signature.encode_to_vec(), "bad_signature");
    let no_key = SignedUpdate { key_id: Vec::new(), ..genuine.clone() };
    refused(&mut sidecar, &token, &no_key.encode_to_vec(), "unknown_key");

    // After all of that the genuine one still counts.
    sidecar.push(&control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn bytes_that_are_no_message_are_ignored_and_counted() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    refused(&mut sidecar, &token, b"\xff\xff\xff\xff", "not_an_envelope");
    refused(&mut sidecar, &token, &[0x0a; 1_000_000], "not_an_envelope");
    // Nothing at all is an envelope in which every field is empty.
    refused(&mut sidecar, &token, b"", "unknown_key");
    let garbage = SignedUpdate { payload: b"no update".to_vec(), ..control.delta(1) };
    refused(&mut sidecar, &token, &garbage.encode_to_vec(), "bad_signature");
    let mut empty = control.sign(3, update::Body::Delta(Delta { changes: vec![] }));
    empty.payload.clear();
    refused(&mut sidecar, &token, &empty.encode_to_vec(), "bad_signature");
}

#[test]
fn a_flipped_bit_in_any_byte_is_not_believed() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 1);
    control.revoke(1);
    let genuine = control.delta(3).encode_to_vec();
    for at in 0..genuine.len() {
        let mut bytes = genuine.clone();
        bytes[at] ^= 1 << (at % 8);
        sidecar.deliver_bytes(&bytes);
        assert_eq!(sidecar.proxy.metric("kya.revision"), 2, "byte {at}");
        assert_allowed(&sidecar.ask(0, &token), 1);
    }
}

#[test]
fn a_message_that_was_cut_off_is_not_believed() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 1);
    control.revoke(1);
    let genuine = control.delta(3).encode_to_vec();
    for length in 0..genuine.len() {
        sidecar.deliver_bytes(&genuine[..length]);
        assert_eq!(sidecar.proxy.metric("kya.revision"), 2, "{length} bytes");
    }
    assert_allowed(&sidecar.ask(0, &token), 1);
}

#[test]
fn random_bytes_do_no_harm() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 1);
    let messages = prop::collection::vec(any::<u8>(), 0..300);
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let bytes = messages.new_tree(&mut runner).unwrap().current();
        sidecar.deliver_bytes(&bytes);
    }
    assert_allowed(&sidecar.ask(0, &token), 1);
    assert!(sidecar.connected(), "noise does not end the stream");
}

#[test]
fn a_snapshot_that_does_not_bring_the_nonce_back_is_not_accepted() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    for nonce in [vec![0; 32], vec![7; 32]] {
        sidecar.deliver(&control.snapshot(&nonce));
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.wrong_nonce"), 2);
    let mut short = sidecar.nonce();
    short.pop();
    sidecar.deliver(&control.snapshot(&short));
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.bad_payload"), 1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
    }
    sidecar.answer(&control);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn a_snapshot_recorded_on_an_earlier_stream_is_not_accepted() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    let recorded = control.snapshot(&sidecar.nonce());
    sidecar.deliver(&recorded);
    assert_allowed(&sidecar.ask(0, &token), 1);
    // The same one again on the same stream is no answer to a question either.
    sidecar.deliver(&recorded);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.wrong_nonce"), 1);

    sidecar.lose_stream();
    control.revoke(1);
    sidecar.sync(&control);
    sidecar.lose_stream();
    sidecar.connect();
    sidecar.deliver(&recorded);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.wrong_nonce"), 2);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn no_delta_counts_before_the_stream_has_proven_itself() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    control.suspend(1);
    sidecar.push(&control);
    sidecar.lose_stream();
    sidecar.connect();
    // Genuine, next in order, and possibly held back and replayed.
    control.restore(1);
    sidecar.deliver(&control.delta(4));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.unproven"), 1);
}

#[test]
fn an_older_revision_is_not_applied() {
    let (mut control, token) = ControlPlane::with_an_agent();
    control.suspend(1);
    control.restore(1);
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    // Each made the agent active when it was new.
    for old in [1, 4] {
        sidecar.deliver(&control.delta(old));
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.not_newer"), 2);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_control_plane_that_offers_an_older_snapshot_is_left_and_its_state_is_not_taken() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let (old, _) = ControlPlane::with_an_agent();
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    sidecar.lose_stream();
    sidecar.connect();
    sidecar.answer(&old);
    assert!(sidecar.proxy.metric("kya.update.rejected.not_newer") >= 1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    assert!(!sidecar.connected(), "it is not the control plane of the present state");
    sidecar.sync(&control);
    assert!(sidecar.connected());
}

#[test]
fn a_gap_asks_for_a_snapshot_and_applies_nothing_until_it_comes() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    control.revoke(1); // 3, which is lost
    control.agent(2); // 4
    let other = control.issue_token(2); // 5
    sidecar.deliver(&control.delta(4));
    sidecar.deliver(&control.delta(5));
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.gap"), 2);
    assert_eq!(sidecar.resyncs(), 1, "one question at a time");
    for outcome in sidecar.ask_all(&other) {
        assert_denied(&outcome, 401, "token_unknown");
    }
    sidecar.answer(&control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    for outcome in sidecar.ask_all(&other) {
        assert_allowed(&outcome, 2);
    }
}

#[test]
fn a_later_epoch_is_entered_by_a_snapshot_alone() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    control.next_epoch();
    control.revoke(1);
    sidecar.push(&control);
    assert_eq!(sidecar.resyncs(), 1);
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.answer(&control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_status_that_the_filter_does_not_know_denies() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    let change = change::Change::Agent(Agent { id: vec![1; 16], status: 99 });
    let changes = vec![Change { change: Some(change) }];
    sidecar.deliver(&control.sign(3, update::Body::Delta(Delta { changes })));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_signed_delta_of_an_unknown_kind_is_never_skipped_over() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    let changes = vec![Change { change: None }];
    sidecar.deliver(&control.sign(3, update::Body::Delta(Delta { changes })));
    for outcome in sidecar.ask_all(&token) {
        assert!(outcome.forwarded().is_none(), "it may have been a denial: {outcome:?}");
    }
}
