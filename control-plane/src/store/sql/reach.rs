//! Whom a stop reaches, and what it would do.

use std::collections::{HashMap, HashSet};

use kya_core::AgentId;

use super::rows::{self, signed};
use super::{
    Sql, agents, capabilities, capability_tokens, fleet, listing, policies, principals, tokens,
    values,
};
use crate::labels::Selector;
use crate::store::{
    Agent, Preview, Reach, StatusAction, StoreError, Target, TokenSelection, rules,
};
use crate::time::UnixMicros;

/// Counts agents that are neither revoked nor expired, and such tokens of theirs.
macro_rules! count {
    ($of_agents:literal) => {
        concat!(
            "SELECT
             (SELECT count(*) FROM agents
              WHERE agents.status <> 'revoked'
                AND (agents.expires_s IS NULL OR agents.expires_s > $1)",
            $of_agents,
            ") AS agents,
             (SELECT count(*) FROM capability_tokens AS held
              JOIN agents ON agents.id = held.agent_id
              WHERE held.revoked_us IS NULL AND held.expires_s > $1
                AND held.issued_s > agents.tokens_not_before_s
                AND agents.status <> 'revoked'
                AND (agents.expires_s IS NULL OR agents.expires_s > $1)",
            $of_agents,
            ") +
             (SELECT count(*) FROM tokens JOIN agents ON agents.id = tokens.agent_id
              WHERE tokens.revoked_us IS NULL AND tokens.expires_s > $1
                AND (agents.tokens_not_before_s = 0
                     OR tokens.issued_us / 1000000 > agents.tokens_not_before_s)
                AND agents.status <> 'revoked'
                AND (agents.expires_s IS NULL OR agents.expires_s > $1)",
            $of_agents,
            ") AS tokens"
        )
    };
}

pub(super) async fn reach(
    db: &mut impl Sql,
    target: &Target,
    now: UnixMicros,
) -> Result<Reach, StoreError> {
    let at = signed(now.seconds().0);
    let row = match target {
        Target::Fleet => db.one(count!(""), values![at]).await?,
        Target::Principal(key) => {
            let id = principals::by_key(db, key).await?.id.to_bytes().to_vec();
            db.one(count!(" AND agents.principal_id = $2"), values![at, id]).await?
        }
        Target::Policy(reference) => {
            let id = policies::of_agent(db, reference).await?.id.to_bytes().to_vec();
            db.one(count!(" AND agents.policy_id = $2"), values![at, id]).await?
        }
        Target::Agent(id) | Target::Capability(id, _) => {
            agents::by_id(db, *id).await?;
            let id = id.to_bytes().to_vec();
            // Whoever acts for it is stopped with it.
            let query = count!(
                " AND agents.id IN (
                 WITH RECURSIVE below (id, depth) AS (
                     SELECT id, CAST(0 AS BIGINT) FROM agents WHERE id = $2
                     UNION ALL
                     SELECT agents.id, below.depth + 1
                     FROM agents JOIN below ON agents.parent_id = below.id WHERE below.depth < 16)
                 SELECT id FROM below)"
            );
            db.one(query, values![at, id]).await?
        }
        Target::Token(id) => {
            let token = tokens::by_id(db, *id).await?;
            let holder = agents::by_id(db, token.agent_id).await?;
            let counts = token.counts(now) && is_live(&holder, now);
            return Ok(Reach { agents: 0, tokens: u64::from(counts) });
        }
        Target::Agents(selector) => {
            return Ok(selection(db, selector, now, |_| Ok(false)).await?.1);
        }
        Target::TokensOf(id) => {
            let selection = TokenSelection { agent: Some(*id), ..TokenSelection::default() };
            return Ok(Reach { agents: 0, tokens: selected(db, &selection, now).await? });
        }
        Target::Tokens(selection) => {
            return Ok(Reach { agents: 0, tokens: selected(db, selection, now).await? });
        }
    };
    Ok(Reach { agents: rows::count(&row, "agents")?, tokens: rows::count(&row, "tokens")? })
}

pub(super) async fn preview(
    db: &mut impl Sql,
    target: &Target,
    action: StatusAction,
    now: UnixMicros,
) -> Result<Preview, StoreError> {
    let changes = match target {
        Target::Fleet => fleet::next(fleet::read(db).await?.decided.as_ref(), action)?.is_some(),
        Target::Principal(key) => {
            rules::next_of_principal(&principals::by_key(db, key).await?, action)?.is_some()
        }
        Target::Agent(id) => rules::next_status(&agents::by_id(db, *id).await?, action)?.is_some(),
        Target::Capability(id, name) => capabilities::would_change(db, *id, name, action).await?,
        Target::Token(id) => tokens::by_id(db, *id).await?.revoked_at.is_none(),
        Target::TokensOf(id) => agents::by_id(db, *id).await?.revoked_at.is_none(),
        Target::Tokens(selection) => {
            let tokens = selected(db, selection, now).await?;
            return Ok(Preview { changes: tokens > 0, reach: Reach { agents: 0, tokens } });
        }
        Target::Policy(reference) => match action {
            StatusAction::Revoke(in_flight) | StatusAction::Suspend(in_flight) => {
                policies::would_revoke(db, reference, in_flight).await?
            }
            StatusAction::Restore => false,
        },
        Target::Agents(selector) => {
            let would = |agent: &Agent| match rules::next_status(agent, action) {
                Err(StoreError::RevokedIsFinal(_)) => Ok(false),
                other => other.map(|next| next.is_some()),
            };
            let (changes, reach) = selection(db, selector, now, would).await?;
            return Ok(Preview { changes, reach });
        }
    };
    Ok(Preview { changes, reach: reach(db, target, now).await? })
}

/// How many tokens of both kinds are selected.
async fn selected(
    db: &mut impl Sql,
    selection: &TokenSelection,
    now: UnixMicros,
) -> Result<u64, StoreError> {
    let opaque = tokens::count(db, selection, now).await?;
    Ok(opaque.saturating_add(capability_tokens::count(db, selection, now).await?))
}

fn is_live(agent: &Agent, now: UnixMicros) -> bool {
    agent.revoked_at.is_none() && !agent.is_expired(now)
}

/// Whether any agent with these labels is one of which `would` says so, and whom a stop
/// of them reaches: them, and all that act for them.
async fn selection(
    db: &mut impl Sql,
    selector: &Selector,
    now: UnixMicros,
    would: impl Fn(&Agent) -> Result<bool, StoreError>,
) -> Result<(bool, Reach), StoreError> {
    let (mut changes, mut reach, mut after) = (false, Reach::default(), None);
    let mut meant = HashSet::new();
    loop {
        let looked = listing::candidates(db, selector, after, now).await?;
        let (Some(first), Some(last)) = (looked.first(), looked.last()) else { break };
        let held = tokens_between(db, first.id, last.id, now).await?;
        after = Some(last.id);
        for agent in looked.iter().filter(|agent| selector.matches(&agent.labels)) {
            changes = changes || would(agent)?;
            meant.insert(agent.id);
            if is_live(agent, now) {
                reach.count(held.get(&agent.id).copied());
            }
        }
        if !listing::is_whole(&looked) {
            break;
        }
    }
    if !meant.is_empty() {
        below(db, meant, now, &mut reach).await?;
    }
    Ok((changes, reach))
}

impl Reach {
    /// Counts an agent that has so many tokens.
    fn count(&mut self, tokens: Option<u64>) {
        self.agents = self.agents.saturating_add(1);
        self.tokens = self.tokens.saturating_add(tokens.unwrap_or_default());
    }
}

/// An agent that acts for another.
struct SubAgent {
    id: AgentId,
    /// Its tokens, if it is live.
    live: Option<u64>,
}

/// Counts all that act for agents that are `reached`, and are not among them.
async fn below(
    db: &mut impl Sql,
    mut reached: HashSet<AgentId>,
    now: UnixMicros,
    reach: &mut Reach,
) -> Result<(), StoreError> {
    let mut acting = sub_agents(db, now).await?;
    let mut next: Vec<AgentId> = reached.iter().copied().collect();
    while let Some(above) = next.pop() {
        for SubAgent { id, live } in acting.remove(&above).unwrap_or_default() {
            if reached.insert(id) {
                next.push(id);
                if live.is_some() {
                    reach.count(live);
                }
            }
        }
    }
    Ok(())
}

/// Every agent that acts for another, by whom it acts for.
async fn sub_agents(
    db: &mut impl Sql,
    now: UnixMicros,
) -> Result<HashMap<AgentId, Vec<SubAgent>>, StoreError> {
    const PAGE: u32 = 1_000;
    let query = "SELECT id, parent_id, revoked_us, expires_s FROM agents
                 WHERE parent_id IS NOT NULL AND id > $1 ORDER BY id LIMIT $2";
    let (mut acting, mut after) = (HashMap::<_, Vec<_>>::new(), Vec::new());
    loop {
        let found = db.all(query, values![after, PAGE]).await?;
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(acting) };
        let (first, last) = (rows::agent_id(first, "id")?, rows::agent_id(last, "id")?);
        let held = tokens_between(db, first, last, now).await?;
        for row in &found {
            let id = rows::agent_id(row, "id")?;
            let expires = rows::optional(row, "expires_s")?;
            let live = rows::optional(row, "revoked_us")?.is_none()
                && expires.is_none_or(|expires| expires > now.seconds().0);
            let live = live.then(|| held.get(&id).copied().unwrap_or_default());
            let parent = rows::agent_id(row, "parent_id")?;
            acting.entry(parent).or_default().push(SubAgent { id, live });
        }
        after = last.to_bytes().to_vec();
    }
}

/// The tokens that count of agents with an id from `first` to `last`.
async fn tokens_between(
    db: &mut impl Sql,
    first: AgentId,
    last: AgentId,
    now: UnixMicros,
) -> Result<HashMap<AgentId, u64>, StoreError> {
    let query = "SELECT agent_id, count(*) AS tokens FROM (
                     SELECT tokens.agent_id
                     FROM tokens JOIN agents ON agents.id = tokens.agent_id
                     WHERE tokens.revoked_us IS NULL AND tokens.expires_s > $1
                       AND tokens.agent_id >= $2 AND tokens.agent_id <= $3
                       AND (agents.tokens_not_before_s = 0
                            OR tokens.issued_us / 1000000 > agents.tokens_not_before_s)
                     UNION ALL
                     SELECT held.agent_id
                     FROM capability_tokens AS held JOIN agents ON agents.id = held.agent_id
                     WHERE held.revoked_us IS NULL AND held.expires_s > $1
                       AND held.agent_id >= $2 AND held.agent_id <= $3
                       AND held.issued_s > agents.tokens_not_before_s) AS counted
                 GROUP BY agent_id";
    let (first, last) = (first.to_bytes().to_vec(), last.to_bytes().to_vec());
    let found = db.all(query, values![signed(now.seconds().0), first, last]).await?;
    let entry = |row: &_| Ok((rows::agent_id(row, "agent_id")?, rows::count(row, "tokens")?));
    found.iter().map(entry).collect()
}
