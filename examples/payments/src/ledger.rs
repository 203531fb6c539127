//! What was charged and refunded, by whom.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

/// How many entries are kept; older ones are forgotten.
const KEPT: usize = 1000;

/// Direction of a payment.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Charge,
    Refund,
}

/// One payment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// `ch_` or `re_` and its number, from 1.
    id: String,
    kind: Kind,
    /// In cents.
    amount: u64,
    currency: String,
    description: Option<String>,
    /// The agent that the proxy named.
    agent_id: String,
    /// RFC 3339, UTC, with milliseconds.
    at: String,
}

/// Body of `GET /v1/ledger`.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// How many there were since the start.
    total: u64,
    /// The last of them, oldest first.
    entries: Vec<Entry>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    total: u64,
    entries: VecDeque<Entry>,
}

impl Ledger {
    pub(crate) fn enter(
        &mut self,
        kind: Kind,
        amount: u64,
        currency: String,
        description: Option<String>,
        agent_id: String,
    ) -> Entry {
        self.total += 1;
        let prefix = match kind {
            Kind::Charge => "ch",
            Kind::Refund => "re",
        };
        let id = format!("{prefix}_{:06}", self.total);
        let entry = Entry { id, kind, amount, currency, description, agent_id, at: now() };
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry.clone());
        entry
    }

    pub(crate) fn page(&self) -> Page {
        Page { total: self.total, entries: self.entries.iter().cloned().collect() }
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
