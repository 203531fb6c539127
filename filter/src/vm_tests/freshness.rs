//! How old the state is, by whose clock, and what an old state still says.

use std::collections::VecDeque;

use super::*;
use crate::config::Config;
use crate::testing::{configured, held_by, sealed};

/// Past this age the usual configuration decides that the state is stale.
const STALE_SECONDS: u32 = 60;

fn cut_off(world: &mut World) {
    (world.streams, world.calls) = (Link::Held, Link::Held);
}

fn modes(name: &'static str) -> Config {
    configured(|json| json["fail_modes"] = serde_json::json!({ name: "allow" }))
}

/// What the upstream sees as the agent's name, if the request is forwarded.
fn named(world: &mut World, worker: usize, headers: &[(&str, &str)]) -> Option<Option<String>> {
    let (flow, exchange) = world.vms[worker].request(headers);
    let name = |(name, value): &(Vec<u8>, Vec<u8>)| {
        (name == b"x-kya-agent-id").then(|| String::from_utf8(value.clone()).unwrap())
    };
    (flow == Flow::Continue).then(|| exchange.headers.iter().find_map(name))
}

fn bearer(n: u8) -> String {
    crate::testing::bearer(&crate::testing::token(n))
}

#[test]
fn a_state_that_nothing_confirms_goes_stale_and_what_it_denies_stays_denied() {
    let mut world = World::synced(2);
    world.commit(revoked(2));
    cut_off(&mut world);
    world.pass(STALE_SECONDS - 2);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200; 2], vec![403; 2]));
    world.pass(4);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![503; 2], vec![403; 2]));
    assert_eq!(world.statuses(3), [503; 2], "what it does not know may exist by now");
    (world.streams, world.calls) = (Link::Up, Link::Up);
    world.sync();
    assert_eq!(world.statuses(1), [200; 2]);
    assert_eq!(world.statuses(3), [401; 2]);
}

/// Whoever holds the connection delivers everything, in order and unaltered, but
/// late: by so many milliseconds in each second. Pulls find no answer. Says after
/// how many seconds the workers decided that the state was stale, of 200, and how
/// old it ever was before, in milliseconds.
fn delayed(delay: impl Fn(u64) -> u64) -> (Option<u64>, u64) {
    let mut world = World::synced(2);
    cut_off(&mut world);
    world.break_streams();
    let mut feed: VecDeque<(u64, StreamId, wire::ControlMessage)> = VecDeque::new();
    let mut greeted = Vec::new();
    let mut oldest = 0;
    for tick in 0..4 * 200 {
        let (now, late) = (world.plane.unix_millis, delay(tick / 4));
        if tick % 4 == 0 {
            let heartbeat = sealed(world.plane.heartbeat(b""));
            feed.extend(greeted.iter().map(|id| (now + late, *id, heartbeat.clone())));
        }
        for (id, message) in std::mem::take(&mut world.said) {
            if matches!(message, Message::Hello(_)) {
                greeted.push(id);
            }
            let answers = world.plane.answer(&message);
            feed.extend(answers.into_iter().map(|answer| (now + late, id, answer)));
        }
        while feed.front().is_some_and(|(at, ..)| *at <= now) {
            let (_, id, message) = feed.pop_front().unwrap();
            world.send(id, &message);
        }
        world.tick();
        if world.statuses(1) == [503; 2] {
            return (Some(tick / 4), oldest);
        }
        oldest = oldest.max(world.vms[1].vm.worker().state_age(world.vms[1].vm.plugin()));
    }
    (None, oldest)
}

#[test]
fn a_feed_that_is_half_a_minute_late_goes_stale_though_messages_keep_coming() {
    let (stale, _) = delayed(|_| 30_000);
    assert!((55..=61).contains(&stale.unwrap()), "{stale:?}");
}

#[test]
fn a_feed_that_is_played_slower_and_slower_goes_stale() {
    for slower in [10, 50, 100, 500, 900] {
        let (stale, oldest) = delayed(|second| second * slower);
        assert!(stale.is_some() || oldest < 10_000, "{slower} ms a second: {stale:?}, {oldest}");
    }
}

