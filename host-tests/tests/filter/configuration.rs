//! A configuration that is not exactly right keeps the proxy from loading the
//! plugin: the filter never runs with a part of what was meant.

use kya_host_tests::kya::{ControlPlane, Denial, NODE_CREDENTIAL, Sidecar, assert_allowed, forged};
use kya_host_tests::{StartError, VmName};
use serde_json::{Value, json};

#[track_caller]
fn assert_refused(configuration: &[u8], because: &str) {
    match Sidecar::builder(1).start(configuration) {
        Err(StartError::Rejected { vm: VmName::Canary, log }) => {
            let said = log.iter().any(|line| line.text.contains(because));
            assert!(said, "the operator is told {because:?}, not {log:#?}");
            let secret = &NODE_CREDENTIAL[3..20];
            assert!(log.iter().all(|line| !line.text.contains(secret)), "{log:#?}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken: {}", String::from_utf8_lossy(configuration)),
    }
}

/// The least configuration, with one field replaced.
fn with(field: &str, value: Value) -> Value {
    let mut configuration = ControlPlane::default().configuration();
    configuration[field] = value;
    configuration
}

/// The least configuration, without one field.
fn without(field: &str) -> Value {
    let mut configuration = ControlPlane::default().configuration();
    configuration.as_object_mut().unwrap().remove(field).unwrap();
    configuration
}

#[test]
fn the_configuration_of_an_operator_who_says_everything_is_taken() {
    let full = json!({
        "control_plane_cluster": "kya_control_plane",
        "pull_cluster": "kya_pull",
        "transport": "grpc",
        "authority": "kya.internal:7081",
        "update_keys": [ControlPlane::default().public_key().to_string()],
        "node_credential": NODE_CREDENTIAL,
        "node_id": "web-1",
        "realm": "payments",
        "token_sources": [{"header": "authorization", "scheme": "Bearer"}, {"header": "x-api-key"}],
        "exempt_paths": ["/healthz"],
        "fail_modes": {"unknown_token": "introspect", "stale": "deny"},
        "max_staleness": "30s",
        "pull_interval": "10s",
        "max_introspections": 16,
    });
    Sidecar::builder(1).start(full.to_string()).unwrap();
}

#[test]
fn what_is_not_json_of_the_right_shape_is_refused() {
    for (bytes, because) in [
        (&b""[..], "EOF"),
        (b"{", "EOF"),
        (b"not json", "expected"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"{}", "control_plane_cluster"),
        (b"{\"control_plane_cluster\":\"\xff\xfe\"}", "unicode"),
        (b"\xff\xfe", "expected"),
        (b"{} {}", "trailing"),
    ] {
        assert_refused(bytes, because);
    }
}

#[test]
fn what_is_missing_or_unknown_is_refused_by_name() {
    for field in ["control_plane_cluster", "pull_cluster", "update_keys", "node_credential"] {
        assert_refused(without(field).to_string().as_bytes(), field);
    }
    for (field, value) in [
        ("fail_open", json!(true)),
        ("realm", json!(null)),
        ("realm", json!("a\"b")),
        ("transport", json!("quic")),
        ("max_staleness", json!("0s")),
        ("max_staleness", json!(60)),
        ("pull_interval", json!("11m")),
        ("fail_modes", json!({"unsynced": "open"})),
        ("fail_modes", json!({"unsynced": "allow", "other": "deny"})),
        ("token_sources", json!([])),
        ("token_sources", json!([{"header": "x-kya-agent-id"}])),
        ("exempt_paths", json!(["/a/../b"])),
        ("max_introspections", json!(0)),
        ("node_credential", json!("at_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm")),
        ("node_credential_env", json!("KYA_NODE_CREDENTIAL")),
        ("pull_cluster", json!("")),
    ] {
        assert_refused(with(field, value).to_string().as_bytes(), field);
    }
    let mut stale = ControlPlane::default().pulling_configuration();
    stale["max_staleness"] = json!("15s");
    assert_refused(stale.to_string().as_bytes(), "pull_interval");
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let raw = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    let key = ControlPlane::default().public_key().to_string();
    for keys in [
        json!([]),
        json!([""]),
        json!(["rsa:x"]),
        json!(["ed25519:"]),
        json!([raw]),
        json!([key, key]),
        json!(vec![key.clone(); 9]),
        json!(key),
        json!(null),
    ] {
        assert_refused(with("update_keys", keys).to_string().as_bytes(), "update_keys");
    }
}

#[test]
fn the_realm_is_that_of_the_challenge() {
    let mut control = ControlPlane::default();
    let mut configuration = control.configuration();
    configuration["realm"] = json!("payments");
    let mut sidecar = Sidecar::configured(Sidecar::builder(1), configuration.to_string()).unwrap();
    sidecar.sync(&mut control);
    let denial = Denial::of(&sidecar.proxy.request(0, &[]));
    assert_eq!(denial.challenge.unwrap(), r#"Bearer realm="payments""#);
}

#[test]
fn every_pinned_key_signs_and_no_other() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let next = ControlPlane::with_seed([9; 32]);
    let mut configuration = control.configuration();
    configuration["update_keys"] =
        json!([next.public_key().to_string(), control.public_key().to_string()]);
    let mut sidecar = Sidecar::configured(Sidecar::builder(1), configuration.to_string()).unwrap();
    sidecar.sync(&mut control);
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.deliver(&forged(&control.heartbeat(b"")));
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.unknown_key"), 1);
}

#[test]
fn the_cluster_and_the_node_are_those_of_the_proxy() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::synced(&mut control, 1);
    let stream = sidecar.proxy.grpc_streams().remove(0);
    assert_eq!(stream.cluster, "kya_control_plane");
    assert_eq!((stream.service.as_str(), stream.method.as_str()), ("kya.v1.Enforcement", "Stream"));
    let nonce = sidecar.nonce();
    let hello = sidecar.hello();
    assert_eq!((hello.node_id.as_str(), hello.node_cluster.as_str()), ("sidecar-1", "payments"));
    assert_eq!(hello.protocol_version, 1);
    assert!(!hello.filter_version.is_empty());
    assert_eq!((nonce.len(), hello.configuration_hash.len()), (32, 32));
}

#[test]
fn a_node_name_that_the_protocol_cannot_carry_is_cut() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let builder = Sidecar::builder(1).node(&"ü".repeat(400), "");
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    sidecar.sync(&mut control);
    assert_eq!(sidecar.hello().node_id, "ü".repeat(128));
    assert_eq!(sidecar.hello().node_cluster, "");
    assert_allowed(&sidecar.ask(0, &token), 1);
}
