//! Ways to stop besides an agent and a token, over the HTTP API and down to what a
//! proxy decides by.

use kya_control_plane::push::Limits;
use kya_core::{DenyReason, Status};
use reqwest::header;
use serde_json::{Value, json};

use crate::support;
use crate::support::ControlPlane;
use crate::support::api::{Api, Text};

async fn register(api: &Api, body: Value) -> String {
    api.post("/v1/agents", body).await.expect(201)["agent_id"].text()
}

async fn add(api: &Api, name: &str) -> Value {
    api.post("/v1/principals", json!({ "name": name })).await.expect(201)
}

async fn token(api: &Api, agent: &str) -> String {
    api.issue(agent).await["token"].text()
}

async fn revision(api: &Api) -> u64 {
    api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn an_agent_is_registered_with_owner_labels_and_expiry() {
    let plane = ControlPlane::start().await;
    let alice = add(&plane.api, "alice@example.com").await;
    let body = json!({
        "name": "payer", "owner": "alice@example.com",
        "labels": { "team": "pay", "env": "prod" }, "expires_at": "2033-01-31T13:00:00.5+01:00",
    });
    let agent = plane.api.post("/v1/agents", body).await.expect(201);
    assert_eq!(agent["status"], "active");
    assert_eq!(agent["principal_id"], alice["principal_id"]);
    assert_eq!(
        (&agent["owner"], &agent["owner_status"]),
        (&json!("alice@example.com"), &json!("active"))
    );
    assert_eq!(agent["labels"], json!({ "env": "prod", "team": "pay" }));
    assert_eq!(agent["expires_at"], "2033-01-31T12:00:00.000Z");
    let path = format!("/v1/agents/{}", agent["agent_id"].text());
    assert_eq!(plane.api.get(&path).await.expect(200), agent);
    let by_id = json!({ "name": "other", "owner": alice["principal_id"] });
    let other = register(&plane.api, by_id).await;
    for (query, count) in [
        ("owner=alice@example.com", 2),
        ("selector=env%3Dprod,team!%3Dx", 1),
        ("selector=!env", 1),
        ("owner=alice@example.com&selector=env%3Dprod&status=active", 1),
        ("status=expired", 0),
        ("selector=env%3Dstaging", 0),
    ] {
        let listed = plane.api.get(&format!("/v1/agents?{query}")).await.expect(200);
        assert_eq!(listed["agents"].as_array().unwrap().len(), count, "{query}");
    }
    let page = plane.api.get("/v1/agents?owner=alice@example.com&limit=1").await.expect(200);
    let next = page["next"].text();
    let rest = plane.api.get(&format!("/v1/agents?owner=alice@example.com&after={next}")).await;
    assert_eq!(rest.expect(200)["agents"][0]["agent_id"], *other);
}

#[tokio::test]
async fn offboarding_a_principal_denies_her_agents_and_no_others() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let alice = add(&plane.api, "alice@example.com").await;
    let mut hers = Vec::new();
    for n in 0..3 {
        let body = json!({ "name": format!("a{n}"), "owner": "alice@example.com" });
        let agent = register(&plane.api, body).await;
        hers.push(token(&plane.api, &agent).await);
    }
    let other = token(&plane.api, &plane.api.register("other").await).await;
    let path = "/v1/principals/alice@example.com/offboard";
    let dry = json!({ "reason": "she left", "dry_run": true });
    let would = plane.api.post(path, dry).await.expect(200);
    let reach = json!({ "agents": 3, "tokens": 3 });
    assert_eq!(would, json!({ "dry_run": true, "changed": true, "reach": reach }));

    let before = revision(&plane.api).await;
    let why = json!({ "reason": "she left", "incident_id": "HR-7" });
    let change = plane.api.post(path, why.clone()).await.expect(200);
    assert_eq!((&change["changed"], &change["revision"]), (&json!(true), &json!(before + 1)));
    assert_eq!(change["reach"], reach);
    let principal = &change["principal"];
    assert_eq!(principal["principal_id"], alice["principal_id"]);
    assert_eq!(
        (&principal["status"], &principal["in_flight"]),
        (&json!("revoked"), &json!("abort"))
    );
    assert_eq!(
        (&principal["status_reason"], &principal["incident_id"]),
        (&json!("she left"), &json!("HR-7"))
    );
    assert_eq!(principal["revoked_at"], change["committed_at"]);
    proxy.catch_up(before + 1).await;
    for token in &hers {
        assert_eq!(proxy.state.denial(token), Some(DenyReason::PrincipalRevoked));
    }
    assert_eq!(proxy.state.denial(&other), None);

    let again = plane.api.post(path, why).await.expect(200);
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &change["revision"]));
    let detail = plane
        .api
        .post("/v1/principals/alice@example.com/restore", json!({}))
        .await
        .problem(409, "conflict");
    assert!(detail.contains("alice@example.com is revoked, which is final"), "{detail}");
    let agent = json!({ "name": "new", "owner": "alice@example.com" });
    let detail = plane.api.post("/v1/agents", agent).await.problem(409, "conflict");
    assert!(detail.contains("only an active one gets agents"), "{detail}");
    let shown = plane.api.get("/v1/agents?owner=alice@example.com").await.expect(200);
    let agent = &shown["agents"][0];
    assert_eq!((&agent["status"], &agent["owner_status"]), (&json!("active"), &json!("revoked")));
    let issue = json!({ "agent_id": agent["agent_id"] });
    plane.api.post("/v1/tokens", issue).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_suspended_principal_is_restored_with_all_her_agents() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let id = add(&plane.api, "alice").await["principal_id"].text();
    let agent = register(&plane.api, json!({ "name": "a", "owner": "alice" })).await;
    let token = token(&plane.api, &agent).await;
    for (action, status, denial) in [
        ("suspend", "suspended", Some(DenyReason::PrincipalSuspended)),
        ("restore", "active", None),
    ] {
        let path = format!("/v1/principals/{id}/{action}");
        let change = plane.api.post(&path, json!({ "reason": "holiday" })).await.expect(200);
        assert_eq!(change["principal"]["status"], status);
        proxy.catch_up(change["revision"].as_u64().unwrap()).await;
        assert_eq!(proxy.state.denial(&token), denial);
    }
    let shown = plane.api.get(&format!("/v1/principals/{id}")).await.expect(200);
    assert_eq!(shown, plane.api.get("/v1/principals/alice").await.expect(200));
    let listed = plane.api.get("/v1/principals?status=active&limit=1").await.expect(200);
    assert_eq!(listed, json!({ "principals": [shown], "next": null }));
}

