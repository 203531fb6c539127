//! What may follow what. Every store asks here, inside its transaction.

use kya_core::{InFlight, Status};

use super::{Agent, StatusAction, StoreError};

/// What `action` leads to, `None` when it already is so. Of two decisions that
/// lead to the same status, the second counts only if it is the stricter one.
pub(super) fn next_status(
    agent: &Agent,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    use Status::{Active, Revoked, Suspended};
    let (status, in_flight) = match action {
        StatusAction::Revoke(in_flight) => (Revoked, in_flight),
        StatusAction::Suspend(in_flight) => (Suspended, in_flight),
        StatusAction::Restore => (Active, InFlight::Abort),
    };
    if agent.status == Revoked && status != Revoked {
        return Err(StoreError::RevokedIsFinal(agent.id));
    }
    let changes = agent.status != status || agent.in_flight < in_flight;
    Ok(changes.then_some((status, in_flight)))
}

/// Refuses to issue a token to an agent that may not act.
pub(super) fn may_hold_a_new_token(agent: &Agent) -> Result<(), StoreError> {
    match agent.status {
        Status::Active => Ok(()),
        status => Err(StoreError::AgentNotActive { agent: agent.id, status }),
    }
}

/// The name of a change of status in the log of events.
pub(super) const fn event_name(action: StatusAction) -> &'static str {
    match action {
        StatusAction::Revoke(_) => "agent.revoked",
        StatusAction::Suspend(_) => "agent.suspended",
        StatusAction::Restore => "agent.restored",
    }
}
