//! The audit trail over HTTP: what workers report, and what operators read.

use kya_core::audit::export::Line;
use kya_core::audit::merkle::{Frontier, NodeHash, verify_inclusion};
use kya_core::audit::verify::{self, Options};
use kya_core::audit::{ChainHash, Entry, Scope, SignedCheckpoint, Timestamp, VerifierKey};
use kya_core::wire::{
    AuditBatch, AuditDecision, AuditDropped, AuditEvent, SignedUpdate, audit_event,
};
use kya_core::{Body, Verifier};
use prost::Message;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::Text;
use crate::support::pull::{ask, problem};
use crate::support::{ControlPlane, PATIENCE};

const AUDIT: &str = "/v1/enforcement/audit";

fn decisions(node: &str, first: u64, count: usize, agent: &str) -> AuditBatch {
    let decision = AuditDecision {
        verdict: 1,
        agent_id: agent.parse::<kya_core::AgentId>().unwrap().to_bytes().to_vec(),
        action: "payments.charge".to_owned(),
        method: "POST".to_owned(),
        template: "/v1/charges".to_owned(),
        epoch: 7,
        revision: 3,
        state_age_millis: 12,
        end: Some(kya_core::wire::AuditEnd {
            disposition: 1,
            status: 200,
            duration_micros: 1500,
            body: 1,
            ..Default::default()
        }),
        ..AuditDecision::default()
    };
    let event = AuditEvent {
        unix_nanos: 1_770_302_823_000_250_000,
        event: Some(audit_event::Event::Decision(decision)),
    };
    AuditBatch {
        protocol_version: 1,
        node_id: node.to_owned(),
        instance: 9,
        service: "payments".to_owned(),
        first,
        events: vec![event; count],
        ..AuditBatch::default()
    }
}

/// Sends a batch, and returns what the receipt says after checking who signed it.
async fn report(plane: &ControlPlane, batch: &AuditBatch) -> u64 {
    let signed: SignedUpdate = ask(plane, AUDIT, batch).await;
    let update = Verifier::new([plane.server.public_key]).verify_signed(&signed).unwrap();
    match update.body() {
        Body::AuditReceipt { node, instance, next } => {
            assert_eq!((node, *instance), (&batch.node_id, batch.instance));
            *next
        }
        other => panic!("no receipt: {other:?}"),
    }
}

async fn records(plane: &ControlPlane, query: &str) -> Vec<Value> {
    let answer = plane.api.get(&format!("/v1/audit/records?{query}")).await.expect(200);
    answer["records"].as_array().unwrap().iter().map(|it| it["record"].clone()).collect()
}

/// The text of an export, whole.
async fn export(plane: &ControlPlane, query: &str) -> String {
    let path = format!("/v1/audit/export?{query}");
    let asked = plane.api.request(Method::GET, &path).bearer_auth(&plane.api.key);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn a_worker_is_told_by_a_signed_receipt_what_is_in_the_trail() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    assert_eq!(report(&plane, &decisions("web-1", 1, 0, &agent)).await, 1);
    assert_eq!(report(&plane, &decisions("web-1", 1, 3, &agent)).await, 4);
    assert_eq!(report(&plane, &decisions("web-1", 2, 3, &agent)).await, 5);
    let found = records(&plane, &format!("agent_id={agent}&type=decision&limit=2")).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["decision"], "allow");
    assert_eq!(found[0]["path_template"], "/v1/charges");
    let page = format!("/v1/audit/records?agent_id={agent}&type=decision&limit=2&order=newest");
    let page = plane.api.get(&page).await.expect(200);
    assert_eq!(page["records"][0]["record"]["number"], 4);
    assert!(page["next"].is_number());
    let seq = page["records"][0]["record"]["seq"].as_u64().unwrap();
    let one = plane.api.get(&format!("/v1/audit/records/{seq}")).await.expect(200);
    assert_eq!(one, page["records"][0]);
    // What was done is there, too, with who did it and from where.
    plane.server.trail().finish().await;
    let acts = records(&plane, "act=agent.registered").await;
    assert_eq!((&acts[0]["actor"], &acts[0]["address"]), (&json!("admin"), &json!("127.0.0.1")));
    plane.api.revoke(&agent).await;
    plane.server.trail().finish().await;
    let acts = records(&plane, &format!("agent_id={agent}&act=agent.revoked")).await;
    assert_eq!(acts[0]["before"]["status"], "active");
    assert_eq!(acts[0]["after"]["status"], "revoked");
    assert_eq!(plane.metric("kya_audit_batches_total{outcome=\"taken\"}").await, 3);
}

