//! Manifests and their chunks: what is fetched, what is kept, what is decided by
//! meanwhile.

use std::collections::BTreeSet;

use kya_core::table;

use super::*;
use crate::cache::RING;
use crate::testing::{Standing, filler, held_by, token};

/// Enough tokens for eight chunks of them.
const FILLERS: u32 = 600;
/// Tokens with known secrets, all held by agent 1.
const KNOWN: std::ops::Range<u8> = 10..40;

fn filled(workers: usize) -> World {
    let mut world = World::new(workers);
    (0..FILLERS).for_each(|n| world.plane.record(Wire::Token(filler(n))));
    KNOWN.for_each(|n| world.plane.record(Wire::Token(held_by(n, 1))));
    world
}

fn synced(workers: usize) -> World {
    let mut world = filled(workers);
    world.sync();
    world
}

/// The control plane forgets its deltas, and the stream breaks: the proxy must
/// have a manifest.
fn resync(world: &mut World) {
    world.plane.forget_deltas();
    world.break_streams();
    world.sync();
}

fn asked(said: &[Message]) -> Vec<u32> {
    let indexes = |message: &Message| match message {
        Message::Chunks(request) => request.indexes.clone(),
        _ => vec![],
    };
    said.iter().flat_map(indexes).collect()
}

/// The keys of the chunks that hold this token.
fn chunks_with(world: &World, n: u8) -> Vec<String> {
    let fingerprint = token(n).digest().fingerprint();
    let prefix = world.key("c");
    let holds = |(key, value): &(String, Vec<u8>)| {
        key.len() == prefix.len() + 4
            && key.starts_with(&prefix)
            && table::find(value, fingerprint).is_some()
    };
    world.proxy.data().into_iter().filter(holds).map(|(key, _)| key).collect()
}

