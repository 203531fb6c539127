//! What every store owes. The functions know the trait alone; `conformance!`
//! runs all of them on one kind of store.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use kya_control_plane::store::{
    AgentFilter, Cause, KEYS_KEPT, KeyState, MAX_KEYS_OF_AN_OPERATOR, RECORDS_A_PAGE, SqliteStore,
    Store,
};
use kya_control_plane::time::Clock;
use kya_core::{Standing, Status, UnixSeconds};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::store_conformance;
use crate::store_conformance::{Fixture, REVOKE, conformance, register, request};
use crate::support;
use crate::support::TestClock;
use crate::support::state::Known;

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

/// A file that no store has opened.
async fn raw_new(fixture: &Sqlite) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(fixture.path()).create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}

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
    for (name, n) in [("one", 1), ("two", 2)] {
        store_conformance::add_operator(&*store, name, n, None).await.unwrap();
    }
    store.revoke_operator("one".parse().unwrap(), Cause::default()).await.unwrap();
    store_conformance::stop_everything(&*store, agent).await;
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
        "INSERT INTO updates SELECT revision + 70, epoch, committed_us, delta FROM updates LIMIT 1",
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
        "UPDATE operators SET revoked_us = NULL, revoked_by = NULL",
        "UPDATE operators SET revoked_reason = 'none' WHERE name = 'one'",
        "UPDATE operators SET role = 'admin' WHERE name = 'two'",
        "UPDATE operators SET digest = randomblob(32) WHERE name = 'two'",
        "UPDATE operators SET expires_s = 4000000000 WHERE name = 'two'",
        "DELETE FROM operators",
        "INSERT OR REPLACE INTO operators (name, role, digest, created_us, created_by)
         SELECT name, 'admin', randomblob(32), 1, 'x' FROM operators",
        "INSERT OR REPLACE INTO operators (name, role, digest, created_us, created_by)
         SELECT 'other', 'admin', digest, 1, 'x' FROM operators",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         VALUES ('aDmin', 'admin', randomblob(32), 1, 'x')",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         VALUES ('root', 'root', randomblob(32), 1, 'x')",
        "UPDATE principals SET status = 'active', revoked_us = NULL",
        "UPDATE principals SET name = 'bob'",
        "DELETE FROM principals",
        "UPDATE capabilities SET status = 'active', revoked_us = NULL",
        "DELETE FROM capabilities",
        "UPDATE fleet SET status = 'revoked'",
        "UPDATE agents SET principal_id = NULL",
        "UPDATE agents SET labels = 'env=prod'",
        "UPDATE agents SET expires_s = 4000000000",
        "INSERT OR REPLACE INTO principals SELECT * FROM principals",
        "INSERT OR REPLACE INTO capabilities SELECT * FROM capabilities",
        "UPDATE agents SET in_flight = 'vanish'",
        "UPDATE grants SET agent_id = x'00000000000000000000000000000000'",
        "DELETE FROM grants",
        "INSERT OR REPLACE INTO grants SELECT * FROM grants",
        "INSERT INTO grants SELECT 2147483648, agent_id FROM grants",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(store.events_after(0, 20).await.unwrap().len(), 13);
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
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Active);

    sqlx::query("DROP TRIGGER broken").execute(&raw).await.unwrap();
    let revoked = store_conformance::decide(&*store, agent, REVOKE).await.unwrap();
    assert_eq!(revoked.committed.position.revision.0, 2);
}

