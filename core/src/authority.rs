//! Authority: who may act, as of one position in the order of changes.
//!
//! It is the part of the state that is small, or young: every standing, what each
//! grant stands for, and the tokens that changed since the base. All other tokens
//! are in a table elsewhere, see [`TokenTable`](crate::TokenTable).

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;

use crate::action::ActionName;
use crate::change::{Agent, Change};
use crate::decision::{DenyReason, Stop};
use crate::ids::{AgentId, PolicyId, PrincipalId};
use crate::policy::{Policy, PolicyVersion};
use crate::standing::{Denied, Standing, Status};
use crate::table::{Fingerprint, GrantIndex, TokenEntry};
use crate::time::{UnixMillis, UnixSeconds};
use crate::update::{Body, Position, Revision, VerifiedUpdate};

/// Revoked tokens that are remembered beyond the base that holds them, so that no
/// later base can bring them back.
const MAX_REMEMBERED: usize = 65_536;

/// The state that [`decide`](crate::decide) reads. It starts empty and
/// unsynced, when everything is denied, and changes only by what was verified.
///
/// A revoked agent is one standing: its tokens are not walked. A revocation that
/// was applied is never undone, and a not-before never goes back, whatever comes
/// later.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    position: Option<Position>,
    /// Every token that changed up to here is in the table, as it is now.
    base: Revision,
    fleet: Standing,
    principals: HashMap<PrincipalId, Standing>,
    agents: HashMap<AgentId, Agent>,
    capabilities: HashMap<AgentId, BTreeMap<ActionName, Standing>>,
    policies: HashMap<PolicyId, (PolicyVersion, Arc<Policy>)>,
    grants: HashMap<GrantIndex, AgentId>,
    /// Tokens that changed since the base, and revoked ones from before.
    tokens: BTreeMap<Fingerprint, Changed>,
}

/// A token that is not, or not any more, as the base says.
#[derive(Debug, Clone, Copy)]
struct Changed {
    entry: TokenEntry,
    at: Revision,
}

/// An agent names a policy that is not in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyMissing;

/// Which policy a decision was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyUsed {
    /// Its id.
    pub id: PolicyId,
    /// Its version.
    pub version: PolicyVersion,
}

/// Why a verified update was not applied. The state is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// It leads to where the state already is, or to somewhere before.
    #[error("the update leads to {got:?}, but the state is at {have:?}")]
    NotNewer {
        /// Position of the state.
        have: Position,
        /// Position of the update.
        got: Position,
    },
    /// It does not start where the state is: something is missing.
    #[error(
        "the delta leads to {got:?}, but the state is at {have:?}: updates are missing between"
    )]
    Gap {
        /// Position of the state, if it has one.
        have: Option<Position>,
        /// Position of the update.
        got: Position,
    },
    /// It is no delta.
    #[error("the update is not a delta")]
    NotADelta,
}

impl ApplyError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotNewer { .. } => "not_newer",
            Self::Gap { .. } => "gap",
            Self::NotADelta => "not_a_delta",
        }
    }
}

impl Authority {
    /// Where in the order of changes the state is; `None` before the first base.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The state whose base is at `position` and holds these records. What this
    /// one knows as revoked stays revoked.
    pub fn reloaded(
        &self,
        position: Position,
        records: impl IntoIterator<Item = Change>,
    ) -> Result<Self, ApplyError> {
        if let Some(have) = self.position
            && position <= have
        {
            return Err(ApplyError::NotNewer { have, got: position });
        }
        let mut fresh =
            Self { position: Some(position), base: position.revision, ..self.irrevocable() };
        for record in records {
            fresh.take(record, position.revision);
        }
        Ok(fresh)
    }

