//! Successors, sub-agents, limited tokens and decisions without a proxy, over the HTTP
//! API and down to what a proxy decides by.

use kya_core::{DenyReason, Signer};
use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::api::{Api, Text};

fn key(n: u8) -> String {
    Signer::from_seed([n; 32]).public_key().to_string()
}

async fn revision(api: &Api) -> u64 {
    api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap()
}

async fn verify(api: &Api, body: Value) -> (String, Value) {
    let told = api.post("/v1/verify", body).await.expect(200);
    (told["decision"].text(), told)
}

#[tokio::test]
async fn a_replacement_is_a_new_agent_and_the_old_one_stays_to_be_read() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let body = json!({ "name": "payer", "public_key": key(1), "labels": { "env": "prod" } });
    let old = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let path = format!("/v1/agents/{old}/replace");
    let fresh = json!({ "public_key": key(2) });
    let detail = api.post(&path, fresh).await.problem(409, "conflict");
    assert!(detail.contains("is not revoked"), "{detail}");
    let no_reason = json!({ "public_key": key(2), "revoke": true });
    api.post(&path, no_reason).await.problem(422, "invalid_request");
    let body = json!({ "public_key": key(2), "revoke": true, "reason": "compromised" });
    let new = api.post(&path, body).await.expect(201);
    assert_eq!((&new["replaces"], &new["name"]), (&json!(old), &json!("payer")));
    assert_eq!((&new["labels"], &new["status"]), (&json!({ "env": "prod" }), &json!("active")));
    let was = api.get(&format!("/v1/agents/{old}")).await.expect(200);
    assert_eq!((&was["status"], &was["replaced_by"]), (&json!("revoked"), &new["agent_id"]));
    assert_eq!(was["status_reason"], "compromised");
    let again = json!({ "public_key": key(3) });
    let detail = api.post(&path, again).await.problem(409, "conflict");
    assert!(detail.contains(&new["agent_id"].text()), "{detail}");
    let next = format!("/v1/agents/{}/replace", new["agent_id"].text());
    for (body, status) in [
        (json!({}), 422),
        (json!({ "public_key": "ed25519:nonsense" }), 422),
        (json!({ "public_key": key(1), "revoke": true, "reason": "r" }), 409),
        (json!({ "public_key": key(2), "revoke": true, "reason": "r" }), 409),
        (json!({ "public_key": key(3), "other": 1 }), 422),
        (json!({ "public_key": key(3), "reason": "r" }), 422),
        (json!({ "public_key": key(3), "reason": "r", "revoke": false }), 422),
        (json!({ "public_key": key(3), "expires_at": "2001-01-01T00:00:00Z" }), 422),
    ] {
        let told = api.post(&next, body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{body}: {}", told.json);
    }
}

#[tokio::test]
async fn whoever_acts_for_an_agent_is_stopped_with_it() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let api = &plane.api;
    let top = api.register("top").await;
    let below = api.post(&format!("/v1/agents/{top}/sub-agents"), json!({ "name": "below" })).await;
    let below = below.expect(201);
    assert_eq!(below["parent_id"], json!(top));
    let body = json!({ "name": "third", "parent_id": below["agent_id"] });
    let third = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let token = api.issue(&third).await["token"].text();
    proxy.catch_up(revision(api).await).await;
    assert_eq!(proxy.state.denial(&token), None);
    let tree = api.get(&format!("/v1/agents/{top}/tree")).await.expect(200);
    let depths: Vec<_> = tree["agents"].as_array().unwrap().iter().map(|it| &it["depth"]).collect();
    assert_eq!(depths, [&json!(0), &json!(1), &json!(2)]);
    let dry = json!({ "reason": "r", "dry_run": true });
    let would = api.post(&format!("/v1/agents/{top}/suspend"), dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 3, "tokens": 1 }));
    let dry = json!({ "selector": "!env", "reason": "r", "dry_run": true });
    let would = api.post("/v1/agents/suspend", dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 3, "tokens": 1 }));
    let stop = api.decide(&top, "suspend").await.expect(200);
    proxy.catch_up(stop["revision"].as_u64().unwrap()).await;
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::DelegatorStopped));
    let (decision, told) = verify(api, json!({ "token": token })).await;
    assert_eq!((&*decision, &told["reason"]), ("DENY", &json!("delegator_stopped")));
    let back = api.decide(&top, "restore").await.expect(200);
    proxy.catch_up(back["revision"].as_u64().unwrap()).await;
    assert_eq!(proxy.state.denial(&token), None);
    for (body, status) in [
        (json!({ "name": "a", "parent_id": "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z" }), 404),
        (json!({ "name": "a", "parent_id": "pol_01JXMK9P2Q3R4S5T6V7W8X9Y0Z" }), 422),
        (json!({ "name": "a", "parent_id": 7 }), 422),
    ] {
        let told = api.post("/v1/agents", body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{body}: {}", told.json);
    }
    let other = json!({ "name": "a", "parent_id": third });
    let path = format!("/v1/agents/{top}/sub-agents");
    api.post(&path, other).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_token_is_for_the_services_and_actions_that_it_was_issued_for() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let api = &plane.api;
    let agent = api.register("payer").await;
    let limited = json!({ "agent_id": agent, "services": ["shop"], "actions": ["pay", "read"] });
    let issued = api.post("/v1/tokens", limited).await.expect(201);
    assert_eq!(
        (&issued["services"], &issued["actions"]),
        (&json!(["shop"]), &json!(["pay", "read"]))
    );
    let token = issued["token"].text();
    proxy.catch_up(revision(api).await).await;
    // The proxy of this test has no name of a service.
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::WrongAudience));
    for (action, service, reason) in [
        (json!("pay"), json!("shop"), Value::Null),
        (json!("refund"), json!("shop"), json!("insufficient_scope")),
        (Value::Null, json!("shop"), json!("action_unknown")),
        (json!("pay"), json!("bank"), json!("wrong_audience")),
        (json!("pay"), Value::Null, json!("wrong_audience")),
    ] {
        let body = json!({ "token": token, "action": action, "service": service });
        let (_, told) = verify(api, body.clone()).await;
        assert_eq!(told["reason"], reason, "{body}");
        assert_eq!(told["agent_id"], json!(agent));
    }
    for (body, status) in [
        (json!({ "agent_id": agent, "services": [] }), 422),
        (json!({ "agent_id": agent, "actions": ["Pay"] }), 422),
        (json!({ "agent_id": agent, "services": ["sh\u{43e}p"] }), 422),
        (json!({ "agent_id": agent, "services": vec!["s"; 1000] }), 201),
        (
            json!({ "agent_id": agent, "services": (0..17).map(|n| format!("s{n}")).collect::<Vec<_>>() }),
            422,
        ),
        (
            json!({ "agent_id": agent, "actions": (0..65).map(|n| format!("a{n}")).collect::<Vec<_>>() }),
            422,
        ),
        (json!({ "agent_id": agent, "actions": "pay" }), 422),
    ] {
        let told = api.post("/v1/tokens", body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{body}: {}", told.json);
    }
}

