//! The figures that are committed, and what is not as they say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Figures;

/// By how much of what it was a figure may rise, in percent.
const TOLERANCE: u64 = 5;
/// What makes the new figures those that are committed.
const ACCEPT: &str = "cargo xtask bench instructions --accept";

/// What is not as it was, a paragraph for each scenario.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// More than it may be, or not comparable.
    pub worse: Vec<String>,
    /// So much less that the baseline guards little.
    pub better: Vec<String>,
}

/// The figures that are committed, in `docs/benchmarks/instructions.json`.
///
/// # Panics
/// When they cannot be read, with the command that writes them.
pub fn baseline() -> Vec<Figures> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/instructions.json");
    let text = fs::read_to_string(&path).map_err(|error| error.to_string());
    text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .unwrap_or_else(|error| panic!("{}: {error}\nwrite it with: {ACCEPT}", path.display()))
}

/// Compares figures with those of the baseline. Worse is one that rose by more than 5 %, a
/// call of the proxy that is made once more, and a scenario that one of the two lacks.
pub fn differences(baseline: &[Figures], now: &[Figures]) -> Differences {
    let mut all = Differences::default();
    for figures in now {
        let before = baseline.iter().find(|before| before.scenario == figures.scenario);
        match before {
            Some(before) => all.compare(before, figures),
            None => all.worse.push(format!("{}: it has no baseline", figures.scenario)),
        }
    }
    let measured: BTreeSet<_> = now.iter().map(|figures| &figures.scenario).collect();
    let gone = baseline.iter().filter(|before| !measured.contains(&before.scenario));
    all.worse.extend(gone.map(|before| format!("{}: it is not measured", before.scenario)));
    all
}

impl Differences {
    fn compare(&mut self, before: &Figures, now: &Figures) {
        let (mut worse, mut better) = (Vec::new(), Vec::new());
        for (what, before, now) in [
            ("instructions", before.instructions, now.instructions),
            ("bytes to the proxy", before.bytes_to_host, now.bytes_to_host),
            ("bytes from the proxy", before.bytes_to_guest, now.bytes_to_guest),
        ] {
            let line = || line(what, before, now);
            if rose(before, now) {
                worse.push(line());
            } else if rose(now, before) {
                better.push(line());
            }
        }
        if !worse.is_empty() {
            worse.extend(changed("in", &before.callbacks, &now.callbacks, rose));
        }
        worse.extend(changed("", &before.host_calls, &now.host_calls, |old, new| new > old));
        better.extend(changed("", &before.host_calls, &now.host_calls, |old, new| new < old));
        let said =
            |lines: Vec<String>| format!("{} ({}): {}", now.scenario, now.what, lines.join(", "));
        if !worse.is_empty() {
            self.worse.push(said(worse));
        }
        if !better.is_empty() {
            self.better.push(said(better));
        }
    }

    /// What to do about what is worse; `None` if nothing is.
    pub fn complaint(&self) -> Option<String> {
        let worse = list(&self.worse)?;
        Some(format!(
            "the filter does more at a request, or at news, than docs/benchmarks/instructions.json says:\n\
             {worse}\n\
             If that is meant, accept the new figures and say why in the commit:\n  {ACCEPT}\n\
             Another compiler (rust-toolchain.toml) or another wasmtime moves the instructions of an \
             unchanged filter: accept those in a commit of their own."
        ))
    }

    /// What to do about what is better; `None` if nothing is.
    pub fn praise(&self) -> Option<String> {
        let better = list(&self.better)?;
        Some(format!(
            "the filter does less than docs/benchmarks/instructions.json says:\n{better}\n\
             So that it stays so, accept the new figures:\n  {ACCEPT}\n"
        ))
    }
}

fn rose(before: u64, now: u64) -> bool {
    now.saturating_mul(100) > before.saturating_mul(100 + TOLERANCE)
}

/// Figures by name that are otherwise than they were.
fn changed(
    prefix: &str,
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    is_of_note: impl Fn(u64, u64) -> bool,
) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let of = |all: &BTreeMap<String, u64>, name| all.get(name).copied().unwrap_or_default();
    names
        .into_iter()
        .map(|name| (name, of(before, name), of(now, name)))
        .filter(|(_, before, now)| is_of_note(*before, *now))
        .map(|(name, before, now)| line(format!("{prefix} {name}").trim(), before, now))
        .collect()
}

