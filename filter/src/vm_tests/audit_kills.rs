//! What a worker reports of a stop, and what became of what was in flight.

use kya_core::audit::Disposition;
use kya_core::audit::event::{Applied, End, Happened};
use kya_core::{InFlight, Position};

use super::audit::{events, whole, world};
use super::*;
use crate::host::MAX_AT_ONCE;
use crate::testing::{TestVm, bearer, standing, token};

fn began(vm: &mut TestVm, n: u8) -> ContextId {
    let (context, flow) = vm.begin_with(&token(n));
    assert_eq!(flow, Flow::Continue);
    context
}

/// How the requests ended, by the numbers of their decisions.
fn ends(world: &World) -> Vec<(u64, End)> {
    let end = |event: &kya_core::audit::event::Event| match &event.happened {
        Happened::Decision(it) => Some((event.number, it.end.clone()?)),
        Happened::End { decision, end } => Some((*decision, end.clone())),
        _ => None,
    };
    let mut all: Vec<_> = events(world).iter().filter_map(end).collect();
    all.sort_by_key(|(number, _)| *number);
    all
}

fn dispositions(world: &World) -> Vec<Disposition> {
    ends(world).into_iter().map(|(_, end)| end.disposition).collect()
}

fn applied(world: &World) -> Vec<Applied> {
    let of = |event: &kya_core::audit::event::Event| match event.happened {
        Happened::Applied(applied) => Some(applied),
        _ => None,
    };
    world.plane.trail.events().filter_map(of).collect()
}

fn concerned(world: &World) -> Vec<(u64, InFlight, Position)> {
    let of = |event: &kya_core::audit::event::Event| match event.happened {
        Happened::InFlight { position, decision, ending } => Some((decision, ending, position)),
        _ => None,
    };
    events(world).iter().filter_map(of).collect()
}

