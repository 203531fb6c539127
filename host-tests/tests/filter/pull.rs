//! Pulls: beside a stream, and in nginx alone, where there are neither streams nor
//! queues, and two keys of shared data can be one.

use std::time::Duration;

use kya_core::testing::token;
use kya_core::wire::{PullRequest, PullResponse};
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied, forged};
use kya_host_tests::{FailurePolicy, Outcome, Profile, ProxyBuilder, VmName};
use prost::Message;

const WORKERS: usize = 3;
/// The pull interval where nothing else renews the state.
const INTERVAL: Duration = Duration::from_secs(15);

fn nginx() -> ProxyBuilder {
    Sidecar::builder(WORKERS).profile(Profile::Nginx)
}

/// A proxy that pulls alone, and has what the control plane has.
fn pulling(control: &mut ControlPlane, builder: ProxyBuilder) -> Sidecar {
    let configuration = control.pulling_configuration().to_string();
    let mut sidecar = Sidecar::configured(builder, configuration).unwrap();
    let newest = control.revision();
    sidecar.run_until(control, |sidecar| sidecar.proxy.metric("kya.revision") == newest);
    sidecar
}

fn revision(sidecar: &Sidecar) -> u64 {
    sidecar.proxy.metric("kya.revision")
}

#[test]
fn by_pulls_alone_all_is_enforced_in_either_proxy() {
    for builder in [nginx(), Sidecar::builder(WORKERS)] {
        let (mut control, first) = ControlPlane::with_an_agent();
        let mut sidecar = pulling(&mut control, builder);
        for outcome in sidecar.ask_all(&first) {
            assert_allowed(&outcome, 1);
        }
        // More changes than the ring of deltas holds, many of them in each pull.
        for _ in 0..8 {
            for _ in 0..20 {
                control.suspend(1);
                control.restore(1);
            }
            sidecar.run(&mut control, INTERVAL);
        }
        control.revoke(1);
        let late = control.issue_token(2);
        sidecar.run(&mut control, INTERVAL + Duration::from_millis(500));
        assert_eq!(revision(&sidecar), control.revision());
        for outcome in sidecar.ask_all(&first) {
            assert_denied(&outcome, 403, "agent_revoked");
        }
        for outcome in sidecar.ask_all(&late) {
            assert_allowed(&outcome, 2);
        }
        assert!(sidecar.proxy.grpc_streams().is_empty());
        sidecar.run(&mut control, INTERVAL);
        let reported = sidecar.pulled_report();
        let newest = control.revision();
        assert!(reported.iter().all(|worker| worker.revision == newest), "{reported:#?}");
        // One leads in nginx without serving; in these tests all three have served.
        assert_eq!(reported.len(), WORKERS);
    }
}

#[test]
fn a_worker_of_nginx_that_traps_is_back_with_the_next_request() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = pulling(&mut control, nginx());
    control.revoke(1);
    // A pull goes out at the tick after its interval.
    sidecar.run(&mut control, INTERVAL + Duration::from_millis(500));
    for worker in 0..WORKERS {
        sidecar.proxy.crash(VmName::Worker(worker));
        assert_denied(&sidecar.ask(worker, &token), 403, "agent_revoked");
    }
    // Whichever of them led, another leads now.
    let late = control.issue_token(2);
    sidecar.run(&mut control, 2 * INTERVAL);
    for outcome in sidecar.ask_all(&late) {
        assert_allowed(&outcome, 2);
    }
}

#[test]
fn without_an_answer_the_state_grows_stale_and_denies() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = pulling(&mut control, nginx());
    sidecar.serves_calls = false;
    sidecar.run(&mut control, Duration::from_secs(50));
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    sidecar.run(&mut control, Duration::from_secs(11));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "stale");
    }
    sidecar.serves_calls = true;
    sidecar.run(&mut control, INTERVAL);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn a_pull_that_proves_nothing_changes_nothing() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = pulling(&mut control, nginx());
    sidecar.serves_calls = false;
    control.suspend(1);
    let (mut unsigned, mut replayed) = (0, None);
    for round in 0..6 {
        sidecar.run_until(&mut control, |sidecar| !sidecar.questions().is_empty());
        let call = sidecar.questions().remove(0);
        let request = PullRequest::decode(&*call.body).unwrap();
        let genuine = PullResponse::decode(&*control.respond("/v1/enforcement/pull", &call.body));
        let mut response = genuine.unwrap();
        match round {
            0 => {
                for message in &mut response.messages {
                    use kya_core::wire::control_message::Message::Signed;
                    if let Some(Signed(signed)) = &mut message.message {
                        *signed = forged(signed);
                        unsigned += 1;
                    }
                }
            }
            1 => response.messages.clear(),
            2 => {
                // Kept, and played back under the next question.
                replayed = Some(response);
                sidecar.proxy.fail_call(call.key);
                continue;
            }
            3 => response = replayed.take().unwrap(),
            4 => {
                sidecar.proxy.answer_call(call.key, 200, &[], &[0xff; 1000]);
                continue;
            }
            _ => {
                sidecar.proxy.answer_call(call.key, 500, &[], &response.encode_to_vec());
                continue;
            }
        }
        assert!(!request.hello.unwrap().nonce.is_empty());
        sidecar.proxy.answer_call(call.key, 200, &[], &response.encode_to_vec());
    }
    assert!(unsigned >= 2);
    assert_eq!(revision(&sidecar), control.revision() - 1, "nothing was taken");
    sidecar.serves_calls = true;
    sidecar.run(&mut control, INTERVAL);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
}

