//! The database of a control plane, reached past the control plane.

use std::path::Path;

use kya_control_plane::time::{Clock, SystemClock};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

pub async fn open(dir: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(dir.join("kya.db"));
    SqlitePool::connect_with(options).await.unwrap()
}

/// Commits an update of these bytes, of which the server is not told.
pub async fn commit(dir: &Path, delta: &[u8]) {
    let database = open(dir).await;
    let mut transaction = database.begin().await.unwrap();
    let insert = "INSERT INTO updates (revision, epoch, committed_us, delta)
                  SELECT revision + 1, epoch, ?, ? FROM head";
    let insert = sqlx::query(insert).bind(SystemClock.now().0 as i64).bind(delta);
    insert.execute(&mut *transaction).await.unwrap();
    let head = "UPDATE head SET revision = revision + 1";
    sqlx::query(head).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    database.close().await;
}

/// Gives the first agent so many tokens that nobody knows. No server runs.
pub async fn add_tokens(dir: &Path, count: u32) {
    let database = open(dir).await;
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                  INSERT INTO tokens
                  SELECT randomblob(16), randomblob(32), grants.agent_id, grants.grant_index,
                         1, 4000000000, NULL, 1
                  FROM n, (SELECT * FROM grants LIMIT 1) AS grants";
    sqlx::query(insert).bind(count).execute(&database).await.unwrap();
    database.close().await;
}

/// Registers so many agents with this label. No server runs, and there is a revision.
pub async fn add_agents(dir: &Path, count: u32, key: &str, value: &str) {
    let database = open(dir).await;
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                  INSERT INTO agents
                  (id, name, status, created_us, status_changed_us, revision, labels)
                  SELECT randomblob(16), 'one of many', 'active', 1, 1, 1, ?2 || '=' || ?3 FROM n";
    let insert = sqlx::query(insert).bind(count).bind(key).bind(value);
    insert.execute(&database).await.unwrap();
    for copy in [
        "INSERT INTO agent_labels SELECT ?1, ?2, id FROM agents WHERE labels = ?1 || '=' || ?2",
        "INSERT INTO grants (agent_id) SELECT id FROM agents WHERE labels = ?1 || '=' || ?2",
    ] {
        sqlx::query(copy).bind(key).bind(value).execute(&database).await.unwrap();
    }
    database.close().await;
}
