//! The log of the keys that sign updates: one step after the other.

use kya_core::{PublicKey, Revision};

use super::{Cause, Committed};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAction {
    /// The next key counts, too; the active one goes on signing.
    Announced,
    /// The next key signs.
    Activated,
    /// The key before counts no more.
    Retired,
    /// What was announced and retired until now is not sent any more: every
    /// configuration pins the active key.
    Compacted,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStep {
    /// What was done, and how the keys are since.
    pub change: KeyChange,
    /// When, and as which revision.
    pub committed: Committed,
    /// By whom, and why.
    pub cause: Cause,
}

/// How the keys are from a step on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// What was done.
    pub action: KeyAction,
    /// Serial of the newest `Keys` update; 0 before the first.
    pub serial: u64,
    /// The key that signs.
    pub active: PublicKey,
    /// The keys that count, `active` among them.
    pub counting: Vec<PublicKey>,
    /// The encoded `SignedUpdate` that tells proxies so, where one does.
    pub signed: Option<Vec<u8>>,
}

/// A step that is to be taken.
#[derive(Debug, Clone)]
pub struct NewKeyStep {
    /// What is to be done.
    pub change: KeyChange,
    /// Revision of the step that it follows, 0 for the first: it is refused
    /// where another was taken meanwhile.
    pub follows: Revision,
}

impl KeyAction {
    /// The stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Activated => "activated",
            Self::Retired => "retired",
            Self::Compacted => "compacted",
        }
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Announced, Self::Activated, Self::Retired, Self::Compacted]
            .into_iter()
            .find(|action| action.name() == name)
    }
}

impl KeyChange {
    /// The key that the step is about: the one that is new, or the one that is
    /// left.
    pub fn subject(&self) -> PublicKey {
        match self.action {
            KeyAction::Announced => {
                self.counting.iter().copied().find(|key| *key != self.active).unwrap_or(self.active)
            }
            _ => self.active,
        }
    }
}
