//! Single actions of agents.

use kya_core::{ActionName, AgentId, InFlight, Status};

use super::principals::decided_values;
use super::rows::{self, signed};
use super::write::Write;
use super::{Engine, Sql, agents, shown, undoing, values};
use crate::store::{
    Capability, Cause, Decided, MAX_STOPPED_CAPABILITIES, Outcome, Restorable, StatusAction,
    StopError, StoreError, rules,
};

pub(super) async fn decide(
    mut write: Write<impl Engine>,
    id: AgentId,
    name: ActionName,
    action: StatusAction,
    cause: Cause,
) -> Result<Outcome<Capability>, StoreError> {
    let (known, before) = look(write.db(), id, &name).await?;
    let Some(next) = rules::next_of_capability(&before, action)? else {
        let revision = before.decided.revision;
        let of = Restorable::Capability(id, name);
        return undoing::unchanged(write, (before, revision), (of, action), cause).await;
    };
    has_room(&known, &before, next.0)?;
    if let Some(first) = surplus(&known, next.0) {
        let delete = "DELETE FROM capabilities
                      WHERE agent_id = $1 AND action = $2 AND status = 'active'";
        let values = values![id.to_bytes().to_vec(), first.action.as_str()];
        write.db().execute(delete, values).await?;
    }
    let decided = write.decided(next, before.decided.revoked_at, &cause);
    let insert = "INSERT INTO capabilities
         (status, in_flight, revoked_us, status_changed_us, status_reason, incident_id, revision,
          agent_id, action)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let update = "UPDATE capabilities SET status = $1, in_flight = $2, revoked_us = $3,
         status_changed_us = $4, status_reason = $5, incident_id = $6, revision = $7
         WHERE agent_id = $8 AND action = $9";
    let is_known = known.iter().any(|capability| capability.action == before.action);
    let mut values = decided_values(&decided);
    values.extend(values![id.to_bytes().to_vec(), before.action.as_str()]);
    write.db().execute(if is_known { update } else { insert }, values).await?;
    let was = shown::decided(&before.decided).filter(|_| is_known);
    write.shows(was, shown::decided(&decided));
    let capability = Capability { decided, ..before };
    let subject = format!("{id} {}", capability.action);
    let changes = vec![capability.to_wire()];
    let committed = write.commit(changes, rules::capability_event(action), subject, cause).await?;
    Ok(Outcome { record: capability, changed: true, committed })
}

/// All that are known of an agent, and the one of this name, which may be none of
/// them.
pub(super) async fn look(
    db: &mut impl Sql,
    id: AgentId,
    name: &ActionName,
) -> Result<(Vec<Capability>, Capability), StoreError> {
    let agent = agents::by_id(db, id).await?;
    let known = list(db, id).await?;
    let before = known.iter().find(|capability| capability.action == *name);
    // Where nothing was decided, the last change of the agent has left it so.
    let before = before.cloned().unwrap_or_else(|| Capability {
        agent_id: id,
        action: name.clone(),
        decided: Decided {
            status: Status::Active,
            in_flight: InFlight::Abort,
            changed_at: agent.created_at,
            revoked_at: None,
            reason: None,
            incident_id: None,
            revision: agent.revision,
        },
    });
    Ok((known, before))
}

/// Whether a decision would change anything, or why it would be refused.
pub(super) async fn would_change(
    db: &mut impl Sql,
    id: AgentId,
    name: &ActionName,
    action: StatusAction,
) -> Result<bool, StoreError> {
    let (known, before) = look(db, id, name).await?;
    let Some(next) = rules::next_of_capability(&before, action)? else { return Ok(false) };
    has_room(&known, &before, next.0).map(|()| true)
}

fn is_active(capability: &&Capability) -> bool {
    capability.decided.status == Status::Active
}

/// Refuses to stop one more than so many.
fn has_room(known: &[Capability], before: &Capability, next: Status) -> Result<(), StoreError> {
    let stopped = known.len().saturating_sub(known.iter().filter(is_active).count());
    let one_more = is_active(&before) && next != Status::Active;
    match one_more && stopped >= MAX_STOPPED_CAPABILITIES {
        true => Err(StopError::TooManyCapabilities(before.agent_id).into()),
        false => Ok(()),
    }
}

/// As many as may be stopped are remembered as restored. The one to forget, which is
/// as active without a record as it is with one, when there is another.
fn surplus(known: &[Capability], next: Status) -> Option<&Capability> {
    let restored = known.iter().filter(is_active);
    let full = next == Status::Active && restored.clone().count() >= MAX_STOPPED_CAPABILITIES;
    restored.min_by_key(|capability| capability.decided.revision).filter(|_| full)
}

/// All of an agent, which there must be.
pub(super) async fn of_agent(
    db: &mut impl Sql,
    agent: AgentId,
) -> Result<Vec<Capability>, StoreError> {
    agents::by_id(db, agent).await?;
    list(db, agent).await
}

async fn list(db: &mut impl Sql, agent: AgentId) -> Result<Vec<Capability>, StoreError> {
    let most = signed(MAX_STOPPED_CAPABILITIES.saturating_mul(2).try_into().unwrap_or(u64::MAX));
    let query = "SELECT * FROM capabilities WHERE agent_id = $1 ORDER BY action LIMIT $2";
    let found = db.all(query, values![agent.to_bytes().to_vec(), most]).await?;
    found.iter().map(rows::capability).collect()
}
