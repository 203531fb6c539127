//! Requests in flight when what allowed them is taken back.

use super::*;
use crate::host::MAX_AT_ONCE;
use crate::testing::{Exchange, Standing, configured, grant, held_by, standing};
use crate::work::in_flight::MAX_LIVE;

/// What a test knows of a request: the worker and its number there.
type Live = (usize, ContextId);

fn begin(world: &mut World, worker: usize, n: u8) -> Live {
    let (context, flow) = world.vms[worker].begin_with(&crate::testing::token(n));
    assert_eq!(flow, Flow::Continue);
    (worker, context)
}

fn respond(world: &mut World, (worker, context): Live) {
    world.vms[worker].upstream_responds(context);
}

/// What became of a request that the filter ended.
fn ended(world: &World, (worker, context): Live) -> Option<&Exchange> {
    let found = world.finished.iter().find(|it| (it.0, it.1) == (worker, context));
    found.map(|(_, _, exchange)| exchange)
}

fn how(world: &World, live: Live) -> Option<(Standing, Option<u32>)> {
    let exchange = ended(world, live)?;
    Some((exchange.standing, exchange.response.as_ref().map(|(status, ..)| *status)))
}

fn with(status: Status, in_flight: wire::InFlight) -> wire::Standing {
    wire::Standing { status: status.into(), in_flight: in_flight.into(), ..Default::default() }
}

const ANSWERED: Option<(Standing, Option<u32>)> = Some((Standing::Answered, Some(403)));
const RESET: Option<(Standing, Option<u32>)> = Some((Standing::Reset, None));

#[test]
fn a_kill_answers_what_waits_and_resets_what_responds_at_the_wake() {
    let mut world = World::synced(2);
    let waiting = [begin(&mut world, 1, 1), begin(&mut world, 2, 1)];
    let responding = begin(&mut world, 2, 1);
    respond(&mut world, responding);
    let others = [begin(&mut world, 1, 2), begin(&mut world, 2, 2)];
    world.commit(revoked(1));
    for live in waiting {
        assert_eq!(how(&world, live), ANSWERED);
        let (_, headers, body) = ended(&world, live).unwrap().response.clone().unwrap();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert!(body.contains(r#""reason":"agent_revoked""#) && body.contains(r#""revision":6"#));
    }
    assert_eq!(how(&world, responding), RESET);
    for live in others {
        assert_eq!(how(&world, live), None);
        assert_eq!(world.vms[live.0].exchange(live.1).standing, Standing::Forwarded);
    }
    assert_eq!(world.proxy.metric("kya.in_flight.answered"), 2);
    assert_eq!(world.proxy.metric("kya.in_flight.reset"), 1);
    // Each worker has said how many it has cut.
    let cut: Vec<_> = world.cache().slots(&world.proxy.host()).iter().map(|it| it.1.cut).collect();
    assert_eq!(cut, [1, 2]);
}

#[test]
fn a_drain_lets_requests_end_and_denies_the_next() {
    for status in [Status::Suspended, Status::Revoked] {
        let mut world = World::synced(1);
        let (waiting, responding) = (begin(&mut world, 1, 1), begin(&mut world, 1, 1));
        respond(&mut world, responding);
        world.commit([standing(1, with(status, wire::InFlight::Drain))]);
        world.pass(5);
        assert_eq!(world.statuses(1), [403]);
        assert_eq!((how(&world, waiting), how(&world, responding)), (None, None));
        respond(&mut world, waiting);
        for (worker, context) in [waiting, responding] {
            assert_eq!(world.vms[worker].end(context).standing, Standing::Responding);
        }
        // A kill after the drain ends what is still there.
        let mut world = World::synced(1);
        let live = begin(&mut world, 1, 1);
        world.commit([standing(1, with(Status::Suspended, wire::InFlight::Drain))]);
        assert_eq!(how(&world, live), None);
        world.commit([standing(1, with(Status::Revoked, wire::InFlight::Abort))]);
        assert_eq!(how(&world, live), ANSWERED);
    }
}

#[test]
fn a_drain_above_hides_no_abort_below() {
    let mut world = World::synced(1);
    // Another token of the same agent.
    world.commit([Wire::Token(held_by(3, 1))]);
    let (stolen, other) = (begin(&mut world, 1, 1), begin(&mut world, 1, 3));
    world.commit([standing(1, with(Status::Suspended, wire::InFlight::Drain))]);
    assert_eq!((how(&world, stolen), how(&world, other)), (None, None));
    world.commit([Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) })]);
    assert_eq!(how(&world, stolen), ANSWERED);
    assert_eq!(how(&world, other), None);
}

