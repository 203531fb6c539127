//! Every route with every role, and what is at no route.

use axum::body::{Body, to_bytes};
use axum::routing::delete;
use kya_core::{NodeCredential, OpaqueToken};
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tower::ServiceExt;

use super::*;
use crate::Server;
use crate::api::{extract, for_operators};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::keys::AdminKey;
use crate::operators::Role::{self, Admin, Auditor, Operator as Stopper, Viewer};
use crate::store::SqliteStore;
use crate::telemetry::Metrics;
use crate::time::SystemClock;

const PATIENCE: Duration = Duration::from_secs(20);
const ALL: &[Role] = &[Viewer, Auditor, Stopper, Admin];
const AUDIT: &[Role] = &[Auditor, Admin];
const READ: &[Role] = &[Auditor, Stopper, Admin];
const STOP: &[Role] = &[Stopper, Admin];
const ONLY: &[Role] = &[Admin];

/// Who is let in where, and the status of the answer to a request that changes nothing.
const EXPECTED: &[(&str, &str, &[Role], u16)] = &[
    ("POST", "/agents", ONLY, 422),
    ("GET", "/agents", ALL, 200),
    ("GET", "/agents/{agent_id}", ALL, 404),
    ("POST", "/agents/{agent_id}/revoke", STOP, 422),
    ("POST", "/agents/{agent_id}/suspend", STOP, 422),
    ("POST", "/agents/{agent_id}/restore", ONLY, 404),
    ("POST", "/agents/{agent_id}/replace", ONLY, 422),
    ("POST", "/agents/{agent_id}/sub-agents", ONLY, 422),
    ("GET", "/agents/{agent_id}/tree", ALL, 404),
    ("POST", "/agents/revoke", STOP, 422),
    ("POST", "/agents/suspend", STOP, 422),
    ("GET", "/agents/{agent_id}/capabilities", ALL, 404),
    ("POST", "/agents/{agent_id}/capabilities/revoke", STOP, 422),
    ("POST", "/agents/{agent_id}/capabilities/suspend", STOP, 422),
    ("POST", "/agents/{agent_id}/capabilities/restore", ONLY, 422),
    ("POST", "/agents/{agent_id}/policy", ONLY, 422),
    ("POST", "/policies", ONLY, 400),
    ("GET", "/policies", ALL, 200),
    ("GET", "/policies/{policy}", ALL, 404),
    ("GET", "/policies/{policy}/versions", ALL, 404),
    ("GET", "/policies/{policy}/diff", ALL, 404),
    ("POST", "/policies/{policy}/rollback", ONLY, 422),
    ("POST", "/policies/{policy}/revoke", STOP, 422),
    ("POST", "/principals", ONLY, 422),
    ("GET", "/principals", ALL, 200),
    ("GET", "/principals/{principal}", ALL, 404),
    ("POST", "/principals/{principal}/offboard", STOP, 422),
    ("POST", "/principals/{principal}/suspend", STOP, 422),
    ("POST", "/principals/{principal}/restore", ONLY, 404),
    ("GET", "/fleet", ALL, 200),
    ("POST", "/fleet/halt", STOP, 422),
    ("POST", "/fleet/resume", ONLY, 422),
    ("GET", "/approvals", ALL, 200),
    ("POST", "/approvals/{approval_id}/approve", ONLY, 404),
    ("POST", "/approvals/{approval_id}/reject", STOP, 404),
    ("POST", "/drills", ONLY, 422),
    ("GET", "/drills", ALL, 200),
    ("GET", "/drills/{drill_id}", ALL, 404),
    ("POST", "/drills/{drill_id}/stop", STOP, 404),
    ("POST", "/drill-schedules", ONLY, 422),
    ("GET", "/drill-schedules", ALL, 200),
    ("GET", "/drill-schedules/{name}", ALL, 404),
    ("POST", "/drill-schedules/{name}/pause", ONLY, 404),
    ("POST", "/drill-schedules/{name}/resume", ONLY, 404),
    ("POST", "/drill-schedules/{name}/remove", ONLY, 404),
    ("POST", "/tokens", ONLY, 422),
    ("GET", "/tokens", ALL, 200),
    ("POST", "/tokens/{token_id}/revoke", STOP, 422),
    ("POST", "/tokens/revoke", STOP, 422),
    ("POST", "/capability-tokens", ONLY, 422),
    ("GET", "/capability-tokens", ALL, 200),
    ("GET", "/capability-tokens/{token_id}", ALL, 400),
    ("POST", "/capability-tokens/{token_id}/revoke", STOP, 400),
    ("GET", "/token-keys", ALL, 200),
    ("POST", "/token-keys/announce", ONLY, 409),
    ("POST", "/token-keys/activate", ONLY, 422),
    ("POST", "/token-keys/retire", ONLY, 422),
    ("POST", "/verify", ALL, 422),
    ("POST", "/nodes", ONLY, 422),
    ("GET", "/nodes", ALL, 200),
    ("POST", "/nodes/{name}/revoke", STOP, 422),
    ("GET", "/keys", ALL, 200),
    ("POST", "/keys/announce", ONLY, 422),
    ("POST", "/keys/activate", ONLY, 422),
    ("POST", "/keys/retire", ONLY, 422),
    ("POST", "/keys/compact", ONLY, 422),
    ("POST", "/operators", ONLY, 422),
    ("GET", "/operators", AUDIT, 200),
    ("POST", "/operators/{name}/revoke", ONLY, 422),
    ("GET", "/events", AUDIT, 200),
    ("GET", "/kills", READ, 200),
    ("GET", "/kills/{kill_id}", READ, 404),
    ("GET", "/kills/{kill_id}/receipt", READ, 404),
    ("GET", "/audit/records", READ, 200),
    ("GET", "/audit/records/{seq}", READ, 404),
    ("GET", "/audit/export", READ, 200),
    ("GET", "/audit/tail", READ, 400),
    ("GET", "/audit/checkpoint", READ, 200),
    ("GET", "/audit/keys", READ, 200),
    ("POST", "/audit/keys/announce", ONLY, 422),
    ("POST", "/audit/keys/activate", ONLY, 422),
    ("POST", "/audit/keys/rotate", ONLY, 422),
    ("POST", "/audit/keys/recover", ONLY, 422),
    ("GET", "/audit/proofs/inclusion", READ, 400),
    ("GET", "/audit/proofs/consistency", READ, 400),
    ("POST", "/audit/archive", ONLY, 422),
    ("GET", "/status", ALL, 200),
    ("GET", "/whoami", ALL, 200),
    ("GET", "/revisions/{revision}/acknowledgements", ALL, 404),
    ("POST", "/challenges", ALL, 404),
];

