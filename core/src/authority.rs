//! Authority: who may act, as of one position in the order of changes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use thiserror::Error;

use crate::ids::{AgentId, TokenId};
use crate::time::UnixSeconds;
use crate::token::TokenDigest;
use crate::update::{Body, Change, Position, VerifiedUpdate};

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
/// A revoked agent is one status: its tokens are not walked. A revocation that
/// was applied is never undone, whatever comes later.
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
}

impl ApplyError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotNewer { .. } => "not_newer",
            Self::Gap { .. } => "gap",
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
                for (id, status) in agents {
                    fresh.agents.insert(*id, self.stricter_agent(*id, *status));
                }
                for (digest, grant) in tokens {
                    fresh.tokens.insert(*digest, self.stricter_token(digest, *grant));
                }
                *self = fresh;
            }
            Body::Delta { changes } => {
                let follows = self.position.is_some_and(|have| {
                    have.epoch == got.epoch && have.revision.next() == got.revision
                });
                if !follows {
                    return Err(ApplyError::Gap { have: self.position, got });
                }
                for change in changes {
                    match change {
                        Change::Agent(id, status) => {
                            let status = self.stricter_agent(*id, *status);
                            self.agents.insert(*id, status);
                        }
                        Change::Token(digest, grant) => {
                            let grant = self.stricter_token(digest, *grant);
                            self.tokens.insert(*digest, grant);
                        }
                    }
                }
                self.position = Some(got);
            }
        }
        Ok(())
    }

    /// Revocation is final: not even a store that was put back from a backup
    /// brings an agent back where its revocation is known.
    fn stricter_agent(&self, id: AgentId, new: AgentStatus) -> AgentStatus {
        match self.agents.get(&id) {
            Some(AgentStatus::Revoked) => AgentStatus::Revoked,
            _ => new,
        }
    }

    fn stricter_token(&self, digest: &TokenDigest, new: TokenGrant) -> TokenGrant {
        let revoked = new.revoked || self.tokens.get(digest).is_some_and(|known| known.revoked);
        TokenGrant { revoked, ..new }
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