#[test]
fn a_worker_says_a_position_only_when_everything_is_cut_that_it_ends() {
    let mut world = World::synced(1);
    let said = |world: &World| {
        let slots = world.cache().slots(&world.proxy.host());
        slots.iter().map(|(_, slot)| slot.position.revision.0).collect::<Vec<_>>()
    };
    // More than one callback ends, and a request that notices first.
    let live: Vec<_> = (0..3 * MAX_AT_ONCE).map(|_| begin(&mut world, 1, 1)).collect();
    let before = said(&world);
    let delta = world.plane.commit(revoked(1));
    world.push(&delta);
    assert_eq!(world.vms[1].status_of(1), 403, "it decides by it");
    assert_eq!(said(&world), before, "it has not cut anything");
    let mut cut = 0;
    while cut < live.len() {
        assert_eq!(said(&world), before, "{cut} are cut");
        world.vms[1].vm.queue_ready();
        cut += world.vms[1].settle().len();
    }
    assert_eq!(said(&world), [world.plane.position.revision.0]);
}

#[test]
fn every_level_ends_its_own_requests_and_no_others() {
    let principal_id = vec![0xaa; 16];
    let of = |standing| {
        let id = crate::testing::agent_id(1).to_bytes().into();
        let principal_id = vec![0xaa; 16];
        Wire::Agent(wire::Agent {
            id,
            standing: Some(standing),
            principal_id,
            ..Default::default()
        })
    };
    let abort = |status| with(status, wire::InFlight::Abort);
    let active = abort(Status::Active);
    let principal = |standing| {
        let id = principal_id.clone();
        Wire::Principal(wire::Principal { id, standing: Some(standing) })
    };
    let capability = Wire::Capability(wire::Capability {
        agent_id: crate::testing::agent_id(1).to_bytes().into(),
        action: "pay".to_owned(),
        standing: Some(abort(Status::Revoked)),
    });
    let fleet = Wire::Fleet(wire::Fleet { standing: Some(abort(Status::Suspended)) });
    let superseded = wire::Standing { not_before_unix_seconds: 100, ..active };
    let token = Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) });
    // Which of the tokens 1 and 3 of agent 1, and 2 of agent 2, are cut.
    for (name, change, cut) in [
        ("fleet", fleet, [true, true, true]),
        ("principal", principal(abort(Status::Suspended)), [true, true, false]),
        ("agent", of(abort(Status::Suspended)), [true, true, false]),
        ("not before", of(superseded), [true, false, false]),
        ("capability", capability, [true, true, false]),
        ("token", token, [true, false, false]),
    ] {
        let mut world = World::synced(1);
        let later = wire::Token { issued_unix_seconds: 101, ..held_by(3, 1) };
        world.commit([principal(active), of(active), Wire::Token(later)]);
        let live = [1, 3, 2].map(|n| begin(&mut world, 1, n));
        world.commit([change]);
        let seen = live.map(|live| how(&world, live).is_some());
        assert_eq!(seen, cut, "{name}");
    }
}

