//! The decision: the one function that says yes or no.

use crate::action::ActionName;
use crate::authority::{Authority, PolicyMissing, PolicyUsed};
use crate::credential::Credential;
use crate::ids::AgentId;
use crate::policy::PolicyDenied;
use crate::standing::{InFlight, Standing};
use crate::table::{Fingerprint, TokenEntry};
use crate::time::UnixMillis;
use crate::update::Position;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What the request presents.
    pub credential: Credential,
    /// What it would do, where that is known.
    pub action: Option<&'a ActionName>,
    /// For which service it is, where that is known.
    pub service: Option<&'a str>,
}

/// When and by what knowledge is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that expiry is decided by: no earlier than the control plane's
    /// clock is known to be.
    pub now: UnixMillis,
    /// How long ago the state was surely that of the control plane, in
    /// milliseconds.
    pub state_age: u64,
    /// From which age on the state is stale, in milliseconds; `None` if it never
    /// is.
    pub max_staleness: Option<u64>,
}

/// The tokens that are not in the [`Authority`] itself.
pub trait TokenTable {
    /// What is known of a token, as of the base of the state.
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable>;
}

/// The part of the table that would hold the token cannot be read, or is not what
/// was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on, as this agent.
    Allow {
        /// Who acts.
        agent_id: AgentId,
        /// By which token.
        fingerprint: Fingerprint,
        /// What was known of it.
        token: TokenEntry,
        /// By which policy, if the agent has one.
        policy: Option<PolicyUsed>,
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

/// What stops a token, and what becomes of its requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: DenyReason,
    /// Whose token it is.
    pub agent_id: Option<AgentId>,
    /// Whether requests that were allowed before may end.
    pub in_flight: InFlight,
}

macro_rules! deny_reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why a request is denied. The order is that of the checks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DenyReason {
            $($(#[$doc])* $reason,)*
        }

        impl DenyReason {
            /// Every reason, for tables and counters.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$reason),*];

            /// The stable name, as it stands in answers, counters and records.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }
        }
    };
}

deny_reasons! {
    /// The gate itself failed, for example because its proxy would not show it
    /// the request. [`decide`] never answers this.
    Internal = "internal",
    /// No authority has been received yet, or a part of it cannot be read.
    Unsynced = "unsynced",
    /// No credential.
    TokenMissing = "token_missing",
    /// Several credentials.
    MultipleCredentials = "multiple_credentials",
    /// Not a token by its shape.
    TokenMalformed = "token_malformed",
    /// A token that was never issued, or long ago.
    TokenUnknown = "token_unknown",
    /// Everything is halted.
    FleetHalted = "fleet_halted",
    /// The standing of whom the agent acts for is paused.
    PrincipalSuspended = "principal_suspended",
    /// The standing of whom the agent acts for is over for good.
    PrincipalRevoked = "principal_revoked",
    /// Its holder's standing is paused.
    AgentSuspended = "agent_suspended",
    /// Its holder's standing is over for good.
    AgentRevoked = "agent_revoked",
    /// Its holder's time is over.
    AgentExpired = "agent_expired",
    /// Its holder may not do this any more.
    CapabilityRevoked = "capability_revoked",
    /// The token was issued before something above it was ended.
    TokenSuperseded = "token_superseded",
    /// It was taken back.
    TokenRevoked = "token_revoked",
    /// The token's time is over.
    TokenExpired = "token_expired",
    /// Its holder's policy does not permit this action, or is not in the state.
    ActionDenied = "action_denied",
    /// Nobody knows what it would do, and its holder's policy permits only known
    /// actions.
    ActionUnknown = "action_unknown",
    /// Its holder's policy is not for this service.
    ServiceDenied = "service_denied",
    /// Nothing denies it, but the state that says so is too old.
    Stale = "stale",
}

/// Decides one request by the state `authority` and the `tokens` of its base.
///
/// Strictest wins: a token counts only if it was issued, after every not-before
/// above it, if it is neither taken back nor expired, if fleet, principal, agent and
/// capability are active, and if the agent is not expired. What was decided above the
/// token is answered before what is wrong with the token, so that a kill shows as one.
/// The holder's policy comes after that. A state that is stale still denies for all of
/// these reasons; what it does not deny is `stale`, from an age on that the policy may
/// make shorter for an action.
pub fn decide(
    authority: &Authority,
    tokens: &mut impl TokenTable,
    request: &Request<'_>,
    moment: &Moment,
) -> Decision {
    let Some(position) = authority.position() else {
        return Decision::Deny { reason: DenyReason::Unsynced, agent_id: None, position: None };
    };
    let deny = |reason, agent_id| Decision::Deny { reason, agent_id, position: Some(position) };
    let stale = moment.max_staleness.is_some_and(|limit| moment.state_age > limit);

    let fingerprint = match request.credential {
        Credential::Missing => return deny(DenyReason::TokenMissing, None),
        Credential::Multiple => return deny(DenyReason::MultipleCredentials, None),
        Credential::Malformed => return deny(DenyReason::TokenMalformed, None),
        Credential::Opaque(digest) => digest.fingerprint(),
    };
    let found = match authority.token(fingerprint) {
        Some(token) => Ok(Some(token)),
        None => tokens.find(fingerprint),
    };
    let token = match found {
        Ok(Some(token)) => token,
        Ok(None) if stale => return deny(DenyReason::Stale, None),
        Ok(None) => return deny(DenyReason::TokenUnknown, None),
        Err(Unreadable) => return deny(DenyReason::Unsynced, None),
    };
    let action = request.action.map(ActionName::as_str);
    let agent_id = match authority.check(&token, action, moment.now) {
        Ok(agent_id) => agent_id,
        Err(stop) => return deny(stop.reason, stop.agent_id),
    };
    if moment.now.seconds() >= token.expires {
        return deny(DenyReason::TokenExpired, Some(agent_id));
    }
    let mut limit = moment.max_staleness;
    let policy = match authority.policy(agent_id) {
        Ok(None) => None,
        Ok(Some((used, policy))) => {
            if let Err(denied) = policy.permits(request.action, request.service) {
                return deny(denied.into(), Some(agent_id));
            }
            limit = limit.into_iter().chain(policy.max_staleness(request.action)).min();
            Some(used)
        }
        Err(PolicyMissing) => return deny(DenyReason::ActionDenied, Some(agent_id)),
    };
    if limit.is_some_and(|limit| moment.state_age > limit) {
        return deny(DenyReason::Stale, Some(agent_id));
    }
    Decision::Allow { agent_id, fingerprint, token, policy, position }
}

impl From<PolicyDenied> for DenyReason {
    fn from(denied: PolicyDenied) -> Self {
        match denied {
            PolicyDenied::Action => Self::ActionDenied,
            PolicyDenied::Unmapped => Self::ActionUnknown,
            PolicyDenied::Service => Self::ServiceDenied,
        }
    }
}

impl Stop {
    pub(crate) fn new(reason: DenyReason, agent_id: Option<AgentId>, by: &Standing) -> Self {
        Self { reason, agent_id, in_flight: by.in_flight }
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
