//! The incident, on real parts.

use kya_envoy::Artifacts;
use kya_incident::STEPS;

#[tokio::test]
async fn every_step_of_the_incident_is_ok() {
    let artifacts = Artifacts::for_tests().unwrap();
    let report = kya_incident::run(&artifacts, &|line| println!("{line}")).await;
    assert_eq!(report.failure, None);
    let names: Vec<_> = report.steps.iter().map(|step| step.name).collect();
    assert_eq!(names, STEPS);
    assert!(report.steps.iter().all(|step| step.ok && step.ms > 0.0), "{report:?}");
    assert!(report.is_ok());
    // What `cargo xtask incident --json` prints.
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["steps"]);
    for step in json["steps"].as_array().unwrap() {
        let mut fields: Vec<_> = step.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["ms", "name", "ok"]);
    }
}
