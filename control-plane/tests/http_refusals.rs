//! What the HTTP API refuses, and how it says so.

use reqwest::{Method, header};
use serde_json::json;

use crate::support::ControlPlane;
use crate::support::api::{Answer, Text};

/// A well-formed id that names nobody.
const NOBODY: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";

#[tokio::test]
async fn every_wrong_body_is_refused_with_the_field() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token_id"].text();
    let agents = "/v1/agents";
    let revoke = &format!("/v1/agents/{agent}/revoke");
    let restore = &format!("/v1/agents/{agent}/restore");
    let revoke_token = &format!("/v1/tokens/{token}/revoke");
    let long = |n| "n".repeat(n);
    for (path, body, complaint) in [
        (agents, json!({}), "missing field `name`"),
        (agents, json!({ "name": null }), "`name`: invalid type: null"),
        (agents, json!({ "name": 7 }), "`name`: invalid type: integer `7`, expected a string"),
        (agents, json!({ "name": "" }), "`name`: must not be empty"),
        (agents, json!({ "name": " \t" }), "`name`: must not be empty"),
        (agents, json!({ "name": long(129) }), "`name`: must have at most 128 characters"),
        (agents, json!({ "name": "a\u{0}b" }), "`name`: must not contain control characters"),
        (agents, json!({ "name": "x", "status": "active" }), "unknown field `status`"),
        (
            agents,
            json!({ "name": "x", "public_key": "MCow" }),
            "`public_key`: not the SubjectPublicKeyInfo",
        ),
        (agents, json!({ "name": "x", "public_key": "ed25519:AAAA" }), "`public_key`: not the Sub"),
        (agents, json!(["x", null]), "the body must be a JSON object"),
        (agents, json!("x"), "the body must be a JSON object"),
        (revoke, json!({}), "missing field `reason`"),
        (revoke, json!({ "reason": long(257) }), "`reason`: must have at most 256 characters"),
        (revoke, json!({ "reason": "x", "incident_id": long(129) }), "`incident_id`: must have"),
        (revoke, json!({ "reason": "x", "incident": "y" }), "unknown field `incident`"),
        (
            revoke,
            json!({ "reason": "x", "in_flight": "x" }),
            "`in_flight`: `x` is none of abort, d",
        ),
        (revoke, json!({ "reason": "x", "in_flight": 1 }), "`in_flight`: invalid type: integer"),
        (restore, json!({ "in_flight": "abort" }), "unknown field `in_flight`"),
        (revoke_token, json!({ "reason": "x", "in_flight": "abort" }), "unknown field `in_flight`"),
        ("/v1/tokens", json!({}), "missing field `agent_id`"),
        ("/v1/tokens", json!({ "agent_id": token }), "`agent_id`: not an agent id: it must start"),
        ("/v1/tokens", json!({ "agent_id": agent.to_lowercase() }), "`agent_id`: not an agent id"),
        ("/v1/tokens", json!({ "agent_id": agent, "ttl_seconds": 0 }), "between 1 and 31536000"),
        ("/v1/tokens", json!({ "agent_id": agent, "ttl_seconds": 31_536_001 }), "not 31536001"),
        ("/v1/tokens", json!({ "agent_id": agent, "ttl_seconds": -1 }), "`ttl_seconds`: invalid"),
        ("/v1/tokens", json!({ "agent_id": agent, "ttl_seconds": 1.5 }), "`ttl_seconds`: invalid"),
        ("/v1/tokens", json!({ "agent_id": agent, "ttl_seconds": "1h" }), "`ttl_seconds`: invalid"),
    ] {
        let shown = body.to_string();
        let detail = plane.api.post(path, body).await.problem(422, "invalid_request");
        assert!(detail.contains(complaint), "{path} {shown}: {detail}");
    }
    let newest = plane.api.get("/v1/nodes").await.expect(200)["revision"].clone();
    assert_eq!(newest, 2, "a refused request changed something");
}

#[tokio::test]
async fn the_bounds_themselves_are_accepted() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register(&"é".repeat(128)).await;
    for ttl in [1, 31_536_000] {
        let body = json!({ "agent_id": agent, "ttl_seconds": ttl });
        plane.api.post("/v1/tokens", body).await.expect(201);
    }
    let why = json!({ "reason": "r".repeat(256), "incident_id": "i".repeat(128) });
    plane.api.post(&format!("/v1/agents/{agent}/suspend"), why).await.expect(200);
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let plane = ControlPlane::start().await;
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let request = plane.api.request(Method::POST, "/v1/agents").body(body);
        let request = match content_type {
            Some(content_type) => request.header(header::CONTENT_TYPE, content_type),
            None => request,
        };
        plane.api.send(request).await
    };
    let json = Some("application/json");
    for broken in
        [&b"{"[..], b"{\"name\":\"x\"}x", b"name=x", b"{\"name\":\"\xff\"}", b"{'name':1}"]
    {
        let detail = send(json, broken.to_vec()).await.problem(400, "invalid_request");
        assert!(detail.starts_with("the body is not JSON"), "{detail}");
    }
    let twice = br#"{"name":"a","name":"b"}"#.to_vec();
    let detail = send(json, twice).await.problem(422, "invalid_request");
    assert!(detail.contains("duplicate field `name`"), "{detail}");
    let good = br#"{"name":"x"}"#.to_vec();
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let detail = send(content_type, good.clone()).await.problem(415, "invalid_request");
        assert!(detail.contains("content-type: application/json"), "{detail}");
    }
    send(Some("application/JSON; charset=utf-8"), good).await.expect(201);
    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(64 * 1024));
    let detail = send(json, huge.into_bytes()).await.problem(413, "payload_too_large");
    assert_eq!(detail, "a body has at most 65536 bytes");
}

