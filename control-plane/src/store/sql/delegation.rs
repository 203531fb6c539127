//! Who acts for whom, and who takes whose place.

use kya_core::policy::{PolicyReference, excess};
use kya_core::{AgentId, InFlight, MAX_DELEGATION, PublicKey, Status, UnixSeconds};

use super::rows::{self, signed};
use super::write::Write;
use super::{Engine, Sql, agents, policies, principals, shown, values};
use crate::principals::PrincipalKey;
use crate::store::delegation::{DelegationError, expiry_below, may_be_acted_for};
use crate::store::{
    Agent, Cause, Descendant, NewAgent, NewSuccessor, Outcome, Owner, StatusAction, StoreError,
    rules,
};
use crate::time::UnixMicros;

/// Whoever writes that an agent has expired. No operator can have this name.
const CLOCK: &str = "(the clock)";

/// The agent, the one that it acts for, and so on: no more than there can be, and one.
pub(super) async fn above(
    db: &mut impl Sql,
    agent: Option<AgentId>,
) -> Result<Vec<Agent>, StoreError> {
    let (mut above, mut next) = (Vec::new(), agent);
    while let Some(id) = next
        && above.len() <= MAX_DELEGATION
    {
        let agent = agents::by_id(db, id).await?;
        next = agent.parent;
        above.push(agent);
    }
    Ok(above)
}

/// On whose behalf a new agent acts and when it expires, which is as its parent says
/// where it has one.
pub(super) async fn below_parent(
    write: &mut Write<impl Engine>,
    new: &NewAgent,
) -> Result<(Option<Owner>, Option<UnixSeconds>), StoreError> {
    let owner = match &new.owner {
        Some(key) => {
            let found = principals::by_key(write.db(), key).await?;
            Some(Owner { id: found.id, name: found.name, status: found.decided.status })
        }
        None => None,
    };
    let (_, now) = write.time();
    let above = above(write.db(), new.parent).await?;
    let Some(parent) = above.first() else { return Ok((owner, new.expires)) };
    may_be_acted_for(&above, now)?;
    let id = |owner: &Owner| owner.id;
    if owner.is_some() && owner.as_ref().map(id) != parent.owner.as_ref().map(id) {
        let name = parent.owner.as_ref().map(|owner| owner.name.clone());
        return Err(DelegationError::OtherOwner { parent: parent.id, owner: name }.into());
    }
    let expires = expiry_below(parent, new.expires)?;
    if let Some(own) = &new.policy {
        within_those_above(write.db(), &above, own).await?;
    }
    Ok((parent.owner.clone(), expires))
}

/// Refuses a policy that permits more than that of any agent above.
pub(super) async fn within_those_above(
    db: &mut impl Sql,
    above: &[Agent],
    own: &PolicyReference,
) -> Result<(), StoreError> {
    let mut checked = None;
    for Agent { id, policy, .. } in above {
        let Some(theirs) = policy else { continue };
        let own = match checked {
            Some(own) => own,
            None => policies::checked(db, own).await?,
        };
        let theirs = policies::checked(db, &PolicyReference::Id(theirs.id)).await?;
        if let Some(excess) = excess(&own, &theirs) {
            return Err(DelegationError::MoreThanAbove { above: *id, excess }.into());
        }
        checked = Some(own);
    }
    Ok(())
}

/// Refuses a key that any agent has or had. Nobody writes meanwhile, on whatever server.
pub(super) async fn nobodys_key(db: &mut impl Sql, key: &PublicKey) -> Result<(), StoreError> {
    let query = "SELECT id FROM agents WHERE public_key = $1 LIMIT 1";
    match db.first(query, values![key.to_string()]).await? {
        Some(used) => Err(DelegationError::KeyUsed { of: rows::agent_id(&used, "id")? }.into()),
        None => Ok(()),
    }
}

