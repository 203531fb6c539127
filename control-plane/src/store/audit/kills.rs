//! How far kills are: which rows of each are in the trail, what workers have applied, and
//! which requests in flight that concerned.
//!
//! **Invariant.** Each row of a kill is in the trail once: that it is there is noted in the
//! transaction that appends it. What is kept here besides is what the trail says, so that
//! it is found without reading the trail.

mod flights;
mod model;
mod write;

use kya_core::audit::Disposition;

use super::append::{Tables, corrupt, micros, number};
use super::{SourceKey, SourceState};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

pub(super) use flights::{POSTGRES, SQLITE, Statements};
pub use model::{
    Concern, Flights, KillApplied, KillAsked, KillMark, KillRow, KillWorker, WorkersOf,
};
pub(super) use write::write;

/// Most workers of one kill that are looked at.
const MAX_WORKERS: u32 = 20_000;

pub(super) async fn row(db: &mut impl Sql, id: &str) -> Result<Option<KillRow>, StoreError> {
    let one = "SELECT * FROM audit_kills WHERE kill_id = $1";
    db.first(one, values![id]).await?.as_ref().map(kill).transpose()
}

pub(super) async fn open(
    db: &mut impl Sql,
    after: u64,
    limit: u32,
) -> Result<Vec<KillRow>, StoreError> {
    let open = "SELECT * FROM audit_kills
                WHERE completed_seq IS NULL AND activated_seq > $1
                ORDER BY activated_seq LIMIT $2";
    db.all(open, values![signed(after), limit]).await?.iter().map(kill).collect()
}

/// Each with the first state that it applied that holds the kill. A worker that was lost is
/// followed by one that began later in the same slot of the same proxy.
const WORKERS: &str = "SELECT known.id, known.node_id, known.instance, known.slot, known.state,
           known.conflict_seq, known.unremembered, said.number, said.seq, said.at_us, said.recorded_us,
           said.in_flight, said.untracked, said.epoch, said.revision, CASE WHEN known.state = 'lost' THEN
             (SELECT min(again.seq) FROM audit_sources AS later
              JOIN audit_applied AS again ON again.source = later.id
              WHERE later.node_id = known.node_id AND later.slot = known.slot
                AND later.id > known.id AND (again.epoch, again.revision) >= ($2, $3))
           END AS followed_seq
    FROM audit_sources AS known
    LEFT JOIN audit_applied AS said ON said.source = known.id AND said.number =
         (SELECT number FROM audit_applied AS first
          WHERE first.source = known.id AND (first.epoch, first.revision) >= ($2, $3)
          ORDER BY first.epoch, first.revision, first.number LIMIT 1)
    WHERE known.first_seq < $1 AND (known.ended_seq IS NULL OR known.ended_seq > $1)
    ORDER BY known.node_id, known.slot, known.instance LIMIT $4";

pub(super) async fn workers<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    kill: &KillRow,
    asked: &KillAsked,
) -> Result<WorkersOf, StoreError> {
    let (epoch, revision) = (signed(kill.epoch), signed(kill.revision));
    let values = values![signed(kill.activated), epoch, revision, MAX_WORKERS + 1];
    let mut found = db.all(WORKERS, values).await?;
    let most = usize::try_from(MAX_WORKERS).unwrap_or(usize::MAX);
    let cut_off = found.len() > most;
    found.truncate(most);
    let mut workers = Vec::with_capacity(found.len());
    let mut listed = asked.listed;
    for row in &found {
        let applied = applied(row)?;
        let state = row.text("state")?;
        let state = SourceState::from_name(state).ok_or_else(|| corrupt("state"))?;
        let any = applied.as_ref().is_some_and(|it| it.in_flight > 0);
        let (flights, requests) = match any || state != SourceState::Alive {
            true => flights::of::<T>(db, row, kill, asked, listed).await?,
            false => Default::default(),
        };
        listed = listed.saturating_sub(u32::try_from(requests.len()).unwrap_or(u32::MAX));
        let node = row.text("node_id")?.to_owned();
        workers.push(KillWorker {
            key: SourceKey { node, instance: row.int("instance")?.cast_unsigned() },
            slot: u32::try_from(row.int("slot")?).map_err(|_| corrupt("slot"))?,
            state,
            applied,
            followed: row.optional_int("followed_seq")?.map(i64::cast_unsigned),
            in_conflict: row.optional_int("conflict_seq")?.is_some(),
            unremembered: number(row, "unremembered")?,
            flights,
            requests,
        });
    }
    Ok(WorkersOf { workers, cut_off })
}

fn applied(row: &impl Columns) -> Result<Option<KillApplied>, StoreError> {
    if row.optional_int("number")?.is_none() {
        return Ok(None);
    }
    Ok(Some(KillApplied {
        number: number(row, "number")?,
        seq: number(row, "seq")?,
        at: micros(row, "at_us")?,
        recorded: micros(row, "recorded_us")?,
        in_flight: number(row, "in_flight")?,
        untracked: number(row, "untracked")?,
    }))
}

fn kill(row: &impl Columns) -> Result<KillRow, StoreError> {
    let optional =
        |column| -> Result<_, StoreError> { Ok(row.optional_int(column)?.map(i64::cast_unsigned)) };
    Ok(KillRow {
        id: row.text("kill_id")?.to_owned(),
        activated: number(row, "activated_seq")?,
        epoch: number(row, "epoch")?,
        revision: number(row, "revision")?,
        at: micros(row, "at_us")?,
        scope: optional("scope_seq")?,
        completed: optional("completed_seq")?,
    })
}

fn disposition_name(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Committed => "committed",
        Disposition::RolledBack => "rolled_back",
        Disposition::Escalated => "escalated",
    }
}
