//! Tokens that the state does not know yet: a request waits for the answer of the
//! control plane, which grants nothing, and for the state that it speaks of.

use super::*;
use crate::config::Config;
use crate::testing::{Exchange, HttpCall, Standing, configured, held_by, token};
use kya_core::OpaqueToken;
use prost::Message as _;

const PATH: &str = "/v1/enforcement/introspect";

pub(super) fn introspecting() -> Config {
    configured(|json| {
        json["fail_modes"] = serde_json::json!({ "unknown_token": "introspect" });
        json["max_introspections"] = 32.into();
    })
}

fn world(workers: usize) -> World {
    let mut world = World::synced_as(workers, introspecting());
    world.pass(2);
    world.calls = Link::Held;
    world
}

/// A request that waits.
fn wait(world: &mut World, n: u8) -> ContextId {
    let (context, flow) = world.vms[1].begin_with(&token(n));
    assert_eq!(flow, Flow::Pause);
    world.exchange();
    context
}

/// Takes the questions that are open.
fn questions(world: &mut World) -> Vec<HttpCall> {
    world.exchange();
    let (questions, others) = std::mem::take(&mut world.called)
        .into_iter()
        .partition(|(_, call)| call.headers[":path"] == PATH);
    world.called = others;
    questions.into_iter().map(|(_, call)| call).collect()
}

