//! Writing what records say about kills.

use std::collections::HashSet;

use kya_core::audit::Disposition;

use super::{KillMark, KillRow, disposition_name};
use crate::store::StoreError;
use crate::store::audit::many::{self, Many};
use crate::store::sql::{Sql, signed, values};

/// Writes what records say. `id` is the row of a worker by its place.
pub(in crate::store::audit) async fn write<E: Many>(
    db: &mut E::Connection,
    id: &(impl Fn(usize) -> Option<i64> + Sync),
    marks: &[KillMark],
) -> Result<(), StoreError> {
    // Most of the time nobody was stopped, and the ends of requests concern nothing.
    let ends = marks.iter().any(|mark| matches!(mark, KillMark::Ended { .. }));
    let concerns = marks.iter().any(|mark| matches!(mark, KillMark::Concerned { .. }));
    let open = "SELECT source FROM audit_concerned WHERE disposition IS NULL LIMIT 1";
    let anything = concerns || ends && db.first(open, values![]).await?.is_some();
    let mut events = Events::default();
    for mark in marks {
        match mark {
            KillMark::Applied { place, .. } => events.applied.extend(applied_row(id(*place), mark)),
            KillMark::Concerned { place, decision, .. } => {
                if events.has_ended(id(*place), *decision) {
                    events.write::<E>(db).await?;
                }
                events.concerned.extend(concerned_row(id(*place), mark));
            }
            KillMark::Ended { place, decision, disposition, seq } => {
                if let Some(source) = id(*place).filter(|_| anything) {
                    events.end(source, *decision, *disposition, *seq);
                }
            }
            KillMark::Gone { place, .. } | KillMark::Back { place } => {
                // What a worker has said before.
                events.write::<E>(db).await?;
                if let Some(source) = id(*place) {
                    of_worker(db, source, mark).await?;
                }
            }
            KillMark::Activated(kill) => activated(db, kill).await?,
            KillMark::Scoped { id, seq } => {
                let scoped = "UPDATE audit_kills SET scope_seq = $1 WHERE kill_id = $2";
                db.execute(scoped, values![signed(*seq), id]).await?;
            }
            KillMark::Completed { id, seq } => {
                let completed = "UPDATE audit_kills SET completed_seq = $1 WHERE kill_id = $2";
                db.execute(completed, values![signed(*seq), id]).await?;
            }
        }
    }
    events.write::<E>(db).await
}

/// Rows of `audit_applied`.
type AppliedRow = [i64; 9];
/// Rows of `audit_concerned`.
type ConcernedRow<'a> =
    (i64, i64, i64, i64, &'a str, Option<&'a str>, i64, Option<&'static str>, Option<i64>);

/// What workers have said and is not written yet. What concerns a request is written before
/// how that ended; what comes the other way round is written in between.
#[derive(Default)]
struct Events<'a> {
    applied: Vec<AppliedRow>,
    concerned: Vec<ConcernedRow<'a>>,
    ended: Vec<(&'static str, i64, i64, i64)>,
    /// Worker and number of those.
    have_ended: HashSet<(i64, i64)>,
}

impl Events<'_> {
    fn has_ended(&self, source: Option<i64>, decision: u64) -> bool {
        source.is_some_and(|source| self.have_ended.contains(&(source, signed(decision))))
    }

    /// The first end counts.
    fn end(&mut self, source: i64, decision: u64, disposition: Disposition, seq: u64) {
        if self.have_ended.insert((source, signed(decision))) {
            let name = disposition_name(disposition);
            self.ended.push((name, signed(seq), source, signed(decision)));
        }
    }

    async fn write<E: Many>(&mut self, db: &mut E::Connection) -> Result<(), StoreError> {
        let Self { applied, concerned, ended, .. } = std::mem::take(self);
        let statements = E::STATEMENTS;
        many::execute(db, statements.applied, &applied).await?;
        many::execute(db, statements.concerned, &concerned).await?;
        many::execute(db, statements.concerned_ended, &ended).await
    }
}

fn applied_row(source: Option<i64>, mark: &KillMark) -> Option<AppliedRow> {
    let KillMark::Applied { number, seq, position, at, in_flight, .. } = mark else { return None };
    Some([
        source?,
        signed(*number),
        signed(*seq),
        signed(position.0),
        signed(position.1),
        signed(at.0.0),
        signed(at.1.0),
        signed(in_flight.0),
        signed(in_flight.1),
    ])
}

fn concerned_row(source: Option<i64>, mark: &KillMark) -> Option<ConcernedRow<'_>> {
    let KillMark::Concerned { decision, position, agent_id, ending, seq, disposition, .. } = mark
    else {
        return None;
    };
    Some((
        source?,
        signed(*decision),
        signed(position.0),
        signed(position.1),
        ending,
        agent_id.as_deref(),
        signed(*seq),
        disposition.map(disposition_name),
        disposition.map(|_| signed(*seq)),
    ))
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

/// A worker that is gone, or back.
async fn of_worker(db: &mut impl Sql, source: i64, mark: &KillMark) -> Result<(), StoreError> {
    match mark {
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
        _ => {}
    }
    Ok(())
}
