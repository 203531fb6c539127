//! `https://` servers: which are believed, and what is said of the others.

use std::path::Path;

use serde_json::json;

use crate::support::tls::{Authority, Certified, server_config};
use crate::support::*;

/// A control plane behind TLS that answers `kya agent list`.
fn fake(server: Certified, clients: Option<&Authority>) -> Fake {
    let fake = Fake::start_tls(server_config(server, clients, "http/1.1"));
    fake.on("GET /v1/agents", 200, &json!({"agents": [], "next": null}));
    fake
}

fn list(url: &str, options: &[&str]) -> Ended {
    kya(url, &[&["agent", "list"], options].concat())
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

#[test]
fn a_server_is_believed_by_its_name_or_address_and_its_authority() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let fake = fake(authority.issue(&["localhost", "127.0.0.1"]), None);
    let ended = list(&fake.url, &["--ca-file", path(&ca)]);
    assert_eq!((ended.code, &*ended.out), (0, "No agents.\n"), "{ended:?}");

    let by_name = fake.url.replace("127.0.0.1", "localhost");
    let mut command = command(&by_name, &["agent", "list"]);
    fake.on("GET /v1/agents", 200, &json!({"agents": [], "next": null}));
    let ended = end(command.env("KYA_CA_FILE", &ca).spawn().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fake.seen().len(), 2);
}

#[test]
fn a_server_that_is_not_believed_is_refused_before_the_key_is_sent() {
    let (authority, namesake) = (Authority::new(), Authority::new());
    let other = Authority::named("somebody else");
    let ca = authority.ca_file();
    for (server, complaint) in [
        (namesake.issue(&["127.0.0.1"]), "was not issued by an authority that is trusted here"),
        (other.issue(&["127.0.0.1"]), "was not issued by an authority that is trusted here"),
        (authority.issue(&["kya.example"]), "its certificate is not for 127.0.0.1"),
        (authority.issue(&["127.0.0.2"]), "its certificate is not for 127.0.0.1"),
        (authority.issue_until(&["127.0.0.1"], 2020), "its certificate has expired"),
    ] {
        let fake = fake(server, None);
        let revoke = ["agent", "revoke", AGENT, "--reason", "r", "--ca-file", path(&ca)];
        let ended = kya(&fake.url, &revoke);
        assert_eq!((ended.code, &*ended.out), (3, ""), "{complaint}: {ended:?}");
        assert!(ended.err.contains(complaint), "{complaint}: {ended:?}");
        assert!(!ended.err.contains("is unknown"), "nothing was sent: {ended:?}");
        assert!(!ended.err.contains("is it running"), "it is: {ended:?}");
        assert_eq!(fake.seen(), []);
    }
    // The authorities of this machine know nothing of it either.
    let fake = fake(authority.issue(&["127.0.0.1"]), None);
    let ended = list(&fake.url, &[]);
    assert!(matches!(ended.code, 2 | 3) && ended.err.contains("--ca-file"), "{ended:?}");
    assert_eq!(fake.seen(), []);
}

