//! What is wrong with a database, said so that somebody can do something about it.

use std::io;

use kya_core::Position;
use sqlx::migrate::MigrateError;
use thiserror::Error;

/// The oldest version that is supported.
pub(super) const MIN_VERSION: i64 = 13;

/// Why a database cannot be used. None of these has the password in it.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error(
        "it cannot be reached ({0}): is it running, does it listen there, and is the way to it open?"
    )]
    Unreachable(io::Error),
    #[error(
        "it does not answer: the way to it may be closed, or the machine gone; everything is tried again with new connections"
    )]
    NoAnswer,
    #[error(
        "it refuses the password of this user: give the right one in the URL, in PGPASSWORD, or in the file that PGPASSFILE names"
    )]
    Password,
    #[error("it does not let this user in from here ({0}): see its pg_hba.conf")]
    NotLetIn(String),
    #[error("it has no such database ({0}): make it with `createdb`")]
    NoDatabase(String),
    #[error(
        "this user may not do what is needed ({0}): it must own the database, or be allowed to create tables in the schema"
    )]
    NotAllowed(String),
    #[error("TLS to it fails ({0}): see `sslmode` and `sslrootcert` in the URL")]
    Tls(String),
    #[error("it is PostgreSQL {0}, and {MIN_VERSION} or newer is needed")]
    TooOld(i64),
    #[error("it is a standby, which can only be read: name the primary")]
    Standby,
    #[error(
        "its tables are of a newer kya-control-plane ({0}): start that version, or put back a backup from before it"
    )]
    Newer(MigrateError),
    #[error("its tables cannot be brought up to date")]
    Migration(#[source] MigrateError),
    #[error(
        "this connection has lost its lease: the tables were replaced while servers used them, or there is a pooler in between that shares connections; connect to PostgreSQL itself, or by sessions"
    )]
    NoLease,
    #[error(
        "it was at {from:?} and is at {to:?}: it was put back from a backup, or another machine took its place. A new epoch begins with the next connections"
    )]
    WentBack { from: Position, to: Position },
    #[error(transparent)]
    Other(sqlx::Error),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) => Self::Unreachable(error),
            sqlx::Error::Tls(error) => Self::Tls(error.to_string()),
            sqlx::Error::Database(error) => {
                let said = error.message().to_owned();
                match error.code().as_deref() {
                    Some("28P01") => Self::Password,
                    Some("28000") => Self::NotLetIn(said),
                    Some("3D000") => Self::NoDatabase(said),
                    Some("42501") => Self::NotAllowed(said),
                    _ => Self::Other(sqlx::Error::Database(error)),
                }
            }
            // An error of this kind that went through a pool.
            sqlx::Error::Configuration(error) => match error.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Other(sqlx::Error::Configuration(other)),
            },
            other => Self::Other(other),
        }
    }
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => match Self::from(error) {
                Self::Other(error) => Self::Migration(MigrateError::Execute(error)),
                ours => ours,
            },
            newer @ MigrateError::VersionMissing(_) => Self::Newer(newer),
            other => Self::Migration(other),
        }
    }
}

/// For where only errors of the library can be told.
impl From<OpenError> for sqlx::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Other(error) => error,
            ours => Self::Configuration(Box::new(ours)),
        }
    }
}
