//! Restoring by two operators, over the HTTP API and down to what a proxy decides by.

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_core::DenyReason;
use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::api::{Api, Text};

/// A control plane that has restorations wait, and two who may approve them.
async fn plane() -> (ControlPlane, Api, Api) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { second_operator_to_resume: true, ..Config::ephemeral(dir.path()) };
    let plane = ControlPlane::start_as(config, dir, Limits::default()).await;
    let anna = plane.api.add_operator("anna", "admin").await;
    let boss = plane.api.add_operator("boss", "admin").await;
    (plane, anna, boss)
}

async fn revision(api: &Api) -> u64 {
    api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap()
}

fn path(approval: &Value, what: &str) -> String {
    format!("/v1/approvals/{}/{what}", approval["approval_id"].text())
}

#[tokio::test]
async fn every_restoration_waits_for_a_second_operator_and_no_stop_does() {
    let (plane, anna, boss) = plane().await;
    let mut proxy = plane.proxy("sidecar").await;
    let alice = plane.api.post("/v1/principals", json!({ "name": "alice" })).await.expect(201);
    let body = json!({ "name": "payer", "owner": "alice" });
    let agent = plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let token = plane.api.issue(&agent).await["token"].text();
    let capability = json!({ "action": "pay", "reason": "r" });
    let why = json!({ "reason": "r" });
    let agents = format!("/v1/agents/{agent}");
    for (place, stop, back, body, kind) in [
        (&*agents, "suspend", "restore", &why, "agent"),
        (&format!("{agents}/capabilities"), "suspend", "restore", &capability, "capability"),
        ("/v1/principals/alice", "suspend", "restore", &why, "principal"),
        ("/v1/fleet", "halt", "resume", &why, "fleet"),
    ] {
        // Where nothing is stopped there is nothing to wait for.
        let nothing = anna.post(&format!("{place}/{back}"), body.clone()).await.expect(200);
        assert_eq!(nothing["changed"], false, "{kind}");
        let stopped = anna.post(&format!("{place}/{stop}"), body.clone()).await.expect(200);
        assert_eq!(stopped["changed"], true, "{kind}");
        let asked = anna.post(&format!("{place}/{back}"), body.clone()).await.expect(202);
        let of = |field: &str| asked[field].clone();
        assert_eq!((of("status"), of("restores")), (json!("pending"), json!(kind)));
        assert_eq!((of("asked_by"), of("reason")), (json!("anna"), json!("r")));
        assert_eq!(revision(&plane.api).await, stopped["revision"].as_u64().unwrap());
        let listed = boss.get("/v1/approvals").await.expect(200);
        assert_eq!(listed, json!({ "approvals": [asked], "next": null }));
        let own = anna.post(&path(&asked, "approve"), json!({})).await.problem(409, "conflict");
        assert!(own.contains("anna asked for") && own.contains("somebody else"), "{own}");
        let change = boss.post(&path(&asked, "approve"), json!({})).await.expect(200);
        assert_eq!(
            (&change["changed"], &change["approval"]["settled_by"]),
            (&json!(true), &json!("boss"))
        );
        assert_eq!(change["revision"], stopped["revision"].as_u64().unwrap() + 1);
        proxy.catch_up(change["revision"].as_u64().unwrap()).await;
        assert_eq!(proxy.state.denial(&token), None, "{kind}");
        let again = boss.post(&path(&asked, "approve"), json!({})).await.expect(200);
        assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &change["revision"]));
    }
    let all = boss.get("/v1/approvals?all=true").await.expect(200);
    let all = all["approvals"].as_array().unwrap().clone();
    let ids: Vec<_> =
        all.iter().map(|it| (&it["agent_id"], &it["action"], &it["principal_id"])).collect();
    let (agent, none) = (json!(agent), Value::Null);
    assert_eq!(
        ids,
        [
            (&agent, &none, &none),
            (&agent, &json!("pay"), &none),
            (&none, &none, &alice["principal_id"]),
            (&none, &none, &none),
        ]
    );
    assert!(all.iter().all(|it| it["status"] == "approved"));
    assert_eq!(boss.get("/v1/approvals").await.expect(200)["approvals"], json!([]));
}

