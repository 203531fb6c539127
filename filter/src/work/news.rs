//! What has changed in the state of a worker.

use kya_core::Change;

/// What changed since somebody asked last.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum News {
    /// Nothing.
    #[default]
    None,
    /// These records.
    Changes(Vec<Change>),
    /// Anything may have.
    Everything,
}

impl News {
    /// Most changes that are kept apart; more are everything.
    const MAX: usize = 8192;

    /// More has changed.
    pub(super) fn add(&mut self, changes: &[Change]) {
        match self {
            Self::None => *self = Self::Changes(changes.to_vec()),
            Self::Changes(known) if known.len() < Self::MAX => known.extend_from_slice(changes),
            Self::Changes(_) | Self::Everything => *self = Self::Everything,
        }
    }
}