#[tokio::test]
async fn what_is_no_report_and_whoever_may_not_report_is_refused() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let wrong = AuditBatch { protocol_version: 9, ..decisions("web-1", 1, 1, &agent) };
    assert!(problem(&plane, AUDIT, &wrong).await.contains("version 9"));
    let none = AuditBatch { events: vec![AuditEvent::default()], ..decisions("a", 1, 1, &agent) };
    assert!(problem(&plane, AUDIT, &none).await.contains("event 1"));
    let many = AuditBatch {
        events: vec![
            AuditEvent {
                unix_nanos: 1_770_302_823_000_250_000,
                event: Some(audit_event::Event::Dropped(AuditDropped { events: 1 })),
            };
            1025
        ],
        ..decisions("web-1", 1, 0, &agent)
    };
    assert!(problem(&plane, AUDIT, &many).await.contains("1024"));
    // An operator is no proxy, and a proxy no other.
    let batch = decisions("web-1", 1, 1, &agent);
    let status = async |credential: &str| {
        let request = plane.api.request(Method::POST, AUDIT).bearer_auth(credential);
        let request = request.header("content-type", "application/x-protobuf");
        request.body(batch.encode_to_vec()).send().await.unwrap().status()
    };
    assert_eq!(status(&plane.api.key).await, StatusCode::UNAUTHORIZED);
    let only = json!({ "name": "only", "match": "web-9" });
    let only = plane.api.post("/v1/nodes", only).await.expect(201);
    assert_eq!(status(&only["credential"].text()).await, StatusCode::FORBIDDEN);
    assert!(records(&plane, "type=decision").await.is_empty());
}

#[tokio::test]
async fn an_export_can_be_checked_with_nothing_but_a_key() {
    let plane = ControlPlane::start().await;
    let (one, two) = (plane.api.register("payer").await, plane.api.register("other").await);
    report(&plane, &decisions("web-1", 1, 700, &one)).await;
    let mut some = decisions("web-2", 1, 3, &two);
    some.instance = 10;
    report(&plane, &some).await;
    report(&plane, &decisions("web-1", 701, 30, &one)).await;
    let keys = plane.api.get("/v1/audit/keys").await.expect(200);
    let key: VerifierKey = keys["keys"][0]["verifier_key"].text().parse().unwrap();
    for (query, shown) in [
        (String::new(), None),
        (format!("agent_id={two}"), Some(3)),
        ("decision=deny".to_owned(), Some(0)),
        (format!("agent_id={one}&first=300&last=500"), Some(201)),
    ] {
        let text = export(&plane, &query).await;
        let decisions = check(&text, &key);
        assert!(shown.is_none_or(|shown| shown == decisions), "{query}: {decisions}");
    }
    let csv = export(&plane, &format!("format=csv&agent_id={two}&type=decision")).await;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let events = export(&plane, &format!("format=cloudevents&agent_id={two}&type=decision")).await;
    assert_eq!(events.lines().count(), 3);
    for (query, status) in [("first=9000", 404), ("first=3&last=2", 404), ("since=tomorrow", 400)] {
        plane.api.get(&format!("/v1/audit/export?{query}")).await.expect(status);
    }
}

/// Follows an export as an auditor would: returns how many decisions are shown.
fn check(text: &str, key: &VerifierKey) -> usize {
    let (mut tree, mut chain, mut next, mut decisions) = (Frontier::new(), ChainHash::START, 1, 0);
    let mut last = None;
    for line in text.lines() {
        match Line::parse(line).unwrap() {
            Line::Header(header) => assert_eq!(header.origin, key.name()),
            Line::Record { hash, record: canonical } => {
                let record: Value = serde_json::from_str(canonical).unwrap();
                assert_eq!(record["seq"], next);
                chain = chain.next(canonical.as_bytes());
                assert_eq!(chain, hash);
                tree.push(NodeHash::leaf(canonical.as_bytes())).unwrap();
                decisions += usize::from(record["type"] == "decision");
                next += 1;
            }
            Line::Skipped(run) => {
                assert_eq!(run.first, next);
                let nodes = kya_core::audit::merkle::Node::cover(run.first - 1, run.last);
                for (node, hash) in nodes.iter().zip(run.cover) {
                    tree.push_subtree(node.level, hash).unwrap();
                }
                (chain, next) = (run.hash, run.last + 1);
            }
            Line::Sealed(sealed) => last = Some(sealed.checkpoint),
        }
    }
    let signed = SignedCheckpoint::parse(&last.expect("it has an end")).unwrap();
    let checkpoint = signed.verified_by(key).expect("signed by the key");
    assert_eq!((checkpoint.size, checkpoint.root), (next - 1, tree.root()));
    assert_eq!(checkpoint.chain, chain);
    decisions
}

