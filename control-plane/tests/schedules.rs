//! Drills that are due again and again. To be due, a schedule is told in the database that
//! it is: no test waits for a clock.

use kya_control_plane::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::api::Text;
use crate::support::parties::{Way, party};
use crate::support::{ControlPlane, eventually};

const HOUR: u64 = 3_600;

/// A schedule of one party with few probes, and whatever else is asked for.
async fn schedule(plane: &ControlPlane, name: &str, way: Way, members: Value) -> Value {
    let url = party(&plane.api, way).await;
    let mut drill = json!({ "parties": [{ "name": "one", "url": url }], "samples": 1, "rate": 50 });
    let mut schedule = json!({ "name": name });
    let mut members = members.as_object().unwrap().clone();
    if let Some(more) = members.remove("drill") {
        drill.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    schedule["drill"] = drill;
    schedule.as_object_mut().unwrap().extend(members);
    schedule
}

async fn add(plane: &ControlPlane, schedule: Value) -> Value {
    plane.api.post("/v1/drill-schedules", schedule).await.expect(201)
}

async fn show(plane: &ControlPlane, name: &str) -> Value {
    plane.api.get(&format!("/v1/drill-schedules/{name}")).await.expect(200)
}

/// Has the next drill of a schedule have been due so many seconds ago.
async fn make_due(plane: &ControlPlane, name: &str, ago: u64) {
    let raw = crate::support::database::open(plane.dir.path()).await;
    let at = i64::try_from(SystemClock.now().0 - ago * 1_000_000).unwrap();
    let update = "UPDATE drill_schedules SET next_us = ? WHERE name = ?";
    sqlx::query(update).bind(at).bind(name).execute(&raw).await.unwrap();
    raw.close().await;
}

/// Has a drill that passes have been owed for so many seconds.
async fn make_owed(plane: &ControlPlane, name: &str, ago: u64) {
    let raw = crate::support::database::open(plane.dir.path()).await;
    let at = i64::try_from(SystemClock.now().0 - ago * 1_000_000).unwrap();
    let update = "UPDATE drill_schedules SET owed_us = ? WHERE name = ?";
    sqlx::query(update).bind(at).bind(name).execute(&raw).await.unwrap();
    raw.close().await;
}

fn outcomes(schedule: &Value) -> Vec<&str> {
    let runs = schedule["runs"].as_array().unwrap();
    runs.iter().map(|run| run["outcome"].as_str().unwrap()).collect()
}

async fn becomes(plane: &ControlPlane, name: &str, expected: &[&str]) -> Value {
    // A drill takes some seconds, and up to ten of patience where a party is at fault.
    let wait = async {
        loop {
            let shown = show(plane, name).await;
            if outcomes(&shown) == expected {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(6 * crate::support::PATIENCE, wait).await;
    match waited {
        Ok(shown) => shown,
        Err(_) => panic!("never {expected:?}: {:#}", show(plane, name).await),
    }
}

async fn metrics(plane: &ControlPlane) -> String {
    plane.api.get("/metrics").await.expect(200).text()
}

async fn says(plane: &ControlPlane, line: &str) {
    eventually(line, async || metrics(plane).await.lines().any(|it| it == line)).await;
}

async fn problems(plane: &ControlPlane) -> Vec<String> {
    let status = plane.api.get("/v1/status").await.expect(200);
    let problems = status["problems"].as_array().unwrap().iter();
    problems.filter(|it| it["code"] == "drill_overdue").map(|it| it["what"].text()).collect()
}

async fn drills(plane: &ControlPlane) -> Vec<Value> {
    plane.api.get("/v1/drills").await.expect(200)["drills"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_is_due_is_run_once_and_not_again_after_a_restart() {
    let plane = ControlPlane::start().await;
    let asked = json!({ "cron": "0 9 1 1,4,7,10 *", "time_zone": "Europe/Berlin" });
    let made = add(&plane, schedule(&plane, "quarterly", Way::Honest, asked).await).await;
    assert_eq!((&made["state"], &made["created_by"]), (&json!("active"), &json!("admin")));
    assert_eq!((&made["window_s"], &made["last_run"]), (&json!(3600), &Value::Null));
    let next = made["next"].as_array().unwrap().clone();
    assert_eq!(next.len(), 3);
    // Nine in Berlin is seven or eight by UTC.
    assert!(next.iter().all(|at| ["T07:00", "T08:00"].iter().any(|it| at.text().contains(it))));
    make_due(&plane, "quarterly", 10).await;
    let shown = becomes(&plane, "quarterly", &["passed"]).await;
    assert_eq!((&shown["next"], &shown["overdue_since"]), (&json!(next), &Value::Null));
    assert!(shown["last_passed_at"].is_string());
    let begun = drills(&plane).await;
    let [drill] = &*begun else { panic!("{begun:?}") };
    assert_eq!(drill["drill_id"], shown["runs"][0]["drill_id"]);
    assert_eq!(drill["started_by"], "schedule:quarterly");
    let labels = "{outcome=\"passed\",schedule=\"quarterly\"}";
    says(&plane, &format!("kya_drill_scheduled_runs_total{labels} 1")).await;
    says(&plane, "kya_drill_overdue{schedule=\"quarterly\"} 0").await;
    let text = metrics(&plane).await;
    assert!(!text.contains("kya_canary_last_rejection_seconds_count"), "it is no canary");

    let plane = plane.restart().await;
    says(&plane, "kya_drill_overdue{schedule=\"quarterly\"} 0").await;
    assert_eq!(outcomes(&show(&plane, "quarterly").await), ["passed"]);
    // Even if the clock says again what it said when that was due.
    let raw = crate::support::database::open(plane.dir.path()).await;
    let update = "UPDATE drill_schedules SET next_us = (SELECT due_us FROM drill_schedule_runs)";
    sqlx::query(update).execute(&raw).await.unwrap();
    raw.close().await;
    eventually("the next", async || show(&plane, "quarterly").await["next"] == json!(next)).await;
    assert_eq!(drills(&plane).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_stopped_once_each_time_and_what_took_how_long_is_a_metric() {
    let plane = ControlPlane::start().await;
    let every = json!({ "every_s": 60 });
    let canary = schedule(&plane, "canary", Way::Honest, every.clone()).await;
    let made = add(&plane, canary).await;
    assert_eq!((&made["every_s"], &made["window_s"]), (&json!(60), &json!(60)));
    make_due(&plane, "canary", 1).await;
    let shown = becomes(&plane, "canary", &["passed"]).await;
    says(&plane, "kya_canary_last_rejection_seconds_count{schedule=\"canary\"} 1").await;
    let drill = plane.api.get(&format!("/v1/drills/{}", shown["runs"][0]["drill_id"].text())).await;
    let drill = drill.expect(200);
    let took = drill["result"]["last_rejection_ms"]["max"].as_f64().unwrap() / 1000.0;
    says(&plane, &format!("kya_canary_last_rejection_seconds_sum{{schedule=\"canary\"}} {took}"))
        .await;
    assert_eq!(drill["result"]["samples"], 1);

    // Of a party that never rejects there is a failure, and no latency.
    add(&plane, schedule(&plane, "deaf", Way::Deaf, every).await).await;
    make_due(&plane, "deaf", 1).await;
    becomes(&plane, "deaf", &["failed"]).await;
    let labels = "{reason=\"not_rejected\",schedule=\"deaf\"}";
    says(&plane, &format!("kya_canary_failures_total{labels} 1")).await;
    let text = metrics(&plane).await;
    assert!(!text.contains("kya_canary_last_rejection_seconds_count{schedule=\"deaf\"}"), "{text}");
    // What is removed has no figures.
    plane.api.post("/v1/drill-schedules/canary/remove", json!({})).await.expect(200);
    eventually("none", async || !metrics(&plane).await.contains("schedule=\"canary\"")).await;
    plane.api.get("/v1/drill-schedules/canary").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_on_record_not_run_and_overdue_until_it_is_paused() {
    let plane = ControlPlane::start().await;
    let asked = json!({ "cron": "* * * * *", "window_s": 60 });
    add(&plane, schedule(&plane, "minutely", Way::Honest, asked).await).await;
    plane.api.post("/v1/drill-schedules/minutely/pause", json!({})).await.expect(200);
    let asked = json!({ "cron": "0 9 1 1,4,7,10 *" });
    let made = add(&plane, schedule(&plane, "quarterly", Way::Honest, asked).await).await;
    assert_eq!(problems(&plane).await, [""; 0]);
    make_owed(&plane, "quarterly", 200 * 24 * HOUR).await;
    make_due(&plane, "quarterly", 2 * HOUR).await;
    let shown = becomes(&plane, "quarterly", &["missed"]).await;
    assert_eq!(shown["next"], made["next"]);
    let why = shown["runs"][0]["why"].text();
    assert!(why.starts_with("no server began it within its window"), "{why}");
    assert_eq!(drills(&plane).await.len(), 0);
    let events = plane.api.get("/v1/events").await.expect(200)["events"].clone();
    let missed =
        events.as_array().unwrap().iter().find(|it| it["action"] == "drill_schedule.missed");
    let missed = missed.unwrap();
    assert_eq!(
        (&missed["actor"], &missed["subject"]),
        (&json!("schedule:quarterly"), &json!("quarterly"))
    );
    let said = problems(&plane).await;
    assert!(said[0].contains("quarterly since ") && said[0].contains("missed"), "{said:?}");
    says(&plane, "kya_drill_overdue{schedule=\"quarterly\"} 1").await;
    let status = plane.api.get("/v1/status").await.expect(200)["drills"].clone();
    assert_eq!((&status["schedules"], &status["paused"]), (&json!(2), &json!(1)));
    assert_eq!(status["overdue"], json!(["quarterly"]));
    assert_eq!(status["next"]["schedule"], "quarterly");

    let pause = json!({ "reason": "moving", "incident_id": "INC-1" });
    let paused = plane.api.post("/v1/drill-schedules/quarterly/pause", pause.clone()).await;
    let paused = paused.expect(200);
    assert_eq!(
        (&paused["changed"], &paused["schedule"]["paused_by"]),
        (&json!(true), &json!("admin"))
    );
    assert_eq!(paused["schedule"]["next"], json!([]));
    let again = plane.api.post("/v1/drill-schedules/quarterly/pause", pause).await.expect(200);
    assert_eq!(again["changed"], false);
    assert_eq!(problems(&plane).await, [""; 0]);
    says(&plane, "kya_drill_overdue{schedule=\"quarterly\"} 0").await;
    let resumed = plane.api.post("/v1/drill-schedules/quarterly/resume", json!({})).await;
    assert_eq!(resumed.expect(200)["schedule"]["next"], made["next"]);
    assert_eq!(problems(&plane).await, [""; 0], "what was due meanwhile is not owed");
    let events = plane.api.get("/v1/events").await.expect(200)["events"].clone();
    let paused =
        events.as_array().unwrap().iter().filter(|it| it["action"] == "drill_schedule.paused");
    let paused: Vec<_> = paused.filter(|it| it["subject"] == "quarterly").collect();
    assert_eq!(paused.len(), 1);
    assert_eq!(
        (&paused[0]["reason"], &paused[0]["incident_id"]),
        (&json!("moving"), &json!("INC-1"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_goes_on_is_not_joined_by_another() {
    let plane = ControlPlane::start().await;
    let long = json!({ "cron": "0 9 1 1 *", "drill": { "samples": 200 } });
    add(&plane, schedule(&plane, "long", Way::Honest, long).await).await;
    let short = json!({ "cron": "0 9 1 1 *" });
    add(&plane, schedule(&plane, "short", Way::Honest, short).await).await;
    make_due(&plane, "long", 60).await;
    let shown = becomes(&plane, "long", &["running"]).await;
    let id = shown["runs"][0]["drill_id"].text();
    // The next of its own is skipped; one of another schedule waits within its window.
    make_due(&plane, "long", 1).await;
    let shown = becomes(&plane, "long", &["skipped", "running"]).await;
    assert!(shown["runs"][0]["why"].text().contains(&id), "{shown}");
    make_due(&plane, "short", 1).await;
    let due = show(&plane, "short").await["next"][0].clone();
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let shown = show(&plane, "short").await;
    assert_eq!((outcomes(&shown), &shown["next"][0]), (vec![], &due));
    // A drill that somebody asks for is not begun beside it either.
    let drill = json!({ "parties": [{ "name": "a", "url": "http://127.0.0.1:9/" }] });
    plane.api.post("/v1/drills", drill).await.problem(409, "conflict");
    plane.api.post(&format!("/v1/drills/{id}/stop"), json!({})).await.expect(200);
    becomes(&plane, "long", &["skipped", "interrupted"]).await;
    becomes(&plane, "short", &["passed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_when_it_is_asked_for_and_when_it_is_due() {
    let plane = ControlPlane::start().await;
    let cron = json!({ "cron": "0 9 * * *" });
    let register = async |labels: Value| {
        let body = json!({ "name": "payer", "labels": labels });
        plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text()
    };
    let production = register(json!({ "canary": "true", "env": "prod" })).await;
    let mine = register(json!({ "canary": "true", "env": "staging" })).await;
    for (members, part) in [
        (json!({ "cron": "0 25 * * *" }), "`cron`: hour: `25` is not within 0 to 23"),
        (json!({ "cron": "0 9 * *" }), "`cron`: has 4 fields"),
        (json!({ "cron": "0 9 * * *", "time_zone": "Mars/Base" }), "`time_zone`: `Mars/Base`"),
        (json!({ "every_s": 30 }), "`every_s`: must be between 60"),
        (json!({ "every_s": 60, "drill": { "samples": 2 } }), "`drill.samples`: a canary has 1"),
        (json!({ "cron": "0 9 * * *", "drill": { "samples": 0 } }), "`drill.samples`: must be"),
        (json!({ "cron": "0 9 * * *", "drill": { "selector": "env=prod" } }), "production"),
        (json!({ "cron": "0 9 * * *", "drill": { "agent_id": production } }), "production"),
        (json!({ "cron": "0 9 * * *", "name": "a/b" }), "`name`: the name of a schedule"),
        (json!({ "cron": "0 9 * * *", "often": true }), "often"),
    ] {
        let asked = schedule(&plane, "x", Way::Honest, members).await;
        let refused = plane.api.post("/v1/drill-schedules", asked).await;
        let refused = refused.problem(422, "invalid_request");
        assert!(refused.contains(part), "{part}: {refused}");
    }
    plane.api.post("/v1/drill-schedules/x/pause", json!({})).await.problem(404, "not_found");
    plane.api.get("/v1/drill-schedules/a%2Fb").await.problem(400, "invalid_request");

    let asked = json!({ "cron": "0 9 * * *", "drill": { "agent_id": mine } });
    let asked = schedule(&plane, "x", Way::Honest, asked).await;
    add(&plane, asked.clone()).await;
    let taken = plane.api.post("/v1/drill-schedules", asked).await.problem(409, "conflict");
    assert!(taken.contains("there is a schedule x"), "{taken}");
    // It was fit to be a canary then, and is not when the drill is due.
    plane.api.revoke(&mine).await;
    make_due(&plane, "x", 1).await;
    let shown = becomes(&plane, "x", &["refused"]).await;
    assert!(shown["runs"][0]["why"].text().contains("not active"), "{shown}");
    assert_eq!(drills(&plane).await.len(), 0);
    let listed = plane.api.get("/v1/drill-schedules").await.expect(200);
    assert_eq!(listed["schedules"].as_array().unwrap().len(), 1);
    let viewer = plane.api.add_operator("looks", "viewer").await;
    viewer.get("/v1/drill-schedules").await.expect(200);
    let asked = schedule(&plane, "y", Way::Honest, cron).await;
    viewer.post("/v1/drill-schedules", asked.clone()).await.problem(403, "forbidden");
    // Nor an operator: a token that works is sent to where it says. Who made it is in the
    // log, with the address.
    let operator = plane.api.add_operator("stops", "operator").await;
    operator.post("/v1/drill-schedules", asked.clone()).await.problem(403, "forbidden");
    let stopper = plane.api.add_operator("oncall", "admin").await;
    let made = stopper.post("/v1/drill-schedules", asked).await.expect(201);
    assert_eq!(made["created_by"], "oncall");
    let events = plane.api.get("/v1/events").await.expect(200)["events"].clone();
    let added = events.as_array().unwrap().iter().find(|it| it["subject"] == "y").unwrap();
    assert_eq!(
        (&added["action"], &added["actor"]),
        (&json!("drill_schedule.added"), &json!("oncall"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_leaves_the_run_on_record_and_the_canary_active() {
    let plane = ControlPlane::start().await;
    let long = json!({ "cron": "0 9 1 1 *", "drill": { "samples": 200 } });
    add(&plane, schedule(&plane, "long", Way::Honest, long).await).await;
    make_due(&plane, "long", 1).await;
    becomes(&plane, "long", &["running"]).await;
    let plane = plane.restart().await;
    becomes(&plane, "long", &["interrupted"]).await;
    let agents = plane.api.get("/v1/agents").await.expect(200)["agents"].clone();
    assert!(agents.as_array().unwrap().iter().all(|agent| agent["status"] == "active"), "{agents}");
    assert_eq!(drills(&plane).await.len(), 1);
}
