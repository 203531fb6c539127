//! Stops, each with an id of its own: who stopped whom or what, when, and why.
//!
//! **Invariant.** A kill is written in the transaction of the change that stops, and there
//! is at most one to a revision. It is never changed and never removed.

use async_trait::async_trait;
use kya_core::{AgentId, InFlight, KillId, Revision};

use super::{Cause, Committed, StoreError};

/// Acts that take authority away from somebody.
const STOPS: [&str; 15] = [
    "agent.revoked",
    "agent.suspended",
    "agent.tokens_revoked",
    "capability.revoked",
    "capability.suspended",
    "capability_token.revoked",
    "capability_tokens.revoked",
    "fleet.halted",
    "policy.revoked",
    "principal.revoked",
    "principal.suspended",
    "selection.revoked",
    "selection.suspended",
    "token.revoked",
    "tokens.revoked",
];

/// Most agents that the scope of a kill names.
pub const LISTED_AGENTS: u32 = 1000;

/// Whether this act stops somebody.
pub(crate) fn stops(act: &str) -> bool {
    STOPS.contains(&act)
}

/// A stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub id: KillId,
    /// Sequence of its event in the log.
    pub event: u64,
    /// The commit from which on it counts.
    pub committed: Committed,
    /// What was done, for example `agent.revoked`.
    pub act: String,
    /// Written id, or name, of whom or what it was done to, as its event has it.
    pub subject: String,
    /// Who did it, from where, and why.
    pub cause: Cause,
    /// What becomes of requests in flight.
    pub in_flight: InFlight,
}

/// Which kills are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillFilter {
    /// Those of this subject.
    pub subject: Option<String>,
    /// Those by this act.
    pub act: Option<String>,
    /// Those of this incident.
    pub incident_id: Option<String>,
}

/// What a kill reached, as it was at its instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillReach {
    /// Agents that it stopped, those that act for them included.
    pub agents: u64,
    /// Opaque tokens that counted until then: those of these agents, or those that were
    /// taken back.
    pub tokens: u64,
    /// The same of capability tokens.
    pub capability_tokens: u64,
    /// The actions that it stops; empty if all.
    pub actions: Vec<String>,
    /// The first of the agents by their ids, at most [`LISTED_AGENTS`].
    pub listed: Vec<AgentId>,
    /// Whose requests it may concern though it stops no agent: the holders of the tokens
    /// that were taken back, at most [`LISTED_AGENTS`].
    pub holders: Vec<AgentId>,
}

/// What a [`Store`](super::Store) keeps of kills.
#[async_trait]
pub trait KillStore {
    /// The kill with this id.
    async fn kill(&self, id: KillId) -> Result<Option<Kill>, StoreError>;

    /// The kill that was committed at this revision.
    async fn kill_at(&self, revision: Revision) -> Result<Option<KillId>, StoreError>;

    /// Up to `limit` kills before that one, the newest first.
    async fn kills(
        &self,
        filter: KillFilter,
        before: Option<KillId>,
        limit: u32,
    ) -> Result<Vec<Kill>, StoreError>;

    /// The kills of events with a sequence from `first` to `last`, in order.
    async fn kills_of_events(&self, first: u64, last: u64) -> Result<Vec<Kill>, StoreError>;

    /// What a kill reached, by what is known now of what was so at its instant.
    async fn kill_reach(&self, kill: &Kill) -> Result<KillReach, StoreError>;
}
