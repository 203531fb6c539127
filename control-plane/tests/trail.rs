//! The audit trail on SQLite. The functions know the traits alone; `conformance!` runs
//! all of them on one kind of store.

use std::path::Path;
use std::sync::Arc;

use kya_control_plane::store::audit::{AuditStore, SqliteAuditStore};
use kya_control_plane::store::{SqliteStore, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support::TestClock;
use crate::trail_conformance::{Fixture, batch, conformance, ended, open};

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
        "UPDATE audit_records SET record = '{}' WHERE seq = 2",
        "UPDATE audit_records SET agent_id = NULL",
        "DELETE FROM audit_records WHERE seq = 301",
        "DELETE FROM audit_records",
        "INSERT OR REPLACE INTO audit_records SELECT * FROM audit_records WHERE seq = 2",
        "REPLACE INTO audit_records SELECT 2, type, 0, 0, NULL, NULL, NULL, NULL, NULL, '{}', hash
         FROM audit_records WHERE seq = 3",
        "INSERT INTO audit_records SELECT 0, type, 0, 0, NULL, NULL, NULL, NULL, NULL, '{}', hash
         FROM audit_records WHERE seq = 3",
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
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
}
