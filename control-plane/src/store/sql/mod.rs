//! What the stores that speak SQL have in common: the statements, which are
//! written once in what both databases understand, and [`Store`](super::Store)
//! on top of them. A database brings its connections, its locks and its epochs:
//! that is a [`Backend`].

mod agents;
mod approval_store;
mod approvals;
mod backend;
mod capabilities;
mod capability_token_store;
mod capability_tokens;
mod delegation;
mod drills;
mod fleet;
mod idempotency;
mod issuer;
mod keys;
mod kill_reach;
mod kill_store;
mod kills;
mod listing;
mod nodes;
mod operators;
mod policies;
mod principals;
mod reach;
mod read;
mod records;
mod rows;
mod schedule_runs;
mod schedules;
mod servers;
mod shown;
mod store;
mod tokens;
mod undoing;
mod write;

use std::future::Future;
use std::pin::Pin;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use tokio_stream::Stream;

pub(super) use backend::Backend;
pub(super) use keys::after as key_steps_after;
pub(super) use read::{committed, head};
pub(super) use rows::signed;
pub(super) use write::warn_if_behind;

type Result<T> = std::result::Result<T, sqlx::Error>;
/// Rows, one after the other.
type Rows<'a, R> = Pin<Box<dyn Stream<Item = Result<R>> + Send + 'a>>;

/// What is bound to a placeholder.
#[derive(Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::sql::Value::from($value)),*] };
}
pub(super) use values;

macro_rules! from {
    ($($from:ty, $value:ident => $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

from! {
    i64, value => Self::Int(Some(value));
    u32, value => Self::Int(Some(value.into()));
    Option<i64>, value => Self::Int(value);
    &str, value => Self::Text(Some(value.to_owned()));
    String, value => Self::Text(Some(value));
    &String, value => Self::Text(Some(value.clone()));
    Option<&str>, value => Self::Text(value.map(str::to_owned));
    Option<String>, value => Self::Text(value);
    &Option<String>, value => Self::Text(value.clone());
    Vec<u8>, value => Self::Bytes(Some(value));
    &Option<Vec<u8>>, value => Self::Bytes(value.clone());
}

/// The columns of a row. Each fails if there is no such column, or it is of
/// another type.
pub(super) trait Columns: Send + Sync {
    fn int(&self, column: &str) -> Result<i64>;
    fn optional_int(&self, column: &str) -> Result<Option<i64>>;
    fn text(&self, column: &str) -> Result<&str>;
    fn optional_text(&self, column: &str) -> Result<Option<&str>>;
    fn bytes(&self, column: &str) -> Result<&[u8]>;
    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>>;
}

/// A connection on which statements are run. Placeholders are `$1`, `$2`, ….
pub(super) trait Sql: Send {
    type Row: Columns;

    /// Runs a statement that returns nothing.
    fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// All rows.
    fn all(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// The first row, if there is one.
    fn first(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Option<Self::Row>>> + Send;

    /// The first row, which there must be.
    fn one(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Self::Row>> + Send {
        async move { self.first(sql, values).await?.ok_or(sqlx::Error::RowNotFound) }
    }

    /// All rows, as they come.
    fn stream(&mut self, sql: &'static str, values: Vec<Value>) -> Rows<'_, Self::Row>;
}

/// Of many beginnings of digests, in hexadecimal, those that a token has, each by one look
/// at the index. `$2` and `$3` are the lowest and the highest end of a digest.
macro_rules! token_names {
    ($asked:literal, $bytes:literal, $end:literal) => {
        concat!(
            "SELECT beginning, id FROM (SELECT value AS beginning,
               (SELECT id FROM tokens WHERE digest BETWEEN ",
            $bytes,
            "value || $2",
            $end,
            " AND ",
            $bytes,
            "value || $3",
            $end,
            " ORDER BY digest LIMIT 1) AS id FROM ",
            $asked,
            ") AS found WHERE id IS NOT NULL"
        )
    };
}

/// A kind of database.
pub(super) trait Engine: sqlx::Database<Connection: Sql> {
    /// Has references checked at the commit, where they are not anyway.
    const DEFER_REFERENCES: Option<&'static str>;
    /// Tells other servers of a commit when it happens, where there can be any.
    const NOTIFY: Option<&'static str>;
    /// The names of tokens by the beginnings of their digests, a JSON array of texts.
    const TOKEN_NAMES: &'static str;
}

impl Engine for Sqlite {
    const DEFER_REFERENCES: Option<&'static str> = Some("PRAGMA defer_foreign_keys = ON");
    const NOTIFY: Option<&'static str> = None;
    const TOKEN_NAMES: &'static str = token_names!("json_each($1)", "unhex(", ")");
}

impl Engine for Postgres {
    const DEFER_REFERENCES: Option<&'static str> = None;
    const NOTIFY: Option<&'static str> = Some("SELECT pg_notify('kya_committed', '')");
    const TOKEN_NAMES: &'static str =
        token_names!("json_array_elements_text($1::json) AS asked(value)", "decode(", ", 'hex')");
}

macro_rules! sql {
    ($database:ty, $connection:ty, $row:ty, $bound:ident) => {
        fn $bound(
            sql: &'static str,
            values: Vec<Value>,
        ) -> sqlx::query::Query<'static, $database, <$database as sqlx::Database>::Arguments> {
            values.into_iter().fold(sqlx::query(sql), |query, value| match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            })
        }

        impl Sql for $connection {
            type Row = $row;

            async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<()> {
                $bound(sql, values).execute(self).await.map(drop)
            }

            async fn all(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<$row>> {
                $bound(sql, values).fetch_all(self).await
            }

            async fn first(
                &mut self,
                sql: &'static str,
                values: Vec<Value>,
            ) -> Result<Option<$row>> {
                $bound(sql, values).fetch_optional(self).await
            }

            fn stream(&mut self, sql: &'static str, values: Vec<Value>) -> Rows<'_, $row> {
                $bound(sql, values).fetch(self)
            }
        }

        impl Columns for $row {
            fn int(&self, column: &str) -> Result<i64> {
                self.try_get(column)
            }
            fn optional_int(&self, column: &str) -> Result<Option<i64>> {
                self.try_get(column)
            }
            fn text(&self, column: &str) -> Result<&str> {
                self.try_get(column)
            }
            fn optional_text(&self, column: &str) -> Result<Option<&str>> {
                self.try_get(column)
            }
            fn bytes(&self, column: &str) -> Result<&[u8]> {
                self.try_get(column)
            }
            fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
                self.try_get(column)
            }
        }
    };
}

sql!(Sqlite, SqliteConnection, SqliteRow, bound_sqlite);
sql!(Postgres, PgConnection, PgRow, bound_postgres);
