//! What an index leads to, of a record.

use kya_core::audit::Entry;

use super::acts;

/// What an index leads to, of a record.
pub(super) struct Columns {
    pub(super) kind: &'static str,
    pub(super) agent_id: Option<String>,
    pub(super) act: Option<String>,
    pub(super) kill_id: Option<String>,
    pub(super) is_a_kill: bool,
}

impl Columns {
    pub(super) fn of(entry: &Entry) -> Self {
        let kill_id = entry.kill_id().map(str::to_owned);
        Self {
            kind: entry.type_name(),
            agent_id: entry.agent_id().map(str::to_owned),
            act: entry.act().map(str::to_owned),
            is_a_kill: kill_id.is_some() || entry.act().is_some_and(acts::stops),
            kill_id,
        }
    }
}
