//! Copies of a SQLite database: made while a server uses it, and put back while none
//! does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use thiserror::Error;

use super::WAIT;
use crate::data_dir::DataDirLock;
use crate::store::sql::{Columns, Sql, values};

/// Why a copy was not made or put back. Nothing has changed then.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// A copy does not take the place of something else.
    #[error("{0} exists: name a file that does not")]
    Exists(PathBuf),
    /// It is not what a backup has made, or it was damaged since.
    #[error("{path} is no backup of a registry: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The name of a file cannot be given to SQLite.
    #[error("the name of {0} is not UTF-8")]
    Name(PathBuf),
    /// The operating system refused.
    #[error("{path}")]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{path}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: sqlx::Error,
    },
}

/// Copies the database to a file that does not exist yet, readable by its owner
/// alone: all that is committed when it begins, whole or not at all.
///
/// # Errors
/// When there is no database, something is in the place of the copy, or the disk is
/// full.
pub async fn back_up(database: &Path, to: &Path) -> Result<(), BackupError> {
    if !database.is_file() {
        return Err(BackupError::Missing(database.to_owned()));
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let partial = beside(to, ".partial");
    let made = copy_to(database, &partial).await.and_then(|()| {
        // A link fails where a rename would replace what has been put there since.
        fs::hard_link(&partial, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => failed(to)(error),
        })?;
        sync_folder(to)
    });
    let _ = fs::remove_file(&partial);
    made
}

async fn copy_to(database: &Path, partial: &Path) -> Result<(), BackupError> {
    let name = partial.to_str().ok_or_else(|| BackupError::Name(partial.to_owned()))?;
    // SQLite fills an empty file, and keeps its permissions.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(partial).map_err(failed(partial))?;
    let mut db = open(database, true).await?;
    let copied = db.execute("VACUUM INTO $1", values![name]).await;
    copied.map_err(refused(database))?;
    db.close().await.map_err(refused(database))?;
    file.sync_all().map_err(failed(partial))
}

/// Puts a copy in the place of the database, which no server uses: whoever calls
/// holds the lock of its directory. What was there before is kept beside it, as
/// `kya.db.replaced`. The next opening begins an epoch after every one of either.
/// Returns why the one before could not be read, if it could not, and the epoch
/// begins by the clock alone.
///
/// # Errors
/// When the copy cannot be used; the database is as it was then.
pub async fn restore(
    _lock: &DataDirLock,
    from: &Path,
    database: &Path,
) -> Result<Option<BackupError>, BackupError> {
    let fresh = copied(from, database)?;
    let prepared = prepare(from, &fresh, database).await;
    let unreadable = prepared.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    put_in_place(&fresh, database)?;
    Ok(unreadable)
}

/// Puts a copy of the audit trail in the place of the one in `database`, which no server
/// uses, and says so in a record of it: the trail has lost what came after the copy. What
/// was there before is kept beside it, as `audit.db.replaced`.
///
/// # Errors
/// When the copy cannot be used; the trail is as it was then.
pub async fn restore_trail(
    _lock: &DataDirLock,
    from: &Path,
    database: &Path,
) -> Result<(), BackupError> {
    let fresh = copied(from, database)?;
    let noted = note(from, &fresh, database).await;
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&fresh, suffix));
    }
    noted.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    put_in_place(&fresh, database)
}

async fn note(from: &Path, fresh: &Path, database: &Path) -> Result<(), BackupError> {
    let wrong = |why: String| BackupError::NotABackup { path: from.to_owned(), why };
    let mut db = open(fresh, false).await?;
    is_whole(&mut db).await.map_err(wrong)?;
    let tables = db.all("SELECT size FROM audit_head", values![]).await;
    if tables.map_err(|error| wrong(error.to_string()))?.len() != 1 {
        return Err(wrong("it is not an audit trail".to_owned()));
    }
    db.close().await.map_err(refused(fresh))?;
    // It may be why a copy is put back that this cannot be read.
    let replaced = match database.exists() {
        true => size(database).await.ok(),
        false => None,
    };
    crate::audit::note_restored(fresh, replaced).await.map_err(|error| wrong(error.to_string()))?;
    File::open(fresh).and_then(|file| file.sync_all()).map_err(failed(fresh))
}

