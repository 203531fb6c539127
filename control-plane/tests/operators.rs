//! Who is let in to the HTTP API, for how long, and under which name.

use kya_core::{NodeCredential, OperatorKey};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::support;
use crate::support::api::{Answer, Text};
use crate::support::{Api, ControlPlane};

/// The answer to these `authorization` headers.
async fn asked(plane: &ControlPlane, authorization: &[&[u8]]) -> Answer {
    let mut request = plane.api.request(Method::GET, "/v1/whoami");
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    Answer::of(request).await
}

async fn events(api: &Api) -> Vec<Value> {
    api.get("/v1/events?limit=1000").await.expect(200)["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_an_attacker_presents_is_no_key() {
    let planes = [ControlPlane::start().await, ControlPlane::start().await];
    let plane = &planes[0];
    let good = plane.api.add_operator("oncall", "operator").await.key;
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].text();
    let mut typo = good.clone().into_bytes();
    typo[10] = if typo[10] == b'x' { b'y' } else { b'x' };
    let typo = String::from_utf8(typo).unwrap();
    let forged = OperatorKey::from_random([7; 32]).reveal().to_owned();
    let renamed = format!("ok_{}", &NodeCredential::from_random([7; 32]).reveal()[3..]);
    let bearer = |key: &str| format!("Bearer {key}").into_bytes();
    // In Cyrillic, and with a digit of full width.
    let look_alikes = [format!("\u{43e}k_{}", &good[3..]), format!("ok_\u{ff10}{}", &good[4..])];
    let cases: [(Vec<u8>, &str); 17] = [
        (bearer(&planes[1].api.key), "this is not the admin key of this control plane"),
        (bearer(&plane.api.key.to_uppercase()), "it does not start with `ok_`"),
        (good.clone().into_bytes(), "must begin with `Bearer `"),
        (format!("Basic {good}").into_bytes(), "must begin with `Bearer `"),
        (format!("Bearer\t{good}").into_bytes(), "must begin with `Bearer `"),
        (b"Bearer ".to_vec(), "must begin with `Bearer `"),
        (bearer(&token), "it does not start with `ok_`"),
        (bearer(&plane.credential), "it does not start with `ok_`"),
        (bearer(&good.to_uppercase()), "it does not start with `ok_`"),
        (bearer(&look_alikes[0]), "it does not start with `ok_`"),
        (bearer(&look_alikes[1]), "it must have 52 characters and has 54"),
        (bearer(&good[..51]), "must have 52 characters and has 51"),
        (bearer(&format!("{good}, {good}")), "must have 52 characters and has 106"),
        (bearer(&format!("ok_{}", "'".repeat(49))), "only letters and digits"),
        (bearer(&typo), "its checksum does not fit"),
        (bearer(&renamed), "its checksum does not fit"),
        (bearer(&forged), "has not issued this key"),
    ];
    for (number, (value, complaint)) in cases.iter().enumerate() {
        let shown = String::from_utf8_lossy(value).into_owned();
        // Ten wrong keys are told what is wrong with them.
        let answer = asked(&planes[number / 10], &[value]).await;
        let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
        assert_eq!(challenge, "Bearer realm=\"kya\", error=\"invalid_token\"");
        let detail = answer.problem(401, "unauthorized");
        assert!(detail.contains(complaint), "{shown}: {detail}");
        assert!(!detail.contains(&good[10..40]), "{detail}");
    }
    let bytes = asked(&planes[1], &[b"Bearer ok_\xff\xfe"]).await.problem(401, "unauthorized");
    assert!(bytes.contains("must have 52 characters"), "{bytes}");
    let nothing = asked(plane, &[]).await;
    assert_eq!(nothing.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"kya\"");
    let detail = nothing.problem(401, "unauthorized");
    assert!(
        detail.contains("send the key of an operator as `authorization: Bearer ok_"),
        "{detail}"
    );
    let good = bearer(&good);
    let metrics = plane.api.get("/metrics").await.expect(200).text();
    for line in [
        "kya_auth_failures_total{reason=\"malformed\"} 9",
        "kya_auth_failures_total{reason=\"missing\"} 1",
        "kya_auth_failures_total{reason=\"unknown\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    // Which of two counts would be a choice, even of the same one twice.
    for two in [[&good[..], &good], [&good, &bearer(&forged)], [&good, b"Basic x"]] {
        let twice = asked(&planes[1], &two).await;
        assert!(matches!(twice.status.as_u16(), 401 | 429), "{twice:?}");
    }
    asked(plane, &[&good]).await.expect(200);
}

#[tokio::test]
async fn a_revocation_counts_from_the_very_next_request_and_for_ever() {
    let plane = ControlPlane::start().await;
    let oncall = plane.api.add_operator("oncall", "operator").await;
    let other = plane.api.add_operator("other", "viewer").await;
    for round in 0..20 {
        let name = format!("short-{round}");
        let short = plane.api.add_operator(&name, "viewer").await;
        short.get("/v1/whoami").await.expect(200);
        plane.api.revoke_operator(&name).await;
        let refused = short.get("/v1/whoami").await;
        assert!(matches!(refused.status.as_u16(), 401 | 429), "{refused:?}");
    }
    let who = oncall.get("/v1/whoami").await.expect(200);
    assert_eq!((&who["name"], &who["role"]), (&json!("oncall"), &json!("operator")));
    let change = plane.api.revoke_operator("oncall").await;
    assert_eq!(change["changed"], true);
    assert_eq!(change["operator"]["status"], "revoked");
    let again = plane.api.revoke_operator("oncall").await;
    assert_eq!((&again["changed"], &again["operator"]), (&json!(false), &change["operator"]));

    let (oncall_key, other_key) = (oncall.key.clone(), other.key.clone());
    let plane = plane.restart().await;
    let of = |key: String| plane.api.with_key(&key);
    let refused = of(oncall_key).get("/v1/whoami").await.problem(401, "unauthorized");
    assert_eq!(refused, "the key of the operator oncall is revoked");
    let kept = of(other_key).get("/v1/whoami").await.expect(200);
    assert_eq!((&kept["name"], &kept["built_in"]), (&json!("other"), &json!(false)));
    let body = json!({ "name": "oncall", "role": "viewer" });
    let taken = plane.api.post("/v1/operators", body).await.problem(409, "conflict");
    assert!(taken.contains("its name is not used again"), "{taken}");
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_and_listed_as_such() {
    let plane = ControlPlane::start().await;
    let expired = OperatorKey::from_random([3; 32]);
    let database = support::database::open(plane.dir.path()).await;
    let insert = "INSERT INTO operators (name, role, digest, created_us, created_by, expires_s)
                  VALUES ('old', 'admin', ?, 1, 'admin', 2)";
    let insert = sqlx::query(insert).bind(expired.digest().0.to_vec());
    insert.execute(&database).await.unwrap();
    database.close().await;
    let old = plane.api.with_key(expired.reveal());
    let detail = old.get("/v1/whoami").await.problem(401, "unauthorized");
    assert_eq!(detail, "the key of the operator old expired at 1970-01-01T00:00:02.000Z");
    let listed = plane.api.get("/v1/operators").await.expect(200);
    assert_eq!(listed["operators"][0]["status"], "expired");
}

#[tokio::test]
async fn every_wider_stop_says_whose_it_was() {
    let plane = ControlPlane::start().await;
    let boss = plane.api.add_operator("boss", "admin").await;
    let oncall = boss.add_operator("oncall", "operator").await;
    let agent = boss.register("payer").await;
    boss.post("/v1/principals", json!({ "name": "alice" })).await.expect(201);
    let why = json!({ "reason": "fire" });
    let action = json!({ "action": "pay", "reason": "fire" });
    let everyone = json!({ "selector": "!env", "reason": "fire" });
    let actions = format!("/v1/agents/{agent}/capabilities");
    let asked = [
        (&oncall, "/v1/principals/alice/suspend".to_owned(), &why),
        (&boss, "/v1/principals/alice/restore".to_owned(), &why),
        (&oncall, "/v1/principals/alice/offboard".to_owned(), &why),
        (&oncall, format!("{actions}/suspend"), &action),
        (&boss, format!("{actions}/restore"), &action),
        (&oncall, format!("{actions}/revoke"), &action),
        (&oncall, "/v1/fleet/halt".to_owned(), &why),
        (&boss, "/v1/fleet/resume".to_owned(), &why),
        (&oncall, "/v1/agents/suspend".to_owned(), &everyone),
        (&oncall, "/v1/agents/revoke".to_owned(), &everyone),
    ];
    let before = events(&boss).await.len();
    for (operator, path, body) in asked {
        operator.post(&path, body.clone()).await.expect(200);
    }
    let shown = boss.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(shown["status_actor"], "oncall");
    let told: Vec<_> = events(&boss).await.split_off(before);
    let told: Vec<_> = told.iter().map(|event| event["actor"].text()).collect();
    // A selection has an event of its own beside that of each agent.
    let expected = [
        "oncall", "boss", "oncall", "oncall", "boss", "oncall", "oncall", "boss", "oncall",
        "oncall", "oncall", "oncall",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn every_change_says_whose_it_was() {
    let plane = ControlPlane::start().await;
    let boss = plane.api.add_operator("boss", "admin").await;
    let oncall = boss.add_operator("oncall", "operator").await;
    let auditor = boss.add_operator("auditor", "auditor").await;
    let agent = boss.register("payer").await;
    let token = boss.issue(&agent).await["token_id"].text();
    boss.register_node(json!({ "name": "web-1" })).await;
    let suspended = oncall.decide(&agent, "suspend").await.expect(200);
    assert_eq!(suspended["agent"]["status_actor"], "oncall");
    boss.decide(&agent, "restore").await.expect(200);
    let why = json!({ "reason": "leaked", "incident_id": "INC-1" });
    oncall.post(&format!("/v1/tokens/{token}/revoke"), why.clone()).await.expect(200);
    let node = oncall.post("/v1/nodes/web-1/revoke", why).await.expect(200);
    assert_eq!(node["node"]["revoked_by"], "oncall");
    oncall.revoke(&agent).await;
    let again = boss.revoke(&agent).await;
    assert_eq!(again["agent"]["status_actor"], "oncall", "whoever was the first");
    boss.post("/v1/keys/announce", json!({ "reason": "yearly" })).await.expect(200);
    let revoked = boss.revoke_operator("oncall").await;
    assert_eq!(revoked["operator"]["revoked_by"], "boss");
    assert_eq!(revoked["operator"]["revoked_reason"], "a test");
    assert_eq!(revoked["operator"]["incident_id"], "INC-9");
    assert_eq!(revoked["operator"]["created_by"], "boss");

    let told: Vec<_> = events(&auditor).await;
    let told: Vec<_> = told.iter().map(|e| (e["actor"].text(), e["action"].text())).collect();
    let told: Vec<_> = told.iter().map(|(actor, action)| (&**actor, &**action)).collect();
    let expected = [
        ("admin", "node.registered"),
        ("admin", "operator.added"),
        ("boss", "operator.added"),
        ("boss", "operator.added"),
        ("boss", "agent.registered"),
        ("boss", "token.issued"),
        ("boss", "node.registered"),
        ("oncall", "agent.suspended"),
        ("boss", "agent.restored"),
        ("oncall", "token.revoked"),
        ("oncall", "node.revoked"),
        ("oncall", "agent.revoked"),
        ("boss", "key.announced"),
        ("boss", "operator.revoked"),
    ];
    assert_eq!(told, expected);
    let page = auditor.get("/v1/events?after=3&limit=2").await.expect(200);
    assert_eq!((&page["events"][0]["sequence"], &page["next"]), (&json!(4), &json!(5)));
    assert_eq!(page["events"][0]["subject"], "auditor");
}

#[tokio::test]
async fn operators_are_listed_without_their_keys_which_are_kept_nowhere() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "soar", "role": "operator", "ttl_seconds": 86_400 });
    let added = plane.api.post("/v1/operators", body).await.expect(201);
    let key = added["key"].text();
    OperatorKey::parse(key.as_bytes()).unwrap();
    plane.api.add_operator("b", "viewer").await;
    let mut expected = added.clone();
    expected.as_object_mut().unwrap().remove("key");
    let listed = plane.api.get("/v1/operators?after=b&limit=1").await.expect(200);
    assert_eq!(listed, json!({ "operators": [expected], "next": null }));
    let first = plane.api.get("/v1/operators?limit=1").await.expect(200);
    assert_eq!((&first["operators"][0]["name"], &first["next"]), (&json!("b"), &json!("b")));
    let (from, until) = (added["created_at"].text(), added["expires_at"].text());
    let (from, until): (jiff::Timestamp, jiff::Timestamp) =
        (from.parse().unwrap(), until.parse().unwrap());
    assert_eq!(until.as_second() - from.as_second(), 86_400);
    for entry in std::fs::read_dir(plane.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let digits = &key.as_bytes()[3..];
        let found = bytes.windows(digits.len()).any(|window| window == digits);
        assert!(!found, "the key is in {path:?}");
    }
    let revision = plane.api.get("/v1/nodes").await.expect(200)["revision"].clone();
    assert_eq!(revision, 0, "an operator takes no revision");
}

#[tokio::test]
async fn what_cannot_be_added_or_revoked_is_refused_with_the_reason() {
    let plane = ControlPlane::start().await;
    for (body, complaint) in [
        (json!({}), "missing field `name`"),
        (json!({ "name": "a" }), "missing field `role`"),
        (json!({ "name": "a/b", "role": "viewer" }), "`name`: the name of an operator has only"),
        (json!({ "name": "\u{430}dmin", "role": "viewer" }), "`name`: the name of an operator"),
        (json!({ "name": "a", "role": "root" }), "expected one of `viewer`, `auditor`, `operator`"),
        (json!({ "name": "a", "role": "viewer", "ttl_seconds": 0 }), "must be between 1 and"),
        (json!({ "name": "a", "role": "viewer", "key": "ok_x" }), "unknown field `key`"),
    ] {
        let detail = plane.api.post("/v1/operators", body).await.problem(422, "invalid_request");
        assert!(detail.contains(complaint), "{detail}");
    }
    for name in ["admin", "Admin"] {
        let body = json!({ "name": name, "role": "viewer" });
        let detail = plane.api.post("/v1/operators", body).await.problem(409, "conflict");
        assert!(detail.contains("the built-in operator"), "{detail}");
    }
    let why = json!({ "reason": "x" });
    let built_in = plane.api.post("/v1/operators/admin/revoke", why.clone()).await;
    assert!(built_in.problem(409, "conflict").contains("stop the server and delete that file"));
    let nobody = plane.api.post("/v1/operators/nobody/revoke", why).await.problem(404, "not_found");
    assert_eq!(nobody, "there is no operator nobody");
    let who = plane.api.get("/v1/whoami").await.expect(200);
    assert_eq!((&who["name"], &who["built_in"]), (&json!("admin"), &json!(true)));
    assert_eq!(events(&plane.api).await.len(), 1, "a refused request changed something");
}

#[tokio::test]
async fn a_kill_gets_through_from_an_address_that_guesses_keys() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let oncall = plane.api.add_operator("oncall", "operator").await;
    let wrong = format!("Bearer {}", OperatorKey::from_random([7; 32]).reveal());
    let mut limited = 0;
    for _ in 0..30 {
        let answer = asked(&plane, &[wrong.as_bytes()]).await;
        if answer.status == 429 {
            let wait: u64 = answer.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((1..=6).contains(&wait), "{wait}");
            let detail = answer.problem(429, "too_many_requests");
            assert!(
                detail.contains("A key that counts is let in from here at any time"),
                "{detail}"
            );
            limited += 1;
        }
    }
    assert!(limited >= 10, "{limited}");
    let revoked = oncall.revoke(&agent).await;
    assert_eq!(revoked["agent"]["status"], "revoked");
    plane.api.get("/v1/events").await.expect(200);
    let counted = plane.metric("kya_auth_failures_total{reason=\"unknown\"}").await;
    assert_eq!(counted, 30, "each is counted by what it was");
}

#[tokio::test]
async fn an_admin_key_that_is_locked_away_lets_nobody_in_and_named_operators_go_on() {
    let plane = ControlPlane::start().await;
    let boss = plane.api.add_operator("boss", "admin").await.key;
    let before = plane.api.key.clone();
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    std::fs::write(dir.path().join("admin.key"), "locked\n").unwrap();
    let config = kya_control_plane::config::Config::ephemeral(dir.path());
    let server = kya_control_plane::Server::start(config).await.unwrap();
    for key in [&*before, "locked"] {
        let api = Api::new(&server.http_addr.to_string(), key);
        api.get("/v1/whoami").await.problem(401, "unauthorized");
    }
    let boss = Api::new(&server.http_addr.to_string(), &boss);
    boss.add_operator("another", "admin").await.get("/v1/operators").await.expect(200);
    server.shutdown().await;
}
