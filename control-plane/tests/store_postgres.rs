//! What every store owes, by the store in PostgreSQL; and what that owes besides.

use std::sync::Arc;
use std::time::Duration;

use kya_control_plane::store::{AgentFilter, Cause, PostgresStore, RECORDS_A_PAGE, Store};
use kya_control_plane::time::{Clock, UnixMicros};
use kya_core::{OperatorKey, PublicKey, Revision, Signer, Status, UnixSeconds};
use sqlx::Executor;

use crate::store_conformance;
use crate::store_conformance::{Fixture, REVOKE, conformance, decide, register};
use crate::support;
use crate::support::TestClock;
use crate::support::postgres::{Database, cluster};
use crate::support::silence::Way;

struct Postgres(Database);

#[async_trait::async_trait]
impl Fixture for Postgres {
    async fn new() -> Self {
        Self(Database::new().await)
    }

    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.0.url(), clock).await.unwrap())
    }

    async fn closed(&self) {
        self.0.is_left().await;
    }

    async fn back_up(&self) {
        self.0.back_up().await;
    }

    async fn put_back(&self) {
        self.0.put_back().await;
    }
}

conformance!(Postgres);

async fn epoch(store: &dyn Store) -> u64 {
    store.head().await.unwrap().position.epoch
}

#[tokio::test]
async fn the_database_refuses_to_rewrite_history() {
    let fixture = Postgres::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    decide(&*store, agent, REVOKE).await.unwrap();
    for (name, n) in [("web-1", 1), ("web-2", 2)] {
        store_conformance::register_node(&*store, name, n, None).await.unwrap();
    }
    store.revoke_node("web-1".parse().unwrap(), Cause::default()).await.unwrap();
    for (name, n) in [("one", 1), ("two", 2)] {
        store_conformance::add_operator(&*store, name, n, None).await.unwrap();
    }
    store.revoke_operator("one".parse().unwrap(), Cause::default()).await.unwrap();
    store_conformance::stop_everything(&*store, agent).await;
    store.take_key_step(store_conformance::announcement(7, 0), Cause::default()).await.unwrap();
    store.first_key(Some(key(1))).await.unwrap();
    let raw = fixture.0.raw().await;
    for forbidden in [
        "UPDATE key_steps SET signed = ''",
        "DELETE FROM key_steps",
        "TRUNCATE key_steps",
        "INSERT INTO key_steps SELECT revision - 1, action, serial + 1, active, counting, signed,
         actor, reason, incident_id FROM key_steps",
        "INSERT INTO key_steps SELECT revision + 1, action, serial, active, counting, signed,
         actor, reason, incident_id FROM key_steps",
        "UPDATE events SET reason = 'none'",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE updates SET delta = ''",
        "TRUNCATE updates CASCADE",
        "INSERT INTO updates SELECT revision + 70, epoch, committed_us, delta FROM updates LIMIT 1",
        "UPDATE agents SET status = 'active', revoked_us = NULL",
        "UPDATE agents SET status = 'alive'",
        "UPDATE principals SET status = 'active', revoked_us = NULL",
        "UPDATE principals SET name = 'bob'",
        "DELETE FROM principals",
        "UPDATE capabilities SET status = 'active', revoked_us = NULL",
        "DELETE FROM capabilities",
        "UPDATE fleet SET status = 'revoked'",
        "UPDATE agents SET principal_id = NULL",
        "UPDATE agents SET labels = 'env=prod'",
        "UPDATE agents SET expires_s = 4000000000",
        "TRUNCATE principals CASCADE",
        "TRUNCATE capabilities",
        "UPDATE agents SET in_flight = 'vanish'",
        "UPDATE node_registrations SET revoked_us = NULL",
        "UPDATE node_registrations SET digest = sha256('x')",
        "UPDATE node_registrations SET node_id = '*'",
        "DELETE FROM node_registrations",
        "TRUNCATE node_registrations",
        "UPDATE operators SET revoked_us = NULL, revoked_by = NULL",
        "UPDATE operators SET revoked_reason = 'none' WHERE name = 'one'",
        "UPDATE operators SET revoked_us = 1 WHERE name = 'two'",
        "UPDATE operators SET name = 'three' WHERE name = 'two'",
        "UPDATE operators SET role = 'admin' WHERE name = 'two'",
        "UPDATE operators SET digest = sha256('x') WHERE name = 'two'",
        "UPDATE operators SET expires_s = 4000000000 WHERE name = 'two'",
        "DELETE FROM operators",
        "TRUNCATE operators",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         SELECT name, 'admin', sha256('x'), 1, 'x' FROM operators WHERE name = 'two'
         ON CONFLICT (name) DO UPDATE SET role = 'admin', digest = sha256('x')",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         SELECT 'other', 'admin', digest, 1, 'x' FROM operators WHERE name = 'two'",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         VALUES ('aDmin', 'admin', sha256('x'), 1, 'x')",
        "INSERT INTO operators (name, role, digest, created_us, created_by)
         VALUES ('root', 'root', sha256('x'), 1, 'x')",
        "UPDATE grants SET agent_id = sha256('x')",
        "DELETE FROM grants",
        "TRUNCATE grants CASCADE",
        "INSERT INTO grants SELECT 2147483648, agent_id FROM grants",
        "UPDATE first_key SET public_key = 'other'",
        "DELETE FROM first_key",
        "INSERT INTO head SELECT 2, epoch, revision, committed_us FROM head",
    ] {
        let refused = sqlx::query(forbidden).execute(&raw).await;
        assert!(refused.is_err(), "the database allowed: {forbidden}");
    }
    assert_eq!(store.events_after(0, 20).await.unwrap().len(), 13);
    assert_eq!(store.head().await.unwrap().position.revision, Revision(7));
}

