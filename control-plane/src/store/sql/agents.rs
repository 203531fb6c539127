//! Agents, one by one and by their labels.

use kya_core::wire::change::Change;
use kya_core::{AgentId, InFlight, MAX_CHANGES, Revision, Status, UnixSeconds};

use super::rows::{self, signed};
use super::write::Write;
use super::{Engine, Sql, delegation, policies, principals, read, tokens, values};
use crate::labels::Selector;
use crate::store::{
    Agent, AgentFilter, Batch, Cause, NewAgent, Outcome, ShownStatus, StatusAction, StoreError,
    TokenLimits, in_flight_name, rules, status_name,
};
use crate::time::UnixMicros;

/// Agents that are looked at together, where not all of them may be meant.
const PAGE: u32 = 1_000;

/// Selects agents, each with its owner and its successor.
macro_rules! agents {
    ($rest:literal) => {
        concat!(
            "SELECT agents.*, principals.name AS owner, principals.status AS owner_status,
                    successor.id AS successor_id, policies.name AS policy_name
             FROM agents LEFT JOIN principals ON principals.id = agents.principal_id
                         LEFT JOIN agents AS successor ON successor.replaces_id = agents.id
                         LEFT JOIN policies ON policies.id = agents.policy_id ",
            $rest
        )
    };
}
pub(super) use agents;

pub(super) async fn by_id(db: &mut impl Sql, id: AgentId) -> Result<Agent, StoreError> {
    let query = agents!("WHERE agents.id = $1");
    let row = db.first(query, values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(StoreError::NoSuchAgent(id)), rows::agent)
}

/// Up to `limit` agents that the filter lets through, in the order of their ids.
pub(super) async fn list(
    db: &mut impl Sql,
    filter: &AgentFilter,
    after: Option<AgentId>,
    limit: u32,
    now: UnixMicros,
) -> Result<Vec<Agent>, StoreError> {
    let owner = match &filter.owner {
        Some(key) => Some(principals::by_key(db, key).await?.id.to_bytes().to_vec()),
        None => None,
    };
    if let Some(parent) = filter.parent {
        by_id(db, parent).await?;
    }
    let policy = match &filter.policy {
        Some(reference) => Some(policies::of_agent(db, reference).await?.id.to_bytes().to_vec()),
        None => None,
    };
    let of = Of { filter, owner, policy };
    let Some(selector) = &filter.selector else {
        return page(db, &of, after, limit, now).await;
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut found, mut after) = (Vec::new(), after);
    while found.len() < wanted {
        let looked = page(db, &of, after, PAGE, now).await?;
        after = looked.last().map(|agent| agent.id);
        let whole = is_whole(&looked);
        found.extend(looked.into_iter().filter(|agent| selector.matches(&agent.labels)));
        if !whole {
            break;
        }
    }
    found.truncate(wanted);
    Ok(found)
}

/// Whether there may be more after this page.
pub(super) fn is_whole(page: &[Agent]) -> bool {
    u32::try_from(page.len()) == Ok(PAGE)
}

/// Agents after `after` that may have these labels: those who have one that all of
/// them must have. Whoever asks looks at the others.
pub(super) async fn candidates(
    db: &mut impl Sql,
    selector: &Selector,
    after: Option<AgentId>,
    now: UnixMicros,
) -> Result<Vec<Agent>, StoreError> {
    let filter = AgentFilter { selector: Some(selector.clone()), ..AgentFilter::default() };
    let of = Of { filter: &filter, owner: None, policy: None };
    page(db, &of, after, PAGE, now).await
}

/// Which agents: the filter, with the ids of what it names.
struct Of<'a> {
    filter: &'a AgentFilter,
    owner: Option<Vec<u8>>,
    policy: Option<Vec<u8>>,
}