#[test]
fn beside_a_stream_that_is_silent_pulls_keep_the_state_fresh() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.serves_streams = false;
    control.revoke(1);
    sidecar.run(&mut control, Duration::from_secs(25));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.run(&mut control, Duration::from_secs(300));
    for outcome in sidecar.ask_all(&kya_core::testing::token(2)) {
        assert_allowed(&outcome, 2);
    }
}

#[test]
fn beside_a_stream_pulls_go_on_at_their_own_interval_and_repeat_nothing() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.run(&mut control, Duration::from_secs(5));
    let before = sidecar.proxy.metric("kya.pull.answered");
    for _ in 0..30 {
        control.suspend(1);
        sidecar.run(&mut control, Duration::from_secs(20));
    }
    let pulls = sidecar.proxy.metric("kya.pull.answered") - before;
    assert!((9..=11).contains(&pulls), "{pulls} pulls in ten minutes");
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.not_newer"), 0);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.gap"), 0);
}

#[test]
fn in_nginx_whatever_shares_a_key_never_allows_what_was_denied() {
    let (mut control, revoked) = ControlPlane::with_an_agent();
    let before = pulling(&mut control, nginx()).proxy.shared_data();
    let mut sidecar = pulling(&mut control, nginx());
    control.revoke(1);
    // A pull goes out at the tick after its interval.
    sidecar.run(&mut control, INTERVAL + Duration::from_millis(500));
    assert_denied(&sidecar.ask(0, &revoked), 403, "agent_revoked");
    let data = sidecar.proxy.shared_data();
    let keys: Vec<_> = data.keys().filter(|key| !is_idle_slot(key)).map(<[u8]>::to_vec).collect();
    assert!(keys.len() > 10, "{}", keys.len());
    for key in &keys {
        let other = colliding(key);
        assert_ne!(&other, key);
        // Garbage, what is under our other keys, and what was here before.
        let genuine = keys.iter().filter_map(|key| Some(data.get(key)?.0.to_vec()));
        let earlier = keys.iter().filter_map(|key| Some(before.get(key)?.0.to_vec()));
        let values = [b"".to_vec(), b"another plugin".to_vec()].into_iter();
        for value in values.chain(genuine).chain(earlier) {
            sidecar.proxy.overwrite_shared_data(&other, &value);
            assert_eq!(sidecar.proxy.shared_data().get(key).unwrap().0, value);
            denied_on_all(&mut sidecar, &revoked, key);
        }
        // A VM that knows nothing but what is there.
        sidecar.proxy.crash(VmName::Worker(0));
        denied_on_all(&mut sidecar, &revoked, key);
        sidecar.run(&mut control, Duration::from_secs(1));
        denied_on_all(&mut sidecar, &revoked, key);
    }
    sidecar.run(&mut control, 2 * INTERVAL);
    for outcome in sidecar.ask_all(&token(2)) {
        assert_allowed(&outcome, 2);
    }
    denied_on_all(&mut sidecar, &revoked, b"at the end");
}

#[track_caller]
fn denied_on_all(sidecar: &mut Sidecar, token: &kya_core::OpaqueToken, key: &[u8]) {
    for outcome in sidecar.ask_all(token) {
        let denied = matches!(outcome, Outcome::LocalResponse(_));
        assert!(denied, "{}: {outcome:?}", String::from_utf8_lossy(key));
    }
}

/// Nobody holds the slot, so nothing is to be learnt from it.
fn is_idle_slot(key: &[u8]) -> bool {
    let text = String::from_utf8_lossy(key);
    text.rsplit_once("/worker/").is_some_and(|(_, slot)| slot.parse::<usize>().unwrap() > WORKERS)
}

/// Another key with the same CRC-32: four bytes at its end can make any.
fn colliding(key: &[u8]) -> Vec<u8> {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| (0..8).fold(byte, |it, _| (it >> 1) ^ (0xedb8_8320 * (it & 1))))
        .collect();
    let forward = |crc: u32, byte: u8| (crc >> 8) ^ table[usize::from((crc as u8) ^ byte)];
    let target = key.iter().fold(u32::MAX, |crc, byte| forward(crc, *byte));
    let mut other = b"of another plugin/".to_vec();
    let start = other.iter().fold(u32::MAX, |crc, byte| forward(crc, *byte));
    // Backwards from the end: which entry of the table made the highest byte.
    let mut entries = [0; 4];
    let mut crc = target;
    for entry in entries.iter_mut().rev() {
        *entry = table.iter().position(|it| it >> 24 == crc >> 24).unwrap();
        crc = (crc ^ table[*entry]) << 8;
    }
    let mut crc = start;
    for entry in entries {
        let byte = (crc as u8) ^ u8::try_from(entry).unwrap();
        other.push(byte);
        crc = forward(crc, byte);
    }
    assert_eq!(crc, target);
    other
}

#[test]
fn a_failure_policy_of_envoy_is_not_asked_for_in_nginx() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = pulling(&mut control, nginx().failure_policy(FailurePolicy::FailClosed));
    sidecar.proxy.crash(VmName::Worker(2));
    assert_allowed(&sidecar.ask(2, &token), 1);
}
