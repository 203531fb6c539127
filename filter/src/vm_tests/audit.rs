//! What a worker reports of its requests, when all goes well.

use kya_core::audit::event::{Body, Decision, Event, Happened, Hashed, Token, Trace};
use kya_core::audit::{Disposition, Verdict};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::audit::FILTER_STATE;
use crate::config::Config;
use crate::testing::{TestVm, agent_id, bearer, configured, token};

pub(super) fn recording(audit: serde_json::Value) -> Config {
    configured(|json| {
        json["audit"] = audit;
        json["exempt_paths"] = serde_json::json!(["/healthz"]);
        json["service"] = "payments".into();
        json["actions"] = serde_json::json!([
            { "route": "POST /v1/refunds/{id}", "action": "issue_refund" },
            { "route": "GET /v1/balance", "action": "read_balance" },
        ]);
    })
}

pub(super) fn world() -> World {
    let mut world = World::synced_as(1, recording(serde_json::json!({})));
    world.pass(1);
    world
}

/// The events of the worker without those about states, which come first.
pub(super) fn events(world: &World) -> Vec<Event> {
    let about_states = |event: &&Event| matches!(event.happened, Happened::Applied(_));
    world.plane.trail.events().skip_while(about_states).cloned().collect()
}

pub(super) fn decisions(world: &World) -> Vec<Decision> {
    world.plane.trail.decisions().cloned().collect()
}

/// A request that reaches its upstream and is answered in full.
pub(super) fn whole(vm: &mut TestVm, headers: &[(&str, &str)], status: &str) {
    let (context, flow) = vm.begin(headers);
    assert_eq!(flow, Flow::Continue);
    vm.upstream_answers(context, &[(":status", status)], true);
    vm.end(context);
}

