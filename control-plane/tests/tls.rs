//! TLS of both listeners, from outside.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kya_control_plane::config::Config;
use kya_control_plane::tls::TlsFiles;
use kya_control_plane::{RunningServer, Server};
use kya_core::{NodeCredential, PublicKey};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::certificates::{Authority, TlsClient, asking_for_clients};
use crate::support::proxy::{channel_through, hello, try_open};
use crate::support::{PATIENCE, TestProxy, eventually};

/// A server whose listeners both speak TLS with these files, which it looks at
/// all the time.
async fn start(data: &TempDir, files: TlsFiles) -> RunningServer {
    let config = Config {
        http_tls: Some(files.clone()),
        grpc_tls: Some(files),
        ..Config::ephemeral(data.path().join("data"))
    };
    let interval = Duration::from_millis(10);
    Server::new(config).with_certificate_interval(interval).run().await.unwrap()
}

/// A gRPC channel through TLS.
async fn channel(
    address: SocketAddr,
    client: &TlsClient,
) -> Result<Channel, tonic::transport::Error> {
    let client = client.clone();
    channel_through(move || {
        let client = client.clone();
        async move { client.connect(address, &["h2"]).await }
    })
    .await
}

/// Registers a node over TLS and returns its credential.
async fn credential(server: &RunningServer, data: &Path, client: &TlsClient) -> String {
    let key = std::fs::read_to_string(data.join("data/admin.key")).unwrap();
    let mut stream = client.connect(server.http_addr, &["http/1.1"]).await.unwrap();
    let body = r#"{"name":"sidecar"}"#;
    let request = format!(
        "POST /v1/nodes HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        key.trim(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    json["credential"].as_str().unwrap().to_owned()
}

async fn proxy(channel: Channel, credential: &str, key: PublicKey) -> TestProxy {
    let mut proxy = TestProxy::connect_over(channel, credential, key, hello("sidecar")).await;
    proxy.next().await;
    proxy
}

/// What a stream without a good credential gets, if it gets that far.
async fn refusal(channel: Channel) -> Status {
    let forged = format!("Bearer {}", NodeCredential::from_random([7; 32]).reveal());
    try_open(channel, &[forged.as_bytes()]).await.map(drop).unwrap_err()
}

/// All that a server says to who speaks in the clear.
async fn says(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("an end").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn both_listeners_speak_tls_and_their_own_protocol() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = start(&data, authority.issue("control-plane.test").write(data.path())).await;
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::of(&authority, None, &[version]);
        let answer = client.get(server.http_addr, "/healthz").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        let stream = client.connect(server.grpc_addr, &["http/1.1", "h2"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let wrong = client.connect(server.grpc_addr, &["http/1.1"]).await.unwrap_err();
        assert!(wrong.to_string().contains("NoApplicationProtocol"), "{wrong}");
    }
    let client = TlsClient::new(&authority);
    let credential = credential(&server, data.path(), &client).await;
    let key = server.public_key;
    let channel = channel(server.grpc_addr, &client).await.unwrap();
    assert_eq!(refusal(channel.clone()).await.code(), Code::Unauthenticated);
    let mut proxy = proxy(channel, &credential, key).await;
    server.shutdown().await;
    assert_eq!(proxy.hear().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_told_so_and_not_served() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = start(&data, authority.issue("control-plane.test").write(data.path())).await;
    let answer = says(server.http_addr, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{answer}");
    let (_, problem) = answer.split_once("\r\n\r\n").unwrap();
    let problem: serde_json::Value = serde_json::from_str(problem).unwrap();
    assert_eq!(problem["detail"], "this port speaks TLS: write https:// and not http://");
    let long = [&b"POST /v1/agents HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[b'x'; 40_000]].concat();
    assert!(says(server.http_addr, &long).await.contains("tls_required"));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(says(server.grpc_addr, preface).await, "");

    let client = TlsClient::new(&authority);
    let metrics = client.get(server.http_addr, "/metrics").await.unwrap();
    for line in [
        "kya_tls_refusals_total{listener=\"grpc\"} 1",
        "kya_tls_refusals_total{listener=\"http\"} 2",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn where_clients_must_show_a_certificate_nobody_else_gets_in() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (clients, strangers) = (Authority::new(), Authority::new());
    let files = authority.issue("control-plane.test").write(data.path());
    let server = start(&data, asking_for_clients(files, data.path(), &clients)).await;

    let good = TlsClient::with_certificate(&authority, &clients.issue("operator"));
    assert!(good.get(server.http_addr, "/healthz").await.unwrap().starts_with("HTTP/1.1 200"));
    let good = channel(server.grpc_addr, &good).await.unwrap();
    assert_eq!(refusal(good).await.code(), Code::Unauthenticated);

    let stranger = strangers.issue("operator");
    for version in [&TLS12, &TLS13] {
        for own in [None, Some(&stranger)] {
            let client = TlsClient::of(&authority, own, &[version]);
            // By TLS 1.3 the client learns of it when it reads for the first time.
            let refused = client.get(server.http_addr, "/healthz").await.unwrap_err();
            assert!(refused.to_string().contains("received fatal alert"), "{refused}");
            if let Ok(channel) = channel(server.grpc_addr, &client).await {
                let status = refusal(channel).await;
                assert_ne!(status.code(), Code::Unauthenticated, "it came to a stream: {status}");
            }
        }
    }
    let nobody = TlsClient::of(&authority, None, &[&TLS13]);
    let refused = nobody.get(server.http_addr, "/healthz").await.unwrap_err();
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
}

#[tokio::test]
async fn new_certificates_are_taken_over_while_streams_go_on_and_bad_ones_are_not() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (dir, client) = (data.path(), TlsClient::new(&authority));
    let first = authority.issue("control-plane.test");
    let files = first.write(dir);
    let server = start(&data, files.clone()).await;
    let shown = async |address| client.shown(address).await.unwrap();
    for address in [server.http_addr, server.grpc_addr] {
        assert_eq!(shown(address).await, first.der);
    }
    let credential = credential(&server, dir, &client).await;
    let channel = channel(server.grpc_addr, &client).await.unwrap();
    let mut open = proxy(channel, &credential, server.public_key).await;

    let second = authority.issue("control-plane.test");
    second.write(dir);
    for address in [server.http_addr, server.grpc_addr] {
        eventually("the second certificate", async || shown(address).await == second.der).await;
    }

    // Half of a file, none, a certificate whose key is not there yet, and no file.
    let third = authority.issue("control-plane.test");
    let refused = async |listener: &str| {
        let line = format!("kya_tls_files_refused_total{{listener=\"{listener}\"}} ");
        let metrics = client.get(server.http_addr, "/metrics").await.unwrap();
        let counted = metrics.lines().find_map(|found| found.strip_prefix(&line));
        counted.map_or(0, |counted| counted.parse::<u32>().unwrap())
    };
    for bad in [Some(&third.pem[..third.pem.len() / 2]), Some(""), Some(&third.pem), None] {
        let before = [refused("http").await, refused("grpc").await];
        match bad {
            Some(bad) => std::fs::write(&files.cert, bad).unwrap(),
            None => std::fs::remove_file(&files.key).unwrap(),
        }
        eventually("they are noticed", async || {
            refused("http").await > before[0] && refused("grpc").await > before[1]
        })
        .await;
        for address in [server.http_addr, server.grpc_addr] {
            assert_eq!(shown(address).await, second.der);
        }
    }
    third.write(dir);
    eventually("the third", async || shown(server.grpc_addr).await == third.der).await;

    server.shutdown().await;
    let end = open.hear().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "the stream was open until now: {end}");
}

#[tokio::test]
async fn a_client_authority_that_was_taken_away_no_longer_counts() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (before, after) = (Authority::new(), Authority::new());
    let files = authority.issue("control-plane.test").write(data.path());
    let files = asking_for_clients(files, data.path(), &before);
    let server = start(&data, files.clone()).await;
    let client = |of: &Authority| TlsClient::with_certificate(&authority, &of.issue("operator"));
    let (old, new) = (client(&before), client(&after));
    // The same client again: it would resume its session if it could.
    assert!(old.get(server.http_addr, "/healthz").await.is_ok());
    assert!(old.get(server.http_addr, "/healthz").await.is_ok());
    assert!(new.get(server.http_addr, "/healthz").await.is_err());
    asking_for_clients(files, data.path(), &after);
    eventually("the new one", async || new.get(server.http_addr, "/healthz").await.is_ok()).await;
    assert!(old.get(server.http_addr, "/healthz").await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_keep_the_server_from_starting() {
    let (data, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue("control-plane.test").write(data.path());
    let file = |name: &str, content: &str| {
        let path = data.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let missing = data.path().join("missing");
    let empty = file("empty", "");
    let huge = file("huge", &"x".repeat(1 << 21));
    let other = tempfile::tempdir().unwrap();
    let other_key = authority.issue("x").write(other.path()).key;
    let with = |cert: &Path, key: &Path, client_ca: Option<&Path>| TlsFiles {
        cert: cert.to_owned(),
        key: key.to_owned(),
        client_ca: client_ca.map(Path::to_owned),
    };
    let (cert, key) = (&*files.cert, &*files.key);
    for (files, complaint) in [
        (with(&missing, key, None), "missing: No such file"),
        (with(cert, &missing, None), "missing: No such file"),
        (with(&empty, key, None), "empty: there is no PEM certificate in it"),
        (with(key, key, None), "tls.key: there is no PEM certificate in it"),
        (with(cert, cert, None), "tls.crt: no PEM private key in it"),
        (with(cert, &other_key, None), "tls.key: does not fit the certificate in"),
        (with(&huge, key, None), "huge: more than 1048576 bytes"),
        (with(cert, key, Some(&empty)), "empty: there is no PEM certificate in it"),
    ] {
        let checked = files.check().unwrap_err().to_string();
        let config =
            Config { grpc_tls: Some(files), ..Config::ephemeral(data.path().join("data")) };
        let refused = Server::start(config).await.unwrap_err().to_string();
        assert!(refused.contains(complaint), "{refused}");
        assert_eq!(refused, checked);
    }
}

#[tokio::test]
async fn an_address_of_other_machines_is_not_served_in_the_clear_unasked() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority.issue("control-plane.test").write(data.path());
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let config = || Config::ephemeral(data.path().join("data"));
    for exposed in [
        Config { http_listen: everywhere, ..config() },
        Config { grpc_listen: everywhere, http_tls: Some(files.clone()), ..config() },
    ] {
        let refused = Server::start(exposed).await.unwrap_err().to_string();
        assert!(refused.contains("--allow-plaintext if something else encrypts"), "{refused}");
    }
    let server =
        Server::start(Config { http_listen: everywhere, http_tls: Some(files), ..config() });
    let server = server.await.unwrap();
    let here = SocketAddr::from(([127, 0, 0, 1], server.http_addr.port()));
    let client = TlsClient::new(&authority);
    let answer: io::Result<String> = client.get(here, "/healthz").await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
}
