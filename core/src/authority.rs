//! Authority: who may act, as of one position in the order of changes.
//!
//! It is the part of the state that is small, or young: every standing, what each
//! grant stands for, and the tokens that changed since the base. All other tokens
//! are in a table elsewhere, see [`TokenTable`](crate::TokenTable).

mod levels;
mod taken_back;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::action::ActionName;
use crate::bearer::Held;
use crate::change::{Agent, Change};
use crate::grant::Grant;
use crate::ids::{AgentId, PolicyId, PrincipalId};
use crate::jwt::{Actor, CapabilityVerifier};
use crate::policy::{Policy, PolicyVersion};
use crate::standing::{Standing, Status};
use crate::table::{Fingerprint, GrantIndex, TokenEntry};
use crate::time::UnixSeconds;
use crate::update::{Body, Position, Revision, VerifiedUpdate};

pub use levels::{DRAIN_SECONDS, MAX_DELEGATION};
use taken_back::TakenBack;

/// By ids, which only the control plane gives out: nobody can choose them to collide.
type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

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
    grants: HashMap<GrantIndex, Arc<Grant>>,
    issuer: Option<Arc<CapabilityVerifier>>,
    taken_back: TakenBack,
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

    /// Takes over what has been committed up to `position`, as whoever committed it does,
    /// and needs no signature for. Its tokens are left to the table, which holds them all.
    pub fn follow(&mut self, position: Position, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if !matches!(change, Change::Token(..)) {
                self.take(change, position.revision);
            }
        }
        self.position = Some(position);
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
    /// base is kept: the base may say that it expires later, or was not revoked. Of
    /// capability tokens that were taken back, it forgets up to `limit`.
    pub fn forget_expired(
        &mut self,
        horizon: UnixSeconds,
        cursor: Option<Fingerprint>,
        limit: usize,
    ) -> Option<Fingerprint> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.taken_back.forget_expired(horizon, limit);
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

    /// How many capability tokens are remembered as taken back.
    pub fn taken_back_count(&self) -> usize {
        self.taken_back.len()
    }

    /// Who holds a grant.
    pub fn holder(&self, grant: GrantIndex) -> Option<AgentId> {
        self.grants.get(&grant).map(|grant| grant.agent())
    }

    /// What a grant stands for.
    pub fn grant(&self, grant: GrantIndex) -> Option<&Grant> {
        self.grants.get(&grant).map(AsRef::as_ref)
    }

    /// Whose capability tokens count, if anybody's do.
    pub fn issuer(&self) -> Option<&Arc<CapabilityVerifier>> {
        self.issuer.as_ref()
    }

    /// The policies that limit an agent: its own first, then those of the agents that it
    /// acts for. [`PolicyMissing`] where one names a policy, or acts for an agent, that is
    /// not in the state.
    pub fn policies(
        &self,
        agent: AgentId,
    ) -> impl Iterator<Item = Result<(PolicyUsed, &Policy), PolicyMissing>> {
        self.chain(agent).filter_map(|known| match known {
            Ok((_, agent)) => self.policy_of(agent).transpose(),
            Err(_) => Some(Err(PolicyMissing)),
        })
    }

    /// Whether an agent, or one for whom it acts, has one of these policies.
    pub fn is_under(&self, agent: AgentId, policies: impl Fn(PolicyId) -> bool) -> bool {
        self.chain(agent).flatten().any(|(_, agent)| agent.policy.is_some_and(&policies))
    }

    /// The agents, beside the one who presents it, without whom this token counts for
    /// nothing: those for whom that one acts, and those of whom the token says that
    /// they acted.
    pub fn behind(&self, agent: AgentId, token: Held<'_>) -> Box<[AgentId]> {
        let above = self.chain(agent).skip(1).flatten().map(|(id, _)| id);
        let named = token.actors().filter_map(|actor| match actor {
            Actor::Agent(id) => Some(*id),
            Actor::Principal(_) => None,
        });
        let named = named.flat_map(|id| self.chain(id).flatten().map(|(id, _)| id));
        above.chain(named).collect()
    }

    /// The policy of an agent, if it has one. [`PolicyMissing`] where it names one that
    /// is not in the state.
    pub fn policy(&self, agent: AgentId) -> Result<Option<(PolicyUsed, &Policy)>, PolicyMissing> {
        self.agents.get(&agent).map_or(Ok(None), |agent| self.policy_of(agent))
    }

    /// Which policy an agent has, if it has one that is in the state.
    pub fn policy_used(&self, agent: AgentId) -> Option<PolicyUsed> {
        self.policy(agent).ok().flatten().map(|(used, _)| used)
    }

    /// On whose behalf an agent acts.
    pub fn principal(&self, agent: AgentId) -> Option<PrincipalId> {
        self.agents.get(&agent)?.principal
    }

    fn policy_of(&self, agent: &Agent) -> Result<Option<(PolicyUsed, &Policy)>, PolicyMissing> {
        let Some(id) = agent.policy else { return Ok(None) };
        let (version, policy) = self.policies.get(&id).ok_or(PolicyMissing)?;
        Ok(Some((PolicyUsed { id, version: *version }, policy)))
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
            Change::Grant(index, grant) => {
                // An index is never given to another.
                self.grants.entry(index).or_insert(grant);
            }
            Change::Issuer(issuer) => self.issuer = issuer,
            Change::RevokedCapability(id, expires) => self.taken_back.insert(id, expires),
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
        // Copied whole and then thinned out: to put what comes in the order of one map into a
        // smaller one with the same hash takes a time that grows with the square.
        let mut principals = self.principals.clone();
        principals.retain(|_, standing| tells(standing));
        principals.values_mut().for_each(|standing| *standing = kept(standing));
        let mut agents = self.agents.clone();
        agents.retain(|_, agent| tells(&agent.standing));
        agents.values_mut().for_each(|agent| agent.standing = kept(&agent.standing));
        let mut capabilities = self.capabilities.clone();
        capabilities.values_mut().for_each(|actions| {
            actions.retain(|_, standing| tells(standing));
            actions.values_mut().for_each(|standing| *standing = kept(standing));
        });
        capabilities.retain(|_, actions| !actions.is_empty());
        let mut fresh = Self {
            fleet: kept(&self.fleet),
            principals,
            agents,
            capabilities,
            tokens: self.tokens.clone(),
            taken_back: self.taken_back.clone(),
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
