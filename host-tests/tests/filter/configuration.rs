//! A configuration that is not exactly right keeps the proxy from loading the
//! plugin: the filter never runs with a part of what was meant.

use kya_host_tests::kya::{ControlPlane, Denial, Sidecar, assert_allowed};
use kya_host_tests::{StartError, VmName};
use serde_json::json;

#[track_caller]
fn assert_refused(configuration: &[u8], because: &str) {
    match Sidecar::builder(1).start(configuration) {
        Err(StartError::Rejected { vm: VmName::Canary, log }) => {
            let said = log.iter().any(|line| line.text.contains(because));
            assert!(said, "the operator is told {because:?}, not {log:#?}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken: {}", String::from_utf8_lossy(configuration)),
    }
}

fn key() -> String {
    ControlPlane::default().public_key().to_string()
}

#[test]
fn the_configuration_of_the_bootstrap_is_taken() {
    let full = json!({
        "control_plane_cluster": "kya_control_plane",
        "update_keys": [key()],
        "realm": "payments",
    });
    Sidecar::builder(1).start(full.to_string()).unwrap();
}

#[test]
fn what_is_not_json_of_the_right_shape_is_refused() {
    for (bytes, because) in [
        (&b""[..], "EOF"),
        (b"{", "EOF"),
        (b"not json", "expected"),
        (b"null", "Config"),
        (b"[]", "Config"),
        (b"{}", "control_plane_cluster"),
        (b"{\"control_plane_cluster\":\"\xff\xfe\"}", "unicode"),
        (b"\xff\xfe", "expected"),
    ] {
        assert_refused(bytes, because);
    }
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    let json = json!({
        "control_plane_cluster": "cp", "update_keys": [key()], "fail_open": true,
    });
    assert_refused(json.to_string().as_bytes(), "fail_open");
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let raw = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    for keys in [
        json!([]),
        json!([""]),
        json!(["rsa:x"]),
        json!(["ed25519:"]),
        json!([raw]),
        json!([key(), key()]),
        json!(vec![key(); 9]),
        json!(key()),
        json!(null),
    ] {
        let json = json!({"control_plane_cluster": "cp", "update_keys": keys});
        // Every one of these errors names the field, or how a key is written.
        match Sidecar::builder(1).start(json.to_string()) {
            Err(StartError::Rejected { .. }) => {}
            Err(other) => panic!("{json}: {other}"),
            Ok(_) => panic!("taken: {json}"),
        }
    }
}

#[test]
fn the_realm_is_that_of_the_challenge() {
    let (control, _) = ControlPlane::with_an_agent();
    let configuration = json!({
        "control_plane_cluster": "cp",
        "update_keys": [control.public_key().to_string()],
        "realm": "payments",
    });
    let mut sidecar = Sidecar::configured(Sidecar::builder(1), configuration.to_string()).unwrap();
    sidecar.sync(&control);
    let denial = Denial::of(&sidecar.proxy.request(0, &[]));
    assert_eq!(denial.challenge.unwrap(), r#"Bearer realm="payments""#);
}

#[test]
fn every_pinned_key_signs_and_no_other() {
    let (control, token) = ControlPlane::with_an_agent();
    let next = ControlPlane::with_seed([9; 32]);
    let configuration = json!({
        "control_plane_cluster": "cp",
        "update_keys": [next.public_key().to_string(), control.public_key().to_string()],
    });
    let mut sidecar = Sidecar::configured(Sidecar::builder(1), configuration.to_string()).unwrap();
    sidecar.sync(&control);
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.deliver(&control.impostor().delta(1));
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.unknown_key"), 1);
}

#[test]
fn the_cluster_and_the_node_are_those_of_the_proxy() {
    let (control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 1);
    let stream = sidecar.proxy.grpc_streams().remove(0);
    assert_eq!(stream.cluster, "kya_control_plane");
    assert_eq!((stream.service.as_str(), stream.method.as_str()), ("kya.v1.Enforcement", "Stream"));
    let nonce = sidecar.nonce();
    let hello = sidecar.hello();
    assert_eq!((hello.node_id.as_str(), hello.node_cluster.as_str()), ("sidecar-1", "payments"));
    assert_eq!(hello.protocol_version, 1);
    assert!(!hello.filter_version.is_empty());
    assert_eq!(nonce.len(), 32);
}

#[test]
fn a_node_name_that_the_protocol_cannot_carry_is_cut() {
    let (control, token) = ControlPlane::with_an_agent();
    let builder = Sidecar::builder(1).node(&"ü".repeat(400), "");
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    sidecar.sync(&control);
    assert_eq!(sidecar.hello().node_id, "ü".repeat(128));
    assert_eq!(sidecar.hello().node_cluster, "");
    assert_allowed(&sidecar.ask(0, &token), 1);
}