#[tokio::test]
async fn proofs_lead_to_the_checkpoint_that_they_name() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    report(&plane, &decisions("web-1", 1, 300, &agent)).await;
    plane.server.trail().finish().await;
    let shown = plane.api.get("/v1/audit/checkpoint").await.expect(200);
    let size = shown["size"].as_u64().unwrap();
    let note = SignedCheckpoint::parse(&shown["note"].text()).unwrap();
    let seq = size - 5;
    let proof = format!("/v1/audit/proofs/inclusion?seq={seq}&size={size}");
    let proof = plane.api.get(&proof).await.expect(200);
    assert_eq!(proof["checkpoint"], shown);
    let hashes: Vec<NodeHash> = serde_json::from_value(proof["hashes"].clone()).unwrap();
    let line = plane.server.trail().store().line(seq).await.unwrap().unwrap();
    let leaf = NodeHash::leaf(line.record.as_bytes());
    verify_inclusion(leaf, seq - 1, size, &hashes, note.unverified().root).unwrap();
    let path = format!("/v1/audit/proofs/consistency?from=5&to={size}");
    assert_eq!(plane.api.get(&path).await.expect(200)["size"], size);
    for path in ["inclusion?seq=0&size=5", "inclusion?seq=6&size=5", "consistency?from=9&to=8"] {
        plane.api.get(&format!("/v1/audit/proofs/{path}")).await.expect(404);
    }
    plane.api.get("/v1/audit/checkpoint?size=99999").await.expect(404);
}

#[tokio::test]
async fn whoever_follows_the_trail_misses_nothing() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    report(&plane, &decisions("web-1", 1, 5, &agent)).await;
    let path = format!("/v1/audit/tail?from=1&agent_id={agent}&type=decision");
    let mut ids = follow(&plane, &path, None, 5).await;
    report(&plane, &decisions("web-1", 6, 4, &agent)).await;
    ids.extend(follow(&plane, &path, ids.last().copied(), 4).await);
    let all: Vec<u64> = records(&plane, "type=decision")
        .await
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, all);
    let wrong = plane.api.request(Method::GET, &path).header("last-event-id", "x");
    plane.api.send(wrong).await.expect(400);
}

/// The ids of so many events.
async fn follow(plane: &ControlPlane, path: &str, after: Option<u64>, count: usize) -> Vec<u64> {
    let mut asked = plane.api.request(Method::GET, path).bearer_auth(&plane.api.key);
    if let Some(after) = after {
        asked = asked.header("last-event-id", after.to_string());
    }
    let mut answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let ids = |text: &str| -> Vec<u64> {
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().unwrap()).collect()
    };
    while ids(&text).len() < count {
        let piece = tokio::time::timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&piece.expect("more")).unwrap());
    }
    ids(&text)
}

