//! Requests that come more than once under one `idempotency-key`, and records that have not
//! changed.

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::support;
use crate::support::api::{Answer, Api, Text};
use crate::support::{ControlPlane, eventually};

async fn keyed(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    api.send(api.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

async fn count(api: &Api, path: &str, list: &str) -> usize {
    api.get(path).await.expect(200)[list].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_under_a_key_is_made_once_and_answered_again() {
    let plane = ControlPlane::start().await;
    let (api, body) = (&plane.api, json!({ "name": "payer" }));
    let first = keyed(api, "/v1/agents", "\"k-1\"", &body).await;
    let again = keyed(api, "/v1/agents", "k-1", &body).await;
    assert_eq!(again.headers[header::LOCATION], first.headers[header::LOCATION]);
    assert_eq!(again.headers[header::CONTENT_TYPE], first.headers[header::CONTENT_TYPE]);
    let (first, again) = (first.expect(201), again.expect(201));
    assert_eq!(first, again);
    assert_eq!(count(api, "/v1/agents", "agents").await, 1);

    let detail = keyed(api, "/v1/agents", "k-1", &json!({ "name": "other" })).await;
    let detail = detail.problem(422, "invalid_request");
    assert!(detail.contains("another request"), "{detail}");
    let sub = format!("/v1/agents/{}/sub-agents", first["agent_id"].text());
    keyed(api, &sub, "k-1", &body).await.problem(422, "invalid_request");
    assert_eq!(count(api, "/v1/agents", "agents").await, 1);

    // A key is its operator's, and no key is one of nobody.
    let other = api.add_operator("other", "admin").await;
    keyed(&other, "/v1/agents", "k-1", &body).await.expect(201);
    api.post("/v1/agents", body.clone()).await.expect(201);
    api.post("/v1/agents", body.clone()).await.expect(201);
    assert_eq!(count(api, "/v1/agents", "agents").await, 4);

    // It outlives the server.
    let plane = plane.restart().await;
    assert_eq!(keyed(&plane.api, "/v1/agents", "k-1", &body).await.expect(201), first);
    assert_eq!(count(&plane.api, "/v1/agents", "agents").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_once_and_then_it_is_said_what_was_made() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let agent = api.register("payer").await;
    for (path, body, member, secret) in [
        ("/v1/tokens", json!({ "agent_id": agent }), "token_id", "token"),
        ("/v1/nodes", json!({ "name": "web-1" }), "name", "credential"),
        ("/v1/operators", json!({ "name": "ann", "role": "viewer" }), "name", "key"),
    ] {
        let made = keyed(api, path, "k-1-of-", &json!({ "name": 7 })).await;
        assert!(made.status.is_client_error(), "{}", made.json);
        let key = format!("key of {path}").replace([' ', '/'], "-");
        let made = keyed(api, path, &key, &body).await.expect(201);
        let detail = keyed(api, path, &key, &body).await.problem(409, "conflict");
        assert!(detail.contains(&made[member].text()), "{detail}");
        assert!(detail.contains("revoke it"), "{detail}");
        let secret = made[secret].text();
        assert!(!detail.contains(&secret), "{detail}");
        for entry in std::fs::read_dir(plane.dir.path()).unwrap() {
            let entry = entry.unwrap().path();
            let holds = entry.is_file().then(|| std::fs::read(&entry).unwrap());
            let found =
                holds.unwrap_or_default().windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!found, "{} holds a secret", entry.display());
        }
    }
    assert_eq!(count(api, "/v1/tokens", "tokens").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_made_nothing_frees_its_key_and_a_wrong_key_makes_nothing() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    keyed(api, "/v1/principals", "k", &json!({ "nam": "x" })).await.problem(422, "invalid_request");
    keyed(api, "/v1/principals", "k", &json!({ "name": "ann" })).await.expect(201);
    let long = "k".repeat(129);
    for wrong in ["", "\"\"", "a b", "\"", &long] {
        let answer = keyed(api, "/v1/principals", wrong, &json!({ "name": "bob" })).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.contains("idempotency-key"), "{wrong}: {detail}");
    }
    let twice = api.request(Method::POST, "/v1/principals").json(&json!({ "name": "bob" }));
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    api.send(twice).await.problem(400, "invalid_request");
    // Who may not make it is told so, whatever the key.
    let viewer = api.add_operator("viewer", "viewer").await;
    keyed(&viewer, "/v1/principals", "k", &json!({ "name": "ann" }))
        .await
        .problem(403, "forbidden");
    let large = json!({ "name": "n".repeat(70_000) });
    keyed(api, "/v1/principals", "l", &large).await.problem(413, "payload_too_large");
    assert_eq!(count(api, "/v1/principals", "principals").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_under_one_key_one_is_done() {
    let plane = ControlPlane::start().await;
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let api = plane.api.clone();
            tokio::spawn(async move {
                keyed(&api, "/v1/agents", "k", &json!({ "name": "payer" })).await
            })
        })
        .collect();
    let mut done = 0;
    for asked in asked {
        let answer = asked.await.unwrap();
        match answer.status.as_u16() {
            201 => done += 1,
            _ => drop(answer.problem(409, "conflict")),
        }
    }
    assert!(done >= 1);
    assert_eq!(count(&plane.api, "/v1/agents", "agents").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_as_it_was_is_not_sent_again() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let agent = api.register("payer").await;
    let path = format!("/v1/agents/{agent}");
    let ask = async |known: &str| {
        api.send(api.request(Method::GET, &path).header(header::IF_NONE_MATCH, known)).await
    };
    let shown = api.get(&path).await;
    let tag = shown.headers[header::ETAG].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    shown.expect(200);
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let same = ask(&known).await;
        assert_eq!(same.headers[header::ETAG].to_str().unwrap(), tag);
        assert_eq!(same.expect(304), json!(""));
    }
    ask("\"x\"").await.expect(200);
    api.decide(&agent, "suspend").await.expect(200);
    let changed = ask(&tag).await;
    assert_ne!(changed.headers[header::ETAG].to_str().unwrap(), tag);
    assert_eq!(changed.expect(200)["status"], "suspended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_anything_was_written_frees_the_key_and_another_does_not() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let old = api.register("payer").await;
    let database = support::database::open(plane.dir.path()).await;
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&database).await.unwrap();
    };
    let replace = format!("/v1/agents/{old}/replace");
    let key = kya_core::Signer::from_seed([9; 32]).public_key();
    let successor = json!({ "public_key": key, "revoke": true, "reason": "its key was seen" });
    let name = json!({ "name": "payer" });
    run("CREATE TRIGGER full BEFORE INSERT ON agents BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    keyed(api, "/v1/agents", "a", &name).await.problem(503, "unavailable");
    keyed(api, &replace, "b", &successor).await.problem(503, "unavailable");
    let shown = api.get(&format!("/v1/agents/{old}")).await.expect(200);
    assert_eq!(shown["status"], "active", "half of it was done");
    run("DROP TRIGGER full").await;
    keyed(api, "/v1/agents", "a", &name).await.expect(201);
    keyed(api, &replace, "b", &successor).await.expect(201);

    // Nor does it stay taken where the store says only later that it is free.
    run("CREATE TRIGGER kept BEFORE DELETE ON keyed_requests BEGIN SELECT RAISE(ABORT, 'kept'); END")
        .await;
    keyed(api, "/v1/agents", "d", &json!({ "nam": "x" })).await.problem(422, "invalid_request");
    keyed(api, "/v1/agents", "d", &name).await.problem(422, "invalid_request");
    run("DROP TRIGGER kept").await;
    let freed = async || keyed(api, "/v1/agents", "d", &name).await.status == 201;
    eventually("the key is free", freed).await;

    // What fails as late as this may have been written, as far as anybody can tell.
    run("CREATE TABLE late (agent BLOB REFERENCES agents (id) DEFERRABLE INITIALLY DEFERRED)")
        .await;
    run("CREATE TRIGGER late AFTER INSERT ON agents BEGIN INSERT INTO late VALUES (x'00'); END")
        .await;
    let told = keyed(api, "/v1/agents", "c", &name).await.problem(503, "unavailable");
    assert!(told.contains("does not say whether it is so now"), "{told}");
    run("DROP TRIGGER late").await;
    let told = keyed(api, "/v1/agents", "c", &name).await.problem(409, "conflict");
    assert!(told.contains("what came of it is not known yet"), "{told}");
    database.close().await;
    assert_eq!(count(api, "/v1/agents", "agents").await, 4);
}
