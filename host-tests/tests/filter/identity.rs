//! What a proxy shows of itself, how keys follow one another, and what workers
//! show when they are challenged.

use std::time::Duration;

use kya_core::testing::sealed;
use kya_core::wire::{Challenge, update::Body};
use kya_core::{NodeCredential, Signer};
use kya_host_tests::kya::{
    ControlPlane, NODE_CREDENTIAL, Sidecar, assert_allowed, assert_denied, token,
};
use kya_host_tests::{StartError, VmName};
use serde_json::{Value, json};

const WORKERS: usize = 3;

/// The key of a number; the pinned one is that of 1.
fn key(n: u8) -> Signer {
    Signer::from_seed([n; 32])
}

/// A configuration that names a variable in place of the credential.
fn from_environment(control: &ControlPlane) -> Value {
    let mut configuration = control.configuration();
    let fields = configuration.as_object_mut().unwrap();
    fields.remove("node_credential");
    fields.insert("node_credential_env".to_owned(), json!("KYA_NODE_CREDENTIAL"));
    configuration
}

#[test]
fn the_credential_of_the_environment_is_shown_on_streams_and_in_calls() {
    let mut control = ControlPlane::default();
    let secret = NodeCredential::from_random([42; 32]);
    let builder = Sidecar::builder(1).environment("KYA_NODE_CREDENTIAL", secret.reveal());
    let mut configuration = from_environment(&control);
    configuration["authority"] = json!("kya.internal:7081");
    let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
    sidecar.connect();
    let shown = format!("Bearer {}", secret.reveal());
    let stream = sidecar.proxy.grpc_streams().remove(0);
    assert_eq!(stream.metadata.get("authorization"), Some(shown.as_bytes()));
    let call = sidecar.questions().remove(0);
    assert_eq!(call.cluster, "kya_pull");
    for (name, value) in [
        ("authorization", shown.as_str()),
        (":method", "POST"),
        (":path", "/v1/enforcement/pull"),
        (":authority", "kya.internal:7081"),
        ("content-type", "application/x-protobuf"),
    ] {
        assert_eq!(call.headers.get(name), Some(value.as_bytes()), "{name}");
    }
    sidecar.serve(&mut control);
    assert_allowed(&sidecar.ask(0, &token(1)), 1);
    let secret = &secret.reveal()[3..20];
    assert!(sidecar.proxy.log().iter().all(|line| !line.text.contains(secret)));
    let data = sidecar.proxy.shared_data();
    let shared = data.keys().filter_map(|key| data.get(key)).map(|(value, _)| value.to_vec());
    let holds = |value: Vec<u8>| String::from_utf8_lossy(&value).contains(secret);
    assert!(!shared.into_iter().any(holds), "it is nowhere in shared data");
}

#[test]
fn a_credential_that_is_not_there_or_not_one_refuses_the_plugin_and_is_not_told() {
    let control = ControlPlane::default();
    let whole = NODE_CREDENTIAL;
    let altered = whole.replace("qZorm", "qZorn");
    for value in [None, Some(""), Some(&whole[..40]), Some(&altered), Some("at_x"), Some(" ")] {
        let mut builder = Sidecar::builder(1);
        if let Some(value) = value {
            builder = builder.environment("KYA_NODE_CREDENTIAL", value);
        }
        match builder.start(from_environment(&control).to_string()) {
            Err(StartError::Rejected { log, .. }) => {
                assert!(
                    log.iter().any(|line| line.text.contains("node_credential_env")),
                    "{log:?}"
                );
                assert!(log.iter().all(|line| !line.text.contains("1fJjkkpe9PiTw9")), "{log:?}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("taken: {value:?}"),
        }
    }
}

#[test]
fn keys_follow_one_another_and_a_vm_that_knows_the_pinned_one_alone_catches_up() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    let (old, next) = (key(1), key(2));
    let announced = control.rotate(key(2), &[&old, &next]);
    sidecar.deliver(&announced);
    control.suspend(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
    let retired = control.rotate(key(2), &[&next]);
    sidecar.deliver(&retired);
    // What the old key signs from now on is nobody's word.
    control.signer = old;
    control.restore(1);
    sidecar.push(&mut control);
    assert!(sidecar.proxy.metric("kya.update.rejected.unknown_key") >= 1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
    control.signer = next;
    sidecar.run(&mut control, Duration::from_secs(3));
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    // A worker that begins anew reads the chain, and so does the next leader.
    sidecar.proxy.crash(VmName::Worker(1));
    sidecar.proxy.replace(VmName::Worker(1)).unwrap();
    assert_allowed(&sidecar.ask(1, &token), 1);
    sidecar.proxy.crash(VmName::Main);
    control.revoke(1);
    sidecar.run(&mut control, Duration::from_secs(8));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn keys_that_a_foreign_key_announces_or_that_are_played_back_are_not_learnt() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let thief = key(66);
    control.signer = key(66);
    let stolen = control.rotate(key(66), &[&thief]);
    sidecar.deliver(&stolen);
    control.revoke(1);
    sidecar.push(&mut control);
    assert!(sidecar.proxy.metric("kya.update.rejected.unknown_key") >= 2);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn every_worker_echoes_the_challenge_that_it_has_read() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    for n in [7u8, 8] {
        let nonce = vec![n; 32];
        let expected = u64::from_le_bytes([n; 8]);
        sidecar.deliver(&control.sign(Body::Challenge(Challenge { nonce })));
        let echoed: Vec<_> = sidecar.reported().iter().map(|worker| worker.challenge).collect();
        assert_eq!(echoed, [expected; WORKERS], "at once, by the wake");
    }
    // A worker that hears nothing echoes nothing, and is seen to.
    sidecar.pause(VmName::Worker(1));
    let nonce = vec![9; 32];
    sidecar.deliver(&control.sign(Body::Challenge(Challenge { nonce })));
    let silent =
        sidecar.reported().iter().filter(|it| it.challenge != u64::from_le_bytes([9; 8])).count();
    assert_eq!(silent, 1);
    sidecar.resume(VmName::Worker(1));
    sidecar.proxy.run_until_idle();
    assert!(sidecar.reported().iter().all(|it| it.challenge == u64::from_le_bytes([9; 8])));
}

#[test]
fn a_challenge_that_nobody_signed_is_not_echoed() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    let genuine = control.sign(Body::Challenge(Challenge { nonce: vec![7; 32] }));
    sidecar.deliver(&kya_host_tests::kya::forged(&genuine));
    let encoded = prost::Message::encode_to_vec(&sealed(genuine));
    sidecar.deliver_bytes(&encoded[..encoded.len() - 1]);
    sidecar.run(&mut control, Duration::from_secs(2));
    assert!(sidecar.reported().iter().all(|worker| worker.challenge == 0));
}
