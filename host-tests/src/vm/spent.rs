//! What a guest has cost its host, and what went over the boundary between the two.

use std::collections::BTreeMap;

/// What calls into a VM have cost since it started; all of it is the same in every run.
/// What something costs is [what was spent since](Self::since) before it.
///
/// Nothing of it is counted of a program that is
/// [unmetered](crate::Program::unmetered).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// Fuel by the export that was called: about one unit an instruction. A call of the
    /// host is one instruction, whatever it does.
    pub callbacks: BTreeMap<&'static str, u64>,
    /// How often the guest called the host, by the name of the call.
    pub host_calls: BTreeMap<&'static str, u64>,
    /// Bytes that host calls have copied out of the memory of the guest.
    pub bytes_to_host: u64,
    /// Bytes that host calls have copied into the memory of the guest.
    pub bytes_to_guest: u64,
    /// How often the host had the guest allocate memory, to return something in.
    pub blocks: u64,
}

impl Spent {
    /// Fuel of all calls together.
    pub fn fuel(&self) -> u64 {
        self.callbacks.values().sum()
    }

    /// What was spent since this was all.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            callbacks: more(&self.callbacks, &earlier.callbacks),
            host_calls: more(&self.host_calls, &earlier.host_calls),
            bytes_to_host: self.bytes_to_host - earlier.bytes_to_host,
            bytes_to_guest: self.bytes_to_guest - earlier.bytes_to_guest,
            blocks: self.blocks - earlier.blocks,
        }
    }
}

/// By how much each is more than it was, where it is.
fn more(
    now: &BTreeMap<&'static str, u64>,
    earlier: &BTreeMap<&'static str, u64>,
) -> BTreeMap<&'static str, u64> {
    let grown = |(name, count): (&&'static str, &u64)| {
        let by = count - earlier.get(name).copied().unwrap_or_default();
        (by > 0).then_some((*name, by))
    };
    now.iter().filter_map(grown).collect()
}

/// Counts it, where it is to be counted.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    on: bool,
    spent: Spent,
}

impl Counter {
    pub(super) fn new(on: bool) -> Self {
        Self { on, spent: Spent::default() }
    }

    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    pub(super) fn fuel(&mut self, export: &'static str, fuel: u64) {
        *self.spent.callbacks.entry(export).or_default() += fuel;
    }

    pub(crate) fn host_call(&mut self, name: &'static str) {
        if self.on {
            *self.spent.host_calls.entry(name).or_default() += 1;
        }
    }

    pub(crate) fn copied_to_host(&mut self, bytes: u32) {
        if self.on {
            self.spent.bytes_to_host += u64::from(bytes);
        }
    }

    pub(crate) fn copied_to_guest(&mut self, bytes: u32) {
        if self.on {
            self.spent.bytes_to_guest += u64::from(bytes);
        }
    }

    pub(crate) fn block(&mut self) {
        if self.on {
            self.spent.blocks += 1;
        }
    }
}
