//! The stream: what a proxy is told, and when it is not listened to.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_control_plane::push::Limits;
use kya_control_plane::store::{Cause, NewAgent, SqliteStore, Store};
use kya_control_plane::time::SystemClock;
use kya_core::wire::{self, ProxyMessage, proxy_message::Message};
use kya_core::{AgentId, Body, UnixMillis};
use serde_json::json;
use support::api::Text;
use support::proxy::{channel, hello, message, narrow_channel, open, worker};
use support::{ControlPlane, PATIENCE, TestProxy, eventually};
use tonic::{Code, Status};

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_that_carries_its_nonce() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await;
    plane.api.revoke(&agent).await;
    let mut proxy = plane.silent_proxy("sidecar").await;
    // `next` checks signature and nonce.
    let first = proxy.next().await;
    assert!(matches!(first.body(), Body::Snapshot { .. }));
    assert_eq!(first.position().revision.0, 3);
    assert!(first.issued() > UnixMillis(1_700_000_000_000));
    assert_eq!(proxy.known.agents.len(), 1);
    let agent = proxy.known.agents.values().next().unwrap();
    assert_eq!(agent.status(), wire::AgentStatus::Revoked);
    let told = proxy.known.tokens.values().next().unwrap();
    let secret = token["token"].text();
    let digest = kya_core::OpaqueToken::parse(secret.as_bytes()).unwrap().digest();
    assert_eq!(told.digest, digest.0);
}

#[tokio::test]
async fn every_change_is_one_delta_in_order() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = plane.api.register("payer").await;
    plane.api.decide(&agent, "suspend").await.expect(200);
    plane.api.decide(&agent, "restore").await.expect(200);
    plane.api.revoke(&agent).await;
    plane.api.revoke(&agent).await;
    let mut statuses = Vec::new();
    for revision in 1..=4 {
        let update = proxy.next().await;
        assert_eq!(update.position().revision.0, revision);
        statuses.push(proxy.known.agents.values().next().unwrap().status());
    }
    use wire::AgentStatus::{Active, Revoked, Suspended};
    assert_eq!(statuses, [Active, Suspended, Active, Revoked]);
    // Revoking again was no change: the next delta is another agent's.
    plane.api.register("other").await;
    assert_eq!(proxy.next().await.position().revision.0, 5);
}

#[tokio::test]
async fn a_push_is_woken_by_its_commit_and_waits_for_no_poll() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let began = Instant::now();
    for n in 1..=10 {
        plane.api.register(&format!("agent {n}")).await;
        proxy.catch_up(n).await;
    }
    // By polling alone each of them would take up to a second.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_join_while_writers_write_end_with_the_same_state() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let plane = ControlPlane::start().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let api = plane.api.clone();
            tokio::spawn(async move {
                for n in 0..EACH / 5 {
                    let agent = api.register(&format!("{writer}-{n}")).await;
                    let token = api.issue(&agent).await["token_id"].text();
                    api.decide(&agent, "suspend").await.expect(200);
                    let path = format!("/v1/tokens/{token}/revoke");
                    api.post(&path, json!({ "reason": "a test" })).await.expect(200);
                    api.revoke(&agent).await;
                }
            })
        })
        .collect();
    let mut proxies = Vec::new();
    for (n, joins_at) in [20, 60, 120].into_iter().enumerate() {
        eventually("enough changes before a stream joins", async || {
            plane.api.get("/v1/nodes").await.expect(200)["revision"].as_u64() >= Some(joins_at)
        })
        .await;
        let proxy = plane.proxy(&format!("sidecar-{n}")).await;
        assert!(proxy.position().revision.0 >= joins_at);
        proxies.push(proxy);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // Applying refuses a gap, a repetition and a wrong order.
    for proxy in &mut proxies {
        proxy.catch_up((WRITERS * EACH) as u64).await;
        assert_eq!(proxy.known.agents.len(), WRITERS * EACH / 5);
    }
    let fresh = plane.proxy("late").await;
    for proxy in &proxies {
        assert_eq!(proxy.known, fresh.known);
    }
}

#[tokio::test]
async fn a_resync_is_answered_with_its_nonce_and_deltas_go_on_after_it() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    plane.api.register("one").await;
    proxy.catch_up(1).await;
    proxy.resync([9; 32]).await;
    let snapshot = proxy.next().await;
    assert!(matches!(snapshot.body(), Body::Snapshot { nonce, .. } if nonce.0 == [9; 32]));
    assert_eq!(snapshot.position().revision.0, 1);
    plane.api.register("two").await;
    assert!(matches!(proxy.next().await.body(), Body::Delta { .. }));
    assert_eq!(proxy.known.agents.len(), 2);
}

