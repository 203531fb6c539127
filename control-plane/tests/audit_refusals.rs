//! What the audit trail does not take, over HTTP: what whoever holds the credential of one
//! node could send.

use kya_core::wire::{
    AuditApplied, AuditBatch, AuditDropped, AuditEvent, SignedUpdate, audit_event,
};
use kya_core::{Position, Verifier};
use prost::Message;
use reqwest::Method;
use serde_json::json;

use crate::support::ControlPlane;
use crate::support::api::{Answer, Text};

const AUDIT: &str = "/v1/enforcement/audit";

fn event(event: audit_event::Event) -> AuditEvent {
    AuditEvent { unix_nanos: 1_770_302_823_000_250_000, event: Some(event) }
}

fn dropped(events: u64) -> AuditEvent {
    event(audit_event::Event::Dropped(AuditDropped { events }))
}

fn batch(instance: u64, events: Vec<AuditEvent>) -> AuditBatch {
    AuditBatch {
        protocol_version: 1,
        node_id: "web-1".to_owned(),
        instance,
        first: 1,
        events,
        ..AuditBatch::default()
    }
}

/// The answer to a batch that comes by this credential.
async fn send(plane: &ControlPlane, credential: &str, batch: &AuditBatch) -> Answer {
    let request = plane.api.request(Method::POST, AUDIT).bearer_auth(credential);
    let request = request.header("content-type", "application/x-protobuf");
    Answer::of(request.body(batch.encode_to_vec())).await
}

/// Returns at which position the receipt was signed.
async fn is_taken(plane: &ControlPlane, credential: &str, batch: &AuditBatch) -> Position {
    let request = plane.api.request(Method::POST, AUDIT).bearer_auth(credential);
    let request = request.header("content-type", "application/x-protobuf");
    let answer = request.body(batch.encode_to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let signed = SignedUpdate::decode(answer.bytes().await.unwrap()).unwrap();
    let verifier = Verifier::new([plane.server.public_key]);
    verifier.verify_signed(&signed).unwrap().position()
}

async fn refusals(plane: &ControlPlane, outcome: &str) -> u64 {
    plane.metric(&format!("kya_audit_batches_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test]
async fn one_worker_too_many_is_told_what_to_do() {
    let plane = ControlPlane::start().await;
    for instance in 1..=128 {
        is_taken(&plane, &plane.credential, &batch(instance, vec![dropped(1)])).await;
    }
    let answer = send(&plane, &plane.credential, &batch(129, vec![dropped(1)])).await;
    let told = answer.problem(429, "too_many_requests");
    assert!(told.contains("128 workers of node web-1") && told.contains("revoke"), "{told}");
    assert_eq!(refusals(&plane, "too_many_workers").await, 1);
    is_taken(&plane, &plane.credential, &batch(128, vec![dropped(1)])).await;
}

#[tokio::test]
async fn what_was_not_done_yet_is_applied_by_nobody() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    // A receipt is signed at the newest position.
    let head = is_taken(&plane, &plane.credential, &batch(9, vec![])).await;
    let applied = |revision| {
        event(audit_event::Event::Applied(AuditApplied {
            epoch: head.epoch,
            revision,
            in_flight: 0,
            untracked: 0,
        }))
    };
    is_taken(&plane, &plane.credential, &batch(9, vec![applied(head.revision.0)])).await;
    let ahead = AuditBatch { first: 2, ..batch(9, vec![applied(head.revision.0 + 1)]) };
    let told = send(&plane, &plane.credential, &ahead).await.problem(400, "invalid_request");
    assert!(told.starts_with("event 2: position "), "{told}");
    assert_eq!(refusals(&plane, "ahead").await, 1);
    plane.api.revoke(&agent).await;
    is_taken(&plane, &plane.credential, &ahead).await;
}

#[tokio::test]
async fn another_registration_reports_as_no_worker_that_is_there() {
    let plane = ControlPlane::start().await;
    let node = json!({ "name": "stolen", "match": "web-*" });
    let stolen = plane.api.post("/v1/nodes", node).await.expect(201)["credential"].text();
    is_taken(&plane, &plane.credential, &batch(9, vec![dropped(1)])).await;
    let told = send(&plane, &stolen, &batch(9, vec![dropped(1)])).await.problem(403, "forbidden");
    assert!(told.contains("than stolen"), "{told}");
    assert_eq!(refusals(&plane, "other_registration").await, 1);
    is_taken(&plane, &stolen, &batch(10, vec![dropped(1)])).await;
}

#[tokio::test]
async fn what_comes_again_as_something_else_is_a_conflict_and_the_trail_says_so() {
    let plane = ControlPlane::start().await;
    is_taken(&plane, &plane.credential, &batch(9, vec![dropped(1), dropped(2)])).await;
    is_taken(&plane, &plane.credential, &batch(9, vec![dropped(1), dropped(2)])).await;
    let other = batch(9, vec![dropped(1), dropped(3)]);
    for n in 1..=2 {
        let told = send(&plane, &plane.credential, &other).await.problem(409, "conflict");
        assert!(told.starts_with("event 2 is in the trail"), "{told}");
        assert_eq!(refusals(&plane, "conflict").await, n);
    }
    let said = plane.api.get("/v1/audit/records?type=conflict").await.expect(200);
    let [said] = &said["records"].as_array().unwrap()[..] else { panic!("{said}") };
    let record = &said["record"];
    assert_eq!((&record["proxy"], &record["number"]), (&json!("web-1"), &json!(2)));
    assert!(record["registration"].is_string(), "{record}");
}
