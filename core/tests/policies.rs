//! Policies as they are written: the examples, those of the documentation, and
//! what YAML makes of a document.

use std::path::{Path, PathBuf};

use kya_core::policy::{Policy, PolicyDocument};
use serde_saphyr::options::MergeKeyPolicy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads YAML as whoever takes policies from outside is to read it: no aliases, no
/// merges.
fn yaml(text: &str) -> Result<PolicyDocument, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_aliases: 0, max_anchors: 0, max_documents: 1 },
        merge_keys: MergeKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

fn policy(text: &str) -> Policy {
    yaml(text).unwrap().check().unwrap()
}

#[test]
fn every_example_is_a_policy_called_like_its_file() {
    let mut seen = 0;
    for file in std::fs::read_dir(root().join("examples/policies")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let document = match path.extension().and_then(|it| it.to_str()) {
            Some("yaml") => yaml(&text).unwrap(),
            Some("json") => serde_json::from_str(&text).unwrap(),
            _ => continue,
        };
        let policy = document.check().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(policy.name().as_str().starts_with(stem), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

/// The blocks of a Markdown text that are of this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    text.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_policy_of_the_documentation_is_one() {
    let text = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let yamls = blocks(&text, "yaml");
    assert!(yamls.len() >= 3, "{} examples", yamls.len());
    for block in yamls {
        yaml(block).unwrap().check().unwrap_or_else(|error| panic!("{error}:\n{block}"));
    }
    for block in blocks(&text, "json") {
        let document: PolicyDocument = serde_json::from_str(block).unwrap();
        document.check().unwrap_or_else(|error| panic!("{error}:\n{block}"));
    }
}

#[test]
fn the_canonical_form_of_the_documentation_is_that_of_its_first_policy() {
    let text = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let canonical = serde_json::to_string(&policy(blocks(&text, "yaml")[0]).to_document()).unwrap();
    // Broken into lines there, at places without spaces.
    let shown = blocks(&text, "json")[0].replace('\n', "");
    assert_eq!(shown, canonical);
}

#[test]
fn yaml_and_json_of_one_policy_mean_the_same() {
    let json = r#"{"name": "a", "allow": ["*"], "daily_limit": "500.00", "currency": "EUR",
        "max_staleness": {"*": "60s"}}"#;
    let text =
        "name: a\nallow: ['*']\ndaily_limit: 500.00\ncurrency: EUR\nmax_staleness:\n  '*': 60s\n";
    assert_eq!(serde_json::from_str::<PolicyDocument>(json).unwrap(), yaml(text).unwrap());
}

#[test]
fn an_amount_without_quotes_is_as_exact_as_it_is_written() {
    for (written, minor_units) in
        [("500.00", 50_000), ("9999999999999.99", 999_999_999_999_999), ("1.15", 115), ("7", 700)]
    {
        let text = format!("name: a\ndaily_limit: {written}\ncurrency: EUR\n");
        assert_eq!(policy(&text).daily_limit().unwrap().minor_units, minor_units, "{written}");
    }
    for written in ["1e3", "0x10", "1_000", ".inf", "~", "-1", "''"] {
        let text = format!("name: a\ndaily_limit: {written}\ncurrency: EUR\n");
        assert!(yaml(&text).map(|it| it.check().is_err()).unwrap_or(true), "{written}");
    }
}

#[test]
fn what_is_left_empty_is_no_policy_for_everything() {
    for field in ["services", "allow", "deny", "max_ttl", "auto_suspend", "max_staleness"] {
        for empty in ["", " ~", " null"] {
            let text = format!("name: a\n{field}:{empty}\n");
            let Ok(document) = yaml(&text) else { continue };
            // An empty list of actions allows nothing, and denies nothing.
            let is_harmless = ["allow", "deny", "max_staleness"].contains(&field);
            assert!(document.check().is_err() || is_harmless, "{text}");
        }
    }
}

#[test]
fn yaml_says_everything_once_and_in_full() {
    for text in [
        "name: a\nname: b\n",
        "name: a\ndeny: ['*']\ndeny: []\n",
        "name: a\nmax_staleness: {x: 5s, x: 1h}\n",
        "name: &a b\ndescription: *a\n",
        "<<: {name: a}\nallow: ['*']\n",
        "name: a\n---\nname: b\n",
        "[a, b, ['*']]\n",
        "name: a\nallow: '*'\n",
        "name: a\nallow: [*]\n",
        "name: a\nalow: []\n",
        "",
    ] {
        assert!(yaml(text).is_err(), "{text}");
    }
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    text.push_str("name: a\nallow: *a11\n");
    assert!(yaml(&text).is_err());
    assert!(
        yaml(&format!("name: a\nallow: {}{}\n", "[".repeat(9_999), "]".repeat(9_999))).is_err()
    );
}
