//! The servers that use the database.

use async_trait::async_trait;
use kya_core::Revision;

use super::backend::{read, write};
use super::rows::{self, signed};
use super::write::Write;
use super::{Backend, Columns, Engine, Sql, values};
use crate::store::{ServerRow, ServerStore, StoreError};
use crate::time::UnixMicros;

#[async_trait]
impl<B: Backend> ServerStore for B {
    async fn server_is_here(
        &self,
        server: ServerRow,
        forgotten: UnixMicros,
    ) -> Result<(), StoreError> {
        write!(self, |write| is_here(write, server, forgotten))
    }

    async fn server_ends(&self, name: &str) -> Result<(), StoreError> {
        write!(self, |write| ends(write, name))
    }

    async fn servers(&self) -> Result<Vec<ServerRow>, StoreError> {
        read!(self, |db| list(db))
    }
}

async fn is_here(
    mut write: Write<impl Engine>,
    server: ServerRow,
    forgotten: UnixMicros,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO servers
         (name, version, started_us, seen_us, revision, publishes, signs, proxies)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version,
           started_us = excluded.started_us, seen_us = excluded.seen_us,
           revision = excluded.revision, publishes = excluded.publishes,
           signs = excluded.signs, proxies = excluded.proxies";
    let values = values![
        server.name,
        server.version,
        signed(server.started_at.0),
        signed(server.seen_at.0),
        signed(server.revision.0),
        i64::from(server.publishes),
        i64::from(server.signs),
        signed(server.proxies),
    ];
    write.db().execute(upsert, values).await?;
    let forget = "DELETE FROM servers WHERE seen_us < $1";
    write.db().execute(forget, values![signed(forgotten.0)]).await?;
    write.commit_quietly().await
}

async fn ends(mut write: Write<impl Engine>, name: &str) -> Result<(), StoreError> {
    write.db().execute("DELETE FROM servers WHERE name = $1", values![name]).await?;
    write.commit_quietly().await
}

async fn list(db: &mut impl Sql) -> Result<Vec<ServerRow>, StoreError> {
    let query = "SELECT * FROM servers ORDER BY name LIMIT 1000";
    db.all(query, values![]).await?.iter().map(server).collect()
}

fn server(row: &impl Columns) -> Result<ServerRow, StoreError> {
    Ok(ServerRow {
        name: row.text("name")?.to_owned(),
        version: row.text("version")?.to_owned(),
        started_at: rows::micros(row, "started_us")?,
        seen_at: rows::micros(row, "seen_us")?,
        revision: Revision(rows::count(row, "revision")?),
        publishes: row.int("publishes")? != 0,
        signs: row.int("signs")? != 0,
        proxies: rows::count(row, "proxies")?,
    })
}
