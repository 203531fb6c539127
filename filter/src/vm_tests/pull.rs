//! Pulls: enforcement by HTTP alone, and beside a stream.

use super::*;
use crate::config::Config;
use crate::testing::{HttpCall, configured, filler, sealed};
use kya_core::wire::update::Body;
use prost::Message as _;

const PULL: &str = "/v1/enforcement/pull";

fn http() -> Config {
    configured(|json| {
        json["transport"] = "http".into();
        json.as_object_mut().unwrap().remove("control_plane_cluster");
    })
}

/// A proxy that has no gRPC and no queues: whoever calls them crashes it.
fn http_world(workers: usize) -> World {
    let world = World::configured(workers, http());
    for call in ["register_queue", "enqueue", "dequeue", "open_stream", "send"] {
        world.proxy.forbid(call);
    }
    world
}

fn pulls(world: &World) -> usize {
    world.calls_made.iter().filter(|path| *path == PULL).count()
}

fn request(call: &HttpCall) -> wire::PullRequest {
    wire::PullRequest::decode(call.body.as_slice()).unwrap()
}

/// The one pull that is open.
#[track_caller]
fn open_pull(world: &mut World) -> (usize, HttpCall) {
    world.exchange();
    world.called.retain(|(_, call)| call.headers[":path"] != "/v1/enforcement/audit");
    let open = world.called.pop_front().expect("no pull is open");
    assert!(world.called.is_empty(), "two are");
    assert_eq!(open.1.headers[":path"], PULL);
    open
}

#[test]
fn pulls_alone_enforce_where_the_stream_is_dead() {
    for streams in [Link::Down, Link::Held] {
        let mut world = World::new(2);
        world.streams = streams;
        world.sync();
        assert_eq!(world.statuses(1), [200; 2]);
        world.plane.commit(revoked(1));
        // A quarter of the time after which the state is stale.
        world.pass(16);
        assert_eq!((world.statuses(1), world.statuses(2)), (vec![403; 2], vec![200; 2]));
        for _ in 0..4 * 120 {
            world.tick();
            assert_eq!(world.statuses(2), [200; 2], "the pulls keep it fresh");
        }
        assert!(pulls(&world) < 300, "{} pulls in 140 seconds", pulls(&world));
    }
}

#[test]
fn pulls_alone_enforce_where_there_is_neither_grpc_nor_a_queue() {
    let mut world = http_world(2);
    world.sync();
    assert_eq!(world.statuses(1), [200; 2]);
    world.plane.commit(revoked(1));
    world.pass(16);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![403; 2], vec![200; 2]));
    for _ in 0..4 * 120 {
        world.tick();
        assert_eq!(world.statuses(2), [200; 2]);
    }
    assert!((8..=12).contains(&pulls(&world)), "{} pulls in 140 seconds", pulls(&world));
    // Unknown tokens do not need a queue either.
    assert_eq!(world.statuses(3), [401; 2]);
    world.vms[0].vm.stop();
}

#[test]
fn a_token_that_is_unknown_is_pulled_for_where_there_is_no_queue() {
    let mut world = http_world(2);
    world.sync();
    world.pass(2);
    world.plane.commit([Wire::Token(crate::testing::held_by(3, 1))]);
    assert_eq!(world.statuses(3), [401; 2]);
    world.pass(1);
    assert_eq!(world.statuses(3), [200; 2]);
    let before = pulls(&world);
    for _ in 0..4 * 5 {
        assert_eq!(world.statuses(4), [401; 2]);
        world.tick();
    }
    assert!(pulls(&world) - before <= 6, "{} in five seconds", pulls(&world) - before);
}

#[test]
fn a_request_waits_for_a_pull_where_there_is_no_queue() {
    let config = configured(|json| {
        json["transport"] = "http".into();
        json.as_object_mut().unwrap().remove("control_plane_cluster");
        json["fail_modes"] = serde_json::json!({ "unknown_token": "introspect" });
    });
    let mut world = World::configured(1, config);
    world.sync();
    world.pass(2);
    world.plane.commit([Wire::Token(crate::testing::held_by(3, 1))]);
    let (context, flow) = world.vms[1].begin_with(&crate::testing::token(3));
    assert_eq!(flow, Flow::Pause);
    world.exchange();
    (0..3).for_each(|_| world.tick());
    assert_eq!(world.vms[1].exchange(context).standing, crate::testing::Standing::Resumed);
}