fn reason(world: &mut World, worker: usize, n: u8) -> String {
    let bearer = crate::testing::bearer(&token(n));
    let (_, exchange) = world.vms[worker].request(&[("authorization", &bearer)]);
    let body = exchange.response.expect("it was forwarded").2;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_proxy_that_has_nothing_fetches_every_chunk_once() {
    let mut world = filled(2);
    // The pull, which races with the stream, is out of the way.
    world.calls = Link::Held;
    world.sync();
    let count = world.plane.published().manifest().count();
    assert_eq!(count, 9);
    assert_eq!((world.manifests_sent, world.chunks_sent), (1, count));
    assert_eq!(world.statuses(1), [200, 200]);
}

#[test]
fn only_the_chunks_that_changed_are_fetched() {
    let mut world = synced(1);
    world.calls = Link::Held;
    let before = world.chunks_sent;
    world.plane.commit([Wire::Token(held_by(50, 1))]);
    resync(&mut world);
    assert_eq!(world.chunks_sent - before, 1, "the one that holds the token");
    assert_eq!(world.statuses(50), [200]);
    world.plane.commit([agent(1, Status::Suspended), Wire::Token(held_by(51, 2))]);
    resync(&mut world);
    assert_eq!(world.chunks_sent - before, 3, "and one of tokens and one of records");
    assert_eq!((world.statuses(50), world.statuses(51)), (vec![403], vec![200]));
}

#[test]
fn a_fetch_that_was_interrupted_goes_on_where_it_was() {
    let mut world = filled(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.plane.chunks_a_message = 2;
    let mut fetched = BTreeSet::new();
    // Each stream lasts for the manifest and two messages of two chunks.
    for round in 0..3 {
        world.pass(4);
        let (stream, hello) = world.said.pop_front().expect("a greeting");
        for answer in world.plane.answer(&hello) {
            world.send(stream, &answer);
        }
        let said = held(&mut world);
        let wanted: BTreeSet<_> = asked(&said).into_iter().collect();
        assert_eq!(wanted.len(), 9 - fetched.len(), "round {round}");
        assert!(wanted.is_disjoint(&fetched), "round {round}");
        let request = said.iter().find(|message| matches!(message, Message::Chunks(_))).unwrap();
        let answers = world.plane.answer(request);
        for answer in answers.iter().take(2) {
            world.send(stream, answer);
            let Some(wire::control_message::Message::Chunks(chunks)) = &answer.message else {
                panic!()
            };
            fetched.extend(chunks.chunks.iter().map(|chunk| chunk.index));
        }
        world.break_streams();
        world.said.clear();
    }
    assert_eq!(fetched.len(), 9);
    assert_eq!(world.head().map(|head| head.position), Some(at(5)));
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn a_chunk_that_does_not_fit_its_hash_is_refused() {
    let mut world = filled(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.pass(1);
    let (stream, hello) = world.said.pop_front().unwrap();
    for answer in world.plane.answer(&hello) {
        world.send(stream, &answer);
    }
    let said = held(&mut world);
    let request = said.iter().find(|message| matches!(message, Message::Chunks(_))).unwrap();
    let mut answer = world.plane.answer(request).remove(0);
    let Some(wire::control_message::Message::Chunks(chunks)) = &mut answer.message else {
        panic!()
    };
    // One is altered, two have changed places, one is not of this image.
    chunks.chunks[0].content[20] ^= 1;
    chunks.chunks[1].index = 2;
    chunks.chunks[2].index = 1;
    chunks.chunks[3].index = 99;
    let good = chunks.chunks.len() - 4;
    world.send(stream, &answer);
    assert_eq!(world.rejected("bad_chunk"), 1);
    let stored = world.proxy.data().into_iter().filter(|(key, value)| {
        key.starts_with(&world.key("c"))
            && key.len() == world.key("c").len() + 4
            && !value.is_empty()
    });
    assert_eq!(stored.count(), good, "the others were stored");
    assert_eq!(world.statuses(1), [503]);
    // It asks anew, and gets the rest.
    world.greet(stream);
    world.streams = Link::Up;
    let before = world.chunks_sent;
    world.sync();
    assert_eq!(world.statuses(1), [200]);
    assert_eq!(world.chunks_sent - before, 4);
}

#[test]
fn chunks_of_another_image_are_not_taken() {
    let mut world = filled(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.pass(1);
    let (stream, hello) = world.said.pop_front().unwrap();
    let answers = world.plane.answer(&hello);
    answers.iter().for_each(|answer| world.send(stream, answer));
    let said = held(&mut world);
    let request = said.iter().find(|message| matches!(message, Message::Chunks(_))).unwrap();
    let mut answer = world.plane.answer(request).remove(0);
    if let Some(wire::control_message::Message::Chunks(chunks)) = &mut answer.message {
        chunks.image[0] ^= 1;
    }
    world.send(stream, &answer);
    assert_eq!(world.head(), None);
}

#[test]
fn a_worker_goes_on_deciding_by_the_old_base_while_a_new_one_is_written() {
    let mut world = synced(2);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.plane.chunks_a_message = 1;
    // Every chunk changes: some tokens are new, and one in two is revoked.
    for n in KNOWN.step_by(2) {
        world.plane.commit([Wire::Token(wire::Token { revoked: true, ..held_by(n, 1) })]);
    }
    (0..100).for_each(|n| world.plane.record(Wire::Token(filler(FILLERS + n))));
    world.plane.forget_deltas();
    world.break_streams();
    world.pass(1);
    let (stream, hello) = world.said.pop_front().unwrap();
    for answer in world.plane.answer(&hello) {
        world.send(stream, &answer);
    }
    let said = held(&mut world);
    let request = said.iter().find(|message| matches!(message, Message::Chunks(_))).unwrap();
    let answers = world.plane.answer(request);
    assert_eq!(answers.len(), 8, "all that hold tokens");
    for answer in &answers {
        for n in KNOWN {
            assert_eq!(world.statuses(n), [200, 200], "token {n} by the old base");
        }
        world.send(stream, answer);
    }
    for n in KNOWN {
        let expected = if n % 2 == 0 { 401 } else { 200 };
        assert_eq!(world.statuses(n), [expected, expected], "token {n} by the new base");
    }
}

#[test]
fn a_worker_that_begins_loads_from_the_cache_alone() {
    let mut world = synced(2);
    world.commit(revoked(2));
    (world.streams, world.calls) = (Link::Down, Link::Down);
    world.break_streams();
    world.replace(1);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200, 200], vec![403, 403]));
    assert_eq!(world.positions()[1], Some(at(6)));
}

#[test]
fn what_changed_since_the_base_goes_into_the_next_one() {
    let mut world = synced(2);
    world.calls = Link::Held;
    let (manifests, chunks) = (world.manifests_sent, world.chunks_sent);
    let tokens: Vec<_> = (0..RING / 2).map(|n| KNOWN.start + 40 + n as u8 % 64).collect();
    for n in &tokens {
        world.commit([Wire::Token(held_by(*n, 1))]);
    }
    let kept = |world: &World| world.vms[1].vm.worker().authority().token_count();
    assert_eq!(kept(&world), 64);
    world.pass(2);
    assert_eq!(world.manifests_sent, manifests + 1);
    assert!(world.chunks_sent - chunks <= 8, "no chunk of records has changed");
    assert_eq!(kept(&world), 0, "they are in the base");
    for n in &tokens {
        assert_eq!(world.statuses(*n), [200, 200]);
    }
    // A token that was taken back is not forgotten, though the base knows.
    world.commit([Wire::Token(wire::Token { revoked: true, ..held_by(10, 1) })]);
    resync(&mut world);
    assert_eq!(world.statuses(10), [401, 401]);
}

#[test]
fn a_hundred_thousand_tokens_are_loaded_and_found() {
    const MANY: u32 = 100_000;
    let mut world = World::new(2);
    world.calls = Link::Held;
    (0..MANY).for_each(|n| world.plane.record(Wire::Token(filler(n))));
    world.sync();
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200, 200], vec![200, 200]));
    assert_eq!(world.statuses(3), [401, 401]);
    let worker = world.vms[1].vm.worker();
    assert_eq!(worker.authority().token_count(), 0, "no VM has a copy");
    let bytes: usize = world.proxy.data().values().map(Vec::len).sum();
    assert!(bytes < 30 * MANY as usize, "{bytes} bytes");
    // A change of one of them is one chunk, and one look-up reads one.
    let before = world.chunks_sent;
    world.plane.commit([Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) })]);
    resync(&mut world);
    assert_eq!(world.chunks_sent - before, 1);
    assert_eq!(world.statuses(1), [401, 401]);
}

