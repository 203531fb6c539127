//! The opening of a stream: what is believed, and what is not.

use prost::Message as _;

use super::*;
use crate::testing::sealed;
use kya_core::Signer;
use kya_core::wire::update::Body;

#[test]
fn nothing_is_believed_before_the_nonce_came_back() {
    let (mut world, stream, hello) = greeted(1);
    let [manifest, heartbeat] = [world.plane.manifest(&[9; 32]), world.plane.heartbeat(&[9; 32])];
    let plain = world.plane.heartbeat(b"");
    let challenge = world.plane.sign(Body::Challenge(wire::Challenge { nonce: vec![1; 32] }));
    let delta = world.plane.commit(unrelated());
    for message in [manifest, heartbeat, plain, challenge, delta] {
        world.send(stream, &sealed(message));
        assert_eq!(world.statuses(1), [503]);
    }
    for garbage in [&b"garbage"[..], b""] {
        world.send_bytes(stream, garbage);
    }
    assert_eq!(world.rejected("wrong_nonce"), 2);
    assert_eq!(world.rejected("unproven"), 3);
    assert_eq!(world.rejected("not_an_envelope"), 1);
    assert_eq!(world.rejected("bad_payload"), 1);
    assert!(!world.proxy.data().keys().any(|key| key.contains("/manifest") || key.contains("/c0")));
    let manifest = world.plane.manifest(&hello.nonce);
    world.send(stream, &sealed(manifest));
    world.greet(stream);
    world.streams = Link::Up;
    (0..4).for_each(|_| world.tick());
    assert_eq!(world.statuses(1), [200]);
    // A nonce is good for one answer.
    let again = world.plane.manifest(&hello.nonce);
    world.send(stream, &sealed(again));
    assert_eq!(world.rejected("wrong_nonce"), 3);
}

#[test]
fn a_stream_that_was_recorded_is_not_believed_when_it_is_played_back() {
    let (mut world, stream, hello) = greeted(1);
    let recorded = world.plane.answer(&Message::Hello(hello.clone()));
    recorded.iter().for_each(|message| world.send(stream, message));
    let asked = held(&mut world);
    let chunks: Vec<_> = asked.iter().flat_map(|it| world.plane.answer(it)).collect();
    chunks.iter().for_each(|message| world.send(stream, message));
    let live: Vec<_> = vec![sealed(world.plane.commit(unrelated()))];
    live.iter().for_each(|message| world.send(stream, message));
    assert_eq!(revision(world.head().map(|head| head.position)), Some(6));

    // Meanwhile agent 1 is revoked; whoever sits on the network plays all of it
    // back to the next stream.
    world.plane.commit(revoked(1));
    world.break_streams();
    world.pass(1);
    let again = world.proxy.stream().expect("a new stream");
    let age = world.vms[0].vm.worker().position();
    for message in recorded.iter().chain(&chunks).chain(&live) {
        world.send(again, message);
    }
    assert_eq!(world.rejected("wrong_nonce"), 1, "the manifest");
    assert_eq!(world.rejected("unproven"), 2, "the heartbeat and the delta");
    assert_eq!(world.vms[0].vm.worker().position(), age);
    // The stream proves nothing and is given up.
    world.pass(6);
    assert_eq!(world.proxy.owner_of(again), None);
}

#[test]
fn a_stream_goes_on_from_the_position_that_the_proxy_has() {
    let mut world = World::synced(2);
    world.commit(unrelated());
    let (manifests, chunks) = (world.manifests_sent, world.chunks_sent);
    world.calls = Link::Down;
    world.break_streams();
    world.plane.commit(unrelated());
    world.plane.commit(revoked(1));
    world.pass(2);
    assert_eq!(world.statuses(1), [403, 403]);
    assert_eq!((world.manifests_sent, world.chunks_sent), (manifests, chunks));
}

#[test]
fn a_control_plane_that_has_forgotten_the_deltas_sends_a_manifest() {
    let mut world = World::synced(2);
    world.calls = Link::Down;
    let manifests = world.manifests_sent;
    world.break_streams();
    world.plane.commit(revoked(1));
    world.plane.forget_deltas();
    world.pass(2);
    assert_eq!(world.statuses(1), [403, 403]);
    assert_eq!(world.manifests_sent, manifests + 1);
}