#[tokio::test]
async fn a_change_that_fails_half_way_leaves_no_trace() {
    let fixture = Postgres::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    let raw = fixture.0.raw().await;
    let break_events = "CREATE TRIGGER broken BEFORE INSERT ON events
                        FOR EACH ROW EXECUTE FUNCTION kya_refuse('disk full')";
    raw.execute(break_events).await.unwrap();
    assert!(decide(&*store, agent, REVOKE).await.is_err());
    assert_eq!(store.head().await.unwrap().position.revision.0, 1);
    assert_eq!(store.updates_after(Revision(0), 10).await.unwrap().len(), 1);
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Active);

    raw.execute("DROP TRIGGER broken ON events").await.unwrap();
    let revoked = decide(&*store, agent, REVOKE).await.unwrap();
    assert_eq!(revoked.committed.position.revision.0, 2);
}

#[tokio::test]
async fn who_opens_while_another_is_there_joins_its_epoch_and_the_last_one_ends_it() {
    let fixture = Postgres::new().await;
    let first = fixture.open(Arc::new(TestClock::at(50))).await;
    let second = fixture.open(Arc::new(TestClock::at(60))).await;
    assert_eq!((epoch(&*first).await, epoch(&*second).await), (50_000, 50_000));
    first.close().await;
    let third = fixture.open(Arc::new(TestClock::at(70))).await;
    assert_eq!(epoch(&*third).await, 50_000, "the second held on to it");
    second.close().await;
    third.close().await;
    fixture.closed().await;
    let alone = fixture.open(Arc::new(TestClock::at(80))).await;
    assert_eq!(epoch(&*alone).await, 80_000);
}

#[tokio::test]
async fn of_many_that_open_at_once_one_begins_the_epoch() {
    let fixture = Postgres::new().await;
    let mut opening = tokio::task::JoinSet::new();
    for second in 1..=6 {
        let url = fixture.0.url();
        opening.spawn(async move {
            PostgresStore::open(&url, Arc::new(TestClock::at(second))).await.unwrap()
        });
    }
    let stores = opening.join_all().await;
    let mut epochs = Vec::new();
    for store in &stores {
        epochs.push(epoch(store).await);
    }
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
}

