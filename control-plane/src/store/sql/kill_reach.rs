//! What a kill reached. It is counted after the kill, which must not wait for that, as it
//! was at the instant of the kill: what was revoked or has expired since then counts, and
//! what was registered since then does not.

use std::collections::BTreeSet;

use kya_core::{AgentId, CapabilityId, MAX_CHANGES, PolicyId, PrincipalId, TokenId};

use super::rows::{self, corrupt, signed};
use super::{Columns, Sql, values};
use crate::store::{Kill, KillReach, LISTED_AGENTS, StoreError};

/// Agents that could act at `$1` (microseconds, and `$2` in seconds), with a condition.
macro_rules! live {
    ($of_agents:literal) => {
        concat!(
            "(agents.revoked_us IS NULL OR agents.revoked_us >= $1) AND agents.created_us <= $1
             AND (agents.expires_s IS NULL OR agents.expires_s > $2)",
            $of_agents
        )
    };
}

/// Counts such agents, and their tokens that counted then. A token may be of a second to
/// come, where those of this second were taken back.
macro_rules! counts {
    ($of_agents:literal) => {
        concat!(
            "SELECT (SELECT count(*) FROM agents WHERE ",
            live!($of_agents),
            ") AS agents,
             (SELECT count(*) FROM tokens JOIN agents ON agents.id = tokens.agent_id
              WHERE (tokens.revoked_us IS NULL OR tokens.revoked_us >= $1)
                AND tokens.expires_s > $2 AND tokens.issued_us / 1000000 <= $2 + 1
                AND (agents.tokens_not_before_s = 0
                     OR tokens.issued_us / 1000000 > agents.tokens_not_before_s)
                AND ",
            live!($of_agents),
            ") AS tokens,
             (SELECT count(*) FROM capability_tokens AS held
              JOIN agents ON agents.id = held.agent_id
              WHERE (held.revoked_us IS NULL OR held.revoked_us >= $1)
                AND held.expires_s > $2 AND held.issued_s <= $2 + 1
                AND held.issued_s > agents.tokens_not_before_s AND ",
            live!($of_agents),
            ") AS capability_tokens"
        )
    };
}

macro_rules! ids {
    ($of_agents:literal) => {
        concat!("SELECT id FROM agents WHERE ", live!($of_agents), " ORDER BY id LIMIT $3")
    };
}

/// `$4` and all that act for it.
macro_rules! below {
    ($macro:ident) => {
        $macro!(
            " AND agents.id IN (
             WITH RECURSIVE below (id, depth) AS (
                 SELECT id, CAST(0 AS BIGINT) FROM agents WHERE id = $4
                 UNION ALL
                 SELECT agents.id, below.depth + 1
                 FROM agents JOIN below ON agents.parent_id = below.id WHERE below.depth < 16)
             SELECT id FROM below) AND $3 > 0"
        )
    };
}

/// The instant of a kill, in microseconds and seconds, and how many agents are listed.
type At = (i64, i64, i64);

pub(super) async fn of(db: &mut impl Sql, kill: &Kill) -> Result<KillReach, StoreError> {
    let at = kill.committed.at;
    let at = (signed(at.0), signed(at.seconds().0), i64::from(LISTED_AGENTS));
    let subject = kill.subject.as_str();
    match kill.act.as_str() {
        "fleet.halted" => {
            let (all, listed) = (counts!(" AND $3 > 0"), ids!(""));
            let values = || values![at.0, at.1, at.2];
            let (row, listed) = (db.one(all, values()).await?, db.all(listed, values()).await?);
            reach(&row, &listed)
        }
        "agent.revoked" | "agent.suspended" => below(db, parsed(subject)?, at).await,
        "capability.revoked" | "capability.suspended" => {
            let (agent, action) = subject.split_once(' ').ok_or_else(|| wrong(subject))?;
            let actions = vec![action.to_owned()];
            Ok(KillReach { actions, ..below(db, parsed(agent)?, at).await? })
        }
        "principal.revoked" | "principal.suspended" => {
            let id = parsed::<PrincipalId>(subject)?.to_bytes();
            let (all, listed) = (
                counts!(" AND agents.principal_id = $4 AND $3 > 0"),
                ids!(" AND principal_id = $4"),
            );
            under(db, (all, listed), id.to_vec(), at).await
        }
        "policy.revoked" => {
            let id = subject.split('@').next().unwrap_or_default();
            let id = parsed::<PolicyId>(id)?.to_bytes();
            let (all, listed) =
                (counts!(" AND agents.policy_id = $4 AND $3 > 0"), ids!(" AND policy_id = $4"));
            under(db, (all, listed), id.to_vec(), at).await
        }
        "agent.tokens_revoked" => tokens_of(db, kill, parsed(subject)?, at).await,
        "token.revoked" => tokens(db, vec![parsed(subject)?]).await,
        "capability_token.revoked" => capability_tokens(db, vec![parsed(subject)?]).await,
        "tokens.revoked" => {
            let ids = meant(db, kill, "token.revoked").await?;
            tokens(db, ids).await
        }
        "capability_tokens.revoked" => {
            let ids = meant(db, kill, "capability_token.revoked").await?;
            capability_tokens(db, ids).await
        }
        "selection.revoked" | "selection.suspended" => {
            let act = kill.act.replace("selection", "agent");
            let ids = meant(db, kill, &act).await?;
            selected(db, ids, at).await
        }
        other => Err(corrupt("act", other)),
    }
}

fn wrong(subject: &str) -> StoreError {
    corrupt("subject", subject)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| wrong(text))
}

