//! Scheduled drills where several servers use one database.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_control_plane::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::Text;
use crate::support::parties::{Way, party};
use crate::support::postgres::Database;
use crate::support::{Api, ControlPlane, PATIENCE};

fn config(dir: &Path, database: &Database) -> Config {
    Config { database_url: Some(database.url()), ..Config::ephemeral(dir) }
}

/// A data directory with the keys of another one.
fn with_keys_of(other: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(other).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    dir
}

async fn start(dir: TempDir, database: &Database) -> ControlPlane {
    ControlPlane::start_as(config(dir.path(), database), dir, Limits::default()).await
}

/// Has the next drill have been due a second ago.
async fn make_due(database: &Database, name: &str) {
    let raw = database.raw().await;
    let at = i64::try_from(SystemClock.now().0 - 1_000_000).unwrap();
    let update = "UPDATE drill_schedules SET next_us = $1 WHERE name = $2";
    sqlx::query(update).bind(at).bind(name).execute(&raw).await.unwrap();
    raw.close().await;
}

async fn add(api: &Api, name: &str, samples: u32) {
    let parties = json!([{ "name": "one", "url": party(api, Way::Honest).await }]);
    let drill = json!({ "parties": parties, "samples": samples, "rate": 50 });
    let schedule = json!({ "name": name, "cron": "0 9 1 1 *", "drill": drill });
    api.post("/v1/drill-schedules", schedule).await.expect(201);
}

async fn outcomes(api: &Api, name: &str) -> Vec<String> {
    let shown = api.get(&format!("/v1/drill-schedules/{name}")).await.expect(200);
    shown["runs"].as_array().unwrap().iter().map(|run| run["outcome"].text()).collect()
}

async fn become_(api: &Api, name: &str, expected: &[&str]) {
    let wait = async {
        while outcomes(api, name).await != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(6 * PATIENCE, wait).await;
    assert!(waited.is_ok(), "never {expected:?}: {:?}", outcomes(api, name).await);
}

async fn drills(api: &Api) -> Vec<Value> {
    api.get("/v1/drills").await.expect(200)["drills"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_one_runs_each_drill_that_is_due() {
    let database = Database::new().await;
    let a = start(tempfile::tempdir().unwrap(), &database).await;
    let b = start(with_keys_of(a.dir.path()), &database).await;
    add(&a.api, "yearly", 1).await;
    for n in 1..=3 {
        make_due(&database, "yearly").await;
        become_(&b.api, "yearly", &vec!["passed"; n]).await;
        assert_eq!(drills(&a.api).await.len(), n);
    }
    let counted = async |plane: &ControlPlane| {
        let text = plane.api.get("/metrics").await.expect(200).text();
        let labels = "{outcome=\"passed\",schedule=\"yearly\"}";
        let line = format!("kya_drill_scheduled_runs_total{labels} ");
        let count = text.lines().find_map(|it| it.strip_prefix(&line));
        count.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    crate::support::eventually("both have seen what they began", async || {
        counted(&a).await + counted(&b).await == 3
    })
    .await;
}

/// The program itself, killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn program(dir: &Path, database: &Database) -> (Program, Api) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    command.args(["serve", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(dir).env_clear();
    command.env("KYA_DATABASE_URL", database.url_as("kya"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (program, began) = (Program(child), Instant::now());
    let address = loop {
        assert!(began.elapsed() < PATIENCE, "it never served");
        let text = std::fs::read_to_string(dir.join("addresses.json")).unwrap_or_default();
        let addresses: Value = serde_json::from_str(&text).unwrap_or_default();
        if addresses["pid"] == program.0.id() {
            break addresses["http"].text();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let key = std::fs::read_to_string(dir.join("admin.key")).unwrap();
    (program, Api::new(&address, key.trim()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_was_running_is_put_back_by_the_other_and_not_run_again() {
    let database = Database::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (killed, api) = program(dir.path(), &database).await;
    add(&api, "yearly", 200).await;
    make_due(&database, "yearly").await;
    become_(&api, "yearly", &["running"]).await;
    crate::support::eventually("a sample", async || drills(&api).await[0]["samples_done"] != 0)
        .await;
    drop(killed);
    let other = start(with_keys_of(dir.path()), &database).await;
    become_(&other.api, "yearly", &["interrupted"]).await;
    let agents = other.api.get("/v1/agents").await.expect(200)["agents"].clone();
    assert!(agents.as_array().unwrap().iter().all(|agent| agent["status"] == "active"), "{agents}");
    assert_eq!(drills(&other.api).await.len(), 1);
    // The next one is run by the one that is there.
    make_due(&database, "yearly").await;
    become_(&other.api, "yearly", &["running", "interrupted"]).await;
}
