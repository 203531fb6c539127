//! What the HTTP API does, from outside.

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::api::{Answer, Text};

const KEY: &str = "ed25519:MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn assert_timestamp(value: &Value) {
    let text = value.text();
    assert_eq!(text.len(), "2026-02-05T14:47:23.891Z".len(), "{text}");
    assert!(text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z'), "{text}");
}

#[tokio::test]
async fn an_agent_is_registered_shown_and_revoked() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "Zahlungs-Agent 💳", "public_key": KEY });
    let answer = plane.api.post("/v1/agents", body).await;
    let location = answer.headers[header::LOCATION].to_str().unwrap().to_owned();
    let mut agent = answer.expect(201);
    let id = agent["agent_id"].text();
    assert_eq!(location, format!("/v1/agents/{id}"));
    assert_eq!(plane.api.get(&location).await.expect(200), agent);
    assert_timestamp(&agent["created_at"]);
    assert_eq!(agent["created_at"], agent["status_changed_at"]);
    let created_at = agent["created_at"].take();
    agent["status_changed_at"].take();
    let expected = json!({
        "agent_id": id, "name": "Zahlungs-Agent 💳", "status": "active", "in_flight": null,
        "public_key": KEY, "principal_id": null, "owner": null, "owner_status": null, "labels": {},
        "parent_id": null, "replaces": null, "replaced_by": null, "tokens_not_before": null,
        "expires_at": null, "policy": null, "policy_id": null, "created_at": null, "revoked_at": null, "status_changed_at": null,
        "status_actor": "admin", "status_reason": null, "incident_id": null, "revision": 1,
    });
    assert_eq!(agent, expected);

    let why = json!({ "reason": "prompt injection", "incident_id": "INC-2026-0205" });
    let change = plane.api.post(&format!("/v1/agents/{id}/revoke"), why).await.expect(200);
    assert_eq!((&change["changed"], &change["revision"]), (&json!(true), &json!(2)));
    let revoked = &change["agent"];
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(revoked["status_reason"], "prompt injection");
    assert_eq!(revoked["incident_id"], "INC-2026-0205");
    assert_eq!(revoked["revoked_at"], change["committed_at"]);
    assert_eq!(revoked["created_at"], created_at);
    let millis = change["committed_unix_ms"].as_f64().unwrap();
    let committed: jiff::Timestamp = change["committed_at"].text().parse().unwrap();
    assert_eq!(millis.floor() as i64, committed.as_millisecond());

    let again = json!({ "reason": "another reason" });
    let again = plane.api.post(&format!("/v1/agents/{id}/revoke"), again).await.expect(200);
    let unchanged = {
        let mut c = change.clone();
        c["changed"] = json!(false);
        c
    };
    assert_eq!(again, unchanged, "revoking again tells of the first time");
}

#[tokio::test]
async fn revocation_is_final_and_says_what_to_do_instead() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    plane.api.revoke(&agent).await;
    for action in ["suspend", "restore"] {
        let detail = plane.api.decide(&agent, action).await.problem(409, "conflict");
        let expected = format!("{agent} is revoked, which is final; register a successor instead");
        assert_eq!(detail, expected);
    }
}

#[tokio::test]
async fn a_revocation_wins_over_a_restoration_at_the_same_time() {
    let plane = ControlPlane::start().await;
    for n in 0..10 {
        let agent = plane.api.register(&format!("agent {n}")).await;
        plane.api.decide(&agent, "suspend").await.expect(200);
        let (revoked, restored) =
            tokio::join!(plane.api.decide(&agent, "revoke"), plane.api.decide(&agent, "restore"));
        revoked.expect(200);
        assert!([200, 409].contains(&restored.status.as_u16()), "{}", restored.json);
        let now = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
        assert_eq!(now["status"], "revoked");
    }
}

#[tokio::test]
async fn a_restoration_needs_no_reason() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let path = format!("/v1/agents/{agent}/restore");
    let active = plane.api.post(&path, json!({})).await.expect(200);
    assert_eq!((&active["changed"], &active["revision"]), (&json!(false), &json!(1)));
    plane.api.decide(&agent, "suspend").await.expect(200);
    let without_body = plane.api.request(Method::POST, &path);
    let restored = plane.api.send(without_body).await.expect(200);
    assert_eq!(
        (&restored["changed"], &restored["agent"]["status"]),
        (&json!(true), &json!("active"))
    );
    assert_eq!(restored["agent"]["status_reason"], Value::Null);
}