#[test]
fn an_allowed_request_is_one_event_with_all_that_is_known_of_it() {
    let mut world = world();
    let authorization = bearer(&token(1));
    let headers = [
        (":method", "POST"),
        (":path", "/v1/refunds/17?secret=x"),
        ("authorization", authorization.as_str()),
        ("x-request-id", "7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let vm = &mut world.vms[1];
    let (context, flow) = vm.begin(&headers);
    assert_eq!(flow, Flow::Continue);
    let began = world.proxy.host().now_nanos();
    world.proxy.advance_nanos(1_500_000);
    let vm = &mut world.vms[1];
    vm.upstream_answers(context, &[(":status", "201")], false);
    vm.upstream_ends(context);
    vm.end(context);
    world.tick();
    let [Event { time, happened: Happened::Decision(it), .. }] = &events(&world)[..] else {
        panic!("{:?}", events(&world));
    };
    assert_eq!(time.0, began / 1_000);
    assert_eq!((it.verdict, it.reason.as_deref()), (Verdict::Allow, None));
    assert_eq!(it.agent, Some(agent_id(1)));
    assert_eq!(it.token, Some(Token::Opaque(token(1).digest().fingerprint())));
    assert_eq!(it.action.as_ref().map(|it| it.as_str()), Some("issue_refund"));
    assert_eq!(it.method.as_deref(), Some("POST"));
    assert_eq!(it.template.as_deref(), Some("/v1/refunds/{id}"));
    assert_eq!(it.position, Some(world.plane.position));
    assert!(it.state_age_millis.is_some_and(|age| age < 2_000));
    assert_eq!(it.request_id.as_deref(), Some("7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a"));
    let parent = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
    assert!(matches!(it.trace, Some(Trace { parent: it, .. }) if it == parent));
    let end = it.end.as_ref().expect("it had ended");
    assert_eq!((end.disposition, end.status), (Disposition::Committed, Some(201)));
    assert_eq!((end.duration_micros, end.cut, end.body), (1_500, None, Body::None));
    let batch = world.plane.trail.batches.last().unwrap();
    assert_eq!((batch.node.as_str(), batch.service.as_deref()), ("sidecar-a", Some("payments")));
    assert_eq!((batch.slot, batch.instance), (0, world.vms[1].vm.instance));
    let all = format!("{:?}", world.plane.trail.batches);
    assert!(!all.contains("secret") && !all.contains("17?"), "the path itself is not kept");
}

#[test]
fn denials_and_what_passes_undecided_are_recorded_too() {
    let mut world = world();
    world.commit(revoked(2));
    let at = |n: u8| bearer(&token(n));
    let unknown = bearer(&super::introspection::never_issued(7));
    let table = [
        (at(2), Some("agent_revoked"), true, true),
        (unknown, Some("token_unknown"), false, true),
        ("Bearer at_nonsense".to_owned(), Some("token_malformed"), false, false),
    ];
    for (authorization, ..) in &table {
        let headers = [(":path", "/x"), ("authorization", authorization.as_str())];
        world.vms[1].request(&headers);
    }
    whole(&mut world.vms[1], &[(":path", "/healthz")], "200");
    world.tick();
    let all = decisions(&world);
    assert_eq!(all.len(), 4);
    for (it, (_, reason, agent, token)) in all.iter().zip(&table) {
        assert_eq!((it.verdict, it.reason.as_deref()), (Verdict::Deny, *reason));
        assert_eq!((it.agent.is_some(), it.token.is_some()), (*agent, *token), "{reason:?}");
        assert_eq!((it.end.clone(), it.position), (None, Some(world.plane.position)));
    }
    let last = all.last().unwrap();
    assert_eq!((last.verdict, last.reason.as_deref()), (Verdict::Pass, Some("exempt")));
    assert_eq!(last.end.as_ref().unwrap().disposition, Disposition::Committed);
}

#[test]
fn what_cannot_be_decided_is_recorded_as_that() {
    let mut world = world();
    world.proxy.refuse("request_headers");
    assert_eq!(world.statuses(1), [503]);
    world.proxy.allow("request_headers");
    world.tick();
    let [it] = &decisions(&world)[..] else { panic!() };
    assert_eq!((it.verdict, it.reason.as_deref()), (Verdict::Deny, Some("internal")));
    assert_eq!((it.method.as_deref(), it.position, it.state_age_millis), (None, None, None));
}

#[test]
fn what_is_there_twice_or_malformed_is_not_said() {
    let mut world = world();
    let authorization = bearer(&token(1));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let twice = [
        ("authorization", authorization.as_str()),
        ("x-request-id", "a"),
        ("x-request-id", "b"),
        ("traceparent", trace),
        ("traceparent", trace),
    ];
    whole(&mut world.vms[1], &twice, "200");
    let odd = [
        ("authorization", authorization.as_str()),
        (":method", "GE T"),
        ("x-request-id", "a b"),
        ("traceparent", "00-1-2-3"),
    ];
    whole(&mut world.vms[1], &odd, "200");
    world.tick();
    for it in decisions(&world) {
        assert_eq!((it.request_id, it.trace, it.method), (None, None, None));
    }
}

#[test]
fn an_end_that_comes_after_its_decision_was_sent_is_an_event_of_its_own() {
    let mut world = world();
    let (context, _) = world.vms[1].begin_with(&token(1));
    world.tick();
    let [event] = &events(&world)[..] else { panic!() };
    let number = event.number;
    world.vms[1].upstream_answers(context, &[(":status", "204")], true);
    world.vms[1].end(context);
    world.tick();
    let [_, Event { happened: Happened::End { decision, end }, .. }] = &events(&world)[..] else {
        panic!("{:?}", events(&world));
    };
    assert_eq!((*decision, end.status), (number, Some(204)));
    assert_eq!((end.disposition, end.duration_micros), (Disposition::Committed, 250_000));
}

#[test]
fn a_body_is_hashed_as_it_streams_by() {
    let mut world = world();
    let authorization = bearer(&token(1));
    let headers = [("authorization", authorization.as_str())];
    let parts: Vec<Vec<u8>> =
        [0usize, 1, 16_384, 16_385, 40_000].map(|length| vec![length as u8; length]).into();
    let sent: Vec<u8> = parts.concat();
    let vm = &mut world.vms[1];
    let (context, _) = vm.begin_with_body(&headers);
    for (index, part) in parts.iter().enumerate() {
        let end = index + 1 == parts.len();
        assert_eq!(vm.client_sends(context, part, end), Flow::Continue);
    }
    vm.upstream_answers(context, &[(":status", "200")], true);
    vm.end(context);
    // Its end shows by trailers.
    let (context, _) = vm.begin_with_body(&headers);
    vm.client_sends(context, b"abc", false);
    assert_eq!(vm.vm.request_trailers(context), Flow::Continue);
    vm.end(context);
    // Its end never came.
    let (context, _) = vm.begin_with_body(&headers);
    vm.client_sends(context, b"abc", false);
    vm.end(context);
    // None of it came.
    let (context, _) = vm.begin_with_body(&headers);
    vm.end(context);
    // A piece of it cannot be read.
    let (context, _) = vm.begin_with_body(&headers);
    vm.client_sends(context, b"abc", false);
    world.proxy.refuse("request_body");
    let vm = &mut world.vms[1];
    assert_eq!(vm.client_sends(context, b"def", false), Flow::Continue, "it goes on");
    world.proxy.allow("request_body");
    let vm = &mut world.vms[1];
    vm.client_sends(context, b"ghi", true);
    vm.end(context);
    world.tick();
    let hashed =
        |bytes: &[u8]| Hashed { sha256: Sha256::digest(bytes).into(), bytes: bytes.len() as u64 };
    let bodies: Vec<_> = decisions(&world).iter().map(|it| it.end.as_ref().unwrap().body).collect();
    assert_eq!(
        bodies,
        [
            Body::Whole(hashed(&sent)),
            Body::Whole(hashed(b"abc")),
            Body::Truncated(hashed(b"abc")),
            Body::Truncated(hashed(b"")),
            Body::Truncated(hashed(b"abc")),
        ]
    );
}

#[test]
fn bodies_are_let_alone_where_they_are_not_to_be_hashed() {
    let config = recording(serde_json::json!({ "hash_body": false }));
    let mut world = World::synced_as(1, config);
    world.proxy.forbid("request_body");
    let authorization = bearer(&token(1));
    let vm = &mut world.vms[1];
    let (context, _) = vm.begin_with_body(&[("authorization", &authorization)]);
    assert_eq!(vm.client_sends(context, b"abc", true), Flow::Continue);
    vm.upstream_answers(context, &[(":status", "200")], true);
    vm.end(context);
    world.tick();
    assert_eq!(decisions(&world)[0].end.as_ref().unwrap().body, Body::NotHashed);
}

#[test]
fn the_body_of_a_request_that_is_held_does_not_go_on() {
    let mut world = World::synced_as(1, super::introspection::introspecting());
    world.calls = Link::Held;
    let token = super::introspection::never_issued(3);
    let authorization = bearer(&token);
    let vm = &mut world.vms[1];
    let (context, flow) = vm.begin_with_body(&[("authorization", &authorization)]);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(vm.client_sends(context, b"abc", false), Flow::Pause);
    assert_eq!(vm.vm.request_trailers(context), Flow::Pause);
}

#[test]
fn nothing_is_recorded_where_that_is_off() {
    let mut world = World::synced_as(1, recording(serde_json::json!({ "mode": "off" })));
    whole(&mut world.vms[1], &[("authorization", &bearer(&token(1)))], "200");
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403]);
    world.pass(2);
    assert!(world.vms[1].vm.stop());
    world.exchange();
    assert_eq!(world.plane.trail.batches, []);
    assert_eq!(world.proxy.metric("kya.audit.recorded"), 0);
}