#[tokio::test]
async fn one_action_is_denied_and_every_other_goes_on() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = plane.api.register("payer").await;
    let token = token(&plane.api, &agent).await;
    let path = |action: &str| format!("/v1/agents/{agent}/capabilities/{action}");
    let body = |action: &str| json!({ "action": action, "reason": "refund loop" });
    for action in ["suspend", "restore"] {
        plane.api.post(&path(action), body("create_charge")).await.expect(200);
    }
    let change = plane.api.post(&path("revoke"), body("issue_refund")).await.expect(200);
    assert_eq!((&change["changed"], &change["active"]), (&json!(true), &json!(["create_charge"])));
    let capability = &change["capability"];
    assert_eq!(
        (&capability["action"], &capability["status"]),
        (&json!("issue_refund"), &json!("revoked"))
    );
    proxy.catch_up(change["revision"].as_u64().unwrap()).await;
    let allowed = |action: &str| {
        let decision = proxy.state.decide_action(&token, Some(&action.parse().unwrap()));
        matches!(decision, kya_core::Decision::Allow { .. })
    };
    assert!(!allowed("issue_refund") && allowed("create_charge") && allowed("anything_else"));

    let detail = plane.api.post(&path("restore"), body("issue_refund")).await;
    let detail = detail.problem(409, "conflict");
    assert!(detail.contains("only a suspended capability can be restored"), "{detail}");
    let again = plane.api.post(&path("revoke"), body("issue_refund")).await.expect(200);
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &change["revision"]));
    let listed = plane.api.get(&format!("/v1/agents/{agent}/capabilities")).await.expect(200);
    let statuses = listed["capabilities"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses.map(|it| (it["action"].text(), it["status"].text())).collect();
    assert_eq!(
        statuses,
        [("create_charge", "active"), ("issue_refund", "revoked")]
            .map(|(action, status)| (action.to_owned(), status.to_owned()))
    );
    let dry = json!({ "action": "x", "reason": "look", "dry_run": true });
    let would = plane.api.post(&path("revoke"), dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 1, "tokens": 1 }));
}

