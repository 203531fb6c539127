//! Capability tokens by their names, and the assertions by which agents asked for them.

use kya_core::{AgentId, CapabilityId, MAX_CHANGES, UnixSeconds};

use super::rows::{self, signed};
use super::shown;
use super::write::Write;
use super::{Columns, Engine, Sql, agents, delegation, issuer, policies, values};
use crate::labels::Selector;
use crate::store::delegation::may_be_acted_for;
use crate::store::issuer::{CapabilityToken, IssuerError, NewCapabilityToken, UsedAssertion};
use crate::store::{
    Agent, Cause, Outcome, ServiceName, StoreError, TokenBatch, TokenLimits, TokenSelection, rules,
};
use crate::time::UnixMicros;

/// Tokens that are looked at together, where not all of them may be meant.
const PAGE: u32 = 1_000;
/// Assertions and tokens that are forgotten with each token that is issued. There are
/// more than one, so that the tables do not grow.
const FORGOTTEN: u32 = 4;
/// How far the clocks of two servers may be apart, in seconds: so much longer the names of
/// assertions are kept than these count.
const SKEW: u64 = 300;
/// How long the record of a token that was not revoked is kept after it has expired, in
/// seconds.
const KEPT: u64 = 7 * 86_400;

/// The same of one that was revoked: longer than any clock is wrong.
const REVOKED_KEPT: u64 = 400 * 86_400;

/// Selects tokens, each with what shows whether its holder's were taken back.
macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "SELECT capability_tokens.*, agents.tokens_not_before_s, agents.labels
             FROM capability_tokens JOIN agents ON agents.id = capability_tokens.agent_id ",
            $rest
        )
    };
}

pub(super) async fn by_id(
    db: &mut impl Sql,
    id: CapabilityId,
) -> Result<CapabilityToken, StoreError> {
    let query = tokens!("WHERE capability_tokens.id = $1");
    let row = db.first(query, values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(IssuerError::NoSuchToken(id).into()), token)
}

pub(super) async fn list(
    db: &mut impl Sql,
    holder: Option<AgentId>,
    after: Option<CapabilityId>,
    limit: u32,
) -> Result<Vec<CapabilityToken>, StoreError> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    // Two queries, so that each has its index.
    let found = match holder {
        Some(holder) => {
            let query = tokens!(
                "WHERE capability_tokens.id > $1 AND capability_tokens.agent_id = $2
                 ORDER BY capability_tokens.id LIMIT $3"
            );
            db.all(query, values![after, holder.to_bytes().to_vec(), limit]).await?
        }
        None => {
            let query =
                tokens!("WHERE capability_tokens.id > $1 ORDER BY capability_tokens.id LIMIT $2");
            db.all(query, values![after, limit]).await?
        }
    };
    found.iter().map(token).collect()
}

/// Writes that a token is issued. It is no change of authority: it has an event and
/// takes no revision.
pub(super) async fn issue(
    mut write: Write<impl Engine>,
    new: NewCapabilityToken,
    cause: Cause,
) -> Result<(CapabilityToken, Vec<AgentId>), StoreError> {
    let issuer = issuer::read(write.db()).await?;
    if issuer.name.is_none() {
        return Err(IssuerError::NotConfigured.into());
    }
    let agent = agents::by_id(write.db(), new.agent_id).await?;
    let (_, now) = write.time();
    rules::may_hold_a_new_token(&agent, now)?;
    let above = delegation::above(write.db(), agent.parent).await?;
    may_be_acted_for(&above, now)?;
    if let Some(assertion) = &new.assertion {
        use_up(write.db(), assertion, now).await?;
    }
    let limits = limits(write.db(), &agent, new.limits).await?;
    let longest = policies::longest_token(write.db(), &agent, &above).await?;
    let lifetime = new.ttl_seconds.min(issuer.max_lifetime).min(longest.unwrap_or(u64::MAX));
    // A second that is superseded is not over: the token is of the next one.
    let earliest = match agent.tokens_not_before {
        UnixSeconds(0) => 0,
        UnixSeconds(bound) => bound.saturating_add(1),
    };
    // From the clock that the proxies' clocks agree with: a commit in a wrong future must
    // not make a token that does not count yet.
    let issued = UnixSeconds(now.seconds().0.max(earliest));
    let record = CapabilityToken {
        id: new.id,
        agent_id: agent.id,
        limits,
        superseded: false,
        issued,
        expires: UnixSeconds(issued.0.saturating_add(lifetime)),
        revoked_at: None,
        revision: write.head().revision,
    };
    let above: Vec<_> = above.iter().map(|agent| agent.id).collect();
    record.check(&above)?;
    let (services, actions) = record.limits.stored();
    let insert = "INSERT INTO capability_tokens
                  (id, agent_id, services, actions, issued_s, expires_s, revision)
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        record.id.to_bytes().to_vec(),
        record.agent_id.to_bytes().to_vec(),
        services,
        actions,
        signed(record.issued.0),
        signed(record.expires.0),
        signed(record.revision.0)
    ];
    write.db().execute(insert, values).await?;
    forget(write.db(), now).await?;
    write.shows(None, shown::capability_token(&record));
    write.commit_aside("capability_token.issued", record.id.to_string(), cause).await?;
    Ok((record, above))
}

