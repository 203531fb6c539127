//! Agents, one by one and by their labels.

use std::collections::BTreeSet;

use kya_core::wire::change::Change;
use kya_core::{AgentId, InFlight, MAX_CHANGES, Revision, Status, UnixSeconds};

use super::rows::{self, signed};
use super::write::Write;
use super::{
    Engine, Sql, approvals, delegation, listing, policies, read, shown, tokens, undoing, values,
};
use crate::labels::Selector;
use crate::store::{
    Agent, Batch, Cause, NewAgent, Outcome, Restorable, StatusAction, StoreError, TokenLimits,
    in_flight_name, rules, status_name,
};

/// Selects agents, each with its owner and its successor.
macro_rules! agents {
    ($($rest:expr),+) => {
        concat!(
            "SELECT agents.*, principals.name AS owner, principals.status AS owner_status,
                    successor.id AS successor_id, policies.name AS policy_name
             FROM agents LEFT JOIN principals ON principals.id = agents.principal_id
                         LEFT JOIN agents AS successor ON successor.replaces_id = agents.id
                         LEFT JOIN policies ON policies.id = agents.policy_id ",
            $($rest),+
        )
    };
}
pub(super) use agents;

pub(super) async fn by_id(db: &mut impl Sql, id: AgentId) -> Result<Agent, StoreError> {
    let query = agents!("WHERE agents.id = $1");
    let row = db.first(query, values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(StoreError::NoSuchAgent(id)), rows::agent)
}