#[tokio::test]
async fn a_halt_denies_everyone_until_it_is_resumed() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let never = plane.api.get("/v1/fleet").await.expect(200);
    assert_eq!((&never["status"], &never["revision"]), (&json!("active"), &Value::Null));
    let mut tokens = Vec::new();
    for n in 0..2 {
        let agent = plane.api.register(&format!("a{n}")).await;
        tokens.push(token(&plane.api, &agent).await);
    }
    let dry = json!({ "reason": "fire", "dry_run": true });
    let would = plane.api.post("/v1/fleet/halt", dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 2, "tokens": 2 }));
    assert_eq!(plane.api.get("/v1/fleet").await.expect(200)["status"], "active");
    for (path, status, denial) in [
        ("/v1/fleet/halt", "suspended", Some(DenyReason::FleetHalted)),
        ("/v1/fleet/resume", "active", None),
    ] {
        let change = plane.api.post(path, json!({ "reason": "fire" })).await.expect(200);
        assert_eq!(
            (&change["changed"], &change["fleet"]["status"]),
            (&json!(true), &json!(status))
        );
        proxy.catch_up(change["revision"].as_u64().unwrap()).await;
        for token in &tokens {
            assert_eq!(proxy.state.denial(token), denial);
        }
        let again = plane.api.post(path, json!({ "reason": "fire" })).await.expect(200);
        assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &change["revision"]));
        // Whoever connects now is told as well.
        assert_eq!(plane.proxy("late").await.state.denial(&tokens[0]), denial);
    }
    plane.api.post("/v1/fleet/resume", json!({})).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn agents_are_stopped_by_their_labels() {
    let plane = ControlPlane::start().await;
    let mut tokens = Vec::new();
    for (env, count) in [("staging", 3), ("prod", 1)] {
        for n in 0..count {
            let body = json!({ "name": format!("{env}{n}"), "labels": { "env": env } });
            let agent = register(&plane.api, body).await;
            tokens.push(token(&plane.api, &agent).await);
        }
    }
    let mut proxy = plane.proxy("sidecar").await;
    let stop = json!({ "selector": "env=staging", "reason": "noise", "incident_id": "INC-1" });
    let mut dry = stop.clone();
    dry["dry_run"] = json!(true);
    let would = plane.api.post("/v1/agents/suspend", dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 3, "tokens": 3 }));
    assert_eq!(revision(&plane.api).await, 8);
    for (action, status, denial) in [
        ("suspend", "suspended", DenyReason::AgentSuspended),
        ("revoke", "revoked", DenyReason::AgentRevoked),
    ] {
        let path = format!("/v1/agents/{action}");
        let change = plane.api.post(&path, stop.clone()).await.expect(200);
        let of = |name: &str| change[name].clone();
        assert_eq!((of("selector"), of("status")), (json!("env=staging"), json!(status)));
        assert_eq!((of("changed"), of("agents")), (json!(true), json!(3)));
        assert_eq!((of("unchanged"), of("revisions")), (json!(0), json!(1)));
        proxy.catch_up(change["revision"].as_u64().unwrap()).await;
        for token in &tokens[..3] {
            assert_eq!(proxy.state.denial(token), Some(denial));
        }
        assert_eq!(proxy.state.denial(&tokens[3]), None);
        let again = plane.api.post(&path, stop.clone()).await.expect(200);
        assert_eq!((&again["changed"], &again["unchanged"]), (&json!(false), &json!(3)));
        assert_eq!(again["revision"], change["revision"]);
    }
    let nobody = json!({ "selector": "env=nowhere", "reason": "noise" });
    let nobody = plane.api.post("/v1/agents/revoke", nobody).await.expect(200);
    assert_eq!((&nobody["changed"], &nobody["agents"]), (&json!(false), &json!(0)));
    assert_eq!(nobody.get("revision"), None);
}