#[tokio::test]
async fn many_resyncs_are_all_answered_but_not_at_once_and_hold_up_no_delta() {
    let interval = Duration::from_millis(100);
    let limits = Limits { snapshot_interval: interval, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let mut proxy = plane.proxy("sidecar").await;
    let began = Instant::now();
    for n in 0..6 {
        proxy.resync([n; 32]).await;
    }
    plane.api.register("meanwhile").await;
    let mut snapshots = 0;
    let mut before_delta = None;
    while snapshots < 6 || before_delta.is_none() {
        match proxy.next().await.body() {
            Body::Snapshot { .. } => snapshots += 1,
            Body::Delta { .. } => before_delta = Some(snapshots),
        }
    }
    // The first snapshot was sent before `began`, the rest one interval apart.
    assert!(began.elapsed() >= interval * 5, "{:?}", began.elapsed());
    assert!(before_delta < Some(6), "the delta waited for every snapshot");
}

/// Says `first` as the first message and returns how the stream ends.
async fn refusal(plane: &ControlPlane, first: Option<ProxyMessage>) -> Status {
    let (say, mut hear) = open(channel(plane.server.grpc_addr).await).await;
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
        (resync, "the first message of a stream must be Hello"),
        (ProxyMessage { message: None }, "the first message of a stream must be Hello"),
    ] {
        let status = refusal(&plane, Some(first)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(complaint), "{status} for {complaint}");
    }
    assert!(plane.api.nodes().await.is_empty());
    let longest = with(|hello| hello.node_id = "n".repeat(256));
    let (say, mut hear) = open(channel(plane.server.grpc_addr).await).await;
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
async fn a_bad_message_ends_the_stream_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let many = |count: u32| wire::WorkerReport {
        workers: (0..count).map(|slot| worker(slot, 1, 0)).collect(),
        complete: true,
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
    let mut proxy = plane.proxy("sidecar").await;
    proxy.say_workers(vec![worker(3, proxy.position().epoch, 77)], true).await;
    let status = proxy.hear().await.unwrap_err();
    assert!(
        status.message().contains("slot 3 reports revision 77, but the newest is 0"),
        "{status}"
    );
    eventually("no node left", async || plane.api.nodes().await.is_empty()).await;
}

/// A proxy that asks for so much that, without reading, it fills every buffer
/// between the two sides.
async fn stalled_proxy(plane: &ControlPlane) -> TestProxy {
    for n in 0..50 {
        plane.api.register(&format!("agent {n}")).await;
    }
    let narrow = narrow_channel(plane.server.grpc_addr).await;
    let proxy = TestProxy::connect_over(narrow, plane.server.public_key, "stalled").await;
    let say = proxy.say.clone();
    tokio::spawn(async move {
        let resync = || message(Message::Resync(wire::Resync { nonce: vec![2; 32] }));
        while say.send(resync()).await.is_ok() {}
    });
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
        snapshot_interval: Duration::ZERO,
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
    other.catch_up(51).await;
}

#[tokio::test]
async fn a_stream_that_fell_behind_the_ring_is_closed_and_begins_again() {
    let limits = Limits {
        ring: 4,
        outbound: 1,
        snapshot_interval: Duration::ZERO,
        send_timeout: PATIENCE,
        ..Limits::default()
    };
    let plane = ControlPlane::start_with(limits).await;
    let mut stalled = stalled_proxy(&plane).await;
    let mut sent = String::new();
    eventually("nothing more can be sent", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let metrics = plane.api.get("/metrics").await.expect(200).text();
        let line = metrics.lines().find(|line| line.starts_with("kya_snapshots_sent_total"));
        let before = std::mem::replace(&mut sent, line.unwrap().to_owned());
        before == sent && !sent.ends_with(" 0")
    })
    .await;
    for n in 0..6 {
        plane.api.register(&format!("missed {n}")).await;
    }
    let status = last_words(&mut stalled).await;
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(status.message().contains("revisions behind, more than are kept"), "{status}");
    assert_eq!(plane.proxy("stalled").await.position().revision.0, 56);
}

#[tokio::test]
async fn a_commit_that_nobody_announced_is_pushed_too() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let path = plane.dir.path().join("kya.db");
    let elsewhere = SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap();
    let id = AgentId::from_bytes([7; 16]);
    let new = NewAgent { id, name: "from another process".to_owned(), public_key: None };
    elsewhere.register_agent(new, Cause::default()).await.unwrap();
    // Its snapshot is ahead of the publisher, and so is what its worker reports.
    let early = plane.proxy("early").await;
    assert_eq!(early.position().revision.0, 1);
    early.report(&[0], true).await;
    assert_eq!(proxy.next().await.position().revision.0, 1);
    eventually("the report is taken", async || {
        let nodes = plane.api.nodes().await;
        nodes.iter().any(|node| node["workers"][0]["revision"] == 1)
    })
    .await;
    plane.api.register("next").await;
    assert_eq!(proxy.next().await.position().revision.0, 2);
}

#[tokio::test]
async fn two_streams_of_one_node_are_both_listed_and_both_fed() {
    let plane = ControlPlane::start().await;
    let mut one = plane.proxy("sidecar").await;
    let mut two = plane.proxy("sidecar").await;
    let nodes = plane.api.nodes().await;
    assert_eq!(nodes.len(), 2);
    assert_ne!(nodes[0]["peer"], nodes[1]["peer"]);
    plane.api.register("payer").await;
    for proxy in [&mut one, &mut two] {
        assert_eq!(proxy.next().await.position().revision.0, 1);
    }
    drop(one);
    eventually("one node left", async || plane.api.nodes().await.len() == 1).await;
}

#[tokio::test]
async fn a_restart_keeps_the_key_and_the_state_and_tells_open_streams() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    plane.api.issue(&agent).await;
    plane.api.revoke(&agent).await;
    let mut before: TestProxy = plane.proxy("sidecar").await;
    let (key, admin) = (plane.server.public_key, plane.api.key.clone());
    let plane = plane.restart().await;
    assert_eq!(before.hear().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!((plane.server.public_key, &plane.api.key), (key, &admin));
    let mut after = plane.proxy("sidecar").await;
    assert_eq!(after.known, before.known);
    assert_eq!(after.position(), before.position());
    plane.api.register("next").await;
    assert_eq!(after.next().await.position().revision.0, 4);
}
