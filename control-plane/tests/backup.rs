//! `kya-control-plane backup` and `restore`, by the program itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use kya_control_plane::push::Limits;
use kya_core::audit::SignedCheckpoint;
use kya_core::audit::verify::{Options, Outcome, Report, Verifier};
use kya_core::{Body, DenyReason};
use reqwest::Method;

use crate::support::api::Text;
use crate::support::proxy::{channel, hello};
use crate::support::{ControlPlane, database};

fn run(what: &str, dir: &Path, file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    command.arg(what).arg("--data-dir").arg(dir).arg(file).env_clear();
    command.output().unwrap()
}

#[track_caller]
fn succeed(what: &str, dir: &Path, file: &Path) {
    let done = run(what, dir, file);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[track_caller]
fn fail(what: &str, dir: &Path, file: &Path) -> String {
    let done = run(what, dir, file);
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8(done.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_server_is_put_back_in_a_later_epoch() {
    let plane = ControlPlane::start().await;
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("kya.backup");
    let agent = plane.api.register("payer").await;
    let token = plane.api.issue(&agent).await["token"].text();
    succeed("backup", plane.dir.path(), &file);
    let trail = other.path().join("audit.backup");
    let done = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"))
        .args(["backup", "--data-dir"])
        .arg(plane.dir.path())
        .arg(other.path().join("again"))
        .arg("--audit")
        .arg(&trail)
        .env_clear()
        .output();
    assert!(done.unwrap().status.success() && trail.is_file());
    std::fs::remove_file(trail).unwrap();
    std::fs::remove_file(other.path().join("again")).unwrap();
    let trail = other.path().join("kya.backup.audit");
    for made in [&file, &trail] {
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 2, "nothing else is left");
    plane.api.revoke(&agent).await;
    let mut proxy = plane.proxy("sidecar").await;
    proxy.catch_up(3).await;
    let before = proxy.position();

    let refused = fail("restore", plane.dir.path(), &file);
    assert!(refused.contains("another kya-control-plane is using"), "{refused}");
    plane.server.shutdown().await;
    succeed("restore", plane.dir.path(), &file);
    assert!(plane.dir.path().join("kya.db.replaced").is_file());
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    let seen = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(seen["status"], "active", "as when the backup was made");
    let fresh = plane.proxy("fresh").await;
    assert!(fresh.position().epoch > before.epoch);
    assert_eq!(fresh.state.denial(&token), None);
    // The trail has what the registry has forgotten, and says so.
    plane.server.trail().finish().await;
    let trail = async |query: &str| {
        let path = format!("/v1/audit/records?{query}");
        plane.api.get(&path).await.expect(200)["records"].as_array().unwrap().clone()
    };
    assert_eq!(trail("act=agent.revoked&type=admin").await.len(), 1);
    let restored = trail("type=restored").await;
    let (event, known) = (&restored[0]["record"]["event"], &restored[0]["record"]["known"]);
    assert_eq!(restored.len(), 1);
    assert!(event.as_u64() > known.as_u64(), "{restored:?}");
    // Who knew better goes on knowing it.
    let channel = channel(plane.server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    assert!(matches!(proxy.next().await.body(), Body::Manifest { .. }));
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_epoch_after_a_restore_is_after_those_of_the_database_that_was_replaced() {
    let plane = ControlPlane::start().await;
    let file = plane.dir.path().join("kya.backup");
    succeed("backup", plane.dir.path(), &file);
    plane.server.shutdown().await;
    // Far ahead of every clock, as after an opening by a clock that was wrong.
    let raw = database::open(plane.dir.path()).await;
    let ahead = 9_000_000_000_000i64;
    sqlx::query("UPDATE head SET epoch = ?").bind(ahead).execute(&raw).await.unwrap();
    raw.close().await;
    succeed("restore", plane.dir.path(), &file);
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    assert_eq!(plane.proxy("sidecar").await.position().epoch, ahead as u64 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_broken_is_replaced_and_its_log_does_not_leak_into_the_backup() {
    let plane = ControlPlane::start().await;
    let file = plane.dir.path().join("kya.backup");
    plane.api.register("kept").await;
    succeed("backup", plane.dir.path(), &file);
    plane.server.shutdown().await;
    std::fs::write(plane.dir.path().join("kya.db"), "rubbish".repeat(1000)).unwrap();
    std::fs::write(plane.dir.path().join("kya.db-wal"), "more rubbish").unwrap();
    let done = run("restore", plane.dir.path(), &file);
    assert!(done.status.success());
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.starts_with("warning: the database before could not be read"), "{said}");
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    let agents = plane.api.get("/v1/agents").await.expect(200);
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_backup_changes_nothing() {
    let plane = ControlPlane::start().await;
    plane.api.register("kept").await;
    plane.server.shutdown().await;
    let (dir, other) = (plane.dir, tempfile::tempdir().unwrap());
    let before = std::fs::read(dir.path().join("kya.db")).unwrap();
    let (rubbish, empty) = (other.path().join("rubbish"), other.path().join("empty"));
    std::fs::write(&rubbish, "not a database, however long it may be").unwrap();
    std::fs::write(&empty, "").unwrap();
    for file in [&rubbish, &empty] {
        let said = fail("restore", dir.path(), file);
        assert!(said.contains("is no backup of a registry"), "{said}");
    }
    let said = fail("restore", dir.path(), &other.path().join("absent"));
    assert!(said.contains("there is no database"), "{said}");
    assert_eq!(std::fs::read(dir.path().join("kya.db")).unwrap(), before);
    assert!(!dir.path().join("kya.db.restoring").exists());

    let said = fail("backup", dir.path(), &rubbish);
    assert!(said.contains("exists: name a file that does not"), "{said}");
    let said = fail("backup", other.path(), &other.path().join("new"));
    assert!(said.contains("there is no database"), "{said}");
}

/// Whether an export verifies by this key, and with this checkpoint that was kept.
async fn verified(plane: &ControlPlane, key: &str, kept: &str) -> Report {
    let asked = plane.api.request(Method::GET, "/v1/audit/export").bearer_auth(&plane.api.key);
    let text = asked.send().await.unwrap().text().await.unwrap();
    let mut verifier = Verifier::new(Options {
        keys: vec![key.parse().unwrap()],
        earlier: vec![SignedCheckpoint::parse(kept).unwrap()],
        whole_since: None,
    });
    verifier.write(text.as_bytes());
    verifier.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_is_put_back_says_so_and_an_auditor_finds_what_is_gone() {
    let plane = ControlPlane::start().await;
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("kya.backup");
    plane.api.register("payer").await;
    plane.server.trail().finish().await;
    succeed("backup", plane.dir.path(), &file);
    let agent = plane.api.register("gone").await;
    plane.api.revoke(&agent).await;
    plane.server.trail().finish().await;
    let kept = plane.api.get("/v1/audit/checkpoint").await.expect(200);
    let (size, kept) = (kept["size"].as_u64().unwrap(), kept["note"].text());
    let key = plane.api.get("/v1/audit/keys").await.expect(200)["keys"][0]["verifier_key"].text();
    assert_eq!(verified(&plane, &key, &kept).await.outcome, Outcome::Whole);
    plane.server.shutdown().await;

    let done = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"))
        .args(["restore", "--data-dir"])
        .arg(plane.dir.path())
        .args([&file, Path::new("--audit")])
        .arg(other.path().join("kya.backup.audit"))
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("is gone"), "{said}");
    assert!(plane.dir.path().join("audit.db.replaced").is_file());
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    plane.server.trail().finish().await;
    let restored = plane.api.get("/v1/audit/records?type=restored").await.expect(200);
    let record = &restored["records"][0]["record"];
    let sizes = ["trail_size", "replaced_size"].map(|it| record[it].as_u64().unwrap());
    assert!(sizes[0] < size && size <= sizes[1], "{restored}");
    // It is signed as ever, and the checkpoint that was kept shows what it hides.
    let report = verified(&plane, &key, &kept).await;
    let kinds: Vec<_> = report.problems.iter().map(|it| it.kind).collect();
    assert!(matches!(kinds[..], ["rollback"] | ["split_view"]), "{report:?}");
    // Once it is longer than it was, it is another history.
    for n in 0..size {
        plane.api.register(&format!("later-{n}")).await;
    }
    plane.server.trail().finish().await;
    let report = verified(&plane, &key, &kept).await;
    assert_eq!(report.problems[0].kind, "split_view", "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_trail_does_not_take_the_place_of_one() {
    let plane = ControlPlane::start().await;
    let file = plane.dir.path().join("kya.backup");
    succeed("backup", plane.dir.path(), &file);
    plane.server.shutdown().await;
    let before = std::fs::read(plane.dir.path().join("audit.db")).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"))
        .args(["restore", "--data-dir"])
        .arg(plane.dir.path())
        .args([&file, Path::new("--audit"), &file])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert_eq!(std::fs::read(plane.dir.path().join("audit.db")).unwrap(), before);
    assert!(!plane.dir.path().join("audit.db.restoring").exists());
}
