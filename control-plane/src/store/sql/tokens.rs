//! Opaque tokens, and the grants that they stand for.

use std::collections::HashMap;

use kya_core::{AgentId, Fingerprint, GrantIndex, MAX_CHANGES, TokenDigest, TokenId, UnixSeconds};

use serde_json::json;

use super::rows::{self, signed};
use super::write::Write;
use super::{Columns, Engine, Sql, agents, delegation, policies, shown, values};
use crate::labels::{Labels, Selector};
use crate::store::delegation::{DelegationError, may_be_acted_for};
use crate::store::{
    Cause, MAX_GRANTS, NewToken, Outcome, StoreError, Token, TokenBatch, TokenLimits,
    TokenSelection, rules,
};
use crate::time::{UnixMicros, second_start};

/// Tokens that are looked at together, where not all of them may be meant.
const PAGE: u32 = 1_000;

/// Selects tokens, each with what it is for and whether its holder's were taken back.
macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "SELECT tokens.*, grants.services, grants.actions, agents.tokens_not_before_s,
                    agents.labels
             FROM tokens JOIN grants ON grants.grant_index = tokens.grant_index
                         JOIN agents ON agents.id = tokens.agent_id ",
            $rest
        )
    };
}

pub(super) async fn by_id(db: &mut impl Sql, id: TokenId) -> Result<Token, StoreError> {
    let row = db.first(tokens!("WHERE tokens.id = $1"), values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(StoreError::NoSuchToken(id)), rows::token)
}

/// The ids of those of these tokens that there are, by one statement.
pub(super) async fn names<E: Engine>(
    db: &mut E::Connection,
    fingerprints: &[Fingerprint],
) -> Result<Vec<(Fingerprint, TokenId)>, StoreError> {
    let hex = |it: &Fingerprint| it.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let by_text: HashMap<String, Fingerprint> =
        fingerprints.iter().map(|it| (hex(it), *it)).collect();
    let asked = json!(by_text.keys().collect::<Vec<_>>()).to_string();
    let rows = db.all(E::TOKEN_NAMES, values![asked, "0".repeat(32), "f".repeat(32)]).await?;
    let name = |row: &<E::Connection as Sql>::Row| {
        let id = TokenId::from_slice(row.bytes("id")?);
        let id = id.map_err(|error| rows::corrupt("id", error))?;
        Ok(by_text.get(row.text("beginning")?).map(|fingerprint| (*fingerprint, id)))
    };
    rows.iter().filter_map(|row| name(row).transpose()).collect()
}

pub(super) async fn by_digest(
    db: &mut impl Sql,
    digest: TokenDigest,
) -> Result<Option<Token>, StoreError> {
    let query = tokens!("WHERE tokens.digest = $1");
    let row = db.first(query, values![digest.0.to_vec()]).await?;
    row.as_ref().map(rows::token).transpose()
}

pub(super) async fn list(
    db: &mut impl Sql,
    holder: Option<AgentId>,
    after: Option<TokenId>,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    // Two queries, so that each has its index.
    let found = match holder {
        Some(holder) => {
            let query = tokens!(
                "WHERE tokens.id > $1 AND tokens.agent_id = $2 ORDER BY tokens.id LIMIT $3"
            );
            db.all(query, values![after, holder.to_bytes().to_vec(), limit]).await?
        }
        None => {
            let query = tokens!("WHERE tokens.id > $1 ORDER BY tokens.id LIMIT $2");
            db.all(query, values![after, limit]).await?
        }
    };
    found.iter().map(rows::token).collect()
}

/// The grant of an agent for these limits, if it has one.
pub(super) async fn grant(
    db: &mut impl Sql,
    holder: AgentId,
    limits: &TokenLimits,
) -> Result<Option<GrantIndex>, StoreError> {
    let (services, actions) = limits.stored();
    let query = "SELECT grant_index, agent_id FROM grants
                 WHERE agent_id = $1 AND services = $2 AND actions = $3
                 ORDER BY grant_index LIMIT 1";
    let found = db.first(query, values![holder.to_bytes().to_vec(), services, actions]).await?;
    Ok(found.as_ref().map(rows::grant).transpose()?.map(|(index, _)| index))
}

/// The grant that every agent has.
pub(super) async fn unlimited(db: &mut impl Sql, id: AgentId) -> Result<GrantIndex, StoreError> {
    match grant(db, id, &TokenLimits::default()).await? {
        Some(grant) => Ok(grant),
        None => {
            agents::by_id(db, id).await?;
            Err(StoreError::Corrupt(format!("{id} has no grant")))
        }
    }
}

