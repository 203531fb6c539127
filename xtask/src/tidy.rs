//! `cargo xtask tidy`: what no compiler checks.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use kya_envoy::Artifacts;

use crate::command::output;
use crate::links::Links;
use crate::named_tests::NamedTests;
use crate::test_programs;

/// A file is one idea; past this many lines it is two.
const MOST_LINES: usize = 400;
/// How a file begins that nobody writes.
const GENERATED: &str = "// This file is @generated";

// In pieces, so that this file does not find itself.
const LEFT_OVERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("db", "g!(")];

const HOMES: [&str; 3] = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/")];

const TEXT: [&str; 9] = ["rs", "toml", "yaml", "yml", "proto", "md", "sql", "sh", "json"];

/// Checks every file that git knows or would add.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    let root = artifacts.root();
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let listed = output(&mut git)?;

    let foreign = paths_of_this_machine(root);
    let (mut findings, mut named_tests) = (Vec::new(), NamedTests::default());
    let mut links = Links::default();
    let listed: Vec<_> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    for &path in &listed {
        // A file that is deleted but not yet committed is still listed.
        let Ok(bytes) = fs::read(root.join(path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        findings.extend(check(path, &text, &foreign));
        if path.ends_with("/tests/main.rs") {
            findings.extend(test_programs::left_out(path, &text, &listed));
        }
        if path.ends_with(".md") {
            findings.extend(named_tests.missing(root, path, &text));
            findings.extend(links.dead(root, path, &text));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("the tree is untidy:\n  {}", findings.join("\n  "));
}

/// Paths that mean something only here.
fn paths_of_this_machine(root: &Path) -> Vec<String> {
    let mut paths: Vec<String> = HOMES.map(str::to_owned).to_vec();
    if let Some(parent) = root.parent().filter(|parent| parent.parent().is_some()) {
        paths.push(format!("{}/", parent.display()));
    }
    paths
}

/// What is wrong with one file, a line each.
fn check(path: &str, text: &str, foreign: &[String]) -> Vec<String> {
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let mut findings = Vec::new();
    let mut found = |line: usize, what: String| findings.push(format!("{path}:{line}: {what}"));

    let is_test =
        path.contains("/tests/") || path.contains("_tests/") || path.ends_with("_tests.rs");
    let lines = text.lines().count();
    let is_written = !is_test && !text.starts_with(GENERATED);
    if extension == "rs" && is_written && lines > MOST_LINES {
        found(lines, format!("more than {MOST_LINES} lines: split it by ideas"));
    }
    if TEXT.contains(&extension) && !text.is_empty() && !text.ends_with('\n') {
        found(lines, "no newline at the end".to_owned());
    }
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if TEXT.contains(&extension) && line.ends_with([' ', '\t']) {
            found(number, "white space at the end of the line".to_owned());
        }
        if TEXT.contains(&extension)
            && let Some(mark) = LEFT_OVERS.iter().find(|mark| line.contains(**mark))
        {
            found(number, format!("a left-over: {mark}"));
        }
        if let Some(place) = foreign.iter().find(|place| names(line, place)) {
            found(number, format!("a path of one machine: {place}"));
        }
    }
    findings
}

/// Whether a line names this absolute path, and not a relative one that ends like
/// it.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(path, text, &["/build/area/".to_owned()])
    }

    #[test]
    fn a_tidy_file_is_passed_over() {
        assert_eq!(findings("core/src/lib.rs", "fn main() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn long_files_are_found_unless_they_are_tests() {
        let long = "x\n".repeat(MOST_LINES + 1);
        assert!(findings("core/src/lib.rs", &long)[0].contains("split it"));
        assert!(findings("core/src/lib_tests.rs", &long).is_empty());
        let generated = format!("{GENERATED} by prost-build.\n{long}");
        assert!(findings("core/src/wire/kya.v1.rs", &generated).is_empty());
        assert!(findings("core/tests/all.rs", &long).is_empty());
        assert!(findings("core/src/lib_tests/all.rs", &long).is_empty());
    }

    #[test]
    fn left_overs_and_paths_of_one_machine_are_found() {
        let text = format!("ok\n// {} later\nlet p = \"/build/area/x\";\n", LEFT_OVERS[0]);
        let found = findings("a.rs", &text);
        assert!(found[0].starts_with("a.rs:2: a left-over"), "{found:?}");
        assert!(found[1].starts_with("a.rs:3: a path of one machine"), "{found:?}");
        assert!(findings("a.md", "see `src/build/area/x.rs`\n").is_empty());
    }

    #[test]
    fn sloppy_line_ends_are_found() {
        let found = findings("a.toml", "a = 1 \nb = 2");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
