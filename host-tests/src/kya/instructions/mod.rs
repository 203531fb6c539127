//! What the compiled filter does at a request, and at news, as figures that are the same
//! in every run: instructions, calls of the proxy, and bytes that go between the two.
//!
//! Time varies with the machine and with what else it does; these do not, so that a test
//! can hold them against what they were ([`differences`]). A fixed set of scenarios is
//! measured, each in a proxy of its own, by fixed keys, tokens, clocks and random bytes.

mod baseline;
mod requests;
mod updates;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::vm::Spent;

pub use baseline::{Differences, baseline, differences};

/// Times that each scenario is measured; the one in the middle counts. What lies by itself
/// far from it is a buffer that grows.
const SAMPLES: u64 = 15;

/// What one scenario costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Its name.
    pub scenario: String,
    /// What happens in it.
    pub what: String,
    /// Fuel: about one unit an instruction. A call of the proxy is one, whatever it does.
    pub instructions: u64,
    /// Calls of the proxy, by name.
    pub host_calls: BTreeMap<String, u64>,
    /// Bytes that these have copied out of the memory of the filter.
    pub bytes_to_host: u64,
    /// Bytes that these have copied into it.
    pub bytes_to_guest: u64,
    /// Blocks of memory that the filter had to allocate for them.
    pub blocks: u64,
    /// Where the instructions are: by what the proxy has called.
    pub callbacks: BTreeMap<String, u64>,
}

/// A scenario, and how it is measured.
struct Scenario {
    name: &'static str,
    what: &'static str,
    measure: fn() -> Spent,
}

impl Figures {
    fn of(scenario: &Scenario) -> Self {
        let spent = (scenario.measure)();
        let named = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Self {
            scenario: scenario.name.to_owned(),
            what: scenario.what.to_owned(),
            instructions: spent.fuel(),
            host_calls: named(&spent.host_calls),
            bytes_to_host: spent.bytes_to_host,
            bytes_to_guest: spent.bytes_to_guest,
            blocks: spent.blocks,
            callbacks: named(&spent.callbacks),
        }
    }

    /// How many calls of the proxy there are.
    pub fn calls(&self) -> u64 {
        self.host_calls.values().sum()
    }
}

/// Measures every scenario.
///
/// # Panics
/// When the filter is not there, or does not do what a scenario says.
pub fn measure() -> Vec<Figures> {
    requests::SCENARIOS.iter().chain(&updates::SCENARIOS).map(Figures::of).collect()
}

/// The sample in the middle, by its fuel.
fn median(mut sample: impl FnMut(u64) -> Spent) -> Spent {
    let mut samples: Vec<_> = (0..SAMPLES).map(&mut sample).collect();
    samples.sort_by_key(Spent::fuel);
    samples.swap_remove(samples.len() / 2)
}
