//! Lag: whether a worker needs help.

use kya_core::Position;

use crate::lead::roster::Roster;

/// Ticks for which a worker may be behind before it is helped; each help that is
/// none doubles them.
const PATIENCE: u32 = 4;
/// A minute.
const MAX_PATIENCE: u32 = 240;

/// Not whether every worker is at the newest position, which under a stream of
/// changes none may ever be, but whether each comes forward.
#[derive(Debug)]
pub struct Lag {
    /// A position that every worker is expected to reach.
    mark: Option<Position>,
    /// For how many ticks one has not.
    ticks: u32,
    patience: u32,
}

impl Default for Lag {
    fn default() -> Self {
        Self { mark: None, ticks: 0, patience: PATIENCE }
    }
}

impl Lag {
    /// Called at every tick: whether a worker has been behind for so long that a
    /// manifest may help it.
    pub fn calls_for_help(&mut self, roster: &Roster, newest: Option<Position>) -> bool {
        if !self.mark.is_some_and(|mark| roster.lags(mark)) {
            *self = Self { mark: newest, ..Self::default() };
            return false;
        }
        self.ticks = self.ticks.saturating_add(1);
        if self.ticks < self.patience {
            return false;
        }
        self.ticks = 0;
        self.patience = self.patience.saturating_mul(2).min(MAX_PATIENCE);
        true
    }
}
