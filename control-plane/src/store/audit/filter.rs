//! Which records are asked for.

use crate::time::UnixMicros;

use super::StoredLine;

/// Most records that are looked at for one page. Where few of them are asked for, a page
/// is short and says where the next one begins.
pub const SCANNED_A_PAGE: u64 = 100_000;
/// The same of records that an index leads to: they are anywhere.
pub const LED_TO_A_PAGE: u32 = 10_000;

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// From the first on.
    #[default]
    OldestFirst,
    /// From the last back.
    NewestFirst,
}

/// Which records are asked for: those that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFilter {
    /// About this agent.
    pub agent_id: Option<String>,
    /// That happened then or later.
    pub since: Option<UnixMicros>,
    /// That happened before.
    pub until: Option<UnixMicros>,
    /// Of requests that would have done this.
    pub action: Option<String>,
    /// Of requests that were answered like this.
    pub decision: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Of this act.
    pub act: Option<String>,
    /// Of this kill.
    pub kill_id: Option<String>,
    /// In which order.
    pub order: Order,
    /// With a number from this on.
    pub first: u64,
    /// With a number up to this.
    pub last: u64,
    /// Whether what else must be shown is, too: the keys of the trail, and what was
    /// archived. Of kills the second rows are, whatever agents they list.
    pub with_seams: bool,
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// The records.
    pub lines: Vec<StoredLine>,
    /// From which number on, or back, it goes on; `None` at the end.
    pub next: Option<u64>,
}

impl RecordFilter {
    /// Everything from `first` to `last`.
    pub fn all(first: u64, last: u64) -> Self {
        Self { first, last, ..Self::default() }
    }

    /// Whether every record in its range fits.
    pub fn is_all(&self) -> bool {
        let Self { agent_id, action, decision, kind, act, kill_id, since, until, .. } = self;
        [agent_id, action, decision, kind, act, kill_id].into_iter().all(Option::is_none)
            && since.is_none()
            && until.is_none()
    }

    /// Whether an index leads to what is asked for.
    pub(super) fn leads(&self) -> bool {
        let is_found = self.agent_id.is_some() || self.kill_id.is_some() || self.act.is_some();
        is_found && !self.with_seams
    }
}