/// Every request that a state concerns has one end, which comes after that was told: by
/// that end the control plane knows that it waits for it no longer.
#[track_caller]
fn assert_told_ends(world: &World) {
    for event in world.plane.trail.events() {
        let Happened::InFlight { decision: of, .. } = event.happened else { continue };
        let ends = world.plane.trail.events().filter_map(|it| match it.happened {
            Happened::End { decision, .. } if decision == of => Some(it.number),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert!(matches!(ends[..], [end] if end > event.number), "{event:?}: {ends:?}");
    }
}

#[test]
fn the_end_of_what_a_kill_concerns_comes_after_it_however_batches_are_cut() {
    let mut world = world();
    world.calls = Link::Held;
    world.vms[1].status_of(2);
    world.tick();
    // A batch is under way, so that nothing of this is sent: the decisions of those that
    // are killed, more than one batch holds, and how all of it ended.
    for _ in 0..3 {
        began(&mut world.vms[1], 1);
    }
    for _ in 0..kya_core::audit::event::MAX_EVENTS {
        world.vms[1].status_of(2);
    }
    world.commit(revoked(1));
    world.calls = Link::Up;
    for (index, call) in std::mem::take(&mut world.called) {
        world.respond(index, &call);
    }
    world.pass(3);
    assert_eq!(concerned(&world).len(), 3);
    assert_told_ends(&world);
}

/// Takes all of the room for decisions, by requests that go on.
fn fill(vm: &mut TestVm) {
    while vm.vm.audit.room(&vm.vm.plugin).next.is_some() {
        began(vm, 1);
    }
}

#[test]
fn a_worker_whose_buffer_is_full_tells_of_a_kill_as_soon_as_it_can() {
    let config = super::audit::recording(serde_json::json!({ "buffer": 64, "on_full": "drop" }));
    let mut world = World::synced_as(1, config);
    world.pass(1);
    let draining: Vec<_> = (0..64).map(|_| began(&mut world.vms[1], 2)).collect();
    world.pass(1);
    world.calls = Link::Down;
    let before = applied(&world).len();
    // Decisions take the first half of the buffer, the ends of others the second.
    fill(&mut world.vms[1]);
    for context in draining {
        world.vms[1].end(context);
    }
    let hit = began(&mut world.vms[1], 1);
    let suspended = wire::Standing { status: Status::Suspended.into(), ..Default::default() };
    world.commit([standing(1, suspended)]);
    world.commit(revoked(1));
    world.pass(1);
    assert_eq!(applied(&world).len(), before);
    world.calls = Link::Up;
    world.pass(4);
    // Both kills are in the newest state. Who was in flight could not be told.
    let told = applied(&world)[before..].to_vec();
    let position = world.plane.position;
    assert_eq!(told, [Applied { position, in_flight: 0, untracked: 65 }]);
    assert_told_ends(&world);
    // From now on all is told again.
    let next = began(&mut world.vms[1], 2);
    world.commit(revoked(2));
    world.pass(1);
    assert_eq!((applied(&world).last().unwrap().in_flight, concerned(&world).len()), (1, 1));
    assert_told_ends(&world);
    let _ = (hit, next);
}

#[test]
fn a_kill_that_had_no_room_is_told_when_the_plugin_goes_away() {
    let config = super::audit::recording(serde_json::json!({ "buffer": 64, "on_full": "drop" }));
    let mut world = World::synced_as(1, config);
    world.pass(1);
    let draining: Vec<_> = (0..64).map(|_| began(&mut world.vms[1], 2)).collect();
    world.pass(1);
    world.calls = Link::Down;
    fill(&mut world.vms[1]);
    for context in draining {
        world.vms[1].end(context);
    }
    world.commit(revoked(1));
    world.calls = Link::Up;
    assert!(!world.vms[1].vm.stop());
    world.pass(4);
    assert_eq!(applied(&world).last().unwrap().position, world.plane.position);
    assert!(world.plane.trail.workers().next().unwrap().1.closed);
}

#[test]
fn a_kill_is_told_with_what_was_in_flight_and_how_that_ended() {
    let mut world = world();
    let vm = &mut world.vms[1];
    let (waiting, streaming, other) = (began(vm, 1), began(vm, 1), began(vm, 2));
    vm.upstream_responds(streaming);
    vm.upstream_responds(other);
    world.tick();
    let before = applied(&world).len();
    world.commit(revoked(1));
    world.tick();
    let position = world.plane.position;
    assert_eq!(applied(&world)[before..], [Applied { position, in_flight: 2, untracked: 0 }]);
    let numbers: Vec<_> = concerned(&world).iter().map(|it| it.0).collect();
    assert_eq!(numbers.len(), 2);
    assert!(concerned(&world).iter().all(|it| (it.1, it.2) == (InFlight::Abort, position)));
    let ends = ends(&world);
    assert_eq!(ends.iter().map(|(number, _)| *number).collect::<Vec<_>>(), numbers);
    for (_, end) in &ends {
        assert_eq!((end.disposition, end.cut), (Disposition::Escalated, Some(position)));
    }
    assert_eq!(ends[0].1.status, None, "what the gate answered is not the upstream's");
    assert_eq!(ends[1].1.status, Some(200));
    // The order says from where on the worker decides by it.
    let kinds: Vec<_> =
        events(&world).iter().map(|event| std::mem::discriminant(&event.happened)).collect();
    let place = |event: &Happened| {
        kinds.iter().position(|kind| *kind == std::mem::discriminant(event)).unwrap()
    };
    let end = Happened::End { decision: 1, end: ends[0].1.clone() };
    let in_flight = Happened::InFlight { position, decision: 1, ending: InFlight::Abort };
    let applied = Happened::Applied(Applied { position, in_flight: 0, untracked: 0 });
    assert!(place(&applied) < place(&in_flight) && place(&in_flight) < place(&end));
    let _ = waiting;
}

#[test]
fn it_is_told_at_once_and_not_at_the_next_tick() {
    let mut world = world();
    began(&mut world.vms[1], 1);
    world.tick();
    let before = applied(&world).len();
    world.commit(revoked(1));
    assert_eq!(applied(&world).len(), before + 1);
}

#[test]
fn a_request_that_notices_the_kill_comes_after_it_in_the_trail() {
    let mut world = world();
    let delta = world.plane.commit(revoked(1));
    world.streams = Link::Up;
    // The leader has stored it; the worker has not been woken.
    let stream = world.proxy.stream().unwrap();
    world.send_raw(stream, &crate::testing::sealed(delta));
    assert_eq!(world.vms[1].status_of(1), 403);
    world.exchange();
    world.tick();
    let position = world.plane.position;
    let mut after = world.plane.trail.events().cloned().skip_while(
        |event| !matches!(event.happened, Happened::Applied(it) if it.position == position),
    );
    assert!(after.next().is_some());
    assert!(
        matches!(after.next().unwrap().happened, Happened::Decision(it) if it.reason.as_deref() == Some("agent_revoked"))
    );
}

#[test]
fn what_may_drain_is_told_as_that_and_committed_when_it_ends() {
    let mut world = world();
    let context = began(&mut world.vms[1], 1);
    let drain = wire::Standing {
        status: Status::Suspended.into(),
        in_flight: wire::InFlight::Drain.into(),
        ..Default::default()
    };
    world.commit([standing(1, drain)]);
    world.tick();
    assert_eq!(concerned(&world).iter().map(|it| it.1).collect::<Vec<_>>(), [InFlight::Drain]);
    assert_eq!(ends(&world), []);
    world.vms[1].upstream_answers(context, &[(":status", "200")], true);
    world.vms[1].end(context);
    world.tick();
    let [(_, end)] = &ends(&world)[..] else { panic!() };
    assert_eq!((end.disposition, end.cut), (Disposition::Committed, None));
}

#[test]
fn a_change_that_stops_nobody_is_not_told() {
    let mut world = world();
    let before = applied(&world).len();
    assert_eq!(before, 1, "the first state may stop anybody");
    world.commit(unrelated());
    world.commit([Wire::Token(crate::testing::held_by(7, 2))]);
    world.tick();
    assert_eq!(applied(&world).len(), before);
    world.commit([Wire::Token(wire::Token { revoked: true, ..crate::testing::held_by(7, 2) })]);
    world.tick();
    assert_eq!(applied(&world).len(), before + 1);
}

#[test]
fn more_than_one_callback_can_end_are_all_told() {
    let mut world = world();
    let count = 3 * MAX_AT_ONCE;
    for _ in 0..count {
        began(&mut world.vms[1], 1);
    }
    world.commit(revoked(1));
    world.pass(1);
    assert_eq!(applied(&world).last().unwrap().in_flight as usize, count);
    assert_eq!((concerned(&world).len(), ends(&world).len()), (count, count));
    assert!(ends(&world).iter().all(|(_, end)| end.cut == Some(world.plane.position)));
}

#[test]
fn what_never_reached_the_upstream_is_rolled_back() {
    let mut world = world();
    let flags = |bits: u64| bits.to_le_bytes();
    let vm = &mut world.vms[1];
    // Cut before there was a connection for it.
    let cut = began(vm, 1);
    vm.misses_upstream(cut);
    // Cut while the connection that is to carry it was being made.
    let waiting = began(vm, 1);
    vm.waits_for_upstream(waiting);
    // Nobody to connect to; a connection that failed; a route that is not there.
    for (bits, connects) in [(0x2, false), (0x20, true), (0x100, false)] {
        let context = began(vm, 2);
        if !connects {
            vm.misses_upstream(context);
        }
        vm.show(context, "response.flags", &flags(bits));
        vm.answers(context, &[(":status", "503")], true);
        vm.end(context);
    }
    // Another filter has answered it.
    let context = began(vm, 2);
    vm.misses_upstream(context);
    vm.answers(context, &[(":status", "429")], true);
    vm.end(context);
    world.commit(revoked(1));
    world.pass(1);
    assert_eq!(dispositions(&world), [Disposition::RolledBack; 6]);
    assert!(ends(&world).iter().all(|(_, end)| end.status.is_none()));
}

#[test]
fn what_an_upstream_says_that_it_undid_is_rolled_back() {
    let mut world = world();
    let undone = [(":status", "409"), ("x-kya-disposition", "rolled_back")];
    let vm = &mut world.vms[1];
    let first = began(vm, 1);
    vm.upstream_answers(first, &undone, true);
    vm.end(first);
    // Whoever else says it does not know.
    let second = began(vm, 1);
    vm.answers(second, &undone, true);
    vm.end(second);
    // Another word means nothing.
    let third = began(vm, 1);
    vm.upstream_answers(third, &[(":status", "200"), ("x-kya-disposition", "undone")], true);
    vm.end(third);
    // In trailers, as a stream says it.
    let fourth = began(vm, 1);
    vm.upstream_responds(fourth);
    let trailer = (b"x-kya-disposition".to_vec(), b"rolled_back".to_vec());
    vm.host.change(fourth, |it| it.trailers = vec![trailer]);
    let TestVm { vm: inner, host } = vm;
    host.about(fourth, || inner.response_trailers(fourth));
    vm.end(fourth);
    world.tick();
    use Disposition::{Committed, Escalated, RolledBack};
    assert_eq!(dispositions(&world), [RolledBack, Escalated, Committed, RolledBack]);
}

#[test]
fn what_is_not_known_is_escalated() {
    let mut world = world();
    let vm = &mut world.vms[1];
    // The client went away; the response broke off; the connection did after it was sent.
    let left = began(vm, 1);
    vm.end(left);
    let broken = began(vm, 1);
    vm.upstream_responds(broken);
    vm.end(broken);
    let lost = began(vm, 1);
    vm.show(lost, "response.flags", &0x40u64.to_le_bytes());
    vm.answers(lost, &[(":status", "503")], true);
    vm.end(lost);
    // A connection failed at the second attempt, and nobody knows what the first did.
    let retried = began(vm, 1);
    vm.show(retried, "response.flags", &0x20u64.to_le_bytes());
    vm.show(retried, "upstream.request_attempt_count", &2u64.to_le_bytes());
    vm.answers(retried, &[(":status", "503")], true);
    vm.end(retried);
    // Its connection has no name, as that to a socket of this machine.
    let nameless = began(vm, 1);
    vm.show(nameless, "upstream.local_address", b"");
    vm.end(nameless);
    // A connection failed, and something else is the matter, too.
    let both = began(vm, 1);
    vm.show(both, "response.flags", &0x60u64.to_le_bytes());
    vm.end(both);
    world.tick();
    assert_eq!(dispositions(&world), [Disposition::Escalated; 6]);
    // A proxy that shows nothing of a response, or nothing at all.
    let mut world = self::world();
    let vm = &mut world.vms[1];
    let unread = began(vm, 1);
    world.proxy.refuse("response_fields");
    world.vms[1].upstream_answers(unread, &[(":status", "200")], true);
    world.vms[1].end(unread);
    world.proxy.allow("response_fields");
    let mute = began(&mut world.vms[1], 1);
    world.vms[1].misses_upstream(mute);
    world.proxy.refuse("property");
    world.vms[1].end(mute);
    world.tick();
    assert_eq!(dispositions(&world), [Disposition::Escalated; 2]);
}

#[test]
fn a_response_that_envoy_marks_as_the_upstreams_needs_no_second_look() {
    let mut world = world();
    let vm = &mut world.vms[1];
    let context = began(vm, 1);
    world.proxy.refuse("property");
    let marked = [(":status", "200"), ("x-envoy-upstream-service-time", "3")];
    world.vms[1].answers(context, &marked, true);
    world.vms[1].end(context);
    world.tick();
    assert_eq!(dispositions(&world), [Disposition::Committed]);
}

#[test]
fn requests_that_are_not_kept_track_of_are_counted() {
    let mut world = World::synced_as(
        1,
        super::audit::recording(serde_json::json!({
            "buffer": 64, "on_full": "drop",
        })),
    );
    world.pass(1);
    world.calls = Link::Down;
    let contexts: Vec<_> = (0..70).map(|_| began(&mut world.vms[1], 1)).collect();
    world.commit(revoked(1));
    world.calls = Link::Up;
    world.pass(3);
    let last = *applied(&world).last().unwrap();
    // Of 70 six had no room, and no number. As much room again is for the state, and for
    // requests that it concerns, each with its end.
    assert_eq!((last.in_flight, last.untracked), (31, 39));
    assert_eq!(concerned(&world).len(), 31);
    assert_told_ends(&world);
    assert_eq!(contexts.len(), 70);
    whole(&mut world.vms[1], &[("authorization", &bearer(&token(2)))], "200");
}