#[tokio::test]
async fn every_wrong_path_and_query_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    let token = "tok_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
    for (path, complaint) in [
        (format!("/v1/agents/{token}"), "not an agent id: it must start with `agt_`"),
        (format!("/v1/agents/{}", NOBODY.to_lowercase()), "26 upper-case base32 characters"),
        ("/v1/agents/agt_%C3%A9".to_owned(), "not an agent id"),
        ("/v1/agents/%FF".to_owned(), "in the path"),
        ("/v1/agents?limit=0".to_owned(), "limit: must be between 1 and 1000, not 0"),
        ("/v1/agents?limit=1001".to_owned(), "not 1001"),
        ("/v1/agents?limit=ten".to_owned(), "limit: invalid digit"),
        ("/v1/agents?status=dead".to_owned(), "status: `dead` is none of active, suspended, rev"),
        (format!("/v1/agents?after={token}"), "after: not an agent id"),
        ("/v1/agents?page=2".to_owned(), "unknown field `page`"),
        ("/v1/tokens?agent_id=x".to_owned(), "agent_id: not an agent id"),
        (format!("/v1/tokens?after={NOBODY}"), "after: not a token id"),
        ("/v1/revisions/x/acknowledgements".to_owned(), "in the path: invalid digit"),
        ("/v1/revisions/-1/acknowledgements".to_owned(), "in the path: invalid digit"),
        ("/v1/revisions/1/acknowledgements?wait_ms=30001".to_owned(), "between 0 and 30000"),
    ] {
        let detail = plane.api.get(&path).await.problem(400, "invalid_request");
        assert!(detail.contains(complaint), "{path}: {detail}");
    }
    for path in [
        format!("/v1/agents/{NOBODY}"),
        "/v1/revisions/1/acknowledgements".to_owned(),
        "/v1/revisions/0/acknowledgements".to_owned(),
        format!("/v1/revisions/{}/acknowledgements", u64::MAX),
        "/v1/agent".to_owned(),
        "/v2/agents".to_owned(),
        "/".to_owned(),
    ] {
        plane.api.get(&path).await.problem(404, "not_found");
    }
    let nobody = plane.api.decide(NOBODY, "revoke").await.problem(404, "not_found");
    assert_eq!(nobody, format!("there is no agent {NOBODY}"));
    let revoke = format!("/v1/tokens/{token}/revoke");
    plane.api.post(&revoke, json!({ "reason": "x" })).await.problem(404, "not_found");

    let delete = plane.api.request(Method::DELETE, "/v1/agents");
    let answer = plane.api.send(delete).await;
    assert!(answer.headers[header::ALLOW].to_str().unwrap().contains("POST"));
    let detail = answer.problem(405, "method_not_allowed");
    assert_eq!(detail, "/v1/agents does not take DELETE");
}

#[tokio::test]
async fn only_a_key_opens_the_api() {
    let plane = ControlPlane::start().await;
    let key = plane.api.key.clone();
    let request = |path| plane.api.request(Method::GET, path);
    let challenge =
        |answer: &Answer| answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    for path in ["/v1/agents", "/v1/nodes", "/v1/keys", "/v1/nothing", "/v1/agents/x"] {
        let answer = Answer::of(request(path)).await;
        assert_eq!(challenge(&answer), "Bearer realm=\"kya\"");
        answer.problem(401, "unauthorized");
    }
    let long = format!("Bearer {key}{key}");
    let (cut, basic) = (format!("Bearer {}", &key[..key.len() - 1]), format!("Basic {key}"));
    for wrong in [&long, &cut, &basic, &key, "Bearer", "Bearer ", ""] {
        let answer = Answer::of(request("/v1/agents").header(header::AUTHORIZATION, wrong)).await;
        assert!(challenge(&answer).contains("invalid_token"), "{wrong:?}");
        let detail = answer.problem(401, "unauthorized");
        assert!(!detail.contains(&key[10..20]), "{detail}");
    }
    let two = request("/v1/agents").bearer_auth(&key).bearer_auth(&key);
    Answer::of(two).await.problem(401, "unauthorized");
    let lower = request("/v1/agents").header(header::AUTHORIZATION, format!("bearer {key}"));
    Answer::of(lower).await.expect(200);
    let deleted = plane.api.request(Method::DELETE, "/v1/agents");
    Answer::of(deleted).await.problem(401, "unauthorized");
}
