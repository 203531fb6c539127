//! How a connection joins the servers that use a database, or begins an epoch
//! where there are none. The rule is in the [module](super).

use std::sync::{Mutex, MutexGuard, PoisonError};

use kya_core::{Position, Revision};
use sqlx::PgConnection;

use super::error::{MIN_VERSION, OpenError};
use crate::store::sql::{Columns, Sql, committed, head, signed, values};
use crate::store::{Committed, StoreError};
use crate::time::Clock;

// Advisory locks of a database are numbers of 64 bits: 32 that nobody else uses,
// and which table it is about, so that a table put in its place has no leases.
// Held for a moment, by one connection at a time that joins.
macro_rules! joining {
    () => {
        "((1803116849::bigint << 32) | 'head'::regclass::oid::bigint)"
    };
}
// Held, shared, by every connection: its lease. The first half is in
// `holds_a_lease`, too.
macro_rules! lease {
    () => {
        "((1803116850::bigint << 32) | 'head'::regclass::oid::bigint)"
    };
}

/// The newest position that this server has seen, for as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Committed>);

impl Seen {
    pub(super) fn newest(&self) -> Committed {
        *self.lock()
    }

    pub(super) fn note(&self, head: Committed) {
        let mut seen = self.lock();
        if head.position > seen.position {
            *seen = head;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Committed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is a server that can be used at all.
pub(super) async fn check(db: &mut PgConnection) -> Result<(), OpenError> {
    let what = "SELECT current_setting('server_version_num')::bigint / 10000 AS version,
                       pg_is_in_recovery()::int::bigint AS standby";
    let what = db.one(what, values![]).await?;
    let (version, standby) = (what.int("version")?, what.int("standby")?);
    if version < MIN_VERSION {
        return Err(OpenError::TooOld(version));
    }
    if standby != 0 {
        return Err(OpenError::Standby);
    }
    Ok(())
}

/// Takes a lease, and begins a new epoch if there is none or if the database has
/// gone back behind what this server has seen. A connection for which this fails
/// must be closed.
pub(super) async fn join(
    db: &mut PgConnection,
    clock: &dyn Clock,
    seen: &Seen,
) -> Result<(), sqlx::Error> {
    check(db).await?;
    // A commit is on disk when it is answered. Whoever asks for more may.
    let durable = "SELECT set_config('synchronous_commit', 'on', false)
                   WHERE current_setting('synchronous_commit') IN ('off', 'local')";
    db.execute(durable, values![]).await?;
    db.execute(concat!("SELECT pg_advisory_lock", joining!()), values![]).await?;
    let alone = concat!("SELECT pg_try_advisory_lock", lease!(), "::int::bigint AS alone");
    let alone = db.one(alone, values![]).await?.int("alone")? != 0;
    let seen = seen.newest();
    if alone || !goes_on_after(db, seen).await.map_err(unwrapped)? {
        begin_epoch(db, clock, seen.position).await?;
    }
    db.execute(concat!("SELECT pg_advisory_lock_shared", lease!()), values![]).await?;
    if alone {
        db.execute(concat!("SELECT pg_advisory_unlock", lease!()), values![]).await?;
    }
    db.execute(concat!("SELECT pg_advisory_unlock", joining!()), values![]).await
}

/// Whether everything up to what was seen is there still.
async fn goes_on_after(db: &mut PgConnection, seen: Committed) -> Result<bool, StoreError> {
    let now = head(db).await?;
    if now.position.epoch != seen.position.epoch || seen.position.revision == Revision(0) {
        return Ok(now.position >= seen.position);
    }
    // The time of the commit tells two changes of one number apart.
    let there = committed(db, seen.position.revision).await?;
    Ok(now.position >= seen.position && there.is_some_and(|there| there.at == seen.at))
}

/// Begins a new epoch: the millisecond of now, or the number after the last epoch
/// if the clock does not get that far.
async fn begin_epoch(
    db: &mut PgConnection,
    clock: &dyn Clock,
    seen: Position,
) -> Result<(), sqlx::Error> {
    let now = clock.now();
    let epoch = now.millis().0.max(seen.epoch.saturating_add(1));
    let begin = "INSERT INTO head (one, epoch, revision, committed_us) VALUES (1, $1, 0, $2)
                 ON CONFLICT (one) DO UPDATE SET epoch = GREATEST(head.epoch + 1, excluded.epoch)
                 RETURNING epoch";
    let begun = db.one(begin, values![signed(epoch), signed(now.0)]).await?.int("epoch")?;
    db.execute("SELECT pg_notify('kya_committed', '')", values![]).await?;
    tracing::info!(epoch = begun, "began an epoch of the database");
    Ok(())
}

/// Whether this very connection has a lease of the table that is `head` now.
pub(super) async fn holds_a_lease(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let held = "SELECT 1 FROM pg_catalog.pg_locks
                WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
                  AND mode = 'ShareLock' AND classid = 1803116850
                  AND objid = (SELECT tableoid FROM head)";
    Ok(db.first(held, values![]).await?.is_some())
}

fn unwrapped(error: StoreError) -> sqlx::Error {
    match error {
        StoreError::Unavailable(error) => match error.downcast::<sqlx::Error>() {
            Ok(error) => *error,
            Err(error) => sqlx::Error::Configuration(error),
        },
        other => sqlx::Error::Configuration(other.into()),
    }
}
