use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, StatusCode, Version};
use serde_json::Value;

use crate::Sidecar;
use crate::upstream::{CHARGES, charge_body};

const TIMEOUT: Duration = Duration::from_secs(10);

/// An agent that opens a new connection for every request, so that sooner or
/// later it meets every worker.
#[derive(Debug, Clone)]
pub struct Caller {
    http: Client,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The protocol that carried it.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, `null` if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Whether the charge was made, in the name of `agent_id`.
    pub fn is_charge_of(&self, agent_id: &str) -> bool {
        self.status == StatusCode::CREATED && self.body["agent_id"] == agent_id
    }

    /// Whether the filter denied it with `status` for `reason`.
    pub fn is_denial(&self, status: u16, reason: &str) -> bool {
        self.status.as_u16() == status && self.reason() == Some(reason)
    }

    /// The filter's reason for a denial.
    pub fn reason(&self) -> Option<&str> {
        self.body["reason"].as_str()
    }

    /// One header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Caller {
    /// One that presents nothing.
    pub fn anonymous() -> Result<Self> {
        Ok(Self { http: fresh_connections().build()?, headers: HeaderMap::new() })
    }

    /// One that presents `token`.
    pub fn with_token(token: &str) -> Result<Self> {
        Self::anonymous()?.header("authorization", &format!("Bearer {token}"))
    }

    /// The same one, over HTTP/2 without TLS.
    pub fn over_http2(mut self) -> Result<Self> {
        self.http = fresh_connections().http2_prior_knowledge().build()?;
        Ok(self)
    }

    /// The same one with a header more.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let name = HeaderName::try_from(name).context("not a header name")?;
        let value = HeaderValue::try_from(value).context("not a header value")?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// Makes one charge through `sidecar`.
    pub async fn charge(&self, sidecar: &Sidecar) -> Result<Answer> {
        self.post(sidecar, CHARGES, &charge_body()).await
    }

    /// Sends `body` to this path through `sidecar`.
    pub async fn post(&self, sidecar: &Sidecar, path: &str, body: &Value) -> Result<Answer> {
        let request = self.http.post(sidecar.url(path)).headers(self.headers.clone()).json(body);
        let response = request.send().await.context("the sidecar did not answer")?;
        let (status, version) = (response.status(), response.version());
        let headers = response.headers().clone();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
        Ok(Answer { status, version, headers, body })
    }
}

/// A client that keeps no connection for a second request.
pub(super) fn fresh_connections() -> ClientBuilder {
    Client::builder().pool_max_idle_per_host(0).timeout(TIMEOUT)
}
