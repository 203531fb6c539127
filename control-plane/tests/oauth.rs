//! Capability tokens: as agents get them by OAuth, and down to what a proxy decides by.

use kya_core::{DenyReason, Signer};
use reqwest::Method;
use serde_json::json;

use crate::support;
use crate::support::ControlPlane;
use crate::support::api::{Answer, Text};
use crate::support::oauth::*;

#[tokio::test]
async fn an_agent_gets_a_token_by_its_key_and_every_stop_reaches_it() {
    let plane = start().await;
    let api = &plane.api;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = Agent::register(api, 1).await;
    let more = [("audience", "shop"), ("resource", "mail"), ("scope", "pay read")];
    let answer = agent.token(api, "a", &more).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.expect(200);
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("pay read")));
    let token = answer["access_token"].text();
    let said = claims(&token);
    assert_eq!((&said["iss"], &said["sub"]), (&json!(ISSUER), &json!(agent.id)));
    assert_eq!((&said["aud"], &said["client_id"]), (&json!(["mail", "shop"]), &json!(agent.id)));
    let lives = said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap();
    assert_eq!(lives, 300);
    let expires_in = answer["expires_in"].as_u64().unwrap();
    assert!((200..=300).contains(&expires_in), "{expires_in}");

    proxy.catch_up(revision(api).await).await;
    let at = |proxy: &support::TestProxy, service, action| {
        proxy.state.denial_at(&token, service, action)
    };
    assert_eq!(at(&proxy, "shop", "pay"), None);
    assert_eq!(at(&proxy, "shop", "refund"), Some(DenyReason::InsufficientScope));
    assert_eq!(at(&proxy, "bank", "pay"), Some(DenyReason::WrongAudience));
    for (action, reason) in [("suspend", Some(DenyReason::AgentSuspended)), ("restore", None)] {
        let body = json!({ "reason": "r", "in_flight": "abort" });
        let body = if action == "restore" { json!({ "reason": "r" }) } else { body };
        let path = format!("/v1/agents/{}/{action}", agent.id);
        let done = api.post(&path, body).await.expect(200);
        proxy.catch_up(done["revision"].as_u64().unwrap()).await;
        assert_eq!(at(&proxy, "shop", "pay"), reason);
        assert_eq!(introspect(api, &token).await["active"], json!(reason.is_none()));
        let asked = json!({ "token": token, "service": "shop", "action": "pay" });
        let told = api.post("/v1/verify", asked).await.expect(200);
        assert_eq!(told["reason"], json!(reason.map(DenyReason::name)));
    }
    let path = format!("/v1/capability-tokens/{}", said["jti"].text());
    let dry = json!({ "reason": "r", "dry_run": true });
    let would = api.post(&format!("{path}/revoke"), dry).await.expect(200);
    assert_eq!(would["reach"], json!({ "agents": 0, "tokens": 1 }));
    let done = api.post(&format!("{path}/revoke"), json!({ "reason": "leaked" })).await;
    proxy.catch_up(done.expect(200)["revision"].as_u64().unwrap()).await;
    assert_eq!(at(&proxy, "shop", "pay"), Some(DenyReason::TokenRevoked));
    assert_eq!(introspect(api, &token).await, json!({ "active": false }));
    assert_eq!(api.get(&path).await.expect(200)["status"], "revoked");

    let other = agent.token(api, "b", &more).await.expect(200)["access_token"].text();
    assert_eq!(proxy.state.denial_at(&other, "shop", "pay"), None);
    let done = api.revoke(&agent.id).await;
    proxy.catch_up(done["revision"].as_u64().unwrap()).await;
    assert_eq!(proxy.state.denial_at(&other, "shop", "pay"), Some(DenyReason::AgentRevoked));
    let told = refused(agent.token(api, "c", &more).await, 400, "unauthorized_client");
    assert!(told.contains("revoked"), "{told}");
    // Whoever comes later learns all of it from the manifest.
    let late = plane.proxy("late").await;
    assert_eq!(at(&late, "shop", "pay"), Some(DenyReason::AgentRevoked));
}

