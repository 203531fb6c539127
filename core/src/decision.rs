//! The decision: the one function that says yes or no.

use crate::action::ActionName;
use crate::authority::{Authority, PolicyUsed};
use crate::bearer::Bearer;
use crate::credential::Credential;
use crate::ids::{AgentId, PrincipalId};
use crate::jwt::{self, CapabilityError, Presentation, VerifiedCache};
use crate::policy::PolicyDenied;
use crate::standing::{InFlight, Standing};
use crate::table::{Fingerprint, TokenEntry};
use crate::time::UnixMillis;
use crate::update::Position;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What the request presents.
    pub credential: Credential<'a>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on, as this agent.
    Allow {
        /// Who acts.
        agent_id: AgentId,
        /// By which token.
        bearer: Bearer,
        /// On whose behalf, if the agent acts for somebody.
        principal: Option<PrincipalId>,
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
        /// By which token: one that is known, or was verified.
        bearer: Option<Bearer>,
        /// On whose behalf that agent acts.
        principal: Option<PrincipalId>,
        /// The policy of that agent, whether or not it is what denies.
        policy: Option<PolicyUsed>,
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
        /// Why a request is denied, in about the order of the checks: `docs/protocol.md` has
        /// that, which differs between the kinds of tokens.
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
    /// Whom its holder acts for, beside a principal, may not act, or has had this action
    /// stopped.
    DelegatorStopped = "delegator_stopped",
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
    /// The token's time has not come.
    TokenNotYet = "token_not_yet",
    /// The token is not for this service, or nobody knows which service this is.
    WrongAudience = "wrong_audience",
    /// The token is not for this action.
    InsufficientScope = "insufficient_scope",
    /// Its holder's policy, or that of one for whom it acts, does not permit this action, or
    /// is not in the state.
    ActionDenied = "action_denied",
    /// Nobody knows what it would do, and its holder's policy, or the token, permits
    /// only known actions.
    ActionUnknown = "action_unknown",
    /// Its holder's policy is not for this service.
    ServiceDenied = "service_denied",
    /// Nothing denies it, but the state that says so is too old.
    Stale = "stale",
    /// There is no room to record what was decided. [`decide`] never answers this.
    AuditFull = "audit_full",
}

/// Decides one request by the state `authority` and the `tokens` of its base.
/// `capabilities` remembers which capability tokens were verified.
///
/// Strictest wins: a token counts only if it was issued, after every not-before
/// above it, if it is neither taken back nor expired, if fleet, principal, agent and
/// capability are active, and if the agent is not expired. What was decided above the
/// token is answered before what is wrong with the token, so that a kill shows as one.
/// Whoever acts for another agent is stopped with it, and may do no more than it.
/// The holder's policy comes after that, with those of whom it acts for. A state that is stale still denies for all of
/// these reasons; what it does not deny is `stale`, from an age on that the policy may
/// make shorter for an action.
pub fn decide(
    authority: &Authority,
    tokens: &mut impl TokenTable,
    capabilities: &mut VerifiedCache,
    request: &Request<'_>,
    moment: &Moment,
) -> Decision {
    let Some(position) = authority.position() else {
        return Decision::unsynced();
    };
    let deny = |reason, agent_id: Option<AgentId>, bearer| Decision::Deny {
        reason,
        agent_id,
        bearer,
        principal: agent_id.and_then(|agent_id| authority.principal(agent_id)),
        policy: agent_id.and_then(|agent_id| authority.policy_used(agent_id)),
        position: Some(position),
    };
    let stale = moment.max_staleness.is_some_and(|limit| moment.state_age > limit);

    let bearer = match read(authority, tokens, capabilities, request.credential) {
        Ok(bearer) => bearer,
        // A newer state may know it.
        Err(DenyReason::TokenUnknown) if stale => return deny(DenyReason::Stale, None, None),
        Err(reason) => return deny(reason, None, None),
    };
    let action = request.action.map(ActionName::as_str);
    let agent_id = match authority.check(bearer.held(), action, moment.now) {
        Ok(agent_id) => agent_id,
        Err(stop) => return deny(stop.reason, stop.agent_id, Some(bearer)),
    };
    let deny = |reason, bearer| deny(reason, Some(agent_id), Some(bearer));
    if let Err(reason) = is_good_for(authority, &bearer, request, moment) {
        return deny(reason, bearer);
    }
    let (mut used, mut limit) = (None, moment.max_staleness);
    for policy in authority.policies(agent_id) {
        let Ok((id, policy)) = policy else { return deny(DenyReason::ActionDenied, bearer) };
        if let Err(denied) = policy.permits(request.action, request.service) {
            return deny(denied.into(), bearer);
        }
        limit = limit.into_iter().chain(policy.max_staleness(request.action)).min();
        used = used.or(Some(id));
    }
    if limit.is_some_and(|limit| moment.state_age > limit) {
        return deny(DenyReason::Stale, bearer);
    }
    let principal = authority.principal(agent_id);
    Decision::Allow { agent_id, bearer, principal, policy: used, position }
}

