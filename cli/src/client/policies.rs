//! Calls about policies.

use hyper::Method;
use hyper::header::{IF_MATCH, IF_NONE_MATCH};
use kya_core::AgentId;
use kya_core::policy::PolicyFormat;
use serde::de::DeserializeOwned;

use super::{Answer, Client, Query};
use crate::api::{
    AgentChange, AssignPolicy, Policies, Policy, PolicyComparison, PolicyVersions, RollBack,
};
use crate::error::Error;

/// A policy as it is written.
pub(crate) struct Written {
    pub(crate) text: Vec<u8>,
    pub(crate) format: PolicyFormat,
}

impl Client {
    /// `seen` is the version that the caller has seen, 0 if there was none. `T` is
    /// another thing for a dry run.
    pub(crate) async fn apply_policy<T: DeserializeOwned>(
        &self,
        written: Written,
        seen: Option<u32>,
        query: &Query<'_>,
    ) -> Result<Answer<T>, Error> {
        let media_type = match written.format {
            PolicyFormat::Json => "application/json",
            PolicyFormat::Yaml => "application/yaml",
        };
        let condition = seen.map(|version| match version {
            0 => (IF_NONE_MATCH, "*".to_owned()),
            version => (IF_MATCH, format!("\"{version}\"")),
        });
        let (url, body) = (self.url(&["policies"], query), Some((written.text, media_type)));
        self.call_with(Method::POST, url, body, condition, self.timeout).await
    }

    pub(crate) async fn policies(&self, query: &Query<'_>) -> Result<Answer<Policies>, Error> {
        self.get(&["policies"], query).await
    }

    pub(crate) async fn policy(
        &self,
        policy: &str,
        version: Option<u32>,
    ) -> Result<Answer<Policy>, Error> {
        let query = [("version", version.map(|version| version.to_string()))];
        self.get(&["policies", policy], &query).await
    }

    pub(crate) async fn policy_versions(
        &self,
        policy: &str,
        query: &Query<'_>,
    ) -> Result<Answer<PolicyVersions>, Error> {
        self.get(&["policies", policy, "versions"], query).await
    }

    pub(crate) async fn policy_diff(
        &self,
        policy: &str,
        query: &Query<'_>,
    ) -> Result<Answer<PolicyComparison>, Error> {
        self.get(&["policies", policy, "diff"], query).await
    }

    /// `T` is another thing for a dry run.
    pub(crate) async fn roll_back_policy<T: DeserializeOwned>(
        &self,
        policy: &str,
        body: &RollBack<'_>,
    ) -> Result<Answer<T>, Error> {
        self.post(&["policies", policy, "rollback"], body).await
    }

    pub(crate) async fn assign_policy(
        &self,
        agent: AgentId,
        body: &AssignPolicy<'_>,
    ) -> Result<Answer<AgentChange>, Error> {
        self.post(&["agents", &agent.to_string(), "policy"], body).await
    }
}
