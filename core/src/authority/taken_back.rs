//! Capability tokens that were taken back, until they would have expired.

use std::collections::BTreeSet;

use super::HashMap;
use crate::ids::CapabilityId;
use crate::time::UnixSeconds;

/// Which capability tokens were taken back. One is remembered for as long as it could
/// count.
#[derive(Debug, Clone, Default)]
pub(super) struct TakenBack {
    expires: HashMap<CapabilityId, UnixSeconds>,
    by_expiry: BTreeSet<(UnixSeconds, CapabilityId)>,
}

impl TakenBack {
    pub(super) fn contains(&self, id: CapabilityId) -> bool {
        self.expires.contains_key(&id)
    }

    /// A token that expires then was taken back. What was said before stays if it is
    /// remembered for longer.
    pub(super) fn insert(&mut self, id: CapabilityId, expires: UnixSeconds) {
        let known = self.expires.entry(id).or_insert(expires);
        self.by_expiry.remove(&(*known, id));
        *known = expires.max(*known);
        self.by_expiry.insert((*known, id));
    }

    /// Forgets up to `limit` of those that expired before `horizon`.
    pub(super) fn forget_expired(&mut self, horizon: UnixSeconds, limit: usize) {
        for _ in 0..limit {
            match self.by_expiry.first() {
                Some((expires, _)) if *expires < horizon => {}
                _ => return,
            }
            if let Some((_, id)) = self.by_expiry.pop_first() {
                self.expires.remove(&id);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.expires.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> CapabilityId {
        CapabilityId::from_bytes([n; 16])
    }

    #[test]
    fn a_token_is_forgotten_after_the_latest_time_that_was_said_of_it() {
        let mut taken_back = TakenBack::default();
        for expires in [20, 30, 10] {
            taken_back.insert(id(1), UnixSeconds(expires));
        }
        taken_back.forget_expired(UnixSeconds(30), 9);
        assert!(taken_back.contains(id(1)));
        taken_back.forget_expired(UnixSeconds(31), 9);
        assert!(!taken_back.contains(id(1)));
        assert_eq!((taken_back.len(), taken_back.by_expiry.len()), (0, 0));
    }

    #[test]
    fn no_more_are_forgotten_at_once_than_asked_for_and_the_oldest_first() {
        let mut taken_back = TakenBack::default();
        (1..=9).for_each(|n| taken_back.insert(id(10 - n), UnixSeconds(n.into())));
        taken_back.forget_expired(UnixSeconds(8), 4);
        assert_eq!(taken_back.len(), 5);
        assert!(!taken_back.contains(id(9)) && !taken_back.contains(id(6)));
        taken_back.forget_expired(UnixSeconds(8), 4);
        assert_eq!(taken_back.len(), 2, "those of 8 and 9 are not expired before 8");
    }
}
