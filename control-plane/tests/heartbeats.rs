//! The stream: how a proxy knows that it misses nothing.

use std::sync::Arc;
use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_control_plane::time::{Clock, SystemClock};
use kya_core::wire::control_message::Message as Said;
use kya_core::{Body, Revision};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support;
use crate::support::proxy::channel;
use crate::support::{ControlPlane, TestProxy, database};

fn every(heartbeat_interval: Duration) -> Limits {
    Limits { heartbeat_interval, ..Limits::default() }
}

/// The next heartbeat that answers nobody, and how many deltas came before.
async fn next_heartbeat(proxy: &mut TestProxy) -> (kya_core::VerifiedUpdate, u64) {
    let mut deltas = 0;
    loop {
        let update = proxy.hear_verified().await.expect("a signed message");
        match update.body() {
            Body::Heartbeat { nonce: None } => return (update, deltas),
            _ => deltas += 1,
        }
    }
}

#[tokio::test]
async fn a_heartbeat_comes_every_second_and_says_how_far_the_stream_is() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let (first, _) = next_heartbeat(&mut proxy).await;
    assert_eq!(first.position(), proxy.position());
    let (second, deltas) = next_heartbeat(&mut proxy).await;
    assert_eq!((second.position(), deltas), (first.position(), 0));
    let apart = second.issued().0 - first.issued().0;
    assert!((900..10_000).contains(&apart), "{apart} ms");
    assert!(second.issued() <= SystemClock.now().millis());
    plane.api.register("payer").await;
    loop {
        let (heartbeat, deltas) = next_heartbeat(&mut proxy).await;
        assert_eq!(heartbeat.position().revision, Revision(deltas));
        if deltas == 1 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_heartbeat_overtakes_a_delta_or_falls_behind_one() {
    let plane = ControlPlane::start_with(every(Duration::from_millis(2))).await;
    let mut proxies = [plane.proxy("a").await, plane.proxy("b").await];
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let api = plane.api.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    api.register(&format!("{writer}-{n}")).await;
                }
            })
        })
        .collect();
    // `next` refuses a heartbeat at any position but that of the state.
    for proxy in &mut proxies {
        proxy.catch_up(100).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(plane.metric("kya_heartbeats_sent_total").await > 10);
}

#[tokio::test]
async fn a_probe_is_answered_after_everything_that_was_committed_before_it() {
    // Nothing but the probe makes the server look at its store.
    let plane = ControlPlane::start_with(every(Duration::from_secs(3600))).await;
    let mut proxy = plane.proxy("sidecar").await;
    for n in 1..=5 {
        database::commit(plane.dir.path(), &[]).await;
        proxy.probe([n; 32]).await;
        assert!(matches!(proxy.next().await.body(), Body::Delta(_)));
        let answer = proxy.next().await;
        assert!(matches!(answer.body(), Body::Heartbeat { nonce: Some(_) }));
        assert_eq!(answer.position().revision.0, u64::from(n));
    }
}

#[tokio::test]
async fn probes_in_a_loop_end_the_stream() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    for n in 0..30 {
        proxy.probe([n; 32]).await;
    }
    let mut answers = 0;
    let status = loop {
        match proxy.hear().await {
            Ok(Some(Said::Signed(_))) => answers += 1,
            Ok(other) => panic!("{other:?}"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.message(), "more than 10 probes within a second");
    assert!(answers <= 20, "{answers}");
    // Another stream, and another second.
    plane.proxy("sidecar").await;
}

#[tokio::test]
async fn while_the_store_cannot_be_read_nobody_is_told_that_nothing_is_new() {
    let plane = ControlPlane::start_with(every(Duration::from_millis(20))).await;
    let mut proxy = plane.proxy("sidecar").await;
    next_heartbeat(&mut proxy).await;
    database::commit(plane.dir.path(), &[0xff]).await;
    let committed = SystemClock.now().millis();
    proxy.probe([9; 32]).await;
    // Heartbeats that were on their way may still come, but none that was signed
    // for a time at which there was something new.
    let status = loop {
        match proxy.hear().await {
            Ok(Some(Said::Signed(signed))) => {
                let update = proxy.verifier.verify_signed(&signed).unwrap();
                assert_eq!(*update.body(), Body::Heartbeat { nonce: None });
                assert!(update.issued() <= committed, "{update:?} after {committed:?}");
            }
            Ok(other) => panic!("{other:?}"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("the store does not say what is new"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_get_their_heartbeats_and_the_next_change() {
    const STREAMS: usize = 1000;
    let plane = ControlPlane::start().await;
    let key = plane.server.public_key;
    let beaten = Arc::new(Barrier::new(STREAMS + 1));
    let mut streams = JoinSet::new();
    let mut connection = channel(plane.server.grpc_addr).await;
    for n in 0..STREAMS {
        if n % 50 == 49 {
            connection = channel(plane.server.grpc_addr).await;
        }
        let hello = support::proxy::hello(&format!("sidecar-{n}"));
        let mut proxy =
            TestProxy::connect_over(connection.clone(), &plane.credential, key, hello).await;
        let beaten = Arc::clone(&beaten);
        streams.spawn(async move {
            proxy.next().await;
            let (first, _) = next_heartbeat(&mut proxy).await;
            let (second, _) = next_heartbeat(&mut proxy).await;
            assert!(second.issued() > first.issued());
            beaten.wait().await;
            proxy.catch_up(1).await;
            proxy
        });
    }
    beaten.wait().await;
    assert_eq!(plane.api.nodes().await.len(), STREAMS);
    plane.api.register("payer").await;
    assert_eq!(streams.join_all().await.len(), STREAMS);
}