#[test]
fn the_table_of_this_test_has_every_route() {
    let routes = for_operators();
    let mut declared: Vec<_> = routes.all().map(|(method, path, ..)| (method, path)).collect();
    let mut expected: Vec<_> = EXPECTED.iter().map(|(method, path, ..)| (*method, *path)).collect();
    declared.sort_unstable();
    expected.sort_unstable();
    assert_eq!(declared, expected);
}

/// The path with names of nobody in the place of its variables.
fn filled(path: &str) -> String {
    let ulid = "01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
    path.replace("{agent_id}", &format!("agt_{ulid}"))
        .replace("{drill_id}", &format!("drl_{ulid}"))
        .replace("{token_id}", &format!("tok_{ulid}"))
        .replace("{approval_id}", &format!("apr_{ulid}"))
        .replace("{kill_id}", &format!("kil_{ulid}"))
        .replace("{name}", "nobody")
        .replace("{principal}", "nobody")
        .replace("{policy}", "nobody")
        .replace("{revision}", "7")
        .replace("{seq}", "9000000")
        .replace("/audit/tail", "/audit/tail?from=x")
}

#[tokio::test]
async fn every_route_lets_in_exactly_the_roles_that_are_written_here() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(Config::ephemeral(temp.path())).await.unwrap();
    let admin = std::fs::read_to_string(temp.path().join("admin.key")).unwrap();
    let client = reqwest::Client::new();
    let base = format!("http://{}{PREFIX}", server.http_addr);
    let ask = async |method: &str, path: &str, key: Option<&str>| {
        let method: reqwest::Method = method.parse().unwrap();
        let mut request = client.request(method.clone(), format!("{base}{}", filled(path)));
        if method == Method::POST {
            let nobody = json!({ "node_id": "nobody", "wait_ms": 0 });
            let body = if path == "/challenges" { nobody } else { json!({}) };
            request = request.json(&body);
        }
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let json: Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        (status, headers, json)
    };
    let mut keys = Vec::new();
    for role in ALL {
        let new = json!({ "name": format!("the-{}", role.name()), "role": role });
        let request = client.post(format!("{base}/operators")).bearer_auth(admin.trim());
        let added: Value = request.json(&new).send().await.unwrap().json().await.unwrap();
        keys.push((*role, format!("Bearer {}", added["key"].as_str().unwrap())));
    }
    let strangers = [
        None,
        Some(format!("Bearer {}", OpaqueToken::from_random([7; 32]).reveal())),
        Some(format!("Bearer {}", NodeCredential::from_random([7; 32]).reveal())),
    ];
    for (method, path, roles, status) in EXPECTED {
        for (role, key) in &keys {
            let (told, headers, json) = ask(method, path, Some(key)).await;
            let case = format!("{method} {path} as {role:?}: {told} {json}");
            if roles.contains(role) {
                assert_eq!(told, *status, "{case}");
                if *method == "GET" {
                    assert_eq!(ask("HEAD", path, Some(key)).await.0, *status, "HEAD, {case}");
                }
                continue;
            }
            assert_eq!((told, &json["code"]), (403, &json!("forbidden")), "{case}");
            let permission = json["permission"].as_str().expect(&case);
            let challenge = headers["www-authenticate"].to_str().unwrap();
            let scope = format!("error=\"insufficient_scope\", scope=\"{permission}\"");
            assert!(challenge.ends_with(&scope), "{case}: {challenge}");
            assert_eq!(json["roles"], json!(roles), "{case}");
            assert!(json["detail"].as_str().unwrap().contains(permission), "{case}");
        }
        let (_, top) = keys.last().unwrap();
        for other in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
            let (told, headers, json) = ask(other, path, Some(top)).await;
            assert_eq!(
                (told, &json["code"]),
                (405, &json!("method_not_allowed")),
                "{other} {path}"
            );
            assert!(headers["allow"].to_str().unwrap().contains(method), "{headers:?}");
        }
    }
    // There are more of them than a minute may have wrong keys.
    for (method, path, ..) in EXPECTED {
        for stranger in &strangers {
            let (told, _, json) = ask(method, path, stranger.as_deref()).await;
            assert!(matches!(told, 401 | 429), "{method} {path} {stranger:?}: {told} {json}");
        }
        for other in ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
            assert_eq!(ask(other, path, None).await.0, 401, "{other} {path}");
        }
    }
    let (_, _, json) = ask("GET", "/events", Some(&keys[1].1)).await;
    let events = json["events"].as_array().unwrap();
    assert_eq!(events.len(), ALL.len(), "somebody has changed something: {json}");
    server.shutdown().await;
}

