//! The alert rules: what they ask for is there, and each says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::support::{ControlPlane, eventually};

const ALERTS: &str = include_str!("../../docs/monitoring/alerts.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "name")]
    _name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    r#for: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let rules: Rules = serde_saphyr::from_str(ALERTS).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The metrics that an expression names, each with the labels that it selects by.
fn named(expr: &str) -> Vec<(String, Vec<String>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = expr.match_indices("kya_").map(|(at, _)| &expr[at..]);
    let metric = |rest: &str| {
        let name: String = rest.chars().take_while(|c| word(*c)).collect();
        let selector = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        let labels = selector.into_iter().flat_map(|it| it.split(','));
        let labels = labels.map(|it| it.trim().chars().take_while(|c| word(*c)).collect());
        (name, labels.collect())
    };
    starts.map(metric).collect()
}

#[test]
fn metrics_and_labels_are_found_in_an_expression() {
    let found = named("sum(kya_a_total{x=\"1\", y!~\"2\"}) / kya_b");
    let expected = [("kya_a_total", vec!["x", "y"]), ("kya_b", vec![])];
    let expected = expected.map(|(name, labels)| {
        (name.to_owned(), labels.into_iter().map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_alerts_ask_for_is_what_a_server_prints() {
    let plane = ControlPlane::start().await;
    let proxy = plane.proxy("sidecar").await;
    proxy.report(&[0], true).await;
    let agent = plane.api.register("payer").await;
    plane.api.revoke(&agent).await;
    plane.api.post("/v1/challenges", json!({ "wait_ms": 0 })).await.expect(200);
    eventually("records", async || plane.metric("kya_audit_size").await > 0).await;
    let text = plane.api.get("/metrics").await.expect(200).as_str().unwrap().to_owned();
    let mut printed = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
        printed.entry(name).or_default().extend(labels);
    }
    let mut checked = 0;
    for Rule { alert, expr, .. } in rules() {
        let metrics = named(&expr);
        assert!(!metrics.is_empty(), "{alert} asks for nothing: {expr}");
        for (name, labels) in metrics {
            let known = printed.get(&*name);
            let known = known.unwrap_or_else(|| panic!("{alert}: no {name} in\n{text}"));
            for label in labels {
                assert!(known.contains(&*label), "{alert}: {name} has no label {label}");
            }
            checked += 1;
        }
    }
    assert!(checked >= rules().len());
    assert!(!text.contains(&agent), "metrics take no key, and name no agent");
}

#[test]
fn each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let mut seen = BTreeSet::new();
    for Rule { alert, r#for: patience, labels, annotations, .. } in rules() {
        assert!(seen.insert(alert.clone()), "{alert} is there twice");
        assert!(["critical", "warning"].contains(&&*labels["severity"]), "{alert}");
        assert!(patience.ends_with('m'), "{alert}");
        for text in ["summary", "description"] {
            assert!(!annotations[text].trim().is_empty(), "{alert}");
        }
        let anchor = format!("docs/operations.md#{}", alert.to_lowercase());
        assert_eq!(annotations["runbook"], anchor, "{alert}");
        let heading = format!("\n#### {alert}\n");
        let section = docs.split_once(&heading).unwrap_or_else(|| panic!("no {heading}")).1;
        let section = section.split("\n#").next().unwrap();
        assert!(section.contains("Look at") && section.contains("Do:"), "{alert}: {section}");
    }
}
