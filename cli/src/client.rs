//! Typed calls of the control plane's HTTP API.

use std::error::Error as StdError;
use std::time::Duration;

use kya_core::{AgentId, TokenId};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{
    Acknowledgements, Agent, AgentChange, Agents, IssuedToken, NewAgent, NewToken, Nodes,
    TokenChange, Tokens, Why,
};
use crate::args::Global;
use crate::error::{Error, Problem, speaks_otherwise};

/// More than any answer of the API: a thousand records, or the nodes of a
/// large fleet.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One control plane, and the key to it.
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    timeout: Duration,
}

/// An answer, read and as it came.
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) json: Value,
}

/// Query parameters; those without a value are left out.
type Query<'a> = [(&'a str, Option<String>)];

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer(global)?)]))
            .connect_timeout(CONNECT_TIMEOUT)
            // The key goes to the server that was named, and to nobody else.
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("kya/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Usage(format!("cannot set up HTTP: {}", causes(&error))))?;
        Ok(Self { http, server: global.server.clone(), timeout: global.timeout })
    }

    pub(crate) async fn register(&self, agent: &NewAgent<'_>) -> Result<Answer<Agent>, Error> {
        self.call(self.post(&["agents"]).json(agent)).await
    }

    pub(crate) async fn agents(&self, query: &Query<'_>) -> Result<Answer<Agents>, Error> {
        self.call(self.get(&["agents"], query)).await
    }

    pub(crate) async fn agent(&self, id: AgentId) -> Result<Answer<Agent>, Error> {
        self.call(self.get(&["agents", &id.to_string()], &[])).await
    }

    /// `action` is `revoke`, `suspend` or `restore`.
    pub(crate) async fn change_agent(
        &self,
        id: AgentId,
        action: &str,
        why: &Why<'_>,
    ) -> Result<Answer<AgentChange>, Error> {
        self.call(self.post(&["agents", &id.to_string(), action]).json(why)).await
    }

    pub(crate) async fn issue(&self, token: &NewToken) -> Result<Answer<IssuedToken>, Error> {
        self.call(self.post(&["tokens"]).json(token)).await
    }

    pub(crate) async fn tokens(&self, query: &Query<'_>) -> Result<Answer<Tokens>, Error> {
        self.call(self.get(&["tokens"], query)).await
    }

    pub(crate) async fn revoke_token(
        &self,
        id: TokenId,
        why: &Why<'_>,
    ) -> Result<Answer<TokenChange>, Error> {
        self.call(self.post(&["tokens", &id.to_string(), "revoke"]).json(why)).await
    }

    pub(crate) async fn nodes(&self) -> Result<Answer<Nodes>, Error> {
        self.call(self.get(&["nodes"], &[])).await
    }

    /// Answers when every worker has acknowledged `revision`, or after `wait`.
    pub(crate) async fn acknowledgements(
        &self,
        revision: u64,
        wait: Duration,
    ) -> Result<Answer<Acknowledgements>, Error> {
        let path = ["revisions", &revision.to_string(), "acknowledgements"];
        let query = [("wait_ms", Some(wait.as_millis().to_string()))];
        self.call(self.get(&path, &query).timeout(self.timeout + wait)).await
    }

    fn get(&self, path: &[&str], query: &Query<'_>) -> RequestBuilder {
        self.request(Method::GET, path).query(query)
    }

    fn post(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.server.clone();
        // An http URL has path segments always.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        self.http.request(method, url).timeout(self.timeout)
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, Error> {
        let request = request.build().map_err(|error| Error::Usage(causes(&error)))?;
        let changes = request.method() != Method::GET;
        let unreachable = |error: reqwest::Error| {
            let cause = causes(&error);
            let sent = changes && !error.is_connect() && !speaks_otherwise(&cause);
            Error::Unreachable { server: self.server(), cause, sent }
        };
        let answer = self.http.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        let body = match read(answer).await {
            Ok(Some(body)) => body,
            Ok(None) => return Err(self.unexpected(format!("more than {MAX_ANSWER} bytes"))),
            Err(error) => return Err(unreachable(error)),
        };
        self.understand(status, &body)
    }

    fn understand<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Result<Answer<T>, Error> {
        let json = serde_json::from_slice::<Value>(body);
        if !status.is_success() {
            let problem = json.ok().and_then(|json| {
                let problem = serde_json::from_value::<Problem>(json.clone()).ok()?;
                Some(Error::Refused { problem, json })
            });
            return Err(problem.unwrap_or_else(|| match status {
                StatusCode::NOT_FOUND => Error::NotKya { server: self.server() },
                _ => self.unexpected(format!("it says {status}")),
            }));
        }
        let json = json.map_err(|error| self.unexpected(format!("no JSON: {error}")))?;
        match serde_json::from_value(json.clone()) {
            Ok(value) => Ok(Answer { value, json }),
            Err(error) => Err(self.unexpected(error.to_string())),
        }
    }

    /// The server answered, but not as the API says.
    pub(crate) fn unexpected(&self, what: String) -> Error {
        Error::Unexpected { server: self.server(), what }
    }

    fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }
}

/// The body, or nothing when it is longer than any answer.
async fn read(mut answer: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn bearer(global: &Global) -> Result<HeaderValue, Error> {
    let key = global.token.as_deref().map_or("", str::trim);
    if key.is_empty() {
        return Err(Error::Usage(
            "no admin key: set KYA_TOKEN to the line in admin.key in the control plane's data directory"
                .to_owned(),
        ));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
        Error::Usage("KYA_TOKEN is no admin key: it has characters that no key has".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The chain of causes on one line; the URL in the first is left out, since
/// the message around it names the server.
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time (see --timeout)".to_owned();
    }
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