pub(super) async fn register(
    mut write: Write<impl Engine>,
    new: NewAgent,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let (agent, changes) = add(&mut write, new, None, &cause).await?;
    write.shows(None, shown::agent(&agent));
    let committed = write.commit(changes, "agent.registered", agent.id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

/// Writes a new agent, and the one whose place it takes, as part of a change.
pub(super) async fn add(
    write: &mut Write<impl Engine>,
    new: NewAgent,
    replaces: Option<AgentId>,
    cause: &Cause,
) -> Result<(Agent, Vec<Change>), StoreError> {
    if let Some(key) = &new.public_key {
        delegation::nobodys_key(write.db(), key).await?;
    }
    let (owner, expires) = delegation::below_parent(write, &new).await?;
    if let Some(owner) = &owner {
        rules::may_delegate(owner)?;
    }
    let policy = match &new.policy {
        Some(reference) => Some(policies::of_agent(write.db(), reference).await?),
        None => None,
    };
    let (at, _) = write.time();
    let agent = Agent {
        id: new.id,
        name: new.name,
        status: Status::Active,
        in_flight: InFlight::Abort,
        public_key: new.public_key,
        owner,
        parent: new.parent,
        replaces,
        replaced_by: None,
        labels: new.labels,
        expires,
        tokens_not_before: UnixSeconds(0),
        policy,
        policy_revision: None,
        created_at: at,
        revoked_at: None,
        status_changed_at: at,
        status_actor: cause.actor.clone(),
        status_reason: None,
        incident_id: None,
        revision: write.position().revision,
    };
    let bytes = |id: AgentId| id.to_bytes().to_vec();
    let insert = "INSERT INTO agents
         (id, name, status, public_key, created_us, status_changed_us, status_actor, revision,
          principal_id, labels, expires_s, parent_id, replaces_id, policy_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let values = values![
        bytes(agent.id),
        &agent.name,
        status_name(agent.status),
        agent.public_key.map(|key| key.to_string()),
        signed(at.0),
        signed(at.0),
        &agent.status_actor,
        signed(agent.revision.0),
        &agent.owner.as_ref().map(|owner| owner.id.to_bytes().to_vec()),
        agent.labels.to_string(),
        agent.expires.map(|expires| signed(expires.0)),
        &agent.parent.map(bytes),
        &agent.replaces.map(bytes),
        &agent.policy.as_ref().map(|policy| policy.id.to_bytes().to_vec()),
    ];
    write.db().execute(insert, values).await?;
    for (key, value) in agent.labels.iter() {
        let insert = "INSERT INTO agent_labels VALUES ($1, $2, $3)";
        let values = values![key.as_str(), value.as_str(), bytes(agent.id)];
        write.db().execute(insert, values).await?;
    }
    let limits = TokenLimits::default();
    let grant = tokens::add_grant(write.db(), agent.id, &limits).await?;
    let changes = vec![agent.to_wire(), limits.to_wire(grant, agent.id)];
    Ok((agent, changes))
}

pub(super) async fn decide(
    mut write: Write<impl Engine>,
    id: AgentId,
    action: StatusAction,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let before = by_id(write.db(), id).await?;
    let Some(next) = rules::decided(&before, action, &cause)? else {
        let revision = before.revision;
        let of = Restorable::Agent(id);
        return undoing::unchanged(write, (before, revision), (of, action), cause).await;
    };
    let was = shown::agent(&before);
    let agent = set_status(&mut write, before, next, &cause).await?;
    let changes = vec![agent.to_wire()];
    write.shows(was, shown::agent(&agent));
    let committed = write.commit(changes, rules::event_name(action), id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

/// Writes what was decided, as part of a change.
pub(super) async fn set_status(
    write: &mut Write<impl Engine>,
    before: Agent,
    (status, in_flight): (Status, InFlight),
    cause: &Cause,
) -> Result<Agent, StoreError> {
    let (at, _) = write.time();
    let agent = Agent {
        status,
        in_flight,
        // Once revoked, since then revoked.
        revoked_at: before.revoked_at.or((status == Status::Revoked).then_some(at)),
        status_changed_at: at,
        status_actor: cause.actor.clone(),
        status_reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        revision: write.position().revision,
        ..before
    };
    let update = "UPDATE agents SET status = $1, in_flight = $2, revoked_us = $3,
         status_changed_us = $4, status_actor = $5, status_reason = $6, incident_id = $7,
         revision = $8 WHERE id = $9";
    let values = values![
        status_name(agent.status),
        in_flight_name(agent.in_flight),
        agent.revoked_at.map(|at| signed(at.0)),
        signed(at.0),
        &agent.status_actor,
        &agent.status_reason,
        &agent.incident_id,
        signed(agent.revision.0),
        agent.id.to_bytes().to_vec(),
    ];
    write.db().execute(update, values).await?;
    Ok(agent)
}

/// One revision of a decision about all agents with these labels.
pub(super) async fn decide_all(
    mut write: Write<impl Engine>,
    selector: Selector,
    mut after: Option<AgentId>,
    action: StatusAction,
    cause: Cause,
) -> Result<Batch, StoreError> {
    let (_, now) = write.time();
    let mut waiting = approvals::waiting(&mut write).await?;
    let (mut changing, mut again) = (Vec::new(), BTreeSet::new());
    let (mut unchanged, mut newest) = (0_u64, None::<Revision>);
    let mut more = true;
    while more && changing.len() < MAX_CHANGES {
        let looked = listing::candidates(write.db(), &selector, after, now).await?;
        more = listing::is_whole(&looked);
        for agent in looked {
            if changing.len() == MAX_CHANGES {
                more = true;
                break;
            }
            after = Some(agent.id);
            if !selector.matches(&agent.labels) {
                continue;
            }
            match rules::decided(&agent, action, &cause) {
                Ok(Some(next)) => changing.push((agent, next)),
                // What is revoked is stopped, whatever is asked.
                Ok(None) | Err(StoreError::RevokedIsFinal(_)) => {
                    unchanged = unchanged.saturating_add(1);
                    newest = newest.max(Some(agent.revision));
                    if waiting.iter().any(|it| it.of == Restorable::Agent(agent.id)) {
                        again.insert(agent.id);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    let next = after.filter(|_| more);
    waiting.retain(|it| matches!(it.of, Restorable::Agent(id) if again.contains(&id)));
    undoing::void(&mut write, &waiting, &cause).await?;
    if changing.is_empty() {
        let committed = match newest {
            Some(revision) => read::committed(write.db(), revision).await?,
            None => None,
        };
        match waiting.is_empty() {
            true => write.roll_back().await?,
            false => write.commit_settled().await?,
        }
        return Ok(Batch { changed: 0, unchanged, committed, next });
    }
    let mut changes = Vec::with_capacity(changing.len());
    for (agent, next) in changing {
        let was = shown::agent(&agent);
        let agent = set_status(&mut write, agent, next, &cause).await?;
        write.shows(was, shown::agent(&agent));
        write.also(rules::event_name(action), agent.id.to_string(), cause.clone()).await?;
        changes.push(agent.to_wire());
    }
    let changed = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let event = rules::selection_event(action);
    let committed = write.commit(changes, event, selector.to_string(), cause).await?;
    Ok(Batch { changed, unchanged, committed: Some(committed), next })
}