#[tokio::test]
async fn tokens_are_taken_back_by_agent_by_what_they_are_for_and_by_labels() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let api = &plane.api;
    let body = json!({ "name": "a", "labels": { "env": "staging" } });
    let agent = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let first = api.issue(&agent).await["token"].text();
    let all = json!({ "agent_id": agent, "reason": "leaked" });
    let dry = json!({ "agent_id": agent, "reason": "leaked", "dry_run": true });
    let would = api.post("/v1/tokens/revoke", dry).await.expect(200);
    assert_eq!((&would["changed"], &would["reach"]["tokens"]), (&json!(true), &json!(1)));
    let change = api.post("/v1/tokens/revoke", all).await.expect(200);
    assert_eq!((&change["changed"], &change["revisions"]), (&json!(true), &json!(1)));
    let later = api.issue(&agent).await["token"].text();
    proxy.catch_up(revision(api).await).await;
    assert_eq!(proxy.state.denial(&first), Some(DenyReason::TokenSuperseded));
    assert_eq!(proxy.state.denial(&later), None);
    let selected = json!({ "selector": "env=staging", "reason": "noise" });
    let change = api.post("/v1/tokens/revoke", selected).await.expect(200);
    assert_eq!(change["tokens"], 1, "the first does not count any more");
    proxy.catch_up(revision(api).await).await;
    assert_eq!(proxy.state.denial(&later), Some(DenyReason::TokenRevoked));
    for body in [
        json!({ "reason": "r" }),
        json!({ "agent_id": agent }),
        json!({ "selector": "", "reason": "r" }),
        json!({ "agent_id": agent, "reason": "r", "service": "Shop" }),
        json!({ "agent_id": agent, "reason": "r", "all": true }),
    ] {
        api.post("/v1/tokens/revoke", body).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn what_is_decided_without_a_proxy_knows_every_change_that_was_answered() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    for n in 0..20 {
        let agent = api.register(&format!("a{n}")).await;
        let token = api.issue(&agent).await["token"].text();
        let (decision, told) = verify(api, json!({ "token": token })).await;
        assert_eq!((&*decision, &told["agent_id"]), ("ALLOW", &json!(agent)));
        let revoked = api.revoke(&agent).await;
        for body in [json!({ "token": token }), json!({ "agent_id": agent, "action": "pay" })] {
            let (decision, told) = verify(api, body).await;
            assert_eq!((&*decision, &told["reason"]), ("DENY", &json!("agent_revoked")));
            assert!(told["revision"].as_u64() >= revoked["revision"].as_u64());
        }
    }
    let policy = api.request(reqwest::Method::POST, "/v1/policies");
    let policy = policy.header("content-type", "application/yaml").body("name: p\nallow: [pay]\n");
    let policy = api.send(policy).await.expect(201);
    let body = json!({ "name": "payer", "policy": "p" });
    let agent = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let (decision, told) = verify(api, json!({ "agent_id": agent, "action": "pay" })).await;
    let used = json!({ "id": policy["policy"]["policy_id"], "version": 1 });
    assert_eq!((&*decision, &told["policy"]), ("ALLOW", &used));
    let (_, told) = verify(api, json!({ "agent_id": agent, "action": "refund" })).await;
    assert_eq!(told["reason"], "action_denied");
    let jwt = format!("eyJ{}", "a".repeat(100));
    for (token, reason) in
        [("at_nonsense", "token_malformed"), ("", "token_malformed"), (&*jwt, "token_malformed")]
    {
        let (_, told) = verify(api, json!({ "token": token })).await;
        assert_eq!((&told["decision"], &told["reason"]), (&json!("DENY"), &json!(reason)));
    }
    for (body, status) in [
        (json!({}), 422),
        (json!({ "token": "at_x", "agent_id": agent }), 422),
        (json!({ "token": "a".repeat(5000) }), 422),
        (json!({ "agent_id": "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z" }), 404),
        (json!({ "agent_id": agent, "action": "Pay" }), 422),
        (json!({ "agent_id": agent, "service": "p\u{430}y" }), 422),
        (json!({ "agent_id": agent, "more": 1 }), 422),
    ] {
        let told = api.post("/v1/verify", body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{body}: {}", told.json);
    }
}