/// The services that it names, or else those of its holder's policy.
async fn limits(
    db: &mut impl Sql,
    agent: &Agent,
    limits: TokenLimits,
) -> Result<TokenLimits, StoreError> {
    if !limits.services().is_empty() {
        return Ok(limits);
    }
    let named = policies::services(db, agent).await?;
    let named: Option<Vec<_>> =
        named.into_iter().map(|name| ServiceName::try_from(name).ok()).collect();
    let actions = (!limits.actions().is_empty()).then(|| limits.actions().to_vec());
    let limits = named.and_then(|services| TokenLimits::new(Some(services), actions).ok());
    limits.ok_or_else(|| IssuerError::NoService(agent.id).into())
}

/// Remembers an assertion, unless it was used before.
async fn use_up(
    db: &mut impl Sql,
    assertion: &UsedAssertion,
    now: UnixMicros,
) -> Result<(), StoreError> {
    let agent = assertion.agent_id.to_bytes().to_vec();
    // It may have waited for its turn.
    if assertion.expires <= now.seconds() {
        return Err(IssuerError::Late.into());
    }
    let used = "SELECT expires_s FROM used_assertions WHERE agent_id = $1 AND jti = $2";
    if db.first(used, values![agent.clone(), &assertion.id]).await?.is_some() {
        return Err(IssuerError::Replayed.into());
    }
    let insert = "INSERT INTO used_assertions (agent_id, jti, expires_s) VALUES ($1, $2, $3)";
    let values = values![agent, &assertion.id, signed(assertion.expires.0)];
    Ok(db.execute(insert, values).await?)
}

/// Uses up an assertion by which no token was asked for.
pub(super) async fn use_assertion(
    mut write: Write<impl Engine>,
    assertion: UsedAssertion,
) -> Result<(), StoreError> {
    let (_, now) = write.time();
    use_up(write.db(), &assertion, now).await?;
    forget(write.db(), now).await?;
    write.commit_quietly().await
}

/// Forgets some of what is of no use any more.
async fn forget(db: &mut impl Sql, now: UnixMicros) -> Result<(), StoreError> {
    let second = now.seconds().0;
    let assertions = "DELETE FROM used_assertions WHERE (agent_id, jti) IN (
                          SELECT agent_id, jti FROM used_assertions
                          WHERE expires_s <= $1 ORDER BY expires_s LIMIT $2)";
    let over = signed(second.saturating_sub(SKEW));
    db.execute(assertions, values![over, FORGOTTEN]).await?;
    let tokens = "DELETE FROM capability_tokens WHERE id IN (
                      SELECT id FROM capability_tokens
                      WHERE expires_s <= $1 AND revoked_us IS NULL
                      ORDER BY expires_s LIMIT $2)";
    db.execute(tokens, values![signed(second.saturating_sub(KEPT)), FORGOTTEN]).await?;
    let taken_back = "DELETE FROM capability_tokens WHERE id IN (
                          SELECT id FROM capability_tokens
                          WHERE expires_s <= $1 AND revoked_us IS NOT NULL
                          ORDER BY expires_s LIMIT $2)";
    db.execute(taken_back, values![signed(second.saturating_sub(REVOKED_KEPT)), FORGOTTEN]).await?;
    Ok(())
}

pub(super) async fn revoke(
    mut write: Write<impl Engine>,
    id: CapabilityId,
    cause: Cause,
) -> Result<Outcome<CapabilityToken>, StoreError> {
    let before = by_id(write.db(), id).await?;
    if before.revoked_at.is_some() {
        let revision = before.revision;
        return write.unchanged(before, revision).await;
    }
    let was = shown::capability_token(&before);
    let token = set_revoked(&mut write, before).await?;
    write.shows(was, shown::capability_token(&token));
    let changes = vec![token.revocation_to_wire()];
    let committed =
        write.commit(changes, "capability_token.revoked", id.to_string(), cause).await?;
    Ok(Outcome { record: token, changed: true, committed })
}

