//! Whether a proxy is armed: challenges, answers, and what passes for neither.

use std::net::SocketAddr;
use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_core::wire::control_message::Message as Said;
use kya_core::wire::{self, PullRequest, PullResponse, WorkerReport};
use kya_core::{Body, Verifier};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support;
use crate::support::api::Text;
use crate::support::proxy::{hello, word, worker};
use crate::support::{ControlPlane, TestProxy, eventually};

/// With a beat that comes in no test: only the first challenge, and those on demand.
fn quiet() -> Limits {
    Limits { challenge_interval: Duration::from_secs(3600), ..Limits::default() }
}

/// With challenges that are soon too old.
fn hasty() -> Limits {
    Limits { challenge_interval: Duration::from_millis(200), ..Limits::default() }
}

async fn armed(plane: &ControlPlane) -> Value {
    plane.api.nodes().await.remove(0)["armed"].clone()
}

async fn is_armed(plane: &ControlPlane) {
    eventually("armed", async || armed(plane).await["state"] == "armed").await;
}

/// Waits until the proxy is stale for this reason.
async fn is_stale(plane: &ControlPlane, why: &str) {
    eventually(why, async || {
        let armed = armed(plane).await;
        armed["state"] == "stale" && armed["why"].text().contains(why)
    })
    .await;
}

/// Waits until the control plane has heard a report of so many workers.
async fn has_heard(plane: &ControlPlane, slots: usize) {
    eventually("a report", async || {
        plane.api.nodes().await[0]["workers"].as_array().unwrap().len() == slots
    })
    .await;
}

async fn challenge(plane: &ControlPlane, body: Value) -> Value {
    plane.api.post("/v1/challenges", body).await.expect(200)
}

