//! Writing. A [`Write`] is the one transaction of a change; dropping it without
//! [`Write::commit`] leaves no trace.

use std::time::Duration;

use kya_core::{
    AgentId, GrantIndex, InFlight, Position, Revision, Status, TokenId, UnixSeconds, wire,
};
use prost::Message;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use wire::change::Change;

use super::read;
use super::rows::signed;
use crate::store::model::grant_to_wire;
use crate::store::{
    Agent, Cause, Committed, NewAgent, NewToken, Outcome, StatusAction, StoreError, Token,
    in_flight_name, rules, status_name,
};
use crate::throttle::Throttle;
use crate::time::{Clock, UnixMicros};

/// A head that is further ahead of the clock than this is worth a warning: the
/// clock was wrong then, or it is wrong now.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
static CLOCK_WARNINGS: Throttle = Throttle::new(Duration::from_secs(60));

/// A transaction that holds the write lock, and the position that it will have.
pub(super) struct Write {
    transaction: Transaction<'static, Sqlite>,
    /// The newest position, which this write leads on from.
    head: Position,
    committed: Committed,
    /// What the clock says, which may be behind the time of the commit.
    now: UnixMicros,
}

/// Begins a new epoch: the millisecond of the opening, or the number after the
/// last epoch if the clock does not get that far. A store made anew, or put back
/// from a backup, under the same signing key so comes after the one that was
/// lost, as long as the clock does not stand before the last opening of that.
pub(super) async fn begin_epoch(pool: &SqlitePool, now: UnixMicros) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO head (one, epoch, revision, committed_us) VALUES (1, ?, 0, ?)
         ON CONFLICT (one) DO UPDATE SET epoch = max(epoch + 1, excluded.epoch)",
    )
    .bind(signed(now.millis().0))
    .bind(signed(now.0))
    .execute(pool)
    .await?;
    warn_if_behind(now, read::head(&mut *pool.acquire().await?).await?.at);
    Ok(())
}