#[tokio::test]
async fn one_lost_connection_ends_no_epoch_and_the_loss_of_all_does() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    clock.set(60);
    assert_eq!(fixture.0.end_connections(true).await, 1);
    support::eventually("it listens again", async || fixture.0.listening().await == 1).await;
    assert_eq!(epoch(&*store).await, 50_000);
    // As when the database was started again: who knows by what it was replaced.
    clock.set(70);
    assert!(fixture.0.end_connections(false).await >= 2);
    support::eventually("it is connected again", async || {
        store.head().await.is_ok_and(|head| head.position.epoch == 70_000)
    })
    .await;
    let revoked = decide(&*store, agent, REVOKE).await.unwrap().committed.position;
    assert_eq!((revoked.epoch, revoked.revision), (70_000, Revision(2)));
}

#[tokio::test]
async fn a_dump_that_is_put_back_under_a_running_server_begins_an_epoch() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    let dump = fixture.0.dump();
    let lost = decide(&*store, agent, REVOKE).await.unwrap().committed.position;
    assert_eq!(store.head().await.unwrap().position, lost);
    fixture.0.restore(&dump);
    // The same tables by their names, and others: nothing is written on the old lease.
    let again = decide(&*store, agent, REVOKE).await.unwrap().committed.position;
    assert_eq!(again.revision, lost.revision);
    assert_eq!(again.epoch, 50_001, "later than what was lost, by a clock that stands still");
}

#[tokio::test]
async fn a_dump_that_is_put_back_is_noticed_by_who_only_reads() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock).await;
    let dump = fixture.0.dump();
    register(&*store).await;
    let lost = store.head().await.unwrap().position;
    fixture.0.restore(&dump);
    // By the connection that it asks on, or by a new one that joins.
    support::eventually("a new epoch has begun", async || {
        let head = store.head().await.map(|head| head.position);
        head.is_ok_and(|head| (head.epoch, head.revision) == (lost.epoch + 1, Revision(0)))
    })
    .await;
}

#[tokio::test]
async fn what_was_decided_before_there_were_operators_was_decided_by_the_admin() {
    let fixture = Postgres::new().await;
    let raw = fixture.0.raw().await;
    let mut before = sqlx::migrate!("migrations/postgres");
    before.migrations = before.migrations[..2].to_vec().into();
    before.run(&raw).await.unwrap();
    for statement in [
        "INSERT INTO head VALUES (1, 5, 1, 9000000)",
        "INSERT INTO agents (id, name, status, created_us, revoked_us, status_changed_us, revision)
         VALUES (decode(repeat('00', 16), 'hex'), 'gone', 'revoked', 1, 2, 2, 1)",
        "INSERT INTO node_registrations (name, node_id, digest, created_us, revoked_us)
         VALUES ('shut', '*', sha256('shut'), 1, 2), ('open', '*', sha256('open'), 1, NULL)",
    ] {
        raw.execute(statement).await.unwrap();
    }

    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    assert_eq!(
        store.agents(AgentFilter::default(), None, 9).await.unwrap()[0].status_actor,
        "admin"
    );
    let nodes = store.nodes(None, 9).await.unwrap();
    let by: Vec<_> = nodes.iter().map(|node| node.revoked_by.as_deref()).collect();
    assert_eq!(by, [None, Some("admin")]);
    let refused = raw.execute("UPDATE node_registrations SET revoked_us = NULL").await;
    assert!(refused.is_err(), "a revocation is still final");
}