#[test]
fn a_slow_network_is_not_mistaken_for_an_attack() {
    let (stale, oldest) = delayed(|_| 2_000);
    assert_eq!(stale, None);
    assert!((2_000..10_000).contains(&oldest), "{oldest}");
}

#[test]
fn a_leader_that_hears_no_heartbeat_asks_and_an_answer_settles_it() {
    let mut world = World::synced(1);
    cut_off(&mut world);
    let stream = world.proxy.stream().unwrap();
    let mut probes = 0;
    for _ in 0..4 * 9 {
        world.tick();
        // The stream is not silent.
        let delta = world.plane.commit(unrelated());
        world.send(stream, &sealed(delta));
        for probe in held(&mut world).iter().filter(|it| matches!(it, Message::Probe(_))) {
            probes += 1;
            for answer in world.plane.answer(probe) {
                world.send(stream, &answer);
            }
        }
    }
    world.tick();
    assert_eq!(probes, 1);
    let age = world.vms[1].vm.worker().state_age(world.vms[1].vm.plugin());
    assert!(age < 5_000, "{age} ms");
}

#[test]
fn a_stream_on_which_all_but_heartbeats_comes_is_given_up() {
    let mut world = World::synced(1);
    cut_off(&mut world);
    let stream = world.proxy.stream().unwrap();
    let challenge = wire::Challenge { nonce: vec![1; 32] };
    let recorded = world.plane.sign(wire::update::Body::Challenge(challenge));
    for _ in 0..60 {
        world.tick();
        world.send(stream, &sealed(recorded.clone()));
        world.send_bytes(stream, b"noise");
    }
    assert_eq!(world.proxy.owner_of(stream), None);
}

#[test]
fn a_control_plane_whose_clock_is_set_is_believed_after_a_question() {
    for (ahead, by) in [(false, 3_600_000), (true, 3_600_000), (false, 5_000), (true, 5_000)] {
        let mut world = World::synced(2);
        let set = |millis: u64| if ahead { millis + by } else { millis.saturating_sub(by) };
        world.plane.unix_millis = set(world.plane.unix_millis).max(1_000);
        for _ in 0..4 * STALE_SECONDS {
            world.tick();
            let [_, worker, _] = &world.vms[..] else { panic!() };
            let age = worker.vm.worker().state_age(worker.vm.plugin());
            assert!(age < 10_000, "{age} ms old, clock ahead: {ahead}");
        }
        world.commit(revoked(1));
        assert_eq!((world.statuses(1), world.statuses(2)), (vec![403; 2], vec![200; 2]));
        // And back again.
        world.plane.unix_millis =
            if ahead { world.plane.unix_millis - by } else { world.plane.unix_millis + by };
        for _ in 0..4 * STALE_SECONDS {
            world.tick();
            let age = world.vms[1].vm.worker().state_age(world.vms[1].vm.plugin());
            assert!(age < 10_000, "{age} ms old, clock ahead: {ahead}");
        }
    }
}

#[test]
fn a_wall_clock_that_is_set_back_revives_no_expired_token() {
    let mut world = World::new(2);
    let soon = world.wall_seconds() + 20;
    world.plane.record(Wire::Token(wire::Token { expires_unix_seconds: soon, ..held_by(7, 1) }));
    world.sync();
    assert_eq!(world.statuses(7), [200; 2]);
    world.pass(20);
    assert_eq!(world.statuses(7), [401; 2]);
    world.proxy.set_back_nanos(900_000_000_000);
    assert_eq!(world.statuses(7), [401; 2], "by the control plane's clock");
    cut_off(&mut world);
    world.pass(30);
    assert_eq!(world.statuses(7), [401; 2]);
    world.replace(1);
    assert_eq!(world.statuses(7), [401; 2], "by what the cache has of it");
}

#[test]
fn a_wall_clock_that_is_behind_does_not_keep_a_token_alive() {
    let mut world = World::new(1);
    world.proxy.set_back_nanos(900_000_000_000);
    let past = world.plane.unix_millis / 1_000 - 5;
    world.plane.record(Wire::Token(wire::Token { expires_unix_seconds: past, ..held_by(7, 1) }));
    world.sync();
    assert_eq!(world.statuses(7), [401]);
}

