//! How far kills are: which rows of each are in the trail, what workers have applied, and
//! which requests in flight that concerned.
//!
//! **Invariant.** Each row of a kill is in the trail once: that it is there is noted in the
//! transaction that appends it. What is kept here besides is what the trail says, so that
//! it is found without reading the trail.

mod flights;
mod model;

use kya_core::audit::Disposition;

use super::append::{Tables, corrupt, micros, number};
use super::{SourceKey, SourceState};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

pub(super) use flights::{POSTGRES, SQLITE, Statements};
pub use model::{
    Concern, Flights, KillApplied, KillAsked, KillMark, KillRow, KillWorker, WorkersOf,
};

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

/// Writes what records say. `id` is the row of a worker by its place.
pub(super) async fn write(
    db: &mut impl Sql,
    id: &(impl Fn(usize) -> Option<i64> + Sync),
    marks: &[KillMark],
) -> Result<(), StoreError> {
    // Most of the time nobody was stopped, and the ends of requests concern nothing.
    let ends = marks.iter().any(|mark| matches!(mark, KillMark::Ended { .. }));
    let concerns = marks.iter().any(|mark| matches!(mark, KillMark::Concerned { .. }));
    let open = "SELECT source FROM audit_concerned WHERE disposition IS NULL LIMIT 1";
    let anything = concerns || ends && db.first(open, values![]).await?.is_some();
    for mark in marks {
        match mark {
            KillMark::Activated(kill) => activated(db, kill).await?,
            KillMark::Scoped { id, seq } => {
                let scoped = "UPDATE audit_kills SET scope_seq = $1 WHERE kill_id = $2";
                db.execute(scoped, values![signed(*seq), id]).await?;
            }
            KillMark::Completed { id, seq } => {
                let completed = "UPDATE audit_kills SET completed_seq = $1 WHERE kill_id = $2";
                db.execute(completed, values![signed(*seq), id]).await?;
            }
            KillMark::Ended { .. } if !anything => {}
            KillMark::Applied { place, .. }
            | KillMark::Concerned { place, .. }
            | KillMark::Ended { place, .. }
            | KillMark::Gone { place, .. }
            | KillMark::Back { place } => {
                if let Some(source) = id(*place) {
                    of_worker(db, source, mark).await?;
                }
            }
        }
    }
    Ok(())
}

async fn activated(db: &mut impl Sql, kill: &KillRow) -> Result<(), StoreError> {
    let insert = "INSERT INTO audit_kills (kill_id, activated_seq, epoch, revision, at_us)
                  VALUES ($1, $2, $3, $4, $5)";
    let values = values![
        &kill.id,
        signed(kill.activated),
        signed(kill.epoch),
        signed(kill.revision),
        signed(kill.at.0),
    ];
    Ok(db.execute(insert, values).await?)
}

async fn of_worker(db: &mut impl Sql, source: i64, mark: &KillMark) -> Result<(), StoreError> {
    match mark {
        KillMark::Applied { number, seq, position, at, in_flight, .. } => {
            let insert = "INSERT INTO audit_applied
                 (source, number, seq, epoch, revision, at_us, recorded_us, in_flight, untracked)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            let values = values![
                source,
                signed(*number),
                signed(*seq),
                signed(position.0),
                signed(position.1),
                signed(at.0.0),
                signed(at.1.0),
                signed(in_flight.0),
                signed(in_flight.1),
            ];
            db.execute(insert, values).await?;
        }
        KillMark::Concerned { decision, position, agent_id, ending, seq, disposition, .. } => {
            let insert = "INSERT INTO audit_concerned
                 (source, number, epoch, revision, ending, agent_id, seq, disposition, ended_seq)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
            let values = values![
                source,
                signed(*decision),
                signed(position.0),
                signed(position.1),
                ending,
                agent_id,
                signed(*seq),
                disposition.map(disposition_name),
                disposition.map(|_| signed(*seq)),
            ];
            db.execute(insert, values).await?;
        }
        KillMark::Ended { decision, disposition, seq, .. } => {
            let ended = "UPDATE audit_concerned SET disposition = $1, ended_seq = $2
                         WHERE source = $3 AND number = $4 AND disposition IS NULL";
            let name = disposition_name(*disposition);
            let values = values![name, signed(*seq), source, signed(*decision)];
            db.execute(ended, values).await?;
        }
        KillMark::Gone { seq, .. } => {
            let ended = "UPDATE audit_sources SET ended_seq = $1 WHERE id = $2";
            db.execute(ended, values![signed(*seq), source]).await?;
            let open = "UPDATE audit_concerned SET disposition = 'escalated', ended_seq = $1
                        WHERE source = $2 AND disposition IS NULL";
            db.execute(open, values![signed(*seq), source]).await?;
            let lost = "INSERT INTO audit_concerned
                 (source, number, epoch, revision, ending, agent_id, seq, disposition, ended_seq)
                 SELECT source, number, 0, 0, 'lost', agent_id, $1, 'escalated', $1
                 FROM audit_unended
                 WHERE source = $2
                   AND EXISTS (SELECT 1 FROM audit_kills WHERE completed_seq IS NULL)
                 ON CONFLICT DO NOTHING";
            db.execute(lost, values![signed(*seq), source]).await?;
        }
        KillMark::Back { .. } => {
            let back = "UPDATE audit_sources SET ended_seq = NULL WHERE id = $1";
            db.execute(back, values![source]).await?;
        }
        KillMark::Activated(_) | KillMark::Scoped { .. } | KillMark::Completed { .. } => {}
    }
    Ok(())
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
