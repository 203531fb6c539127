//! What the documentation of actions says.

use std::path::Path;

use kya_core::action::{ActionMap, Route};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The rows of every table below this heading, up to the next one: a cell each.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_rule_that_is_shown_is_one() {
    let text = read("docs/actions.md");
    let rows = rows(&text, "Rules");
    assert_eq!(rows.len(), 6);
    let rules = rows.iter().map(|row| {
        let route: Route = quoted(&row[0])[0].parse().unwrap();
        (route, "a".parse().unwrap())
    });
    assert_eq!(ActionMap::new(rules.collect()).unwrap().len(), 6);
}

#[test]
fn rules_that_are_shown_not_to_go_together_do_not() {
    let text = read("docs/actions.md");
    let rows = rows(&text, "Precedence");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let rules: Vec<_> = quoted(&row[0])
            .into_iter()
            .map(|route| (route.parse::<Route>().unwrap(), "a".parse().unwrap()))
            .collect();
        assert_eq!(rules.len(), 2);
        assert!(ActionMap::new(rules).is_err(), "{row:?}");
    }
}

#[test]
fn every_trick_names_its_test() {
    let text = read("docs/actions.md");
    let tests =
        ["mod", "rules", "tricks"].map(|it| read(&format!("core/src/action/map_tests/{it}.rs")));
    let tests = tests.concat();
    let rows = rows(&text, "Tricks, and what becomes of them");
    assert!(rows.len() > 20, "{} tricks", rows.len());
    for row in rows {
        let test = quoted(row.last().unwrap())[0].to_owned();
        assert!(tests.contains(&format!("#[test]\nfn {test}()")), "there is no test {test}");
    }
}