#[test]
fn one_action_is_stopped_and_every_other_goes_on() {
    let config = configured(|json| {
        json["actions"] = serde_json::json!([
            {"route": "POST /v1/refunds", "action": "pay"},
            {"route": "GET /v1/charges", "action": "list_charges"},
        ]);
    });
    let bearer = crate::testing::bearer(&crate::testing::token(1));
    let ask = |world: &mut World, method: &str, path: &str, more: &[(&str, &str)]| {
        let usual = [(":method", method), (":path", path), ("authorization", bearer.as_str())];
        world.vms[1].begin(&[&usual[..], more].concat())
    };
    let mut world = World::synced_as(1, config);
    let refund = ask(&mut world, "POST", "/v1/refunds", &[]).0;
    let list = ask(&mut world, "GET", "/v1/charges", &[]).0;
    let other = ask(&mut world, "GET", "/v1/other", &[]).0;
    let capability = Wire::Capability(wire::Capability {
        agent_id: crate::testing::agent_id(1).to_bytes().into(),
        action: "pay".to_owned(),
        standing: Some(with(Status::Revoked, wire::InFlight::Abort)),
    });
    world.commit([capability]);
    assert_eq!(how(&world, (1, refund)), ANSWERED);
    assert_eq!(how(&world, (1, list)), None, "it stands for another action");
    assert_eq!(how(&world, (1, other)), ANSWERED, "nobody knows what it stands for");
    for (method, path, more, flow) in [
        ("POST", "/v1/refunds", &[][..], Flow::Stop),
        ("GET", "/v1/charges", &[], Flow::Continue),
        ("GET", "/v1/charges?page=2", &[], Flow::Continue),
        // Whatever has another reading, or none, is not known to be another action.
        ("GET", "/v1/charges/", &[], Flow::Stop),
        ("GET", "/v1/%72efunds", &[], Flow::Stop),
        ("GET", "/v1/charges?_method=POST", &[], Flow::Stop),
        ("GET", "/v1/charges", &[("x-http-method-override", "POST")], Flow::Stop),
        ("GET", "/v1/charges", &[("X_Method_Override", "POST")], Flow::Stop),
        ("GET", "/v1/charges", &[("x-original-url", "/v1/refunds")], Flow::Stop),
        ("GET", "/v1/charges", &[(":path", "/v1/refunds")], Flow::Stop),
        ("GET", "/v1/charges", &[(":method", "POST")], Flow::Stop),
    ] {
        assert_eq!(ask(&mut world, method, path, more).1, flow, "{method} {path} {more:?}");
    }
}

#[test]
fn a_token_that_a_manifest_takes_back_ends_its_requests() {
    let mut world = World::synced(1);
    let (live, other) = (begin(&mut world, 1, 1), begin(&mut world, 1, 2));
    // Nobody sees the delta.
    world.plane.commit([Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) })]);
    world.plane.forget_deltas();
    world.break_streams();
    world.sync();
    assert_eq!(how(&world, live), Some((Standing::Answered, Some(401))));
    assert_eq!(how(&world, other), None);
}

#[test]
fn a_kill_is_carried_out_though_a_later_change_cannot_be_read() {
    let mut world = World::synced(1);
    let live = begin(&mut world, 1, 1);
    for records in [revoked(1), unrelated()] {
        let delta = world.plane.commit(records);
        world.push(&delta);
    }
    world.proxy.meddle(&world.key("delta/7"), b"another plugin was here");
    world.exchange();
    assert_eq!(world.positions()[1], None, "revision 7 cannot be read");
    assert_eq!(how(&world, live), ANSWERED);
}

#[test]
fn a_request_that_has_ended_is_never_touched() {
    let mut world = World::synced(1);
    let [ended, replaced] = [begin(&mut world, 1, 1), begin(&mut world, 1, 1)];
    world.vms[1].end(ended.1);
    world.vms[1].upstream_responds(replaced.1);
    world.vms[1].end(replaced.1);
    // The proxy in memory panics if it is spoken to about them.
    world.commit(revoked(1));
    world.tick();
    assert!(world.finished.is_empty());
    assert_eq!(world.vms[1].vm.live.len(), 0);
}