#[test]
fn a_delta_that_is_lost_as_a_stream_goes_on_is_asked_for() {
    let mut world = World::synced(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.break_streams();
    let deltas = [world.plane.commit(revoked(1)), world.plane.commit(unrelated())];
    world.pass(1);
    let (stream, Message::Hello(hello)) = world.said.pop_front().unwrap() else { panic!() };
    assert_eq!(hello.have, Some(at(5).into()));
    let proof = world.plane.heartbeat(&hello.nonce);
    world.send(stream, &sealed(proof));
    assert_eq!(world.rejected("gap"), 0, "what is missing follows");
    world.send(stream, &sealed(deltas[1].clone()));
    assert_eq!(world.rejected("gap"), 1);
    assert_eq!(resyncs(&held(&mut world)), 1);
    assert_eq!(world.statuses(2), [200], "the state is old, and fresh enough");
}

#[test]
fn a_stream_that_ends_after_its_proof_is_a_gap_at_the_next_heartbeat() {
    let mut world = World::synced(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.break_streams();
    world.plane.commit(revoked(1));
    world.pass(1);
    let (stream, Message::Hello(hello)) = world.said.pop_front().unwrap() else { panic!() };
    let [proof, next] = [world.plane.heartbeat(&hello.nonce), world.plane.heartbeat(b"")];
    world.send(stream, &sealed(proof));
    world.send(stream, &sealed(next));
    assert_eq!(world.rejected("gap"), 1);
    assert_eq!(resyncs(&held(&mut world)), 1);
}

#[test]
fn an_older_manifest_is_refused_even_with_the_right_nonce() {
    let mut world = World::synced(1);
    let older = world.plane.position;
    world.commit(revoked(1));
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.break_streams();
    world.pass(1);
    let (stream, Message::Hello(hello)) = world.said.pop_front().unwrap() else { panic!() };
    world.plane.position = older;
    let manifest = world.plane.manifest(&hello.nonce);
    world.send(stream, &sealed(manifest));
    assert_eq!(world.rejected("not_newer"), 1);
    assert_eq!(world.proxy.owner_of(stream), None, "the stream is given up");
    assert_eq!(world.statuses(1), [403]);
}

#[test]
fn what_another_key_signed_is_refused() {
    let (mut world, stream, hello) = greeted(1);
    let ours = std::mem::replace(&mut world.plane.signer, Signer::from_seed([66; 32]));
    let foreign = world.plane.manifest(&hello.nonce);
    world.send(stream, &sealed(foreign.clone()));
    // Under the name of a key that counts.
    let key_id = ours.public_key().id().0.to_vec();
    world.send(stream, &sealed(wire::SignedUpdate { key_id, ..foreign }));
    assert_eq!((world.rejected("unknown_key"), world.rejected("bad_signature")), (1, 1));
    assert_eq!(world.head(), None);
}

#[test]
fn a_message_that_was_cut_off_is_refused() {
    let (mut world, stream, hello) = greeted(1);
    let manifest = sealed(world.plane.manifest(&hello.nonce)).encode_to_vec();
    for length in 1..manifest.len() {
        world.send_bytes(stream, &manifest[..length]);
    }
    assert!(held(&mut world).is_empty(), "nothing was asked for");
    assert_eq!(world.head(), None);
    world.send_bytes(stream, &manifest);
    let asked = held(&mut world);
    assert!(matches!(asked[..], [Message::Chunks(_)]), "{asked:?}");
}

#[test]
fn changes_in_another_order_are_not_applied() {
    let mut world = World::synced(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    let stream = world.proxy.stream().unwrap();
    let deltas = [world.plane.commit(unrelated()), world.plane.commit(revoked(1))];
    for delta in deltas.iter().rev() {
        world.send(stream, &sealed(delta.clone()));
    }
    world.exchange();
    assert_eq!(world.positions()[1], Some(at(6)), "the first was the next, in its turn");
    assert_eq!(world.rejected("gap"), 1);
    world.send(stream, &sealed(deltas[0].clone()));
    assert_eq!(world.rejected("not_newer"), 1);
}

#[test]
fn a_stream_that_does_not_answer_is_given_up_and_opened_again() {
    let mut world = World::new(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.pass(15);
    let opened = world.proxy.streams_opened();
    assert!((2..=3).contains(&opened), "15 seconds of silence, {opened} streams");
}

#[test]
fn a_proxy_that_refuses_the_stream_or_its_messages_is_asked_again() {
    for call in ["open_stream", "send", "random"] {
        let mut world = World::new(1);
        world.calls = Link::Down;
        world.proxy.refuse(call);
        world.pass(5);
        assert_eq!(world.statuses(1), [503], "{call}");
        world.proxy.allow(call);
        world.sync();
        assert_eq!(world.statuses(1), [200], "{call}");
    }
}
