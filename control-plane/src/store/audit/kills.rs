//! How far kills are: which rows of each are in the trail, what workers have applied, and
//! which requests in flight that concerned.
//!
//! **Invariant.** Each row of a kill is in the trail once: that it is there is noted in the
//! transaction that appends it. What is kept here besides is what the trail says, so that
//! it is found without reading the trail.

mod model;
mod write;

use kya_core::audit::Disposition;

use super::append::{corrupt, micros, number};
use super::{SourceKey, SourceState};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

pub(super) use write::write;

pub use model::{Concern, KillApplied, KillMark, KillRow, KillWorker, WorkersOf};

/// Most workers of one kill that are looked at.
const MAX_WORKERS: u32 = 20_000;
/// Most requests of one worker that are looked at.
const MAX_CONCERNS: u32 = 65_536;

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
           said.number, said.seq, said.at_us, said.recorded_us, said.in_flight, said.untracked,
           said.epoch, said.revision, CASE WHEN known.state = 'lost' THEN
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

/// Of the state that a worker has applied; and those of a worker that was lost.
const CONCERNS: &str = "SELECT * FROM audit_concerned
    WHERE source = $1 AND (epoch = $2 AND revision = $3 OR ending = 'lost' AND seq > $4)
    ORDER BY number, seq LIMIT $5";

pub(super) async fn workers(db: &mut impl Sql, kill: &KillRow) -> Result<WorkersOf, StoreError> {
    let (epoch, revision) = (signed(kill.epoch), signed(kill.revision));
    let values = values![signed(kill.activated), epoch, revision, MAX_WORKERS];
    let found = db.all(WORKERS, values).await?;
    let mut workers = Vec::with_capacity(found.len());
    for row in &found {
        let applied = applied(row)?;
        let state = row.text("state")?;
        let state = SourceState::from_name(state).ok_or_else(|| corrupt("state"))?;
        let any = applied.as_ref().is_some_and(|it| it.in_flight > 0);
        let concerns = match any || state != SourceState::Alive {
            true => concerns(db, row, kill).await?,
            false => Vec::new(),
        };
        let node = row.text("node_id")?.to_owned();
        workers.push(KillWorker {
            key: SourceKey { node, instance: row.int("instance")?.cast_unsigned() },
            slot: u32::try_from(row.int("slot")?).map_err(|_| corrupt("slot"))?,
            state,
            applied,
            followed: row.optional_int("followed_seq")?.map(i64::cast_unsigned),
            concerns,
        });
    }
    Ok(workers)
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

/// A request is there once, though its worker was lost after it had reported it.
async fn concerns(
    db: &mut impl Sql,
    worker: &impl Columns,
    kill: &KillRow,
) -> Result<Vec<Concern>, StoreError> {
    let values = values![
        worker.int("id")?,
        worker.optional_int("epoch")?.unwrap_or(-1),
        worker.optional_int("revision")?.unwrap_or(-1),
        signed(kill.activated),
        MAX_CONCERNS,
    ];
    let mut found = Vec::<Concern>::new();
    for row in &db.all(CONCERNS, values).await? {
        let disposition = row.optional_text("disposition")?;
        let ended = row.optional_int("ended_seq")?.map(i64::cast_unsigned);
        let concern = Concern {
            decision: number(row, "number")?,
            agent_id: row.optional_text("agent_id")?.map(str::to_owned),
            ending: row.text("ending")?.to_owned(),
            seq: number(row, "seq")?,
            disposition: disposition.map(disposition_from).transpose()?,
            ended,
        };
        match found.last_mut() {
            Some(last) if last.decision == concern.decision => {}
            _ => found.push(concern),
        }
    }
    Ok(found)
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

fn disposition_from(name: &str) -> Result<Disposition, StoreError> {
    [Disposition::Committed, Disposition::RolledBack, Disposition::Escalated]
        .into_iter()
        .find(|it| disposition_name(*it) == name)
        .ok_or_else(|| corrupt("disposition"))
}
