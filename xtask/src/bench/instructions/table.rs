//! The figures as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What one scenario costs, as far as the table says it.
#[derive(Debug, Deserialize)]
pub(super) struct Figures {
    what: String,
    instructions: u64,
    host_calls: BTreeMap<String, u64>,
    bytes_to_host: u64,
    bytes_to_guest: u64,
}

impl Figures {
    /// Reads those of all scenarios.
    pub(super) fn read(json: &str) -> Result<Vec<Self>> {
        serde_json::from_str(json).context("these are no figures of `bench instructions`")
    }
}

/// A row for each scenario.
pub(super) fn markdown(all: &[Figures]) -> String {
    let mut text =
        "| what happens | instructions | calls of the proxy | bytes to it | bytes from it |\n\
                    |---|---:|---:|---:|---:|\n"
            .to_owned();
    for it in all {
        let calls: u64 = it.host_calls.values().sum();
        let instructions = grouped(it.instructions);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {instructions} | {calls} | {} | {} |",
            it.what,
            grouped(it.bytes_to_host),
            grouped(it.bytes_to_guest)
        );
    }
    text
}

/// The number with a space before every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_a_row() {
        let json = r#"[{"scenario": "s", "what": "a request", "instructions": 12345, "blocks": 1,
            "host_calls": {"a": 2, "b": 1}, "bytes_to_host": 10, "bytes_to_guest": 1000, "callbacks": {}}]"#;
        let table = markdown(&Figures::read(json).unwrap());
        assert_eq!(table.lines().last(), Some("| a request | 12 345 | 3 | 10 | 1 000 |"));
        assert!(Figures::read("{}").is_err());
    }

    #[test]
    fn digits_are_in_threes_from_the_right() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1 000"), (12_345, "12 345"), (1_234_567, "1 234 567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