#[tokio::test]
async fn whoever_reads_a_lot_keeps_no_operator_out() {
    let fixture = Postgres::new().await;
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let raw = fixture.0.raw().await;
    let crowd = format!(
        "INSERT INTO agents (id, name, status, created_us, status_changed_us, revision)
         SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), 'crowd', 'active', 1, 1, 1
         FROM generate_series(1, {}) n",
        3 * RECORDS_A_PAGE
    );
    raw.execute(sqlx::AssertSqlSafe(crowd)).await.unwrap();
    // Each has one of the publisher's two connections, which it keeps while nobody takes
    // the next page.
    let (mut reading, mut pages) = (tokio::task::JoinSet::new(), Vec::new());
    for _ in 0..2 {
        let (page, mut read) = tokio::sync::mpsc::channel(1);
        let store = Arc::clone(&store);
        reading.spawn(async move { store.records(UnixSeconds(0), page).await });
        assert_eq!(read.recv().await.unwrap().len(), RECORDS_A_PAGE);
        pages.push(read);
    }
    let late = tokio::time::timeout(Duration::from_millis(200), store.head()).await;
    assert!(late.is_err(), "there is a connection left");
    assert!(store.nodes(None, 1).await.unwrap().is_empty(), "others read on");
    let digest = OperatorKey::from_random([7; 32]).digest();
    assert_eq!(store.operator_by_key(digest).await.unwrap(), None);
    drop(pages);
    reading.join_all().await;
    store.head().await.unwrap();
}