#[tokio::test]
async fn what_was_exported_can_be_archived_and_the_rest_still_verifies() {
    use sha2::Digest;
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    report(&plane, &decisions("web-1", 1, 900, &agent)).await;
    plane.api.post("/v1/audit/keys/rotate", json!({ "reason": "yearly" })).await.expect(200);
    let segment = export(&plane, "first=1&last=600").await;
    let key = plane.api.get("/v1/audit/keys").await.expect(200);
    assert_eq!(key["keys"][1]["signs"], true);
    let sha256: String =
        sha2::Sha256::digest(&segment).iter().map(|byte| format!("{byte:02x}")).collect();
    let wrong = json!({ "last": 599, "sha256": sha256 });
    plane.api.post("/v1/audit/archive", wrong).await.expect(409);
    let sealed = json!({ "last": 600, "sha256": sha256 });
    let sealed = plane.api.post("/v1/audit/archive", sealed).await.expect(200);
    assert_eq!((&sealed["first"], &sealed["last"]), (&json!(1), &json!(600)));
    let store = plane.server.trail().store();
    while store.remove_archived(1000).await.unwrap() > 0 {}
    let gone = plane.api.get("/v1/audit/records/300").await.expect(404);
    assert!(gone["detail"].text().contains("archived"), "{gone}");
    assert_eq!(records(&plane, "type=archived").await[0]["sha256"], sha256);
    // The segment verifies by the key of its time, and what is left by the new one.
    let [old, new] = [0, 1].map(|n| key["keys"][n]["verifier_key"].text().parse().unwrap());
    let left = export(&plane, "").await;
    assert!((300..900).contains(&check(&left, &new)));
    let by = |key: &VerifierKey| std::panic::catch_unwind(|| check(&segment, key)).ok();
    assert!(by(&old).or_else(|| by(&new)).is_some_and(|decisions| decisions > 550));
    let again = json!({ "last": 600, "sha256": sha256 });
    plane.api.post("/v1/audit/archive", again).await.expect(404);
}

#[tokio::test]
async fn an_export_of_an_agent_has_the_kills_that_list_it_among_others_and_the_checkpoints_asked_for()
 {
    let plane = ControlPlane::start().await;
    let [one, two] = [plane.api.register("one").await, plane.api.register("two").await];
    let other = plane.api.register("other").await;
    plane.server.trail().finish().await;
    let early = plane.api.get("/v1/audit/checkpoint").await.expect(200);
    let (early, note) = (early["size"].as_u64().unwrap(), early["note"].text());
    let scope = |agents: &[&str]| {
        Entry::KillScope(Scope {
            kill_id: "kil_x".to_owned(),
            agents: agents.len() as u64,
            tokens: 0,
            capability_tokens: 0,
            actions: Vec::new(),
            agent_ids: agents.iter().map(|it| (*it).to_owned()).collect(),
        })
    };
    let (all, of_other) = (scope(&[&one, &two]), scope(&[&other, "agt_none"]));
    let added = vec![(Timestamp(1), all), (Timestamp(1), of_other)];
    plane.server.trail().add(added).await.unwrap();
    plane.server.trail().finish().await;
    let key = plane.api.get("/v1/audit/keys").await.expect(200);
    let key: VerifierKey = key["keys"][0]["verifier_key"].text().parse().unwrap();
    for format in ["jsonl", "csv", "cloudevents"] {
        let query = format!("agent_id={one}&format={format}");
        let text = export(&plane, &query).await;
        let rows = text.lines().filter(|it| it.contains("kil_x")).count();
        assert_eq!(rows, 1, "{format}: {text}");
        assert!(!text.contains("agt_none"), "{format}: {text}");
    }
    let text = export(&plane, "kill=kil_x").await;
    assert!(text.lines().next().unwrap().contains("\"kill\":\"kil_x\""), "{text}");
    assert_eq!(text.matches("kill_scope").count(), 2);

    // Around it everything is hidden, and it can be compared all the same.
    let text = export(&plane, &format!("kill=kil_x&at={early}")).await;
    let inner = serde_json::to_string(&note).unwrap();
    assert!(text.contains(&format!("{{\"checkpoint\":{inner}}}\n")), "{text}");
    let kept = SignedCheckpoint::parse(&note).unwrap();
    let options = Options { keys: vec![key], earlier: vec![kept], whole_since: None };
    let mut verifier = verify::Verifier::new(options);
    verifier.write(text.as_bytes());
    let report = verifier.finish();
    assert_eq!((report.problems.len(), report.compared.len()), (0, 1), "{report:?}");
    for (at, code) in
        [("0", 400), ("x", 400), ("9999", 404), ("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", 400)]
    {
        plane.api.get(&format!("/v1/audit/export?at={at}")).await.expect(code);
    }
}

#[tokio::test]
async fn a_restarted_server_goes_on_and_doubles_nothing() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    report(&plane, &decisions("web-1", 1, 5, &agent)).await;
    // Its proxies keep their credential.
    let credential = plane.credential.clone();
    let mut plane = plane.restart().await;
    plane.credential = credential;
    assert_eq!(report(&plane, &decisions("web-1", 1, 7, &agent)).await, 8);
    assert_eq!(records(&plane, "type=decision").await.len(), 7);
    assert_eq!(records(&plane, "act=agent.registered").await.len(), 1);
}