#[tokio::test]
async fn what_is_in_flight_is_aborted_by_a_revocation_and_drained_by_a_suspension() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let (mut revision, abort, drain) = (0, json!("abort"), json!("drain"));
    for (action, asked, said) in [
        ("revoke", None, &abort),
        ("suspend", None, &drain),
        ("revoke", Some(&drain), &drain),
        ("suspend", Some(&abort), &abort),
    ] {
        let agent = plane.api.register("payer").await;
        let mut why = json!({ "reason": "a test" });
        if let Some(asked) = asked {
            why["in_flight"] = asked.clone();
        }
        let path = format!("/v1/agents/{agent}/{action}");
        let change = plane.api.post(&path, why).await.expect(200);
        assert_eq!(change["agent"]["in_flight"], *said, "{action} {asked:?}");
        revision += 2;
        proxy.catch_up(revision).await;
        let standing = proxy.known().agents[&agent.parse().unwrap()].standing;
        assert_eq!(standing.in_flight == kya_core::InFlight::Abort, *said == abort);
    }
    // What drains can be cut short, and what was cut is not taken back.
    let agent = plane.api.register("payer").await;
    for (in_flight, changed, said) in
        [(&drain, true, &drain), (&abort, true, &abort), (&drain, false, &abort)]
    {
        let why = json!({ "reason": "a test", "in_flight": in_flight });
        let change = plane.api.post(&format!("/v1/agents/{agent}/revoke"), why).await.expect(200);
        assert_eq!((&change["changed"], &change["agent"]["in_flight"]), (&json!(changed), said));
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_nowhere() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let issued = plane.api.issue(&agent).await;
    let secret = issued["token"].text();
    assert!(kya_core::OpaqueToken::parse(secret.as_bytes()).is_ok());
    let (from, until) = (issued["issued_at"].text(), issued["expires_at"].text());
    let (from, until): (jiff::Timestamp, jiff::Timestamp) =
        (from.parse().unwrap(), until.parse().unwrap());
    assert_eq!(until.as_second() - from.as_second(), 86_400);

    let listed = plane.api.get(&format!("/v1/tokens?agent_id={agent}")).await.expect(200);
    let expected = json!({ "tokens": [{
        "token_id": issued["token_id"], "agent_id": agent, "status": "active",
        "services": [], "actions": [], "issued_at": issued["issued_at"], "expires_at": issued["expires_at"],
        "revoked_at": null, "revision": 2,
    }], "next": null });
    assert_eq!(listed, expected);
    let digits = &secret[3..];
    for entry in std::fs::read_dir(plane.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(digits.len()).any(|window| window == digits.as_bytes());
        assert!(!found, "the token is in {path:?}");
    }
}

#[tokio::test]
async fn a_token_is_revoked_alone_and_once() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let revoked = plane.api.issue(&agent).await["token_id"].text();
    let kept = plane.api.issue(&agent).await["token_id"].text();
    let path = format!("/v1/tokens/{revoked}/revoke");
    let change = plane.api.post(&path, json!({ "reason": "leaked" })).await.expect(200);
    assert_eq!((&change["changed"], &change["revision"]), (&json!(true), &json!(4)));
    assert_eq!(change["token"]["status"], "revoked");
    assert_eq!(change["token"]["revoked_at"], change["committed_at"]);
    let again = plane.api.post(&path, json!({ "reason": "again" })).await.expect(200);
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &json!(4)));
    assert_eq!(again["token"], change["token"]);
    let listed = plane.api.get("/v1/tokens").await.expect(200);
    let statuses: Vec<_> = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["token_id"].text(), token["status"].text()))
        .collect();
    assert!(statuses.contains(&(revoked, "revoked".to_owned())), "{statuses:?}");
    assert!(statuses.contains(&(kept, "active".to_owned())), "{statuses:?}");
}

#[tokio::test]
async fn a_suspended_or_revoked_agent_gets_no_token() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    for (action, status) in [("suspend", "suspended"), ("revoke", "revoked")] {
        plane.api.decide(&agent, action).await.expect(200);
        let answer = plane.api.post("/v1/tokens", json!({ "agent_id": agent })).await;
        let detail = answer.problem(409, "conflict");
        assert_eq!(detail, format!("{agent} is {status}; tokens are issued to active agents only"));
    }
    let listed = plane.api.get("/v1/tokens").await.expect(200);
    assert_eq!(listed["tokens"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages_that_join_up() {
    let plane = ControlPlane::start().await;
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(plane.api.register(&format!("agent {n}")).await);
    }
    all.sort();
    let mut seen = Vec::new();
    let mut path = "/v1/agents?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = plane.api.get(&path).await.expect(200);
        let agents = page["agents"].as_array().unwrap();
        seen.extend(agents.iter().map(|agent| agent["agent_id"].text()));
        pages += 1;
        match &page["next"] {
            Value::Null => break,
            next => path = format!("/v1/agents?limit=2&after={}", next.text()),
        }
    }
    assert_eq!((seen, pages), (all.clone(), 3));
    plane.api.revoke(&all[3]).await;
    let revoked = plane.api.get("/v1/agents?status=revoked").await.expect(200);
    assert_eq!(revoked["agents"].as_array().unwrap().len(), 1);
    assert_eq!(revoked["agents"][0]["agent_id"], *all[3]);
    let exact = plane.api.get("/v1/agents?limit=5").await.expect(200);
    assert_eq!(exact["next"], Value::Null);
}

