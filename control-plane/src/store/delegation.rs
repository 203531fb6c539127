//! Who acts for whom, who comes after whom, and many tokens at once.

use std::fmt;

use kya_core::policy::Excess;
use kya_core::{ActionName, AgentId, MAX_DELEGATION, PublicKey, Status, TokenId, UnixSeconds};
use thiserror::Error;

use super::limits::MAX_GRANTS;
use super::{Agent, Committed, ServiceName, status_name};
use crate::labels::{Labels, Selector};
use crate::principals::{PrincipalKey, PrincipalName};
use crate::time::{UnixMicros, second_start};

/// An agent that is to take the place of another. What is `None` is as it is of that
/// one.
#[derive(Debug, Clone)]
pub struct NewSuccessor {
    /// A fresh id.
    pub id: AgentId,
    /// Whose place it takes.
    pub replaces: AgentId,
    /// Its own key, which no agent has had.
    pub public_key: PublicKey,
    /// What people call it.
    pub name: Option<String>,
    /// On whose behalf it is to act.
    pub owner: Option<PrincipalKey>,
    /// How it can be found.
    pub labels: Option<Labels>,
    /// When it is to expire.
    pub expires: Option<UnixSeconds>,
    /// Whether the one before is to be revoked by the same change, if it is not.
    pub revoke: bool,
}

/// An agent, and how far below another it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descendant {
    /// The agent.
    pub agent: Agent,
    /// 0 of that other itself, 1 of those that act for it, and so on.
    pub depth: u64,
}

/// Which tokens are meant: those that count, of agents that are not revoked. Whatever
/// is named must hold; a token that is for all services, or all actions, is for each.
#[derive(Debug, Clone, Default)]
pub struct TokenSelection {
    /// Those of this agent.
    pub agent: Option<AgentId>,
    /// Those of agents with these labels.
    pub selector: Option<Selector>,
    /// Those that are good for this service.
    pub service: Option<ServiceName>,
    /// Those that are good for this action.
    pub action: Option<ActionName>,
}

/// One revision of a decision about many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBatch<Id = TokenId> {
    /// Tokens that were revoked.
    pub changed: u64,
    /// The commit that made it so; `None` if there was nothing to do.
    pub committed: Option<Committed>,
    /// Where to go on, if the revision is full.
    pub next: Option<Id>,
}

/// Why an agent does not act for another, does not take its place, or gets no token
/// for so little.
#[derive(Debug, Error)]
pub enum DelegationError {
    /// An agent passes on no more than it has.
    #[error(
        "the policy permits, or may permit, more than that of {above}, which is above it: {excess}"
    )]
    MoreThanAbove {
        /// For whom it acts, or that one does, and so on.
        above: AgentId,
        /// Where.
        excess: Excess,
    },
    /// Whoever may not act has nobody act.
    #[error("{agent} is {}; an agent that acts for another needs all above it to be active", status_name(*.status))]
    DelegatorNotActive {
        /// One of those above.
        agent: AgentId,
        /// What was decided about it.
        status: Status,
    },
    /// The same of one whose time is over.
    #[error(
        "{agent} is expired since {}; an agent that acts for another needs all above it to be active",
        second_start(*.at).to_rfc3339()
    )]
    DelegatorExpired {
        /// One of those above.
        agent: AgentId,
        /// The second from which on it is expired.
        at: UnixSeconds,
    },
    /// Nobody lives on when whom they act for is gone.
    #[error(
        "`expires_at`: an agent expires no later than the one that it acts for, and {parent} expires at {}; leave it out for the same",
        second_start(*.at).to_rfc3339()
    )]
    OutlivesDelegator {
        /// Whom it would act for.
        parent: AgentId,
        /// When that one expires.
        at: UnixSeconds,
    },
    /// Who acts for an agent acts for its principal.
    #[error(
        "`owner`: an agent has the owner of the one that it acts for, and that of {parent} is {}; leave it out for the same",
        owner.as_ref().map_or("nobody", PrincipalName::as_str)
    )]
    OtherOwner {
        /// Whom it would act for.
        parent: AgentId,
        /// On whose behalf that one acts.
        owner: Option<PrincipalName>,
    },
    /// Proxies go no further up.
    #[error(
        "{0} acts for {MAX_DELEGATION} agents, one above the other, and that is the most: nobody can act for it"
    )]
    TooDeep(AgentId),
    /// What is in doubt is stopped first.
    #[error(
        "{0} is not revoked, and a successor takes the place of a revoked agent: revoke it, or replace it with `revoke`"
    )]
    NotRevoked(AgentId),
    /// One successor.
    #[error("{agent} was replaced by {by} already; replace that one instead")]
    AlreadyReplaced {
        /// Who was.
        agent: AgentId,
        /// By whom.
        by: AgentId,
    },
    /// A key that somebody else may have.
    #[error(
        "`public_key`: {of} has, or had, this key: whoever holds it could act as both; make a new key for this agent"
    )]
    KeyUsed {
        /// Whose key it is.
        of: AgentId,
    },
    /// It would be dead from the start.
    #[error(
        "{agent} expired at {}, and its successor would expire with it: say when instead with `expires_at`",
        second_start(*.at).to_rfc3339()
    )]
    ExpiryPassed {
        /// Whose place is taken.
        agent: AgentId,
        /// When it expired.
        at: UnixSeconds,
    },
    /// Each proxy keeps them all.
    #[error(
        "tokens of {0} are for {MAX_GRANTS} different sets of services and actions, and that is the most: issue one that is for the same as another, or for all"
    )]
    TooManyGrants(AgentId),
}

/// As it stands in events: `agent=agt_…,selector=(env=staging),service=…,action=…`.
impl fmt::Display for TokenSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.agent.map(|agent| format!("agent={agent}")),
            self.selector.as_ref().map(|selector| format!("selector=({selector})")),
            self.service.as_ref().map(|service| format!("service={service}")),
            self.action.as_ref().map(|action| format!("action={}", action.as_str())),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// Refuses to have anybody act for `above`, an agent with all that it acts for in turn,
/// from the bottom up. How long the new one may live says [`expiry_below`].
pub(super) fn may_be_acted_for(above: &[Agent], now: UnixMicros) -> Result<(), DelegationError> {
    for agent in above {
        if let (true, Some(at)) = (agent.is_expired(now), agent.expires) {
            return Err(DelegationError::DelegatorExpired { agent: agent.id, at });
        }
        if agent.status != Status::Active {
            let (agent, status) = (agent.id, agent.status);
            return Err(DelegationError::DelegatorNotActive { agent, status });
        }
    }
    match above.first() {
        Some(parent) if above.len() > MAX_DELEGATION => Err(DelegationError::TooDeep(parent.id)),
        _ => Ok(()),
    }
}

/// When an agent that acts for `parent` expires, which is no later than it. Whether its
/// policy is within that of its parent belongs here, too; at a proxy the parent's limits
/// it in any case.
pub(super) fn expiry_below(
    parent: &Agent,
    expires: Option<UnixSeconds>,
) -> Result<Option<UnixSeconds>, DelegationError> {
    match (expires, parent.expires) {
        (Some(expires), Some(at)) if expires > at => {
            Err(DelegationError::OutlivesDelegator { parent: parent.id, at })
        }
        (expires, at) => Ok(expires.or(at)),
    }
}
