//! The stream: how a proxy gets the chunks that a manifest names.

use std::collections::HashMap;

use kya_control_plane::push::Limits;
use kya_core::wire::{self, proxy_message::Message};
use kya_core::{Body, DenyReason, Manifest};
use tonic::Code;

use crate::support;
use crate::support::api::Text;
use crate::support::proxy::{hello, message, narrow_channel, want};
use crate::support::{ControlPlane, TestProxy, database};

/// A proxy that has got a manifest and no chunk.
async fn told(plane: &ControlPlane, node_id: &str) -> (TestProxy, Manifest) {
    let mut proxy = plane.silent_proxy(node_id).await;
    let manifest = next_manifest(&mut proxy).await;
    (proxy, manifest)
}

async fn next_manifest(proxy: &mut TestProxy) -> Manifest {
    loop {
        let update = proxy.hear_verified().await.expect("a signed message");
        if let Body::Manifest { manifest, .. } = update.body() {
            return manifest.clone();
        }
    }
}

/// The next message with chunks.
async fn next_chunks(proxy: &mut TestProxy) -> wire::Chunks {
    loop {
        if let Err(chunks) = proxy.hear_verified().await {
            return chunks;
        }
    }
}

/// Asks for every chunk, and checks each that comes.
async fn fetch(proxy: &mut TestProxy, manifest: &Manifest) -> HashMap<u32, Vec<u8>> {
    let all = 0..u32::try_from(manifest.count()).unwrap();
    proxy.say.send(want(manifest.image().0, all)).await.unwrap();
    let mut fetched = HashMap::new();
    while fetched.len() < manifest.count() {
        let message = next_chunks(proxy).await;
        assert_eq!(message.image, manifest.image().0);
        for chunk in message.chunks {
            assert!(manifest.fits(chunk.index, &chunk.content));
            assert!(fetched.insert(chunk.index, chunk.content).is_none(), "sent twice");
        }
    }
    fetched
}

/// A control plane that has so many tokens of one agent.
async fn with_tokens(count: u32) -> (ControlPlane, String) {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    plane.server.shutdown().await;
    database::add_tokens(plane.dir.path(), count).await;
    (ControlPlane::start_in(plane.dir, Limits::default()).await, agent)
}

#[tokio::test]
async fn the_chunks_of_a_manifest_come_as_they_were_though_the_image_has_changed() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].text();
    let (mut proxy, manifest) = told(&plane, "sidecar").await;
    plane.api.revoke(&agent).await;
    // Somebody else wants the image as it is now.
    let (mut other, newer) = told(&plane, "other").await;
    assert_ne!(newer.image(), manifest.image());

    let chunks = fetch(&mut proxy, &manifest).await;
    let at = plane.proxy("position").await.position();
    let before = kya_core::Position { revision: kya_core::Revision(2), ..at };
    proxy.state.rebase(before, &manifest, chunks);
    assert_eq!(proxy.state.denial(&token), None, "as of then");
    let chunks = fetch(&mut other, &newer).await;
    other.state.rebase(at, &newer, chunks);
    assert_eq!(other.state.denial(&token), Some(DenyReason::AgentRevoked));
}

