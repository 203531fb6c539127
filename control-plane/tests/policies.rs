//! Policies over the HTTP API and down to what a proxy decides by.

use kya_core::{ActionName, Decision, DenyReason};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::api::{Answer, Api, Text};

const YAML: &str = "\
name: checkout
allow: [create_charge, issue_refund, 'read_*']
";

async fn apply(api: &Api, query: &str, body: impl Into<reqwest::Body>) -> Answer {
    send(api, query, "application/yaml", &[], body).await
}

async fn send(
    api: &Api,
    query: &str,
    media_type: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let path = format!("/v1/policies{query}");
    let mut request = api.request(Method::POST, &path).header(header::CONTENT_TYPE, media_type);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(body)).await
}

fn reason(decision: Decision) -> Option<DenyReason> {
    match decision {
        Decision::Allow { .. } => None,
        Decision::Deny { reason, .. } => Some(reason),
    }
}

#[tokio::test]
async fn what_a_policy_permits_reaches_the_proxies_and_so_does_every_change_of_it() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("sidecar").await;
    let first = apply(&plane.api, "?reason=first", YAML).await.expect(201);
    assert_eq!(
        (&first["policy"]["version"], &first["policy"]["name"]),
        (&json!(1), &json!("checkout"))
    );
    let body = json!({ "name": "payer", "policy": "checkout" });
    let agent = plane.api.post("/v1/agents", body).await.expect(201);
    assert_eq!(
        (&agent["policy"], &agent["policy_id"]),
        (&json!("checkout"), &first["policy"]["policy_id"])
    );
    let agent = agent["agent_id"].text();
    let token = plane.api.issue(&agent).await["token"].text();
    let [refund, charge]: [ActionName; 2] =
        ["issue_refund", "create_charge"].map(|it| it.parse().unwrap());
    let revision =
        async || plane.api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap();
    proxy.catch_up(revision().await).await;
    assert_eq!(reason(proxy.state.decide_action(&token, Some(&refund))), None);

    let narrower = "name: checkout\nallow: [create_charge]\n";
    let dry = apply(&plane.api, "?dry_run=true", narrower).await.expect(200);
    assert_eq!(
        (&dry["dry_run"], &dry["changed"], &dry["version"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(dry["difference"]["tendency"], "narrows");
    assert_eq!(dry["difference"]["now_denied"], json!(["issue_refund"]));
    assert_eq!(dry["reach"], json!({ "agents": 1, "tokens": 1 }));
    assert_eq!(dry["agents"][0]["agent_id"], json!(agent));
    assert_eq!(dry["recent_requests"], Value::Null);
    let change = apply(&plane.api, "?reason=narrower", narrower).await.expect(200);
    proxy.catch_up(change["revision"].as_u64().unwrap()).await;
    let decided = proxy.state.decide_action(&token, Some(&refund));
    assert_eq!(reason(decided), Some(DenyReason::ActionDenied));
    let Decision::Allow { policy: Some(used), .. } =
        proxy.state.decide_action(&token, Some(&charge))
    else {
        panic!("a charge is permitted")
    };
    assert_eq!(used.version.get(), 2, "every decision names the version that it used");

    let stop = json!({ "reason": "suspect", "incident_id": "INC-1" });
    let revoked = plane.api.post("/v1/policies/checkout/revoke", stop).await.expect(200);
    assert_eq!(
        (&revoked["policy"]["step"], &revoked["reach"]["agents"]),
        (&json!("revoked"), &json!(1))
    );
    proxy.catch_up(revoked["revision"].as_u64().unwrap()).await;
    let decided = proxy.state.decide_action(&token, Some(&charge));
    assert_eq!(reason(decided), Some(DenyReason::ActionDenied));
    let back = json!({ "to": 1, "reason": "a false alarm" });
    let back = plane.api.post("/v1/policies/checkout/rollback", back).await.expect(200);
    assert_eq!(
        (&back["policy"]["version"], &back["policy"]["rolled_back_to"]),
        (&json!(4), &json!(1))
    );
    proxy.catch_up(back["revision"].as_u64().unwrap()).await;
    assert_eq!(reason(proxy.state.decide_action(&token, Some(&refund))), None);

    let none = json!({ "policy": null, "reason": "moved" });
    let path = format!("/v1/agents/{agent}/policy");
    let moved = plane.api.post(&path, none).await.expect(200);
    assert_eq!((&moved["agent"]["policy_id"], &moved["changed"]), (&Value::Null, &json!(true)));
    proxy.catch_up(moved["revision"].as_u64().unwrap()).await;
    let other: ActionName = "anything".parse().unwrap();
    assert_eq!(reason(proxy.state.decide_action(&token, Some(&other))), None);
}

#[tokio::test]
async fn versions_are_listed_compared_and_known_by_their_tag() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    apply(api, "", YAML).await.expect(201);
    let json = r#"{"name": "checkout", "allow": ["*"]}"#;
    let wider = send(api, "", "application/json; charset=utf-8", &[], json).await;
    assert_eq!(wider.headers[header::ETAG], "\"2\"");
    assert_eq!(wider.expect(200)["changed"], true);
    let again = send(api, "", "application/json", &[], json).await.expect(200);
    assert_eq!((&again["changed"], &again["policy"]["version"]), (&json!(false), &json!(2)));
    let shown = api.get("/v1/policies/checkout?version=1").await;
    assert_eq!(shown.headers[header::ETAG], "\"1\"");
    let shown = shown.expect(200);
    assert_eq!((&shown["version"], &shown["newest_version"]), (&json!(1), &json!(2)));
    assert_eq!(shown["document"]["allow"], json!(["create_charge", "issue_refund", "read_*"]));
    let request = api.request(Method::GET, "/v1/policies/checkout");
    let same = api.send(request.header(header::IF_NONE_MATCH, "\"2\"")).await;
    assert_eq!(same.status.as_u16(), 304);
    let diff = api.get("/v1/policies/checkout/diff").await.expect(200);
    assert_eq!(
        (&diff["from"], &diff["to"], &diff["tendency"]),
        (&json!(1), &json!(2), &json!("widens"))
    );
    let diff = api.get("/v1/policies/checkout/diff?from=2&to=1").await.expect(200);
    assert_eq!(diff["tendency"], "narrows");
    let history = api.get("/v1/policies/checkout/versions?limit=1").await.expect(200);
    assert_eq!((&history["versions"][0]["version"], &history["next"]), (&json!(2), &json!(2)));
    let history = api.get("/v1/policies/checkout/versions?before=2").await.expect(200);
    assert_eq!((&history["versions"][0]["version"], &history["next"]), (&json!(1), &Value::Null));
    let listed = api.get("/v1/policies").await.expect(200);
    assert_eq!(listed["policies"].as_array().unwrap().len(), 1);

    let stale = [("if-match", "\"1\"")];
    let refused = send(api, "", "application/yaml", &stale, YAML).await.expect(412);
    assert_eq!(refused["code"], "precondition_failed");
    assert!(refused["detail"].text().contains("is at version 2 now"));
    let dry = send(api, "?dry_run=true", "application/yaml", &stale, YAML).await;
    dry.expect(412);
    let new = [("if-none-match", "*")];
    send(api, "", "application/yaml", &new, YAML).await.expect(412);
    let fresh = [("if-match", "\"2\"")];
    send(api, "", "application/yaml", &fresh, YAML).await.expect(200);
    let dry = json!({ "to": 2, "reason": "look", "dry_run": true });
    let dry = api.post("/v1/policies/checkout/rollback", dry).await.expect(200);
    assert_eq!((&dry["dry_run"], &dry["difference"]["tendency"]), (&json!(true), &json!("widens")));
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_its_place_and_changes_nothing() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let deep = format!("name: p\nallow: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!("name: p\ndescription: {}\n", "a".repeat(300_000));
    let wide = format!("name: p\nallow: [{}]\n", vec!["a"; 300].join(", "));
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nname: p\n";
    for (body, status, part) in [
        ("", 400, "policy"),
        ("name: p\nallow: [pay\n", 400, "line"),
        ("name: p\nnever: [pay]\n", 400, "never"),
        ("name: p\nname: q\n", 400, "name"),
        (bomb, 400, "cannot be read"),
        (&*deep, 400, "cannot be read"),
        ("name: Checkout\n", 422, "`name`"),
        ("name: ch\u{435}ckout\n", 422, "`name`"),
        ("name: pol_03\n", 422, "`name`"),
        ("name: p\nallow: [Pay]\n", 422, "`allow[0]`"),
        ("name: p\nallow: [\"p\u{430}y\"]\n", 422, "`allow[0]`"),
        ("name: p\ndrain_window: 2d\n", 422, "`drain_window`"),
        ("name: p\ndaily_limit: 5\n", 422, "currency"),
        (&*wide, 422, "`allow`"),
        (&*long, 413, "at most 262144 bytes"),
    ] {
        let told = apply(api, "", body.to_owned()).await.expect(status);
        let detail = told["detail"].text();
        assert!(detail.contains(part), "{}: {detail}", body.chars().take(60).collect::<String>());
    }
    for (media_type, body, status) in [
        ("text/plain", "name: p\n", 415),
        ("application/json", "name: p\n", 400),
        ("application/json", "[\"p\"]", 400),
        ("application/json", "{\"name\": \"p\", \"name\": \"q\"}", 400),
        ("application/octet-stream", "\u{0}", 415),
    ] {
        send(api, "", media_type, &[], body).await.expect(status);
    }
    // Larger as it travels than as it is written.
    let staleness: String = (0..64).map(|n| format!("  a{n}{}: 5s\n", "b".repeat(240))).collect();
    let patterns = |list: &str| {
        let names: Vec<_> = (0..256).map(|n| format!("{list}{n}{}", "c".repeat(120))).collect();
        format!("[{}]", names.join(", "))
    };
    let heavy = format!(
        "name: p\nallow: {}\ndeny: {}\nmax_staleness:\n{staleness}",
        patterns("a"),
        patterns("d")
    );
    let told = apply(api, "", heavy).await.expect(422);
    assert!(told["detail"].text().contains("at most 65536 reach a proxy"), "{told}");
    for headers in [[("if-match", "1")], [("if-match", "\"x\"")], [("if-none-match", "\"1\"")]] {
        send(api, "", "application/yaml", &headers, YAML).await.expect(400);
    }
    for query in ["?dry_run=maybe", "?reason=", "?other=1", &format!("?reason={}", "a".repeat(257))]
    {
        apply(api, query, YAML).await.expect(400);
    }
    assert_eq!(api.get("/v1/policies").await.expect(200)["policies"], json!([]));
    assert_eq!(api.get("/v1/nodes").await.expect(200)["revision"], 0);

    apply(api, "", YAML).await.expect(201);
    let agent = api.register("payer").await;
    for (path, body, status) in [
        ("/v1/policies/Checkout/revoke", json!({ "reason": "r" }), 400),
        ("/v1/policies/nobody/revoke", json!({ "reason": "r" }), 404),
        ("/v1/policies/checkout/revoke", json!({}), 422),
        ("/v1/policies/checkout/revoke", json!({ "reason": "r", "in_flight": "keep" }), 422),
        ("/v1/policies/checkout/rollback", json!({ "to": 0, "reason": "r" }), 422),
        ("/v1/policies/checkout/rollback", json!({ "to": 9, "reason": "r" }), 404),
        ("/v1/policies/checkout/rollback", json!({ "to": "1", "reason": "r" }), 422),
        ("/v1/policies/checkout/rollback", json!({ "to": 1 }), 422),
        (&*format!("/v1/agents/{agent}/policy"), json!({}), 422),
        (&*format!("/v1/agents/{agent}/policy"), json!({ "policy": "nobody" }), 404),
        (&*format!("/v1/agents/{agent}/policy"), json!({ "policy": "pol_03" }), 422),
        (&*format!("/v1/agents/{agent}/policy"), json!({ "policy": 3 }), 422),
        ("/v1/agents/pol_03/policy", json!({ "policy": null }), 400),
        ("/v1/agents", json!({ "name": "a", "policy": "nobody" }), 404),
    ] {
        let told = api.post(path, body.clone()).await;
        assert_eq!(told.status.as_u16(), status, "{path} {body}: {}", told.json);
    }
    let history = api.get("/v1/policies/checkout/versions").await.expect(200);
    assert_eq!(history["versions"].as_array().unwrap().len(), 1);
    for query in ["version=0", "version=x", "other=1"] {
        api.get(&format!("/v1/policies/checkout?{query}")).await.expect(400);
    }
    api.get("/v1/policies/checkout?version=2").await.expect(404);
}

#[tokio::test]
async fn whoever_stops_one_action_is_told_which_others_the_policy_leaves() {
    let plane = ControlPlane::start().await;
    let api = &plane.api;
    let policy = "name: p\nallow: [create_charge, issue_refund, void, 'read_*']\ndeny: [void]\nservices: [shop]\n";
    apply(api, "", policy).await.expect(201);
    let body = json!({ "name": "payer", "policy": "p" });
    let agent = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let path = |action: &str| format!("/v1/agents/{agent}/capabilities/{action}");
    let refund = json!({ "action": "issue_refund", "reason": "anomalous_refund_pattern" });
    let change = api.post(&path("revoke"), refund.clone()).await.expect(200);
    assert_eq!(change["active"], json!(["create_charge"]));
    let charge = json!({ "action": "create_charge", "reason": "r" });
    let change = api.post(&path("suspend"), charge.clone()).await.expect(200);
    assert_eq!(change["active"], json!([]));
    let change = api.post(&path("revoke"), refund.clone()).await.expect(200);
    assert_eq!((&change["changed"], &change["active"]), (&json!(false), &json!([])));
    api.post(&path("restore"), charge).await.expect(200);
    let change = api.post(&path("revoke"), refund).await.expect(200);
    assert_eq!(change["active"], json!(["create_charge"]));
}

#[tokio::test]
async fn a_suspension_says_until_when_capability_tokens_go_on() {
    let plane = ControlPlane::start().await;
    let drains = |name, window| format!("name: {name}\nallow: ['*']\ndrain_window: {window}\n");
    apply(&plane.api, "?reason=short", drains("short", "10s")).await.expect(201);
    for (policy, window) in [(None, 60), (Some("short"), 10)] {
        let mut body = json!({ "name": "payer" });
        if let Some(policy) = policy {
            body["policy"] = json!(policy);
        }
        let agent = plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
        let suspend = async |in_flight: &str| {
            let why = json!({ "reason": "a test", "in_flight": in_flight });
            plane.api.post(&format!("/v1/agents/{agent}/suspend"), why).await.expect(200)
        };
        let first = suspend("drain").await;
        let [from, until] = [&first["agent"]["status_changed_at"], &first["drains_until"]]
            .map(|at| at.text().parse::<jiff::Timestamp>().unwrap().as_second());
        // Of the second in which it was suspended, as the proxies count.
        assert_eq!(until - from, window, "{policy:?}");
        let again = suspend("drain").await;
        assert_eq!(
            (&again["changed"], &again["drains_until"]),
            (&json!(false), &first["drains_until"])
        );
        assert_eq!(suspend("abort").await["drains_until"], Value::Null);
        let path = format!("/v1/agents/{agent}/restore");
        let restored = plane.api.post(&path, json!({})).await.expect(200);
        assert_eq!(restored["drains_until"], Value::Null);
    }
    // What an agent is put under while it drains says how long, from then on.
    let agent = plane.api.register("payer").await;
    let path = format!("/v1/agents/{agent}");
    let why = json!({ "reason": "a test" });
    let long = plane.api.post(&format!("{path}/suspend"), why).await.expect(200);
    let assign = json!({ "policy": "short" });
    let assigned = plane.api.post(&format!("{path}/policy"), assign).await.expect(200);
    let [long, short] = [long, assigned]
        .map(|it| it["drains_until"].text().parse::<jiff::Timestamp>().unwrap().as_second());
    assert_eq!(long - short, 50);
}
