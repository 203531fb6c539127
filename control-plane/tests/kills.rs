//! What becomes of a kill, over HTTP: workers report by the endpoint that they have.

use kya_control_plane::time::UnixMicros;
use kya_core::audit::{Receipt, ReceiptProxy, SignedReceipt, VerifierKey};
use kya_core::wire::{
    AuditApplied, AuditBatch, AuditDecision, AuditEnd, AuditEvent, AuditInFlight, SignedUpdate,
    audit_event::Event,
};
use serde_json::{Value, json};

use crate::support::pull::ask;
use crate::support::{ControlPlane, eventually};

/// That of the first worker of a proxy of these tests.
const INSTANCE: u64 = 0xabc0;

fn batch(node: &str, first: u64, events: Vec<Event>) -> AuditBatch {
    let event = |event| AuditEvent { unix_nanos: 1_770_302_823_000_250_000, event: Some(event) };
    AuditBatch {
        protocol_version: 1,
        node_id: node.to_owned(),
        instance: INSTANCE,
        service: "payments".to_owned(),
        first,
        events: events.into_iter().map(event).collect(),
        ..AuditBatch::default()
    }
}

async fn report(plane: &ControlPlane, batch: AuditBatch) {
    let _: SignedUpdate = ask(plane, "/v1/enforcement/audit", &batch).await;
}

/// A request of this agent that goes on.
fn goes_on(agent: &str) -> Event {
    Event::Decision(AuditDecision {
        verdict: 1,
        agent_id: agent.parse::<kya_core::AgentId>().unwrap().to_bytes().to_vec(),
        action: "payments.charge".to_owned(),
        method: "POST".to_owned(),
        epoch: 1,
        revision: 1,
        ..AuditDecision::default()
    })
}

fn applied((epoch, revision): (u64, u64), in_flight: u32) -> Event {
    Event::Applied(AuditApplied { epoch, revision, in_flight, untracked: 0 })
}

async fn show(plane: &ControlPlane, kill: &str, wait: &str) -> Value {
    plane.api.get(&format!("/v1/kills/{kill}?wait={wait}")).await.expect(200)
}

