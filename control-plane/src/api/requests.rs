//! What requests carry. Whatever is not named here is refused.

use std::borrow::Cow;

use kya_core::policy::{PolicyReference, PolicyReferenceError};
use kya_core::{ActionName, AgentId, InFlight, Status, TokenId, WrittenKey};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::labels::{Labels, Selector};
use crate::principals::PrincipalKey;
use crate::registry::Why;
use crate::store::{AgentSort, ServiceName, ShownStatus, in_flight_from_name, status_from_name};
use crate::text::{IncidentId, Name, Reason};
use crate::time::Instant;

const DEFAULT_TTL_SECONDS: u32 = 86_400;
const MAX_TTL_SECONDS: u32 = 31_536_000;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
const MAX_WAIT_MS: u32 = 30_000;

/// A whole number between two bounds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Bounded<const MIN: u32, const MAX: u32>(pub(super) u32);

pub(super) type Limit = Bounded<1, MAX_LIMIT>;
pub(super) type TtlSeconds = Bounded<1, MAX_TTL_SECONDS>;
pub(super) type WaitMillis = Bounded<0, MAX_WAIT_MS>;

impl<const MIN: u32, const MAX: u32> TryFrom<u32> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match (MIN..=MAX).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!("must be between {MIN} and {MAX}, not {number}")),
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Bounded_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A text that is one of these.
macro_rules! one_of {
    ($name:ident $names:tt) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": $names })
            }
        }
    };
}

one_of!(StatusName ["active", "suspended", "revoked"]);
one_of!(ShownStatusName ["active", "suspended", "revoked", "expired"]);
one_of!(SortName ["name", "created", "expires", "-name", "-created", "-expires"]);
one_of!(InFlightName ["abort", "drain"]);

impl JsonSchema for PolicyKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        PolicyReference::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PolicyReference::json_schema(generator)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl Default for TtlSeconds {
    fn default() -> Self {
        Self(DEFAULT_TTL_SECONDS)
    }
}

impl Default for WaitMillis {
    fn default() -> Self {
        Self(0)
    }
}

/// A status by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StatusName(pub(super) Status);

impl TryFrom<String> for StatusName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        status_from_name(&name)
            .map(Self)
            .ok_or_else(|| format!("`{name}` is none of active, suspended, revoked"))
    }
}

/// The status of an agent as it is shown, by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ShownStatusName(pub(super) ShownStatus);

impl TryFrom<String> for ShownStatusName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        ShownStatus::from_name(&name)
            .map(Self)
            .ok_or_else(|| format!("`{name}` is none of active, suspended, revoked, expired"))
    }
}

/// An order of agents, by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SortName(pub(super) AgentSort);

impl TryFrom<String> for SortName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        AgentSort::from_name(&name).map(Self).ok_or_else(|| {
            format!("`{name}` is none of name, created, expires, -name, -created, -expires")
        })
    }
}

/// What becomes of requests in flight, by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct InFlightName(pub(super) InFlight);

impl TryFrom<String> for InFlightName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        in_flight_from_name(&name)
            .map(Self)
            .ok_or_else(|| format!("`{name}` is none of abort, drain"))
    }
}

/// A policy, by its id or by its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PolicyKey(pub(super) PolicyReference);

impl TryFrom<String> for PolicyKey {
    type Error = PolicyReferenceError;

    fn try_from(text: String) -> Result<Self, PolicyReferenceError> {
        text.parse().map(Self)
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterAgent {
    pub(super) name: Name,
    pub(super) public_key: Option<WrittenKey>,
    pub(super) owner: Option<PrincipalKey>,
    pub(super) parent_id: Option<AgentId>,
    #[serde(default)]
    pub(super) labels: Labels,
    pub(super) expires_at: Option<Instant>,
    pub(super) policy: Option<PolicyKey>,
}

/// Stops an agent.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) reason: Reason,
    pub(super) incident_id: Option<IncidentId>,
    pub(super) in_flight: Option<InFlightName>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Takes a token back, or says what that would do.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeToken {
    pub(super) reason: Reason,
    pub(super) incident_id: Option<IncidentId>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Takes a node's credential back, and ends its streams.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TakeBack {
    pub(super) reason: Reason,
    pub(super) incident_id: Option<IncidentId>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Restore {
    pub(super) reason: Option<Reason>,
    pub(super) incident_id: Option<IncidentId>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssueToken {
    pub(super) agent_id: AgentId,
    pub(super) services: Option<Vec<ServiceName>>,
    pub(super) actions: Option<Vec<ActionName>>,
    #[serde(default)]
    pub(super) ttl_seconds: TtlSeconds,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListAgents {
    pub(super) status: Option<ShownStatusName>,
    pub(super) owner: Option<PrincipalKey>,
    pub(super) selector: Option<Selector>,
    pub(super) policy: Option<PolicyKey>,
    pub(super) parent_id: Option<AgentId>,
    /// By id, if it does not say.
    pub(super) sort: Option<SortName>,
    pub(super) after: Option<AgentId>,
    #[serde(default)]
    pub(super) limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTokens {
    pub(super) agent_id: Option<AgentId>,
    pub(super) after: Option<TokenId>,
    #[serde(default)]
    pub(super) limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default)]
    pub(super) wait_ms: WaitMillis,
}

impl Stop {
    /// What becomes of requests in flight, if it says so, and why it is done.
    pub(super) fn parts(self) -> (Option<InFlight>, Why) {
        let why = Why { reason: Some(self.reason), incident_id: self.incident_id };
        (self.in_flight.map(|name| name.0), why)
    }
}

impl From<RevokeToken> for Why {
    fn from(revoke: RevokeToken) -> Self {
        Self { reason: Some(revoke.reason), incident_id: revoke.incident_id }
    }
}

impl From<TakeBack> for Why {
    fn from(revoke: TakeBack) -> Self {
        Self { reason: Some(revoke.reason), incident_id: revoke.incident_id }
    }
}

impl From<Restore> for Why {
    fn from(restore: Restore) -> Self {
        Self { reason: restore.reason, incident_id: restore.incident_id }
    }
}