fn warn_if_behind(now: UnixMicros, head: UnixMicros) {
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

impl Write {
    /// Waits for its turn.
    pub(super) async fn begin(pool: &SqlitePool, clock: &dyn Clock) -> Result<Self, StoreError> {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        let head = read::head(&mut transaction).await?;
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
        Ok(Self { transaction, head: head.position, committed, now })
    }

    pub(super) fn db(&mut self) -> &mut SqliteConnection {
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
        let change = |change| wire::Change { change: Some(change) };
        let delta = wire::Delta { changes: changes.into_iter().map(change).collect() };
        sqlx::query(
            "INSERT INTO updates (revision, epoch, committed_us, delta) VALUES (?, ?, ?, ?)",
        )
        .bind(revision)
        .bind(epoch)
        .bind(at)
        .bind(delta.encode_to_vec())
        .execute(self.db())
        .await?;
        self.event(committed, action, subject, cause).await?;
        sqlx::query("UPDATE head SET revision = ?, committed_us = ?")
            .bind(revision)
            .bind(at)
            .execute(self.db())
            .await?;
        self.transaction.commit().await?;
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
        let at = Committed { position: self.head, at: self.committed.at };
        self.event(at, action, subject, cause).await?;
        Ok(self.transaction.commit().await?)
    }

    async fn event(
        &mut self,
        committed: Committed,
        action: &str,
        subject: String,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let (epoch, revision, at) = columns(committed);
        sqlx::query(
            "INSERT INTO events
             (epoch, revision, at_us, actor, action, subject, reason, incident_id)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(epoch)
        .bind(revision)
        .bind(at)
        .bind(cause.actor)
        .bind(action)
        .bind(subject)
        .bind(cause.reason)
        .bind(cause.incident_id)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Gives the write lock back: there is nothing to change.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    /// Nothing to change: finds the commit at `revision`, which made it so, and
    /// gives the write lock back.
    async fn unchanged<T>(
        mut self,
        record: T,
        revision: Revision,
    ) -> Result<Outcome<T>, StoreError> {
        let committed = read::committed(self.db(), revision).await?;
        self.transaction.rollback().await?;
        let committed = committed
            .ok_or_else(|| StoreError::Corrupt(format!("there is no update {revision}")))?;
        Ok(Outcome { record, changed: false, committed })
    }
}

fn columns(committed: Committed) -> (i64, i64, i64) {
    let Position { epoch, revision: Revision(revision) } = committed.position;
    (signed(epoch), signed(revision), signed(committed.at.0))
}

pub(super) async fn register_agent(
    mut write: Write,
    new: NewAgent,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let (_, revision, at) = columns(write.committed);
    let agent = Agent {
        id: new.id,
        name: new.name,
        status: Status::Active,
        in_flight: InFlight::Abort,
        public_key: new.public_key,
        created_at: write.committed.at,
        revoked_at: None,
        status_changed_at: write.committed.at,
        status_actor: cause.actor.clone(),
        status_reason: None,
        incident_id: None,
        revision: write.committed.position.revision,
    };
    sqlx::query(
        "INSERT INTO agents
         (id, name, status, public_key, created_us, status_changed_us, status_actor, revision)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(agent.id.to_bytes().to_vec())
    .bind(&agent.name)
    .bind(status_name(agent.status))
    .bind(agent.public_key.map(|key| key.to_string()))
    .bind(at)
    .bind(at)
    .bind(&agent.status_actor)
    .bind(revision)
    .execute(write.db())
    .await?;
    let granted = sqlx::query("INSERT INTO grants (agent_id) VALUES (?)")
        .bind(agent.id.to_bytes().to_vec())
        .execute(write.db())
        .await?
        .last_insert_rowid();
    let grant = u32::try_from(granted).ok().and_then(GrantIndex::new);
    let grant = grant.ok_or_else(|| StoreError::Corrupt(format!("a grant of index {granted}")))?;
    let changes = vec![agent.to_wire(), grant_to_wire(grant, agent.id)];
    let committed = write.commit(changes, "agent.registered", agent.id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

pub(super) async fn decide_agent(
    mut write: Write,
    id: AgentId,
    action: StatusAction,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let before = read::agent(write.db(), id).await?;
    let Some((status, in_flight)) = rules::next_status(&before, action)? else {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    };
    let Committed { position, at } = write.committed;
    let agent = Agent {
        status,
        in_flight,
        // Once revoked, since then revoked.
        revoked_at: before.revoked_at.or((status == Status::Revoked).then_some(at)),
        status_changed_at: at,
        status_actor: cause.actor.clone(),
        status_reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        revision: position.revision,
        ..before
    };
    sqlx::query(
        "UPDATE agents SET status = ?, in_flight = ?, revoked_us = ?, status_changed_us = ?,
         status_actor = ?, status_reason = ?, incident_id = ?, revision = ? WHERE id = ?",
    )
    .bind(status_name(agent.status))
    .bind(in_flight_name(agent.in_flight))
    .bind(agent.revoked_at.map(|at| signed(at.0)))
    .bind(signed(at.0))
    .bind(&agent.status_actor)
    .bind(&agent.status_reason)
    .bind(&agent.incident_id)
    .bind(signed(position.revision.0))
    .bind(id.to_bytes().to_vec())
    .execute(write.db())
    .await?;
    let changes = vec![agent.to_wire()];
    let committed = write.commit(changes, rules::event_name(action), id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

pub(super) async fn issue_token(
    mut write: Write,
    new: NewToken,
    cause: Cause,
) -> Result<Outcome<Token>, StoreError> {
    rules::may_hold_a_new_token(&read::agent(write.db(), new.agent_id).await?)?;
    let grant = read::grant(write.db(), new.agent_id).await?;
    let Committed { position, at } = write.committed;
    let token = Token {
        id: new.id,
        digest: new.digest,
        agent_id: new.agent_id,
        grant,
        issued_at: at,
        // From the clock that the proxies' clocks agree with, and not from `at`:
        // one commit in a wrong future must not make every later token outlive
        // what was asked for.
        expires: UnixSeconds(write.now.seconds().0.saturating_add(new.ttl_seconds)),
        revoked_at: None,
        revision: position.revision,
    };
    sqlx::query(
        "INSERT INTO tokens (id, digest, agent_id, grant_index, issued_us, expires_s, revision)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(token.id.to_bytes().to_vec())
    .bind(token.digest.0.to_vec())
    .bind(token.agent_id.to_bytes().to_vec())
    .bind(grant.get())
    .bind(signed(at.0))
    .bind(signed(token.expires.0))
    .bind(signed(position.revision.0))
    .execute(write.db())
    .await?;
    let changes = vec![token.to_wire()];
    let committed = write.commit(changes, "token.issued", token.id.to_string(), cause).await?;
    Ok(Outcome { record: token, changed: true, committed })
}

pub(super) async fn revoke_token(
    mut write: Write,
    id: TokenId,
    cause: Cause,
) -> Result<Outcome<Token>, StoreError> {
    let before = read::token(write.db(), id).await?;
    if before.revoked_at.is_some() {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    }
    let Committed { position, at } = write.committed;
    let token = Token { revoked_at: Some(at), revision: position.revision, ..before };
    sqlx::query("UPDATE tokens SET revoked_us = ?, revision = ? WHERE id = ?")
        .bind(signed(at.0))
        .bind(signed(position.revision.0))
        .bind(id.to_bytes().to_vec())
        .execute(write.db())
        .await?;
    let changes = vec![token.to_wire()];
    let committed = write.commit(changes, "token.revoked", id.to_string(), cause).await?;
    Ok(Outcome { record: token, changed: true, committed })
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
