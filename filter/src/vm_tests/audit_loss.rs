//! What a worker reports, when answers get lost, are wrong, or do not come.

use kya_core::audit::Verdict;
use kya_core::audit::event::Happened;
use kya_core::wire::update::Body;
use kya_core::{Signer, sign_update};
use prost::Message as _;
use serde_json::json;

use super::audit::{decisions, events, recording, whole, world};
use super::*;
use crate::testing::{HttpCall, bearer, token};

const PATH: &str = "/v1/enforcement/audit";
/// The proxy of the workers.
const NODE: &str = "sidecar-a";

/// The batches that wait for the test's answer.
fn batches(world: &mut World) -> Vec<HttpCall> {
    world.exchange();
    let (mine, others) = std::mem::take(&mut world.called)
        .into_iter()
        .partition(|(_, call)| call.headers[":path"] == PATH);
    world.called = others;
    mine.into_iter().map(|(_, call): (usize, HttpCall)| call).collect()
}

/// Lets time pass until there is a batch.
#[track_caller]
fn batch(world: &mut World) -> HttpCall {
    for _ in 0..40 {
        world.tick();
        let mut all = batches(world);
        assert!(all.len() <= 1, "one is open at a time");
        if let Some(call) = all.pop() {
            return call;
        }
    }
    panic!("no batch in ten seconds");
}

fn first(call: &HttpCall) -> u64 {
    wire::AuditBatch::decode(call.body.as_slice()).unwrap().first
}

fn receipt(world: &World, instance: u64, next: u64) -> Vec<u8> {
    receipt_for(world, NODE, instance, next)
}

fn receipt_for(world: &World, node: &str, instance: u64, next: u64) -> Vec<u8> {
    let receipt = wire::AuditReceipt { node_id: node.to_owned(), instance, next };
    world.plane.sign(Body::AuditReceipt(receipt)).encode_to_vec()
}

