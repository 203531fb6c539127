//! Pull: what a proxy is told without a stream.

use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_core::wire::{self, ChunkRequest, PullRequest, WorkerReport};
use kya_core::{Body, DenyReason, Position, Revision};
use reqwest::{Method, header};
use serde_json::json;

use crate::support::api::{Answer, Text};
use crate::support::proxy::worker;
use crate::support::pull::{PULL, Puller, problem, request};
use crate::support::{ControlPlane, database, eventually};

fn puller(plane: &ControlPlane, node_id: &str) -> Puller {
    Puller::new(plane.server.public_key, node_id)
}

#[tokio::test]
async fn a_proxy_that_only_pulls_gets_everything_and_then_what_is_new() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].text();
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    assert_eq!(puller.state.denial(&token), None);
    assert_eq!(puller.pull(&plane).await, 0, "nothing is new");
    plane.api.revoke(&agent).await;
    plane.api.register("other").await;
    assert_eq!(puller.pull(&plane).await, 2);
    assert_eq!(puller.state.denial(&token), Some(DenyReason::AgentRevoked));
    assert_eq!(puller.state.known, *plane.proxy("stream").await.known());
    // The first pull, one for its chunks, and two more.
    assert_eq!(plane.metric("kya_pulls_total").await, 4);
    assert_eq!(plane.api.nodes().await.len(), 0, "it has named no worker");
}

#[tokio::test]
async fn an_answer_holds_what_was_committed_before_the_question_though_nobody_was_told() {
    let limits = Limits { heartbeat_interval: Duration::from_secs(3600), ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    database::commit(plane.dir.path(), &[]).await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    assert_eq!(puller.revision(), 1);
    database::commit(plane.dir.path(), &[]).await;
    assert_eq!(puller.pull(&plane).await, 1);
}

#[tokio::test]
async fn many_changes_come_in_several_answers() {
    let plane = ControlPlane::start().await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    for n in 0..20 {
        plane.api.register(&format!("agent {n}")).await;
    }
    for _ in 0..500 {
        database::commit(plane.dir.path(), &[]).await;
    }
    assert_eq!(puller.pull(&plane).await, 512);
    assert_eq!(puller.pull(&plane).await, 8);
    assert_eq!((puller.revision(), puller.state.known.agents.len()), (520, 20));
}

#[tokio::test]
async fn a_large_image_comes_in_several_answers() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    plane.server.shutdown().await;
    database::add_tokens(plane.dir.path(), 100_000).await;
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    assert_eq!(puller.state.known.tokens.len(), 100_000);
    // 2.8 MB of tokens, by about 1 MiB.
    assert_eq!(plane.metric("kya_pulls_total").await, 1 + 3);
}

#[tokio::test]
async fn a_manifest_comes_when_it_is_asked_for_or_when_too_much_was_missed() {
    let plane = ControlPlane::start_with(Limits { ring: 2, ..Limits::default() }).await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    let epoch = puller.state.authority.position().unwrap().epoch;
    let asked = PullRequest { manifest: true, ..puller.request() };
    let (first, _) = puller.send(&plane, &asked).await;
    assert!(matches!(first.body(), Body::Manifest { .. }));
    for n in 0..3 {
        plane.api.register(&format!("agent {n}")).await;
    }
    let at = |epoch, revision| Some(Position { epoch, revision: Revision(revision) }.into());
    for (have, is_manifest) in [
        (at(epoch, 0), true),
        (at(epoch, 1), false),
        (at(epoch, 3), false),
        (at(epoch, 4), true),
        (at(epoch - 1, 3), true),
        (at(u64::MAX, u64::MAX), true),
        (None, true),
    ] {
        let mut request = puller.request();
        request.hello.as_mut().unwrap().have = have;
        let (first, _) = puller.send(&plane, &request).await;
        let manifest = matches!(first.body(), Body::Manifest { .. });
        assert_eq!(manifest, is_manifest, "{have:?}");
    }
}

#[tokio::test]
async fn chunks_of_a_foreign_image_are_answered_with_none() {
    let plane = ControlPlane::start().await;
    let mut puller = puller(&plane, "sidecar");
    let chunks = ChunkRequest { image: vec![7; 32], indexes: vec![0, 9] };
    let asked = PullRequest { chunks: Some(chunks), ..puller.request() };
    let (first, rest) = puller.send(&plane, &asked).await;
    // It has nothing, so that the answer can say only how things began.
    assert_eq!(first.position().revision, Revision(0));
    let wire::control_message::Message::Chunks(none) = rest[0].message.clone().unwrap() else {
        panic!("{rest:?}")
    };
    assert_eq!((none.image, none.chunks), (vec![7; 32], vec![]));
}

