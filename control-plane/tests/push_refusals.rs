//! The stream: when a proxy is not listened to, and when it is cut off.

use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_core::wire::{self, ProxyMessage, proxy_message::Message};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::api::Text;
use crate::support::proxy::{channel, hello, message, open, tight_channel, worker};
use crate::support::{ControlPlane, PATIENCE, TestProxy, eventually};

/// Says `first` as the first message and returns how the stream ends.
async fn refusal(plane: &ControlPlane, first: Option<ProxyMessage>) -> Status {
    let (say, mut hear) = open(channel(plane.server.grpc_addr).await, &plane.credential).await;
    if let Some(first) = first {
        say.send(first).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, hear.message()).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_bad_hello_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let with = |change: fn(&mut wire::Hello)| {
        let mut hello = hello("sidecar");
        change(&mut hello);
        message(Message::Hello(hello))
    };
    let resync = message(Message::Resync(wire::Resync { nonce: vec![0; 32] }));
    for (first, complaint) in [
        (
            with(|hello| hello.protocol_version = 2),
            "version 1 of the protocol, the proxy version 2",
        ),
        (with(|hello| hello.protocol_version = 0), "the proxy version 0"),
        (with(|hello| hello.nonce.truncate(31)), "a nonce has 32 bytes, this has 31"),
        (with(|hello| hello.nonce.clear()), "a nonce has 32 bytes, this has 0"),
        (with(|hello| hello.nonce.push(0)), "a nonce has 32 bytes, this has 33"),
        (with(|hello| hello.node_id.clear()), "node_id is empty"),
        (with(|hello| hello.node_id = "é".repeat(129)), "node_id has 258 bytes, more than 256"),
        (with(|hello| hello.node_id = "a\nb".into()), "node_id contains control characters"),
        (with(|hello| hello.node_cluster = "c".repeat(257)), "node_cluster has 257 bytes"),
        (with(|hello| hello.configuration_hash = vec![0; 31]), "configuration_hash has 31 bytes"),
        (resync, "the first message of a stream must be Hello"),
        (ProxyMessage { message: None }, "the first message of a stream must be Hello"),
    ] {
        let status = refusal(&plane, Some(first)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(complaint), "{status} for {complaint}");
    }
    assert!(plane.api.nodes().await.is_empty());
    let longest = with(|hello| hello.node_id = "n".repeat(256));
    let (say, mut hear) = open(channel(plane.server.grpc_addr).await, &plane.credential).await;
    say.send(longest).await.unwrap();
    assert!(hear.message().await.unwrap().is_some());
}

#[tokio::test]
async fn silence_instead_of_a_hello_is_not_waited_for() {
    let limits = Limits { hello_timeout: Duration::from_millis(50), ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let status = refusal(&plane, None).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("no Hello within 50ms"), "{status}");
}

#[tokio::test]
async fn a_connection_without_a_stream_is_cut_and_one_with_a_stream_is_not() {
    let idle_timeout = Duration::from_millis(300);
    let limits = Limits { idle_timeout, connections: 3, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let address = plane.server.grpc_addr;
    let mut proxy = plane.proxy("sidecar").await;
    // One says nothing, the other only that it speaks HTTP/2.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut polite = TcpStream::connect(address).await.unwrap();
    polite.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    for stream in [&mut silent, &mut polite] {
        let end = async { while !matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the connection is cut");
    }
    // Their places are free, and the proxy has kept its own.
    drop(plane.proxy("another").await);
    plane.api.register("payer").await;
    proxy.catch_up(1).await;
}

#[tokio::test]
async fn a_bad_message_ends_the_stream_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let many = |count: u32| wire::WorkerReport {
        workers: (0..count).map(|slot| worker(slot, 1, 0)).collect(),
        complete: true,
        clock_ahead_millis: 0,
    };
    let huge = wire::Hello { node_id: "x".repeat(70_000), ..hello("sidecar") };
    for (bad, code, complaint) in [
        (Message::Workers(many(129)), Code::InvalidArgument, "at most 128 workers"),
        (Message::Hello(hello("again")), Code::InvalidArgument, "Hello is the first message"),
        (
            Message::Resync(wire::Resync { nonce: vec![] }),
            Code::InvalidArgument,
            "a nonce has 32 bytes",
        ),
        (Message::Hello(huge), Code::OutOfRange, "65536 bytes"),
    ] {
        let mut proxy = plane.proxy("sidecar").await;
        proxy.say.send(message(bad)).await.unwrap();
        let status = proxy.hear().await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(complaint), "{status}");
    }
    eventually("no node left", async || plane.api.nodes().await.is_empty()).await;
}

