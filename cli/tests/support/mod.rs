//! A control plane that says what the test tells it to, and `kya` as a
//! process.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod tls;
pub mod trail;

use std::collections::{HashMap, VecDeque};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub const AGENT: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const ALICE: &str = "alice@example.com";
pub const TOKEN_ID: &str = "tok_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const APPROVAL: &str = "apr_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const CAP: &str = "cap_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
pub const ADMIN_KEY: &str = "an-admin-key-of-a-test";

/// Every command, in a form that is right.
pub const COMMANDS: [&[&str]; 60] = [
    &["agent", "register", "--name", "billing-agent", "--pubkey", KEY],
    &["agent", "list", "--status", "active"],
    &["agent", "list", "--selector", "env=prod", "--owner", ALICE],
    &["agent", "show", AGENT],
    &["agent", "tree", AGENT],
    &["agent", "revoke", AGENT, "--reason", "r", "--incident-id", "INC-1"],
    &["agent", "suspend", AGENT, "--reason", "r"],
    &["agent", "restore", AGENT],
    &["agent", "restore", AGENT, "--reason", "r"],
    &["agent", "suspend", "--selector", "env=staging", "--reason", "r"],
    &["agent", "revoke", "--selector", "env=staging", "--reason", "r"],
    &["principal", "add", ALICE],
    &["principal", "list", "--status", "active"],
    &["principal", "show", ALICE],
    &["principal", "offboard", ALICE, "--reason", "r", "--incident-id", "HR-7"],
    &["principal", "suspend", ALICE, "--reason", "r"],
    &["principal", "restore", ALICE],
    &["capability", "list", "--agent", AGENT],
    &["capability", "revoke", "--agent", AGENT, "--action", "issue_refund", "--reason", "r"],
    &["capability", "suspend", "--agent", AGENT, "--action", "issue_refund", "--reason", "r"],
    &["capability", "restore", "--agent", AGENT, "--action", "issue_refund"],
    &["halt", "--all", "--reason", "r"],
    &["resume", "--yes", "--reason", "r"],
    &["approval", "list"],
    &["approval", "approve", APPROVAL],
    &["approval", "reject", APPROVAL, "--reason", "r"],
    &["token", "issue", "--agent", AGENT, "--ttl", "8h"],
    &["token", "issue", "--capability", "--agent", AGENT, "--service", "shop", "--ttl", "5m"],
    &["token", "list", "--agent", AGENT],
    &["token", "list", "--capability", "--agent", AGENT],
    &["token", "revoke", TOKEN_ID, "--reason", "r"],
    &["token", "revoke", "--agent", AGENT, "--service", "shop", "--reason", "r"],
    &["token", "revoke", CAP, "--reason", "r"],
    &["token-key", "list"],
    &["token-key", "announce"],
    &["token-key", "activate", KEY],
    &["token-key", "retire", KEY, "--reason", "r"],
    &["verify", "--agent", AGENT, "--action", "pay"],
    &["node", "add", "web-1", "--match", "web-*", "--expires-in", "90d"],
    &["node", "list"],
    &["node", "challenge"],
    &["node", "revoke", "web-1", "--reason", "r"],
    &["key", "list"],
    &["key", "rotate", "--reason", "r"],
    &["key", "announce", "--reason", "r"],
    &["key", "activate", "--reason", "r"],
    &["key", "retire", "--reason", "r", "--force"],
    &["key", "compact", "--reason", "r", "--pinned", KEY],
    &["operator", "add", "oncall", "--role", "operator", "--expires-in", "90d"],
    &["operator", "list"],
    &["operator", "revoke", "oncall", "--reason", "r"],
    &["audit", "export", "--agent", AGENT, "--since", "2h"],
    &["audit", "export", "--verify-chain"],
    &["audit", "tail", "-n", "1"],
    &["audit", "show", "1"],
    &["audit", "checkpoint"],
    &["audit", "proof", "1"],
    &["audit", "keys"],
    &["audit", "check-kills", "--since", "2h"],
    &["whoami"],
];

