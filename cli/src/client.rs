//! Typed calls of the control plane's HTTP API.

mod approvals;
mod audit;
mod drills;
mod kills;
mod policies;
mod stops;
mod tokens;

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use kya_core::{AgentId, OperatorKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

pub(crate) use policies::Written;
pub(crate) use stops::Place;

use crate::api::{
    Acknowledgements, AddedOperator, Agent, Agents, CompactKeys, Keys, KeysChange, NewAgent,
    NewChallenge, NewNode, NewOperator, NewSuccessor, NextKeyStep, NodeChange, Nodes,
    OperatorChange, Operators, Proof, Question, RegisteredNode, SwitchStatus, Tree, Verdict,
    WhoAmI, Why,
};
use crate::args::Global;
use crate::error::{Error, Problem};
use crate::tls::Tls;
use crate::transport::{self, Failure, MAX_ANSWER};

/// One control plane, and the key to it.
pub(crate) struct Client {
    server: Url,
    key: HeaderValue,
    /// `None` in the clear.
    tls: Option<Tls>,
    timeout: Duration,
}

/// An answer, read and as it came.
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) json: Value,
}

/// Query parameters; those without a value are left out.
pub(crate) type Query<'a> = [(&'a str, Option<String>)];

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self, Error> {
        let server = global.server.clone();
        let names_files = global.ca_file.is_some() || global.client_cert.is_some();
        let tls = match server.scheme() {
            "https" => Some(Tls::new(global)?),
            _ if names_files => {
                return Err(Error::Usage(format!(
                    "certificates are named (--ca-file, or --client-cert and --client-key), and {server} is not https://: nothing was sent in the clear"
                )));
            }
            _ => None,
        };
        Ok(Self { server, key: bearer(global)?, tls, timeout: global.timeout })
    }

    pub(crate) async fn register(&self, agent: &NewAgent<'_>) -> Result<Answer<Agent>, Error> {
        self.post(&["agents"], agent).await
    }

    pub(crate) async fn replace_agent(
        &self,
        id: AgentId,
        successor: &NewSuccessor<'_>,
    ) -> Result<Answer<Agent>, Error> {
        self.post(&["agents", &id.to_string(), "replace"], successor).await
    }

    pub(crate) async fn tree(&self, id: AgentId) -> Result<Answer<Tree>, Error> {
        self.get(&["agents", &id.to_string(), "tree"], &[]).await
    }

    pub(crate) async fn verify(&self, question: &Question) -> Result<Answer<Verdict>, Error> {
        changing_nothing(self.post(&["verify"], question).await)
    }

    pub(crate) async fn agents(&self, query: &Query<'_>) -> Result<Answer<Agents>, Error> {
        self.get(&["agents"], query).await
    }

    pub(crate) async fn agent(&self, id: AgentId) -> Result<Answer<Agent>, Error> {
        self.get(&["agents", &id.to_string()], &[]).await
    }

    pub(crate) async fn register_node(
        &self,
        node: &NewNode<'_>,
    ) -> Result<Answer<RegisteredNode>, Error> {
        self.post(&["nodes"], node).await
    }

    pub(crate) async fn nodes(&self, query: &Query<'_>) -> Result<Answer<Nodes>, Error> {
        self.get(&["nodes"], query).await
    }

    pub(crate) async fn revoke_node(
        &self,
        name: &str,
        why: &Why<'_>,
    ) -> Result<Answer<NodeChange>, Error> {
        self.post(&["nodes", name, "revoke"], why).await
    }

    /// Answers when every proxy that is asked has proved that it is armed, or after
    /// `wait`. It changes nothing, so that it can be repeated.
    pub(crate) async fn challenge(
        &self,
        node_id: Option<&str>,
        wait: Duration,
    ) -> Result<Answer<Proof>, Error> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let body = json(&NewChallenge { node_id, wait_ms })?;
        let url = self.url(&["challenges"], &[]);
        changing_nothing(self.call(Method::POST, url, Some(body), self.timeout + wait).await)
    }

    pub(crate) async fn keys(&self) -> Result<Answer<Keys>, Error> {
        self.get(&["keys"], &[]).await
    }

    pub(crate) async fn announce_key(&self, why: &Why<'_>) -> Result<Answer<KeysChange>, Error> {
        self.post(&["keys", "announce"], why).await
    }

    /// `action` is `activate` or `retire`.
    pub(crate) async fn key_step(
        &self,
        action: &str,
        step: &NextKeyStep<'_>,
    ) -> Result<Answer<KeysChange>, Error> {
        self.post(&["keys", action], step).await
    }

    pub(crate) async fn compact_keys(
        &self,
        compact: &CompactKeys<'_>,
    ) -> Result<Answer<KeysChange>, Error> {
        self.post(&["keys", "compact"], compact).await
    }

    pub(crate) async fn add_operator(
        &self,
        operator: &NewOperator<'_>,
    ) -> Result<Answer<AddedOperator>, Error> {
        self.post(&["operators"], operator).await
    }

    pub(crate) async fn operators(&self, query: &Query<'_>) -> Result<Answer<Operators>, Error> {
        self.get(&["operators"], query).await
    }

    pub(crate) async fn revoke_operator(
        &self,
        name: &str,
        why: &Why<'_>,
    ) -> Result<Answer<OperatorChange>, Error> {
        self.post(&["operators", name, "revoke"], why).await
    }

    pub(crate) async fn status(&self) -> Result<Answer<SwitchStatus>, Error> {
        self.get(&["status"], &[]).await
    }

    pub(crate) async fn whoami(&self) -> Result<Answer<WhoAmI>, Error> {
        self.get(&["whoami"], &[]).await
    }

    /// Answers when every worker has acknowledged `revision`, or after `wait`.
    pub(crate) async fn acknowledgements(
        &self,
        revision: u64,
        wait: Duration,
    ) -> Result<Answer<Acknowledgements>, Error> {
        let path = ["revisions", &revision.to_string(), "acknowledgements"];
        let query = [("wait_ms", Some(wait.as_millis().to_string()))];
        self.call(Method::GET, self.url(&path, &query), None, self.timeout + wait).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query<'_>,
    ) -> Result<Answer<T>, Error> {
        self.call(Method::GET, self.url(path, query), None, self.timeout).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        let body = json(body)?;
        self.call(Method::POST, self.url(path, &[]), Some(body), self.timeout).await
    }

    fn url(&self, path: &[&str], query: &Query<'_>) -> Url {
        let mut url = self.server.clone();
        // An http URL has path segments always.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Answer<T>, Error> {
        let body = body.map(|body| (body, "application/json"));
        self.call_with(method, url, body, None, timeout).await
    }

    /// `condition` is a header by which the server is to look before it writes.
    async fn call_with<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<(Vec<u8>, &'static str)>,
        condition: Option<(HeaderName, String)>,
        timeout: Duration,
    ) -> Result<Answer<T>, Error> {
        let changes = method != Method::GET;
        let mut request = self.request(method);
        if let Some((_, media_type)) = &body {
            request = request.header(CONTENT_TYPE, *media_type);
        }
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let body = body.map(|(body, _)| body).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::Usage(error.to_string()))?;
        match transport::ask(self.tls.as_ref(), &url, request, timeout).await {
            Ok((status, body)) => self.understand(status, &body),
            Err(Failure::TooLong) => Err(self.unexpected(format!("more than {MAX_ANSWER} bytes"))),
            Err(Failure::Lost { cause, sent, explained }) => {
                let (server, sent) = (self.server(), sent && changes);
                Err(Error::Unreachable { server, cause, sent, explained })
            }
        }
    }

    /// A request that says who asks, and with what.
    fn request(&self, method: Method) -> Builder {
        Request::builder()
            .method(method)
            .header(AUTHORIZATION, &self.key)
            .header(USER_AGENT, concat!("kya/", env!("CARGO_PKG_VERSION")))
    }

    fn understand<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Result<Answer<T>, Error> {
        let json = serde_json::from_slice::<Value>(body);
        if !status.is_success() {
            return Err(self.refusal(status, json.ok()));
        }
        let json = json.map_err(|error| self.unexpected(format!("no JSON: {error}")))?;
        // Of what was only begun, the id is another one.
        if status == StatusCode::ACCEPTED && json.get("drill_id").is_none() {
            let approval = serde_json::from_value(json.clone()).map(Box::new);
            let approval = approval.map_err(|error| self.unexpected(error.to_string()))?;
            return Err(Error::AwaitsApproval { approval, json });
        }
        match serde_json::from_value(json.clone()) {
            Ok(value) => Ok(Answer { value, json }),
            Err(error) => Err(self.unexpected(error.to_string())),
        }
    }

    /// What an answer means that is no success.
    fn refusal(&self, status: StatusCode, json: Option<Value>) -> Error {
        let problem = json.and_then(|json| {
            let problem = serde_json::from_value::<Problem>(json.clone()).ok()?;
            Some(Error::Refused { problem, json })
        });
        problem.unwrap_or_else(|| match status {
            StatusCode::NOT_FOUND => Error::NotKya { server: self.server() },
            _ => self.unexpected(format!("it says {status}")),
        })
    }

    /// The server answered, but not as the API says.
    pub(crate) fn unexpected(&self, what: String) -> Error {
        Error::Unexpected { server: self.server(), what }
    }

    fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }
}