#[test]
fn much_that_waits_goes_out_at_once() {
    let mut world = world();
    let before = world.plane.trail.batches.len();
    for _ in 0..511 {
        world.vms[1].status_of(1);
    }
    world.exchange();
    assert_eq!(world.plane.trail.batches.len(), before);
    world.vms[1].status_of(1);
    world.exchange();
    assert!(world.plane.trail.batches.len() > before);
    let last = world.plane.trail.batches.last().unwrap();
    assert_eq!(last.events.len(), 512);
}

#[test]
fn the_access_log_of_the_proxy_can_say_what_was_decided() {
    let mut world = world();
    let set = |vm: &mut TestVm, headers: &[(&str, &str)]| {
        let (context, _) = vm.begin(headers);
        let exchange = vm.exchange(context);
        vm.settle();
        String::from_utf8(exchange.set[FILTER_STATE].clone()).unwrap()
    };
    let instance = format!("{:016x}", world.vms[1].vm.instance);
    let first = world.plane.trail.workers().map(|(_, it)| it.next()).sum::<u64>();
    let vm = &mut world.vms[1];
    let allowed = set(vm, &[("authorization", &bearer(&token(1)))]);
    assert_eq!(allowed, format!("allow agent={} event={instance}/{first}", agent_id(1)));
    let denied = set(vm, &[]);
    assert_eq!(denied, format!("deny reason=token_missing event={instance}/{}", first + 1));
    let passed = set(vm, &[(":path", "/healthz")]);
    assert_eq!(passed, format!("pass reason=exempt event={instance}/{}", first + 2));
    world.tick();
    let numbers: Vec<_> = events(&world).iter().map(|event| event.number).collect();
    assert_eq!(numbers, [first, first + 1, first + 2], "it is the number in the trail");
    // A proxy that refuses to keep it does not stop the request.
    world.proxy.refuse("set_property");
    assert_eq!(world.statuses(1), [200]);
    let config = recording(serde_json::json!({ "filter_state": false }));
    let mut world = World::synced_as(1, config);
    world.proxy.forbid("set_property");
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn an_introspected_request_is_recorded_once_when_it_is_decided() {
    let mut world = World::synced_as(1, super::introspection::introspecting());
    world.pass(1);
    world.calls = Link::Held;
    let token = super::introspection::never_issued(3);
    let (context, flow) = world.vms[1].begin_with(&token);
    assert_eq!(flow, Flow::Pause);
    world.calls = Link::Up;
    for (index, call) in std::mem::take(&mut world.called) {
        world.respond(index, &call);
    }
    world.pass(2);
    assert!(world.finished.iter().any(|(_, it, _)| *it == context));
    let all = decisions(&world);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].reason.as_deref(), Some("token_unknown"));
}
