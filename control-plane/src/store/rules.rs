//! What may follow what. Every store asks here, inside its transaction.

use kya_core::{InFlight, Status};

use super::{
    Agent, Capability, Cause, Owner, Principal, StatusAction, StopError, StoreError, drills,
};
use crate::time::UnixMicros;

/// Most stopped capabilities of one agent. Each proxy keeps them all.
pub const MAX_STOPPED_CAPABILITIES: usize = 256;

/// What `action` leads to, `None` when it already is so. Of two decisions that
/// lead to the same status, the second counts only if it is the stricter one.
pub(super) fn next_status(
    agent: &Agent,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    next(agent.status, agent.in_flight, action)
        .map_err(|Final| StoreError::RevokedIsFinal(agent.id))
}

/// The same of a principal.
pub(super) fn next_of_principal(
    principal: &Principal,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    next(principal.decided.status, principal.decided.in_flight, action)
        .map_err(|Final| StopError::PrincipalRevokedIsFinal(principal.name.clone()).into())
}

/// The status of an agent after it was decided for this cause; nothing where that changes
/// nothing. A drill undoes only what it has done itself; and whoever stops what a drill has
/// stopped means it, so that from then on it is stopped by them.
pub(super) fn decided(
    agent: &Agent,
    action: StatusAction,
    cause: &Cause,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    let by_a_drill = |it: &Option<String>| it.as_deref().is_some_and(drills::is_reason);
    let is_own = agent.status_reason == cause.reason;
    let undoes = action == StatusAction::Restore;
    if undoes && by_a_drill(&cause.reason) && !is_own {
        return Ok(None);
    }
    // It would be the drill's then, which takes back what is its own.
    let suspends = matches!(action, StatusAction::Suspend(_));
    if suspends && by_a_drill(&cause.reason) && !is_own && agent.status == Status::Suspended {
        return Ok(None);
    }
    let next = next_status(agent, action)?;
    let is_a_drills = agent.status == Status::Suspended && by_a_drill(&agent.status_reason);
    let takes_over = next.is_none() && !undoes && is_a_drills && !is_own;
    Ok(next.or_else(|| takes_over.then_some((agent.status, agent.in_flight))))
}

/// The same of a capability.
pub(super) fn next_of_capability(
    capability: &Capability,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    let Capability { agent_id: agent, decided, .. } = capability;
    next(decided.status, decided.in_flight, action).map_err(|Final| {
        let action = capability.action.clone();
        StopError::CapabilityRevokedIsFinal { agent: *agent, action }.into()
    })
}

/// A revocation that something was to undo.
#[derive(Debug)]
pub(super) struct Final;

/// The same of whatever has this status.
pub(super) fn next(
    now: Status,
    flight: InFlight,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, Final> {
    use Status::{Active, Revoked, Suspended};
    let (status, in_flight) = match action {
        StatusAction::Revoke(in_flight) => (Revoked, in_flight),
        StatusAction::Suspend(in_flight) => (Suspended, in_flight),
        StatusAction::Restore => (Active, InFlight::Abort),
    };
    if now == Revoked && status != Revoked {
        return Err(Final);
    }
    Ok((now != status || flight < in_flight).then_some((status, in_flight)))
}

/// Refuses to issue a token to an agent that may not act.
pub(super) fn may_hold_a_new_token(agent: &Agent, now: UnixMicros) -> Result<(), StoreError> {
    if let (true, Some(at)) = (agent.is_expired(now), agent.expires) {
        return Err(StopError::AgentExpired { agent: agent.id, at }.into());
    }
    match agent.status {
        Status::Active => agent.owner.as_ref().map_or(Ok(()), may_delegate),
        status => Err(StoreError::AgentNotActive { agent: agent.id, status }),
    }
}

/// Refuses to have a principal that may not act delegate anything more.
pub(super) fn may_delegate(owner: &Owner) -> Result<(), StoreError> {
    match owner.status {
        Status::Active => Ok(()),
        status => {
            Err(StopError::PrincipalNotActive { principal: owner.name.clone(), status }.into())
        }
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

/// The same of a principal.
pub(super) const fn principal_event(action: StatusAction) -> &'static str {
    match action {
        StatusAction::Revoke(_) => "principal.revoked",
        StatusAction::Suspend(_) => "principal.suspended",
        StatusAction::Restore => "principal.restored",
    }
}

/// The same of a capability.
pub(super) const fn capability_event(action: StatusAction) -> &'static str {
    match action {
        StatusAction::Revoke(_) => "capability.revoked",
        StatusAction::Suspend(_) => "capability.suspended",
        StatusAction::Restore => "capability.restored",
    }
}

/// The same of all agents that a selector means.
pub(super) const fn selection_event(action: StatusAction) -> &'static str {
    match action {
        StatusAction::Revoke(_) => "selection.revoked",
        StatusAction::Suspend(_) => "selection.suspended",
        StatusAction::Restore => "selection.restored",
    }
}
