//! What becomes of a request about which nothing can be known.

use serde::{Deserialize, Serialize};

use super::json::word;

/// What to do where the gate cannot decide.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailMode {
    /// Answer the request with an error.
    #[default]
    Deny,
    /// Forward the request.
    Allow,
}

/// What to do with a well-formed token that the state does not know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnknownTokenMode {
    /// Answer the request with an error.
    #[default]
    Deny,
    /// Hold the request, ask the control plane about the token, and decide by its
    /// answer. Without an answer the request is denied.
    Introspect,
    /// Forward the request, naming no agent.
    Allow,
}

/// What to do in each case in which the gate knows too little. Every default
/// denies.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::fail_modes)
)]
#[serde(default, deny_unknown_fields)]
pub struct FailModes {
    /// The gate itself failed, for example because the proxy would not show it
    /// the request. `allow` forwards the request, naming no agent.
    #[serde(deserialize_with = "word")]
    pub internal: FailMode,
    /// The state is older than `max_staleness`. `allow` goes on deciding by the
    /// last verified state: what it knows as revoked stays denied.
    #[serde(deserialize_with = "word")]
    pub stale: FailMode,
    /// The token is well-formed, and the state does not know it.
    #[serde(deserialize_with = "word")]
    pub unknown_token: UnknownTokenMode,
    /// No verified state has been received since the proxy started. `allow`
    /// forwards every request, naming no agent. A part of a state that cannot be
    /// read denies all the same.
    #[serde(deserialize_with = "word")]
    pub unsynced: FailMode,
}