#[tokio::test]
async fn more_agents_than_a_revision_holds_are_stopped_by_one_call() {
    let plane = ControlPlane::start().await;
    plane.api.register("first").await;
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    let count = u32::try_from(kya_core::MAX_CHANGES).unwrap() * 2 + 5;
    support::database::add_agents(dir.path(), count, "env", "staging").await;
    let plane = ControlPlane::start_in(dir, Limits::default()).await;
    let mut proxy = plane.proxy("sidecar").await;
    let stop = json!({ "selector": "env=staging", "reason": "noise" });
    let change = plane.api.post("/v1/agents/revoke", stop.clone()).await.expect(200);
    assert_eq!((&change["agents"], &change["revisions"]), (&json!(count), &json!(3)));
    assert_eq!(change["revision"], 4);
    proxy.catch_up(4).await;
    let agents = proxy.known().agents.values();
    let revoked = agents.filter(|agent| agent.standing.status == Status::Revoked).count();
    assert_eq!((revoked, proxy.known().agents.len()), (count as usize, count as usize + 1));
    let again = plane.api.post("/v1/agents/revoke", stop).await.expect(200);
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!(false), &json!(count)));
    assert_eq!(again["revision"], 4);
}

#[tokio::test]
async fn a_dry_run_of_an_agent_or_a_token_writes_nothing() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let id = plane.api.issue(&agent).await["token_id"].text();
    for (path, agents) in [
        (format!("/v1/agents/{agent}/revoke"), 1),
        (format!("/v1/agents/{agent}/suspend"), 1),
        (format!("/v1/tokens/{id}/revoke"), 0),
    ] {
        let dry = json!({ "reason": "look", "dry_run": true });
        let would = plane.api.post(&path, dry).await.expect(200);
        let reach = json!({ "agents": agents, "tokens": 1 });
        assert_eq!(would, json!({ "dry_run": true, "changed": true, "reach": reach }), "{path}");
    }
    assert_eq!(revision(&plane.api).await, 2);
    let shown = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(shown["status"], "active");
}

#[tokio::test]
async fn a_principal_has_a_place_of_its_own_and_a_name_that_is_used_once() {
    let plane = ControlPlane::start().await;
    let answer = plane.api.post("/v1/principals", json!({ "name": "team-payments" })).await;
    let location = answer.headers[header::LOCATION].to_str().unwrap().to_owned();
    let principal = answer.expect(201);
    assert_eq!(plane.api.get(&location).await.expect(200), principal);
    let twice = plane.api.post("/v1/principals", json!({ "name": "team-payments" })).await;
    let detail = twice.problem(409, "conflict");
    assert!(detail.starts_with("there is, or was, a principal team-payments"), "{detail}");
}

