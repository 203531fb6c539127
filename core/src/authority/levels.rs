//! Strictest wins: the levels of authority, from the fleet down to the token.

use std::ops::ControlFlow;

use super::Authority;
use crate::action::ActionName;
use crate::bearer::Held;
use crate::change::Agent;
use crate::decision::{DenyReason, Stop};
use crate::ids::{AgentId, PrincipalId};
use crate::jwt::Actor;
use crate::standing::{Denied, InFlight, Standing, Status};
use crate::time::{UnixMillis, UnixSeconds};

/// Most agents that one agent acts for, one above the other. Where there are more,
/// nobody may act.
pub const MAX_DELEGATION: usize = 8;

/// How long capability tokens that were issued before it count after a suspension that
/// drains, in seconds, where the agent has no policy to say so.
pub const DRAIN_SECONDS: u64 = 60;

const REVOKED: Standing = Standing::new(Status::Revoked);

/// One who acts: an agent and the record of it.
pub(super) type Known<'a> = (AgentId, &'a Agent);

/// A chain of agents does not end where it must, or names one that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What a token is looked at for.
#[derive(Debug, Clone, Copy)]
enum For<'a> {
    /// This action.
    Action(&'a str),
    /// One that is not known: it cannot be shown that it is not one that is denied.
    Unknown,
    /// None: whether it counts at all.
    Nothing,
}

impl<'a> From<Option<&'a str>> for For<'a> {
    fn from(action: Option<&'a str>) -> Self {
        action.map_or(Self::Unknown, Self::Action)
    }
}