#[tokio::test]
async fn an_assertion_counts_once_and_only_as_it_must_be() {
    let plane = start().await;
    let api = &plane.api;
    let agent = Agent::register(api, 1).await;
    let shop = [("audience", "shop")];
    agent.token(api, "a", &shop).await.expect(200);
    let told = refused(agent.token(api, "a", &shop).await, 401, "invalid_client");
    assert!(told.contains("used before"), "{told}");
    // A token that could not be issued has used nothing up.
    refused(agent.token(api, "b", &[]).await, 400, "invalid_target");
    agent.token(api, "b", &shop).await.expect(200);

    let grant = ("grant_type", "client_credentials".to_owned());
    let ok = |jti: &str| agent.asks(jti, &[("grant_type", "client_credentials"), shop[0]]);
    let without =
        |name: &str| -> Vec<_> { ok("c").into_iter().filter(|(it, _)| *it != name).collect() };
    let with =
        |name: &'static str, value: &str| [without(name), vec![(name, value.to_owned())]].concat();
    let stranger = Agent { id: agent.id.clone(), signer: Signer::from_seed([9; 32]) };
    let forged = stranger.sign(&agent.claims("c"));
    let nobody = Agent { id: "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z".into(), ..stranger };
    let elsewhere = {
        let mut claims = agent.claims("c");
        claims["aud"] = json!("https://other.example/oauth/token");
        agent.sign(&claims)
    };
    for (form_of, status, error) in [
        (without("grant_type"), 400, "invalid_request"),
        (with("grant_type", "password"), 400, "unsupported_grant_type"),
        (without("client_assertion"), 400, "invalid_request"),
        (without("client_assertion_type"), 401, "invalid_client"),
        (with("client_assertion_type", "urn:other"), 401, "invalid_client"),
        (with("client_assertion", "nonsense"), 401, "invalid_client"),
        (with("client_assertion", &forged), 401, "invalid_client"),
        (with("client_assertion", &nobody.sign(&nobody.claims("c"))), 401, "invalid_client"),
        (with("client_assertion", &elsewhere), 401, "invalid_client"),
        (with("client_id", "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z"), 401, "invalid_client"),
        (with("scope", "pay  read"), 400, "invalid_scope"),
        (with("scope", "p\u{430}y"), 400, "invalid_scope"),
        (with("audience", "Sh op"), 400, "invalid_target"),
        ([ok("c"), vec![grant.clone()]].concat(), 400, "invalid_request"),
        ([ok("c"), vec![("resource", "r".to_owned()); 70]].concat(), 400, "invalid_request"),
        (vec![], 400, "invalid_request"),
    ] {
        refused(form(api, "/oauth/token", &form_of).await, status, error);
    }
    let json = api.request(Method::POST, "/oauth/token").json(&json!({ "grant_type": "a" }));
    refused(Answer::of(json).await, 400, "invalid_request");
    let large = vec![("grant_type", "a".repeat(70_000))];
    refused(form(api, "/oauth/token", &large).await, 400, "invalid_request");
    let get = Answer::of(api.request(Method::GET, "/oauth/token")).await;
    assert_eq!(get.status.as_u16(), 405);
    // Whoever guesses is slowed down, and whoever does not guess is let in.
    for n in 0..20 {
        let guess = with("client_assertion", &format!("nonsense{n}"));
        let answer = form(api, "/oauth/token", &guess).await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 401 | 429), "{status}");
        if n > 12 {
            assert!(answer.headers.contains_key("retry-after"), "{}", answer.json);
        }
    }
    form(api, "/oauth/token", &ok("d")).await.expect(200);
}

#[tokio::test]
async fn keys_are_replaced_while_tokens_of_both_count() {
    let plane = start().await;
    let api = &plane.api;
    let mut proxy = plane.proxy("sidecar").await;
    let agent = Agent::register(api, 1).await;
    let body = json!({ "agent_id": agent.id, "services": ["shop"], "ttl_seconds": 60 });
    let issue = || async {
        api.post("/v1/capability-tokens", body.clone()).await.expect(201)["token"].text()
    };
    let jwks = || async {
        let set = api.get("/.well-known/jwks.json").await;
        assert_eq!(set.headers["content-type"], "application/jwk-set+json");
        let set = set.expect(200);
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].text()).collect::<Vec<_>>()
    };
    let old = issue().await;
    assert_eq!(jwks().await, [kid(&old)]);
    let first = api.get("/v1/token-keys").await.expect(200)["keys"][0]["public_key"].text();
    let announced = api.post("/v1/token-keys/announce", json!({})).await.expect(200);
    let next = announced["issuer"]["keys"].as_array().unwrap().iter();
    let next = next.map(|key| key["public_key"].text()).find(|key| *key != first).unwrap();
    assert_eq!(kid(&issue().await), kid(&old), "it does not sign yet");
    assert_eq!(jwks().await.len(), 2);
    let which = |key: &str| json!({ "public_key": key });
    let why = |key: &str| json!({ "public_key": key, "reason": "rotation" });
    api.post("/v1/token-keys/retire", why(&first)).await.problem(409, "conflict");
    api.post("/v1/token-keys/retire", which(&next)).await.problem(422, "invalid_request");
    api.post("/v1/token-keys/activate", which(&next)).await.expect(200);
    let fresh = issue().await;
    assert_ne!(kid(&fresh), kid(&old));
    proxy.catch_up(revision(api).await).await;
    for token in [&old, &fresh] {
        assert_eq!(proxy.state.denial_at(token, "shop", "pay"), None);
    }
    api.post("/v1/token-keys/retire", why(&first)).await.expect(200);
    proxy.catch_up(revision(api).await).await;
    assert_eq!(proxy.state.denial_at(&old, "shop", "pay"), Some(DenyReason::TokenUnknown));
    assert_eq!(proxy.state.denial_at(&fresh, "shop", "pay"), None);
    assert_eq!(jwks().await, [kid(&fresh)]);
    api.post("/v1/token-keys/activate", which(&first)).await.problem(409, "conflict");
    let unknown = Signer::from_seed([77; 32]).public_key().to_string();
    api.post("/v1/token-keys/activate", which(&unknown)).await.problem(404, "not_found");
    // A restart goes on with the key.
    plane.server.shutdown().await;
    let plane = start_in(plane.dir).await;
    let again = plane.api.post("/v1/capability-tokens", body).await.expect(201)["token"].text();
    assert_eq!(kid(&again), kid(&fresh));
    let told = introspect(&plane.api, &fresh).await;
    assert_eq!(told["active"], true);
}