fn reach<R: Columns>(row: &R, listed: &[R]) -> Result<KillReach, StoreError> {
    Ok(KillReach {
        agents: rows::count(row, "agents")?,
        tokens: rows::count(row, "tokens")?,
        capability_tokens: rows::count(row, "capability_tokens")?,
        listed: listed.iter().map(|row| rows::agent_id(row, "id")).collect::<Result<_, _>>()?,
        ..KillReach::default()
    })
}

async fn under(
    db: &mut impl Sql,
    (all, listed): (&'static str, &'static str),
    id: Vec<u8>,
    at: At,
) -> Result<KillReach, StoreError> {
    let row = db.one(all, values![at.0, at.1, at.2, id.clone()]).await?;
    let listed = db.all(listed, values![at.0, at.1, at.2, id]).await?;
    reach(&row, &listed)
}

/// An agent and all that act for it.
async fn below(db: &mut impl Sql, id: AgentId, at: At) -> Result<KillReach, StoreError> {
    under(db, (below!(counts), below!(ids)), id.to_bytes().to_vec(), at).await
}

/// Agents of whom each has an event of its own, and all that act for them.
async fn selected(
    db: &mut impl Sql,
    agents: Vec<AgentId>,
    at: At,
) -> Result<KillReach, StoreError> {
    let one = counts!(" AND agents.id = $4 AND $3 > 0");
    let every = below!(ids);
    let mut stopped = BTreeSet::new();
    for id in agents {
        let found = db.all(every, values![at.0, at.1, i64::MAX, id.to_bytes().to_vec()]).await?;
        for row in &found {
            stopped.insert(rows::agent_id(row, "id")?);
        }
    }
    let mut sum = KillReach::default();
    for id in &stopped {
        let row = db.one(one, values![at.0, at.1, at.2, id.to_bytes().to_vec()]).await?;
        sum.agents = sum.agents.saturating_add(rows::count(&row, "agents")?);
        sum.tokens = sum.tokens.saturating_add(rows::count(&row, "tokens")?);
        let held = rows::count(&row, "capability_tokens")?;
        sum.capability_tokens = sum.capability_tokens.saturating_add(held);
    }
    sum.listed = first(stopped);
    Ok(sum)
}

