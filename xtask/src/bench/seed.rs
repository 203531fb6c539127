//! Many tokens at once. Issuing a million through the API takes a commit to disk
//! each, so they are written into the database of a control plane that does not
//! run: each is a copy of a token that it has issued, with an id and a digest of
//! its own. What a token has beside these is none of this file's business.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kya_core::OpaqueToken;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// Rows that one statement adds.
const BATCH: u32 = 500;

/// The token number `number`.
pub(crate) fn token(number: u32) -> OpaqueToken {
    let mut secret = [0; 32];
    for (index, part) in secret.chunks_mut(8).enumerate() {
        let seed = u64::from(number) * 4 + index as u64;
        part.copy_from_slice(&mix(seed).to_be_bytes());
    }
    OpaqueToken::from_random(secret)
}

/// Bytes that look like the digest of a token, of which there is none.
pub(crate) fn digest(number: u32) -> [u8; 32] {
    let mut digest = [0; 32];
    for (index, part) in digest.chunks_mut(8).enumerate() {
        let seed = (1 << 40) + u64::from(number) * 4 + index as u64;
        part.copy_from_slice(&mix(seed).to_be_bytes());
    }
    digest
}

/// SplitMix64: numbers that look random, and are the same in every run.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Puts the tokens 0 to `count` into the database at `path`, spread over all its
/// agents, after the pattern of the one token in it.
pub(in crate::bench) async fn fill(path: &Path, count: u32) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal);
    let mut db = SqliteConnection::connect_with(&options).await?;
    let rows = sqlx::query("SELECT id FROM agents").fetch_all(&mut db).await?;
    let agents: Vec<String> =
        rows.iter().map(|row| row.try_get("id").map(blob)).collect::<Result<_, _>>()?;
    ensure!(!agents.is_empty(), "there is nobody to hold the tokens");
    let columns = sqlx::query("SELECT name FROM pragma_table_info('tokens')");
    let columns: Vec<String> = columns
        .fetch_all(&mut db)
        .await?
        .iter()
        .map(|row| row.try_get("name"))
        .collect::<Result<_, _>>()?;
    let pattern = sqlx::query("SELECT id FROM tokens").fetch_one(&mut db).await?;
    let pattern = blob(pattern.try_get("id")?);

    let mut transaction = db.begin().await?;
    for first in (0..count).step_by(BATCH as usize) {
        let numbers = first..count.min(first.saturating_add(BATCH));
        let statement = statement(&columns, &pattern, &agents, numbers)?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
    }
    transaction.commit().await.context("the tokens could not be written")?;
    Ok(db.close().await?)
}

/// The statement that adds the tokens with these numbers. It holds nothing but
/// names of columns and bytes in hexadecimal.
fn statement(
    columns: &[String],
    pattern: &str,
    agents: &[String],
    numbers: std::ops::Range<u32>,
) -> Result<String> {
    let source = |column: &String| match column.as_str() {
        "id" => "new.column1".to_owned(),
        "digest" => "new.column2".to_owned(),
        "agent_id" => "new.column3".to_owned(),
        other => format!("old.{other}"),
    };
    let sources: Vec<String> = columns.iter().map(source).collect();
    let mut sql = format!(
        "INSERT INTO tokens ({}) SELECT {} FROM (VALUES ",
        columns.join(","),
        sources.join(",")
    );
    for number in numbers.clone() {
        let comma = if number == numbers.start { "" } else { "," };
        // Any 128 bits are a ULID; the first ones are of the year 1970.
        let id = (1u128 << 80) | u128::from(number);
        let agent = agents.get(number as usize % agents.len()).context("no such agent")?;
        let digest = token(number).digest().0;
        write!(sql, "{comma}({},{},{agent})", blob(id.to_be_bytes().into()), blob(digest.into()))?;
    }
    write!(sql, ") AS new, (SELECT * FROM tokens WHERE id = {pattern}) AS old")?;
    Ok(sql)
}

/// A literal of SQL.
fn blob(bytes: Vec<u8>) -> String {
    let mut text = String::from("x'");
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_genuine_and_no_two_are_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..1000 {
            let token = token(number);
            OpaqueToken::parse(token.reveal().as_bytes()).unwrap();
            assert!(seen.insert(token.digest()));
        }
    }

    #[tokio::test]
    async fn each_token_is_a_copy_of_the_pattern_with_an_identity_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kya.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE agents (id BLOB PRIMARY KEY);
             INSERT INTO agents VALUES (x'0a'), (x'0b');
             CREATE TABLE tokens (id BLOB PRIMARY KEY, agent_id BLOB, other TEXT, digest BLOB UNIQUE);
             INSERT INTO tokens VALUES (x'00', x'0a', 'kept', x'ff')",
        )
        .execute(&mut db)
        .await
        .unwrap();
        fill(&path, BATCH + 3).await.unwrap();
        let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql);
        let all = "SELECT count(*) FROM tokens WHERE other = 'kept'";
        assert_eq!(count(all).fetch_one(&mut db).await.unwrap(), i64::from(BATCH) + 4);
        let of_one = "SELECT count(*) FROM tokens WHERE agent_id = x'0b'";
        assert_eq!(count(of_one).fetch_one(&mut db).await.unwrap(), i64::from(BATCH) / 2 + 1);
        let digest = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM tokens WHERE digest = ?");
        let found = digest.bind(token(7).digest().0.to_vec()).fetch_one(&mut db).await.unwrap();
        assert_eq!(found, 1);
    }
}
