//! Capability tokens as relying parties check them, and as they are taken back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Text;
use crate::support::oauth::*;

#[tokio::test]
async fn tokens_are_introspected_and_given_back_by_whom_they_concern() {
    let plane = start().await;
    let api = &plane.api;
    let (agent, other) = (Agent::register(api, 1).await, Agent::register(api, 2).await);
    let token = agent.token(api, "a", &[("audience", "shop")]).await.expect(200);
    let token = token["access_token"].text();
    let told = introspect(api, &token).await;
    assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("*")));
    assert_eq!((&told["client_id"], &told["aud"]), (&json!(agent.id), &json!(["shop"])));
    assert_eq!(told["jti"], claims(&token)["jti"]);
    let opaque = api.issue(&agent.id).await["token"].text();
    let told = introspect(api, &opaque).await;
    assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!(agent.id)));
    for nonsense in ["nonsense", "eyJ.a.b", &format!("{token}a"), &format!("{opaque}a")] {
        assert_eq!(introspect(api, nonsense).await, json!({ "active": false }));
    }
    // Each sees its own, and nobody sees anything without showing who they are.
    fn asks(of: &Agent, jti: &str, token: &str) -> Vec<(&'static str, String)> {
        [of.asks(jti, &[]), vec![("token", token.to_owned())]].concat()
    }
    let path = "/oauth/introspect";
    assert_eq!(form(api, path, &asks(&agent, "b", &token)).await.expect(200)["active"], true);
    refused(form(api, path, &asks(&agent, "b", &token)).await, 401, "invalid_client");
    let seen = form(api, path, &asks(&other, "a", &token)).await.expect(200);
    assert_eq!(seen, json!({ "active": false }));
    let bare = [("token", token.clone())];
    refused(form(api, path, &bare).await, 401, "invalid_client");
    let wrong = api.with_key("kya_op_wrong");
    let request = wrong.request(Method::POST, path).form(&bare);
    assert_eq!(wrong.send(request).await.status.as_u16(), 401);

    let path = "/oauth/revoke";
    form(api, path, &asks(&other, "b", &token)).await;
    assert_eq!(introspect(api, &token).await["active"], true, "it is not theirs");
    for (jti, it) in [("c", &token), ("d", &token), ("e", &opaque)] {
        let answer = form(api, path, &asks(&agent, jti, it)).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.json);
        assert_eq!(introspect(api, it).await["active"], false);
    }
    let answer = form(api, path, &asks(&agent, "f", "nonsense")).await;
    assert_eq!(answer.status.as_u16(), 200, "RFC 7009 section 2.2");
    let viewer = api.add_operator("looks", "viewer").await;
    let request = viewer.request(Method::POST, path).form(&bare);
    viewer.send(request).await.problem(403, "forbidden");
    let events = api.get("/v1/events?limit=1000").await.expect(200);
    let events = events["events"].as_array().unwrap();
    let given_back: Vec<_> = events
        .iter()
        .filter(|event| event["actor"] == json!(agent.id) && event["reason"] != Value::Null)
        .map(|event| event["action"].text())
        .collect();
    assert_eq!(given_back, ["capability_token.revoked", "token.revoked"]);
}

#[tokio::test]
async fn what_was_taken_back_stays_so_whatever_else_stops_its_holder() {
    let plane = start().await;
    let api = &plane.api;
    let agent = Agent::register(api, 1).await;
    let body = json!({ "agent_id": agent.id, "services": ["shop"] });
    let issue = || async {
        api.post("/v1/capability-tokens", body.clone()).await.expect(201)["token"].text()
    };
    let active = |token: String| async move { introspect(api, &token).await["active"].clone() };
    // One action that is stopped says nothing of a token, and hides nothing.
    let (kept, taken) = (issue().await, issue().await);
    let stop = json!({ "action": "refund", "reason": "r" });
    let path = format!("/v1/agents/{}/capabilities/suspend", agent.id);
    api.post(&path, stop).await.expect(200);
    let path = format!("/v1/capability-tokens/{}/revoke", claims(&taken)["jti"].text());
    api.post(&path, json!({ "reason": "r" })).await.expect(200);
    assert_eq!((active(kept.clone()).await, active(taken).await), (json!(true), json!(false)));
    // What is given back while its holder is stopped is given back.
    let path = format!("/v1/agents/{}/suspend", agent.id);
    api.post(&path, json!({ "reason": "r", "in_flight": "abort" })).await.expect(200);
    let request = api.request(Method::POST, "/oauth/revoke").form(&[("token", kept.clone())]);
    assert_eq!(api.send(request).await.status.as_u16(), 200);
    let form_of = agent.asks("a", &[("token", kept.as_str())]);
    let told = refused(form(api, "/oauth/introspect", &form_of).await, 400, "unauthorized_client");
    assert!(told.contains("suspended"), "{told}");
    api.decide(&agent.id, "restore").await.expect(200);
    assert_eq!(active(kept).await, json!(false));
}

