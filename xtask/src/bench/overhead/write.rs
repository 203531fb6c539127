//! The outcome as files: for the repository, so that nobody types a figure.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::chart::{Bar, svg};
use super::outcome::Outcome;
use super::report;
use super::variants::{BASE, BASE_AGAIN};
use crate::bench::page;

/// Writes the outcome into `dir`: `overhead.json`, the charts, and the tables as
/// `overhead.md`; and the tables into `page` between its two marks.
pub(super) fn write(outcome: &Outcome, dir: &Path, page: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("overhead.json", &(serde_json::to_string_pretty(outcome)? + "\n"))?;
    put("overhead-cpu.svg", &cpu(outcome))?;
    put("overhead-latency.svg", &latency(outcome))?;
    let text = report::markdown(outcome);
    put("overhead.md", &format!("# What a filter adds to a request\n\n{text}"))?;
    let before = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let folder = dir.file_name().and_then(|name| name.to_str()).context("a folder has a name")?;
    Ok(fs::write(page, filled(&before, &text, folder)?)?)
}

/// The page with `text` between its marks, and the charts that are in `folder`.
fn filled(page: &str, text: &str, folder: &str) -> Result<String> {
    let text = format!(
        "{text}\n\
         ![CPU of Envoy that a filter adds to a request]({folder}/overhead-cpu.svg)\n\n\
         ![Time that a filter adds to an answer]({folder}/overhead-latency.svg)\n\n\
         All figures, those of each round too: [overhead.json]({folder}/overhead.json).\n"
    );
    page::filled(page, "overhead", &text)
}

fn cpu(outcome: &Outcome) -> String {
    let rows = outcome.variants.iter().filter(|row| row.answers == "direct" && shown(row.name));
    let bars = rows.map(|row| Bar {
        what: row.what.to_owned(),
        estimate: row.added_us,
        ours: row.name.starts_with("kya"),
    });
    let title = "CPU of Envoy that a filter adds to a request";
    svg(title, "µs, with 95 % intervals", &bars.collect::<Vec<_>>())
}

fn latency(outcome: &Outcome) -> String {
    let rows = outcome.latency.iter().filter(|row| shown(row.name));
    let bars = rows.map(|row| Bar {
        what: row.what.to_owned(),
        estimate: row.added_us,
        ours: row.name.starts_with("kya"),
    });
    let title = "Time that a filter adds to the median answer";
    svg(title, "µs, with 95 % intervals", &bars.collect::<Vec<_>>())
}

/// Nothing adds nothing.
fn shown(name: &str) -> bool {
    name != BASE && name != BASE_AGAIN
}

#[cfg(test)]
mod tests {
    use kya_envoy::Artifacts;

    use super::*;

    #[test]
    fn the_page_of_this_repository_has_the_marks() {
        let page = fs::read_to_string(Artifacts::debug().root().join("docs/performance.md"));
        filled(&page.unwrap(), "text", "benchmarks").unwrap();
    }
}