#[test]
fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let authority = Authority::new();
    let (ca, client) = (authority.ca_file(), authority.issue(&["operator"]));
    let cert = authority.file("client.pem", &client.pem);
    let key = authority.file("client.key", &client.key.serialize_pem());
    let asking = || fake(authority.issue(&["127.0.0.1"]), Some(&authority));
    let both = ["--client-cert", path(&cert), "--client-key", path(&key)];

    let ended = list(&asking().url, &[&["--ca-file", path(&ca)], &both[..]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");

    let stranger = Authority::new();
    let other = stranger.issue(&["operator"]);
    let other_cert = stranger.file("client.pem", &other.pem);
    let other_key = stranger.file("client.key", &other.key.serialize_pem());
    let others = ["--client-cert", path(&other_cert), "--client-key", path(&other_key)];
    for (options, complaint) in [
        (&[][..], "give --client-cert and --client-key"),
        (&others[..], "does not accept the client certificate"),
    ] {
        let fake = asking();
        let revoke = ["agent", "revoke", AGENT, "--reason", "r", "--ca-file", path(&ca)];
        let ended = kya(&fake.url, &[&revoke, options].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{ended:?}");
        assert!(ended.err.contains(complaint), "{ended:?}");
        assert!(!ended.err.contains("is unknown"), "nobody read the request: {ended:?}");
        assert_eq!(fake.seen(), []);
    }
}

#[test]
fn a_server_that_does_not_speak_tls_is_said_not_to() {
    let plain = Fake::start();
    let server = plain.url.replace("http://", "https://");
    let authority = Authority::new();
    let ended = list(&server, &["--ca-file", path(&authority.ca_file())]);
    assert_eq!((ended.code, &*ended.out), (3, ""));
    assert!(ended.err.contains("does not speak TLS on this port"), "{ended:?}");
}

#[test]
fn a_handshake_that_never_ends_is_unreachable_and_nothing_was_sent() {
    // Connections are taken by the system, and nobody shakes hands.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let authority = Authority::new();
    let ca = authority.ca_file();
    let revoke = ["agent", "revoke", AGENT, "--reason", "r", "--ca-file", path(&ca)];
    let ended = kya(&server, &[&revoke[..], &["--timeout", "100ms"]].concat());
    assert_eq!((ended.code, &*ended.out), (3, ""));
    assert!(ended.err.contains("no answer in time"), "{ended:?}");
    assert!(!ended.err.contains("is unknown"), "{ended:?}");
}

#[test]
fn who_asks_the_grpc_port_is_told_of_the_other_one() {
    let authority = Authority::new();
    let grpc = Fake::start_tls(server_config(authority.issue(&["127.0.0.1"]), None, "h2"));
    let ended = list(&grpc.url, &["--ca-file", path(&authority.ca_file())]);
    assert_eq!((ended.code, &*ended.out), (3, ""));
    assert!(ended.err.contains("is this the gRPC port (7081)?"), "{ended:?}");
}

#[test]
fn who_speaks_in_the_clear_to_a_tls_port_is_told_of_https() {
    let authority = Authority::new();
    let fake = fake(authority.issue(&["127.0.0.1"]), None);
    let ended = list(&fake.url.replace("https://", "http://"), &[]);
    assert_eq!((ended.code, &*ended.out), (3, ""));
    assert!(ended.err.contains("write https://"), "{ended:?}");
    assert_eq!(fake.seen(), []);
}

#[test]
fn files_that_cannot_be_used_are_named_and_nothing_is_sent() {
    let authority = Authority::new();
    let client = authority.issue(&["operator"]);
    let ca = authority.ca_file();
    let cert = authority.file("client.pem", &client.pem);
    let key = authority.file("client.key", &client.key.serialize_pem());
    let other_key = authority.issue(&["operator"]).key.serialize_pem();
    let other_key = authority.file("other.key", &other_key);
    let empty = authority.file("empty.pem", "");
    let fake = fake(authority.issue(&["127.0.0.1"]), None);
    let (ca, cert, key) = (path(&ca), path(&cert), path(&key));
    for (options, complaint) in [
        (&["--ca-file", "/nonexistent.pem"][..], "/nonexistent.pem: cannot be used as PEM"),
        (&["--ca-file", path(&empty)], "empty.pem: there is no PEM certificate in it"),
        (&["--ca-file", key], "client.key: there is no PEM certificate in it"),
        (&["--ca-file", ca, "--client-cert", cert], "--client-key"),
        (&["--ca-file", ca, "--client-key", key], "--client-cert"),
        (&["--ca-file", ca, "--client-cert", cert, "--client-key", cert], "a PEM private key"),
        (
            &["--ca-file", ca, "--client-cert", cert, "--client-key", path(&other_key)],
            "client.pem: cannot be used as the client certificate and its key",
        ),
    ] {
        let ended = list(&fake.url, options);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{options:?}: {ended:?}");
        assert!(ended.err.contains(complaint), "{options:?}: {ended:?}");
    }
    let in_the_clear = list(&fake.url.replace("https", "http"), &["--ca-file", ca]);
    assert_eq!(in_the_clear.code, 2, "{in_the_clear:?}");
    assert!(in_the_clear.err.contains("nothing was sent in the clear"), "{in_the_clear:?}");
    assert_eq!(fake.seen(), []);
}