async fn page(
    db: &mut impl Sql,
    Of { filter, owner, policy }: &Of<'_>,
    after: Option<AgentId>,
    limit: u32,
    now: UnixMicros,
) -> Result<Vec<Agent>, StoreError> {
    // Whether expiry does not matter, must not have come, or must have.
    let (status, expiry): (_, i64) = match filter.status {
        None => (None, 0),
        Some(ShownStatus::Decided(Status::Revoked)) => (Some(status_name(Status::Revoked)), 0),
        Some(ShownStatus::Decided(status)) => (Some(status_name(status)), 1),
        Some(ShownStatus::Expired) => (None, 2),
    };
    let label = filter.selector.as_ref().and_then(Selector::label);
    let parent = filter.parent.map(|id| id.to_bytes().to_vec());
    // An id is 16 bytes, so the empty blob comes before every one.
    let query = agents!(
        "WHERE agents.id > $1
           AND (CAST($2 AS TEXT) IS NULL OR agents.status = $2)
           AND (CAST($3 AS BIGINT) = 0
                OR (CAST($3 AS BIGINT) = 1
                    AND (agents.expires_s IS NULL OR agents.expires_s > $4))
                OR (CAST($3 AS BIGINT) = 2
                    AND agents.status <> 'revoked' AND agents.expires_s <= $4))
           AND (CAST($5 AS BIGINT) = 1 OR agents.principal_id = $6)
           AND (CAST($7 AS TEXT) IS NULL OR EXISTS (
                SELECT 1 FROM agent_labels
                WHERE label_key = $7 AND label_value = $8 AND agent_id = agents.id))
           AND (CAST($9 AS BIGINT) = 1 OR agents.parent_id = $10)
           AND (CAST($11 AS BIGINT) = 1 OR agents.policy_id = $12)
         ORDER BY agents.id LIMIT $13"
    );
    let found = db
        .all(
            query,
            values![
                after.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
                status,
                expiry,
                signed(now.seconds().0),
                i64::from(owner.is_none()),
                owner,
                label.map(|(key, _)| key.as_str()),
                label.map(|(_, value)| value.as_str()),
                i64::from(parent.is_none()),
                &parent,
                i64::from(policy.is_none()),
                policy,
                limit,
            ],
        )
        .await?;
    found.iter().map(rows::agent).collect()
}

pub(super) async fn register(
    mut write: Write<impl Engine>,
    new: NewAgent,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let (agent, changes) = add(&mut write, new, None, &cause).await?;
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
    let Some(next) = rules::next_status(&before, action)? else {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    };
    let agent = set_status(&mut write, before, next, &cause).await?;
    let changes = vec![agent.to_wire()];
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
    let mut changing = Vec::new();
    let (mut unchanged, mut newest) = (0_u64, None::<Revision>);
    let mut more = true;
    while more && changing.len() < MAX_CHANGES {
        let looked = candidates(write.db(), &selector, after, now).await?;
        more = is_whole(&looked);
        for agent in looked {
            if changing.len() == MAX_CHANGES {
                more = true;
                break;
            }
            after = Some(agent.id);
            if !selector.matches(&agent.labels) {
                continue;
            }
            match rules::next_status(&agent, action) {
                Ok(Some(next)) => changing.push((agent, next)),
                // What is revoked is stopped, whatever is asked.
                Ok(None) | Err(StoreError::RevokedIsFinal(_)) => {
                    unchanged = unchanged.saturating_add(1);
                    newest = newest.max(Some(agent.revision));
                }
                Err(error) => return Err(error),
            }
        }
    }
    let next = after.filter(|_| more);
    if changing.is_empty() {
        let committed = match newest {
            Some(revision) => read::committed(write.db(), revision).await?,
            None => None,
        };
        write.roll_back().await?;
        return Ok(Batch { changed: 0, unchanged, committed, next });
    }
    let mut changes = Vec::with_capacity(changing.len());
    for (agent, next) in changing {
        let agent = set_status(&mut write, agent, next, &cause).await?;
        write.also(rules::event_name(action), agent.id.to_string(), cause.clone()).await?;
        changes.push(agent.to_wire());
    }
    let changed = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let event = rules::selection_event(action);
    let committed = write.commit(changes, event, selector.to_string(), cause).await?;
    Ok(Batch { changed, unchanged, committed: Some(committed), next })
}
