//! A drill through a fleet on one machine, on real parts.

use std::sync::Mutex;

use anyhow::Result;
use kya_envoy::Artifacts;
use kya_fleet::{DrillFleet, Plan, Size};
use serde_json::json;

#[tokio::test]
async fn a_drill_goes_through_every_envoy_and_reaches_every_simulated_client() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let size = Size { envoys: 2, workers: 2, clients: 20 };
    let running = DrillFleet::start(&artifacts, size).await?;
    let nodes = running.fleet.api().nodes().await?.nodes;
    assert_eq!(nodes.len(), 22);

    let said = Mutex::new(Vec::new());
    let say = |line: &str| said.lock().unwrap().push(line.to_owned());
    let plan = Plan { samples: 3, rate: 100 };
    let drilled = running.drill(&artifacts, plan, &say).await?;
    let result = &drilled.document["result"];
    assert!(drilled.passed(), "{result:#}");
    assert!(drilled.shown.ends_with("\nPassed.\n"), "{}", drilled.shown);
    let said = said.into_inner()?;
    assert!(said.iter().any(|line| line.contains(" of 3 samples")), "{said:?}");
    for (n, party) in result["relying_parties"].as_array().unwrap().iter().enumerate() {
        assert_eq!(party["name"], format!("sidecar-{}", n + 1));
        assert_eq!((&party["measured"], &party["not_rejected"]), (&json!(3), &json!(0)));
        let settled = &party["last_rejection_ms"];
        assert!(settled["p50"].as_f64().unwrap() > 0.0, "{settled}");
        assert_eq!(party["without_token"], "denied:token_missing");
        assert_eq!(party["unknown_token"], "denied:token_unknown");
    }
    // All four workers of the Envoys and all twenty others have acknowledged each stop.
    assert_eq!(result["receipt_complete_ms"]["count"], 3, "{result:#}");
    assert_eq!(drilled.document["samples"].as_array().unwrap().len(), 3);

    // An auditor has a report of it, and needs no server.
    let folder = tempfile::tempdir()?;
    running.report(&artifacts, &drilled.id, folder.path()).await?;
    let page = std::fs::read_to_string(folder.path().join("report.html"))?;
    assert!(page.contains(&drilled.id) && page.contains("<svg"), "{}", page.len());

    // It was challenged, as any proxy, or will be: nobody is in doubt.
    let proof = running.fleet.api().challenge(None, std::time::Duration::from_secs(10)).await?;
    assert!(proof.armed && proof.nodes.len() == 22, "{proof:?}");
    running.finish().await
}