#[test]
fn a_large_state_is_loaded_by_pulls_that_follow_at_once() {
    let mut world = http_world(2);
    world.plane.chunks_a_pull = 3;
    (0..600).for_each(|n| world.plane.record(Wire::Token(filler(n))));
    for _ in 0..4 {
        world.tick();
    }
    assert!(world.is_synced(), "{:?} after {} pulls", world.positions(), pulls(&world));
    assert_eq!(pulls(&world), 4, "a manifest, and three times three chunks");
    assert_eq!(world.chunks_sent, 9, "none was fetched twice");
    assert_eq!(world.statuses(1), [200; 2]);
}

#[test]
fn changes_that_were_committed_during_a_load_are_pulled_at_once() {
    let mut world = http_world(1);
    world.plane.chunks_a_pull = 3;
    world.calls = Link::Held;
    (0..600).for_each(|n| world.plane.record(Wire::Token(filler(n))));
    (0..4).for_each(|_| world.tick());
    let (vm, call) = open_pull(&mut world);
    world.respond(vm, &call);
    // Between the manifest and its chunks.
    world.plane.commit(revoked(1));
    for _ in 0..8 {
        while let Some((vm, call)) = world.called.pop_front() {
            world.respond(vm, &call);
            world.exchange();
        }
        world.tick();
    }
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![403], vec![200]));
}

#[test]
fn a_gap_is_pulled_at_once_but_not_twice_within_a_second() {
    let mut world = World::synced(2);
    world.pass(5);
    let stream = world.proxy.stream().unwrap();
    let before = pulls(&world);
    for _ in 0..10 {
        world.plane.commit(unrelated());
        let delta = world.plane.commit(revoked(1));
        world.send(stream, &sealed(delta));
        world.exchange();
    }
    assert_eq!(pulls(&world), before + 1);
    assert_eq!(world.statuses(1), [403; 2]);
    for _ in 0..8 {
        world.plane.commit(unrelated());
        let delta = world.plane.commit(revoked(1));
        world.send(stream, &sealed(delta));
        world.tick();
    }
    assert!(
        (2..=3).contains(&(pulls(&world) - before)),
        "{} in two seconds",
        pulls(&world) - before
    );
}

#[test]
fn a_pull_beside_a_good_stream_is_rare() {
    let mut world = World::synced(1);
    world.pass(3);
    let before = pulls(&world);
    world.pass(120);
    assert_eq!(pulls(&world) - before, 2);
}

#[test]
fn a_pull_that_is_not_answered_well_changes_nothing_and_is_repeated() {
    let mut world = http_world(2);
    world.sync();
    world.calls = Link::Held;
    world.plane.commit(revoked(1));
    for round in 0..10 {
        world.pass(16);
        let (vm, call) = open_pull(&mut world);
        let nonce = request(&call).hello.unwrap().nonce;
        let delta = world.plane.delta(6);
        let of = |signed: Vec<wire::SignedUpdate>| {
            let messages = signed.into_iter().map(sealed).collect();
            wire::PullResponse { messages }.encode_to_vec()
        };
        let (status, body) = match round {
            0 => (200, b"\xff garbage".to_vec()),
            1 => (200, vec![]),
            2 => (200, of(vec![world.plane.heartbeat(&[9; 32]), delta])),
            3 => (200, of(vec![world.plane.heartbeat(b""), delta])),
            4 => (200, of(vec![delta])),
            5 => {
                let ours = std::mem::replace(
                    &mut world.plane.signer,
                    kya_core::Signer::from_seed([66; 32]),
                );
                let body = of(vec![world.plane.heartbeat(&nonce), delta]);
                world.plane.signer = ours;
                (200, body)
            }
            6 => (401, vec![]),
            7 => (500, b"oops".to_vec()),
            8 => {
                // What was a good answer, but to an older question.
                let mut body = of(vec![world.plane.heartbeat(&nonce), delta]);
                body.truncate(body.len() - 1);
                (200, body)
            }
            _ => {
                world.vms[vm].fail_http(call.id);
                continue;
            }
        };
        world.vms[vm].answer_http(call.id, status, &body);
        (1..=2).for_each(|worker| world.vms[worker].vm.tick());
        assert_ne!(world.statuses(1), [403; 2], "round {round}");
    }
    assert_eq!(world.proxy.metric("kya.pull.failed"), 5, "those of status 200 that prove nothing");
    // All the while nothing good has come.
    assert_eq!(world.statuses(2), [503; 2]);
    world.calls = Link::Up;
    world.pass(16);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![403; 2], vec![200; 2]));
}

