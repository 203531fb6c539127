//! What the filter does at a request, and at news: instructions, calls of the proxy, bytes.
//! [Method](../../../../docs/performance.md#instructions).

mod callgrind;
mod table;

use std::fs;

use anyhow::{Context as _, Result};
use kya_envoy::{Artifacts, Profile};

use self::table::Figures;
use super::page;
use crate::build;
use crate::command::{self, cargo};

/// Where the figures are committed.
const BASELINE: &str = "docs/benchmarks/instructions.json";
/// The page that shows them, between marks of this name.
const PAGE: &str = "docs/performance.md";
const MARKS: &str = "instructions";

/// Options of `cargo xtask bench instructions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print the figures as JSON on stdout, with each call of the proxy by name.
    #[arg(long)]
    json: bool,
    /// Make these the figures that are committed and compared with: writes
    /// docs/benchmarks/instructions.json and the table in docs/performance.md.
    #[arg(long)]
    accept: bool,
    /// Count the instructions of native code instead, operation by operation, with
    /// valgrind's callgrind. Nothing is compared.
    #[arg(long, conflicts_with = "accept")]
    callgrind: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let artifacts = Artifacts::new(Profile::Debug);
    if options.callgrind {
        return callgrind::run(&artifacts, options.json);
    }
    build::filter(&artifacts)?;
    let mut measure = cargo(&artifacts, &["run", "-q", "-p", "kya-host-tests"]);
    let json = command::output(measure.args(["--example", "instructions"]))?;
    let figures = Figures::read(&json)?;
    if options.accept {
        accept(&artifacts, &json, &figures)?;
    }
    match options.json {
        true => print!("{json}"),
        false => print!("{}", table::markdown(&figures)),
    }
    Ok(())
}

fn accept(artifacts: &Artifacts, json: &str, figures: &[Figures]) -> Result<()> {
    let (baseline, page) = (artifacts.root().join(BASELINE), artifacts.root().join(PAGE));
    let before = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let after = page::filled(&before, MARKS, &table::markdown(figures))?;
    fs::create_dir_all(baseline.parent().context("a file is in a folder")?)?;
    fs::write(&baseline, json).with_context(|| baseline.display().to_string())?;
    fs::write(&page, after).with_context(|| page.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_the_figures_that_are_committed() {
        let artifacts = Artifacts::debug();
        let read = |path| fs::read_to_string(artifacts.root().join(path)).unwrap();
        let figures = Figures::read(&read(BASELINE)).unwrap();
        let page = read(PAGE);
        let expected = page::filled(&page, MARKS, &table::markdown(&figures)).unwrap();
        assert_eq!(page, expected, "write both with `cargo xtask bench instructions --accept`");
    }
}