#[test]
fn two_images_of_one_position_are_two_bases() {
    let mut world = filled(2);
    world.plane.record(Wire::Token(wire::Token { expires_unix_seconds: 200, ..held_by(60, 1) }));
    world.sync();
    let before = world.head().unwrap();
    assert_eq!(reason(&mut world, 1, 60), "token_expired");
    // It leaves the image, without a revision.
    world.plane.forget_expired(500);
    let torn = chunks_with(&world, 11);
    world.proxy.meddle(&torn[0], b"another plugin was here");
    world.pass(2);
    let after = world.head().unwrap();
    assert_eq!(before.base.position, after.base.position);
    assert_ne!(before.base.image, after.base.image);
    assert_eq!(reason(&mut world, 1, 60), "token_unknown");
    assert_eq!(reason(&mut world, 2, 60), "token_unknown");
    assert_eq!(world.statuses(11), [200, 200]);
}

#[test]
fn a_forged_chunk_denies_its_tokens_alone_and_is_healed() {
    let mut world = synced(2);
    let keys = chunks_with(&world, 1);
    assert_eq!(keys.len(), 1);
    let other = KNOWN.clone().find(|n| chunks_with(&world, *n) != keys).unwrap();
    let content = world.proxy.data()[&keys[0]].clone();
    // Another's grant in the place of its own, as if it were never revoked.
    let mut forged = content.clone();
    forged.iter_mut().skip(16).step_by(28).for_each(|grant| *grant ^= 1);
    for forged in [forged, b"".to_vec(), content[28..].to_vec()] {
        world.proxy.meddle(&keys[0], &forged);
        // One that remembers no look-up.
        world.replace(1);
        assert_eq!(reason(&mut world, 1, 1), "unsynced");
        assert_eq!(world.statuses(other), [200, 200]);
        world.pass(2);
        assert_eq!(world.statuses(1), [200, 200]);
        assert_eq!(chunks_with(&world, 1).len(), 1, "what was beside it is tidied away");
    }
}