#[test]
fn a_proxy_without_a_clock_decides_nothing() {
    let mut world = World::synced(1);
    let host = world.proxy.host();
    world.proxy.set_back_nanos(crate::host::Host::now_nanos(&host));
    assert_eq!(world.wall_seconds(), 0);
    assert_eq!(world.statuses(1), [503]);
}

#[test]
fn where_stale_is_allowed_the_last_state_decides_and_still_denies() {
    let mut world = World::synced_as(2, modes("stale"));
    world.commit(revoked(2));
    cut_off(&mut world);
    world.pass(10 * STALE_SECONDS);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200; 2], vec![403; 2]));
    assert_eq!(world.statuses(3), [401; 2]);
    let name = named(&mut world, 1, &[("authorization", &bearer(1))]);
    assert_eq!(name, Some(Some(crate::testing::agent_id(1).to_string())));
}

#[test]
fn where_unsynced_is_allowed_requests_pass_unnamed_until_there_is_a_state() {
    let mut world = World::configured(2, modes("unsynced"));
    cut_off(&mut world);
    world.pass(2);
    let forged = [("x-kya-agent-id", "agt_forged"), ("authorization", "nonsense")];
    assert_eq!(named(&mut world, 1, &forged), Some(None));
    assert_eq!(world.proxy.metric("kya.decision.passed.unsynced"), 1);
    (world.streams, world.calls) = (Link::Up, Link::Up);
    world.commit(revoked(2));
    world.pass(6);
    world.sync();
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200; 2], vec![403; 2]));
    assert_eq!(world.statuses(3), [401; 2]);

    // A state that cannot be read is no reason to allow what is known.
    world.proxy.meddle(&world.key("head"), b"another plugin was here");
    let vm = &mut world.vms[1].vm;
    vm.worker.sync(&vm.plugin, Look::Always);
    assert_eq!(world.vms[1].status_of(2), 403);
    assert_eq!(world.vms[1].status_of(3), 401);
    // Nor is a part of it.
    world.replace(1);
    world.tick();
    let chunks = world.key("c");
    for key in world.proxy.data().into_keys() {
        if key.starts_with(&chunks) && key.len() == chunks.len() + 4 {
            world.proxy.meddle(&key, b"another plugin was here");
        }
    }
    assert_eq!(world.vms[1].status_of(2), 503);
    world.pass(3);
    assert_eq!(world.statuses(2), [403; 2]);
    // Nor is a state that is stale.
    cut_off(&mut world);
    world.pass(2 * STALE_SECONDS);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![503; 2], vec![403; 2]));
}

#[test]
fn where_internal_is_allowed_requests_pass_unnamed_and_known_revocations_deny() {
    let mut world = World::synced_as(1, modes("internal"));
    world.commit(revoked(2));
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200], vec![403]));
    world.proxy.refuse("request_headers");
    let forged = [("x-kya-agent-id", "agt_forged"), ("authorization", "nonsense")];
    assert_eq!(named(&mut world, 1, &forged), Some(None));
    assert_eq!(world.proxy.metric("kya.decision.passed.internal"), 1);
    world.proxy.refuse("remove_request_header");
    assert_eq!(named(&mut world, 1, &forged), None, "a name that stays is not forwarded");
}

#[test]
fn where_unknown_tokens_are_allowed_they_name_nobody_and_known_ones_are_decided() {
    let mut world = World::synced_as(1, modes("unknown_token"));
    world.commit(revoked(2));
    let unknown = bearer(3);
    let forged = [("x-kya-agent-id", "agt_forged"), ("authorization", unknown.as_str())];
    assert_eq!(named(&mut world, 1, &forged), Some(None));
    assert_eq!(world.proxy.metric("kya.decision.passed.token_unknown"), 1);
    assert_eq!((world.statuses(1), world.statuses(2)), (vec![200], vec![403]));
    for headers in [&[][..], &[("authorization", "Bearer at_nonsense")]] {
        assert_eq!(named(&mut world, 1, headers), None, "only what could be a token");
    }
    cut_off(&mut world);
    world.pass(2 * STALE_SECONDS);
    assert_eq!(world.statuses(3), [503], "a stale state is not what says that it is unknown");
}
