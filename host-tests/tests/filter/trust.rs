//! What arrives on the stream is believed only if a pinned key signed it, for this
//! stream, in order. Everything else is counted, and changes nothing.

use kya_core::OpaqueToken;
use kya_core::testing::{agent_id, sealed};
use kya_core::wire::{self, Delta, SignedUpdate, change, update};
use kya_host_tests::kya::{ControlPlane, Sidecar, altered, assert_allowed, assert_denied, forged};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

const WORKERS: usize = 2;

/// Delivers what must not be believed, and says that it was counted under this
/// cause and that agent 1 is still allowed at the same revision.
#[track_caller]
fn refused(sidecar: &mut Sidecar, token: &OpaqueToken, bytes: &[u8], cause: &str) {
    let metric = format!("kya.update.rejected.{cause}");
    let before = (sidecar.proxy.metric(&metric), sidecar.proxy.metric("kya.revision"));
    sidecar.deliver_bytes(bytes);
    assert_eq!(sidecar.proxy.metric(&metric), before.0 + 1, "{:?}", sidecar.proxy.metrics());
    assert_eq!(sidecar.proxy.metric("kya.revision"), before.1);
    for outcome in sidecar.ask_all(token) {
        assert_allowed(&outcome, 1);
    }
}

/// As it travels.
fn encoded(update: &SignedUpdate) -> Vec<u8> {
    sealed(update.clone()).encode_to_vec()
}

/// A sidecar, and the delta that revokes agent 1, which has not arrived.
fn before_a_revocation(workers: usize) -> (ControlPlane, OpaqueToken, Sidecar, SignedUpdate) {
    let (mut control, token) = ControlPlane::with_an_agent();
    let sidecar = Sidecar::synced(&mut control, workers);
    control.revoke(1);
    let genuine = control.delta(control.revision()).unwrap();
    (control, token, sidecar, genuine)
}

