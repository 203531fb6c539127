//! The stream: going on from what a proxy has.

use kya_control_plane::push::Limits;
use kya_core::{Body, Nonce, Position, Revision, wire};

use crate::support::proxy::{channel, hello};
use crate::support::{ControlPlane, TestProxy};

/// The first answer to a proxy that says that it has this.
async fn answer(plane: &ControlPlane, have: Position) -> kya_core::VerifiedUpdate {
    let hello = wire::Hello { have: Some(have.into()), ..hello("sidecar") };
    let channel = channel(plane.server.grpc_addr).await;
    let mut proxy =
        TestProxy::connect_over(channel, &plane.credential, plane.server.public_key, hello).await;
    proxy.hear_verified().await.expect("a signed answer")
}

#[tokio::test]
async fn a_proxy_that_missed_little_gets_that_and_no_manifest() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].as_str().unwrap().to_owned();
    proxy.catch_up(2).await;
    let have = proxy.position();
    assert_eq!(proxy.state.denial(&token), None);
    plane.api.decide(&agent, "suspend").await.expect(200);
    plane.api.revoke(&agent).await;

    let channel = channel(plane.server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    let first = proxy.next().await;
    let newest = Position { revision: Revision(4), ..have };
    assert_eq!(first.position(), newest, "what it lacks follows, and is known to be missing");
    assert_eq!(*first.body(), Body::Heartbeat { nonce: Some(Nonce([2; 32])) });
    for revision in 3..=4 {
        let update = proxy.next().await;
        assert!(matches!(update.body(), Body::Delta(_)));
        assert_eq!(update.position().revision.0, revision);
    }
    assert_eq!(proxy.state.denial(&token), Some(kya_core::DenyReason::AgentRevoked));
    plane.api.register("next").await;
    proxy.catch_up(5).await;
    assert_eq!(plane.metric("kya_manifests_sent_total").await, 1, "the first one");
}

#[tokio::test]
async fn a_proxy_that_missed_nothing_gets_what_comes_next() {
    let plane = ControlPlane::start().await;
    let proxy = plane.proxy("sidecar").await;
    let channel = channel(plane.server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    assert_eq!(proxy.next().await.position().revision, Revision(0));
    plane.api.register("next").await;
    proxy.catch_up(1).await;
}

#[tokio::test]
async fn a_position_of_another_epoch_or_of_the_future_is_answered_with_a_manifest() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    let before = plane.proxy("sidecar").await.position();
    let plane = plane.restart().await;
    let now = plane.proxy("sidecar").await.position();
    assert_eq!(before.revision, now.revision);
    let at = |epoch, revision| Position { epoch, revision: Revision(revision) };
    for have in [
        before,
        at(now.epoch + 1, 1),
        at(now.epoch, 2),
        at(now.epoch, u64::MAX),
        at(u64::MAX, u64::MAX),
        at(0, 0),
        // From before this opening: what led from there is not in memory.
        at(now.epoch, 0),
    ] {
        let first = answer(&plane, have).await;
        assert!(matches!(first.body(), Body::Manifest { .. }), "{have:?}");
        assert_eq!(first.position(), now);
    }
    let first = answer(&plane, now).await;
    assert!(matches!(first.body(), Body::Heartbeat { .. }));
}

#[tokio::test]
async fn a_proxy_that_missed_more_than_is_kept_gets_a_manifest_and_decides_by_it() {
    let limits = Limits { ring: 4, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let mut proxies = [plane.proxy("missed-4").await, plane.proxy("missed-5").await];
    plane.api.register("one").await;
    proxies[0].catch_up(1).await;
    for n in 2..=5 {
        plane.api.register(&format!("{n}")).await;
    }
    for (proxy, is_manifest) in proxies.into_iter().zip([false, true]) {
        let channel = channel(plane.server.grpc_addr).await;
        let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
        let first = proxy.next().await;
        assert_eq!(matches!(first.body(), Body::Manifest { .. }), is_manifest);
        proxy.catch_up(5).await;
        assert_eq!(proxy.known().agents.len(), 5);
    }
}