#[tokio::test]
async fn agents_are_sorted_and_pages_join_up_in_that_order() {
    let plane = ControlPlane::start().await;
    for name in ["b", "a", "c", "a"] {
        plane.api.register(name).await;
    }
    for (sort, expected) in
        [("name", "aabc"), ("-name", "cbaa"), ("created", "baca"), ("-created", "acab")]
    {
        let (mut names, mut path) = (String::new(), format!("/v1/agents?limit=1&sort={sort}"));
        loop {
            let page = plane.api.get(&path).await.expect(200);
            names.push_str(&page["agents"][0]["name"].text());
            match &page["next"] {
                Value::Null => break,
                next => path = format!("/v1/agents?limit=1&sort={sort}&after={}", next.text()),
            }
        }
        assert_eq!(names, expected, "{sort}");
    }
    for bad in ["", "-", "Name", "status", "--name", "name,created", "n\u{430}me"] {
        let answer = plane.api.get(&format!("/v1/agents?sort={bad}")).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.contains("none of name, created, expires"), "{bad}: {detail}");
    }
    let nobody = "/v1/agents?sort=name&after=agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
    plane.api.get(nobody).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_public_key_is_of_one_agent_and_whoever_wants_it_too_is_told_whose_it_is() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "first", "public_key": KEY });
    let first = plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    // The same key in other words.
    let raw = &KEY["ed25519:MCowBQYDK2VwAyEA".len()..];
    let x = raw.trim_end_matches('=').replace('/', "_");
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    for key in [json!(KEY), json!(raw), jwk] {
        let body = json!({ "name": "second", "public_key": key });
        let detail = plane.api.post("/v1/agents", body.clone()).await.problem(409, "conflict");
        assert!(detail.contains("`public_key`") && detail.contains(&first), "{detail}");
        let path = format!("/v1/agents/{first}/sub-agents");
        plane.api.post(&path, body).await.problem(409, "conflict");
    }
    let listed = plane.api.get("/v1/agents").await.expect(200);
    assert_eq!(listed["agents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn monitors_need_no_key() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    let get = async |path| Answer::of(plane.api.request(Method::GET, path)).await;
    assert_eq!(get("/healthz").await.expect(200), "ok");
    assert_eq!(get("/readyz").await.expect(200), "ready");
    let mut proxy = plane.proxy("sidecar").await;
    proxy.report(&[0, 1], true).await;
    plane.api.register("other").await;
    proxy.catch_up(2).await;
    proxy.report(&[0, 1], true).await;
    plane.api.get("/v1/revisions/2/acknowledgements?wait_ms=10000").await.expect(200);
    let metrics = get("/metrics").await.expect(200).text();
    for line in [
        "kya_revision 2",
        "kya_proxies_connected 1",
        "kya_workers_reported 2",
        "kya_deltas_sent_total 1",
        "kya_manifests_sent_total 1",
        "kya_acknowledgement_seconds_count 2",
        r#"kya_http_requests_total{method="POST",route="/v1/agents",status="201"} 2"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "no `{line}` in\n{metrics}");
    }
    get("/metrics/x").await.problem(404, "not_found");
}

#[tokio::test]
async fn the_keys_are_those_that_sign() {
    let plane = ControlPlane::start().await;
    let keys = plane.api.get("/v1/keys").await.expect(200);
    let key = plane.server.public_key;
    let id = key.id().to_string();
    let expected = json!({ "key_id": id, "public_key": key.to_string(), "role": "active" });
    let chain = json!({ "length": 0, "most": 16 });
    assert_eq!(
        keys,
        json!({
            "phase": "steady", "keys": [expected], "serial": 0, "chain": chain, "steps": [],
        })
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_come_between_a_commit_and_its_push() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let mut asked = 0;
    for n in 0..40 {
        let api = plane.api.clone();
        let hasty = tokio::spawn(async move { api.register(&format!("hasty {n}")).await });
        tokio::time::sleep(std::time::Duration::from_micros(n * 100)).await;
        hasty.abort();
        asked += 1;
    }
    plane.api.register("last").await;
    let newest = plane.api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap();
    assert!((1..=asked + 1).contains(&newest));
    proxy.catch_up(newest).await;
    assert_eq!(proxy.known().agents.len() as u64, newest);
}