#[tokio::test]
async fn a_worker_that_reports_what_was_never_sent_is_ignored_and_its_stream_goes_on() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let epoch = proxy.position().epoch;
    proxy.say_workers(vec![worker(0, epoch, 0), worker(3, epoch, 77)], true).await;
    plane.api.register("payer").await;
    proxy.catch_up(1).await;
    proxy.say_workers(vec![worker(0, epoch, 1), worker(3, epoch + 1, 0)], true).await;
    let acknowledgements = "/v1/revisions/1/acknowledgements";
    eventually("the good one has acknowledged", async || {
        plane.api.get(acknowledgements).await.expect(200)["workers_acknowledged"] == 1
    })
    .await;
    let found = plane.api.get(acknowledgements).await.expect(200);
    assert_eq!((&found["complete"], &found["pending"][0]["slot"]), (&json!(false), &json!(3)));
    let shown = plane.api.nodes().await.remove(0)["workers"][1].clone();
    assert_eq!((&shown["applied_at"], &shown["revision"]), (&json!(null), &json!(0)));
    let metrics = plane.api.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("kya_impossible_reports_total 2"), "{metrics}");
    proxy.say_workers(vec![worker(3, epoch, 1)], false).await;
    let found = plane.api.get(&format!("{acknowledgements}?wait_ms=10000")).await.expect(200);
    assert_eq!(found["complete"], true);
}

/// A proxy that does not read: its first manifest is on its way and stays there,
/// so that what comes next waits. With `outbound: 1` only one message has room.
async fn stalled_proxy(plane: &ControlPlane) -> TestProxy {
    let tight = tight_channel(plane.server.grpc_addr).await;
    let key = plane.server.public_key;
    let proxy = TestProxy::connect_over(tight, &plane.credential, key, hello("stalled")).await;
    eventually("it is sent", async || plane.metric("kya_manifests_sent_total").await == 1).await;
    proxy
}

/// Reads to the end of a stream and returns its status.
async fn last_words(proxy: &mut TestProxy) -> Status {
    loop {
        match proxy.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if all was well"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_read_is_cut_off() {
    let limits = Limits {
        heartbeat_interval: Duration::from_millis(100),
        send_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let plane = ControlPlane::start_with(limits).await;
    let mut stalled = stalled_proxy(&plane).await;
    let mut other = plane.proxy("other").await;
    eventually("only the other proxy is left", async || {
        let nodes = plane.api.nodes().await;
        nodes.len() == 1 && nodes[0]["node_id"] == "other"
    })
    .await;
    last_words(&mut stalled).await;
    plane.api.register("next").await;
    other.catch_up(1).await;
}

#[tokio::test]
async fn a_stream_that_fell_behind_the_ring_is_closed_and_begins_again() {
    let limits = Limits { ring: 4, outbound: 1, send_timeout: PATIENCE, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let mut stalled = stalled_proxy(&plane).await;
    // The first few may be taken from the ring before the stream stands still.
    for n in 0..12 {
        plane.api.register(&format!("missed {n}")).await;
    }
    let status = last_words(&mut stalled).await;
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(status.message().contains("revisions behind, more than are kept"), "{status}");
    assert_eq!(plane.proxy("stalled").await.position().revision.0, 12);
}