/// What came of a question that is asked with a body. It changes nothing, so that it does
/// not matter whether it has arrived.
fn changing_nothing<T>(asked: Result<T, Error>) -> Result<T, Error> {
    asked.map_err(|error| match error {
        Error::Unreachable { server, cause, explained, .. } => {
            Error::Unreachable { server, cause, sent: false, explained }
        }
        error => error,
    })
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::Usage(error.to_string()))
}

fn bearer(global: &Global) -> Result<HeaderValue, Error> {
    let key = global.token.as_deref().map_or("", str::trim);
    if key.is_empty() {
        return Err(Error::Usage(
            "no key: set KYA_TOKEN to your operator key (`ok_…`, from whoever ran `kya operator add`), or to the line in admin.key in the control plane's data directory"
                .to_owned(),
        ));
    }
    if let Some(other) = key_of_another_kind(key) {
        return Err(Error::Usage(format!("KYA_TOKEN {other}: nothing was sent")));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
        Error::Usage("KYA_TOKEN is no key: it has characters that no key has".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a secret is that is no key of an operator, so that it need not be shown to a
/// server to find that out.
fn key_of_another_kind(key: &str) -> Option<String> {
    if key.starts_with("at_") {
        return Some("holds the token of an agent, not the key of an operator".to_owned());
    }
    if key.starts_with("nc_") {
        return Some("holds the credential of a proxy, not the key of an operator".to_owned());
    }
    let broken = OperatorKey::parse(key.as_bytes()).err().filter(|_| key.starts_with("ok_"))?;
    Some(format!("holds no whole key of an operator: {broken}"))
}
