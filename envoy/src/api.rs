use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access;

/// A small client of the control plane's HTTP API. Fields that the harness
/// does not use are left out.
#[derive(Debug, Clone)]
pub struct Api {
    http: Client,
    base: String,
    key: String,
}

/// One registered agent.
#[derive(Debug, Clone, Deserialize)]
pub struct Agent {
    /// `agt_…`
    pub agent_id: String,
    /// What it is called.
    pub name: String,
    /// `active`, `suspended` or `revoked`.
    pub status: String,
    /// Revision of its last change.
    pub revision: u64,
}

/// An issued token, as it is shown once.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// `at_…`, what the agent sends.
    pub token: String,
    /// `tok_…`
    pub token_id: String,
    /// The revision that made it known.
    pub revision: u64,
}

/// A committed change.
#[derive(Debug, Clone, Deserialize)]
pub struct Change {
    /// False when there was nothing to do.
    pub changed: bool,
    /// The revision that holds it.
    pub revision: u64,
    /// When it was committed, in milliseconds since 1970.
    pub committed_unix_ms: f64,
}

/// Which workers have applied a revision.
#[derive(Debug, Clone, Deserialize)]
pub struct Acknowledgements {
    /// The revision asked about.
    pub revision: u64,
    /// When it was committed, in milliseconds since 1970.
    pub committed_unix_ms: f64,
    /// Whether every worker of every connected proxy has it.
    pub complete: bool,
    /// Connected proxies.
    pub proxies: usize,
    /// Known workers of connected proxies.
    pub workers: usize,
    /// Those of them that have acknowledged.
    pub workers_acknowledged: usize,
    /// A row for each worker that has.
    pub acknowledgements: Vec<Acknowledgement>,
}

/// Something that was done, as the log of events keeps it.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// The place in the log.
    pub sequence: u64,
    /// What: `agent.revoked`.
    pub action: String,
    /// To whom: an id, or several parts with spaces between.
    pub subject: String,
    /// The operator who did it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The incident that it belongs to.
    pub incident_id: Option<String>,
}

/// An issued capability token.
#[derive(Debug, Deserialize)]
struct Issued {
    token: String,
}

impl Node {
    /// When it connected, in milliseconds since 1970.
    pub fn connected_unix_ms(&self) -> f64 {
        self.connected_at.as_microsecond() as f64 / 1000.0
    }
}

impl Acknowledgements {
    /// When the slowest worker applied the revision, in milliseconds since 1970.
    pub fn last_applied_unix_ms(&self) -> Option<f64> {
        self.acknowledgements.iter().map(|ack| ack.applied_unix_ms).reduce(f64::max)
    }
}

/// One worker's word that it decides by a revision.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub struct Acknowledgement {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Which worker of that proxy.
    pub slot: u32,
    /// When it applied the revision, by the proxy's clock.
    pub applied_unix_ms: f64,
    /// Commit to arrival of this acknowledgement, in milliseconds.
    pub after_ms: f64,
}

/// The connected proxies.
#[derive(Debug, Clone, Deserialize)]
pub struct Nodes {
    /// The newest committed revision.
    pub revision: u64,
    /// Who is connected.
    pub nodes: Vec<Node>,
    /// Who was.
    pub disconnected: Vec<Disconnected>,
}

/// A proxy that was connected and is not.
#[derive(Debug, Clone, Deserialize)]
pub struct Disconnected {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// What is proved of it, which is nothing.
    pub armed: Armed,
}

/// What is proved of a proxy.
#[derive(Debug, Clone, Deserialize)]
pub struct Armed {
    /// `armed`, `stale` or `unknown`.
    pub state: String,
    /// Why it is not armed.
    pub why: Option<String>,
}

/// What came of a challenge.
#[derive(Debug, Clone, Deserialize)]
pub struct Proof {
    /// Whether everybody who was challenged is armed, and somebody was.
    pub armed: bool,
    /// Who was challenged.
    pub nodes: Vec<ProvedNode>,
}

/// A proxy that was challenged.
#[derive(Debug, Clone, Deserialize)]
pub struct ProvedNode {
    /// What it has proved.
    pub armed: Armed,
    /// What each worker has answered.
    pub workers: Vec<ProvedWorker>,
}

/// A worker of a proxy that was challenged.
#[derive(Debug, Clone, Deserialize)]
pub struct ProvedWorker {
    /// From the challenge to the arrival of its answer, if there is one.
    pub answered_after_ms: Option<f64>,
}

/// One connected proxy.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Since when, by the clock of the control plane.
    pub connected_at: Timestamp,
    /// What is proved of it.
    pub armed: Armed,
    /// Its workers, as they have reported themselves.
    pub workers: Vec<Worker>,
}

/// One worker of a connected proxy.
#[derive(Debug, Clone, Deserialize)]
pub struct Worker {
    /// Which worker of that proxy.
    pub slot: u32,
    /// The revision it decides by.
    pub revision: u64,
}

impl Api {
    /// A client of the server at `base` (`http://127.0.0.1:7080`).
    pub fn new(base: &str, admin_key: &str) -> Result<Self> {
        let http = access::http_client()?;
        Ok(Self { http, base: base.to_owned(), key: admin_key.to_owned() })
    }

    /// Where the server is: what `KYA_SERVER` takes.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The admin key: what `KYA_TOKEN` takes.
    pub fn admin_key(&self) -> &str {
        &self.key
    }