pub(super) async fn replace(
    mut write: Write<impl Engine>,
    new: NewSuccessor,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let before = agents::by_id(write.db(), new.replaces).await?;
    if let Some(by) = before.replaced_by {
        return Err(DelegationError::AlreadyReplaced { agent: before.id, by }.into());
    }
    let (_, now) = write.time();
    let owner = new.owner.or(before.owner.as_ref().map(|owner| PrincipalKey::Id(owner.id)));
    let expires = match (new.expires, before.expires) {
        (None, Some(at)) if before.is_expired(now) => {
            return Err(DelegationError::ExpiryPassed { agent: before.id, at }.into());
        }
        (given, same) => given.or(same),
    };
    let next = rules::next_status(&before, StatusAction::Revoke(InFlight::Abort))?;
    let mut changes = Vec::new();
    let mut old = before.clone();
    if before.status != Status::Revoked {
        let (true, Some(next)) = (new.revoke, next) else {
            return Err(DelegationError::NotRevoked(before.id).into());
        };
        let revoked = agents::set_status(&mut write, before.clone(), next, &cause).await?;
        let subject = revoked.id.to_string();
        write.shows(shown::agent(&before), shown::agent(&revoked));
        write.also_stops("agent.revoked", subject, &cause, InFlight::Abort).await?;
        changes.push(revoked.to_wire());
        old = revoked;
    }
    let (was, replaced) = (shown::agent(&old), shown::replaced(&old, new.id));
    let successor = NewAgent {
        id: new.id,
        name: new.name.unwrap_or(before.name),
        public_key: Some(new.public_key),
        owner,
        parent: before.parent,
        labels: new.labels.unwrap_or(before.labels),
        expires,
        policy: before.policy.map(|policy| PolicyReference::Id(policy.id)),
    };
    let (agent, added) = agents::add(&mut write, successor, Some(before.id), &cause).await?;
    changes.extend(added);
    let subject = format!("{} {}", before.id, agent.id);
    write.shows(was, replaced);
    write.also("agent.replaced", subject, cause.clone()).await?;
    write.shows(None, shown::agent(&agent));
    let committed = write.commit(changes, "agent.registered", agent.id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

pub(super) async fn supersede(
    mut write: Write<impl Engine>,
    id: AgentId,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let before = agents::by_id(write.db(), id).await?;
    let ((at, _), revision) = (write.time(), write.position().revision);
    // One that was issued after an earlier such bound may be of a second to come.
    let newest = "SELECT max(issued) AS issued FROM (
                      SELECT max(issued_us) / 1000000 AS issued FROM tokens WHERE agent_id = $1
                      UNION ALL
                      SELECT max(issued_s) FROM capability_tokens WHERE agent_id = $1) AS newest";
    let newest = write.db().one(newest, values![id.to_bytes().to_vec()]).await?;
    let newest = rows::optional(&newest, "issued")?.unwrap_or_default();
    let tokens_not_before = at.seconds().max(UnixSeconds(newest));
    // Of this second they were taken back; a revoked agent has none that count.
    if before.status == Status::Revoked || before.tokens_not_before >= tokens_not_before {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    }
    let update = "UPDATE agents SET tokens_not_before_s = $1, revision = $2 WHERE id = $3";
    let values = values![signed(tokens_not_before.0), signed(revision.0), id.to_bytes().to_vec()];
    write.db().execute(update, values).await?;
    let was = shown::agent(&before);
    let agent = Agent { tokens_not_before, revision, ..before };
    write.shows(was, shown::agent(&agent));
    let changes = vec![agent.to_wire()];
    let committed = write.commit(changes, "agent.tokens_revoked", id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

/// The agent itself comes first.
pub(super) async fn descendants(
    db: &mut impl Sql,
    id: AgentId,
    limit: u32,
) -> Result<Vec<Descendant>, StoreError> {
    agents::by_id(db, id).await?;
    let query = "WITH RECURSIVE below (id, depth) AS (
             SELECT id, CAST(0 AS BIGINT) FROM agents WHERE id = $1
             UNION ALL
             SELECT agents.id, below.depth + 1
             FROM agents JOIN below ON agents.parent_id = below.id WHERE below.depth < 16)
         SELECT agents.*, principals.name AS owner, principals.status AS owner_status,
                successor.id AS successor_id, policies.name AS policy_name, below.depth
         FROM below JOIN agents ON agents.id = below.id
                    LEFT JOIN principals ON principals.id = agents.principal_id
                    LEFT JOIN agents AS successor ON successor.replaces_id = agents.id
                    LEFT JOIN policies ON policies.id = agents.policy_id
         ORDER BY below.depth, agents.id LIMIT $2";
    let found = db.all(query, values![id.to_bytes().to_vec(), limit.saturating_add(1)]).await?;
    let descendant =
        |row: &_| Ok(Descendant { agent: rows::agent(row)?, depth: rows::count(row, "depth")? });
    found.iter().map(descendant).collect()
}

/// Whether any agent has expired of whom that is not noted.
pub(super) async fn any_to_note(db: &mut impl Sql, now: UnixMicros) -> Result<bool, StoreError> {
    let query = "SELECT id FROM agents
                 WHERE expires_s <= $1 AND expires_s IS NOT NULL AND expiry_noted_us IS NULL
                   AND status <> 'revoked' LIMIT 1";
    Ok(db.first(query, values![signed(now.seconds().0)]).await?.is_some())
}

pub(super) async fn note_expired(
    mut write: Write<impl Engine>,
    limit: u32,
) -> Result<u64, StoreError> {
    let (at, now) = write.time();
    let query = "SELECT id FROM agents
                 WHERE expires_s <= $1 AND expires_s IS NOT NULL AND expiry_noted_us IS NULL
                   AND status <> 'revoked' ORDER BY expires_s, id LIMIT $2";
    let found = write.db().all(query, values![signed(now.seconds().0), limit]).await?;
    let ids = found.iter().map(|row| rows::agent_id(row, "id"));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let Some((last, others)) = ids.split_last() else {
        write.roll_back().await?;
        return Ok(0);
    };
    let cause = || Cause { actor: CLOCK.to_owned(), ..Cause::default() };
    for id in &ids {
        let update = "UPDATE agents SET expiry_noted_us = $1 WHERE id = $2";
        write.db().execute(update, values![signed(at.0), id.to_bytes().to_vec()]).await?;
    }
    for id in others {
        write.also_aside("agent.expired", id.to_string(), cause()).await?;
    }
    write.commit_aside("agent.expired", last.to_string(), cause()).await?;
    Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
}