#[tokio::test]
async fn every_wrong_stop_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    add(&plane.api, "alice").await;
    let agents = "/v1/agents";
    let principals = "/v1/principals";
    let offboard = "/v1/principals/alice/offboard";
    let halt = "/v1/fleet/halt";
    let selected = "/v1/agents/suspend";
    let capability = &format!("/v1/agents/{agent}/capabilities/revoke");
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (path, body, complaint) in [
        (
            agents,
            json!({ "name": "x", "labels": many }),
            "`labels`: an agent has at most 32 labels",
        ),
        (agents, json!({ "name": "x", "labels": { "Env": "x" } }), "is not the key of a label"),
        (agents, json!({ "name": "x", "labels": { "env": "" } }), "is not the value of a label"),
        (agents, json!({ "name": "x", "labels": { "env": "a,b" } }), "is not the value of a label"),
        (agents, json!({ "name": "x", "labels": { "env": 1 } }), "expected a string"),
        (agents, json!({ "name": "x", "labels": ["env=x"] }), "an object of labels"),
        (
            agents,
            json!({ "name": "x", "owner": agent }),
            "`owner`: the name of a principal has only",
        ),
        (agents, json!({ "name": "x", "owner": "prn_x" }), "`owner`: not a principal id"),
        (
            agents,
            json!({ "name": "x", "expires_at": "2020-01-01T00:00:00Z" }),
            "must be in the future",
        ),
        (agents, json!({ "name": "x", "expires_at": "2999-01-01T00:00:00Z" }), "within ten years"),
        (
            agents,
            json!({ "name": "x", "expires_at": "tomorrow" }),
            "`expires_at`: must be an instant",
        ),
        (agents, json!({ "name": "x", "expires_at": 1_900_000_000 }), "`expires_at`: invalid type"),
        (principals, json!({}), "missing field `name`"),
        (principals, json!({ "name": "\u{430}lice" }), "U+0430"),
        (principals, json!({ "name": "Alice" }), "`name`: the name of a principal has only"),
        (principals, json!({ "name": "" }), "1 to 254 characters, this has 0"),
        (principals, json!({ "name": "x".repeat(255) }), "this has 255"),
        (principals, json!({ "name": "prn_x" }), "does not begin with `prn_`"),
        (principals, json!({ "name": "bob", "agents": [] }), "unknown field `agents`"),
        (offboard, json!({}), "missing field `reason`"),
        (offboard, json!({ "reason": "x", "dry_run": "yes" }), "`dry_run`: invalid type: string"),
        (offboard, json!({ "reason": "x", "in_flight": "x" }), "is none of abort, drain"),
        (halt, json!({}), "missing field `reason`"),
        (halt, json!({ "reason": "x", "all": true }), "unknown field `all`"),
        ("/v1/fleet/resume", json!({}), "missing field `reason`"),
        (selected, json!({ "reason": "x" }), "missing field `selector`"),
        (
            selected,
            json!({ "selector": "", "reason": "x" }),
            "`selector`: a selector must not be em",
        ),
        (selected, json!({ "selector": "env=", "reason": "x" }), "`selector`: \"env=\" is no part"),
        (selected, json!({ "selector": "env", "reason": "x", "all": 1 }), "unknown field `all`"),
        (capability, json!({ "reason": "x" }), "missing field `action`"),
        (capability, json!({ "action": "*", "reason": "x" }), "`action`: has '*' at byte 0"),
        (capability, json!({ "action": "", "reason": "x" }), "`action`: is empty"),
        (capability, json!({ "action": "a".repeat(257), "reason": "x" }), "has 257 bytes"),
        (capability, json!({ "action": "x" }), "missing field `reason`"),
    ] {
        let shown = body.to_string();
        let detail = plane.api.post(path, body).await.problem(422, "invalid_request");
        assert!(detail.contains(complaint), "{path} {shown}: {detail}");
    }
    for (path, complaint) in [
        ("/v1/agents?selector=", "selector: a selector must not be empty"),
        ("/v1/agents?selector=env%3D", "is no part of a selector"),
        ("/v1/agents?owner=Alice", "owner: the name of a principal has only"),
        ("/v1/agents?status=dead", "none of active, suspended, revoked, expired"),
        ("/v1/principals/Alice", "in the path: the name of a principal"),
        ("/v1/principals/prn_x", "in the path: not a principal id"),
        ("/v1/principals?status=expired", "is none of active, suspended, revoked"),
        (&*format!("/v1/principals?after={agent}"), "after: not a principal id"),
        ("/v1/agents/alice/capabilities", "not an agent id"),
    ] {
        let detail = plane.api.get(path).await.problem(400, "invalid_request");
        assert!(detail.contains(complaint), "{path}: {detail}");
    }
    let nobody = plane.api.get("/v1/principals/bob").await.problem(404, "not_found");
    assert_eq!(nobody, "there is no principal bob");
    plane.api.get("/v1/agents?owner=bob").await.problem(404, "not_found");
    let why = json!({ "reason": "x" });
    plane.api.post("/v1/principals/bob/offboard", why).await.problem(404, "not_found");
    let body = json!({ "name": "x", "owner": "bob" });
    plane.api.post(agents, body).await.problem(404, "not_found");
    assert_eq!(revision(&plane.api).await, 2, "a refused request changed something");
}
