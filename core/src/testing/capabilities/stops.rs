//! Everything that stops a capability token which was good a moment ago.

use crate::jwt::{Actor, Claims};
use crate::wire::{self, InFlight, Standing, Status, change::Change};
use crate::{CapabilityId, PrincipalId};

use super::super::agent_id;
use super::{ACTION, claims, taken_back};

/// One way to stop a token.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// What is stopped.
    pub what: &'static str,
    /// The change that does it.
    pub change: Change,
    /// The reason that the token is then denied for.
    pub reason: &'static str,
}

/// What agent 1 may do, who acts for agent 3, which acts for agent 4. The token says
/// that agent 2 and principal 6 acted. Agent 1 is principal 5's.
pub fn delegated_claims(now: u64) -> Claims {
    Claims {
        id: CapabilityId::from_bytes([0xd1; 16]),
        actors: vec![Actor::Agent(agent_id(2)), Actor::Principal(PrincipalId::from_bytes([6; 16]))],
        ..claims(1, now)
    }
}

/// The records of all of whom such a token depends on, each of them active.
pub fn delegated() -> Vec<Change> {
    let active = standing(Status::Active, InFlight::Abort);
    let principals = [5, 6].map(|n| principal(n, active));
    let agents = [4, 3, 2, 1].map(|n| agent(n, active));
    principals.into_iter().chain(agents).collect()
}

/// Every way to stop it, with an `abort` for requests in flight. `now` is the second
/// in which it was issued.
pub fn stops(now: u64) -> Vec<Stopped> {
    let abort = |status| standing(status, InFlight::Abort);
    let (suspended, revoked) = (abort(Status::Suspended), abort(Status::Revoked));
    let superseded = Standing { not_before_unix_seconds: now, ..abort(Status::Active) };
    let fleet = |standing| Change::Fleet(wire::Fleet { standing: Some(standing) });
    [
        ("everyone", fleet(suspended), "fleet_halted"),
        ("everything from before", fleet(superseded), "token_superseded"),
        ("the principal, for now", principal(5, suspended), "principal_suspended"),
        ("the principal", principal(5, revoked), "principal_revoked"),
        ("its parent, for now", agent(3, suspended), "delegator_stopped"),
        ("its parent", agent(3, revoked), "delegator_stopped"),
        ("what its parent had issued", agent(3, superseded), "delegator_stopped"),
        ("one action of its parent", capability(3, revoked), "delegator_stopped"),
        ("its parent's parent", agent(4, revoked), "delegator_stopped"),
        ("an agent that acted, for now", agent(2, suspended), "delegator_stopped"),
        ("an agent that acted", agent(2, revoked), "delegator_stopped"),
        ("one action of an agent that acted", capability(2, suspended), "delegator_stopped"),
        ("a principal that acted", principal(6, revoked), "delegator_stopped"),
        ("itself, for now", agent(1, suspended), "agent_suspended"),
        ("itself", agent(1, revoked), "agent_revoked"),
        ("what it had", agent(1, superseded), "token_superseded"),
        ("its action", capability(1, revoked), "capability_revoked"),
        ("the token", taken_back(&delegated_claims(now)), "token_revoked"),
    ]
    .map(|(what, change, reason)| Stopped { what, change, reason })
    .into()
}

fn standing(status: Status, in_flight: InFlight) -> Standing {
    let (status, in_flight) = (status.into(), in_flight.into());
    Standing { status, in_flight, not_before_unix_seconds: 0 }
}

fn principal(n: u8, standing: Standing) -> Change {
    Change::Principal(wire::Principal { id: vec![n; 16], standing: Some(standing) })
}

/// One of the agents, with those for whom it acts.
fn agent(n: u8, standing: Standing) -> Change {
    let (parent, principal): (Option<u8>, Option<u8>) = match n {
        1 => (Some(3), Some(5)),
        3 => (Some(4), None),
        _ => (None, None),
    };
    let id = |n: Option<u8>| n.map_or(vec![], |n| vec![n; 16]);
    Change::Agent(wire::Agent {
        id: agent_id(n).to_bytes().into(),
        standing: Some(standing),
        principal_id: id(principal),
        parent_id: id(parent),
        ..wire::Agent::default()
    })
}

fn capability(n: u8, standing: Standing) -> Change {
    Change::Capability(wire::Capability {
        agent_id: agent_id(n).to_bytes().into(),
        action: ACTION.into(),
        standing: Some(standing),
    })
}
