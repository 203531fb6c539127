//! How the keys are, by the log of the steps.

use kya_core::wire::SignedUpdate;
use kya_core::{PublicKey, Revision};
use prost::Message;

use crate::store::{KeyAction, KeyStep, StoreError};

/// A `Keys` update that leads from a key that was pinned once to the one that
/// signs now.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its serial.
    pub serial: u64,
    /// The update.
    pub update: SignedUpdate,
}

/// The keys after some steps.
#[derive(Debug, Clone)]
pub struct KeyState {
    /// The key that signs.
    pub active: PublicKey,
    /// The keys that count.
    pub counting: Vec<PublicKey>,
    /// The keys that counted once, and do not now.
    pub retired: Vec<PublicKey>,
    /// Serial of the newest `Keys` update.
    pub serial: u64,
    /// What every proxy is sent first.
    pub chain: Vec<Link>,
    /// All steps, oldest first.
    pub steps: Vec<KeyStep>,
}

/// Where a replacement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One key counts.
    Steady,
    /// Two count, and the old one signs.
    Announced {
        /// The new one.
        next: PublicKey,
    },
    /// Two count, and the new one signs.
    Activated {
        /// The old one.
        previous: PublicKey,
    },
}

impl Phase {
    /// The shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Announced { .. } => "announced",
            Self::Activated { .. } => "activated",
        }
    }
}

impl KeyState {
    /// The keys after these steps. Before the first, `first` signs alone.
    pub fn new(first: PublicKey, steps: Vec<KeyStep>) -> Result<Self, StoreError> {
        let mut chain = Vec::new();
        let mut known = vec![first];
        for KeyStep { change, .. } in &steps {
            known.extend(&change.counting);
            if change.action == KeyAction::Compacted {
                chain.clear();
            }
            chain.extend(link(change.serial, change.signed.as_deref())?);
        }
        let (active, counting, serial) = match steps.last() {
            Some(KeyStep { change, .. }) => (change.active, change.counting.clone(), change.serial),
            None => (first, vec![first], 0),
        };
        let mut retired: Vec<PublicKey> = Vec::new();
        for key in known {
            if !counting.contains(&key) && !retired.contains(&key) {
                retired.push(key);
            }
        }
        Ok(Self { active, counting, retired, serial, chain, steps })
    }

    /// Where a replacement stands.
    pub fn phase(&self) -> Phase {
        let other = self.counting.iter().copied().find(|key| *key != self.active);
        let announced = |step: &&KeyStep| {
            matches!(step.change.action, KeyAction::Announced | KeyAction::Activated)
        };
        match (other, self.steps.iter().rev().find(announced)) {
            (Some(next), Some(step)) if step.change.action == KeyAction::Announced => {
                Phase::Announced { next }
            }
            (Some(previous), _) => Phase::Activated { previous },
            (None, _) => Phase::Steady,
        }
    }

    /// Revision of the last step, 0 before the first.
    pub fn revision(&self) -> Revision {
        self.steps.last().map(|step| step.committed.position.revision).unwrap_or_default()
    }
}

/// The update of a step, if it has one.
pub(crate) fn link(serial: u64, signed: Option<&[u8]>) -> Result<Option<Link>, StoreError> {
    let read = |bytes: &[u8]| {
        let update = SignedUpdate::decode(bytes).map_err(|error| {
            StoreError::Corrupt(format!("the keys of serial {serial}: {error}"))
        })?;
        Ok(Link { serial, update })
    };
    signed.map(read).transpose()
}