#[test]
fn the_answer_to_an_earlier_pull_is_not_believed_again() {
    let mut world = http_world(1);
    world.sync();
    world.calls = Link::Held;
    world.pass(16);
    let (vm, first) = open_pull(&mut world);
    let recorded = world.plane.respond(&first.headers[":path"], &first.body);
    world.vms[vm].answer_http(first.id, 200, &recorded);
    world.plane.commit(revoked(1));
    for _ in 0..5 {
        world.pass(16);
        let (vm, call) = open_pull(&mut world);
        world.vms[vm].answer_http(call.id, 200, &recorded);
    }
    assert_eq!(world.rejected("wrong_nonce"), 5);
    assert_eq!(world.statuses(2), [503], "80 seconds of a recording");
}

#[test]
fn a_manifest_that_a_stream_has_overtaken_is_no_trouble() {
    let mut world = World::synced(1);
    world.pass(3);
    world.streams = Link::Held;
    world.calls = Link::Held;
    let stream = world.proxy.stream().unwrap();
    world.plane.commit(unrelated());
    let delta = world.plane.commit(unrelated());
    // A gap: both ways are asked.
    world.send(stream, &sealed(delta));
    let said = held(&mut world);
    let (vm, call) = world.called.pop_front().unwrap();
    let late = world.plane.respond(&call.headers[":path"], &call.body);
    for message in &said {
        for answer in world.plane.answer(message) {
            world.send(stream, &answer);
        }
    }
    for message in held(&mut world) {
        for answer in world.plane.answer(&message) {
            world.send(stream, &answer);
        }
    }
    let delta = world.plane.commit(revoked(1));
    world.send(stream, &sealed(delta));
    let refused = world.rejected("not_newer");
    world.vms[vm].answer_http(call.id, 200, &late);
    world.exchange();
    assert_eq!(world.statuses(1), [403]);
    assert_eq!(world.rejected("not_newer"), refused);
    assert!(world.proxy.owner_of(stream).is_some());
}

#[test]
fn a_stream_goes_on_with_what_a_pull_began_and_no_end_of_a_pull_disturbs_it() {
    let mut world = World::new(1);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.plane.chunks_a_pull = 3;
    (0..600).for_each(|n| world.plane.record(Wire::Token(filler(n))));
    world.pass(1);
    for _ in 0..2 {
        let (vm, call) = open_pull(&mut world);
        world.respond(vm, &call);
    }
    let (vm, call) = open_pull(&mut world);
    assert_eq!(request(&call).chunks.unwrap().indexes.len(), 6);
    // The stream is proven while the next pull is under way.
    let (stream, hello) = world.said.pop_front().unwrap();
    for answer in world.plane.answer(&hello) {
        world.send(stream, &answer);
    }
    let asked = held(&mut world);
    let [Message::Chunks(wanted)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(wanted.indexes.len(), 6);
    world.vms[vm].fail_http(call.id);
    world.exchange();
    assert!(held(&mut world).is_empty(), "it was asked already");
    for answer in world.plane.answer(&asked[0]) {
        world.send(stream, &answer);
    }
    world.tick();
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn a_lagging_replica_does_not_make_an_old_state_look_fresh() {
    let mut world = World::synced(1);
    world.commit(revoked(1));
    world.calls = Link::Held;
    world.streams = Link::Held;
    // The stream's replica is gone; the pull is answered by one that has not got
    // the last change.
    world.plane.position = at(5);
    for _ in 0..70 {
        world.pass(1);
        while let Some((vm, call)) = world.called.pop_front() {
            let nonce = request(&call).hello.unwrap().nonce;
            let messages = vec![sealed(world.plane.heartbeat(&nonce))];
            let body = wire::PullResponse { messages }.encode_to_vec();
            world.vms[vm].answer_http(call.id, 200, &body);
        }
    }
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![403], vec![503]));
}

#[test]
fn an_answer_of_countless_messages_is_not_read_to_its_end() {
    let mut world = http_world(1);
    world.calls = Link::Held;
    (0..4).for_each(|_| world.tick());
    let (vm, call) = open_pull(&mut world);
    let messages =
        vec![sealed(world.plane.sign(Body::Heartbeat(wire::Heartbeat::default()))); 9_000];
    let body = wire::PullResponse { messages }.encode_to_vec();
    world.vms[vm].answer_http(call.id, 200, &body);
    let refused = world.rejected("unproven");
    assert!(refused <= 4_096, "{refused} signatures were checked");
}