async fn by_a_way_that_falls_silent() -> (Database, Way, Arc<PostgresStore>) {
    let database = Database::new().await;
    let way = Way::to(cluster().folder());
    let url = database.url_by("kya", way.folder()).parse().unwrap();
    let store = PostgresStore::open(&url, Arc::new(TestClock::at(50))).await.unwrap();
    (database, way, Arc::new(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_have_fallen_silent_are_replaced_in_an_epoch_of_their_own() {
    let (_database, way, store) = by_a_way_that_falls_silent().await;
    let agent = register(&*store).await;
    way.fall_silent();
    let revoked = decide(&*store, agent, REVOKE).await.unwrap().committed.position;
    // They may be to another machine.
    assert_eq!((revoked.epoch, revoked.revision), (50_001, Revision(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_to_which_no_answer_comes_is_given_up_and_the_next_one_is_made() {
    let (database, way, store) = by_a_way_that_falls_silent().await;
    let agent = register(&*store).await;
    let raw = database.raw().await;
    let mut lock = raw.begin().await.unwrap();
    lock.execute("SELECT FROM head FOR UPDATE").await.unwrap();
    let writing = Arc::clone(&store);
    let waiting = tokio::spawn(async move { decide(&*writing, agent, REVOKE).await });
    support::eventually("it waits for the lock", async || {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits: i64 = sqlx::query_scalar(waits).fetch_one(&raw).await.unwrap();
        waits == 1
    })
    .await;
    way.fall_silent();
    lock.rollback().await.unwrap();
    let mut told = store.commits();
    let error = tokio::time::timeout(support::PATIENCE, waiting).await.unwrap().unwrap();
    let error = error.unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
    // New connections, and one that listens.
    decide(&*store, agent, REVOKE).await.unwrap();
    tokio::time::timeout(support::PATIENCE, told.next()).await.expect("it listens again");
}

#[tokio::test]
async fn a_connection_that_loses_its_lease_writes_nothing_on_it() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    // As a pooler does that gives connections to somebody else between transactions.
    let raw = fixture.0.raw().await;
    let meddle = "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN PERFORM pg_advisory_unlock_all(); RETURN NEW; END $$;
                  CREATE TRIGGER meddle AFTER INSERT ON events
                  FOR EACH ROW EXECUTE FUNCTION meddle();";
    raw.execute(meddle).await.unwrap();
    clock.set(60);
    decide(&*store, agent, store_conformance::SUSPEND).await.unwrap();
    raw.execute("DROP TRIGGER meddle ON events").await.unwrap();
    // On another connection, which has joined.
    let revoked = decide(&*store, agent, REVOKE).await.unwrap().committed.position;
    assert_eq!(revoked.revision, Revision(3));
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let held: i64 = sqlx::query_scalar(held).fetch_one(&raw).await.unwrap();
    assert!(held >= 1, "somebody holds a lease again");
}

#[tokio::test]
async fn a_commit_is_told_to_every_server() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(1));
    let (here, there) = (fixture.open(clock.clone()).await, fixture.open(clock).await);
    let mut told = there.commits();
    let mut wait = async || tokio::time::timeout(support::PATIENCE, told.next()).await.unwrap();
    let agent = register(&*here).await;
    wait().await;
    decide(&*here, agent, REVOKE).await.unwrap();
    wait().await;
    store_conformance::register_node(&*here, "web", 1, None).await.unwrap();
    wait().await;
    assert_eq!(there.newest_event().await.unwrap(), 3);
}

fn key(n: u8) -> PublicKey {
    Signer::from_seed([n; 32]).public_key()
}

#[tokio::test]
async fn the_first_key_on_record_stays_so_whoever_comes_later() {
    let fixture = Postgres::new().await;
    let clock = Arc::new(TestClock::at(1));
    let (here, there) = (fixture.open(clock.clone()).await, fixture.open(clock).await);
    assert_eq!(here.first_key(None).await.unwrap(), None);
    assert_eq!(here.first_key(Some(key(1))).await.unwrap(), Some(key(1)));
    assert_eq!(there.first_key(Some(key(2))).await.unwrap(), Some(key(1)));
    assert_eq!(there.first_key(None).await.unwrap(), Some(key(1)));
}

#[tokio::test]
async fn a_commit_is_on_disk_even_where_the_database_is_set_up_otherwise() {
    let fixture = Postgres::new().await;
    for (set, kept) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
        let name = &fixture.0.name;
        let alter = format!("ALTER DATABASE {name} SET synchronous_commit = {set}");
        cluster().run(alter).await;
        let store = fixture.open(Arc::new(TestClock::at(1))).await;
        // What the connection that writes has, as the row that it writes.
        let raw = fixture.0.raw().await;
        let spy = "CREATE OR REPLACE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN NEW.reason := current_setting('synchronous_commit'); RETURN NEW; END $$;
                   CREATE OR REPLACE TRIGGER spy BEFORE INSERT ON events
                   FOR EACH ROW EXECUTE FUNCTION spy();";
        raw.execute(spy).await.unwrap();
        store_conformance::register_node(&*store, set.trim_matches('_'), set.len() as u8, None)
            .await
            .unwrap();
        let event = store.events_after(store.newest_event().await.unwrap() - 1, 1).await.unwrap();
        assert_eq!(event[0].cause.reason.as_deref(), Some(kept));
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_so_that_it_can_be_mended() {
    let database = Database::new().await;
    let locked = format!("{}_locked", database.name);
    cluster().run("CREATE ROLE locked LOGIN PASSWORD 'right'".to_owned()).await;
    cluster().run("CREATE ROLE reader LOGIN".to_owned()).await;
    let open = async |url: String| {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::at(1));
        let opened = PostgresStore::open(&url.parse().unwrap(), clock).await;
        opened.unwrap_err().to_string()
    };
    let socket = database.url_as("kya");
    for (url, says) in [
        (database.url_as("locked:wrong"), "refuses the password"),
        (database.url_as("kya").replace(&database.name, &locked), "has no such database"),
        (database.url_as("reader"), "must own the database"),
        ("postgres://kya:secret@127.0.0.1:1/kya".to_owned(), "cannot be reached"),
        (format!("{socket}/gone"), "cannot be reached"),
    ] {
        let said = open(url.clone()).await;
        assert!(said.contains(says), "{url}: {said}");
        assert!(!said.contains("secret") && !said.contains("wrong"), "{said}");
    }
}

#[tokio::test]
async fn a_clock_that_is_far_behind_does_not_bring_time_back() {
    let fixture = Postgres::new().await;
    let (ahead, behind) = (
        fixture.open(Arc::new(TestClock::at(500))).await,
        fixture.open(Arc::new(TestClock::at(100))).await,
    );
    let agent = register(&*ahead).await;
    let revoked = decide(&*behind, agent, REVOKE).await.unwrap();
    assert_eq!(revoked.committed.at, UnixMicros(500_000_000));
}
