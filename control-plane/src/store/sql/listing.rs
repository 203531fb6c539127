//! Agents, page by page.

use kya_core::{AgentId, Status};

use super::agents::{self, agents};
use super::rows::{self, signed};
use super::{Sql, Value, policies, principals, values};
use crate::labels::Selector;
use crate::store::{Agent, AgentFilter, AgentKey, AgentSort, ShownStatus, StoreError, status_name};
use crate::time::UnixMicros;

/// Agents that are looked at together, where not all of them may be meant.
const PAGE: u32 = 1_000;

/// Selects up to `$14` agents that the filter lets through, after a place, in an order.
macro_rules! page {
    ($after:literal, $order:literal) => {
        agents!(
            "WHERE ",
            $after,
            " AND (CAST($3 AS TEXT) IS NULL OR agents.status = $3)
              AND (CAST($4 AS BIGINT) = 0
                   OR (CAST($4 AS BIGINT) = 1
                       AND (agents.expires_s IS NULL OR agents.expires_s > $5))
                   OR (CAST($4 AS BIGINT) = 2
                       AND agents.status <> 'revoked' AND agents.expires_s <= $5))
              AND (CAST($6 AS BIGINT) = 1 OR agents.principal_id = $7)
              AND (CAST($8 AS TEXT) IS NULL OR EXISTS (
                   SELECT 1 FROM agent_labels
                   WHERE label_key = $8 AND label_value = $9 AND agent_id = agents.id))
              AND (CAST($10 AS BIGINT) = 1 OR agents.parent_id = $11)
              AND (CAST($12 AS BIGINT) = 1 OR agents.policy_id = $13)
            ORDER BY ",
            $order,
            " LIMIT $14"
        )
    };
}

/// Up to `limit` agents that the filter lets through, in its order.
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
        agents::by_id(db, parent).await?;
    }
    let policy = match &filter.policy {
        Some(reference) => Some(policies::of_agent(db, reference).await?.id.to_bytes().to_vec()),
        None => None,
    };
    let of = Of { filter, owner, policy };
    let mut place = match (after, filter.sort.by) {
        (None, _) => filter.sort.start(),
        (Some(id), AgentKey::Id) => Place { id: id.to_bytes().to_vec(), key: Value::Int(Some(0)) },
        (Some(id), _) => filter.sort.place(&agents::by_id(db, id).await?),
    };
    let Some(selector) = &filter.selector else {
        return page(db, &of, place, limit, now).await;
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    while found.len() < wanted {
        let looked = page(db, &of, place, PAGE, now).await?;
        let Some(last) = looked.last() else { break };
        place = filter.sort.place(last);
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
    let id = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    page(db, &of, Place { id, key: Value::Int(Some(0)) }, PAGE, now).await
}

/// Which agents: the filter, with the ids of what it names.
struct Of<'a> {
    filter: &'a AgentFilter,
    owner: Option<Vec<u8>>,
    policy: Option<Vec<u8>>,
}

/// Where a page begins: after the agent of this id, which has this in the column by which
/// they are sorted.
struct Place {
    id: Vec<u8>,
    key: Value,
}

impl AgentSort {
    /// Before every agent. An id has 16 bytes, and a name 1 to 128 characters.
    fn start(self) -> Place {
        let (id, text, int) = match self.descending {
            false => (Vec::new(), String::new(), i64::MIN),
            true => (vec![0xff; 17], "\u{10ffff}".repeat(129), i64::MAX),
        };
        match self.by {
            AgentKey::Id => Place { id, key: Value::Int(Some(0)) },
            AgentKey::Name => Place { id, key: text.into() },
            AgentKey::Created | AgentKey::Expires => Place { id, key: int.into() },
        }
    }

    /// After this agent. What agents are sorted by stays as it was registered.
    fn place(self, agent: &Agent) -> Place {
        let key = match self.by {
            AgentKey::Id => Value::Int(Some(0)),
            AgentKey::Name => (&agent.name).into(),
            AgentKey::Created => signed(agent.created_at.0).into(),
            AgentKey::Expires => agent.expires.map_or(i64::MAX, |at| signed(at.0)).into(),
        };
        Place { id: agent.id.to_bytes().to_vec(), key }
    }

    /// What finds a page in this order.
    const fn query(self) -> &'static str {
        match (self.by, self.descending) {
            // There is nothing to compare but the id.
            (AgentKey::Id, false) => {
                page!("agents.id > $1 AND CAST($2 AS BIGINT) = 0", "agents.id")
            }
            (AgentKey::Id, true) => {
                page!("agents.id < $1 AND CAST($2 AS BIGINT) = 0", "agents.id DESC")
            }
            (AgentKey::Name, false) => {
                page!("(agents.name, agents.id) > ($2, $1)", "agents.name, agents.id")
            }
            (AgentKey::Name, true) => {
                page!("(agents.name, agents.id) < ($2, $1)", "agents.name DESC, agents.id DESC")
            }
            (AgentKey::Created, false) => {
                page!("(agents.created_us, agents.id) > ($2, $1)", "agents.created_us, agents.id")
            }
            (AgentKey::Created, true) => page!(
                "(agents.created_us, agents.id) < ($2, $1)",
                "agents.created_us DESC, agents.id DESC"
            ),
            (AgentKey::Expires, false) => page!(
                "(coalesce(agents.expires_s, 9223372036854775807), agents.id) > ($2, $1)",
                "coalesce(agents.expires_s, 9223372036854775807), agents.id"
            ),
            (AgentKey::Expires, true) => page!(
                "(coalesce(agents.expires_s, 9223372036854775807), agents.id) < ($2, $1)",
                "coalesce(agents.expires_s, 9223372036854775807) DESC, agents.id DESC"
            ),
        }
    }
}

async fn page(
    db: &mut impl Sql,
    Of { filter, owner, policy }: &Of<'_>,
    Place { id, key }: Place,
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
    let values = values![
        id,
        key,
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
    ];
    let found = db.all(filter.sort.query(), values).await?;
    found.iter().map(rows::agent).collect()
}
