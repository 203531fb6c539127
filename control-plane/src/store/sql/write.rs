//! Writing. A [`Write`] is the one transaction of a change; dropping it without
//! [`Write::commit`] leaves no trace.

use std::time::Duration;

use kya_core::{InFlight, Position, Revision, Status, wire};
use prost::Message;
use sqlx::Transaction;
use wire::change::Change;

use super::rows::signed;
use super::{Engine, Sql, kills, read, values};
use crate::store::{Cause, Committed, Decided, Outcome, StoreError, stops};
use crate::throttle::Throttle;
use crate::time::{Clock, UnixMicros};

/// A head that is further ahead of the clock than this is worth a warning: the
/// clock was wrong then, or it is wrong now.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
static CLOCK_WARNINGS: Throttle = Throttle::new(Duration::from_secs(60));

/// A transaction that holds the write lock, and the position that it will have.
pub(super) struct Write<E: Engine> {
    transaction: Transaction<'static, E>,
    /// The newest position, which this write leads on from.
    head: Position,
    committed: Committed,
    /// What the clock says, which may be behind the time of the commit.
    now: UnixMicros,
    /// What the subject of the next event was like before, and is like after it.
    shown: (Option<serde_json::Value>, Option<serde_json::Value>),
    /// What becomes of requests in flight, where the changes do not say it.
    ending: Option<InFlight>,
}

pub(in crate::store) fn warn_if_behind(now: UnixMicros, head: UnixMicros) {
    let Some(behind) = behind(now, head) else { return };
    if CLOCK_WARNINGS.passes() {
        tracing::warn!(
            ?behind,
            newest_commit = head.to_rfc3339(),
            "the clock is behind the newest commit; commits keep that time until it catches up"
        );
    }
}

/// How far the clock is behind the newest commit, if that is a lot.
fn behind(now: UnixMicros, head: UnixMicros) -> Option<Duration> {
    let behind = Duration::from_micros(head.0.saturating_sub(now.0));
    (behind > CLOCK_TOLERANCE).then_some(behind)
}

impl<E: Engine> Write<E> {
    /// Begins in a transaction that keeps every other writer out.
    pub(super) async fn begin(
        mut transaction: Transaction<'static, E>,
        clock: &dyn Clock,
    ) -> Result<Self, StoreError> {
        let head = read::head(&mut *transaction).await?;
        let now = clock.now();
        warn_if_behind(now, head.at);
        let committed = Committed {
            position: Position {
                epoch: head.position.epoch,
                revision: head.position.revision.next(),
            },
            // A clock that was set back must not make a later change look earlier.
            at: now.max(head.at),
        };
        Ok(Self {
            transaction,
            head: head.position,
            committed,
            now,
            shown: (None, None),
            ending: None,
        })
    }

    pub(super) fn db(&mut self) -> &mut E::Connection {
        &mut self.transaction
    }

    /// The time of this write, as it is stored; and what the clock says.
    pub(super) fn time(&self) -> (UnixMicros, UnixMicros) {
        (self.committed.at, self.now)
    }

    /// The position that it will have.
    pub(super) fn position(&self) -> Position {
        self.committed.position
    }