#[tokio::test]
async fn an_image_that_is_gone_or_never_was_is_answered_with_no_chunk() {
    let limits = Limits { images: 2, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let (mut proxy, first) = told(&plane, "sidecar").await;
    for n in 0..2 {
        plane.api.register(&format!("agent {n}")).await;
        plane.proxy("another").await;
    }
    for image in [first.image().0, [7; 32]] {
        proxy.say.send(want(image, [0, 1])).await.unwrap();
        let answer = next_chunks(&mut proxy).await;
        assert_eq!((answer.image, answer.chunks), (image.to_vec(), vec![]));
    }
    // The stream goes on, and has the way out.
    proxy.resync([9; 32]).await;
    let newest = next_manifest(&mut proxy).await;
    fetch(&mut proxy, &newest).await;
}

#[tokio::test]
async fn a_request_that_cannot_be_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let (_, manifest) = told(&plane, "sidecar").await;
    let image = manifest.image().0;
    let short = wire::ChunkRequest { image: vec![0; 31], indexes: vec![0] };
    for (request, complaint) in [
        (message(Message::Chunks(short)), "the name of an image has 32 bytes, this has 31"),
        (want(image, []), "no chunk is asked for"),
        (want(image, [0, 1, 0]), "chunk 0 is asked for twice"),
        (want(image, 0..4097), "4097 chunks are asked for at once, more than 4096"),
        (want(image, vec![5; 60_000]), "60000 chunks are asked for at once"),
        (want(image, [0, 2]), "there is no chunk 2: the image has 2"),
        (want(image, [u32::MAX]), "there is no chunk 4294967295: the image has 2"),
    ] {
        let (mut proxy, _) = told(&plane, "sidecar").await;
        proxy.say.send(request).await.unwrap();
        let status = loop {
            match proxy.hear().await {
                // Of this, no chunk is sent before the whole of it was checked.
                Ok(Some(said)) => assert!(!format!("{said:?}").starts_with("Chunks"), "{said:?}"),
                Ok(None) => panic!("the stream ended as if all was well"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(complaint), "{status} for {complaint}");
    }
    // The most that may be asked for, of which there is nothing.
    let (mut proxy, _) = told(&plane, "sidecar").await;
    proxy.say.send(want([7; 32], 0..4096)).await.unwrap();
    assert!(next_chunks(&mut proxy).await.chunks.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_for_no_more_than_what_is_on_its_way() {
    let (plane, agent) = with_tokens(150_000).await;
    let narrow = narrow_channel(plane.server.grpc_addr).await;
    let hello = hello("sidecar");
    let mut proxy =
        TestProxy::connect_over(narrow, &plane.credential, plane.server.public_key, hello).await;
    let manifest = next_manifest(&mut proxy).await;
    assert_eq!(manifest.token_chunks(), 2048);
    let all = 0..u32::try_from(manifest.count()).unwrap();
    proxy.say.send(want(manifest.image().0, all)).await.unwrap();
    let first = next_chunks(&mut proxy).await;
    let mut fetched = first.chunks.len();
    let said = plane.metric("kya_deltas_sent_total").await;
    plane.api.revoke(&agent).await;
    // It is committed; now it stands in its lane, too, before anything more is read.
    support::eventually("the change to be said", async || {
        plane.metric("kya_deltas_sent_total").await > said
    })
    .await;
    let sent_before = plane.metric("kya_chunks_sent_total").await;
    // 4.2 MB are 17 messages. One is being sent, one is in the transport's hands,
    // and one waits, which the change passes.
    let mut messages = 1;
    loop {
        match proxy.hear_verified().await {
            Ok(update) if matches!(update.body(), Body::Delta(_)) => break,
            Ok(_) => {}
            Err(chunks) => {
                messages += 1;
                fetched += chunks.chunks.len();
                assert!(chunks.chunks.len() < manifest.count() / 8, "one message is small");
            }
        }
    }
    assert!(messages <= 4, "the change came after {messages} messages");
    assert!(sent_before < manifest.count() as u64, "nobody makes all of them beforehand");
    while fetched < manifest.count() {
        fetched += next_chunks(&mut proxy).await.chunks.len();
    }
}

#[tokio::test]
async fn a_proxy_that_asks_for_chunks_and_does_not_read_is_cut_off() {
    let (plane, _) = with_tokens(50_000).await;
    let dir = plane.dir;
    plane.server.shutdown().await;
    let limits = Limits {
        send_timeout: std::time::Duration::from_millis(200),
        heartbeat_interval: std::time::Duration::from_millis(100),
        ..Limits::default()
    };
    let plane = ControlPlane::start_in(dir, limits).await;
    let narrow = narrow_channel(plane.server.grpc_addr).await;
    let hello = hello("stalled");
    let mut proxy =
        TestProxy::connect_over(narrow, &plane.credential, plane.server.public_key, hello).await;
    let manifest = next_manifest(&mut proxy).await;
    let all = 0..u32::try_from(manifest.count()).unwrap();
    proxy.say.send(want(manifest.image().0, all)).await.unwrap();
    support::eventually("it is cut off", async || plane.api.nodes().await.is_empty()).await;
    let sent = plane.metric("kya_chunks_sent_total").await;
    assert!(sent < manifest.count() as u64, "{sent} chunks were made for nobody");
}
