//! Successors, and many tokens at once.

use std::sync::Arc;

use kya_core::{AgentId, PublicKey, TokenId, UnixSeconds};

use super::{Registry, RegistryError, random};
use crate::labels::Labels;
use crate::principals::PrincipalKey;
use crate::store::{Agent, Cause, Committed, NewSuccessor, Outcome, TokenBatch, TokenSelection};
use crate::text::Name;

/// Who takes the place of an agent. What is `None` is as it is of that one.
#[derive(Debug)]
pub struct Successor {
    /// Its own key.
    pub public_key: PublicKey,
    /// What people call it.
    pub name: Option<Name>,
    /// On whose behalf it acts.
    pub owner: Option<PrincipalKey>,
    /// How it can be found.
    pub labels: Option<Labels>,
    /// It is expired from this second on.
    pub expires: Option<UnixSeconds>,
    /// Whether the one before is to be revoked with it.
    pub revoke: bool,
}

/// What became of a revocation of many tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ManyTokens {
    /// Tokens that were revoked.
    pub changed: u64,
    /// How many revisions that took.
    pub revisions: u64,
    /// The last of them; `None` if no token was meant.
    pub committed: Option<Committed>,
}

impl Registry {
    /// Registers an agent in the place of another.
    pub async fn replace_agent(
        &self,
        replaces: AgentId,
        successor: Successor,
        cause: Cause,
    ) -> Result<Outcome<Agent>, RegistryError> {
        let id = AgentId::from_parts(self.clock.now().millis().0, random()?);
        let Successor { public_key, name, owner, labels, expires, revoke } = successor;
        let name = name.map(Into::into);
        let new = NewSuccessor { id, replaces, public_key, name, owner, labels, expires, revoke };
        let store = Arc::clone(&self.store);
        self.durably(async move { store.replace_agent(new, cause).await }).await
    }

    /// Takes back all tokens of an agent that were issued until now.
    pub async fn supersede_tokens(
        &self,
        agent: AgentId,
        cause: Cause,
    ) -> Result<Outcome<Agent>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.supersede_tokens(agent, cause).await }).await
    }

    /// Revokes every selected token. Each revision is pushed as soon as it is committed,
    /// and it goes on to the last though nobody waits for it any more.
    pub async fn revoke_tokens(
        &self,
        selection: TokenSelection,
        cause: Cause,
    ) -> Result<ManyTokens, RegistryError> {
        let registry = self.clone();
        let all = async move { registry.revoke_all(&selection, &cause).await };
        tokio::spawn(all).await.map_err(|_| RegistryError::Interrupted)?
    }

    async fn revoke_all(
        &self,
        selection: &TokenSelection,
        cause: &Cause,
    ) -> Result<ManyTokens, RegistryError> {
        let (mut many, mut after) = (ManyTokens::default(), None);
        loop {
            let batch = match self.revoke_some(selection, after, cause).await {
                Ok(batch) => batch,
                Err(error) => return Err(many.cut_short(error)),
            };
            many.add(&batch);
            after = batch.next;
            if after.is_none() {
                return self.revoke_all_capability_tokens(selection, cause, many).await;
            }
        }
    }

    async fn revoke_some(
        &self,
        selection: &TokenSelection,
        after: Option<TokenId>,
        cause: &Cause,
    ) -> Result<TokenBatch, RegistryError> {
        let store = Arc::clone(&self.store);
        let (selection, cause) = (selection.clone(), cause.clone());
        let change = async move {
            let batch = store.revoke_tokens(selection, after, cause).await?;
            let committed = batch.committed.unwrap_or_default();
            Ok(Outcome { record: batch, changed: batch.changed > 0, committed })
        };
        Ok(self.durably(change).await?.record)
    }
}

impl ManyTokens {
    pub(super) fn add<Id>(&mut self, batch: &TokenBatch<Id>) {
        self.changed = self.changed.saturating_add(batch.changed);
        self.revisions = self.revisions.saturating_add(u64::from(batch.changed > 0));
        self.committed = batch.committed.or(self.committed);
    }

    /// The error, with what was done before it.
    pub(super) fn cut_short(self, error: RegistryError) -> RegistryError {
        match (error, self.committed) {
            (RegistryError::Store(source), Some(committed)) => {
                let revision = committed.position.revision;
                RegistryError::Partly { what: "tokens", changed: self.changed, revision, source }
            }
            (error, _) => error,
        }
    }
}