async fn metric(plane: &ControlPlane, name: &str) -> u64 {
    let text = plane.api.get("/metrics").await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// A proxy whose two workers have answered.
async fn armed_proxy(plane: &ControlPlane, node_id: &str) -> TestProxy {
    let mut proxy = plane.proxy(node_id).await;
    let asked = proxy.challenged().await;
    proxy.answer(&[0, 1], asked).await;
    eventually("armed", async || {
        let nodes = plane.api.nodes().await;
        nodes.iter().any(|node| node["node_id"] == node_id && node["armed"]["state"] == "armed")
    })
    .await;
    proxy
}

#[tokio::test]
async fn a_proxy_is_armed_once_every_worker_has_answered_its_first_challenge() {
    let plane = ControlPlane::start_with(quiet()).await;
    let mut proxy = plane.proxy("sidecar").await;
    let asked = proxy.challenged().await;
    is_stale(&plane, "no worker is named").await;
    proxy.report(&[0, 1], true).await;
    is_stale(&plane, "worker 0 has not answered the challenge of ").await;
    assert!(armed(&plane).await["why"].text().ends_with("; not armed either: 1 more of 2"));
    proxy.answer(&[0], asked).await;
    is_stale(&plane, "worker 1 has not answered the challenge of ").await;
    assert_eq!(armed(&plane).await["answered_at"], Value::Null);
    assert_eq!(metric(&plane, "kya_challenges_answered_total").await, 0);
    proxy.answer(&[1], asked).await;
    is_armed(&plane).await;
    let armed = armed(&plane).await;
    assert_eq!(armed["why"], Value::Null);
    assert!(armed["answered_at"].text() >= armed["challenged_at"].text());
    let worker = plane.api.nodes().await[0]["workers"][0].clone();
    assert!(worker["proved_age_ms"].as_u64().unwrap() >= 7, "{worker}");
    for (name, count) in [
        ("kya_challenges_sent_total", 1),
        ("kya_challenges_answered_total", 1),
        ("kya_challenges_missed_total", 0),
        ("kya_nodes{state=\"armed\",transport=\"stream\"}", 1),
        ("kya_nodes{state=\"stale\",transport=\"stream\"}", 0),
    ] {
        assert_eq!(metric(&plane, name).await, count, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_answer_to_a_challenge_of_this_stream_arms_nobody() {
    let plane = ControlPlane::start_with(quiet()).await;
    let mut proxy = armed_proxy(&plane, "sidecar").await;
    // Of its last stream.
    let old = word_of_next(&plane, &mut proxy).await;
    drop(proxy);
    eventually("gone", async || plane.api.nodes().await.is_empty()).await;
    let mut proxy = plane.proxy("sidecar").await;
    let asked = proxy.challenged().await;
    for (slots, wrong) in [(1, old), (2, 0), (3, asked.swap_bytes()), (4, asked ^ 1)] {
        let slot = u32::try_from(slots).unwrap() - 1;
        proxy.answer(&[slot], wrong).await;
        has_heard(&plane, slots).await;
        is_stale(&plane, "worker 0 has not answered").await;
    }
    assert_eq!(metric(&plane, "kya_challenges_answered_total").await, 1);
    proxy.answer(&[0, 1, 2, 3], asked).await;
    is_armed(&plane).await;
}

/// Has it challenged once more.
async fn word_of_next(plane: &ControlPlane, proxy: &mut TestProxy) -> u64 {
    challenge(plane, json!({ "wait_ms": 0 })).await;
    proxy.challenged().await
}

#[tokio::test]
async fn an_old_answer_that_is_repeated_grows_old() {
    let plane = ControlPlane::start_with(hasty()).await;
    let mut proxy = plane.proxy("sidecar").await;
    let asked = proxy.challenged().await;
    proxy.answer(&[0], asked).await;
    is_armed(&plane).await;
    eventually("stale, though it repeats what it has said", async || {
        proxy.answer(&[0], asked).await;
        armed(&plane).await["state"] == "stale"
    })
    .await;
    assert!(
        armed(&plane).await["why"]
            .text()
            .starts_with("worker 0 has not answered the challenge of ")
    );
    eventually("a miss", async || metric(&plane, "kya_challenges_missed_total").await > 0).await;
    // The newest counts, whatever was missed before it.
    eventually("armed again", async || {
        let asked = proxy.challenged().await;
        proxy.answer(&[0], asked).await;
        armed(&plane).await["state"] == "armed"
    })
    .await;
}

#[tokio::test]
async fn a_vm_that_replaces_another_has_answered_nothing() {
    let plane = ControlPlane::start_with(quiet()).await;
    let proxy = armed_proxy(&plane, "sidecar").await;
    let epoch = proxy.position().epoch;
    let fresh = wire::WorkerState { instance: 0xdead, ..worker(1, epoch, 0) };
    proxy.say_workers(vec![fresh], false).await;
    is_stale(&plane, "worker 1 has not answered").await;
}

#[tokio::test]
async fn a_worker_that_lags_or_claims_what_cannot_be_or_has_an_old_state_is_not_armed() {
    let limits = Limits { armed_behind: Duration::from_millis(300), ..quiet() };
    let plane = ControlPlane::start_with(limits).await;
    let mut proxy = armed_proxy(&plane, "sidecar").await;
    for name in ["one", "two"] {
        plane.api.register(name).await;
    }
    is_stale(&plane, "worker 0 decides by revision 0, 2 behind since ").await;
    proxy.catch_up(2).await;
    proxy.report(&[0, 1], true).await;
    is_armed(&plane).await;

    let Value::Number(epoch) = plane.api.get("/v1/nodes").await.expect(200)["epoch"].clone() else {
        panic!("no epoch")
    };
    let epoch = epoch.as_u64().unwrap();
    proxy.say_workers(vec![worker(1, epoch, 99)], false).await;
    is_stale(&plane, "worker 1 has not answered").await;

    let asked = word_of_next(&plane, &mut proxy).await;
    for (age, why) in [
        (75_000, "worker 1 decided by a state 75 s old when it answered"),
        (u64::MAX, "worker 1 decides by a state of unknown age"),
    ] {
        let state = |slot, state_age_millis| wire::WorkerState {
            challenge: asked,
            state_age_millis,
            ..worker(slot, epoch, 2)
        };
        // As if its VM were another each time.
        let old = wire::WorkerState { instance: age, ..state(1, age) };
        proxy.say_workers(vec![state(0, 1), old], true).await;
        is_stale(&plane, why).await;
    }
}

#[tokio::test]
async fn a_challenge_on_demand_waits_for_every_worker_and_answers_with_the_proof() {
    let plane = ControlPlane::start_with(quiet()).await;
    let mut here = armed_proxy(&plane, "sidecar~10.0.0.1~a/b?c").await;
    let _other = armed_proxy(&plane, "other").await;
    let asking =
        challenge(&plane, json!({ "node_id": "sidecar~10.0.0.1~a/b?c", "wait_ms": 30_000 }));
    let answering = async {
        let asked = here.challenged().await;
        here.answer(&[0, 1], asked).await;
        asked
    };
    let (proof, asked) = tokio::join!(asking, answering);
    assert_eq!((&proof["armed"], &proof["challenged"]), (&json!(true), &json!(1)));
    let nonce = proof["nonce"].text();
    assert_eq!(nonce.len(), 64);
    let first: String = asked.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(nonce[..16], first);
    let node = &proof["nodes"][0];
    assert_eq!(node["node_id"], "sidecar~10.0.0.1~a/b?c");
    assert_eq!(node["armed"]["state"], "armed");
    assert_eq!(node["configuration_hash"], "c0".repeat(32));
    assert_eq!((&node["filter_version"], &node["revision"]), (&json!("0.1.0"), &json!(0)));
    assert_eq!(node["clock_ahead_ms"], 0);
    let workers = node["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    for worker in workers {
        assert_eq!((&worker["revision"], &worker["state_age_ms"]), (&json!(0), &json!(7)));
        assert!(worker["answered_after_ms"].as_f64().unwrap() > 0.0, "{worker}");
    }
}

#[tokio::test]
async fn whoever_does_not_answer_the_challenge_on_demand_is_not_armed_by_an_earlier_one() {
    let plane = ControlPlane::start_with(quiet()).await;
    let mut proxy = armed_proxy(&plane, "sidecar").await;
    let half = async {
        let asked = proxy.challenged().await;
        proxy.answer(&[1], asked).await;
    };
    let (proof, ()) = tokio::join!(challenge(&plane, json!({ "wait_ms": 700 })), half);
    assert_eq!(proof["armed"], false);
    let node = &proof["nodes"][0];
    assert_eq!(node["armed"]["state"], "stale");
    assert!(node["armed"]["why"].text().starts_with("worker 0 has not answered the challenge of "));
    assert_eq!(node["workers"][0]["answered_after_ms"], Value::Null);
    assert_eq!(node["workers"][0]["revision"], Value::Null);
    assert!(node["workers"][1]["answered_after_ms"].is_number());
    assert_eq!(node["revision"], Value::Null);
    // By the measure of the list it is: it has answered one a short while ago.
    assert_eq!(armed(&plane).await["state"], "armed");
}

#[tokio::test]
async fn whoever_is_silent_was_sent_the_challenge_all_the_same() {
    let plane = ControlPlane::start_with(quiet()).await;
    let _proxy = armed_proxy(&plane, "sidecar").await;
    let proof = challenge(&plane, json!({ "wait_ms": 400 })).await;
    let why = proof["nodes"][0]["armed"]["why"].text();
    assert!(why.starts_with("worker 0 has not answered the challenge of "), "{why}");
}

#[tokio::test]
async fn a_proxy_that_leaves_has_proved_nothing() {
    let plane = ControlPlane::start_with(quiet()).await;
    let mut proxy = armed_proxy(&plane, "sidecar").await;
    let leaving = async {
        proxy.challenged().await;
        drop(proxy);
    };
    let (proof, ()) = tokio::join!(challenge(&plane, json!({ "wait_ms": 30_000 })), leaving);
    assert_eq!((&proof["armed"], &proof["left"]), (&json!(false), &json!(1)));
    assert_eq!((&proof["challenged"], &proof["nodes"]), (&json!(1), &json!([])));
    let gone = &proof["disconnected"][0];
    assert_eq!((&gone["node_id"], &gone["armed"]["state"]), (&json!("sidecar"), &json!("unknown")));
    assert!(gone["armed"]["why"].text().starts_with("it is not connected since 20"), "{gone}");
    assert_eq!(metric(&plane, "kya_nodes{state=\"unknown\",transport=\"stream\"}").await, 1);

    let nobody = challenge(&plane, json!({})).await;
    assert_eq!((&nobody["armed"], &nobody["challenged"]), (&json!(false), &json!(0)));
    let detail = plane.api.post("/v1/challenges", json!({ "node_id": "sidecar" })).await;
    let detail = detail.problem(404, "not_found");
    assert!(detail.starts_with("no proxy is connected as `sidecar` since 20"), "{detail}");
    assert!(detail.ends_with("Z; no proxy is"), "{detail}");
}

#[tokio::test]
async fn what_cannot_be_challenged_is_refused_with_the_reason() {
    let plane = ControlPlane::start_with(quiet()).await;
    let _b = plane.proxy("b").await;
    let _a = plane.proxy("a").await;
    let post = async |body| plane.api.post("/v1/challenges", body).await;
    assert_eq!(
        post(json!({ "node_id": "c" })).await.problem(404, "not_found"),
        "no proxy is connected as `c`; connected: a, b"
    );
    for (body, part) in [
        (json!({ "wait_ms": 30_001 }), "between 0 and 30000"),
        (json!({ "node_id": 7 }), "`node_id`"),
        (json!({ "nodes": "a" }), "nodes"),
    ] {
        let detail = post(body).await.problem(422, "invalid_request");
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(metric(&plane, "kya_challenges_sent_total").await, 2);
}

#[tokio::test]
async fn a_registration_by_which_nobody_has_connected_is_unknown_until_somebody_has() {
    let plane = ControlPlane::start_with(quiet()).await;
    let credential = plane.api.register_node(json!({ "name": "web-1" })).await;
    let listed = async || {
        let all = plane.api.get("/v1/nodes").await.expect(200)["registrations"].clone();
        all.as_array().unwrap().iter().find(|one| one["name"] == "web-1").unwrap().clone()
    };
    let never = listed().await;
    assert_eq!(never["armed"]["state"], "unknown");
    assert!(never["armed"]["why"].text().starts_with("no proxy has connected by it"));
    let channel = support::proxy::channel(plane.server.grpc_addr).await;
    let key = plane.server.public_key;
    let mut proxy = TestProxy::connect_over(channel, &credential, key, hello("web-1")).await;
    proxy.next().await;
    assert_eq!(listed().await["armed"], Value::Null);
    drop(proxy);
    eventually("gone", async || plane.api.nodes().await.is_empty()).await;
    assert_eq!(listed().await["armed"], Value::Null, "it is in `disconnected`");
    plane.api.revoke_node("web-1").await;
    assert_eq!(listed().await["armed"], Value::Null);
}

/// Pulls once; the challenge that the answer carried, if it did.
async fn pull(plane: &ControlPlane, workers: Vec<wire::WorkerState>) -> Option<u64> {
    let report = WorkerReport { workers, complete: true, clock_ahead_millis: -1_250 };
    let request =
        PullRequest { hello: Some(hello("puller")), workers: Some(report), ..Default::default() };
    let address: SocketAddr = plane.server.http_addr;
    let response = reqwest::Client::new()
        .post(format!("http://{address}/v1/enforcement/pull"))
        .header("content-type", "application/x-protobuf")
        .bearer_auth(&plane.credential)
        .body(request.encode_to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer = PullResponse::decode(response.bytes().await.unwrap()).unwrap();
    let verifier = Verifier::new([plane.server.public_key]);
    let said: Vec<_> = answer
        .messages
        .into_iter()
        .map(|message| match message.message {
            Some(Said::Signed(signed)) => verifier.verify_signed(&signed).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(said[0].body(), Body::Manifest { .. }), "what proves comes first");
    let challenges: Vec<_> = said
        .iter()
        .filter_map(|update| match update.body() {
            Body::Challenge(nonce) => Some(word(*nonce)),
            _ => None,
        })
        .collect();
    assert!(challenges.len() <= 1);
    challenges.first().copied()
}

#[tokio::test]
async fn a_proxy_that_pulls_is_asked_by_one_pull_and_answers_by_the_next() {
    let plane = ControlPlane::start_with(quiet()).await;
    let epoch = plane.api.get("/v1/nodes").await.expect(200)["epoch"].as_u64().unwrap();
    assert_eq!(pull(&plane, vec![]).await, None, "it names no worker, and is not listed");
    let asked = pull(&plane, vec![worker(0, epoch, 0)]).await.expect("its first challenge");
    is_stale(&plane, "worker 0 has not answered").await;
    let answer = || wire::WorkerState { challenge: asked, ..worker(0, epoch, 0) };
    assert_eq!(pull(&plane, vec![answer()]).await, None, "it is asked once");
    is_armed(&plane).await;
    assert_eq!(plane.api.nodes().await[0]["clock_ahead_ms"], -1_250);

    let proof = challenge(&plane, json!({ "wait_ms": 0 })).await;
    assert_eq!(proof["armed"], false);
    let why = proof["nodes"][0]["armed"]["why"].text();
    assert!(why.contains("one that pulls gets it by its next pull"), "{why}");
    let demanded = pull(&plane, vec![answer()]).await.expect("the challenge on demand");
    assert_ne!(demanded, asked);
    let asking = challenge(&plane, json!({ "wait_ms": 30_000 }));
    let answering = async {
        eventually("asked", async || {
            let next = pull(&plane, vec![answer()]).await;
            if let Some(asked) = next {
                pull(&plane, vec![wire::WorkerState { challenge: asked, ..answer() }]).await;
            }
            next.is_some()
        })
        .await;
    };
    let (proof, ()) = tokio::join!(asking, answering);
    assert_eq!((&proof["armed"], &proof["challenged"]), (&json!(true), &json!(1)));
}