/// A request that the fake got.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Method, path and query.
    pub line: String,
    /// The body, or null when there was none.
    pub body: Value,
}

struct Scripted {
    status: u16,
    body: String,
    /// The answer waits for this.
    held: Option<oneshot::Receiver<()>>,
    /// The connection is lost in the middle of the body.
    cut: bool,
}

impl Scripted {
    fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), held: None, cut: false }
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Scripted>,
    /// What is answered when the answer above was given.
    later: HashMap<String, VecDeque<Scripted>>,
    /// `last-event-id` of every request for events.
    resumed: Vec<Option<String>>,
    otherwise: Option<(u16, String)>,
    seen: Vec<Seen>,
}

type Shared = Arc<Mutex<Script>>;

/// The fake control plane; it stops when it is dropped.
pub struct Fake {
    pub url: String,
    script: Shared,
    _stop: oneshot::Sender<()>,
}

impl Fake {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same behind TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Some(config))
    }

    fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let script = Shared::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Router::new().fallback(answer).with_state(script.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = match tls {
                    None => axum::serve(listener, app).into_future(),
                    Some(config) => {
                        let listener = tls::TlsListener { listener, acceptor: config.into() };
                        axum::serve(listener, app).into_future()
                    }
                };
                tokio::select! {
                    served = serving => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { url, script, _stop: stop }
    }

    /// Answers `METHOD /path` (without the query) with this, once.
    pub fn on(&self, line: &str, status: u16, body: &Value) {
        self.on_text(line, status, &body.to_string());
    }

    pub fn on_text(&self, line: &str, status: u16, body: &str) {
        let scripted = Scripted::new(status, body);
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
    }

    /// Answers this, once, when all that was scripted before has been answered.
    pub fn then_text(&self, line: &str, status: u16, body: &str) {
        let mut script = self.script.lock().unwrap();
        script.later.entry(line.to_owned()).or_default().push_back(Scripted::new(status, body));
    }

    /// Answers half of this, and then the connection is lost.
    pub fn on_cut(&self, line: &str, body: &str) {
        let scripted = Scripted { cut: true, ..Scripted::new(200, body) };
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
    }

    /// After which event each request for events asked to go on.
    pub fn resumed(&self) -> Vec<Option<String>> {
        self.script.lock().unwrap().resumed.clone()
    }

    /// Like [`Fake::on`], but the answer is held back until the sender fires.
    pub fn on_held(&self, line: &str, status: u16, body: &Value) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        let scripted = Scripted { held: Some(held), ..Scripted::new(status, &body.to_string()) };
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
        release
    }

    /// Answers everything else with this.
    pub fn otherwise(&self, status: u16, body: &str) {
        self.script.lock().unwrap().otherwise = Some((status, body.to_owned()));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }
}

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let authorized = head.headers.get(AUTHORIZATION).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value == format!("Bearer {ADMIN_KEY}"))
    });
    let scripted = {
        let mut script = script.lock().unwrap();
        script.seen.push(Seen {
            line: format!("{} {}", head.method, head.uri),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        });
        if head.headers.get(ACCEPT).is_some_and(|it| it == "text/event-stream") {
            let last = head.headers.get("last-event-id");
            script.resumed.push(last.map(|it| it.to_str().unwrap().to_owned()));
        }
        if !authorized {
            let body = problem(401, "unauthorized", "the admin key is missing or wrong");
            Scripted::new(401, &body.to_string())
        } else if let Some(scripted) =
            script.answers.remove(&format!("{} {}", head.method, head.uri.path()))
        {
            scripted
        } else if let Some(scripted) = script
            .later
            .get_mut(&format!("{} {}", head.method, head.uri.path()))
            .and_then(VecDeque::pop_front)
        {
            scripted
        } else {
            let (status, body) = script.otherwise.clone().unwrap_or((500, "not scripted".into()));
            Scripted::new(status, &body)
        }
    };
    if let Some(held) = scripted.held {
        let _ = held.await;
    }
    let status = StatusCode::from_u16(scripted.status).unwrap();
    if scripted.cut {
        let half = scripted.body[..scripted.body.len() / 2].to_owned();
        let broken = std::io::Error::other("lost");
        let parts = tokio_stream::iter([Ok(half), Err(broken)]);
        return (status, Body::from_stream(parts)).into_response();
    }
    (status, [(CONTENT_TYPE, "application/json")], scripted.body).into_response()
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// stdout as the one JSON document that it must be.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// stderr as the one JSON document that it must be.
    #[track_caller]
    pub fn problem(&self) -> Value {
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `kya`, with the variables that it reads and no others.
pub fn command(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya"));
    command.env_clear().env("KYA_SERVER", server).env("KYA_TOKEN", ADMIN_KEY).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn kya(server: &str, args: &[&str]) -> Ended {
    end(command(server, args).spawn().unwrap())
}

pub fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn problem(status: u16, code: &str, detail: &str) -> Value {
    json!({
        "type": format!("urn:kya:problem:{code}"),
        "title": "A problem",
        "status": status,
        "detail": detail,
        "code": code,
    })
}

pub fn agent(status: &str) -> Value {
    let revoked = status == "revoked";
    json!({
        "agent_id": AGENT,
        "name": "billing-agent",
        "status": status,
        "public_key": KEY,
        "principal_id": null,
        "owner": null,
        "owner_status": null,
        "labels": {},
        "expires_at": null,
        "policy_id": null,
        "created_at": "2026-02-05T14:00:00.000Z",
        "revoked_at": revoked.then_some("2026-02-05T14:47:23.891Z"),
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_actor": "oncall-anna",
        "status_reason": "prompt_injection_suspected",
        "incident_id": "INC-2026-0205-001",
        "revision": 42,
    })
}

/// The answer to a change that made an agent's status what it is.
pub fn change(status: &str, changed: bool) -> Value {
    json!({
        "agent": agent(status),
        "changed": changed,
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
    })
}

pub fn token(status: &str) -> Value {
    json!({
        "token_id": TOKEN_ID,
        "agent_id": AGENT,
        "status": status,
        "issued_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-02-06T14:00:00.000Z",
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "revision": 42,
    })
}

pub fn token_change(changed: bool) -> Value {
    let mut change = change("revoked", changed);
    let fields = change.as_object_mut().unwrap();
    fields.remove("agent");
    fields.insert("token".into(), token("revoked"));
    change
}

/// A capability token by its name.
pub fn capability_token(status: &str) -> Value {
    let mut record = token(status);
    record["token_id"] = json!(CAP);
    record["services"] = json!(["shop"]);
    record["actions"] = json!(["pay", "read"]);
    record
}

/// The issuer of capability tokens, with one key of this status.
pub fn issuer(status: &str) -> Value {
    json!({
        "issuer": "https://kya.example", "max_lifetime_seconds": 3600, "revision": 42,
        "keys": [{
            "public_key": KEY, "kid": "a-thumbprint", "status": status,
            "published_at": "2026-02-05T14:00:00.000Z",
            "activated_at": (status != "published").then_some("2026-02-05T14:10:00.000Z"),
            "retired_at": (status == "retired").then_some("2026-02-05T15:00:00.000Z"),
        }],
    })
}

/// The answer to a step that made the key so.
pub fn token_key_step(status: &str) -> Value {
    json!({
        "issuer": issuer(status), "changed": true, "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z", "committed_unix_ms": 1_770_302_843_891.123,
    })
}

/// The answer to a revocation of the tokens that `selection` names: of so many, or by one
/// record of all.
pub fn tokens_change(selection: &Value, tokens: Option<u64>) -> Value {
    let until = tokens.is_none().then_some("2026-02-05T14:47:23.000Z");
    let mut change = committed(
        true,
        json!({
            "agent_id": null, "selector": null, "service": null, "action": null,
            "tokens": tokens, "tokens_not_before": until, "revisions": 1,
        }),
    );
    change.as_object_mut().unwrap().extend(selection.as_object().unwrap().clone());
    change
}

/// What was committed, with what is changed in `fields`.
fn committed(changed: bool, fields: Value) -> Value {
    let mut change = json!({
        "changed": changed,
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
    });
    change.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    change
}

pub fn reach(agents: u64, tokens: u64) -> Value {
    json!({ "agents": agents, "tokens": tokens })
}

pub fn principal(status: &str) -> Value {
    json!({
        "principal_id": "prn_01JXMK9P2Q3R4S5T6V7W8X9Y0Z",
        "name": ALICE,
        "created_at": "2026-02-05T14:00:00.000Z",
        "status": status,
        "in_flight": null,
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_reason": "she_left",
        "incident_id": null,
        "revision": 42,
    })
}

pub fn principal_change(status: &str, changed: bool) -> Value {
    committed(changed, json!({ "principal": principal(status), "reach": reach(3, 5) }))
}

pub fn capability(action: &str, status: &str) -> Value {
    json!({
        "agent_id": AGENT,
        "action": action,
        "status": status,
        "in_flight": null,
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_reason": "refund_loop",
        "incident_id": null,
        "revision": 42,
    })
}

/// Of `issue_refund`, where these other actions are known as active.
pub fn capability_change(status: &str, changed: bool, active: &[&str]) -> Value {
    let capability = capability("issue_refund", status);
    committed(changed, json!({ "capability": capability, "active": active }))
}

pub fn fleet_change(status: &str, changed: bool) -> Value {
    committed(changed, json!({ "fleet": { "status": status }, "reach": reach(12, 30) }))
}

/// Of three agents, beside which so many already were so.
pub fn selection_change(status: &str, unchanged: u64) -> Value {
    committed(
        true,
        json!({
            "selector": "env=staging", "status": status, "agents": 3, "unchanged": unchanged,
            "revisions": 1,
        }),
    )
}

/// Of the restoration of the agent, as oncall-anna asked.
pub fn approval(status: &str) -> Value {
    let settled = status != "pending";
    json!({
        "approval_id": APPROVAL,
        "status": status,
        "restores": "agent",
        "agent_id": AGENT,
        "action": null,
        "principal_id": null,
        "asked_by": "oncall-anna",
        "asked_at": "2026-02-05T14:47:00.000Z",
        "expires_at": "2026-02-05T15:02:00.000Z",
        "reason": "false_alarm",
        "incident_id": null,
        "settled_by": settled.then_some("boss"),
        "settled_at": settled.then_some("2026-02-05T14:47:23.891Z"),
    })
}

pub fn approval_change(changed: bool) -> Value {
    committed(changed, json!({ "approval": approval("approved") }))
}

pub fn registration(status: &str) -> Value {
    json!({
        "name": "web-1",
        "match": "web-*",
        "status": status,
        "created_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-05-06T14:00:00.000Z",
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "revoked_reason": null,
        "incident_id": null,
    })
}

pub fn operator(status: &str) -> Value {
    let revoked = status == "revoked";
    json!({
        "name": "oncall",
        "role": "operator",
        "status": status,
        "created_at": "2026-02-05T14:00:00.000Z",
        "created_by": "admin",
        "expires_at": "2026-05-06T14:00:00.000Z",
        "revoked_at": revoked.then_some("2026-02-05T14:47:23.891Z"),
        "revoked_by": revoked.then_some("boss"),
        "revoked_reason": null,
        "incident_id": null,
    })
}

pub const ACKS: &str = "GET /v1/revisions/42/acknowledgements";

/// Acknowledgements of two proxies of two workers each, of which these
/// `(node, slot)` are pending.
pub fn acknowledgements(pending: &[(&str, u32)]) -> Value {
    let mut nodes: Vec<_> = pending.iter().map(|(node, _)| node).collect();
    nodes.sort();
    nodes.dedup();
    let pending: Vec<_> = pending
        .iter()
        .map(|(node, slot)| json!({"node_id": node, "slot": slot, "instance": "00000000000000ff"}))
        .collect();
    json!({
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
        "complete": pending.is_empty(),
        "proxies": 2,
        "proxies_acknowledged": 2 - nodes.len(),
        "workers": 4,
        "workers_acknowledged": 4 - pending.len(),
        "elapsed_ms": 3.124,
        "acknowledgements": [],
        "pending": pending,
    })
}

/// Acknowledgements when no proxy is connected.
pub fn nobody() -> Value {
    let mut nobody = acknowledgements(&[]);
    for (field, value) in [
        ("complete", json!(false)),
        ("proxies", json!(0)),
        ("proxies_acknowledged", json!(0)),
        ("workers", json!(0)),
        ("workers_acknowledged", json!(0)),
        ("elapsed_ms", Value::Null),
    ] {
        nobody[field] = value;
    }
    nobody
}

/// What came of a challenge that `sidecar-a` has answered with two workers and,
/// unless that is all, `sidecar-b` with one of two.
pub fn proof(all: bool) -> Value {
    let worker = |slot: u32, after: Option<f64>| {
        json!({
            "slot": slot,
            "instance": "00000000000000ff",
            "epoch": after.map(|_| 1),
            "revision": after.map(|_| 42),
            "state_age_ms": after.map(|_| 230),
            "answered_after_ms": after,
        })
    };
    let node = |id: &str, why: Value, workers: Value| {
        json!({
            "node_id": id,
            "registration": "web-1",
            "armed": {
                "state": if why.is_null() { "armed" } else { "stale" },
                "why": why,
                "challenged_at": "2026-02-05T14:47:23.891Z",
                "answered_at": null,
            },
            "filter_version": "0.1.0",
            "configuration_hash": "0123456789abcdef".repeat(4),
            "clock_ahead_ms": 3,
            "revision": 42,
            "workers": workers,
        })
    };
    let answered = json!([worker(0, Some(1.25)), worker(1, Some(3.0))]);
    let mut nodes = vec![node("sidecar-a", Value::Null, answered)];
    if !all {
        let why = json!("worker 1 has not answered the challenge of 5.0 s ago");
        nodes.push(node("sidecar-b", why, json!([worker(0, Some(2.0)), worker(1, None)])));
    }
    json!({
        "nonce": "00ff".repeat(16),
        "challenged_at": "2026-02-05T14:47:23.891Z",
        "revision": 42,
        "epoch": 1,
        "armed": all,
        "challenged": nodes.len(),
        "left": 0,
        "nodes": nodes,
        "disconnected": [],
    })
}

const OLD_KEY: &str = "ed25519:MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";

/// The keys in this phase; the last step has this revision.
pub fn keys(phase: &str, revision: u64) -> Value {
    let key =
        |role, key| json!({ "key_id": format!("id-{role}"), "public_key": key, "role": role });
    let keys = match phase {
        "announced" => json!([key("active", OLD_KEY), key("next", KEY)]),
        "activated" => json!([key("previous", OLD_KEY), key("active", KEY)]),
        _ => json!([key("active", KEY)]),
    };
    let step = json!({
        "action": phase, "key_id": "id", "serial": 7, "actor": "admin", "reason": "r\u{1b}",
        "incident_id": null, "revision": revision, "committed_at": "2026-02-05T14:47:23.891Z",
    });
    json!({
        "phase": phase, "keys": keys, "serial": 7,
        "chain": { "length": 2, "most": 16 }, "steps": [step],
    })
}

/// The answer to a step with them.
pub fn key_change(phase: &str, revision: u64) -> Value {
    let mut change = keys(phase, revision);
    change["changed"] = json!(true);
    change["revision"] = json!(revision);
    change["committed_at"] = json!("2026-02-05T14:47:23.891Z");
    change
}

/// Has the keys in this phase, and takes every step from there, acknowledged so.
pub fn script_rotation(fake: &Fake, phase: &str, acks: &Value) {
    fake.on("GET /v1/keys", 200, &keys(phase, 40));
    for (line, phase, revision) in
        [("announce", "announced", 41), ("activate", "activated", 42), ("retire", "steady", 43)]
    {
        fake.on(&format!("POST /v1/keys/{line}"), 200, &key_change(phase, revision));
    }
    for revision in 40..=43 {
        fake.on(&format!("GET /v1/revisions/{revision}/acknowledgements"), 200, acks);
    }
}