fn line(what: &str, before: u64, now: u64) -> String {
    let by = i128::from(now) - i128::from(before);
    match before {
        0 => format!("{what} {before} -> {now} ({by:+})"),
        _ => format!("{what} {before} -> {now} ({by:+}, {:+} %)", by * 100 / i128::from(before)),
    }
}

fn list(paragraphs: &[String]) -> Option<String> {
    (!paragraphs.is_empty()).then(|| format!("  {}", paragraphs.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(instructions: u64, calls: &[(&str, u64)]) -> Figures {
        let named =
            |all: &[(&str, u64)]| all.iter().map(|(name, n)| ((*name).into(), *n)).collect();
        Figures {
            scenario: "s".into(),
            what: "what happens".into(),
            instructions,
            host_calls: named(calls),
            bytes_to_host: 100,
            bytes_to_guest: 100,
            blocks: 1,
            callbacks: named(&[("proxy_on_log", instructions)]),
        }
    }

    fn compared(before: &Figures, now: &Figures) -> Differences {
        differences(std::slice::from_ref(before), std::slice::from_ref(now))
    }

    #[test]
    fn a_rise_of_more_than_five_percent_is_worse_and_such_a_fall_better() {
        let before = figures(1_000, &[]);
        assert_eq!(compared(&before, &figures(1_050, &[])), Differences::default());
        assert_eq!(compared(&before, &figures(953, &[])), Differences::default());
        let worse = compared(&before, &figures(1_051, &[]));
        let expected = "s (what happens): instructions 1000 -> 1051 (+51, +5 %), \
                        in proxy_on_log 1000 -> 1051 (+51, +5 %)";
        assert_eq!((worse.worse, worse.better), (vec![expected.to_owned()], vec![]));
        let better = compared(&before, &figures(900, &[]));
        let expected = "s (what happens): instructions 1000 -> 900 (-100, -10 %)";
        assert_eq!((better.worse, better.better), (vec![], vec![expected.to_owned()]));
        let more = Figures { bytes_to_guest: 106, ..before.clone() };
        assert!(compared(&before, &more).worse[0].contains("bytes from the proxy 100 -> 106"));
        let more = Figures { bytes_to_host: 106, ..before.clone() };
        assert!(compared(&before, &more).worse[0].contains("bytes to the proxy 100 -> 106"));
    }

    #[test]
    fn one_call_of_the_proxy_more_is_worse_even_where_another_is_spared() {
        let before = figures(1_000, &[("read", 1), ("write", 2)]);
        assert_eq!(compared(&before, &before), Differences::default());
        let other = compared(&before, &figures(1_000, &[("read", 2), ("write", 1)]));
        assert_eq!(other.worse, ["s (what happens): read 1 -> 2 (+1, +100 %)"]);
        assert_eq!(other.better, ["s (what happens): write 2 -> 1 (-1, -50 %)"]);
        let new = compared(&before, &figures(1_000, &[("log", 1), ("read", 1), ("write", 2)]));
        assert_eq!(new.worse, ["s (what happens): log 0 -> 1 (+1)"]);
    }

    #[test]
    fn a_scenario_that_only_one_of_them_has_is_worse() {
        let one = figures(1, &[]);
        assert_eq!(differences(&[], std::slice::from_ref(&one)).worse, ["s: it has no baseline"]);
        assert_eq!(differences(&[one], &[]).worse, ["s: it is not measured"]);
    }

    #[test]
    fn what_is_said_names_the_command_that_accepts() {
        let worse = compared(&figures(100, &[]), &figures(200, &[]));
        assert!(worse.complaint().unwrap().contains(ACCEPT));
        assert_eq!(worse.praise(), None);
        let better = compared(&figures(200, &[]), &figures(100, &[]));
        assert!(better.praise().unwrap().contains(ACCEPT));
        assert_eq!(better.complaint(), None);
    }
}
