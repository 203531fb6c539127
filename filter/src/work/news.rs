//! What has changed in the state of a worker.

use kya_core::{Agent, Change, Standing};

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

    /// Whether somebody may do less than before because of it. A record does not say what
    /// was there before it, so one that says what somebody may not do always counts.
    pub fn may_stop(&self) -> bool {
        match self {
            Self::None => false,
            Self::Everything => true,
            Self::Changes(changes) => changes.iter().any(|change| match change {
                Change::Fleet(standing)
                | Change::Principal(_, standing)
                | Change::Capability(_, _, standing) => *standing != Standing::ACTIVE,
                Change::Agent(_, agent) => {
                    let Agent { standing, expires, policy, parent, .. } = agent;
                    *standing != Standing::ACTIVE
                        || expires.is_some()
                        || policy.is_some()
                        || parent.is_some()
                }
                Change::Policy(..) | Change::Issuer(_) | Change::RevokedCapability(..) => true,
                Change::Token(_, entry) => entry.revoked,
                Change::Grant(..) => false,
            }),
        }
    }

    /// More has changed.
    pub(super) fn add(&mut self, changes: &[Change]) {
        match self {
            Self::None => *self = Self::Changes(changes.to_vec()),
            Self::Changes(known) if known.len() < Self::MAX => known.extend_from_slice(changes),
            Self::Changes(_) | Self::Everything => *self = Self::Everything,
        }
    }
}
