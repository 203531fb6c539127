//! The agent that a drill stops: taken or made, and put back.

use hyper::header::HeaderValue;
use kya_core::{AgentId, DrillId, InFlight, Status, TokenId};

use super::{Act, DrillRequest};
use crate::labels::Labels;
use crate::registry::{AgentDetails, Registry, RegistryError};
use crate::store::{
    AgentFilter, Canary, Cause, Drill, ShownStatus, StatusAction, Store, StoreError, TokenLimits,
    drill_reason as reason,
};
use crate::text::Name;

/// What canaries are called that drills make.
const NAME: &str = "drill-canary";
/// How long a canary's token counts if nobody takes it back: longer than the samples for
/// which it is, each of which takes at most 11 s and what the database needs. By two hours, so
/// that a proxy whose clock is ahead is named for its clock, and not for an expired token.
const TTL_SECONDS: u64 = 2 * 60 * 60;
const TTL_SECONDS_A_SAMPLE: u64 = 20;
/// Agents that are looked at at once for a canary of an earlier drill.
const A_PAGE: u32 = 100;

/// A canary that can work.
pub(super) struct Working {
    pub(super) agent: AgentId,
    /// `Bearer …`. It is nowhere else.
    pub(super) token: HeaderValue,
}

/// Who does what a drill does, and why: whoever asked for it.
pub(super) fn cause_of(drill: &Drill) -> Cause {
    Cause { reason: Some(reason(drill.id)), ..drill.cause.clone() }
}

/// The canary of an earlier drill, or a new one. One that somebody named is used as it is.
pub(super) async fn ready(
    (store, registry): (&dyn Store, &Registry),
    (id, request): (DrillId, &DrillRequest),
    labels: &Labels,
    cause: &Cause,
) -> Result<Working, RegistryError> {
    let act = request.act;
    let earlier = match (request.agent_id, act) {
        (Some(agent), _) => Some(agent),
        (None, Act::Suspend) => earlier(store, labels).await?,
        (None, Act::Revoke) => None,
    };
    let agent = match earlier {
        Some(agent) => agent,
        None => {
            let name = Name::try_from(NAME.to_owned())
                .map_err(|why| RegistryError::Store(StoreError::Corrupt(why.to_string())))?;
            let details = AgentDetails { labels: labels.clone(), ..AgentDetails::default() };
            registry.register_agent(name, None, details, cause.clone()).await?.record.id
        }
    };
    store.note_canary(id, Canary { agent, token: None }).await?;
    // One that revokes has a canary for each sample.
    let samples = if act == Act::Revoke { 1 } else { u64::from(request.samples) };
    let ttl = TTL_SECONDS.saturating_add(TTL_SECONDS_A_SAMPLE.saturating_mul(samples));
    let (token, issued) =
        registry.issue_token(agent, TokenLimits::default(), ttl, cause.clone()).await?;
    store.note_canary(id, Canary { agent, token: Some(issued.record.id) }).await?;
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        .map_err(|why| RegistryError::Store(StoreError::Corrupt(why.to_string())))?;
    header.set_sensitive(true);
    Ok(Working { agent, token: header })
}

/// A canary that an earlier drill made and nobody has changed.
async fn earlier(store: &dyn Store, labels: &Labels) -> Result<Option<AgentId>, StoreError> {
    let selector = "canary=true".parse().ok();
    let status = Some(ShownStatus::Decided(Status::Active));
    let filter = AgentFilter { status, selector, ..AgentFilter::default() };
    let is_one = |agent: &crate::store::Agent| {
        agent.name == NAME
            && agent.labels == *labels
            && agent.owner.is_none()
            && agent.parent.is_none()
            && agent.policy.is_none()
            && agent.expires.is_none()
    };
    let mut after = None;
    loop {
        let page = store.agents(filter.clone(), after, A_PAGE).await?;
        if let Some(found) = page.iter().find(|agent| is_one(agent)) {
            return Ok(Some(found.id));
        }
        after = page.last().map(|agent| agent.id);
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// Takes back what a drill made: its canary's token counts no more, and the canary is
/// active, or ended if it was to be. What somebody else decided meanwhile stays. To do it
/// again changes nothing.
pub(super) async fn take_back(
    store: &dyn Store,
    registry: &Registry,
    drill: &Drill,
) -> Result<(), RegistryError> {
    let Some(Canary { agent, token }) = drill.canary else { return Ok(()) };
    let cause = cause_of(drill);
    revoke_token(registry, token, &cause).await?;
    let agent = store.agent(agent).await?;
    let by_this = agent.status_reason.as_deref() == Some(&*reason(drill.id));
    let act = serde_json::from_value(drill.request["act"].clone()).unwrap_or_default();
    let action = match (act, agent.status) {
        (Act::Suspend, Status::Suspended) if by_this => StatusAction::Restore,
        (Act::Revoke, Status::Active | Status::Suspended) => StatusAction::Revoke(InFlight::Abort),
        _ => return Ok(()),
    };
    match registry.decide_agent(agent.id, action, cause).await {
        // Somebody was faster, and that is final.
        Err(RegistryError::Store(StoreError::RevokedIsFinal(_))) => Ok(()),
        decided => decided.map(drop),
    }
}

async fn revoke_token(
    registry: &Registry,
    token: Option<TokenId>,
    cause: &Cause,
) -> Result<(), RegistryError> {
    let Some(token) = token else { return Ok(()) };
    registry.revoke_token(token, cause.clone()).await.map(drop)
}
