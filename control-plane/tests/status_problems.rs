//! What `GET /v1/status` says is wrong, each brought about.

use std::sync::Arc;
use std::time::Duration;

use kya_control_plane::Server;
use kya_control_plane::config::Config;
use kya_control_plane::time::{Clock, SystemClock};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support;
use crate::support::api::Text;
use crate::support::certificates::Authority;
use crate::support::{ControlPlane, ShiftedClock, eventually};

async fn status(plane: &ControlPlane) -> Value {
    plane.api.get("/v1/status").await.expect(200)
}

/// What is said of this problem, if it is one.
async fn problem(plane: &ControlPlane, code: &str) -> Option<String> {
    let status = status(plane).await;
    let problems = status["problems"].as_array().unwrap().clone();
    let found = problems.iter().find(|problem| problem["code"] == code)?;
    assert!(!found["fix"].text().is_empty(), "{found}");
    assert_eq!(status["ok"], false);
    Some(found["what"].text())
}

/// Waits until it is one.
async fn arises(plane: &ControlPlane, code: &str) -> String {
    eventually(code, async || problem(plane, code).await.is_some()).await;
    problem(plane, code).await.unwrap()
}

#[tokio::test]
async fn a_commit_that_is_not_pushed_is_late() {
    let plane = ControlPlane::start().await;
    assert_eq!(problem(&plane, "push_late").await, None);
    // Which no proxy would take, so that it is not sent.
    support::database::commit(plane.dir.path(), b"nonsense").await;
    let what = arises(&plane, "push_late").await;
    assert!(
        what.starts_with("revision 1 was committed ") && what.ends_with("not pushed"),
        "{what}"
    );
}

#[tokio::test]
async fn a_kill_that_a_worker_does_not_acknowledge_is_incomplete_after_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ShiftedClock::default());
    let server = Server::new(Config::ephemeral(dir.path())).with_clock(Arc::clone(&clock) as _);
    let plane = ControlPlane::start_server(server, dir).await;
    let mut proxy = plane.proxy("sidecar").await;
    proxy.report(&[0], true).await;
    eventually("a worker", async || status(&plane).await["proxies"]["workers"] == 1).await;
    let agent = plane.api.register("payer").await;
    let revoked = plane.api.revoke(&agent).await;
    eventually("recorded", async || status(&plane).await["last_kill"]["recorded"] == true).await;
    clock.be_ahead_by(50);
    assert_eq!(problem(&plane, "kill_incomplete").await, None);
    clock.be_ahead_by(61);
    let what = arises(&plane, "kill_incomplete").await;
    assert!(what.starts_with(&revoked["kill_id"].text()), "{what}");
    let kill = status(&plane).await["last_kill"].clone();
    assert_eq!((&kill["workers_there"], &kill["receipt_complete"]), (&json!(1), &json!(false)));
    // It is closed by now, and whoever comes back is heard all the same.
    proxy.catch_up(2).await;
    assert!(problem(&plane, "kill_incomplete").await.is_some(), "the trail has no word of it");
}

#[tokio::test]
async fn a_trail_that_cannot_be_read_is_named_and_the_rest_is_shown() {
    let plane = ControlPlane::start().await;
    assert_eq!(problem(&plane, "audit_unreachable").await, None);
    let file = SqliteConnectOptions::new().filename(plane.dir.path().join("audit.db"));
    let raw = SqlitePool::connect_with(file).await.unwrap();
    sqlx::query("ALTER TABLE audit_head RENAME TO audit_gone").execute(&raw).await.unwrap();
    raw.close().await;
    let what = arises(&plane, "audit_unreachable").await;
    assert!(what.starts_with("the audit trail cannot be read"), "{what}");
    let found = status(&plane).await;
    assert_eq!(found["audit"], Value::Null);
    assert!(found["registry"].is_object(), "{found}");
}

#[tokio::test]
async fn a_key_of_the_trail_that_is_not_at_the_only_server_is_missing() {
    let plane = ControlPlane::start().await;
    assert_eq!(problem(&plane, "audit_key_missing").await, None);
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("audit-") && name.ends_with(".key") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let plane = ControlPlane::start_in(dir, Default::default()).await;
    let what = arises(&plane, "audit_key_missing").await;
    assert!(what.contains("receipts and checkpoints are not signed"), "{what}");
    assert_eq!(status(&plane).await["audit"]["signs_here"], false);
    assert_eq!(plane.metric("kya_audit_signs").await, 0);
}

/// A day, so many days from now.
fn date(days: u64) -> (i32, u8, u8) {
    let at = SystemClock.now().0 / 1_000_000 + days * 24 * 60 * 60;
    let at = jiff::Timestamp::from_second(at as i64).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    (at.year().into(), at.month() as u8, at.day() as u8)
}

#[tokio::test]
async fn a_certificate_that_ends_within_two_weeks_is_a_problem_until_another_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let issue = |days| authority.issue_until("localhost", Some(date(days))).write(dir.path());
    let files = issue(10);
    let config = Config { grpc_tls: Some(files), ..Config::ephemeral(dir.path()) };
    let server = Server::new(config).with_certificate_interval(Duration::from_millis(20));
    let issue_again = authority.issue_until("localhost", Some(date(40)));
    let plane = ControlPlane::start_server(server, dir).await;
    let what = problem(&plane, "certificate_expires").await.unwrap();
    assert!(what.starts_with("the certificate of the grpc listener expires in 9 days"), "{what}");
    issue_again.write(plane.dir.path());
    eventually("taken over", async || problem(&plane, "certificate_expires").await.is_none()).await;
    let shown = status(&plane).await["certificates"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    assert_eq!((&shown[0]["listener"], &shown[0]["days_left"]), (&json!("grpc"), &json!(39)));
    let metric = "kya_tls_certificate_expires_timestamp_seconds{listener=\"grpc\"}";
    let left = plane.metric(metric).await - SystemClock.now().0 / 1_000_000;
    assert!((39 * 86_400..40 * 86_400).contains(&left), "{left}");
}