#[tokio::test]
async fn a_stricter_stop_voids_what_waits_and_the_agent_stays_stopped() {
    let (plane, anna, boss) = plane().await;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].text();
    anna.decide(&agent, "suspend").await.expect(200);
    let asked = anna.decide(&agent, "restore").await.expect(202);
    let stricter = json!({ "reason": "worse than we thought", "in_flight": "abort" });
    let stop = boss.post(&format!("/v1/agents/{agent}/suspend"), stricter).await.expect(200);
    assert_eq!(stop["changed"], true);
    let void = boss.post(&path(&asked, "approve"), json!({})).await.problem(409, "conflict");
    assert!(
        void.contains("is void, and nothing was restored: something else was decided"),
        "{void}"
    );
    proxy.catch_up(revision(&plane.api).await).await;
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentSuspended));

    let asked = anna.decide(&agent, "restore").await.expect(202);
    let rejected = anna.post(&path(&asked, "reject"), json!({ "reason": "no" })).await.expect(200);
    assert_eq!(
        (&rejected["status"], &rejected["settled_by"]),
        (&json!("rejected"), &json!("anna"))
    );
    boss.post(&path(&asked, "approve"), json!({})).await.problem(409, "conflict");
    plane.api.revoke(&agent).await;
    anna.decide(&agent, "restore").await.problem(409, "conflict");
    let events = plane.api.get("/v1/events?limit=1000").await.expect(200);
    let told: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["action"].text(), event["actor"].text()))
        .filter(|(action, _)| action.starts_with("approval."))
        .collect();
    let expected =
        [("requested", "anna"), ("voided", "boss"), ("requested", "anna"), ("rejected", "anna")];
    assert_eq!(told, expected.map(|(what, who)| (format!("approval.{what}"), who.to_owned())));
}

#[tokio::test]
async fn whoever_stops_again_what_is_stopped_voids_what_waits() {
    let (plane, anna, boss) = plane().await;
    let agent = plane.api.register("payer").await;
    anna.decide(&agent, "suspend").await.expect(200);
    let asked = anna.decide(&agent, "restore").await.expect(202);
    // It takes no more than a role that may stop.
    let oncall = plane.api.add_operator("oncall", "operator").await;
    let again = oncall.decide(&agent, "suspend").await.expect(200);
    assert_eq!(again["changed"], false);
    let void = boss.post(&path(&asked, "approve"), json!({})).await.problem(409, "conflict");
    assert!(void.contains("is void by oncall already"), "{void}");
    let shown = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(shown["status"], "suspended");
    assert_eq!(boss.get("/v1/approvals").await.expect(200)["approvals"], json!([]));
}

#[tokio::test]
async fn wrong_approvals_are_refused_with_what_is_wrong() {
    let (plane, anna, boss) = plane().await;
    let agent = plane.api.register("payer").await;
    anna.decide(&agent, "suspend").await.expect(200);
    let asked = anna.decide(&agent, "restore").await.expect(202);
    let oncall = plane.api.add_operator("oncall", "operator").await;
    // Whoever stops sees what would undo it, and may end it; to approve takes an admin.
    let waiting = oncall.get("/v1/approvals").await.expect(200);
    assert_eq!(waiting["approvals"].as_array().unwrap().len(), 1);
    oncall.post(&path(&asked, "approve"), json!({})).await.problem(403, "forbidden");
    let viewer = plane.api.add_operator("looks", "viewer").await;
    viewer.post(&path(&asked, "reject"), json!({})).await.problem(403, "forbidden");
    for what in ["approve", "reject"] {
        let nobody = format!("/v1/approvals/apr_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/{what}");
        boss.post(&nobody, json!({})).await.problem(404, "not_found");
        for id in [
            &agent,
            "apr_",
            "apr_01jxmk9p2q3r4s5t6v7w8x9y0z",
            "apr_01JXMK9P2Q3R4S5T6V7W8X9Y0%CE%96",
        ] {
            let detail = boss.post(&format!("/v1/approvals/{id}/{what}"), json!({})).await;
            assert!(
                detail.problem(400, "invalid_request").contains("in the path: not an approval id")
            );
        }
        for (body, complaint) in [
            (json!({ "reason": "" }), "must not be empty"),
            (json!({ "reason": "a\nb" }), "control characters"),
            (json!({ "by": "anna" }), "unknown field `by`"),
            (json!([]), "must be a JSON object"),
        ] {
            let detail = boss.post(&path(&asked, what), body).await.json["detail"].text();
            assert!(detail.contains(complaint), "{detail}");
        }
    }
    for query in ["all=1", "limit=0", "after=agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "x=1"] {
        let answer = boss.get(&format!("/v1/approvals?{query}")).await;
        answer.problem(400, "invalid_request");
    }
    // Nothing of that was an approval.
    let shown = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(shown["status"], "suspended");
    assert_eq!(boss.get("/v1/approvals").await.expect(200)["approvals"], json!([asked]));
}

#[tokio::test]
async fn one_operator_restores_where_two_are_not_asked_for() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    plane.api.decide(&agent, "suspend").await.expect(200);
    assert_eq!(plane.api.decide(&agent, "restore").await.expect(200)["changed"], true);
    assert_eq!(plane.api.get("/v1/approvals?all=true").await.expect(200)["approvals"], json!([]));
}