/// The body of a request.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A guard of its own, and its admin key.
async fn guarded(routes: Routes<()>) -> (Router, String, tempfile::TempDir) {
    let (router, key, temp, _) = guarded_by(routes).await;
    (router, key, temp)
}

/// The same, and who is let in.
async fn guarded_by(
    routes: Routes<()>,
) -> (Router, String, tempfile::TempDir, Arc<OperatorAccess>) {
    let temp = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let store = SqliteStore::open(&temp.path().join("kya.db"), clock.clone()).await.unwrap();
    let data_dir = DataDir::open(&temp.path().join("keys")).unwrap();
    let (key, _) = AdminKey::open_or_create(&data_dir).unwrap();
    let shown = format!("Bearer {}", key.reveal());
    let metrics = Arc::new(Metrics::new().unwrap());
    let access = Arc::new(OperatorAccess::new(key, Arc::new(store), clock, metrics));
    let router = Router::new().nest(PREFIX, routes.guarded(&access));
    (router, shown, temp, access)
}

/// A request with a key of its operator, if it is to have one.
fn posted(path: &str, key: &str, body: Body) -> Request {
    let request = Request::builder().method("POST").uri(path).header("authorization", key);
    let request = request.header("content-type", "application/json");
    let mut request = request.header("idempotency-key", "k").body(body).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
    request
}

