//! What may follow what. Every store asks here, inside its transaction.

use kya_core::{AgentId, AgentStatus};

use super::{Agent, StatusAction, StoreError};

/// The status that `action` leads to, `None` when the agent already has it.
pub(super) fn next_status(
    agent: AgentId,
    current: AgentStatus,
    action: StatusAction,
) -> Result<Option<AgentStatus>, StoreError> {
    use AgentStatus::{Active, Revoked, Suspended};
    match (current, action) {
        (Revoked, StatusAction::Revoke)
        | (Suspended, StatusAction::Suspend)
        | (Active, StatusAction::Restore) => Ok(None),
        (Revoked, StatusAction::Suspend | StatusAction::Restore) => {
            Err(StoreError::RevokedIsFinal(agent))
        }
        (Active | Suspended, StatusAction::Revoke) => Ok(Some(Revoked)),
        (Active, StatusAction::Suspend) => Ok(Some(Suspended)),
        (Suspended, StatusAction::Restore) => Ok(Some(Active)),
    }
}

/// Refuses to issue a token to an agent that may not act.
pub(super) fn may_hold_a_new_token(agent: &Agent) -> Result<(), StoreError> {
    match agent.status {
        AgentStatus::Active => Ok(()),
        status => Err(StoreError::AgentNotActive { agent: agent.id, status }),
    }
}

/// The name of a change of status in the log of events.
pub(super) const fn event_name(action: StatusAction) -> &'static str {
    match action {
        StatusAction::Revoke => "agent.revoked",
        StatusAction::Suspend => "agent.suspended",
        StatusAction::Restore => "agent.restored",
    }
}