fn workers(slots: &[u32], epoch: u64, revision: u64) -> Option<WorkerReport> {
    let workers = slots.iter().map(|slot| worker(*slot, epoch, revision)).collect();
    Some(WorkerReport { workers, complete: true, clock_ahead_millis: 0 })
}

#[tokio::test]
async fn a_proxy_that_pulls_and_names_workers_is_connected_and_acknowledges() {
    let plane = ControlPlane::start().await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    let epoch = puller.state.authority.position().unwrap().epoch;
    let report = PullRequest { workers: workers(&[0, 1], epoch, 0), ..puller.request() };
    puller.send(&plane, &report).await;
    let node = plane.api.nodes().await.remove(0);
    assert_eq!((&node["node_id"], &node["transport"]), (&json!("sidecar"), &json!("pull")));
    assert!(node["peer"].text().starts_with("127.0.0.1:"));
    assert_eq!(node["workers"].as_array().unwrap().len(), 2);

    plane.api.register("payer").await;
    let path = "/v1/revisions/1/acknowledgements";
    let found = plane.api.get(path).await.expect(200);
    assert_eq!((&found["complete"], &found["proxies"]), (&json!(false), &json!(1)));
    puller.pull(&plane).await;
    let report = PullRequest { workers: workers(&[0, 1], epoch, 1), ..puller.request() };
    puller.send(&plane, &report).await;
    let found = plane.api.get(path).await.expect(200);
    assert_eq!((&found["complete"], &found["workers_acknowledged"]), (&json!(true), &json!(2)));
    let connected_at = plane.api.nodes().await.remove(0)["connected_at"].clone();
    assert_eq!(connected_at, node["connected_at"], "it has been connected since then");

    // When it has a stream again, it is not there twice.
    let proxy = plane.proxy("sidecar").await;
    proxy.report(&[0, 1], true).await;
    eventually("two workers", async || {
        plane.api.nodes().await[0]["workers"].as_array().unwrap().len() == 2
    })
    .await;
    // Nor when it then pulls, to be sure, and names the same workers.
    let report = PullRequest { workers: workers(&[0, 1], epoch, 0), ..puller.request() };
    puller.send(&plane, &report).await;
    let nodes = plane.api.nodes().await;
    assert_eq!((nodes.len(), &nodes[0]["transport"]), (1, &json!("stream")));
    assert_eq!(nodes[0]["workers"][0]["behind"], 1, "what it said last counts");
    drop(proxy);
}

#[tokio::test]
async fn a_proxy_that_has_not_pulled_for_a_while_is_disconnected_and_named() {
    let pull_patience = Duration::from_millis(300);
    let plane = ControlPlane::start_with(Limits { pull_patience, ..Limits::default() }).await;
    let mut puller = puller(&plane, "sidecar");
    puller.pull(&plane).await;
    let epoch = puller.state.authority.position().unwrap().epoch;
    let report = PullRequest { workers: workers(&[0], epoch, 0), ..puller.request() };
    puller.send(&plane, &report).await;
    eventually("it is disconnected", async || {
        let found = plane.api.get("/v1/nodes").await.expect(200);
        found["nodes"] == json!([]) && found["disconnected"][0]["node_id"] == "sidecar"
    })
    .await;
    puller.send(&plane, &report).await;
    let found = plane.api.get("/v1/nodes").await.expect(200);
    assert_eq!(found["disconnected"], json!([]));
}

#[tokio::test]
async fn no_more_proxies_pull_than_there_may_be() {
    let plane = ControlPlane::start_with(Limits { pulling: 2, ..Limits::default() }).await;
    for n in 0..3 {
        let mut puller = puller(&plane, &format!("sidecar-{n}"));
        let report = PullRequest { workers: workers(&[0], 0, 0), ..puller.request() };
        let answer = request(&plane, PULL, &report);
        match n {
            0 | 1 => assert_eq!(answer.send().await.unwrap().status(), 200),
            _ => {
                let detail = Answer::of(answer).await.problem(503, "unavailable");
                assert!(detail.starts_with("2 proxies pull"), "{detail}");
            }
        }
    }
    assert_eq!(plane.api.nodes().await.len(), 2);
}