    /// The newest position, which it leads on from.
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// Writes update, event and head beside the change itself, and commits.
    pub(super) async fn commit(
        mut self,
        changes: Vec<Change>,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<Committed, StoreError> {
        let committed = self.committed;
        let (epoch, revision, at) = columns(committed);
        let ending = self.ending.unwrap_or_else(|| kills::ending(&changes));
        let change = |change| wire::Change { change: Some(change) };
        let delta = wire::Delta { changes: changes.into_iter().map(change).collect() };
        self.db().execute("INSERT INTO updates (revision, epoch, committed_us, delta) VALUES ($1, $2, $3, $4)", values![revision, epoch, at, delta.encode_to_vec()])
        .await?;
        if stops(action) {
            self.event(committed, action, subject.clone(), cause.clone()).await?;
            kills::note(self.db(), committed, action, &subject, &cause, ending).await?;
        } else {
            self.event(committed, action, subject, cause).await?;
        }
        self.db()
            .execute("UPDATE head SET revision = $1, committed_us = $2", values![revision, at])
            .await?;
        self.finish().await?;
        Ok(committed)
    }

    /// Writes the event of what changes no authority, and commits: there is no
    /// update, and the head stays where it is.
    pub(super) async fn commit_aside(
        mut self,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<(), StoreError> {
        self.also_aside(action, subject, cause).await?;
        self.finish().await
    }

    /// Commits what is no change of anything, and has no event.
    pub(super) async fn commit_quietly(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(|error| StoreError::Uncertain(error.into()))
    }

    /// Commits what has events of its own, and changes no authority.
    pub(super) async fn commit_settled(self) -> Result<(), StoreError> {
        self.finish().await
    }

    /// Writes one more event of a change that changes no authority.
    pub(super) async fn also_aside(
        &mut self,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let at = Committed { position: self.head, at: self.committed.at };
        self.event(at, action, subject, cause).await
    }

    /// Says what the subject of the next event was like before, where it was there, and
    /// is like after it. Neither holds anything secret.
    pub(super) fn shows(
        &mut self,
        before: Option<serde_json::Value>,
        after: Option<serde_json::Value>,
    ) {
        self.shown = (before, after);
    }

    /// What this write decides about a principal, a capability or the fleet.
    pub(super) fn decided(
        &self,
        (status, in_flight): (Status, InFlight),
        revoked_at: Option<UnixMicros>,
        cause: &Cause,
    ) -> Decided {
        let Committed { position, at } = self.committed;
        Decided {
            status,
            in_flight,
            changed_at: at,
            // Once revoked, since then revoked.
            revoked_at: revoked_at.or((status == Status::Revoked).then_some(at)),
            reason: cause.reason.clone(),
            incident_id: cause.incident_id.clone(),
            revision: position.revision,
        }
    }

    /// Writes one more event of a change that is under way.
    pub(super) async fn also(
        &mut self,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<(), StoreError> {
        self.event(self.committed, action, subject, cause).await
    }

    /// Writes one more event of a change that stops somebody besides what it is for.
    pub(super) async fn also_stops(
        &mut self,
        action: &str,
        subject: String,
        cause: &Cause,
        ending: InFlight,
    ) -> Result<(), StoreError> {
        let committed = self.committed;
        self.event(committed, action, subject.clone(), cause.clone()).await?;
        kills::note(self.db(), committed, action, &subject, cause, ending).await
    }

    /// Says what becomes of requests in flight by this change.
    pub(super) fn ends(&mut self, ending: InFlight) {
        self.ending = Some(ending);
    }

    async fn event(
        &mut self,
        committed: Committed,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let (epoch, revision, at) = columns(committed);
        let (before, after) = std::mem::take(&mut self.shown);
        self.db()
            .execute(
                "INSERT INTO events
             (epoch, revision, at_us, actor, action, subject, reason, incident_id, address,
              before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                values![
                    epoch,
                    revision,
                    at,
                    cause.actor,
                    action,
                    subject,
                    cause.reason,
                    cause.incident_id,
                    cause.address,
                    before.map(|value| value.to_string()),
                    after.map(|value| value.to_string()),
                ],
            )
            .await?;
        Ok(())
    }

    /// Has references checked when everything is written.
    pub(super) async fn defer_references(&mut self) -> Result<(), StoreError> {
        if let Some(defer) = E::DEFER_REFERENCES {
            self.db().execute(defer, values![]).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        if let Some(notify) = E::NOTIFY {
            self.db().execute(notify, values![]).await?;
        }
        self.commit_quietly().await
    }

    /// Gives the write lock back: there is nothing to change.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    /// Nothing to change: finds the commit at `revision`, which made it so, and
    /// gives the write lock back.
    pub(super) async fn unchanged<T>(
        mut self,
        record: T,
        revision: Revision,
    ) -> Result<Outcome<T>, StoreError> {
        let committed = read::committed(self.db(), revision).await?;
        self.transaction.rollback().await?;
        let committed = committed.ok_or_else(|| nowhere(revision))?;
        Ok(Outcome { record, changed: false, committed })
    }

    /// The same of a write that has settled something beside it, which is kept.
    pub(super) async fn unchanged_but_settled<T>(
        mut self,
        record: T,
        revision: Revision,
    ) -> Result<Outcome<T>, StoreError> {
        let committed = read::committed(self.db(), revision).await?;
        let committed = committed.ok_or_else(|| nowhere(revision))?;
        self.finish().await?;
        Ok(Outcome { record, changed: false, committed })
    }
}

fn nowhere(revision: Revision) -> StoreError {
    StoreError::Corrupt(format!("there is no update {revision}"))
}

fn columns(committed: Committed) -> (i64, i64, i64) {
    let Position { epoch, revision: Revision(revision) } = committed.position;
    (signed(epoch), signed(revision), signed(committed.at.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_behind_the_newest_commit_only_by_more_than_a_minute() {
        let at = |second: u64| UnixMicros(second * 1_000_000);
        assert_eq!(behind(at(100), at(90)), None);
        assert_eq!(behind(at(100), at(160)), None);
        assert_eq!(behind(at(100), at(161)), Some(Duration::from_secs(61)));
    }
}