#[tokio::test]
async fn many_tokens_are_taken_back_whatever_kind_they_are() {
    let plane = start().await;
    let api = &plane.api;
    let agent = Agent::register(api, 1).await;
    let body = json!({ "agent_id": agent.id, "services": ["shop"], "actions": ["pay"] });
    let capability = api.post("/v1/capability-tokens", body.clone()).await.expect(201);
    let opaque = api.post("/v1/tokens", body).await.expect(201);
    let body = json!({ "agent_id": agent.id, "service": "shop", "reason": "r" });
    let done = api.post("/v1/tokens/revoke", body).await.expect(200);
    assert_eq!(done["tokens"], 2);
    for token in [&capability, &opaque] {
        assert_eq!(introspect(api, &token["token"].text()).await["active"], false);
    }
    for (body, status) in [
        (json!({ "agent_id": agent.id, "services": [] }), 422),
        (json!({ "agent_id": agent.id }), 422),
        (json!({ "agent_id": agent.id, "services": ["Shop"] }), 422),
        (json!({ "agent_id": agent.id, "services": ["shop"], "ttl_seconds": 0 }), 422),
        (json!({ "agent_id": agent.id, "services": ["shop"], "ttl_seconds": 86_401 }), 422),
        (json!({ "agent_id": agent.id, "services": ["shop"], "audience": "a" }), 422),
        (json!({ "agent_id": "tok_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "services": ["shop"] }), 422),
        (json!({ "agent_id": "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "services": ["shop"] }), 404),
    ] {
        let told = api.post("/v1/capability-tokens", body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{body}: {}", told.json);
    }
    let listed = api.get(&format!("/v1/capability-tokens?agent_id={}", agent.id)).await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
    let path = "/v1/capability-tokens/cap_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
    api.get(path).await.problem(404, "not_found");
}

#[tokio::test]
async fn introspection_leaves_out_the_actions_that_are_stopped_now() {
    let plane = start().await;
    let api = &plane.api;
    let top = Agent::register(api, 1).await;
    let path = format!("/v1/agents/{}/sub-agents", top.id);
    let below = api.post(&path, json!({ "name": "below" })).await.expect(201)["agent_id"].text();
    let limits =
        |actions: &[&str]| json!({ "agent_id": below, "services": ["shop"], "actions": actions });
    let mut tokens = Vec::new();
    for path in ["/v1/capability-tokens", "/v1/tokens"] {
        tokens.push(api.post(path, limits(&["pay", "read"])).await.expect(201)["token"].text());
    }
    let body = json!({ "agent_id": below, "services": ["shop"] });
    let all = api.post("/v1/capability-tokens", body).await.expect(201)["token"].text();
    let decide = async |agent: &str, action: &str, what: &str| {
        let path = format!("/v1/agents/{agent}/capabilities/{what}");
        api.post(&path, json!({ "action": action, "reason": "r" })).await.expect(200);
    };
    let scopes = async || {
        let mut scopes = Vec::new();
        for token in &tokens {
            let told = introspect(api, token).await;
            match told["active"].as_bool().unwrap() {
                true => scopes.push(told["scope"].text()),
                false => assert_eq!(told, json!({ "active": false })),
            }
        }
        scopes
    };
    assert_eq!(scopes().await, ["pay read", "pay read"]);
    decide(&below, "pay", "suspend").await;
    assert_eq!(scopes().await, ["read", "read"]);
    // Nor may it do what those may not for whom it acts.
    decide(&top.id, "read", "revoke").await;
    assert!(scopes().await.is_empty());
    // Which actions there are besides, nobody knows here.
    assert_eq!(introspect(api, &all).await["scope"], "*");
    decide(&below, "pay", "restore").await;
    assert_eq!(scopes().await, ["pay", "pay"]);
}
