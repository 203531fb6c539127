//! What a revocation can prove.

use std::time::{Duration, Instant};

use kya_core::wire::WorkerState;
use serde_json::{Value, json};

use crate::support::api::Text;
use crate::support::proxy::worker;
use crate::support::{ControlPlane, eventually};

async fn wait(plane: &ControlPlane, revision: u64, wait_ms: u32) -> Value {
    let path = format!("/v1/revisions/{revision}/acknowledgements?wait_ms={wait_ms}");
    plane.api.get(&path).await.expect(200)
}

#[tokio::test]
async fn without_a_proxy_nothing_is_proved() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let change = plane.api.revoke(&agent).await;
    let found = wait(&plane, 2, 20).await;
    assert_eq!(found["complete"], false);
    assert_eq!((&found["proxies"], &found["workers"]), (&json!(0), &json!(0)));
    assert_eq!(found["elapsed_ms"], Value::Null);
    assert_eq!(found["committed_at"], change["committed_at"]);
    assert_eq!(found["committed_unix_ms"], change["committed_unix_ms"]);
}

#[tokio::test]
async fn the_wait_ends_with_the_last_worker_of_the_last_proxy() {
    let plane = ControlPlane::start().await;
    let mut proxies = [plane.proxy("a").await, plane.proxy("b").await];
    for proxy in &proxies {
        proxy.report(&[0, 1], true).await;
    }
    let agent = plane.api.register("payer").await;
    let revision = plane.api.revoke(&agent).await["revision"].as_u64().unwrap();
    for proxy in &mut proxies {
        proxy.catch_up(revision).await;
    }
    let began = Instant::now();
    let acknowledge = async {
        let [a, b] = &proxies;
        a.report(&[0, 1], true).await;
        b.report(&[1], false).await;
        eventually("three of four", async || {
            wait(&plane, revision, 0).await["workers_acknowledged"] == 3
        })
        .await;
        let found = wait(&plane, revision, 0).await;
        assert_eq!(found["complete"], false);
        assert_eq!(found["proxies_acknowledged"], 1);
        let pending = json!([{ "node_id": "b", "slot": 0, "instance": "000000000000abc0" }]);
        assert_eq!(found["pending"], pending);
        b.report(&[0], false).await;
    };
    let (found, ()) = tokio::join!(wait(&plane, revision, 30_000), acknowledge);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited to the end");
    assert_eq!(found["complete"], true);
    assert_eq!((&found["proxies"], &found["proxies_acknowledged"]), (&json!(2), &json!(2)));
    assert_eq!((&found["workers"], &found["workers_acknowledged"]), (&json!(4), &json!(4)));
    assert_eq!(found["pending"], json!([]));
    let rows = found["acknowledgements"].as_array().unwrap();
    let last = rows.iter().map(|row| row["after_ms"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(found["elapsed_ms"].as_f64(), Some(last));
    assert!(last > 0.0 && last < 20_000.0, "{last}");
    assert!(rows.iter().all(|row| row["revision"] == revision));
    assert_eq!(rows[0]["applied_unix_ms"], json!(1_770_302_843_891.123));
}

#[tokio::test]
async fn a_later_revision_acknowledges_an_earlier_one() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("a").await;
    proxy.report(&[0], true).await;
    for name in ["one", "two", "three"] {
        plane.api.register(name).await;
    }
    proxy.catch_up(3).await;
    proxy.report(&[0], true).await;
    let found = wait(&plane, 2, 10_000).await;
    assert_eq!(found["complete"], true);
    assert_eq!(found["acknowledgements"][0]["revision"], 3);
}

#[tokio::test]
async fn a_proxy_that_hangs_up_is_not_waited_for() {
    let plane = ControlPlane::start().await;
    let mut here = plane.proxy("here").await;
    let gone = plane.proxy("gone").await;
    gone.report(&[0], true).await;
    plane.api.register("payer").await;
    here.catch_up(1).await;
    here.report(&[0], true).await;
    eventually("one of two", async || wait(&plane, 1, 0).await["workers_acknowledged"] == 1).await;
    let (found, ()) = tokio::join!(wait(&plane, 1, 30_000), async { drop(gone) });
    assert_eq!((&found["complete"], &found["proxies"]), (&json!(true), &json!(1)));
    // But it is named, since nobody knows what it decides by.
    let disconnected = &found["disconnected"];
    assert_eq!(
        (disconnected.as_array().unwrap().len(), disconnected[0]["node_id"].text()),
        (1, "gone".to_owned())
    );
    assert!(disconnected[0]["since"].text().parse::<jiff::Timestamp>().is_ok());
    let nodes = plane.api.get("/v1/nodes").await.expect(200);
    assert_eq!(&nodes["disconnected"], disconnected);
    let _back = plane.proxy("gone").await;
    assert_eq!(plane.api.get("/v1/nodes").await.expect(200)["disconnected"], json!([]));
    assert_eq!(wait(&plane, 1, 0).await["disconnected"], json!([]));
}

#[tokio::test]
async fn a_proxy_that_has_named_no_worker_keeps_it_incomplete() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("mute").await;
    plane.api.register("payer").await;
    proxy.catch_up(1).await;
    let found = wait(&plane, 1, 20).await;
    assert_eq!((&found["complete"], &found["proxies"]), (&json!(false), &json!(1)));
    assert_eq!((&found["workers"], &found["pending"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_wait_ends_early_when_the_server_drains() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    let api = plane.api.clone();
    let waiting = tokio::spawn(async move {
        api.get("/v1/revisions/1/acknowledgements?wait_ms=30000").await.expect(200)
    });
    eventually("the wait has begun", async || {
        let metrics = plane.api.get("/metrics").await.expect(200).text();
        metrics.contains("kya_http_requests_in_flight 2")
    })
    .await;
    let began = Instant::now();
    plane.server.shutdown().await;
    assert_eq!(waiting.await.unwrap()["complete"], false);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn nodes_show_what_each_worker_has_applied() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar-1").await;
    plane.api.register("one").await;
    plane.api.register("two").await;
    proxy.catch_up(2).await;
    let epoch = proxy.position().epoch;
    let busy =
        WorkerState { challenge: 0xfeed, state_age_millis: 1_234, cut: 5, ..worker(1, epoch, 1) };
    proxy.say_workers(vec![worker(0, epoch, 2), busy], true).await;
    eventually("two workers", async || {
        plane.api.nodes().await[0]["workers"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    let node = plane.api.nodes().await.remove(0);
    assert_eq!(node["node_id"], "sidecar-1");
    assert_eq!((&node["cluster"], &node["filter_version"]), (&json!("payments"), &json!("0.1.0")));
    assert!(node["peer"].text().starts_with("127.0.0.1:"));
    assert_eq!(node["transport"], "stream");
    assert_eq!(node["configuration_hash"], json!("c0".repeat(32)));
    assert!(node["last_seen"].text() >= node["connected_at"].text());
    assert_eq!(
        node["workers"],
        json!([
            { "slot": 0, "instance": "000000000000abc0", "epoch": epoch, "revision": 2,
              "applied_at": "2026-02-05T14:47:23.891Z", "behind": 0,
              "challenge": "0000000000000000", "state_age_ms": 0,
              "answered_at": null, "proved_age_ms": null, "cut": 0 },
            { "slot": 1, "instance": "000000000000abc1", "epoch": epoch, "revision": 1,
              "applied_at": "2026-02-05T14:47:23.891Z", "behind": 1,
              "challenge": "000000000000feed", "state_age_ms": 1234,
              "answered_at": null, "proved_age_ms": null, "cut": 5 },
        ])
    );
}
