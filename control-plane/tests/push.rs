//! The stream: what a proxy is told.

use std::time::{Duration, Instant};

use kya_control_plane::push::Limits;
use kya_core::{AgentId, Body, DenyReason, Standing, Status, UnixMillis};
use serde_json::json;

use crate::support::api::Text;
use crate::support::{ControlPlane, database, eventually};

#[tokio::test]
async fn a_stream_begins_with_a_manifest_that_carries_its_nonce() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await;
    plane.api.revoke(&agent).await;
    let mut proxy = plane.silent_proxy("sidecar").await;
    // `next` checks signature, nonce and chunks.
    let first = proxy.next().await;
    assert!(matches!(first.body(), Body::Manifest { .. }));
    assert_eq!(first.position().revision.0, 3);
    assert!(first.issued() > UnixMillis(1_700_000_000_000));
    let agents = &proxy.known().agents;
    assert_eq!(agents.len(), 1);
    let id: AgentId = agent.parse().unwrap();
    assert_eq!(agents[&id].standing, Standing::new(Status::Revoked));
    assert_eq!(proxy.known().grants.values().collect::<Vec<_>>(), [&id]);
    assert_eq!(proxy.known().tokens.len(), 1);
    assert_eq!(proxy.state.denial(&token["token"].text()), Some(DenyReason::AgentRevoked));
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
        statuses.push(proxy.known().agents.values().next().unwrap().standing.status);
    }
    use Status::{Active, Revoked, Suspended};
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
        assert_eq!(proxy.known().agents.len(), WRITERS * EACH / 5);
    }
    let fresh = plane.proxy("late").await;
    for proxy in &proxies {
        assert_eq!(proxy.known(), fresh.known());
    }
}

#[tokio::test]
async fn a_resync_is_answered_with_its_nonce_and_deltas_go_on_after_it() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    plane.api.register("one").await;
    proxy.catch_up(1).await;
    proxy.resync([9; 32]).await;
    let manifest = proxy.next().await;
    assert!(matches!(manifest.body(), Body::Manifest { nonce, .. } if nonce.0 == [9; 32]));
    assert_eq!(manifest.position().revision.0, 1);
    plane.api.register("two").await;
    assert!(matches!(proxy.next().await.body(), Body::Delta { .. }));
    assert_eq!(proxy.known().agents.len(), 2);
}

#[tokio::test]
async fn many_resyncs_are_all_answered_but_not_at_once_and_hold_up_no_delta() {
    let interval = Duration::from_millis(100);
    let limits = Limits { manifest_interval: interval, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let mut proxy = plane.proxy("sidecar").await;
    let began = Instant::now();
    for n in 0..6 {
        proxy.resync([n; 32]).await;
    }
    plane.api.register("meanwhile").await;
    let mut manifests = 0;
    let mut before_delta = None;
    while manifests < 6 || before_delta.is_none() {
        match proxy.next().await.body() {
            Body::Manifest { .. } => manifests += 1,
            _ => before_delta = Some(manifests),
        }
    }
    // The first manifest was sent before `began`, the rest one interval apart.
    assert!(began.elapsed() >= interval * 5, "{:?}", began.elapsed());
    assert!(before_delta < Some(6), "the delta waited for every manifest");
}

#[tokio::test]
async fn a_commit_that_is_not_pushed_within_seconds_makes_it_unready() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    assert_eq!(plane.api.get("/readyz").await.expect(200), "ready");
    // The publisher cannot read it, and passes over nothing.
    database::commit(plane.dir.path(), &[0xff]).await;
    eventually("it is unready", async || plane.api.get("/readyz").await.status == 503).await;
    let detail = plane.api.get("/readyz").await.problem(503, "unavailable");
    assert!(detail.starts_with("revision 2 was committed "), "{detail}");
}

#[tokio::test]
async fn a_commit_that_nobody_announced_is_pushed_too() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    database::commit(plane.dir.path(), &[]).await;
    // Nobody gets an answer before the store was asked what is new.
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
