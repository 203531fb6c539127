//! What the documentation says of the HTTP API, held against the OpenAPI document, which is
//! made of the routes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(name)).unwrap()
}

/// A path whose parameters have no names: pages call them by what they are.
fn nameless(path: &str) -> String {
    let parts = path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    parts.collect::<Vec<_>>().join("{}")
}

/// Method and path of each operation below `/v1`.
fn operations() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&page("docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.filter(|(path, _)| path.starts_with("/v1/")).flat_map(|(path, of)| {
        let methods = of.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(move |method| format!("{} {}", method.to_uppercase(), nameless(path)))
    });
    operations.collect()
}

/// The operations that a row of the table names: the first in full, and each further one by
/// its last segments, as `/suspend` after `POST /v1/agents/{id}/revoke`.
fn named(row: &str, operations: &BTreeSet<String>) -> Vec<String> {
    let cell = row.split(" | ").next().unwrap();
    let mut names = cell.split('`').skip(1).step_by(2).map(nameless);
    let Some(first) = names.next() else { return Vec::new() };
    let beside = first.rsplit_once('/').map_or(&*first, |(folder, _)| folder).to_owned();
    let further: Vec<_> = names
        .map(|last| {
            let below = format!("{first}{last}");
            if operations.contains(&below) { below } else { format!("{beside}{last}") }
        })
        .collect();
    std::iter::once(first).chain(further).collect()
}

#[test]
fn the_table_of_paths_has_every_operation_and_no_other() {
    let operations = operations();
    assert!(operations.len() > 60, "{operations:?}");
    let text = page("docs/operations.md");
    let (_, section) = text.split_once("\n## The HTTP API\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut written: BTreeSet<_> = rows.flat_map(|row| named(row, &operations)).collect();
    // Those for proxies are in a sentence.
    for path in ["/v1/enforcement/pull", "/introspect", "/audit"] {
        assert!(section.contains(&format!("{path}`")), "{path}");
    }
    written.extend(["pull", "introspect", "audit"].map(|it| format!("POST /v1/enforcement/{it}")));
    let missing: Vec<_> = operations.difference(&written).collect();
    let invented: Vec<_> = written.difference(&operations).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "no row: {missing:?}; no route: {invented:?}"
    );
}
