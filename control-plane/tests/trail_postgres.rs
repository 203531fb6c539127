//! The audit trail on PostgreSQL, with two servers where a test wants two.

use std::path::Path;
use std::sync::Arc;

use kya_control_plane::store::audit::{AuditStore, PostgresAuditStore};
use kya_control_plane::store::{PostgresStore, Store};
use sqlx::Executor;

use crate::support::TestClock;
use crate::support::postgres::Database;
use crate::trail_conformance::{Fixture, batch, conformance, ended, open};

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
        "UPDATE audit_records SET record = '{}' WHERE seq = 2",
        "DELETE FROM audit_records WHERE seq = 301",
        "DELETE FROM audit_records",
        "TRUNCATE audit_records",
        "INSERT INTO audit_records SELECT * FROM audit_records WHERE seq = 2",
        "INSERT INTO audit_records SELECT * FROM audit_records WHERE seq = 2
         ON CONFLICT (seq) DO UPDATE SET record = '{}'",
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
        "TRUNCATE audit_archives",
    ] {
        let refused = raw.execute(forbidden).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(it.records().await, records);
}
