//! What every store owes. The functions know the trait alone; `conformance!`
//! runs all of them on one kind of store.

mod store_conformance;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use kya_control_plane::store::{Cause, SqliteStore, Store};
use kya_control_plane::time::Clock;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use store_conformance::{Fixture, REVOKE, conformance, register};
use support::TestClock;

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.0.path().join("kya.db")
    }
}

#[async_trait::async_trait]
impl Fixture for Sqlite {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path(), clock).await.unwrap())
    }

    async fn back_up(&self) {
        std::fs::copy(self.path(), self.0.path().join("backup")).unwrap();
    }

    async fn put_back(&self) {
        std::fs::copy(self.0.path().join("backup"), self.path()).unwrap();
    }
}

conformance!(Sqlite);

/// What an intruder, or a bug, could try on the file.
async fn raw(fixture: &Sqlite) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(fixture.path());
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test]
async fn the_database_refuses_to_rewrite_history() {
    let fixture = Sqlite::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    store_conformance::decide(&*store, agent, REVOKE).await.unwrap();
    for (name, n) in [("web-1", 1), ("web-2", 2)] {
        store_conformance::register_node(&*store, name, n, None).await.unwrap();
    }
    store.revoke_node("web-1".parse().unwrap(), Cause::default()).await.unwrap();
    let step = store_conformance::announcement(7, 0);
    store.take_key_step(step, Cause::default()).await.unwrap();
    let raw = raw(&fixture).await;
    for forbidden in [
        "UPDATE key_steps SET signed = x''",
        "DELETE FROM key_steps",
        "INSERT OR REPLACE INTO key_steps SELECT * FROM key_steps",
        "INSERT INTO key_steps SELECT revision - 1, action, serial + 1, active, counting, signed,
         actor, reason, incident_id FROM key_steps",
        "UPDATE events SET reason = 'none'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "UPDATE updates SET delta = x''",
        "INSERT INTO updates SELECT revision + 7, epoch, committed_us, delta FROM updates LIMIT 1",
        "UPDATE agents SET status = 'active', revoked_us = NULL",
        "UPDATE agents SET status = 'alive'",
        "UPDATE node_registrations SET revoked_us = NULL",
        "UPDATE node_registrations SET digest = randomblob(32)",
        "UPDATE node_registrations SET node_id = '*'",
        "DELETE FROM node_registrations",
        "INSERT OR REPLACE INTO node_registrations (name, node_id, digest, created_us)
         SELECT name, '*', randomblob(32), 1 FROM node_registrations",
        "INSERT OR REPLACE INTO node_registrations (name, node_id, digest, created_us)
         SELECT 'other', '*', digest, 1 FROM node_registrations",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(store.events_after(0, 10).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_change_that_fails_half_way_leaves_no_trace() {
    let fixture = Sqlite::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    // The event is the last but one statement of the transaction.
    let raw = raw(&fixture).await;
    let break_events = "CREATE TRIGGER broken BEFORE INSERT ON events
                        BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::query(break_events).execute(&raw).await.unwrap();
    assert!(store_conformance::decide(&*store, agent, REVOKE).await.is_err());
    assert_eq!(store.head().await.unwrap().position.revision.0, 1);
    assert_eq!(store.updates_after(kya_core::Revision(0), 10).await.unwrap().len(), 1);
    assert_eq!(store.agent(agent).await.unwrap().status, kya_core::Status::Active);

    sqlx::query("DROP TRIGGER broken").execute(&raw).await.unwrap();
    let revoked = store_conformance::decide(&*store, agent, REVOKE).await.unwrap();
    assert_eq!(revoked.committed.position.revision.0, 2);
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    let fixture = Sqlite::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    register(&*store).await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(fixture.0.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        names.push(entry.file_name());
    }
    assert!(names.len() >= 2, "database and write-ahead log: {names:?}");
}