#[test]
fn a_cut_that_is_noticed_in_the_callback_of_another_request_waits_for_the_wake() {
    let mut world = World::synced(1);
    let live = begin(&mut world, 1, 1);
    let delta = world.plane.commit(revoked(1));
    world.push(&delta);
    // The wake has not come round; a request finds the change first. Whoever cut
    // another request from here would hold this one for ever.
    assert_eq!(world.statuses(2), [200]);
    assert_eq!(world.statuses(1), [403]);
    assert_eq!(how(&world, live), None);
    assert_eq!(world.vms[1].exchange(live.1).standing, Standing::Forwarded);
    world.exchange();
    assert_eq!(how(&world, live), ANSWERED);
}

#[test]
fn a_request_is_cut_once_though_it_is_denied_on_many_grounds() {
    let mut world = World::synced(1);
    let live = begin(&mut world, 1, 1);
    let token = Wire::Token(wire::Token { revoked: true, ..held_by(1, 1) });
    world.commit([agent(1, Status::Revoked), token.clone()]);
    // Envoy has not yet said that it is over.
    world.commit([agent(1, Status::Revoked), token]);
    world.tick();
    let times = world.finished.iter().filter(|it| (it.0, it.1) == live).count();
    assert_eq!(times, 1);
}

#[test]
fn a_suspension_that_was_lifted_before_anybody_looked_cuts_nothing() {
    let mut world = World::synced(1);
    let live = begin(&mut world, 1, 1);
    for status in [Status::Suspended, Status::Active] {
        let delta = world.plane.commit([agent(1, status)]);
        world.push(&delta);
    }
    world.exchange();
    assert_eq!(how(&world, live), None);
    assert_eq!(world.statuses(1), [200]);
}

#[test]
fn requests_beyond_the_bound_are_served_and_counted_and_the_others_cut() {
    let mut world = World::synced(1);
    let live = begin(&mut world, 1, 1);
    let subject = world.vms[1].vm.live.get(live.1).unwrap();
    for number in 1..MAX_LIVE as u32 {
        let context = ContextId(1_000_000 + number);
        assert!(world.vms[1].vm.live.begin(
            context,
            crate::testing::agent_id(9),
            subject.subject.clone()
        ));
    }
    let beyond = begin(&mut world, 1, 1);
    assert_eq!(world.proxy.metric("kya.in_flight.untracked"), 1);
    assert_eq!(world.vms[1].vm.live.len(), MAX_LIVE);
    world.commit(revoked(1));
    assert_eq!((how(&world, live), how(&world, beyond)), (ANSWERED, None));
}

#[test]
fn many_tokens_that_are_taken_back_at_once_are_one_pass() {
    let mut world = World::synced(1);
    let tokens: Vec<_> = (0..4_000).map(crate::testing::filler).collect();
    world.commit([agent(9, Status::Active), grant(9)]);
    let live = begin(&mut world, 1, 1);
    let subject = world.vms[1].vm.live.get(live.1).unwrap().subject;
    for number in 0..20_000 {
        let context = ContextId(1_000_000 + number);
        world.vms[1].vm.live.begin(context, crate::testing::agent_id(2), subject.clone());
    }
    let revoked =
        tokens.into_iter().map(|token| Wire::Token(wire::Token { revoked: true, ..token }));
    let began = std::time::Instant::now();
    world.commit(revoked);
    // 80 million comparisons take many seconds where nothing is optimised.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(how(&world, live), None);
}

#[test]
fn requests_that_passed_undecided_are_not_cut() {
    let config = configured(|json| {
        json["fail_modes"] = serde_json::json!({ "unknown_token": "allow" });
        json["exempt_paths"] = serde_json::json!(["/healthz"]);
    });
    let mut world = World::synced_as(1, config);
    let bearer = crate::testing::bearer(&crate::testing::token(3));
    let unknown = [(":path", "/"), ("authorization", bearer.as_str())];
    for headers in [&unknown[..], &[(":path", "/healthz")]] {
        let (_, flow) = world.vms[1].begin(headers);
        assert_eq!(flow, Flow::Continue);
    }
    world.commit([Wire::Fleet(wire::Fleet {
        standing: Some(with(Status::Suspended, wire::InFlight::Abort)),
    })]);
    assert!(world.finished.is_empty());
}