#[track_caller]
fn question(world: &mut World) -> HttpCall {
    let mut all = questions(world);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn answer(world: &mut World, call: &HttpCall) {
    world.respond(1, call);
    world.exchange();
}

/// The status of the answer to a request that waited; 200 if it went on, `None`
/// if it still waits.
fn outcome(world: &World, context: ContextId) -> Option<u32> {
    let ended: Vec<&Exchange> = world
        .finished
        .iter()
        .filter(|(vm, id, _)| (*vm, *id) == (1, context))
        .map(|(.., exchange)| exchange)
        .collect();
    match ended[..] {
        [] => match world.vms[1].exchange(context).standing {
            Standing::Waiting => None,
            Standing::Resumed => Some(200),
            other => panic!("{other:?}"),
        },
        [exchange] => Some(exchange.response.as_ref().expect("it was reset").0),
        _ => panic!("it ended twice"),
    }
}

fn asks(message: &HttpCall) -> wire::IntrospectRequest {
    wire::IntrospectRequest::decode(message.body.as_slice()).unwrap()
}

#[test]
fn a_token_that_was_issued_a_moment_ago_waits_for_its_delta_and_is_allowed() {
    let mut world = world(2);
    let delta = world.plane.commit([Wire::Token(held_by(3, 1))]);
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    assert_eq!(call.cluster, "cp_pull");
    assert!(call.headers["authorization"].starts_with("Bearer nc_"));
    assert_eq!(asks(&call).digest, token(3).digest().0);
    assert!(!String::from_utf8_lossy(&call.body).contains(token(3).reveal()));
    answer(&mut world, &call);
    assert_eq!(outcome(&world, waiting), None, "the answer itself allows nothing");
    world.push(&delta);
    world.exchange();
    assert_eq!(outcome(&world, waiting), Some(200));
    let headers = world.vms[1].exchange(waiting).headers;
    let name = crate::testing::agent_id(1).to_string();
    assert!(headers.contains(&(b"x-kya-agent-id".to_vec(), name.into_bytes())));
    // It is in flight like any other.
    world.commit(revoked(1));
    assert_eq!(outcome(&world, waiting), Some(403));
}

#[test]
fn a_delta_that_is_there_before_the_answer_lets_the_request_go_on() {
    let mut world = world(1);
    let delta = world.plane.commit([Wire::Token(held_by(3, 1))]);
    let waiting = wait(&mut world, 3);
    world.push(&delta);
    world.exchange();
    let call = question(&mut world);
    answer(&mut world, &call);
    assert_eq!(outcome(&world, waiting), Some(200));
}

#[test]
fn a_token_that_was_never_issued_is_denied_and_not_asked_about_again_at_once() {
    let mut world = world(1);
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    answer(&mut world, &call);
    assert_eq!(outcome(&world, waiting), Some(401));
    assert_eq!(world.statuses(3), [401]);
    assert!(questions(&mut world).is_empty());
    // A second later it may have been issued.
    world.pass(2);
    wait(&mut world, 3);
    question(&mut world);
}

#[test]
fn a_token_that_was_unknown_is_asked_about_again_when_the_state_has_moved_on() {
    let mut world = world(1);
    wait(&mut world, 3);
    let call = question(&mut world);
    answer(&mut world, &call);
    world.commit(unrelated());
    wait(&mut world, 3);
    question(&mut world);
}

#[test]
fn without_a_good_answer_a_request_is_denied() {
    let signed = |world: &mut World, change: &dyn Fn(&mut wire::Introspection)| {
        let call = question(world);
        let wire::IntrospectRequest { nonce, digest } = asks(&call);
        let mut answer = wire::Introspection { nonce, digest, known: true };
        change(&mut answer);
        let body = wire::update::Body::Introspection(answer);
        (call, world.plane.sign(body).encode_to_vec())
    };
    type Bad = fn(
        &mut World,
        &dyn Fn(&mut World, &dyn Fn(&mut wire::Introspection)) -> (HttpCall, Vec<u8>),
    ) -> (HttpCall, Option<(u16, Vec<u8>)>);
    let bad: [(&str, Bad); 8] = [
        ("none", |world, _| (question(world), None)),
        ("status", |world, signed| {
            let (call, body) = signed(world, &|_| {});
            (call, Some((500, body)))
        }),
        ("garbage", |world, _| (question(world), Some((200, b"\xff".to_vec())))),
        ("another nonce", |world, signed| {
            let (call, body) = signed(world, &|it| it.nonce = vec![9; 32]);
            (call, Some((200, body)))
        }),
        ("another token", |world, signed| {
            let (call, body) = signed(world, &|it| it.digest = token(1).digest().0.into());
            (call, Some((200, body)))
        }),
        ("another key", |world, signed| {
            let foreign = kya_core::Signer::from_seed([66; 32]);
            let ours = std::mem::replace(&mut world.plane.signer, foreign);
            let (call, body) = signed(world, &|_| {});
            world.plane.signer = ours;
            (call, Some((200, body)))
        }),
        ("another kind", |world, _| {
            let call = question(world);
            let nonce = asks(&call).nonce;
            let body = world.plane.heartbeat(&nonce).encode_to_vec();
            (call, Some((200, body)))
        }),
        ("unknown", |world, signed| {
            let (call, body) = signed(world, &|it| it.known = false);
            (call, Some((200, body)))
        }),
    ];
    for (name, make) in bad {
        let mut world = world(1);
        let delta = world.plane.commit([Wire::Token(held_by(3, 1))]);
        let waiting = wait(&mut world, 3);
        let (call, answer) = make(&mut world, &signed);
        match answer {
            Some((status, body)) => world.vms[1].answer_http(call.id, status, &body),
            None => world.vms[1].fail_http(call.id),
        }
        world.pass_tick();
        let host = world.vms[1].host.clone();
        assert_eq!(host.exchange(waiting).response.map(|it| it.0), Some(401), "{name}");
        // And is not heard of again, whatever comes.
        world.push(&delta);
        world.exchange();
        world.pass(3);
    }
}

#[test]
fn the_answer_to_an_earlier_question_is_no_answer() {
    let mut world = world(1);
    world.commit([Wire::Token(held_by(3, 1))]);
    let first = {
        wait(&mut world, 4);
        let call = question(&mut world);
        world.plane.record(Wire::Token(held_by(4, 1)));
        let body = world.plane.respond(&call.headers[":path"], &call.body);
        world.vms[1].answer_http(call.id, 200, &body);
        body
    };
    world.pass(2);
    let waiting = wait(&mut world, 4);
    let call = question(&mut world);
    world.vms[1].answer_http(call.id, 200, &first);
    let host = world.vms[1].host.clone();
    assert_eq!(host.exchange(waiting).response.map(|it| it.0), Some(401));
}

#[test]
fn a_request_does_not_wait_long_for_a_state_that_does_not_come() {
    let mut world = world(1);
    world.streams = Link::Held;
    world.plane.commit([Wire::Token(held_by(3, 1))]);
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    answer(&mut world, &call);
    (0..3).for_each(|_| world.tick());
    assert_eq!(outcome(&world, waiting), None);
    (0..2).for_each(|_| world.tick());
    assert_eq!(outcome(&world, waiting), Some(401));
}

#[test]
fn an_answer_that_is_ahead_makes_the_leader_pull() {
    let mut world = world(2);
    world.streams = Link::Held;
    world.plane.commit([Wire::Token(held_by(3, 1))]);
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    world.called.clear();
    answer(&mut world, &call);
    let (leader, pull) = world.called.pop_front().expect("a pull at once");
    assert_eq!((leader, pull.headers[":path"].as_str()), (0, "/v1/enforcement/pull"));
    world.respond(leader, &pull);
    world.exchange();
    assert_eq!(outcome(&world, waiting), Some(200));
}

#[test]
fn a_client_that_goes_away_while_it_waits_is_forgotten() {
    let mut world = world(1);
    let delta = world.plane.commit([Wire::Token(held_by(3, 1))]);
    let (first, second) = (wait(&mut world, 3), wait(&mut world, 3));
    let call = question(&mut world);
    // Before the answer, and after it.
    world.vms[1].end(first);
    answer(&mut world, &call);
    world.vms[1].end(second);
    world.pass(2);
    assert_eq!(world.vms[1].vm.introspections.sizes(), [0; 4]);
    world.push(&delta);
    world.exchange();
    world.pass(2);
    assert!(world.finished.is_empty());
    assert_eq!(world.statuses(3), [200]);
}

#[test]
fn requests_with_one_token_ask_once() {
    let mut world = world(1);
    let delta = world.plane.commit([Wire::Token(held_by(3, 1))]);
    let waiting: Vec<_> = (0..50).map(|_| wait(&mut world, 3)).collect();
    let call = question(&mut world);
    answer(&mut world, &call);
    let more: Vec<_> = (0..50).map(|_| wait(&mut world, 3)).collect();
    assert!(questions(&mut world).is_empty(), "the answer is known");
    world.push(&delta);
    world.exchange();
    for context in waiting.into_iter().chain(more) {
        assert_eq!(outcome(&world, context), Some(200));
    }
    assert_eq!(world.proxy.metric("kya.introspections"), 1);
}

#[test]
fn an_agent_that_is_stopped_while_a_request_waits_is_denied() {
    let mut world = world(1);
    let deltas = [world.plane.commit([Wire::Token(held_by(3, 1))]), world.plane.commit(revoked(1))];
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    answer(&mut world, &call);
    deltas.iter().for_each(|delta| world.push(delta));
    world.exchange();
    assert_eq!(outcome(&world, waiting), Some(403));
}

#[test]
fn a_request_that_waits_when_the_state_goes_stale_is_denied() {
    let mut world = world(1);
    world.streams = Link::Held;
    world.plane.commit([Wire::Token(held_by(3, 1))]);
    world.pass(59);
    world.called.clear();
    let waiting = wait(&mut world, 3);
    let call = question(&mut world);
    world.pass(2);
    answer(&mut world, &call);
    world.pass(2);
    assert_eq!(outcome(&world, waiting), Some(503));
}

#[test]
fn a_proxy_that_refuses_the_call_denies_at_once() {
    let mut world = world(1);
    for call in ["http_call", "random"] {
        world.proxy.refuse(call);
        assert_eq!(world.statuses(3), [401], "{call}");
        world.proxy.allow(call);
    }
}

#[test]
fn nobody_asks_about_what_cannot_be_a_token_or_while_there_is_no_state() {
    let mut world = World::configured(1, introspecting());
    (world.streams, world.calls) = (Link::Held, Link::Held);
    world.pass(1);
    assert_eq!(world.statuses(3), [503]);
    assert!(questions(&mut world).is_empty());
    let mut world = self::world(1);
    for value in ["Bearer at_nonsense", "Bearer", "", "Basic abc"] {
        let (flow, _) = world.vms[1].request(&[("authorization", value)]);
        assert_eq!(flow, Flow::Stop);
    }
    assert!(questions(&mut world).is_empty());
}

/// Distinct, well-formed tokens that were never issued.
pub(super) fn never_issued(n: u32) -> OpaqueToken {
    let mut secret = [0xee; 32];
    secret[..4].copy_from_slice(&n.to_le_bytes());
    OpaqueToken::from_random(secret)
}

#[test]
fn a_flood_of_unknown_tokens_asks_so_many_questions_and_holds_so_many_requests() {
    // No batch of events is answered here either, so nothing is recorded.
    let config = Config {
        audit: configured(|it| it["audit"] = serde_json::json!({"mode": "off"})).audit,
        ..introspecting()
    };
    let mut world = World::synced_as(2, config);
    world.pass(2);
    world.calls = Link::Held;
    let (mut paused, mut denied) = (0, 0);
    for n in 0..10_000 {
        let (_, flow) = world.vms[1].begin_with(&never_issued(n));
        match flow {
            Flow::Pause => paused += 1,
            Flow::Stop => denied += 1,
            Flow::Continue => panic!("allowed"),
        }
        world.vms[1].settle();
        if n % 2_500 == 2_499 {
            world.tick();
        }
    }
    assert_eq!((paused, denied), (32, 10_000 - 32), "as many as may be open");
    // Each is answered at once from now on: a hundred begin in a second.
    for call in questions(&mut world) {
        world.respond(1, &call);
    }
    let before = world.proxy.metric("kya.introspections");
    let began = world.proxy.host();
    let second = |host: &crate::testing::MemoryHost| clock::monotonic(host).0 / 1_000;
    let first = second(&began);
    let mut in_second = std::collections::BTreeMap::<u64, u64>::new();
    let mut last = before;
    for n in 0..10_000 {
        world.vms[1].begin_with(&never_issued(20_000 + n));
        for call in questions(&mut world) {
            world.respond(1, &call);
        }
        world.vms[1].settle();
        let now = world.proxy.metric("kya.introspections");
        *in_second.entry(second(&began) - first).or_default() += now - last;
        last = now;
        if n % 1_000 == 999 {
            world.tick();
        }
    }
    assert!(in_second.values().all(|asked| *asked <= 100), "{in_second:?}");
    assert!(in_second.len() >= 3);
    let introspections = &world.vms[1].vm.introspections;
    assert!(
        introspections.sizes().iter().all(|size| *size <= 1_024),
        "{:?}",
        introspections.sizes()
    );
    // A known token is decided all the while.
    assert_eq!(world.statuses(1), [200, 200]);
}