async fn set_revoked(
    write: &mut Write<impl Engine>,
    before: CapabilityToken,
) -> Result<CapabilityToken, StoreError> {
    let ((at, _), revision) = (write.time(), write.position().revision);
    let update = "UPDATE capability_tokens SET revoked_us = $1, revision = $2 WHERE id = $3";
    let values = values![signed(at.0), signed(revision.0), before.id.to_bytes().to_vec()];
    write.db().execute(update, values).await?;
    Ok(CapabilityToken { revoked_at: Some(at), revision, ..before })
}

/// One revision of a revocation of all selected tokens.
pub(super) async fn revoke_all(
    mut write: Write<impl Engine>,
    selection: TokenSelection,
    mut after: Option<CapabilityId>,
    cause: Cause,
) -> Result<TokenBatch<CapabilityId>, StoreError> {
    if let Some(agent) = selection.agent {
        agents::by_id(write.db(), agent).await?;
    }
    let (_, now) = write.time();
    let mut meant = Vec::new();
    let mut more = true;
    while more && meant.len() < MAX_CHANGES {
        let looked = page(write.db(), &selection, after, now).await?;
        more = u32::try_from(looked.len()) == Ok(PAGE);
        for (id, token) in looked {
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
        let was = shown::capability_token(&token);
        let token = set_revoked(&mut write, token).await?;
        write.shows(was, shown::capability_token(&token));
        write.also("capability_token.revoked", token.id.to_string(), cause.clone()).await?;
        changes.push(token.revocation_to_wire());
    }
    let changed = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let subject = selection.to_string();
    let committed = write.commit(changes, "capability_tokens.revoked", subject, cause).await?;
    Ok(TokenBatch { changed, committed: Some(committed), next })
}

/// How many tokens are selected.
pub(super) async fn count(
    db: &mut impl Sql,
    selection: &TokenSelection,
    now: UnixMicros,
) -> Result<u64, StoreError> {
    let (mut count, mut after) = (0_u64, None);
    loop {
        let looked = page(db, selection, after, now).await?;
        let meant = looked.iter().filter(|(_, token)| token.is_some()).count();
        count = count.saturating_add(u64::try_from(meant).unwrap_or(u64::MAX));
        after = looked.last().map(|(id, _)| *id);
        if u32::try_from(looked.len()) != Ok(PAGE) {
            return Ok(count);
        }
    }
}

/// Tokens that were looked at, each if it is meant.
async fn page(
    db: &mut impl Sql,
    selection: &TokenSelection,
    after: Option<CapabilityId>,
    now: UnixMicros,
) -> Result<Vec<(CapabilityId, Option<CapabilityToken>)>, StoreError> {
    let label = selection.selector.as_ref().and_then(Selector::label);
    let agent = selection.agent.map(|id| id.to_bytes().to_vec());
    let query = tokens!(
        "WHERE capability_tokens.id > $1 AND capability_tokens.revoked_us IS NULL
           AND capability_tokens.expires_s > $2 AND agents.status <> 'revoked'
           AND (CAST($3 AS BIGINT) = 1 OR capability_tokens.agent_id = $4)
           AND (CAST($5 AS TEXT) IS NULL OR EXISTS (
                SELECT 1 FROM agent_labels
                WHERE label_key = $5 AND label_value = $6 AND agent_id = agents.id))
         ORDER BY capability_tokens.id LIMIT $7"
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
    let look = |row: &_| {
        let token = token(row)?;
        let meant = token.counts(now)
            && selection.means(token.agent_id, &token.limits, &rows::labels(row)?);
        Ok((token.id, meant.then_some(token)))
    };
    found.iter().map(look).collect()
}

/// Needs, beside its own columns, its holder's `tokens_not_before_s`.
fn token(row: &impl Columns) -> Result<CapabilityToken, StoreError> {
    let issued = UnixSeconds(rows::count(row, "issued_s")?);
    let not_before = rows::count(row, "tokens_not_before_s")?;
    Ok(CapabilityToken {
        superseded: (1..).contains(&not_before) && issued.0 <= not_before,
        agent_id: rows::agent_id(row, "agent_id")?,
        limits: rows::limits(row)?,
        issued,
        ..bare(row)?
    })
}

/// One of which no more is known than that it was taken back, and when it expires.
pub(super) fn bare(row: &impl Columns) -> Result<CapabilityToken, StoreError> {
    let id = CapabilityId::from_slice(row.bytes("id")?);
    Ok(CapabilityToken {
        id: id.map_err(|error| rows::corrupt("id", error))?,
        agent_id: rows::agent_id(row, "agent_id")?,
        limits: TokenLimits::default(),
        superseded: false,
        issued: UnixSeconds(rows::count(row, "issued_s")?),
        expires: UnixSeconds(rows::count(row, "expires_s")?),
        revoked_at: rows::optional_micros(row, "revoked_us")?,
        revision: kya_core::Revision(rows::count(row, "revision")?),
    })
}
