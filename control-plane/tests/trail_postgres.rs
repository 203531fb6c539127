//! The audit trail on PostgreSQL, with two servers where a test wants two.

use std::path::Path;
use std::sync::Arc;

use kya_control_plane::store::audit::{AuditStore, PostgresAuditStore};
use kya_control_plane::store::{PostgresStore, Store};
use sqlx::Executor;

use crate::support::TestClock;
use crate::support::postgres::Database;
use crate::trail_conformance::{
    Fixture, archive, batch, check_that_an_old_trail_goes_on, conformance, donor, ended, open,
    open_at, write_old, write_old_records,
};
use kya_core::audit::Timestamp;

struct Postgres(Database, tempfile::TempDir);

#[async_trait::async_trait]
impl Fixture for Postgres {
    const SHARED: bool = true;

    async fn new() -> Self {
        Self(Database::new().await, tempfile::tempdir().unwrap())
    }

    async fn open(&self, clock: Arc<TestClock>) -> (Arc<dyn Store>, Arc<dyn AuditStore>) {
        let registry = PostgresStore::open(&self.0.url(), clock).await.unwrap();
        let trail = PostgresAuditStore::open(&self.0.url()).await.unwrap();
        (Arc::new(registry), Arc::new(trail))
    }

    fn dir(&self) -> &Path {
        self.1.path()
    }
}

conformance!(Postgres);

#[tokio::test]
async fn the_database_refuses_to_rewrite_history() {
    let fixture = Postgres::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 9, 1, vec![ended(1); 300])).await;
    it.trail.finish().await;
    let records = it.records().await;
    let raw = fixture.0.raw().await;
    for forbidden in [
        "UPDATE audit_bundles SET records = '' WHERE first = 2",
        "UPDATE audit_bundles SET last = last + 1",
        "UPDATE audit_bundles SET until_us = 0",
        "DELETE FROM audit_bundles WHERE last = 301",
        "DELETE FROM audit_bundles WHERE first = 1",
        "DELETE FROM audit_bundles",
        "TRUNCATE audit_bundles",
        "TRUNCATE audit_records",
        "INSERT INTO audit_bundles SELECT * FROM audit_bundles WHERE first = 2
         ON CONFLICT (first) DO UPDATE SET records = '{}'",
        // Inside a bundle, at the end, and with a gap behind it.
        "INSERT INTO audit_bundles VALUES (3, 3, 0, 0, 3, sha256(''), '{}')",
        "INSERT INTO audit_bundles VALUES (301, 301, 0, 0, 3, sha256(''), '{}')",
        "INSERT INTO audit_bundles VALUES (303, 303, 0, 0, 3, sha256(''), '{}')",
        "INSERT INTO audit_bundles VALUES (0, 0, 0, 0, 3, sha256(''), '{}')",
        // Two, of which the second leaves a gap.
        "INSERT INTO audit_bundles VALUES (302, 302, 0, 0, 3, sha256(''), '{}'),
                                          (304, 304, 0, 0, 3, sha256(''), '{}')",
        // Without hashes, and of too many.
        "INSERT INTO audit_bundles VALUES (302, 302, 0, 0, 3, '', '{}')",
        "INSERT INTO audit_bundles VALUES (302, 600, 0, 0, 3, decode(repeat('00', 32 * 299), 'hex'), '{}')",
        "INSERT INTO audit_bundles VALUES (302, 301, 0, 0, 3, '', '')",
        "UPDATE audit_found SET first = 1",
        "DELETE FROM audit_found WHERE value = (SELECT min(value) FROM audit_found)",
        "DELETE FROM audit_found",
        "TRUNCATE audit_found",
        // A row of its own has only what is in a bundle, and what is there it does not become.
        "INSERT INTO audit_records SELECT 2, 'ended', 0, 0, NULL, NULL, NULL, NULL, NULL,
           '{\"seq\":2,\"type\":\"ended\"}', substr(hashes, 1, 32)
         FROM audit_bundles WHERE first = 2",
        "INSERT INTO audit_records SELECT 302, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, chr(10), ''), hashes FROM audit_bundles WHERE first = 1",
        "INSERT INTO audit_records SELECT 1, 'ended', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, chr(10), ''), hashes FROM audit_bundles WHERE first = 1",
        "INSERT INTO audit_records SELECT 1, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
           replace(records, chr(10), ''), sha256('') FROM audit_bundles WHERE first = 1",
        "UPDATE audit_head SET size = 5",
        "UPDATE audit_head SET hash = decode(repeat('00', 32), 'hex')",
        "UPDATE audit_head SET origin = 'other'",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        "UPDATE audit_tiles SET tile = 7",
        "DELETE FROM audit_tiles",
        "TRUNCATE audit_tiles",
        "UPDATE audit_checkpoints SET note = ''",
        "DELETE FROM audit_checkpoints",
        "TRUNCATE audit_checkpoints",
        "UPDATE audit_keys SET verifier_key = ''",
        "DELETE FROM audit_keys",
        "TRUNCATE audit_keys",
        "UPDATE audit_sources SET next = 1",
        "UPDATE audit_sources SET instance = 1",
        "INSERT INTO audit_archives VALUES (5, 1, 4, '')",
        "INSERT INTO audit_archives VALUES (900, 1, 4, '')",
        "INSERT INTO audit_archives VALUES (1, 0, 0, '')",
        "TRUNCATE audit_archives",
    ] {
        let refused = raw.execute(forbidden).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
    // What is in a bundle may get a row of its own, once, and may then not be changed there.
    let own = "INSERT INTO audit_records SELECT 1, 'key', 0, 0, NULL, NULL, NULL, NULL, NULL,
                 replace(records, chr(10), ''), hashes FROM audit_bundles WHERE first = 1
               ON CONFLICT (seq) DO UPDATE SET record = '{}'";
    raw.execute(own).await.unwrap();
    for forbidden in [
        own,
        "UPDATE audit_records SET record = '{}'",
        "DELETE FROM audit_records",
        "DELETE FROM audit_bundles WHERE first = 1",
    ] {
        let refused = raw.execute(forbidden).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
    // Of what is archived, what is kept and what is not archived yet must have a row.
    archive(&it, 1, 100).await;
    for forbidden in [
        "DELETE FROM audit_bundles",
        "DELETE FROM audit_bundles WHERE last > 100",
        "INSERT INTO audit_archives SELECT seq + 1, 101, 200, '' FROM audit_archives",
        "INSERT INTO audit_archives SELECT seq, 101, last + 1, '' FROM audit_archives",
        "DELETE FROM audit_archives",
    ] {
        let refused = raw.execute(forbidden).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_from_before_there_were_bundles_goes_on() {
    let (before, fixture) = (Postgres::new().await, Postgres::new().await);
    let donor = donor(&open(&before).await).await;
    let raw = fixture.0.raw().await;
    let mut old = sqlx::migrate!("migrations/postgres");
    let is_old = |it: &&sqlx::migrate::Migration| it.version < 29;
    old.migrations = old.migrations.iter().filter(is_old).cloned().collect();
    old.run(&raw).await.unwrap();
    write_old_records!(&raw, &donor);
    write_old!(&raw, &donor);
    let it = open_at(&fixture, before.dir(), 2_000).await;
    check_that_an_old_trail_goes_on(&it, &donor).await;
}