#[tokio::test]
async fn a_kill_is_complete_when_every_worker_applies_it_and_nothing_is_in_flight() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let proxies = [plane.proxy("a").await, plane.proxy("b").await];
    for proxy in &proxies {
        proxy.report(&[0], true).await;
    }
    eventually("both have said which workers they have", async || {
        let nodes = plane.api.nodes().await;
        nodes.iter().filter(|node| node["workers"][0]["slot"] == 0).count() == 2
    })
    .await;
    report(&plane, batch("a", 1, vec![goes_on(&agent), goes_on(&agent)])).await;
    let change = plane.api.revoke(&agent).await;
    let kill = change["kill_id"].as_str().unwrap();
    let again = plane.api.revoke(&agent).await;
    assert_eq!((&again["changed"], &again["kill_id"]), (&json!(false), &json!(kill)));
    eventually("it is in the trail", async || show(&plane, kill, "0s").await["state"] == "open")
        .await;
    // One of them has said nothing to the trail, and was there all the same.
    let found = show(&plane, kill, "20ms").await;
    assert_eq!(found["complete"], false);
    assert_eq!(found["laggards"], json!(["a/000000000000abc0", "b/000000000000abc0"]));
    assert_eq!(found["kill"]["subject"], agent);
    assert_eq!(found["kill"]["role"], "admin");
    let number = |field: &str| found["kill"][field].as_u64().unwrap();
    let (epoch, revision) = (number("epoch"), number("revision"));
    let at = (epoch, revision);
    let concerned =
        |decision, ending| Event::InFlight(AuditInFlight { epoch, revision, decision, ending });
    let cut = AuditEnd {
        decision: 1,
        disposition: 3,
        cut: true,
        cut_epoch: epoch,
        cut_revision: revision,
        ..AuditEnd::default()
    };
    let told = vec![applied(at, 2), concerned(1, 1), concerned(2, 1), Event::End(cut)];
    report(&plane, batch("a", 3, told)).await;
    report(&plane, batch("b", 1, vec![applied(at, 0)])).await;
    let found = show(&plane, kill, "20ms").await;
    assert_eq!((&found["complete"], &found["laggards"]), (&json!(false), &json!([])));
    assert_eq!(found["workers"][0]["state"], "applied");
    let answered = AuditEnd { decision: 2, disposition: 1, status: 200, ..AuditEnd::default() };
    let ends = report(&plane, batch("a", 7, vec![Event::End(answered)]));
    let (found, ()) = tokio::join!(show(&plane, kill, "20s"), ends);
    assert_eq!((&found["complete"], &found["state"]), (&json!(true), &json!("closed")));
    let rows = found["rows"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["record"]["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["kill_activated", "kill_scope", "kill_completed"]);
    let completed = &rows[2]["record"];
    assert_eq!((&completed["workers"], &completed["applied"]), (&json!(2), &json!(2)));
    assert_eq!((&completed["committed"], &completed["escalated"]), (&json!(1), &json!(1)));
    let requests = found["workers"][0]["requests"].as_array().unwrap();
    let ended: Vec<_> = requests.iter().map(|it| it["disposition"].as_str().unwrap()).collect();
    assert_eq!(ended, ["escalated", "committed"]);
    assert!(requests.iter().all(|it| it["agent_id"] == agent));
}

#[tokio::test]
async fn a_receipt_names_who_has_not_acknowledged_and_whoever_comes_back_completes_it() {
    let plane = ControlPlane::start().await;
    let key = plane.api.get("/v1/audit/keys").await.expect(200);
    let key: VerifierKey = key["keys"][0]["verifier_key"].as_str().unwrap().parse().unwrap();
    let receipt = async |kill: &str, wait: &str| {
        let shown = plane.api.get(&format!("/v1/kills/{kill}/receipt?wait={wait}")).await;
        let shown = shown.expect(200).to_string();
        SignedReceipt::verify(shown.as_bytes(), &key).unwrap()
    };
    plane.api.register_node(json!({ "name": "spare", "match": "spare-*" })).await;
    let gone = plane.api.register_node(json!({ "name": "gone", "match": "gone" })).await;
    assert!(!gone.is_empty());
    plane.api.revoke_node("gone").await;
    let agent = plane.api.register("payer").await;
    let of =
        |node: &str, instance, first, events| AuditBatch { instance, ..batch(node, first, events) };
    report(&plane, of("a", 1, 1, vec![goes_on(&agent)])).await;
    report(&plane, of("b", 2, 1, vec![goes_on(&agent)])).await;
    let change = plane.api.revoke(&agent).await;
    let kill = change["kill_id"].as_str().unwrap();
    eventually("it is in the trail", async || show(&plane, kill, "0s").await["state"] == "open")
        .await;
    let shown = show(&plane, kill, "0s").await;
    let number = |field: &str| shown["kill"][field].as_u64().unwrap();
    let at = (number("epoch"), number("revision"));

    report(&plane, of("a", 1, 2, vec![applied(at, 0)])).await;
    let found = receipt(kill, "0s").await;
    assert_eq!((found.complete, found.workers_there, found.acknowledged), (false, 2, 1));
    let states = |found: &Receipt| -> Vec<_> {
        let state = |it: &ReceiptProxy| (it.proxy.clone(), it.acknowledged, it.workers.len());
        found.proxies.iter().map(state).collect()
    };
    assert_eq!(states(&found), [("a".to_owned(), true, 1), ("b".to_owned(), false, 1)]);
    // The proxies of these tests come by a registration that fits every name.
    assert_eq!(found.not_connected, ["spare"]);
    assert_eq!((found.kill_id.as_str(), found.subject.as_str()), (kill, agent.as_str()));
    let first = &found.proxies[0].workers[0];
    assert!(first.acknowledged_after_us.is_some() && first.record.is_some(), "{first:?}");
    assert_eq!(found.last_acknowledged_after_us, first.acknowledged_after_us);
    assert_eq!(found.proxies[1].workers[0].acknowledged_after_us, None);

    // The other proxy dies, and its request with it.
    plane.server.trail().lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    report(&plane, of("a", 1, 3, vec![applied(at, 0)])).await;
    eventually("it is closed", async || show(&plane, kill, "0s").await["state"] == "closed").await;
    let found = receipt(kill, "0s").await;
    assert_eq!((found.complete, found.acknowledged), (false, 1), "it may serve somewhere");
    assert_eq!(found.proxies[1].workers[0].state, "lost");
    // It starts again, with other workers in other memory.
    let back = report(&plane, of("b", 3, 1, vec![applied(at, 0)]));
    let (found, ()) = tokio::join!(receipt(kill, "20s"), back);
    assert_eq!((found.complete, found.acknowledged), (true, 2));
    assert_eq!(found.in_flight.requests, found.in_flight.escalated);
    assert_eq!(found.records.len(), 3);
    let shown = show(&plane, kill, "0s").await;
    assert_eq!((&shown["complete"], &shown["laggards"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn a_kill_that_nobody_was_there_for_is_never_complete_in_its_receipt() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let change = plane.api.revoke(&agent).await;
    let kill = change["kill_id"].as_str().unwrap();
    let found = show(&plane, kill, "20s").await;
    assert_eq!(found["state"], "closed");
    let shown = plane.api.get(&format!("/v1/kills/{kill}/receipt")).await.expect(200);
    assert_eq!(shown["receipt"]["complete"], false);
    assert_eq!(shown["receipt"]["proxies"], json!([]));
    let stranger = "/v1/kills/kil_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/receipt";
    plane.api.get(stranger).await.problem(404, "not_found");
}

#[tokio::test]
async fn where_nobody_is_connected_that_is_said() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let body = json!({ "reason": "fire", "incident_id": "INC-7" });
    let halt = plane.api.post("/v1/fleet/halt", body).await.expect(200);
    let found = show(&plane, halt["kill_id"].as_str().unwrap(), "20s").await;
    assert_eq!((&found["state"], &found["workers_there"]), (&json!("closed"), &json!(0)));
    let said = found["summary"].as_str().unwrap();
    assert!(said.starts_with("No worker of any proxy was connected"), "{said}");
    plane.api.revoke(&agent).await;
    let listed = plane.api.get("/v1/kills?incident_id=INC-7").await.expect(200);
    assert_eq!(listed["kills"].as_array().unwrap().len(), 1);
    assert_eq!(listed["kills"][0]["kill_id"], halt["kill_id"]);
    let page = plane.api.get("/v1/kills?limit=1").await.expect(200);
    assert_eq!(page["kills"][0]["act"], "agent.revoked");
    let before = page["next"].as_str().unwrap();
    let page = plane.api.get(&format!("/v1/kills?limit=1&before={before}")).await.expect(200);
    assert_eq!((&page["kills"][0]["act"], &page["next"]), (&json!("fleet.halted"), &Value::Null));
    plane.api.get("/v1/kills/kil_01JXMK9P2Q3R4S5T6V7W8X9Y0Z").await.problem(404, "not_found");
    let odd = format!("/v1/kills/{before}?wait=31s");
    assert!(plane.api.get(&odd).await.problem(400, "invalid_request").contains("at most 30s"));
}