/// The token that is presented, if it is one that is known or can be believed.
fn read(
    authority: &Authority,
    tokens: &mut impl TokenTable,
    capabilities: &mut VerifiedCache,
    credential: Credential<'_>,
) -> Result<Bearer, DenyReason> {
    match credential {
        Credential::Missing => Err(DenyReason::TokenMissing),
        Credential::Multiple => Err(DenyReason::MultipleCredentials),
        Credential::Malformed => Err(DenyReason::TokenMalformed),
        Credential::Opaque(digest) => {
            let fingerprint = digest.fingerprint();
            let found = match authority.token(fingerprint) {
                Some(token) => Ok(Some(token)),
                None => tokens.find(fingerprint),
            };
            match found {
                Ok(Some(token)) => Ok(Bearer::Opaque { fingerprint, token }),
                Ok(None) => Err(DenyReason::TokenUnknown),
                Err(Unreadable) => Err(DenyReason::Unsynced),
            }
        }
        Credential::Capability(token) => match authority.issuer() {
            // One that is whole is as if signed by a key that is not known.
            None => {
                let whole = jwt::parse(token).and(Err(CapabilityError::UnknownKey));
                whole.map_err(CapabilityError::deny_reason)
            }
            Some(issuer) => {
                let verified = capabilities.of(issuer).verified(token);
                verified.map(Bearer::Capability).map_err(CapabilityError::deny_reason)
            }
        },
    }
}

/// Whether the token counts at this time, for this service and this action.
fn is_good_for(
    authority: &Authority,
    bearer: &Bearer,
    request: &Request<'_>,
    moment: &Moment,
) -> Result<(), DenyReason> {
    let Request { action, service, .. } = *request;
    let (for_service, for_action) = match bearer {
        Bearer::Opaque { token, .. } => {
            if moment.now.seconds() >= token.expires {
                return Err(DenyReason::TokenExpired);
            }
            // Whoever has a holder has a grant.
            let grant = authority.grant(token.grant).ok_or(DenyReason::Unsynced)?;
            (grant.is_for_service(service), grant.is_for_action(action))
        }
        Bearer::Capability(capability) => {
            let service = service.ok_or(DenyReason::WrongAudience)?;
            let presented = Presentation { now: moment.now.seconds(), service, proof: None };
            jwt::check(capability, &presented).map_err(CapabilityError::deny_reason)?;
            (true, capability.claims().scope.allows(action))
        }
    };
    match (for_service, for_action, action) {
        (false, ..) => Err(DenyReason::WrongAudience),
        (true, false, Some(_)) => Err(DenyReason::InsufficientScope),
        (true, false, None) => Err(DenyReason::ActionUnknown),
        (true, true, _) => Ok(()),
    }
}

impl Decision {
    /// The answer where there is no state, so that nothing is known of anybody.
    pub const fn unsynced() -> Self {
        Self::Deny {
            reason: DenyReason::Unsynced,
            agent_id: None,
            bearer: None,
            principal: None,
            policy: None,
            position: None,
        }
    }
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

#[cfg(test)]
#[path = "decision_bearer_tests.rs"]
mod bearer_tests;

#[cfg(test)]
#[path = "decision_order_tests.rs"]
mod order_tests;
