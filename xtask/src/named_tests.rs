//! Tests that the documentation names: `path/to/file.rs::name`, and after one of
//! these in the same line `::name` for another of the same file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What documentation names and the tree does not have, a line each.
#[derive(Debug, Default)]
pub(crate) struct NamedTests {
    /// The sources that were read, by path; `None` where there is no such file.
    sources: HashMap<String, Option<String>>,
}

impl NamedTests {
    /// Looks for every test that `text`, the file at `path`, names.
    pub(crate) fn missing(&mut self, root: &Path, path: &str, text: &str) -> Vec<String> {
        let mut missing = Vec::new();
        for (index, line) in text.lines().enumerate() {
            for (file, name) in named(line) {
                let source = self.source(root, file);
                let what = match source {
                    None => format!("there is no {file}"),
                    Some(source) if !has_test(source, name) => format!("{file} has no `{name}`"),
                    Some(_) => continue,
                };
                missing.push(format!("{path}:{}: {what}", index + 1));
            }
        }
        missing
    }

    fn source(&mut self, root: &Path, file: &str) -> Option<&str> {
        let read = || fs::read_to_string(root.join(file)).ok();
        self.sources.entry(file.to_owned()).or_insert_with(read).as_deref()
    }
}

/// The tests that a line names, with their files.
fn named(line: &str) -> Vec<(&str, &str)> {
    let mut last = None;
    let mut found = Vec::new();
    // What is between backticks is every other part.
    for quoted in line.split('`').skip(1).step_by(2) {
        let Some((file, name)) = quoted.split_once("::") else { continue };
        if file.ends_with(".rs") {
            last = Some(file);
        } else if !file.is_empty() {
            continue;
        }
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if let Some(file) = last.filter(|_| is_name) {
            found.push((file, name));
        }
    }
    found
}

fn has_test(source: &str, name: &str) -> bool {
    // Those that run on several stores are generic.
    ["(", "<"].iter().any(|after| source.contains(&format!("fn {name}{after}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_with_its_file_or_after_one_of_the_same() {
        let line = "| x | `a/b.rs::one`, `::two` and `Type::new` `c.rs` (all) `d.rs::three` |";
        assert_eq!(named(line), [("a/b.rs", "one"), ("a/b.rs", "two"), ("d.rs", "three")]);
        assert!(named("`::nothing` before it").is_empty());
    }

    #[test]
    fn what_is_not_there_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.rs"), "#[test]\nfn it_is_there() {}\nfn so_is_it<F>() {}\n")
            .unwrap();
        let text = "`a.rs::it_is_there` `a.rs::so_is_it`\n`a.rs::it_was_there`, `::it_is_there` `b.rs::any`\n";
        let missing = NamedTests::default().missing(dir.path(), "x.md", text);
        let expected = ["x.md:2: a.rs has no `it_was_there`", "x.md:2: there is no b.rs"];
        assert_eq!(missing, expected);
    }
}
