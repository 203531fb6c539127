//! Very many rows of a database of a control plane that does not run, each after the pattern
//! of one that was made through the API: what they have beside an identity is none of this
//! file's business.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// Of a capability token: when it was taken back, which is when it was issued.
const TAKEN_BACK: &str = "old.issued_s * 1000000";

/// Opens a database of SQLite that is there.
pub(in crate::bench) async fn open(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Adds agents until there are `agents`, after the one that there is.
pub(in crate::bench) async fn fill_agents(path: &Path, agents: u32) -> Result<()> {
    fill(path, "agents", (2, agents), &[("id", "randomblob(16)")]).await
}

/// Adds so many capability tokens that were taken back, after the one that there is and that
/// was not.
pub(in crate::bench) async fn fill_taken_back(path: &Path, tokens: u32) -> Result<()> {
    let others = [("id", "randomblob(16)"), ("revoked_us", TAKEN_BACK)];
    fill(path, "capability_tokens", (1, tokens), &others).await
}

/// Adds a row for each number from the first to the last.
async fn fill(
    path: &Path,
    table: &str,
    (first, last): (u32, u32),
    others: &[(&str, &str)],
) -> Result<()> {
    let mut db = open(path).await?;
    let there = count(&mut db, table).await?;
    ensure!(there == 1, "there are {there} {table}, and one is to be the pattern");
    let (into, from) = copies(&mut db, table, others).await?;
    let numbers = numbers(first, last);
    let sql =
        format!("{numbers} INSERT INTO {table} ({into}) SELECT {from} FROM number, {table} AS old");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.context("the rows")?;
    Ok(db.close().await?)
}

/// A table `number` of one column `n`: the beginning of a statement.
pub(in crate::bench) fn numbers(least: u32, most: u32) -> String {
    format!(
        "WITH RECURSIVE number (n) AS
             (SELECT {least} WHERE {least} <= {most} UNION ALL
              SELECT n + 1 FROM number WHERE n < {most})"
    )
}

/// Rows of a table.
pub(in crate::bench) async fn count(db: &mut SqliteConnection, table: &str) -> Result<i64> {
    let sql = format!("SELECT count(*) FROM {table}");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await?)
}

/// The columns of a table, and what a copy of a row `old` has in each: the same, or what
/// `others` says.
pub(in crate::bench) async fn copies(
    db: &mut SqliteConnection,
    table: &str,
    others: &[(&str, &str)],
) -> Result<(String, String)> {
    let sql = "SELECT name FROM pragma_table_info(?)";
    let rows = sqlx::query(sql).bind(table).fetch_all(db).await?;
    let columns: Vec<String> =
        rows.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?;
    let source = |column: &String| {
        let other = others.iter().find(|(name, _)| name == column);
        other.map_or_else(|| format!("old.{column}"), |(_, value)| (*value).to_owned())
    };
    let sources: Vec<String> = columns.iter().map(source).collect();
    Ok((columns.join(","), sources.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_row_is_a_copy_with_an_identity_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kya.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE agents (id BLOB PRIMARY KEY, name TEXT);
             INSERT INTO agents VALUES (x'0a', 'kept');
             CREATE TABLE capability_tokens
                 (id BLOB PRIMARY KEY, services TEXT, issued_s INTEGER, revoked_us INTEGER);
             INSERT INTO capability_tokens VALUES (x'0b', 'shop', 7, NULL)",
        )
        .execute(&mut db)
        .await
        .unwrap();
        fill_agents(&path, 5).await.unwrap();
        fill_taken_back(&path, 3).await.unwrap();
        let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql);
        let agents = "SELECT count(DISTINCT id) FROM agents WHERE name = 'kept'";
        assert_eq!(count(agents).fetch_one(&mut db).await.unwrap(), 5);
        let taken_back = "SELECT count(DISTINCT id) FROM capability_tokens
                          WHERE services = 'shop' AND revoked_us = 7000000";
        assert_eq!(count(taken_back).fetch_one(&mut db).await.unwrap(), 3);
        assert!(fill_agents(&path, 9).await.is_err(), "there is no one pattern any more");
    }
}