/// Whoever has an event of this kind in the change that a kill is of.
async fn meant<T: std::str::FromStr>(
    db: &mut impl Sql,
    kill: &Kill,
    act: &str,
) -> Result<Vec<T>, StoreError> {
    // They were written right before that of the kill.
    let first = kill.event.saturating_sub(u64::try_from(MAX_CHANGES).unwrap_or(u64::MAX));
    let query = "SELECT subject FROM events
                 WHERE sequence >= $1 AND sequence < $2 AND epoch = $3 AND revision = $4
                   AND action = $5 ORDER BY sequence";
    let position = kill.committed.position;
    let values = values![
        signed(first),
        signed(kill.event),
        signed(position.epoch),
        signed(position.revision.0),
        act,
    ];
    db.all(query, values).await?.iter().map(|row| parsed(row.text("subject")?)).collect()
}

/// Tokens that were taken back one by one: only those that counted are.
async fn tokens(db: &mut impl Sql, ids: Vec<TokenId>) -> Result<KillReach, StoreError> {
    let query = "SELECT agent_id FROM tokens WHERE id = $1";
    let (count, mut holders) = (count(&ids), BTreeSet::new());
    for id in ids {
        if let Some(row) = db.first(query, values![id.to_bytes().to_vec()]).await? {
            holders.insert(rows::agent_id(&row, "agent_id")?);
        }
    }
    Ok(KillReach { tokens: count, holders: first(holders), ..KillReach::default() })
}

/// The same of capability tokens; what is expired for long is forgotten.
async fn capability_tokens(
    db: &mut impl Sql,
    ids: Vec<CapabilityId>,
) -> Result<KillReach, StoreError> {
    let query = "SELECT agent_id FROM capability_tokens WHERE id = $1";
    let (count, mut holders) = (count(&ids), BTreeSet::new());
    for id in ids {
        if let Some(row) = db.first(query, values![id.to_bytes().to_vec()]).await? {
            holders.insert(rows::agent_id(&row, "agent_id")?);
        }
    }
    Ok(KillReach { capability_tokens: count, holders: first(holders), ..KillReach::default() })
}

/// All tokens of an agent that were issued after those before were taken back.
async fn tokens_of(
    db: &mut impl Sql,
    kill: &Kill,
    agent: AgentId,
    at: At,
) -> Result<KillReach, StoreError> {
    let before = "SELECT max(at_us) AS at_us FROM kills
                  WHERE subject = $1 AND event < $2 AND act = 'agent.tokens_revoked'";
    let before = db.one(before, values![&kill.subject, signed(kill.event)]).await?;
    let before = before.optional_int("at_us")?.map_or(-1, |at| at / 1_000_000);
    let query = "SELECT
         (SELECT count(*) FROM tokens
          WHERE agent_id = $4 AND (revoked_us IS NULL OR revoked_us >= $1)
            AND expires_s > $2 AND issued_us / 1000000 > $3
            AND issued_us / 1000000 <=
                (SELECT tokens_not_before_s FROM agents WHERE id = $4)) AS tokens,
         (SELECT count(*) FROM capability_tokens
          WHERE agent_id = $4 AND (revoked_us IS NULL OR revoked_us >= $1)
            AND expires_s > $2 AND issued_s > $3
            AND issued_s <=
                (SELECT tokens_not_before_s FROM agents WHERE id = $4)) AS capability_tokens";
    let row = db.one(query, values![at.0, at.1, before, agent.to_bytes().to_vec()]).await?;
    Ok(KillReach {
        tokens: rows::count(&row, "tokens")?,
        capability_tokens: rows::count(&row, "capability_tokens")?,
        holders: vec![agent],
        ..KillReach::default()
    })
}

fn count<T>(ids: &[T]) -> u64 {
    u64::try_from(ids.len()).unwrap_or(u64::MAX)
}

fn first(ids: BTreeSet<AgentId>) -> Vec<AgentId> {
    ids.into_iter().take(usize::try_from(LISTED_AGENTS).unwrap_or(usize::MAX)).collect()
}