async fn status(router: &Router, method: &str, path: &str, key: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header("authorization", key);
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_route_without_a_permission_is_reached_by_nobody_not_even_an_admin() {
    let reached = async || "reached";
    let mut routes = Routes::<()>::new().get("/declared", Permission::ReadSelf, reached);
    // What the builder has no way to do.
    routes.router =
        routes.router.route("/undeclared", get(reached)).route("/declared", delete(reached));
    let (router, key, _temp) = guarded(routes).await;
    assert_eq!(status(&router, "GET", "/v1/declared", &key).await, (200, "reached".to_owned()));
    for (method, path, expected) in
        [("GET", "/v1/undeclared", 404), ("DELETE", "/v1/declared", 405), ("GET", "/v1/x", 404)]
    {
        let (status, body) = status(&router, method, path, &key).await;
        assert_eq!(status, expected, "{method} {path}");
        assert!(!body.contains("reached"), "{method} {path}");
    }
    for path in ["/v1/declared", "/v1/undeclared", "/v1/x"] {
        assert_eq!(status(&router, "GET", path, "Bearer ").await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn whoever_sends_slowly_has_no_turn_and_a_stop_needs_none() {
    let done = async |extract::Body(Nothing {}): extract::Body<Nothing>| "done";
    let starts = Permission::ManageOperators;
    let routes = Routes::<()>::new().post("/start", starts, done).stop("/stop", starts, done);
    let (router, key, _temp, access) = guarded_by(routes).await;
    let turns = access.turns_left();
    let (begun, mut began) = tokio::sync::mpsc::channel(turns);
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..turns {
        let (router, begun) = (router.clone(), begun.clone());
        let body = tokio_stream::iter([Ok::<_, std::io::Error>("{")]);
        let body = body.chain(tokio_stream::pending()).map(move |part| {
            begun.try_send(()).unwrap();
            part
        });
        let request = posted("/v1/start", &key, Body::from_stream(body));
        slow.spawn(router.oneshot(request));
    }
    for _ in 0..turns {
        began.recv().await.unwrap();
    }
    assert_eq!(access.turns_left(), turns, "somebody who sends a body has a turn");
    let ask = async |path: &str| {
        let answer = router.clone().oneshot(posted(path, &key, Body::from("{}"))).await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(ask("/v1/start").await, 200);
    let mut held = Vec::new();
    while access.turns_left() > 0 {
        held.push(access.turn().await.unwrap());
    }
    assert_eq!(ask("/v1/stop").await, 200);
    assert_eq!(ask("/v1/start").await, 503, "a start waits");
}

#[tokio::test]
async fn a_change_has_its_turn_until_it_is_done_though_nobody_waits_for_it() {
    let (reached, mut reaches) = tokio::sync::mpsc::channel(1);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let handler = async move || -> Result<&'static str, Problem> {
        reached.try_send(()).unwrap();
        opens.acquire().await.unwrap().forget();
        Ok("made")
    };
    let starts = Permission::IssueTokens;
    let routes = Routes::<()>::new()
        .make("/make", starts, Again::Same, handler.clone())
        .post("/do", starts, handler);
    let (router, key, _temp, access) = guarded_by(routes).await;
    let turns = access.turns_left();
    for path in ["/v1/make", "/v1/do"] {
        let asked = tokio::spawn(router.clone().oneshot(posted(path, &key, Body::empty())));
        reaches.recv().await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(access.turns_left(), turns - 1, "{path}: its turn is over before it is");
        gate.add_permits(1);
        // The turn of the last is given back when it is done.
        drop(tokio::time::timeout(PATIENCE, access.all_turns()).await.expect(path));
    }
}

#[test]
fn what_ends_authority_is_never_counted() {
    for (method, path, ..) in EXPECTED.iter().filter(|(method, ..)| *method == "POST") {
        let routes = for_operators();
        let declared = routes.permissions[path][method];
        let ends = ["/revoke", "/suspend", "/halt", "/offboard", "/retire", "/reject", "/stop"];
        let ends = ends.iter().any(|end| path.ends_with(end));
        let asks = ["/verify", "/challenges"].contains(path);
        assert_eq!(declared.starts, !ends && !asks, "{path}");
        assert_eq!(declared.counts(method), !ends && *path != "/verify", "{path}");
    }
}

#[tokio::test]
async fn a_handler_that_asks_whose_request_it_is_outside_of_the_guard_fails() {
    let router: Router = Router::new().route("/", get(async |By(_): By| "reached"));
    let (status, body) = status(&router, "GET", "/", "").await;
    assert_eq!(status, 500);
    assert!(body.contains("the request is nobody's"), "{body}");
}