/// Adds a grant, whose index nobody has had.
pub(super) async fn add_grant(
    db: &mut impl Sql,
    holder: AgentId,
    limits: &TokenLimits,
) -> Result<GrantIndex, StoreError> {
    let (services, actions) = limits.stored();
    let insert = "INSERT INTO grants (agent_id, services, actions) VALUES ($1, $2, $3)
                  RETURNING grant_index";
    let row = db.one(insert, values![holder.to_bytes().to_vec(), services, actions]).await?;
    let index = row.int("grant_index")?;
    let grant = u32::try_from(index).ok().and_then(GrantIndex::new);
    grant.ok_or_else(|| StoreError::Corrupt(format!("a grant of index {index}")))
}

pub(super) async fn issue(
    mut write: Write<impl Engine>,
    new: NewToken,
    cause: Cause,
) -> Result<Outcome<Token>, StoreError> {
    let agent = agents::by_id(write.db(), new.agent_id).await?;
    let (at, now) = write.time();
    rules::may_hold_a_new_token(&agent, now)?;
    let above = delegation::above(write.db(), agent.parent).await?;
    may_be_acted_for(&above, now)?;
    let mut changes = Vec::new();
    let grant = match grant(write.db(), agent.id, &new.limits).await? {
        Some(grant) => grant,
        None => {
            let count = "SELECT count(*) AS grants FROM grants WHERE agent_id = $1";
            let row = write.db().one(count, values![agent.id.to_bytes().to_vec()]).await?;
            let most = u64::try_from(MAX_GRANTS).unwrap_or(u64::MAX);
            if rows::count(&row, "grants")? >= most {
                return Err(DelegationError::TooManyGrants(agent.id).into());
            }
            let added = add_grant(write.db(), agent.id, &new.limits).await?;
            changes.push(new.limits.to_wire(added, agent.id));
            added
        }
    };
    let position = write.position();
    let longest = policies::longest_token(write.db(), &agent, &above).await?;
    let ttl_seconds = new.ttl_seconds.min(longest.unwrap_or(u64::MAX));
    // A second that is superseded is not over: the token is of the next one.
    let earliest = match agent.tokens_not_before {
        UnixSeconds(0) => UnixMicros(0),
        UnixSeconds(bound) => second_start(UnixSeconds(bound.saturating_add(1))),
    };
    let token = Token {
        id: new.id,
        digest: new.digest,
        agent_id: new.agent_id,
        grant,
        limits: new.limits,
        superseded: false,
        issued_at: at.max(earliest),
        // From the clock that the proxies' clocks agree with, and not from `at`:
        // one commit in a wrong future must not make every later token outlive
        // what was asked for.
        expires: UnixSeconds(now.seconds().0.saturating_add(ttl_seconds)),
        revoked_at: None,
        revision: position.revision,
    };
    let insert =
        "INSERT INTO tokens (id, digest, agent_id, grant_index, issued_us, expires_s, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        token.id.to_bytes().to_vec(),
        token.digest.0.to_vec(),
        token.agent_id.to_bytes().to_vec(),
        grant.get(),
        signed(token.issued_at.0),
        signed(token.expires.0),
        signed(position.revision.0)
    ];
    write.db().execute(insert, values).await?;
    changes.push(token.to_wire());
    write.shows(None, shown::token(&token));
    let committed = write.commit(changes, "token.issued", token.id.to_string(), cause).await?;
    Ok(Outcome { record: token, changed: true, committed })
}

pub(super) async fn revoke(
    mut write: Write<impl Engine>,
    id: TokenId,
    cause: Cause,
) -> Result<Outcome<Token>, StoreError> {
    let before = by_id(write.db(), id).await?;
    if before.revoked_at.is_some() {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    }
    let was = shown::token(&before);
    let token = set_revoked(&mut write, before).await?;
    let changes = vec![token.to_wire()];
    write.shows(was, shown::token(&token));
    let committed = write.commit(changes, "token.revoked", id.to_string(), cause).await?;
    Ok(Outcome { record: token, changed: true, committed })
}

/// Writes that it is, as part of a change.
async fn set_revoked(write: &mut Write<impl Engine>, before: Token) -> Result<Token, StoreError> {
    let ((at, _), revision) = (write.time(), write.position().revision);
    let update = "UPDATE tokens SET revoked_us = $1, revision = $2 WHERE id = $3";
    let values = values![signed(at.0), signed(revision.0), before.id.to_bytes().to_vec()];
    write.db().execute(update, values).await?;
    Ok(Token { revoked_at: Some(at), revision, ..before })
}