#[tokio::test]
async fn a_database_from_before_there_were_grants_gets_them() {
    let fixture = Sqlite::new().await;
    let database = raw_new(&fixture).await;
    let mut first = sqlx::migrate!("migrations/sqlite");
    first.migrations = first.migrations[..1].to_vec().into();
    first.run(&database).await.unwrap();
    for statement in [
        "INSERT INTO head VALUES (1, 5, 4, 9000000)",
        "INSERT INTO agents (id, name, status, created_us, revoked_us, status_changed_us, revision)
         VALUES (zeroblob(16), 'kept', 'active', 1, NULL, 1, 1),
                (randomblob(16), 'gone', 'revoked', 1, 2, 2, 2)",
        "INSERT INTO tokens
         VALUES (zeroblob(16), zeroblob(32), zeroblob(16), 3000000, 4000000000, NULL, 3),
                (randomblob(16), randomblob(32), zeroblob(16), 3000000, 4000000000, 4, 4)",
    ] {
        sqlx::query(statement).execute(&database).await.unwrap();
    }
    database.close().await;

    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let (position, records) = store_conformance::records(&*store, 0).await;
    assert_eq!(position.revision.0, 4);
    let known = Known::replay(records);
    assert_eq!((known.agents.len(), known.grants.len(), known.tokens.len()), (2, 2, 2));
    let standing = |id| known.agents[id].standing;
    let (kept, gone) = (known.agents.keys().next().unwrap(), known.agents.keys().last().unwrap());
    assert_eq!(standing(kept), Standing::new(Status::Active));
    assert_eq!(standing(gone), Standing::new(Status::Revoked));
    for token in known.tokens.values() {
        assert_eq!(known.grants[&token.grant.get()], *kept);
        assert_eq!((token.issued.0, token.expires.0), (3, 4_000_000_000));
    }
    assert_eq!(known.tokens.values().filter(|token| token.revoked).count(), 1);
    // And it goes on: a new agent gets an index that nobody has.
    register(&*store).await;
    let known = Known::replay(store_conformance::records(&*store, 0).await.1);
    assert_eq!(known.grants.len(), 3);
}

#[tokio::test]
async fn what_was_decided_before_there_were_operators_was_decided_by_the_admin() {
    let fixture = Sqlite::new().await;
    let database = raw_new(&fixture).await;
    let mut before = sqlx::migrate!("migrations/sqlite");
    before.migrations = before.migrations[..4].to_vec().into();
    before.run(&database).await.unwrap();
    for statement in [
        "INSERT INTO head VALUES (1, 5, 1, 9000000)",
        "INSERT INTO agents (id, name, status, created_us, revoked_us, status_changed_us, revision)
         VALUES (zeroblob(16), 'gone', 'revoked', 1, 2, 2, 1)",
        "INSERT INTO node_registrations (name, node_id, digest, created_us, revoked_us)
         VALUES ('shut', '*', randomblob(32), 1, 2), ('open', '*', randomblob(32), 1, NULL)",
    ] {
        sqlx::query(statement).execute(&database).await.unwrap();
    }
    database.close().await;

    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    assert_eq!(
        store.agents(AgentFilter::default(), None, 9).await.unwrap()[0].status_actor,
        "admin"
    );
    let nodes = store.nodes(None, 9).await.unwrap();
    let by: Vec<_> = nodes.iter().map(|node| node.revoked_by.as_deref()).collect();
    assert_eq!(by, [None, Some("admin")]);
    let raw = raw(&fixture).await;
    let refused =
        sqlx::query("UPDATE node_registrations SET revoked_us = NULL").execute(&raw).await;
    assert!(refused.is_err(), "a revocation is still final");
}

#[tokio::test]
async fn many_records_come_in_pages() {
    let fixture = Sqlite::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    register(&*store).await;
    let count = 2 * RECORDS_A_PAGE as u32 + 1;
    support::database::add_tokens(fixture.0.path(), count).await;
    let (_, records) = store_conformance::records(&*store, 0).await;
    assert_eq!(Known::replay(records).tokens.len(), count as usize);
    // Whoever takes no more ends it.
    let (pages, mut read) = tokio::sync::mpsc::channel(1);
    let first = async {
        let page: Vec<_> = read.recv().await.unwrap();
        drop(read);
        page.len()
    };
    let (ended, first) = tokio::join!(store.records(UnixSeconds(0), pages), first);
    assert!(ended.is_ok() && first < RECORDS_A_PAGE);
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

#[tokio::test]
async fn an_operator_has_so_many_keys_and_no_more() {
    let fixture = Sqlite::new().await;
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    let add = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)
               INSERT INTO keyed_requests (operator, key_digest, request_digest, began_s)
               SELECT 'ann', randomblob(32), zeroblob(32), 1 FROM n";
    let count = MAX_KEYS_OF_AN_OPERATOR - 1;
    sqlx::query(add).bind(count).execute(&raw(&fixture).await).await.unwrap();
    let begin = async |operator, key| store.begin_request(request(operator, key, 1)).await.unwrap();
    assert_eq!(begin("ann", 1).await, KeyState::Begun);
    assert_eq!(begin("ann", 2).await, KeyState::TooMany);
    assert_eq!(begin("ann", 1).await, KeyState::UnderWay);
    assert_eq!(begin("bob", 2).await, KeyState::Begun, "others have their own");
    clock.set(1 + KEYS_KEPT);
    assert_eq!(begin("ann", 2).await, KeyState::Begun);
}