    /// Applies the delta that starts exactly where the state is, and returns what
    /// it changed.
    pub fn apply<'a>(&mut self, update: &'a VerifiedUpdate) -> Result<&'a [Change], ApplyError> {
        let Body::Delta(changes) = update.body() else { return Err(ApplyError::NotADelta) };
        let (got, have) = (update.position(), self.position);
        match have {
            Some(have) if got <= have => return Err(ApplyError::NotNewer { have, got }),
            Some(have) if have.next() == got => {}
            _ => return Err(ApplyError::Gap { have, got }),
        }
        for change in changes {
            self.take(change.clone(), got.revision);
        }
        self.position = Some(got);
        Ok(changes)
    }

    /// A base at this position is at hand, with every token that changed up to
    /// it: they need not be kept here any more, except that they were revoked.
    pub fn rebase(&mut self, base: Position) {
        self.base = base.revision;
        self.tokens.retain(|_, changed| changed.at > base.revision || changed.entry.revoked);
        let surplus = self.tokens.len().saturating_sub(MAX_REMEMBERED);
        if surplus > 0 {
            let mut left = surplus;
            self.tokens.retain(|_, changed| {
                let forgotten = left > 0 && changed.at <= base.revision;
                left = left.saturating_sub(usize::from(forgotten));
                !forgotten
            });
        }
    }

    /// Forgets tokens that expired before `horizon`, looking at no more than
    /// `limit` after `cursor`. Returns where to go on. One that changed after the
    /// base is kept: the base may say that it expires later, or was not revoked.
    pub fn forget_expired(
        &mut self,
        horizon: UnixSeconds,
        cursor: Option<Fingerprint>,
        limit: usize,
    ) -> Option<Fingerprint> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = cursor.map_or(Unbounded, Excluded);
        let looked: Vec<_> = self
            .tokens
            .range((from, Unbounded))
            .take(limit)
            .map(|(fingerprint, changed)| {
                let settled = changed.at <= self.base;
                (*fingerprint, settled && changed.entry.expires < horizon)
            })
            .collect();
        for (fingerprint, _) in looked.iter().filter(|(_, forgotten)| *forgotten) {
            self.tokens.remove(fingerprint);
        }
        looked.last().filter(|_| looked.len() == limit).map(|(fingerprint, _)| *fingerprint)
    }

    /// What is known here of a token, if it is known here at all.
    pub fn token(&self, fingerprint: Fingerprint) -> Option<TokenEntry> {
        self.tokens.get(&fingerprint).map(|changed| changed.entry)
    }

    /// How many tokens are kept here and not in a table.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// Who holds a grant.
    pub fn holder(&self, grant: GrantIndex) -> Option<AgentId> {
        self.grants.get(&grant).copied()
    }

    /// The policy of an agent, if it has one. [`PolicyMissing`] where it names one that
    /// is not in the state.
    pub fn policy(&self, agent: AgentId) -> Result<Option<(PolicyUsed, &Policy)>, PolicyMissing> {
        let Some(id) = self.agents.get(&agent).and_then(|agent| agent.policy) else {
            return Ok(None);
        };
        let (version, policy) = self.policies.get(&id).ok_or(PolicyMissing)?;
        Ok(Some((PolicyUsed { id, version: *version }, policy)))
    }

    /// Who acts by this token, or why nobody may. Strictest wins: the first level
    /// that denies is the answer, from the fleet down to the token.
    ///
    /// Without an `action`, a capability that denies anything denies: it cannot
    /// be shown that this is not what it denies.
    pub fn check(
        &self,
        token: &TokenEntry,
        action: Option<&str>,
        now: UnixMillis,
    ) -> Result<AgentId, Stop> {
        match self.levels(token, action, Some(now), ControlFlow::Break) {
            ControlFlow::Continue(agent_id) => Ok(agent_id),
            ControlFlow::Break(stop) => Err(stop),
        }
    }

    /// What ends a request by this token that was allowed before, if anything does:
    /// the reason is that of the first level that denies, and it is aborted if any
    /// level that denies says so. That somebody expires ends nothing.
    pub fn stop(&self, token: &TokenEntry, action: Option<&str>) -> Option<Stop> {
        let mut strictest: Option<Stop> = None;
        let all = self.levels(token, action, None, |stop| {
            let in_flight = strictest.map_or(stop.in_flight, |it| it.in_flight.max(stop.in_flight));
            strictest = Some(Stop { in_flight, ..strictest.unwrap_or(stop) });
            ControlFlow::Continue(())
        });
        match all {
            ControlFlow::Continue(_) => strictest,
            ControlFlow::Break(stop) => Some(stop),
        }
    }

    /// Goes through the levels, from the fleet down to the token, and has `denied`
    /// say whether to go on after each that denies. A token without a holder goes
    /// nowhere.
    fn levels(
        &self,
        token: &TokenEntry,
        action: Option<&str>,
        now: Option<UnixMillis>,
        mut denied: impl FnMut(Stop) -> ControlFlow<Stop>,
    ) -> ControlFlow<Stop, AgentId> {
        use DenyReason as Why;
        let revoked = Standing::new(Status::Revoked);
        let held = self.holder(token.grant).and_then(|id| Some((id, self.agents.get(&id)?)));
        let Some((agent_id, agent)) = held else {
            return ControlFlow::Break(Stop::new(Why::AgentRevoked, None, &revoked));
        };
        let mut level = |[suspended, revoked]: [Why; 2], standing: &Standing| {
            let reason = match standing.admits(token.issued) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(Denied::Status(Status::Revoked)) => revoked,
                Err(Denied::Status(_)) => suspended,
                Err(Denied::Superseded) => Why::TokenSuperseded,
            };
            denied(Stop::new(reason, Some(agent_id), standing))
        };
        level([Why::FleetHalted; 2], &self.fleet)?;
        if let Some(principal) = &agent.principal {
            let standing = self.principals.get(principal).unwrap_or(&revoked);
            level([Why::PrincipalSuspended, Why::PrincipalRevoked], standing)?;
        }
        level([Why::AgentSuspended, Why::AgentRevoked], &agent.standing)?;
        if let (Some(now), Some(expires)) = (now, agent.expires)
            && now.seconds() >= expires
        {
            level([Why::AgentExpired; 2], &revoked)?;
        }
        if let Some(capabilities) = self.capabilities.get(&agent_id) {
            let stopped = [Why::CapabilityRevoked; 2];
            match action {
                Some(action) => {
                    capabilities
                        .get(action)
                        .map_or(ControlFlow::Continue(()), |it| level(stopped, it))?;
                }
                None => capabilities.values().try_for_each(|standing| level(stopped, standing))?,
            }
        }
        if token.revoked {
            level([Why::TokenRevoked; 2], &revoked)?;
        }
        ControlFlow::Continue(agent_id)
    }

    fn take(&mut self, change: Change, at: Revision) {
        match change {
            Change::Fleet(standing) => self.fleet = self.fleet.followed_by(standing),
            Change::Principal(id, standing) => {
                let known = self.principals.entry(id).or_default();
                *known = known.followed_by(standing);
            }
            Change::Agent(id, agent) => {
                let before = self.agents.get(&id).map(|known| known.standing).unwrap_or_default();
                let standing = before.followed_by(agent.standing);
                self.agents.insert(id, Agent { standing, ..agent });
            }
            Change::Policy(id, version, policy) => {
                self.policies.insert(id, (version, policy));
            }
            Change::Capability(id, action, standing) => {
                let known = self.capabilities.entry(id).or_default().entry(action).or_default();
                *known = known.followed_by(standing);
            }
            Change::Grant(index, id) => {
                // An index is never given to another.
                self.grants.entry(index).or_insert(id);
            }
            Change::Token(fingerprint, entry) => {
                let revoked = entry.revoked || self.token(fingerprint).is_some_and(|it| it.revoked);
                let entry = TokenEntry { revoked, ..entry };
                self.tokens.insert(fingerprint, Changed { entry, at });
            }
        }
    }

    /// What no later base can undo: revocations and not-befores.
    fn irrevocable(&self) -> Self {
        let kept = |standing: &Standing| match standing.status {
            Status::Revoked => *standing,
            _ => Standing { not_before: standing.not_before, ..Standing::ACTIVE },
        };
        let tells = |standing: &Standing| kept(standing) != Standing::ACTIVE;
        let principals = self.principals.iter().filter(|(_, standing)| tells(standing));
        let agents = self.agents.iter().filter(|(_, agent)| tells(&agent.standing));
        let capabilities = self.capabilities.iter().filter_map(|(id, actions)| {
            let actions = actions.iter().filter(|(_, standing)| tells(standing));
            let actions: BTreeMap<_, _> =
                actions.map(|(action, standing)| (action.clone(), kept(standing))).collect();
            (!actions.is_empty()).then_some((*id, actions))
        });
        let mut fresh = Self {
            fleet: kept(&self.fleet),
            principals: principals.map(|(id, standing)| (*id, kept(standing))).collect(),
            agents: agents
                .map(|(id, agent)| (*id, Agent { standing: kept(&agent.standing), ..*agent }))
                .collect(),
            capabilities: capabilities.collect(),
            tokens: self.tokens.clone(),
            ..Self::default()
        };
        fresh.tokens.retain(|_, changed| changed.entry.revoked);
        // In whatever epoch: the base has the word on all that is not revoked.
        fresh.tokens.values_mut().for_each(|changed| changed.at = Revision(0));
        fresh
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