/// One revision of a revocation of all selected tokens.
pub(super) async fn revoke_all(
    mut write: Write<impl Engine>,
    selection: TokenSelection,
    mut after: Option<TokenId>,
    cause: Cause,
) -> Result<TokenBatch, StoreError> {
    if let Some(agent) = selection.agent {
        agents::by_id(write.db(), agent).await?;
    }
    let (_, now) = write.time();
    let mut meant = Vec::new();
    let mut more = true;
    while more && meant.len() < MAX_CHANGES {
        let looked = page(write.db(), &selection, after, now).await?;
        more = looked.whole;
        for (id, token) in looked.tokens {
            if meant.len() == MAX_CHANGES {
                more = true;
                break;
            }
            after = Some(id);
            meant.extend(token);
        }
    }
    let next = after.filter(|_| more);
    if meant.is_empty() {
        write.roll_back().await?;
        return Ok(TokenBatch { changed: 0, committed: None, next });
    }
    let mut changes = Vec::with_capacity(meant.len());
    for token in meant {
        let was = shown::token(&token);
        let token = set_revoked(&mut write, token).await?;
        write.shows(was, shown::token(&token));
        write.also("token.revoked", token.id.to_string(), cause.clone()).await?;
        changes.push(token.to_wire());
    }
    let changed = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let subject = selection.to_string();
    let committed = write.commit(changes, "tokens.revoked", subject, cause).await?;
    Ok(TokenBatch { changed, committed: Some(committed), next })
}

/// How many tokens are selected.
pub(super) async fn count(
    db: &mut impl Sql,
    selection: &TokenSelection,
    now: UnixMicros,
) -> Result<u64, StoreError> {
    if let Some(agent) = selection.agent {
        agents::by_id(db, agent).await?;
    }
    let (mut count, mut after) = (0_u64, None);
    loop {
        let looked = page(db, selection, after, now).await?;
        let meant = looked.tokens.iter().filter(|(_, token)| token.is_some()).count();
        count = count.saturating_add(u64::try_from(meant).unwrap_or(u64::MAX));
        after = looked.tokens.last().map(|(id, _)| *id);
        if !looked.whole {
            return Ok(count);
        }
    }
}

/// Tokens that were looked at, each if it is meant.
struct Looked {
    tokens: Vec<(TokenId, Option<Token>)>,
    /// Whether there may be more.
    whole: bool,
}

async fn page(
    db: &mut impl Sql,
    selection: &TokenSelection,
    after: Option<TokenId>,
    now: UnixMicros,
) -> Result<Looked, StoreError> {
    let label = selection.selector.as_ref().and_then(Selector::label);
    let agent = selection.agent.map(|id| id.to_bytes().to_vec());
    let query = tokens!(
        "WHERE tokens.id > $1 AND tokens.revoked_us IS NULL AND tokens.expires_s > $2
           AND agents.status <> 'revoked'
           AND (CAST($3 AS BIGINT) = 1 OR tokens.agent_id = $4)
           AND (CAST($5 AS TEXT) IS NULL OR EXISTS (
                SELECT 1 FROM agent_labels
                WHERE label_key = $5 AND label_value = $6 AND agent_id = agents.id))
         ORDER BY tokens.id LIMIT $7"
    );
    let values = values![
        after.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        signed(now.seconds().0),
        i64::from(agent.is_none()),
        &agent,
        label.map(|(key, _)| key.as_str()),
        label.map(|(_, value)| value.as_str()),
        PAGE,
    ];
    let found = db.all(query, values).await?;
    let whole = u32::try_from(found.len()) == Ok(PAGE);
    let look = |row: &_| {
        let token = rows::token(row)?;
        let meant = token.counts(now)
            && selection.means(token.agent_id, &token.limits, &rows::labels(row)?);
        Ok((token.id, meant.then_some(token)))
    };
    let tokens = found.iter().map(look).collect::<Result<_, StoreError>>()?;
    Ok(Looked { tokens, whole })
}

impl TokenSelection {
    /// Whether a token of an agent with these labels is meant.
    pub(super) fn means(&self, holder: AgentId, limits: &TokenLimits, labels: &Labels) -> bool {
        self.agent.is_none_or(|agent| agent == holder)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(labels))
            && limits.is_for(self.service.as_ref(), self.action.as_ref())
    }
}
