//! Standing: what was decided about a fleet, a principal, an agent or a
//! capability.

use crate::time::UnixSeconds;

/// Whether somebody may act. Ordered: what is greater is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Status {
    /// They may.
    #[default]
    Active,
    /// Not until they are restored.
    Suspended,
    /// Never again.
    Revoked,
}

/// What becomes of requests that were allowed before, when a new standing denies
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InFlight {
    /// They may end.
    Drain,
    /// They are answered or reset at once.
    Abort,
}

/// What was decided about one level of authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may act at all.
    pub status: Status,
    /// A token counts only if it was issued after this second; 0 is no bound.
    pub not_before: UnixSeconds,
    /// What becomes of requests in flight when this standing denies them.
    pub in_flight: InFlight,
}

/// Why a standing denies a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Its status is not active.
    Status(Status),
    /// The token was not issued after the not-before.
    Superseded,
}

impl Standing {
    /// Nothing was decided: all may act.
    pub const ACTIVE: Self = Self::new(Status::Active);

    /// This status, without a bound on tokens, cutting what is in flight.
    pub const fn new(status: Status) -> Self {
        Self { status, not_before: UnixSeconds(0), in_flight: InFlight::Abort }
    }

    /// Whether a token that was issued at this second counts.
    pub fn admits(&self, issued: UnixSeconds) -> Result<(), Denied> {
        if self.status != Status::Active {
            return Err(Denied::Status(self.status));
        }
        if self.not_before > UnixSeconds(0) && issued <= self.not_before {
            return Err(Denied::Superseded);
        }
        Ok(())
    }

    /// The standing after `later` was decided on top of this one: a revocation is
    /// never undone, and a not-before never goes back.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        let not_before = self.not_before.max(later.not_before);
        if self.status == Status::Revoked && later.status != Status::Revoked {
            return Self { not_before, ..self };
        }
        Self { not_before, ..later }
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::ACTIVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn standing() -> impl Strategy<Value = Standing> {
        let status =
            prop_oneof![Just(Status::Active), Just(Status::Suspended), Just(Status::Revoked)];
        let in_flight = prop_oneof![Just(InFlight::Drain), Just(InFlight::Abort)];
        (status, 0u64..8, in_flight).prop_map(|(status, not_before, in_flight)| Standing {
            status,
            not_before: UnixSeconds(not_before),
            in_flight,
        })
    }

    #[test]
    fn a_token_counts_only_if_it_was_issued_after_the_bound() {
        let bounded = Standing { not_before: UnixSeconds(100), ..Standing::ACTIVE };
        assert_eq!(bounded.admits(UnixSeconds(99)), Err(Denied::Superseded));
        assert_eq!(bounded.admits(UnixSeconds(100)), Err(Denied::Superseded));
        assert_eq!(bounded.admits(UnixSeconds(101)), Ok(()));
        assert_eq!(Standing::ACTIVE.admits(UnixSeconds(0)), Ok(()));
    }

    proptest! {
        #[test]
        fn whatever_follows_a_revocation_or_a_bound_does_not_undo_it(
            decided in prop::collection::vec(standing(), 1..8),
            issued in 0u64..8,
        ) {
            let issued = UnixSeconds(issued);
            let end = decided.iter().fold(Standing::ACTIVE, |now, later| now.followed_by(*later));
            if decided.iter().any(|s| s.status == Status::Revoked) {
                prop_assert_eq!(end.admits(issued), Err(Denied::Status(Status::Revoked)));
            }
            let bound = decided.iter().map(|s| s.not_before).max().unwrap();
            prop_assert_eq!(end.not_before, bound);
        }
    }
}
