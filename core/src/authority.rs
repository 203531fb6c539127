//! Authority: who may act, as of one position in the order of changes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use thiserror::Error;

use crate::ids::{AgentId, TokenId};
use crate::time::UnixSeconds;
use crate::token::TokenDigest;
use crate::update::{Body, Position, VerifiedUpdate};
use crate::wire;

/// What was decided about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStatus {
    /// It may act.
    Active,
    /// No new action until it is restored.
    Suspended,
    /// No action ever again.
    Revoked,
}

/// What is known of an opaque token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenGrant {
    /// Its public name.
    pub token_id: TokenId,
    /// Who holds it.
    pub agent_id: AgentId,
    /// It counts before this second, and not from it on.
    pub expires: UnixSeconds,
    /// Taken back before it expired.
    pub revoked: bool,
}

/// The state that [`decide`](crate::decide) reads. It starts empty and
/// unsynced, when everything is denied, and changes only by verified updates.
///
/// A revoked agent is one status: its tokens are not walked.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    position: Option<Position>,
    agents: HashMap<AgentId, AgentStatus>,
    tokens: HashMap<TokenDigest, TokenGrant, BuildHasherDefault<LeadingBytes>>,
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
    /// A delta that does not start where the state is: something is missing.
    #[error(
        "the delta leads to {got:?}, but the state is at {have:?}: updates are missing between"
    )]
    Gap {
        /// Position of the state, if it has one.
        have: Option<Position>,
        /// Position of the update.
        got: Position,
    },
    /// A record in it is not of the form of the protocol.
    #[error("a record of the update is malformed: {0}")]
    Malformed(&'static str),
}

impl ApplyError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotNewer { .. } => "not_newer",
            Self::Gap { .. } => "gap",
            Self::Malformed(_) => "bad_payload",
        }
    }
}

impl Authority {
    /// Where in the order of changes the state is; `None` before the first
    /// snapshot.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Applies an update, whole or not at all.
    ///
    /// A snapshot replaces everything and must be newer than the state; a delta
    /// must start exactly where the state is.
    pub fn apply(&mut self, update: &VerifiedUpdate) -> Result<(), ApplyError> {
        let got = update.position();
        if let Some(have) = self.position
            && got <= have
        {
            return Err(ApplyError::NotNewer { have, got });
        }
        match update.body() {
            Body::Snapshot { agents, tokens, .. } => {
                let mut fresh = Self { position: Some(got), ..Self::default() };
                fresh.agents = agents.iter().map(agent).collect::<Result<_, _>>()?;
                fresh.tokens = tokens.iter().map(token).collect::<Result<_, _>>()?;
                *self = fresh;
            }
            Body::Delta { changes } => {
                let follows = self.position.is_some_and(|have| {
                    have.epoch == got.epoch && have.revision.next() == got.revision
                });
                if !follows {
                    return Err(ApplyError::Gap { have: self.position, got });
                }
                // Read everything before changing anything.
                let changes = changes.iter().map(change).collect::<Result<Vec<_>, _>>()?;
                for change in changes {
                    match change {
                        Change::Agent((id, status)) => {
                            self.agents.insert(id, status);
                        }
                        Change::Token((digest, grant)) => {
                            self.tokens.insert(digest, grant);
                        }
                    }
                }
                self.position = Some(got);
            }
        }
        Ok(())
    }

    /// Forgets tokens that expired before `horizon`, and says how many. They
    /// are denied as unknown instead of expired from then on.
    pub fn forget_expired(&mut self, horizon: UnixSeconds) -> usize {
        let before = self.tokens.len();
        self.tokens.retain(|_, grant| grant.expires >= horizon);
        before.saturating_sub(self.tokens.len())
    }

    /// How many tokens the state holds.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn agent(&self, id: AgentId) -> Option<AgentStatus> {
        self.agents.get(&id).copied()
    }

    pub(crate) fn token(&self, digest: TokenDigest) -> Option<&TokenGrant> {
        self.tokens.get(&digest)
    }
}

enum Change {
    Agent((AgentId, AgentStatus)),
    Token((TokenDigest, TokenGrant)),
}

fn change(change: &wire::Change) -> Result<Change, ApplyError> {
    match &change.change {
        Some(wire::change::Change::Agent(record)) => agent(record).map(Change::Agent),
        Some(wire::change::Change::Token(record)) => token(record).map(Change::Token),
        // What is not understood may be a denial: refuse it, never skip it.
        None => Err(ApplyError::Malformed("a change of an unknown kind")),
    }
}

fn agent(record: &wire::Agent) -> Result<(AgentId, AgentStatus), ApplyError> {
    let id = AgentId::from_slice(&record.id).map_err(|_| ApplyError::Malformed("agent id"))?;
    let status = match record.status() {
        wire::AgentStatus::Active => AgentStatus::Active,
        wire::AgentStatus::Suspended => AgentStatus::Suspended,
        // A status that this version does not know is the strictest one.
        wire::AgentStatus::Revoked | wire::AgentStatus::Unspecified => AgentStatus::Revoked,
    };
    Ok((id, status))
}

fn token(record: &wire::Token) -> Result<(TokenDigest, TokenGrant), ApplyError> {
    let digest =
        TokenDigest::from_slice(&record.digest).ok_or(ApplyError::Malformed("token digest"))?;
    let grant = TokenGrant {
        token_id: TokenId::from_slice(&record.id).map_err(|_| ApplyError::Malformed("token id"))?,
        agent_id: AgentId::from_slice(&record.agent_id)
            .map_err(|_| ApplyError::Malformed("agent id of a token"))?,
        expires: UnixSeconds(record.expires_unix_seconds),
        revoked: record.revoked,
    };
    Ok((digest, grant))
}

/// A hasher for keys that are digests already: it takes their first 8 bytes.
/// Nobody can choose them without inverting SHA-256 of a token that the control
/// plane made.
#[derive(Debug, Default)]
struct LeadingBytes(u64);

impl Hasher for LeadingBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