/// Every event of the worker is in the trail, once, and nothing waits.
#[track_caller]
fn assert_complete(world: &mut World, decided: usize) {
    world.calls = Link::Up;
    for (index, call) in std::mem::take(&mut world.called) {
        world.vms[index].fail_http(call.id);
    }
    world.pass(8);
    assert_eq!(decisions(world).len(), decided);
    let worker = world.plane.trail.workers().next().unwrap().1;
    assert_eq!(worker.lost, 0);
    let numbers: Vec<_> = worker.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let metric = |name: &str| world.proxy.metric(&format!("kya.audit.{name}"));
    assert_eq!(metric("recorded"), numbers.len() as u64);
    assert_eq!((metric("acknowledged"), metric("unacknowledged")), (metric("recorded"), 0));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_from_the_same_number() {
    let mut world = world();
    world.calls = Link::Held;
    world.vms[1].status_of(1);
    let once = batch(&mut world);
    world.vms[1].status_of(2);
    world.vms[1].fail_http(once.id);
    let again = batch(&mut world);
    assert_eq!(first(&again), first(&once));
    let said = |call: &HttpCall| kya_core::audit::event::Batch::read(&call.body).unwrap().events;
    assert_eq!(said(&again)[..1], said(&once)[..], "what was sent does not change");
    assert_eq!(said(&again).len(), 2);
    // It arrives, and the answer is lost.
    world.plane.trail.take(&again.body);
    world.vms[1].fail_http(again.id);
    let third = batch(&mut world);
    assert_eq!(first(&third), first(&once));
    world.respond(1, &third);
    world.tick();
    assert_eq!(world.proxy.metric("kya.audit.resent"), 2);
    assert_complete(&mut world, 2);
}

#[test]
fn while_the_control_plane_is_away_it_is_asked_ever_more_rarely() {
    let mut world = world();
    world.calls = Link::Down;
    world.vms[1].status_of(1);
    world.calls_made.clear();
    world.pass(30);
    let attempts = world.calls_made.iter().filter(|path| *path == PATH).count();
    assert!((9..=16).contains(&attempts), "{attempts} in half a minute");
    assert_complete(&mut world, 1);
}

#[test]
fn a_proxy_that_makes_no_calls_loses_nothing() {
    let mut world = world();
    world.proxy.refuse("http_call");
    for _ in 0..10 {
        world.vms[1].status_of(1);
        world.tick();
    }
    world.proxy.allow("http_call");
    assert_complete(&mut world, 10);
}

#[test]
fn a_receipt_is_believed_only_if_it_is_signed_and_for_what_was_sent() {
    let mut world = world();
    world.calls = Link::Held;
    world.vms[1].status_of(1);
    let instance = world.vms[1].vm.instance;
    let stranger = Signer::from_seed([9; 32]);
    let forged = |next| {
        let body = Some(Body::AuditReceipt(wire::AuditReceipt {
            node_id: NODE.to_owned(),
            instance,
            next,
        }));
        let update = wire::Update { epoch: 1, revision: 5, unix_millis: 1, body };
        sign_update(&stranger, &update).encode_to_vec()
    };
    let begun = first(&batch_kept(&mut world));
    let answers: Vec<(u16, Vec<u8>)> = vec![
        (200, forged(begun + 1)),
        (200, receipt(&world, instance + 1, begun + 1)),
        (200, receipt_for(&world, "another", instance, begun + 1)),
        (200, receipt_for(&world, "", instance, begun + 1)),
        (200, receipt(&world, instance, begun + 2)),
        (200, receipt(&world, instance, begun)),
        (200, receipt(&world, instance, begun - 1)),
        (200, world.plane.heartbeat(b"").encode_to_vec()),
        (200, b"nonsense".to_vec()),
        (500, receipt(&world, instance, begun + 1)),
        (404, b"not found".to_vec()),
    ];
    for (status, body) in answers {
        let call = batch(&mut world);
        assert_eq!(first(&call), begun, "nothing was thrown away");
        world.vms[1].answer_http(call.id, status, &body);
    }
    world.tick();
    assert_eq!(world.proxy.metric("kya.audit.failed"), 12);
    assert_complete(&mut world, 1);
}

/// As [`batch`], and fails it.
fn batch_kept(world: &mut World) -> HttpCall {
    let call = batch(world);
    world.vms[1].fail_http(call.id);
    call
}

#[test]
fn a_receipt_for_a_part_leaves_the_rest() {
    let mut world = world();
    world.calls = Link::Held;
    for _ in 0..3 {
        world.vms[1].status_of(1);
    }
    let call = batch(&mut world);
    let begun = first(&call);
    let body = receipt(&world, world.vms[1].vm.instance, begun + 2);
    world.vms[1].answer_http(call.id, 200, &body);
    let rest = batch(&mut world);
    assert_eq!(first(&rest), begun + 2);
    // An old receipt says nothing new.
    world.vms[1].answer_http(rest.id, 200, &body);
    assert_eq!(first(&batch(&mut world)), begun + 2);
}

#[test]
fn a_full_buffer_denies_what_would_be_allowed() {
    let config = recording(json!({ "buffer": 64, "on_full": "deny" }));
    let mut world = World::synced_as(1, config);
    world.pass(1);
    world.calls = Link::Down;
    let mut allowed = 0;
    while world.vms[1].status_of(1) == 200 {
        allowed += 1;
    }
    assert_eq!(allowed, 64);
    let (flow, exchange) = world.vms[1].request(&[("authorization", &bearer(&token(1)))]);
    let (status, _, body) = exchange.response.unwrap();
    assert_eq!((flow, status), (Flow::Stop, 503));
    assert!(body.contains(r#""reason":"audit_full""#), "{body}");
    assert_eq!(world.proxy.metric("kya.decision.audit_full"), 2);
    // What would be denied says why, as always; an exempt path goes on.
    world.commit(revoked(1));
    assert_eq!(world.statuses(1), [403]);
    whole(&mut world.vms[1], &[(":path", "/healthz")], "200");
    // As soon as there is room, all is as before, and what had none is told.
    world.calls = Link::Up;
    world.pass(4);
    assert_eq!(world.statuses(2), [200]);
    let dropped: Vec<_> = events(&world)
        .iter()
        .filter_map(|event| match event.happened {
            Happened::Dropped(events) => Some(events),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, [4], "two denied for want of room, a denial, and an exempt path");
    world.tick();
    assert_eq!(world.proxy.metric("kya.audit.dropped"), 4);
    assert_complete(&mut world, 65);
}

#[test]
fn a_full_buffer_drops_records_where_that_is_wanted_save_for_critical_actions() {
    let config = recording(json!({ "buffer": 64, "on_full": "drop", "critical": ["issue_*"] }));
    let mut world = World::synced_as(1, config);
    world.pass(1);
    world.calls = Link::Down;
    let authorization = bearer(&token(1));
    let status = |world: &mut World, method: &str, path: &str| {
        let headers =
            [(":method", method), (":path", path), ("authorization", authorization.as_str())];
        let vm = &mut world.vms[1];
        let (context, flow) = vm.begin(&headers);
        let status = vm.exchange(context).response.map_or(200, |(status, ..)| status);
        vm.settle();
        if flow == Flow::Continue {
            vm.end(context);
        }
        status
    };
    for _ in 0..64 {
        assert_eq!(status(&mut world, "GET", "/v1/balance"), 200);
    }
    assert_eq!(status(&mut world, "GET", "/v1/balance"), 200, "it is not recorded");
    assert_eq!(status(&mut world, "POST", "/v1/refunds/1"), 503);
    assert_eq!(status(&mut world, "GET", "/what/is/it"), 503, "it may be critical");
    world.calls = Link::Up;
    world.pass(4);
    assert_eq!(status(&mut world, "POST", "/v1/refunds/1"), 200);
    let all = events(&world);
    assert!(all.iter().any(|event| event.happened == Happened::Dropped(3)), "{all:?}");
    assert_complete(&mut world, 65);
}

#[test]
fn what_is_sent_and_what_is_dropped_is_all_that_happened() {
    let config = recording(json!({ "buffer": 64, "on_full": "drop" }));
    let mut world = World::synced_as(1, config);
    world.pass(1);
    let mut asked = 0u64;
    for round in 0..60u32 {
        world.calls = if round % 3 == 0 { Link::Up } else { Link::Down };
        for _ in 0..(round * 7) % 41 {
            assert_eq!(world.vms[1].status_of(1), 200);
            asked += 1;
        }
        world.tick();
    }
    world.calls = Link::Up;
    world.pass(8);
    let told: u64 = events(&world)
        .iter()
        .map(|event| match &event.happened {
            Happened::Decision(_) => 1,
            Happened::Dropped(events) => *events,
            _ => 0,
        })
        .sum();
    assert_eq!(told, asked);
    assert!(world.proxy.metric("kya.audit.dropped") > 0, "there was too much for the buffer");
}

#[test]
fn a_plugin_that_goes_away_sends_what_is_left_and_says_that_it_is_the_last() {
    let mut world = world();
    for _ in 0..1_500 {
        world.vms[1].status_of(1);
    }
    world.vms[1].vm.stop();
    assert!(!world.vms[1].vm.stop(), "it is still waiting");
    assert!(world.proxy.finished().is_empty());
    world.exchange();
    let worker = world.plane.trail.workers().next().unwrap().1;
    assert!(worker.closed);
    assert_eq!(decisions(&world).len(), 1_500);
    assert_eq!(world.proxy.finished(), [world.vms[1].host.vm()], "it says so once");
    assert!(world.vms[1].vm.stop());
    world.vms[1].vm.tick();
    assert_eq!(world.proxy.finished().len(), 1);
    assert_eq!(world.proxy.metric("kya.audit.unacknowledged"), 0);
}

#[test]
fn a_plugin_that_goes_away_waits_for_so_long_and_no_longer() {
    let mut world = world();
    world.calls = Link::Down;
    world.vms[1].status_of(1);
    assert!(!world.vms[1].vm.stop());
    world.pass(4);
    assert!(world.proxy.finished().is_empty());
    world.pass(2);
    assert_eq!(world.proxy.finished(), [world.vms[1].host.vm()]);
    // One that can make no call at all goes at once.
    let mut world = self::world();
    world.vms[1].status_of(1);
    world.proxy.refuse("http_call");
    assert!(world.vms[1].vm.stop());
}

#[test]
fn a_worker_that_has_recorded_nothing_says_nothing_when_it_goes() {
    let mut world = World::new(1);
    assert!(world.vms[1].vm.stop());
    assert_eq!(world.plane.trail.batches, []);
}

#[test]
fn clocks_that_are_set_change_no_number_and_lose_nothing() {
    let mut world = world();
    let (context, _) = world.vms[1].begin_with(&token(1));
    world.proxy.set_back_nanos(500_000_000);
    world.vms[1].end(context);
    world.proxy.set_ahead_nanos(u64::MAX / 4);
    world.vms[1].status_of(1);
    world.pass(3);
    let all = decisions(&world);
    assert_eq!(all[0].end.as_ref().unwrap().duration_micros, 0);
    assert_eq!(all[1].verdict, Verdict::Deny, "by that clock everything has expired");
    let batch = world.plane.trail.batches.last().unwrap();
    assert!(batch.clock_ahead_millis > 1_000_000_000);
    assert_complete(&mut world, 2);
}

#[test]
fn a_wall_clock_in_the_place_of_a_monotonic_one_may_be_set_back() {
    let mut world = World::new(1);
    world.proxy.refuse("monotonic_nanos");
    world.sync();
    let (context, flow) = world.vms[1].begin_with(&token(1));
    assert_eq!(flow, Flow::Continue);
    world.proxy.set_back_nanos(400_000_000);
    world.vms[1].end(context);
    world.pass(8);
    assert_eq!(decisions(&world)[0].end.as_ref().unwrap().duration_micros, 0);
}