    /// Registers the proxies whose `node.id` matches, and returns the credential
    /// by which they authenticate.
    pub async fn register_nodes(&self, name: &str, matching: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Registered {
            credential: String,
        }
        let body = json!({ "name": name, "match": matching });
        let registered: Registered = self.post("/v1/nodes", body).await?;
        Ok(registered.credential)
    }

    /// Adds an operator of this role, and returns the key.
    pub async fn add_operator(&self, name: &str, role: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Added {
            key: String,
        }
        let added: Added =
            self.post("/v1/operators", json!({ "name": name, "role": role })).await?;
        Ok(added.key)
    }

    /// Registers an agent.
    pub async fn register_agent(&self, name: &str) -> Result<Agent> {
        self.post("/v1/agents", json!({ "name": name })).await
    }

    /// Adds a principal.
    pub async fn add_principal(&self, name: &str) -> Result<()> {
        let _: Value = self.post("/v1/principals", json!({ "name": name })).await?;
        Ok(())
    }

    /// Registers an agent with more than a name, as `POST /v1/agents` takes it.
    pub async fn register_agent_with(&self, body: Value) -> Result<Agent> {
        self.post("/v1/agents", body).await
    }

    /// Any change: `path` comes after `/v1/`.
    pub async fn change(&self, path: &str, body: Value) -> Result<Change> {
        self.post(&format!("/v1/{path}"), body).await
    }

    /// One agent as it stands.
    pub async fn agent(&self, agent_id: &str) -> Result<Agent> {
        self.get(&format!("/v1/agents/{agent_id}")).await
    }

    /// Everything that was done to `subject`, or with it, in order.
    pub async fn events_of(&self, subject: &str) -> Result<Vec<Event>> {
        #[derive(Deserialize)]
        struct Page {
            events: Vec<Event>,
            next: Option<u64>,
        }
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page: Page = self.get(&format!("/v1/events?after={after}")).await?;
            let about = |event: &Event| event.subject.split(' ').any(|part| part == subject);
            found.extend(page.events.into_iter().filter(about));
            match page.next {
                Some(next) => after = next,
                None => return Ok(found),
            }
        }
    }

    /// Issues a token of the default lifetime.
    pub async fn issue_token(&self, agent_id: &str) -> Result<Token> {
        self.post("/v1/tokens", json!({ "agent_id": agent_id })).await
    }

    /// Issues a token that lasts `seconds`.
    pub async fn issue_short_token(&self, agent_id: &str, seconds: u64) -> Result<Token> {
        self.post("/v1/tokens", json!({ "agent_id": agent_id, "ttl_seconds": seconds })).await
    }

    /// Issues a capability token for one service.
    pub async fn issue_capability_token(&self, agent_id: &str, service: &str) -> Result<String> {
        let body = json!({ "agent_id": agent_id, "services": [service] });
        let issued: Issued = self.post("/v1/capability-tokens", body).await?;
        Ok(issued.token)
    }

    /// Issues a capability token for one service that lasts `seconds`.
    pub async fn issue_lasting_capability_token(
        &self,
        agent_id: &str,
        service: &str,
        seconds: u64,
    ) -> Result<String> {
        let body = json!({ "agent_id": agent_id, "services": [service], "ttl_seconds": seconds });
        let issued: Issued = self.post("/v1/capability-tokens", body).await?;
        Ok(issued.token)
    }

    /// Takes a step in the replacement of the signing key: `announce`, `activate` or
    /// `retire`.
    pub async fn key_step(&self, step: &str) -> Result<Change> {
        self.post(&format!("/v1/keys/{step}"), json!({ "reason": "a test" })).await
    }

    /// Revokes an agent, for good.
    pub async fn revoke_agent(&self, agent_id: &str, reason: &str) -> Result<Change> {
        self.post(&format!("/v1/agents/{agent_id}/revoke"), json!({ "reason": reason })).await
    }

    /// Suspends an agent.
    pub async fn suspend_agent(&self, agent_id: &str, reason: &str) -> Result<Change> {
        self.post(&format!("/v1/agents/{agent_id}/suspend"), json!({ "reason": reason })).await
    }

    /// Puts a suspended agent back.
    pub async fn restore_agent(&self, agent_id: &str) -> Result<Change> {
        self.post(&format!("/v1/agents/{agent_id}/restore"), json!({})).await
    }

    /// Takes one token back.
    pub async fn revoke_token(&self, token_id: &str, reason: &str) -> Result<Change> {
        self.post(&format!("/v1/tokens/{token_id}/revoke"), json!({ "reason": reason })).await
    }

    /// The connected proxies.
    pub async fn nodes(&self) -> Result<Nodes> {
        self.get("/v1/nodes").await
    }

    /// Has a proxy, or every connected one, prove that it is armed; waits up to
    /// `wait` (at most 30 s) for the last answer.
    pub async fn challenge(&self, node_id: Option<&str>, wait: Duration) -> Result<Proof> {
        let wait_ms = u64::try_from(wait.as_millis())?;
        self.post("/v1/challenges", json!({ "node_id": node_id, "wait_ms": wait_ms })).await
    }

    /// Who has applied `revision`; waits up to `wait` (at most 30 s) for the last.
    pub async fn acknowledgements(
        &self,
        revision: u64,
        wait: Duration,
    ) -> Result<Acknowledgements> {
        let wait_ms = wait.as_millis();
        self.get(&format!("/v1/revisions/{revision}/acknowledgements?wait_ms={wait_ms}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T> {
        let what = format!("{method} {path}");
        let request = self.http.request(method, format!("{}{path}", self.base));
        let mut request = access::authenticated(request, &self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("{what} was not answered"))?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{what} was answered {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{what} was answered with: {text}"))
    }
}
