//! How old the state is, and what that does to decisions.

use std::collections::VecDeque;
use std::time::Duration;

use kya_core::testing::sealed;
use kya_core::wire::proxy_message::Message;
use kya_host_tests::VmName;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};
use prost::Message as _;
use serde_json::json;

const WORKERS: usize = 2;

/// A sidecar whose state is stale after ten seconds, and that hears streams alone.
fn impatient(control: &mut ControlPlane, stale: &str) -> Sidecar {
    let mut configuration = control.configuration();
    configuration["max_staleness"] = json!("10s");
    configuration["fail_modes"] = json!({"stale": stale});
    let builder = Sidecar::builder(WORKERS);
    let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
    sidecar.serves_calls = false;
    sidecar.sync(control);
    sidecar
}

#[test]
fn a_control_plane_that_is_cut_off_ends_in_denials_and_its_return_in_decisions() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    sidecar.run(&mut control, Duration::from_secs(60));
    sidecar.serves_streams = false;
    sidecar.run(&mut control, Duration::from_millis(8_500));
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    sidecar.run(&mut control, Duration::from_secs(2));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "stale");
    }
    assert!(sidecar.proxy.metric("kya.state_age_millis") >= 10_000);
    sidecar.serves_streams = true;
    sidecar.run(&mut control, Duration::from_secs(5));
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    assert!(sidecar.proxy.metric("kya.state_age_millis") < 2_000);
}

#[test]
fn what_is_revoked_stays_so_in_a_state_that_is_stale() {
    for mode in ["deny", "allow"] {
        let (mut control, revoked) = ControlPlane::with_an_agent();
        let other = control.issue_token(2);
        control.revoke(1);
        let mut sidecar = impatient(&mut control, mode);
        sidecar.serves_streams = false;
        sidecar.run(&mut control, Duration::from_secs(60));
        for outcome in sidecar.ask_all(&revoked) {
            assert_denied(&outcome, 403, "agent_revoked");
        }
        for outcome in sidecar.ask_all(&other) {
            match mode {
                "allow" => assert_allowed(&outcome, 2),
                _ => assert_denied(&outcome, 503, "stale"),
            }
        }
    }
}

/// Somebody in between holds the feed up by ever more, and keeps everything in
/// order: nothing on the stream itself is wrong.
#[test]
fn a_feed_that_is_played_back_slowly_is_as_old_as_it_is_and_is_given_up() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    sidecar.run(&mut control, Duration::from_secs(3));
    sidecar.serves_streams = false;
    let (mut held_up, mut delivered, mut newest) = (VecDeque::new(), 0, control.unix_millis);
    for half in 0..120 {
        sidecar.run(&mut control, Duration::from_millis(500));
        if !sidecar.connected() {
            break;
        }
        // Questions are answered as late as everything else.
        for message in sidecar.take_said() {
            if matches!(message, Message::Probe(_)) {
                held_up.extend(
                    control.answer(&message).into_iter().map(|it| (control.unix_millis, it)),
                );
            }
        }
        held_up.push_back((control.unix_millis, sealed(control.heartbeat(b""))));
        if half % 2 == 0
            && let Some((signed, late)) = held_up.pop_front()
        {
            sidecar.deliver_bytes(&late.encode_to_vec());
            (delivered, newest) = (delivered + 1, signed);
        }
        // Workers look at their ticks.
        let old = control.unix_millis - newest > 10_250;
        assert!(!old || sidecar.ask(0, &token).forwarded().is_none());
    }
    assert!(delivered > 5, "{delivered}");
    assert!(!sidecar.connected(), "an answer that is late is no answer");
    let left = 10_500u64.saturating_sub(control.unix_millis - newest);
    sidecar.run(&mut control, Duration::from_millis(left));
    assert_denied(&sidecar.ask(0, &token), 503, "stale");
}

#[test]
fn heartbeats_of_a_clock_that_stands_still_do_not_keep_the_state_fresh() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    sidecar.run(&mut control, Duration::from_secs(3));
    sidecar.serves_streams = false;
    let recorded = control.heartbeat(b"");
    sidecar.take_said();
    let mut probes = 0;
    for second in 1..=4 {
        sidecar.run(&mut control, Duration::from_secs(1));
        sidecar.deliver(&recorded);
        let said = sidecar.take_said();
        probes += said.iter().filter(|it| matches!(it, Message::Probe(_))).count();
        assert!(probes <= second, "one question is open at a time");
    }
    assert!(probes > 0, "it asks how the clocks stand");
    sidecar.run(&mut control, Duration::from_secs(7));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "stale");
    }
}

#[test]
fn a_probe_that_is_answered_in_the_same_millisecond_is_not_asked_again() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    for _ in 0..40 {
        sidecar.run(&mut control, Duration::from_secs(1));
        // Twice the same: the second is no news, and makes it ask.
        sidecar.beat(&mut control);
        sidecar.beat(&mut control);
        let mut answered = 0;
        loop {
            let said = sidecar.take_said();
            let probes: Vec<_> = said.iter().filter(|it| matches!(it, Message::Probe(_))).collect();
            let Some(probe) = probes.first() else { break };
            answered += 1;
            assert_eq!((answered, probes.len()), (1, 1), "no end of questions");
            for answer in control.answer(probe) {
                sidecar.deliver_bytes(&answer.encode_to_vec());
            }
        }
    }
    assert_allowed(&sidecar.ask(0, &token), 1);
}

#[test]
fn a_worker_that_has_just_begun_knows_how_old_the_state_is() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    sidecar.run(&mut control, Duration::from_secs(20));
    let worker = VmName::Worker(0);
    sidecar.proxy.crash(worker);
    sidecar.proxy.replace(worker).unwrap();
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.serves_streams = false;
    sidecar.run(&mut control, Duration::from_secs(11));
    sidecar.proxy.crash(worker);
    sidecar.proxy.replace(worker).unwrap();
    assert_denied(&sidecar.ask(0, &token), 503, "stale");
}

#[test]
fn no_clock_of_the_proxy_revives_a_token_or_freshens_a_state() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    let expires = control.unix_millis / 1_000 + 5;
    let short = control.issue_token_until(1, expires);
    sidecar.run(&mut control, Duration::from_secs(6));
    assert_denied(&sidecar.ask(0, &short), 401, "token_expired");
    // An hour back: the control plane has shown that it is later than that.
    let nanos = sidecar.proxy.now();
    sidecar.proxy.set_wall_clock(nanos - 500_000_000_000);
    for outcome in sidecar.ask_all(&short) {
        assert_denied(&outcome, 401, "token_expired");
    }
    sidecar.serves_streams = false;
    sidecar.run(&mut control, Duration::from_secs(11));
    let good = kya_core::testing::token(2);
    assert_denied(&sidecar.ask(0, &good), 503, "stale");
    sidecar.proxy.set_wall_clock(nanos);
    assert_denied(&sidecar.ask(0, &good), 503, "stale");
}

#[test]
fn workers_report_the_age_and_the_leader_the_skew_of_the_clocks() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = impatient(&mut control, "deny");
    sidecar.await_reports(&mut control, WORKERS);
    sidecar.run(&mut control, Duration::from_secs(10));
    for worker in sidecar.reported() {
        assert!(worker.state_age_millis <= 2_000, "{worker:?}");
    }
    let nanos = sidecar.proxy.now();
    sidecar.proxy.set_wall_clock(nanos + 7_000_000_000);
    sidecar.run(&mut control, Duration::from_secs(35));
    let ahead = sidecar.proxy.metric("kya.clock.ahead_millis");
    assert!((6_900..=7_100).contains(&ahead), "{ahead}");
}