/// How many records a trail has. Takes in what is in the write-ahead log.
async fn size(database: &Path) -> Result<u64, BackupError> {
    let mut db = open(database, false).await?;
    let checkpoint = db.execute("PRAGMA wal_checkpoint(TRUNCATE)", values![]).await;
    checkpoint.map_err(refused(database))?;
    let head = db.one("SELECT size FROM audit_head", values![]).await.map_err(refused(database))?;
    let size = head.int("size").map_err(refused(database))?;
    db.close().await.map_err(refused(database))?;
    Ok(size.unsigned_abs())
}

/// A copy beside the database, for its owner alone.
fn copied(from: &Path, database: &Path) -> Result<PathBuf, BackupError> {
    if !from.is_file() {
        return Err(BackupError::Missing(from.to_owned()));
    }
    let fresh = beside(database, ".restoring");
    let _ = fs::remove_file(&fresh);
    let mut options = OpenOptions::new();
    let target = options.write(true).create_new(true).mode(0o600).open(&fresh);
    let copied = target.and_then(|mut target| {
        io::copy(&mut File::open(from)?, &mut target)?;
        target.sync_all()
    });
    copied.inspect_err(|_| drop(fs::remove_file(&fresh))).map_err(failed(from))?;
    Ok(fresh)
}

/// What is at `fresh` is the database from here on.
fn put_in_place(fresh: &Path, database: &Path) -> Result<(), BackupError> {
    // What belongs to the one before must not be taken for a part of this one.
    let replaced = beside(database, ".replaced");
    for suffix in ["-wal", "-shm"] {
        let (old, kept) = (beside(database, suffix), beside(&replaced, suffix));
        let _ = fs::remove_file(&kept);
        if old.exists() {
            fs::rename(&old, &kept).map_err(failed(&old))?;
        }
    }
    if database.exists() {
        let _ = fs::remove_file(&replaced);
        fs::hard_link(database, &replaced).map_err(failed(&replaced))?;
    }
    // At every instant there is one of the two.
    fs::rename(fresh, database).map_err(failed(database))?;
    sync_folder(database)
}

async fn is_whole(db: &mut SqliteConnection) -> Result<(), String> {
    let check = db.one("PRAGMA integrity_check", values![]).await;
    let check = check.map_err(|error| error.to_string())?;
    match check.text("integrity_check") {
        Ok("ok") => Ok(()),
        Ok(damage) => Err(damage.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks the copy, and remembers the newest epoch of either.
async fn prepare(
    from: &Path,
    fresh: &Path,
    database: &Path,
) -> Result<Option<BackupError>, BackupError> {
    let lost = match database.exists() {
        true => epoch(database).await,
        false => Ok(0),
    };
    // It may be why a backup is put back.
    let (lost, unreadable) = match lost {
        Ok(epoch) => (epoch, None),
        Err(error) => (0, Some(error)),
    };
    let wrong = |why: String| BackupError::NotABackup { path: from.to_owned(), why };
    let mut db = open(fresh, false).await?;
    is_whole(&mut db).await.map_err(wrong)?;
    let later = "UPDATE head SET epoch = max(epoch, $1) RETURNING epoch";
    let head = db.all(later, values![lost]).await.map_err(|error| wrong(error.to_string()))?;
    if head.len() != 1 {
        return Err(wrong("it has no position".to_owned()));
    }
    db.close().await.map_err(refused(fresh))?;
    File::open(fresh).and_then(|file| file.sync_all()).map_err(failed(fresh))?;
    Ok(unreadable)
}

/// The present epoch. Takes in what is in the write-ahead log.
async fn epoch(database: &Path) -> Result<i64, BackupError> {
    let mut db = open(database, false).await?;
    let checkpoint = db.execute("PRAGMA wal_checkpoint(TRUNCATE)", values![]).await;
    checkpoint.map_err(refused(database))?;
    let head = db.one("SELECT epoch FROM head", values![]).await.map_err(refused(database))?;
    let epoch = head.int("epoch").map_err(refused(database))?;
    db.close().await.map_err(refused(database))?;
    Ok(epoch)
}

async fn open(database: &Path, read_only: bool) -> Result<SqliteConnection, BackupError> {
    let options = SqliteConnectOptions::new().filename(database).read_only(read_only);
    options.busy_timeout(WAIT).connect().await.map_err(refused(database))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

fn refused(path: &Path) -> impl FnOnce(sqlx::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Database { path, source }
}