#[tokio::test]
async fn a_token_says_for_whom_its_holder_acts_and_ends_with_them() {
    let plane = start().await;
    let api = &plane.api;
    let mut proxy = plane.proxy("sidecar").await;
    let top = api.register("top").await;
    let mut ids = vec![top.clone()];
    for name in ["middle", "below"] {
        let path = format!("/v1/agents/{}/sub-agents", ids.last().unwrap());
        let made = api.post(&path, json!({ "name": name })).await.expect(201);
        ids.push(made["agent_id"].text());
    }
    let [_, middle, below] = ids.as_slice() else { panic!() };
    let body = json!({ "agent_id": below, "services": ["shop"] });
    let token = api.post("/v1/capability-tokens", body).await.expect(201)["token"].text();
    let said = claims(&token);
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(top), &json!(below)));
    assert_eq!(said["act"], json!({ "sub": below, "act": { "sub": middle } }));
    let told = introspect(api, &token).await;
    assert_eq!((&told["sub"], &told["act"]), (&said["sub"], &said["act"]));
    proxy.catch_up(revision(api).await).await;
    assert_eq!(proxy.state.denial_at(&token, "shop", "pay"), None);
    let done = api.decide(&top, "suspend").await.expect(200);
    proxy.catch_up(done["revision"].as_u64().unwrap()).await;
    let denied = proxy.state.denial_at(&token, "shop", "pay");
    assert_eq!(denied, Some(DenyReason::DelegatorStopped));
}

#[tokio::test]
async fn a_server_without_an_issuer_says_how_to_have_one() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let agent = Agent::register(api, 1).await;
    let body = json!({ "agent_id": agent.id, "services": ["shop"] });
    let told = api.post("/v1/capability-tokens", body).await.problem(409, "conflict");
    assert!(told.contains("--issuer"), "{told}");
    let answer = agent.token(api, "a", &[("audience", "shop")]).await;
    let told = refused(answer, 404, "invalid_request");
    assert!(told.contains("--issuer"), "{told}");
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(api.get(path).await.status.as_u16(), 404);
    }
}

#[tokio::test]
async fn strangers_are_told_of_the_issuer_without_a_look_at_the_store() {
    let plane = start().await;
    let api = &plane.api;
    let database = support::database::open(plane.dir.path()).await;
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&database).await.unwrap();
    };
    for table in ["ALTER TABLE issuer RENAME TO a", "ALTER TABLE token_keys RENAME TO b"] {
        run(table).await;
    }
    api.get("/v1/token-keys").await.problem(503, "unavailable");
    let told = api.get("/.well-known/oauth-authorization-server").await.expect(200);
    assert_eq!(told["issuer"], ISSUER);
    let set = api.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    let garbage = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_assertion_type", ASSERTION.to_owned()),
        ("client_assertion", "nonsense".to_owned()),
        ("token", "nonsense".to_owned()),
    ];
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
        refused(form(api, path, &garbage).await, 401, "invalid_client");
    }
    for table in ["ALTER TABLE a RENAME TO issuer", "ALTER TABLE b RENAME TO token_keys"] {
        run(table).await;
    }
    database.close().await;
}
