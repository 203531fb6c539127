//! Why a store did not do what it was asked.

use std::error::Error;

use kya_core::{AgentId, DrillId, Status, TokenId};
use thiserror::Error;

use super::schedules::ScheduleError;
use super::{ApprovalError, DelegationError, IssuerError, PolicyError, StopError, status_name};
use crate::nodes::NodeName;
use crate::operators::OperatorName;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl StoreError {
    /// Whether the store failed, as opposed to refused.
    pub(crate) const fn is_a_failure(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Uncertain(_) | Self::Keys(_) | Self::Corrupt(_))
    }

    /// Whether it is about an assertion that was used before, or too late.
    pub(crate) fn is_of_a_replay(&self) -> bool {
        matches!(self, Self::Issuer(IssuerError::Replayed | IssuerError::Late))
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No such agent.
    #[error("there is no agent {0}")]
    NoSuchAgent(AgentId),
    /// No such token.
    #[error("there is no token {0}")]
    NoSuchToken(TokenId),
    /// A revoked agent stays revoked.
    #[error("{0} is revoked, which is final; register a successor instead")]
    RevokedIsFinal(AgentId),
    /// Only an active agent gets tokens.
    #[error("{agent} is {}; tokens are issued to active agents only", status_name(*.status))]
    AgentNotActive {
        /// Who was to get one.
        agent: AgentId,
        /// What was decided about it.
        status: Status,
    },
    /// A rule of policies.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A rule of principals, capabilities or expiry.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// A rule of those who act for another agent, or take its place.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A rule of capability tokens and their issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// A rule of restorations that wait for a second operator.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// No such node registration.
    #[error("there is no node registration {0}")]
    NoSuchNode(NodeName),
    /// Names of node registrations are used once.
    #[error(
        "there is, or was, a node registration {0}: its name is not used again, so that the log of events stays plain; take another one (its `match` may be the same)"
    )]
    NodeNameTaken(NodeName),
    /// No such operator.
    #[error("there is no operator {0}")]
    NoSuchOperator(OperatorName),
    /// Names of operators are used once.
    #[error(
        "there is, or was, an operator {0}: its name is not used again, so that the log of events stays plain; take another one"
    )]
    OperatorNameTaken(OperatorName),
    /// One drill at a time.
    #[error("{0} is under way, and there is one drill at a time: wait, or `kya drill stop {0}`")]
    DrillRunning(DrillId),
    /// Another server has ended it meanwhile.
    #[error("{0} is over: another server has ended it meanwhile")]
    DrillOver(DrillId),
    /// A rule of schedules of drills.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Somebody else has taken another step with the keys.
    #[error("the signing keys were changed by somebody else meanwhile: look, and ask again")]
    KeysChanged,
    /// The database did not answer, or refused. Nothing was written.
    #[error("the store cannot be used now: {0}")]
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The failure came at the very end of a write, or nobody knows when: it may or may
    /// not have been committed.
    #[error("the store does not say whether anything was written: {0}")]
    Uncertain(Box<dyn Error + Send + Sync>),
    /// The keys that the store names cannot be used.
    #[error("{0}")]
    Keys(Box<dyn Error + Send + Sync>),
    /// What is stored cannot be what was written.
    #[error("the store holds something that cannot be right: {0}")]
    Corrupt(String),
}
