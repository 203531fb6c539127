//! The audit trail on SQLite. The functions know the traits alone; `conformance!` runs
//! all of them on one kind of store.

use std::path::Path;
use std::sync::Arc;

use kya_control_plane::store::audit::{AuditStore, SqliteAuditStore};
use kya_control_plane::store::{SqliteStore, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support::TestClock;
use crate::trail_conformance::{
    Fixture, archive, batch, check_that_an_old_trail_goes_on, conformance, donor, ended, open,
    open_at, write_old, write_old_records,
};
use kya_core::audit::Timestamp;

struct Sqlite(tempfile::TempDir);

#[async_trait::async_trait]
impl Fixture for Sqlite {
    const SHARED: bool = false;

    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self, clock: Arc<TestClock>) -> (Arc<dyn Store>, Arc<dyn AuditStore>) {
        let registry = SqliteStore::open(&self.0.path().join("kya.db"), clock).await.unwrap();
        let trail = SqliteAuditStore::open(&self.0.path().join("audit.db")).await.unwrap();
        (Arc::new(registry), Arc::new(trail))
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }
}

conformance!(Sqlite);

#[tokio::test]
async fn the_database_refuses_to_rewrite_history() {
    let fixture = Sqlite::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 9, 1, vec![ended(1); 300])).await;
    it.trail.finish().await;
    let records = it.records().await;
    let options = SqliteConnectOptions::new().filename(fixture.0.path().join("audit.db"));
    let raw = SqlitePool::connect_with(options).await.unwrap();
    for forbidden in [
        "UPDATE audit_bundles SET records = '' WHERE first = 2",
        "UPDATE audit_bundles SET last = last + 1",
        "UPDATE audit_bundles SET until_us = 0",
        "DELETE FROM audit_bundles WHERE last = 301",
        "DELETE FROM audit_bundles WHERE first = 1",
        "DELETE FROM audit_bundles",
        "INSERT OR REPLACE INTO audit_bundles SELECT * FROM audit_bundles WHERE first = 2",
        "INSERT OR IGNORE INTO audit_bundles SELECT 0, 0, 0, 0, 0, zeroblob(32), '{}'",
        // Inside a bundle, at the end, and with a gap behind it.
        "INSERT INTO audit_bundles VALUES (3, 3, 0, 0, 3, zeroblob(32), '{}')",
        "REPLACE INTO audit_bundles VALUES (301, 301, 0, 0, 3, zeroblob(32), '{}')",
        "INSERT INTO audit_bundles VALUES (303, 303, 0, 0, 3, zeroblob(32), '{}')",
        "INSERT INTO audit_bundles VALUES (-1, -1, 0, 0, 3, zeroblob(32), '{}')",
        // Without hashes, and of too many.
        "INSERT INTO audit_bundles VALUES (302, 302, 0, 0, 3, x'', '{}')",
        "INSERT INTO audit_bundles VALUES (302, 600, 0, 0, 3, zeroblob(32 * 299), '{}')",
        "INSERT INTO audit_bundles VALUES (302, 301, 0, 0, 3, x'', '')",
        "UPDATE audit_found SET first = 1",
        "DELETE FROM audit_found WHERE value = (SELECT min(value) FROM audit_found)",
        "DELETE FROM audit_found",
        // A row of its own has only what is in a bundle, and what is there it does not become.
        "INSERT INTO audit_records SELECT 2, 'ended', 0, 0, NULL, NULL, NULL, NULL, NULL,
           '{\"seq\":2,\"type\":\"ended\"}', substr(hashes, 1, 32)
         FROM audit_bundles WHERE first = 2",
        "INSERT INTO audit_records SELECT 302, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, char(10), ''), hashes FROM audit_bundles WHERE first = 1",
        "INSERT INTO audit_records SELECT 1, 'ended', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, char(10), ''), hashes FROM audit_bundles WHERE first = 1",
        "INSERT INTO audit_records SELECT 1, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, char(10), ''), zeroblob(32) FROM audit_bundles WHERE first = 1",
        "UPDATE audit_head SET size = 5",
        "UPDATE audit_head SET hash = zeroblob(32)",
        "UPDATE audit_head SET origin = 'other'",
        "DELETE FROM audit_head",
        "INSERT OR REPLACE INTO audit_head SELECT * FROM audit_head",
        "UPDATE audit_tiles SET hashes = zeroblob(8192)",
        "DELETE FROM audit_tiles",
        "INSERT OR REPLACE INTO audit_tiles SELECT * FROM audit_tiles",
        "UPDATE audit_checkpoints SET note = ''",
        "DELETE FROM audit_checkpoints",
        "INSERT OR REPLACE INTO audit_checkpoints SELECT * FROM audit_checkpoints",
        "UPDATE audit_keys SET verifier_key = ''",
        "DELETE FROM audit_keys",
        "INSERT OR REPLACE INTO audit_keys SELECT * FROM audit_keys",
        "UPDATE audit_sources SET next = 1",
        "UPDATE audit_sources SET instance = 1",
        "INSERT INTO audit_archives VALUES (5, 1, 4, '')",
        "INSERT INTO audit_archives VALUES (900, 1, 4, '')",
        "INSERT INTO audit_archives VALUES (1, 0, 0, '')",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
    // What is in a bundle may get a row of its own, once, and may then not be changed there.
    let own = "INSERT OR REPLACE INTO audit_records
               SELECT 1, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
                 replace(records, char(10), ''), hashes FROM audit_bundles WHERE first = 1";
    sqlx::query(own).execute(&raw).await.unwrap();
    for forbidden in [
        own,
        "UPDATE audit_records SET record = '{}'",
        "DELETE FROM audit_records",
        "DELETE FROM audit_bundles WHERE first = 1",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
    // Of what is archived, what is kept and what is not archived yet must have a row.
    archive(&it, 1, 100).await;
    for forbidden in [
        "DELETE FROM audit_bundles",
        "DELETE FROM audit_bundles WHERE last > 100",
        "INSERT INTO audit_archives SELECT seq + 1, 101, 200, '' FROM audit_archives",
        "INSERT OR REPLACE INTO audit_archives SELECT seq, first, last + 1, '' FROM audit_archives",
        "DELETE FROM audit_archives",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_from_before_there_were_bundles_goes_on() {
    let (before, fixture) = (Sqlite::new().await, Sqlite::new().await);
    let donor = donor(&open(&before).await).await;
    let options = SqliteConnectOptions::new()
        .filename(fixture.0.path().join("audit.db"))
        .create_if_missing(true);
    let raw = SqlitePool::connect_with(options).await.unwrap();
    let mut old = sqlx::migrate!("migrations/audit-sqlite");
    let is_old = |it: &&sqlx::migrate::Migration| it.version < 6;
    old.migrations = old.migrations.iter().filter(is_old).cloned().collect();
    old.run(&raw).await.unwrap();
    write_old_records!(&raw, &donor);
    write_old!(&raw, &donor);
    raw.close().await;
    let it = open_at(&fixture, before.dir(), 2_000).await;
    check_that_an_old_trail_goes_on(&it, &donor).await;
}