#[tokio::test]
async fn a_pull_that_cannot_be_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let mut puller = puller(&plane, "sidecar");
    let good = puller.request();
    let with_hello = |change: fn(&mut wire::Hello)| {
        let mut request = good.clone();
        change(request.hello.as_mut().unwrap());
        request
    };
    let with_chunks = |image: usize, indexes: Vec<u32>, manifest| {
        let chunks = Some(ChunkRequest { image: vec![7; image], indexes });
        PullRequest { chunks, manifest, ..good.clone() }
    };
    let with_workers =
        |slots: &[u32]| PullRequest { workers: workers(slots, 0, 0), ..good.clone() };
    let many: Vec<u32> = (0..129).collect();
    for (request, complaint) in [
        (PullRequest::default(), "a pull needs a `hello`"),
        (with_hello(|hello| hello.protocol_version = 9), "the proxy version 9"),
        (with_hello(|hello| hello.nonce.clear()), "a nonce has 32 bytes, this has 0"),
        (with_hello(|hello| hello.node_id.clear()), "node_id is empty"),
        (with_hello(|hello| hello.node_id = "a\0b".into()), "node_id contains control characters"),
        (with_chunks(31, vec![0], false), "the name of an image has 32 bytes"),
        (with_chunks(32, vec![], false), "no chunk is asked for"),
        (with_chunks(32, vec![1, 1], false), "chunk 1 is asked for twice"),
        (with_chunks(32, vec![0], true), "for chunks or for a manifest, not for both"),
        (with_workers(&[0, 0]), "slot 0 is in the report twice"),
        (with_workers(&many), "at most 128 workers"),
    ] {
        let detail = problem(&plane, PULL, &request).await;
        assert!(detail.contains(complaint), "{detail} for {complaint}");
    }
    // An index that the image does not have.
    puller.pull(&plane).await;
    let asked = PullRequest { manifest: true, ..puller.request() };
    let (first, _) = puller.send(&plane, &asked).await;
    let Body::Manifest { manifest, .. } = first.body() else { panic!("{first:?}") };
    let chunks = ChunkRequest { image: manifest.image().0.to_vec(), indexes: vec![2] };
    let asked = PullRequest { chunks: Some(chunks), ..puller.request() };
    let detail = problem(&plane, PULL, &asked).await;
    assert_eq!(detail, "there is no chunk 2: the image has 2");
}

#[tokio::test]
async fn what_is_no_such_request_is_refused() {
    let plane = ControlPlane::start().await;
    let good = puller(&plane, "sidecar").request();
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let request = plane.api.request(Method::POST, PULL).bearer_auth(&plane.credential);
        let request = request.body(body);
        Answer::of(match content_type {
            Some(content_type) => request.header(header::CONTENT_TYPE, content_type),
            None => request,
        })
        .await
    };
    let encoded = prost::Message::encode_to_vec(&good);
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        let detail = send(content_type, encoded.clone()).await.problem(415, "invalid_request");
        assert!(detail.contains("content-type: application/x-protobuf"), "{detail}");
    }
    let protobuf = Some("application/x-protobuf");
    let detail = send(protobuf, vec![0xff; 9]).await.problem(400, "invalid_request");
    assert!(detail.starts_with("the body is not such a message: "), "{detail}");
    let detail = send(protobuf, vec![0; 64 * 1024 + 1]).await.problem(413, "payload_too_large");
    assert_eq!(detail, "a body has at most 65536 bytes");
    let get = plane.api.request(Method::GET, PULL);
    Answer::of(get).await.problem(405, "method_not_allowed");
    // Of what a stranger sends nothing is looked at, not even whether it is a message.
    for path in [PULL, "/v1/enforcement/introspect"] {
        let stranger = plane.api.request(Method::POST, path).body(vec![0; 64 * 1024 + 1]);
        Answer::of(stranger).await.problem(401, "unauthorized");
    }
    // Its neighbours still need the admin key.
    let stranger = plane.api.request(Method::GET, "/v1/enforcement/else");
    Answer::of(stranger).await.problem(401, "unauthorized");
    assert_eq!(send(protobuf, encoded).await.status, 200);
}
