//! Principals, capabilities, the fleet, and many agents at once.

use std::sync::Arc;
use std::time::Duration;

use kya_core::policy::PolicyReference;
use kya_core::{
    ActionName, AgentId, DRAIN_SECONDS, PolicyDocument, PolicyId, PrincipalId, UnixSeconds,
};
use tokio::time::timeout;

use super::{Registry, RegistryError, random};
use crate::labels::{Labels, Selector};
use crate::principals::{PrincipalKey, PrincipalName};
use crate::store::{
    Agent, Batch, Capability, Cause, Committed, Fleet, FleetAction, NewPrincipal, Outcome, Preview,
    Principal, Reach, StatusAction, Target,
};

/// How long an answer to a stop waits for the number of those whom it reaches, and for how
/// long it drains.
const COUNTING: Duration = Duration::from_secs(2);

/// What an agent may be registered with besides its name and key.
#[derive(Debug, Clone, Default)]
pub struct AgentDetails {
    /// On whose behalf it acts.
    pub owner: Option<PrincipalKey>,
    /// The agent that it acts for.
    pub parent: Option<AgentId>,
    /// How it can be found.
    pub labels: Labels,
    /// It is expired from this second on.
    pub expires: Option<UnixSeconds>,
    /// What says what it may do.
    pub policy: Option<PolicyReference>,
}

/// What became of a decision about many agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Many {
    /// Agents that were changed.
    pub changed: u64,
    /// Agents that already were so, or were revoked.
    pub unchanged: u64,
    /// How many revisions that took.
    pub revisions: u64,
    /// The last commit that made it so; `None` if no agent was meant.
    pub committed: Option<Committed>,
}

impl Registry {
    /// Adds a principal, active.
    pub async fn add_principal(
        &self,
        name: PrincipalName,
        cause: Cause,
    ) -> Result<Outcome<Principal>, RegistryError> {
        let id = PrincipalId::from_parts(self.clock.now().millis().0, random()?);
        let store = Arc::clone(&self.store);
        let new = NewPrincipal { id, name };
        self.durably(async move { store.add_principal(new, cause).await }).await
    }

    /// Revokes, suspends or restores a principal.
    pub async fn decide_principal(
        &self,
        principal: PrincipalKey,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Principal>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.decide_principal(principal, action, cause).await }).await
    }

    /// Revokes, suspends or restores one action of an agent.
    pub async fn decide_capability(
        &self,
        agent: AgentId,
        name: ActionName,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Capability>, RegistryError> {
        let store = Arc::clone(&self.store);
        let change = async move { store.decide_capability(agent, name, action, cause).await };
        self.durably(change).await
    }

    /// Halts everyone, or ends that.
    pub async fn decide_fleet(
        &self,
        action: FleetAction,
        cause: Cause,
    ) -> Result<Outcome<Fleet>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.decide_fleet(action, cause).await }).await
    }

    /// Revokes or suspends every agent with these labels. Each revision is pushed as
    /// soon as it is committed. It goes on to the last though nobody waits for it any
    /// more: a client that hangs up must not leave some of them running.
    pub async fn decide_agents(
        &self,
        selector: Selector,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Many, RegistryError> {
        let registry = self.clone();
        let all = async move { registry.decide_all(&selector, action, &cause).await };
        tokio::spawn(all).await.map_err(|_| RegistryError::Interrupted)?
    }

    async fn decide_all(
        &self,
        selector: &Selector,
        action: StatusAction,
        cause: &Cause,
    ) -> Result<Many, RegistryError> {
        let mut many = Many::default();
        let mut after = None;
        loop {
            let batch = match self.decide_some(selector, after, action, cause).await {
                Ok(batch) => batch,
                Err(error) => return Err(many.cut_short(error)),
            };
            many.add(&batch);
            after = batch.next;
            if after.is_none() {
                return Ok(many);
            }
        }
    }

    async fn decide_some(
        &self,
        selector: &Selector,
        after: Option<AgentId>,
        action: StatusAction,
        cause: &Cause,
    ) -> Result<Batch, RegistryError> {
        let store = Arc::clone(&self.store);
        let (selector, cause) = (selector.clone(), cause.clone());
        let change = async move {
            let batch = store.decide_agents(selector, after, action, cause).await?;
            let changed = batch.changed > 0;
            let committed = batch.committed.unwrap_or_default();
            Ok(Outcome { record: batch, changed, committed })
        };
        Ok(self.durably(change).await?.record)
    }

    /// Whom a stop that was carried out reaches. It is counted after the stop, which
    /// must not wait for that; `None` if it could not be.
    pub async fn reach(&self, target: Target) -> Option<Reach> {
        match timeout(COUNTING, self.store.reach(target)).await {
            Ok(Ok(reach)) => Some(reach),
            Ok(Err(error)) => {
                tracing::warn!(%error, "whom a stop reaches could not be counted");
                None
            }
            Err(_) => {
                tracing::warn!("whom a stop reaches was not counted in time");
                None
            }
        }
    }

    /// Until when capability tokens count that were issued before this agent was suspended.
    /// It is looked up after the suspension, which must not wait for that; `None` if none
    /// counts, or if it could not be.
    pub async fn drains_until(&self, agent: &Agent) -> Option<UnixSeconds> {
        let since = agent.drains_since()?;
        let window = match &agent.policy {
            None => DRAIN_SECONDS,
            Some(policy) => self.drain_window(policy.id).await?,
        };
        Some(UnixSeconds(since.0.saturating_add(window)))
    }

    async fn drain_window(&self, policy: PolicyId) -> Option<u64> {
        let policy = self.store.policy(PolicyReference::Id(policy), None);
        let document = match timeout(COUNTING, policy).await {
            Ok(Ok(policy)) => policy.document,
            Ok(Err(error)) => {
                tracing::warn!(%error, "how long a suspension drains could not be looked up");
                return None;
            }
            Err(_) => {
                tracing::warn!("how long a suspension drains was not looked up in time");
                return None;
            }
        };
        let document: PolicyDocument = serde_json::from_str(&document).ok()?;
        document.check().ok().map(|policy| policy.drain_window().seconds())
    }

    /// What a stop would do. Nothing is written.
    pub async fn preview(
        &self,
        target: Target,
        action: StatusAction,
    ) -> Result<Preview, RegistryError> {
        Ok(self.store.preview(target, action).await?)
    }
}

impl Many {
    fn add(&mut self, batch: &Batch) {
        self.changed = self.changed.saturating_add(batch.changed);
        self.unchanged = self.unchanged.saturating_add(batch.unchanged);
        self.revisions = self.revisions.saturating_add(u64::from(batch.changed > 0));
        self.committed = match (self.committed, batch.committed) {
            (Some(before), Some(after)) if after.position <= before.position => Some(before),
            (before, after) => after.or(before),
        };
    }

    /// The error, with what was done before it.
    fn cut_short(self, error: RegistryError) -> RegistryError {
        match (error, self.committed) {
            (RegistryError::Store(source), Some(committed)) if self.changed > 0 => {
                let revision = committed.position.revision;
                RegistryError::Partly { what: "agents", changed: self.changed, revision, source }
            }
            (error, _) => error,
        }
    }
}