#[test]
fn a_manifest_that_another_plugin_put_back_is_not_taken_as_the_base() {
    let mut world = synced(1);
    let old = world.proxy.data();
    world.commit([Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) })]);
    resync(&mut world);
    (0..RING / 2).for_each(|_| world.commit(unrelated()));
    world.pass(2);
    // A worker that never saw the delta, only the base that holds it.
    world.replace(1);
    assert_eq!(world.statuses(1), [401]);
    world.tick();
    let mut head = world.head().unwrap();
    assert!(head.base.position > at(100));
    let chunks = world.key("c");
    for (key, value) in &old {
        if key.starts_with(&chunks) && key.len() == chunks.len() + 4 {
            world.proxy.meddle(key, value);
        }
    }
    for place in ["manifest/a", "manifest/b"] {
        world.proxy.meddle(&world.key(place), &old[&world.key("manifest/a")]);
    }
    head.base.image ^= 1;
    world.cache().restore_head(&world.proxy.host(), head).unwrap();
    world.vms[1].vm.tick();
    assert_ne!(world.statuses(1), [200]);
    world.pass(2);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![401], vec![200]));
}

#[test]
fn what_was_denied_for_good_stays_so_when_a_backup_is_put_back() {
    let mut world = synced(2);
    let standing = wire::Standing { status: Status::Revoked.into(), ..Default::default() };
    let agent_id: Vec<u8> = crate::testing::agent_id(2).to_bytes().into();
    world.commit([
        Wire::Token(wire::Token { revoked: true, ..held_by(10, 1) }),
        Wire::Capability(wire::Capability {
            agent_id,
            action: "pay".to_owned(),
            standing: Some(standing),
        }),
        agent(5, Status::Revoked),
        crate::testing::grant(5),
        Wire::Token(held_by(5, 5)),
    ]);
    assert_eq!((world.statuses(10), world.statuses(2)), (vec![401; 2], vec![403; 2]));
    assert_eq!(world.statuses(5), [403; 2]);
    assert_eq!(world.statuses(11), [200; 2]);

    world.plane.restore_backup(Position { epoch: 2, revision: Revision(3) });
    for record in [
        Wire::Token(held_by(10, 1)),
        Wire::Token(held_by(11, 1)),
        agent(5, Status::Active),
        crate::testing::grant(5),
        Wire::Token(held_by(5, 5)),
    ] {
        world.plane.record(record);
    }
    world.break_streams();
    world.sync();
    assert_eq!(world.statuses(10), [401; 2], "a token");
    assert_eq!(world.statuses(2), [403; 2], "a capability");
    assert_eq!(world.statuses(5), [403; 2], "an agent");
    assert_eq!(world.statuses(11), [200; 2]);
    // A worker that begins now knows nothing else than the backup.
    world.replace(1);
    assert_eq!(world.statuses(10), [200, 401]);
}

#[test]
fn an_image_that_is_gone_is_asked_for_anew() {
    let mut world = filled(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.pass(1);
    let (stream, hello) = world.said.pop_front().unwrap();
    for answer in world.plane.answer(&hello) {
        world.send(stream, &answer);
    }
    let said = held(&mut world);
    let image = world.plane.published().id().0.to_vec();
    assert_eq!(asked(&said).len(), 9);
    let gone = wire::Chunks { image, chunks: vec![] };
    world.send(stream, &crate::testing::chunked(gone));
    world.pass(1);
    assert_eq!(resyncs(&held(&mut world)), 1);
}

#[test]
fn a_request_of_which_it_cannot_be_told_is_ended_when_it_can() {
    let mut world = synced(1);
    let (context, flow) = world.vms[1].begin_with(&token(10));
    assert_eq!(flow, Flow::Continue);
    let was = world.vms[1].vm.live.end(context).unwrap();
    // A base takes the token back, and what would have been the request that its
    // arrival ends is condemned just when its chunk cannot be read.
    world.plane.commit([Wire::Token(wire::Token { revoked: true, ..held_by(10, 1) })]);
    resync(&mut world);
    assert!(world.vms[1].vm.live.begin(context, was.key, was.subject));
    world.vms[1].vm.live.condemn(context);
    for key in chunks_with(&world, 10) {
        world.proxy.meddle(&key, b"another plugin was here");
    }
    world.vms[1].vm.tick();
    world.vms[1].vm.queue_ready();
    assert_eq!(world.vms[1].exchange(context).standing, Standing::Forwarded, "not yet");
    assert_eq!(world.vms[1].vm.live.condemned(), 0, "it does not wake itself for ever");
    world.pass(5);
    let ended = world.finished.iter().find(|it| (it.0, it.1) == (1, context));
    let answer = ended.and_then(|it| it.2.response.as_ref());
    assert_eq!(answer.map(|(status, ..)| *status), Some(401), "the leader has put it right");
}
