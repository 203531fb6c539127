//! The alert rules and the dashboard: what they ask for is there, each alert says what to do,
//! and what the page of metrics names is what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::certificates::Authority;
use crate::support::pull::Puller;
use crate::support::{ControlPlane, eventually};

const ALERTS: &str = include_str!("../../docs/monitoring/alerts.yaml");
const DASHBOARD: &str = include_str!("../../docs/monitoring/dashboard.json");
/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];
/// Labels that histograms have, and results of functions.
const OF_HISTOGRAMS: &str = "le";

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
    let begins = |at: &usize| !expr[..*at].ends_with(word);
    let kya = expr.match_indices("kya_").chain(expr.match_indices("process_"));
    let starts = kya.map(|(at, _)| at).filter(begins).map(|at| &expr[at..]);
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

/// Everything that a server prints, by the names of metrics, each with its labels.
async fn printed() -> (String, BTreeMap<String, BTreeSet<String>>) {
    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new().issue("localhost").write(dir.path());
    let config = Config { grpc_tls: Some(files), ..Config::ephemeral(dir.path()) };
    let plane = ControlPlane::start_as(config, dir, Limits::default()).await;
    let mut proxy = Puller::new(plane.server.public_key, "sidecar");
    proxy.pull(&plane).await;
    let agent = plane.api.register("payer").await;
    plane.api.revoke(&agent).await;
    plane.api.post("/v1/challenges", json!({ "wait_ms": 0 })).await.expect(200);
    eventually("records", async || plane.metric("kya_audit_size").await > 0).await;
    let text = plane.api.get("/metrics").await.expect(200).as_str().unwrap().to_owned();
    assert!(!text.contains(&agent), "metrics take no key, and name no agent");
    let mut printed = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
        printed.entry(name.to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    (text, printed)
}

/// Checks that whatever an expression of `who` names is printed.
fn is_printed(who: &str, expr: &str, printed: &BTreeMap<String, BTreeSet<String>>) {
    let metrics = named(expr);
    assert!(!metrics.is_empty(), "{who} asks for nothing: {expr}");
    for (name, labels) in metrics {
        let known = printed.get(&name).unwrap_or_else(|| panic!("{who}: there is no {name}"));
        for label in labels.iter().filter(|label| !ADDED.contains(&label.as_str())) {
            assert!(known.contains(label), "{who}: {name} has no label {label}");
        }
        // Without it there is no quantile.
        let quantile = expr.contains("histogram_quantile") && name.ends_with("_bucket");
        assert!(!quantile || known.contains(OF_HISTOGRAMS), "{who}: {name} is no histogram");
    }
    for by in expr.split("by (").skip(1) {
        for label in by.split(')').next().unwrap().split(',').map(str::trim) {
            let is_there = printed.values().any(|labels| labels.contains(label));
            assert!(is_there || ADDED.contains(&label), "{who}: nothing has a label {label}");
        }
    }
}

#[tokio::test]
async fn what_alerts_and_the_dashboard_ask_for_is_what_a_server_prints_and_the_docs_name() {
    let (text, printed) = printed().await;
    for Rule { alert, expr, .. } in rules() {
        is_printed(&alert, &expr, &printed);
    }
    let mut panels = 0;
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            assert!(expr.contains(r#"job="$job",instance=~"$instance""#), "{expr}");
            is_printed(panel["title"].as_str().unwrap(), expr, &printed);
            panels += 1;
        }
    }
    assert!(panels > 40, "{panels}");
    // And the table of metrics is whole.
    let docs = operations();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        let shown = [format!("`{name}`"), format!("`{name}{{")];
        assert!(shown.iter().any(|shown| docs.contains(shown)), "no {name} in the docs");
    }
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

#[test]
fn the_dashboard_has_its_rows_one_data_source_and_no_two_panels_in_one_place() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 41);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
    assert_eq!(
        (&variables[0]["type"], &variables[0]["query"]),
        (&json!("datasource"), &json!("prometheus"))
    );
    let (mut ids, mut taken, mut rows) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(at("w") > 0 && at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} is where another one is");
            }
        }
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for part in targets.iter().chain([panel]) {
            assert_eq!(part["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert_eq!(rows, ["Switch", "Proxies", "Kills", "Audit", "Drills", "Store, HTTP and process"]);
}

fn operations() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    std::fs::read_to_string(docs).unwrap()
}

#[test]
fn each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    let docs = operations();
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
