//! Very many agents of one principal, and their tokens: written into the database of a
//! control plane that does not run, each after the pattern of the one agent and its one
//! token that were made through the API. What they have besides is none of this file's
//! business.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::bench::rows::{copies, count, numbers, open};

/// Adds agents until there are `agents`, each with what it needs for tokens, and tokens
/// until each has `tokens_each`.
pub(super) async fn fill(path: &Path, agents: u32, tokens_each: u32) -> Result<()> {
    let mut db = open(path).await?;
    for table in ["agents", "grants", "tokens"] {
        let count = count(&mut db, table).await?;
        ensure!(count == 1, "there are {count} {table}, and one is to be the pattern");
    }
    // Any 128 bits are a ULID.
    let (into, from) = copies(&mut db, "agents", &[("id", "randomblob(16)")]).await?;
    let more = numbers(2, agents);
    let add_agents =
        format!("{more} INSERT INTO agents ({into}) SELECT {from} FROM number, agents AS old");
    // SQLite gives the next index for none.
    let identity = [("agent_id", "agents.id"), ("grant_index", "NULL")];
    let (into, from) = copies(&mut db, "grants", &identity).await?;
    let add_grants = format!(
        "INSERT INTO grants ({into}) SELECT {from} FROM agents, grants AS old
         WHERE agents.id <> old.agent_id"
    );
    let identity = [
        ("id", "randomblob(16)"),
        ("digest", "randomblob(32)"),
        ("agent_id", "grants.agent_id"),
        ("grant_index", "grants.grant_index"),
    ];
    let (into, from) = copies(&mut db, "tokens", &identity).await?;
    let each = numbers(1, tokens_each);
    let add_tokens = format!(
        "{each} INSERT INTO tokens ({into}) SELECT {from} FROM grants, number, tokens AS old
         WHERE grants.grant_index <> old.grant_index OR number.n > 1"
    );
    let mut transaction = db.begin().await?;
    // The patterns are what was there before: a statement does not see what it adds.
    for sql in [add_agents, add_grants, add_tokens] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    transaction.commit().await.context("the agents and tokens could not be written")?;
    for (table, wanted) in [("agents", agents), ("tokens", agents * tokens_each)] {
        let count = count(&mut db, table).await?;
        ensure!(count == i64::from(wanted), "there are {count} {table} instead of {wanted}");
    }
    Ok(db.close().await?)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn every_agent_is_a_copy_with_a_grant_and_as_many_tokens_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kya.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE agents (id BLOB PRIMARY KEY, other TEXT);
             INSERT INTO agents VALUES (x'0a', 'kept');
             CREATE TABLE grants (grant_index INTEGER PRIMARY KEY, agent_id BLOB, services TEXT);
             INSERT INTO grants VALUES (7, x'0a', 'shop');
             CREATE TABLE tokens (id BLOB PRIMARY KEY, digest BLOB UNIQUE, agent_id BLOB,
                                  grant_index INTEGER, other TEXT);
             INSERT INTO tokens VALUES (x'00', x'ff', x'0a', 7, 'kept')",
        )
        .execute(&mut db)
        .await
        .unwrap();
        fill(&path, 5, 3).await.unwrap();
        let good = "SELECT count(*) FROM tokens JOIN grants USING (grant_index, agent_id)
                    JOIN agents ON agents.id = agent_id
                    WHERE tokens.other = 'kept' AND agents.other = 'kept' AND services = 'shop'";
        assert_eq!(sqlx::query_scalar::<_, i64>(good).fetch_one(&mut db).await.unwrap(), 15);
        let uneven = "SELECT count(*) FROM
                      (SELECT 1 FROM tokens GROUP BY agent_id HAVING count(*) <> 3)";
        assert_eq!(sqlx::query_scalar::<_, i64>(uneven).fetch_one(&mut db).await.unwrap(), 0);
        assert!(fill(&path, 5, 3).await.is_err(), "there is no one pattern any more");
    }
}