impl Authority {
    /// Whose token this is, or why it counts for nothing, whatever it would be used for.
    /// Its time, and policies, are no part of that.
    pub fn stands<'a>(&self, token: impl Into<Held<'a>>, now: UnixMillis) -> Result<AgentId, Stop> {
        match self.levels(token.into(), For::Nothing, Some(now), ControlFlow::Break) {
            ControlFlow::Continue(agent_id) => Ok(agent_id),
            ControlFlow::Break(stop) => Err(stop),
        }
    }

    /// Who acts by this token, or why nobody may. Strictest wins: the first level
    /// that denies is the answer, from the fleet down to the token.
    ///
    /// Without an `action`, a capability that denies anything denies: it cannot
    /// be shown that this is not what it denies.
    pub fn check<'a>(
        &self,
        token: impl Into<Held<'a>>,
        action: Option<&str>,
        now: UnixMillis,
    ) -> Result<AgentId, Stop> {
        match self.levels(token.into(), action.into(), Some(now), ControlFlow::Break) {
            ControlFlow::Continue(agent_id) => Ok(agent_id),
            ControlFlow::Break(stop) => Err(stop),
        }
    }

    /// What ends a request by this token that was allowed before, if anything does:
    /// the reason is that of the first level that denies, and it is aborted if any
    /// level that denies says so. A policy that does not permit it any more is the last
    /// level. That somebody expires ends nothing.
    pub fn stop<'a>(
        &self,
        token: impl Into<Held<'a>>,
        action: Option<&ActionName>,
        service: Option<&str>,
    ) -> Option<Stop> {
        let mut strictest: Option<Stop> = None;
        let mut note = |stop: Stop| {
            let in_flight = strictest.map_or(stop.in_flight, |it| it.in_flight.max(stop.in_flight));
            strictest = Some(Stop { in_flight, ..strictest.unwrap_or(stop) });
        };
        let name = action.map(ActionName::as_str);
        let all = self.levels(token.into(), name.into(), None, |stop| {
            note(stop);
            ControlFlow::Continue(())
        });
        let agent_id = match all {
            ControlFlow::Continue(agent_id) => agent_id,
            ControlFlow::Break(stop) => return Some(stop),
        };
        for (holder, agent) in self.chain(agent_id).flatten() {
            // One that is not in the state any more denies what comes, as it is decided.
            let Ok(Some((_, policy))) = self.policy_of(agent) else { continue };
            if let Err(denied) = policy.permits(action, service) {
                let reason =
                    if holder == agent_id { denied.into() } else { DenyReason::DelegatorStopped };
                let in_flight = policy.in_flight();
                note(Stop { reason, agent_id: Some(agent_id), in_flight });
            }
        }
        strictest
    }

    /// Goes through the levels, from the fleet down to the token, and has `denied`
    /// say whether to go on after each that denies. A token without a holder goes
    /// nowhere.
    fn levels(
        &self,
        held: Held<'_>,
        action: For<'_>,
        now: Option<UnixMillis>,
        mut denied: impl FnMut(Stop) -> ControlFlow<Stop>,
    ) -> ControlFlow<Stop, AgentId> {
        use DenyReason as Why;
        let Some((agent_id, agent)) = self.acting(held) else {
            return ControlFlow::Break(Stop::new(Why::AgentRevoked, None, &REVOKED));
        };
        let issued = held.issued();
        let mut level = |[suspended, revoked]: [Why; 2], standing: &Standing| {
            let reason = match standing.admits(issued) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(Denied::Status(Status::Revoked)) => revoked,
                Err(Denied::Status(_)) => suspended,
                Err(Denied::Superseded) => Why::TokenSuperseded,
            };
            denied(Stop::new(reason, Some(agent_id), standing))
        };
        level([Why::FleetHalted; 2], &self.fleet)?;
        if let Some(principal) = &agent.principal {
            let standing = self.principals.get(principal).unwrap_or(&REVOKED);
            level([Why::PrincipalSuspended, Why::PrincipalRevoked], standing)?;
        }
        for in_flight in self.delegators(held, (agent_id, agent), action, now) {
            level([Why::DelegatorStopped; 2], &Standing { in_flight, ..REVOKED })?;
        }
        let standing = match now {
            Some(now) if self.drains(held, agent, now) => {
                &Standing { status: Status::Active, ..agent.standing }
            }
            _ => &agent.standing,
        };
        level([Why::AgentSuspended, Why::AgentRevoked], standing)?;
        if now.is_some_and(|now| agent.is_expired(now)) {
            level([Why::AgentExpired; 2], &REVOKED)?;
        }
        for standing in self.actions(agent_id, action) {
            level([Why::CapabilityRevoked; 2], standing)?;
        }
        if self.is_taken_back(held) {
            level([Why::TokenRevoked; 2], &REVOKED)?;
        }
        ControlFlow::Continue(agent_id)
    }

    /// The agent, then the one that it acts for, and so on. It ends with an error where
    /// one is not known, or there are too many.
    pub(super) fn chain(&self, agent: AgentId) -> impl Iterator<Item = Result<Known<'_>, Broken>> {
        let mut next = Some(agent);
        let mut left = MAX_DELEGATION.saturating_add(1);
        std::iter::from_fn(move || {
            let id = next.take()?;
            let known = self.agents.get(&id).filter(|_| left > 0);
            left = left.saturating_sub(1);
            next = known.and_then(|agent| agent.parent);
            Some(known.map(|agent| (id, agent)).ok_or(Broken))
        })
    }

    /// Who presents a token, if that is known.
    fn acting(&self, held: Held<'_>) -> Option<Known<'_>> {
        let id = match held {
            Held::Opaque(token) => self.holder(token.grant)?,
            Held::Capability(capability) => capability.claims().agent,
        };
        Some((id, self.agents.get(&id)?))
    }

    /// What stops those for whom the agent acts, of which the token need not know, and
    /// those of whom the token says that they acted: what becomes of requests in
    /// flight, for each that is stopped.
    fn delegators(
        &self,
        held: Held<'_>,
        (agent_id, agent): Known<'_>,
        action: For<'_>,
        now: Option<UnixMillis>,
    ) -> impl Iterator<Item = InFlight> {
        let issued = held.issued();
        let stops = move |known: Result<Known<'_>, Broken>| match known {
            Ok(known) => self.stopped(known, issued, action, now),
            Err(Broken) => Some(InFlight::Abort),
        };
        let above = agent.parent.is_some().then(|| self.chain(agent_id).skip(1));
        let above = above.into_iter().flatten().map(stops);
        // The agent itself has a level of its own.
        let others = held.actors().filter(move |actor| **actor != Actor::Agent(agent_id));
        let named = others.map(move |actor| match actor {
            Actor::Agent(id) => self.chain(*id).filter_map(stops).max(),
            Actor::Principal(id) => self.principal_stopped(*id, issued),
        });
        above.chain(named).flatten()
    }

    /// Whether an agent is stopped for whom another acts.
    fn stopped(
        &self,
        (id, agent): Known<'_>,
        issued: UnixSeconds,
        action: For<'_>,
        now: Option<UnixMillis>,
    ) -> Option<InFlight> {
        let denies =
            |standing: &Standing| standing.admits(issued).err().map(|_| standing.in_flight);
        let principal = agent.principal.and_then(|id| self.principal_stopped(id, issued));
        let expired = now.is_some_and(|now| agent.is_expired(now)).then_some(InFlight::Abort);
        let actions = self.actions(id, action).filter_map(denies);
        [denies(&agent.standing), principal, expired].into_iter().flatten().chain(actions).max()
    }

    fn principal_stopped(&self, id: PrincipalId, issued: UnixSeconds) -> Option<InFlight> {
        let standing = self.principals.get(&id).unwrap_or(&REVOKED);
        standing.admits(issued).err().map(|_| standing.in_flight)
    }

    /// What was decided about this action of an agent; about any, if it is not known.
    fn actions(&self, id: AgentId, action: For<'_>) -> impl Iterator<Item = &Standing> {
        let decided = self.capabilities.get(&id);
        let (this, any) = match action {
            For::Action(name) => (decided.and_then(|decided| decided.get(name)), None),
            For::Unknown => (None, decided),
            For::Nothing => (None, None),
        };
        this.into_iter().chain(any.into_iter().flat_map(|decided| decided.values()))
    }

    /// A suspension lets work in flight end: for a while a capability token counts that
    /// was issued before it.
    fn drains(&self, held: Held<'_>, agent: &Agent, now: UnixMillis) -> bool {
        let Held::Capability(capability) = held else { return false };
        let Some(suspended) = agent.suspended else { return false };
        let window = match self.policy_of(agent) {
            Ok(Some((_, policy))) => policy.drain_window().seconds(),
            Ok(None) => DRAIN_SECONDS,
            Err(_) => 0,
        };
        agent.standing.status == Status::Suspended
            && agent.standing.in_flight == InFlight::Drain
            && capability.claims().issued <= suspended
            && now.seconds().0 < suspended.0.saturating_add(window)
    }

    fn is_taken_back(&self, held: Held<'_>) -> bool {
        match held {
            Held::Opaque(token) => token.revoked,
            Held::Capability(capability) => self.taken_back.contains(capability.claims().id),
        }
    }
}

impl Agent {
    fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| now.seconds() >= expires)
    }
}