#[test]
fn an_update_that_no_pinned_key_signed_is_ignored_and_counted() {
    let (mut control, token, mut sidecar, genuine) = before_a_revocation(WORKERS);
    let foreign = forged(&genuine);
    refused(&mut sidecar, &token, &encoded(&foreign), "unknown_key");
    let disguised = SignedUpdate { key_id: genuine.key_id.clone(), ..foreign };
    refused(&mut sidecar, &token, &encoded(&disguised), "bad_signature");
    let other_payload = altered(&genuine, |update| update.unix_millis += 1);
    refused(&mut sidecar, &token, &encoded(&other_payload), "bad_signature");
    let mut other_signature = genuine.clone();
    other_signature.signature[7] ^= 1;
    refused(&mut sidecar, &token, &encoded(&other_signature), "bad_signature");
    let no_signature = SignedUpdate { signature: Vec::new(), ..genuine.clone() };
    refused(&mut sidecar, &token, &encoded(&no_signature), "bad_signature");
    let no_key = SignedUpdate { key_id: Vec::new(), ..genuine };
    refused(&mut sidecar, &token, &encoded(&no_key), "unknown_key");

    // After all of that the genuine one still counts.
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn bytes_that_are_no_message_are_ignored_and_counted() {
    let (_, token, mut sidecar, genuine) = before_a_revocation(WORKERS);
    refused(&mut sidecar, &token, b"\xff\xff\xff\xff", "not_an_envelope");
    refused(&mut sidecar, &token, &[0x0a; 1_000_000], "not_an_envelope");
    // Nothing at all is a message of no kind.
    refused(&mut sidecar, &token, b"", "bad_payload");
    let nothing = SignedUpdate { payload: Vec::new(), key_id: Vec::new(), signature: Vec::new() };
    refused(&mut sidecar, &token, &encoded(&nothing), "unknown_key");
    let garbage = SignedUpdate { payload: b"no update".to_vec(), ..genuine.clone() };
    refused(&mut sidecar, &token, &encoded(&garbage), "bad_signature");
    let empty = SignedUpdate { payload: Vec::new(), ..genuine };
    refused(&mut sidecar, &token, &encoded(&empty), "bad_signature");
}

#[test]
fn a_flipped_bit_in_any_byte_is_not_believed() {
    let (_, token, mut sidecar, genuine) = before_a_revocation(1);
    let before = sidecar.proxy.metric("kya.revision");
    let genuine = encoded(&genuine);
    for at in 0..genuine.len() {
        let mut bytes = genuine.clone();
        bytes[at] ^= 1 << (at % 8);
        sidecar.deliver_bytes(&bytes);
        assert_eq!(sidecar.proxy.metric("kya.revision"), before, "byte {at}");
        assert_allowed(&sidecar.ask(0, &token), 1);
    }
}

#[test]
fn a_message_that_was_cut_off_is_not_believed() {
    let (_, token, mut sidecar, genuine) = before_a_revocation(1);
    let before = sidecar.proxy.metric("kya.revision");
    let genuine = encoded(&genuine);
    for length in 0..genuine.len() {
        sidecar.deliver_bytes(&genuine[..length]);
        assert_eq!(sidecar.proxy.metric("kya.revision"), before, "{length} bytes");
    }
    assert_allowed(&sidecar.ask(0, &token), 1);
}

#[test]
fn random_bytes_do_no_harm() {
    let (_, token, mut sidecar, _) = before_a_revocation(1);
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
fn chunks_that_nobody_signed_for_are_not_taken() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    sidecar.take_said();
    let manifest = control.manifest(&sidecar.nonce());
    sidecar.deliver(&manifest);
    let [wire::proxy_message::Message::Chunks(request)] = &sidecar.take_said()[..] else {
        panic!("it asks for the chunks of the manifest")
    };
    let mut chunks = control.chunks(request);
    let genuine = chunks.clone();
    for chunk in &mut chunks.chunks {
        chunk.content.push(0);
    }
    for wrong in [
        chunks,
        wire::Chunks { image: vec![7; 32], ..genuine.clone() },
        wire::Chunks {
            chunks: genuine
                .chunks
                .iter()
                .map(|it| wire::Chunk { index: 9, ..it.clone() })
                .collect(),
            ..genuine.clone()
        },
    ] {
        let message = Some(wire::control_message::Message::Chunks(wrong));
        sidecar.deliver_bytes(&wire::ControlMessage { message }.encode_to_vec());
        for outcome in sidecar.ask_all(&token) {
            assert_denied(&outcome, 503, "unsynced");
        }
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.bad_chunk"), 1);
}

#[test]
fn a_manifest_that_does_not_bring_the_nonce_back_is_not_accepted() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    for nonce in [vec![0; 32], vec![7; 32]] {
        sidecar.deliver(&control.manifest(&nonce));
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.wrong_nonce"), 2);
    let mut short = sidecar.nonce();
    short.pop();
    sidecar.deliver(&control.manifest(&short));
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.bad_payload"), 1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
    }
    sidecar.serve(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn a_manifest_recorded_on_an_earlier_stream_is_not_accepted() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    sidecar.take_said();
    let recorded = control.manifest(&sidecar.nonce());
    sidecar.deliver(&recorded);
    sidecar.serve(&mut control);
    sidecar.deliver(&control.heartbeat(b""));
    assert_allowed(&sidecar.ask(0, &token), 1);
    // The same one again on the same stream is no answer to a question either.
    sidecar.deliver(&recorded);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.wrong_nonce"), 1);

    sidecar.lose_stream();
    control.revoke(1);
    sidecar.sync(&mut control);
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
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    control.suspend(1);
    sidecar.push(&mut control);
    sidecar.lose_stream();
    sidecar.connect();
    // Genuine, next in order, and possibly held back and replayed.
    control.restore(1);
    sidecar.deliver(&control.delta(control.revision()).unwrap());
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
    let old = [control.revision() - 1, control.revision()];
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    // The last of them made the agent active when it was new.
    for old in old {
        sidecar.deliver(&control.delta(old).unwrap());
    }
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.not_newer"), 2);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_control_plane_that_offers_an_older_manifest_is_left_and_its_state_is_not_taken() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let (mut old, _) = ControlPlane::with_an_agent();
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.lose_stream();
    sidecar.connect();
    sidecar.take_said();
    let offered = old.manifest(&sidecar.nonce());
    sidecar.deliver(&offered);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.not_newer"), 1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    assert!(!sidecar.connected(), "it is not the control plane of the present state");
    sidecar.sync(&mut control);
    assert!(sidecar.connected());
}

#[test]
fn a_gap_asks_for_a_manifest_and_applies_nothing_until_it_comes() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    // Questions are a second apart.
    sidecar.run(&mut control, std::time::Duration::from_secs(2));
    let asked = sidecar.resyncs();
    control.revoke(1); // It is lost.
    let lost = control.revision();
    control.register(3);
    let other = control.issue_token(3);
    sidecar.lose(&control);
    sidecar.deliver(&control.delta(lost + 1).unwrap());
    sidecar.deliver(&control.delta(lost + 2).unwrap());
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.gap"), 2);
    assert_eq!(sidecar.resyncs(), asked + 1, "one question at a time");
    for outcome in sidecar.ask_all(&other) {
        assert_denied(&outcome, 401, "token_unknown");
    }
    sidecar.serve(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    for outcome in sidecar.ask_all(&other) {
        assert_allowed(&outcome, 3);
    }
}

#[test]
fn a_later_epoch_is_entered_by_a_manifest_alone() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.run(&mut control, std::time::Duration::from_secs(2));
    let asked = sidecar.resyncs();
    control.next_epoch();
    control.revoke(1);
    sidecar.push(&mut control);
    assert_eq!(sidecar.resyncs(), asked + 1);
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.serve(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_status_that_the_filter_does_not_know_denies() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let standing = Some(wire::Standing { status: 99, ..Default::default() });
    let id = agent_id(1).to_bytes().to_vec();
    let change = change::Change::Agent(wire::Agent { id, standing, ..Default::default() });
    let changes = vec![wire::Change { change: Some(change) }];
    let next = control.revision() + 1;
    sidecar.deliver(&control.sign_as(next, update::Body::Delta(Delta { changes })));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_signed_delta_of_an_unknown_kind_is_never_skipped_over() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let changes = vec![wire::Change { change: None }];
    let next = control.revision() + 1;
    sidecar.deliver(&control.sign_as(next, update::Body::Delta(Delta { changes })));
    for outcome in sidecar.ask_all(&token) {
        assert!(outcome.forwarded().is_none(), "it may have been a denial: {outcome:?}");
    }
}
