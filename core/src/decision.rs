//! The decision: the one function that says yes or no.

use crate::authority::{AgentStatus, Authority};
use crate::credential::Credential;
use crate::ids::{AgentId, TokenId};
use crate::time::UnixMillis;
use crate::update::Position;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What the request presents.
    pub credential: Credential,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on, as this agent.
    Allow {
        /// Who acts.
        agent_id: AgentId,
        /// By which token.
        token_id: TokenId,
        /// The state that said so.
        position: Position,
    },
    /// The request ends here.
    Deny {
        /// Why.
        reason: DenyReason,
        /// Whose request it was, where a genuine token showed it.
        agent_id: Option<AgentId>,
        /// The state that said so, if there was any.
        position: Option<Position>,
    },
}

/// Why a request is denied. The order is that of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DenyReason {
    /// The gate itself failed, for example because its proxy would not show it
    /// the request. [`decide`] never answers this.
    Internal,
    /// No authority has been received yet.
    Unsynced,
    /// No credential.
    TokenMissing,
    /// Several credentials.
    MultipleCredentials,
    /// Not a token by its shape.
    TokenMalformed,
    /// A token that was never issued, or long ago.
    TokenUnknown,
    /// Its holder's standing is over for good.
    AgentRevoked,
    /// Its holder's standing is paused.
    AgentSuspended,
    /// The token was taken back.
    TokenRevoked,
    /// The token's time is over.
    TokenExpired,
}

impl DenyReason {
    /// Every reason, for tables and counters.
    pub const ALL: [Self; 10] = [
        Self::Internal,
        Self::Unsynced,
        Self::TokenMissing,
        Self::MultipleCredentials,
        Self::TokenMalformed,
        Self::TokenUnknown,
        Self::AgentRevoked,
        Self::AgentSuspended,
        Self::TokenRevoked,
        Self::TokenExpired,
    ];

    /// The stable name, as it stands in answers, counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Unsynced => "unsynced",
            Self::TokenMissing => "token_missing",
            Self::MultipleCredentials => "multiple_credentials",
            Self::TokenMalformed => "token_malformed",
            Self::TokenUnknown => "token_unknown",
            Self::AgentRevoked => "agent_revoked",
            Self::AgentSuspended => "agent_suspended",
            Self::TokenRevoked => "token_revoked",
            Self::TokenExpired => "token_expired",
        }
    }
}

/// Decides one request by the state `authority` at the instant `now`.
///
/// Strictest wins: a token counts only if it was issued, not taken back and not
/// expired, and its holder is active. What was decided about the holder is
/// answered before what is wrong with the token, so that a kill shows as one.
pub fn decide(authority: &Authority, request: &Request, now: UnixMillis) -> Decision {
    let Some(position) = authority.position() else {
        return Decision::Deny { reason: DenyReason::Unsynced, agent_id: None, position: None };
    };
    let deny = |reason, agent_id| Decision::Deny { reason, agent_id, position: Some(position) };

    let digest = match request.credential {
        Credential::Missing => return deny(DenyReason::TokenMissing, None),
        Credential::Multiple => return deny(DenyReason::MultipleCredentials, None),
        Credential::Malformed => return deny(DenyReason::TokenMalformed, None),
        Credential::Opaque(digest) => digest,
    };
    let Some(grant) = authority.token(digest) else {
        return deny(DenyReason::TokenUnknown, None);
    };
    let holder = Some(grant.agent_id);
    match authority.agent(grant.agent_id) {
        Some(AgentStatus::Active) => {}
        Some(AgentStatus::Suspended) => return deny(DenyReason::AgentSuspended, holder),
        // A token whose holder is not in the state has no holder.
        Some(AgentStatus::Revoked) | None => return deny(DenyReason::AgentRevoked, holder),
    }
    if grant.revoked {
        return deny(DenyReason::TokenRevoked, holder);
    }
    if now.seconds() >= grant.expires {
        return deny(DenyReason::TokenExpired, holder);
    }
    Decision::Allow { agent_id: grant.agent_id, token_id: grant.token_id, position }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
