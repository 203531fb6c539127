//! Capability tokens, their issuer and its keys.

use std::sync::{Arc, PoisonError};

use kya_core::jwt;
use kya_core::{AgentId, CapabilityId, PublicKey, Signer};

use super::delegation::ManyTokens;
use super::{Registry, RegistryError, random};
use crate::config::IssuerConfig;
use crate::store::{
    CapabilityToken, Cause, Issuer, IssuerChange, IssuerError, NewCapabilityToken, Outcome,
    TokenLimits, TokenSelection, UsedAssertion,
};

/// A capability token that was issued. It is nowhere else.
#[derive(Debug)]
pub struct IssuedCapability {
    /// The token itself.
    pub token: jwt::CapabilityToken,
    /// Its record.
    pub record: CapabilityToken,
    /// What it says that it is good for.
    pub scope: String,
}

/// Whoever configured the server.
const CONFIGURATION: &str = "configuration";

impl Registry {
    /// Makes the issuer be as it is configured, with a key that signs.
    pub(crate) async fn open_issuer(&self, config: &IssuerConfig) -> Result<(), RegistryError> {
        let cause = || Cause { actor: CONFIGURATION.to_owned(), ..Cause::default() };
        let IssuerConfig { name, max_lifetime } = config.clone();
        let before = self.store.issuer().await?.name;
        if let Some(before) = before.filter(|before| *before != name) {
            tracing::warn!(before, now = name, "another issuer: its tokens count no more");
        }
        let change = IssuerChange::Configure { name, max_lifetime };
        let issuer = self.change_issuer(change, cause()).await?.record;
        match issuer.active() {
            None => {
                let key = self.token_keys.make()?.public_key();
                let issuer = self.change_issuer(IssuerChange::Publish(key), cause()).await?.record;
                if issuer.active() != Some(key) {
                    tracing::warn!("another server's key signs capability tokens: copy its file");
                }
            }
            Some(active) => {
                if let Err(error) = self.token_keys.find(active) {
                    tracing::warn!(%error, "this server issues no capability tokens");
                }
            }
        }
        for key in issuer.keys.iter().filter(|key| key.retired_at.is_some()) {
            self.token_keys.forget(key.public_key).map_err(RegistryError::Remains)?;
        }
        Ok(())
    }

    /// Makes another key whose tokens count, and returns it.
    pub async fn announce_token_key(
        &self,
        cause: Cause,
    ) -> Result<(PublicKey, Outcome<Issuer>), RegistryError> {
        let key = self.token_keys.make()?.public_key();
        let announced = self.change_issuer(IssuerChange::Publish(key), cause).await;
        // Where it is not known what became of it, the file stays.
        if announced.is_err() && self.store.issuer().await?.find(key).is_none() {
            self.token_keys.forget(key).map_err(RegistryError::Remains)?;
        }
        Ok((key, announced?))
    }

    /// Signs with this key from now on. It must be at hand here.
    pub async fn activate_token_key(
        &self,
        key: PublicKey,
        cause: Cause,
    ) -> Result<Outcome<Issuer>, RegistryError> {
        let known = self.store.issuer().await?;
        if known.find(key).is_some_and(|key| key.retired_at.is_none()) {
            self.signer(key)?;
        }
        self.change_issuer(IssuerChange::Activate(key), cause).await
    }

    /// Has no token count any more that this key has signed, and removes it.
    pub async fn retire_token_key(
        &self,
        key: PublicKey,
        cause: Cause,
    ) -> Result<Outcome<Issuer>, RegistryError> {
        let retired = self.change_issuer(IssuerChange::Retire(key), cause).await?;
        self.signers.lock().unwrap_or_else(PoisonError::into_inner).remove(&key.to_bytes());
        self.token_keys.forget(key).map_err(RegistryError::Remains)?;
        Ok(retired)
    }

    async fn change_issuer(
        &self,
        change: IssuerChange,
        cause: Cause,
    ) -> Result<Outcome<Issuer>, RegistryError> {
        let (store, push) = (Arc::clone(&self.store), Arc::clone(&self.push));
        let change = async move {
            let outcome = store.change_issuer(change, cause).await?;
            push.issuer_changed(outcome.record.clone());
            Ok(outcome)
        };
        self.durably(change).await
    }

    /// Issues a capability token to an active agent.
    pub async fn issue_capability_token(
        &self,
        agent_id: AgentId,
        limits: TokenLimits,
        ttl_seconds: u64,
        assertion: Option<UsedAssertion>,
        cause: Cause,
    ) -> Result<IssuedCapability, RegistryError> {
        let issuer = self.store.issuer().await?;
        let (Some(name), Some(key)) = (issuer.name.clone(), issuer.active()) else {
            return Err(self.store_error(IssuerError::NotConfigured));
        };
        let signer = self.signer(key)?;
        let id = CapabilityId::from_parts(self.clock.now().millis().0, random()?);
        let new = NewCapabilityToken { id, agent_id, limits, ttl_seconds, assertion };
        let (record, above) = self.store.issue_capability_token(new, cause).await?;
        let claims = record.claims(&name, &above)?;
        let token = jwt::mint(&signer, &claims)?;
        Ok(IssuedCapability { token, record, scope: claims.scope.as_str().to_owned() })
    }

    fn store_error(&self, error: IssuerError) -> RegistryError {
        RegistryError::Store(error.into())
    }

    /// The private half of a key, which is read once.
    fn signer(&self, key: PublicKey) -> Result<Arc<Signer>, RegistryError> {
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = signers.get(&key.to_bytes()) {
            return Ok(Arc::clone(signer));
        }
        let signer = Arc::new(self.token_keys.find(key)?);
        signers.insert(key.to_bytes(), Arc::clone(&signer));
        Ok(signer)
    }

    /// Takes a capability token back.
    pub async fn revoke_capability_token(
        &self,
        id: CapabilityId,
        cause: Cause,
    ) -> Result<Outcome<CapabilityToken>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.revoke_capability_token(id, cause).await }).await
    }

    /// Takes every selected capability token back, after `many` others.
    pub(super) async fn revoke_all_capability_tokens(
        &self,
        selection: &TokenSelection,
        cause: &Cause,
        mut many: ManyTokens,
    ) -> Result<ManyTokens, RegistryError> {
        let mut after = None;
        loop {
            let store = Arc::clone(&self.store);
            let (selection, cause) = (selection.clone(), cause.clone());
            let change = async move {
                let batch = store.revoke_capability_tokens(selection, after, cause).await?;
                let committed = batch.committed.unwrap_or_default();
                Ok(Outcome { record: batch, changed: batch.changed > 0, committed })
            };
            let batch = match self.durably(change).await {
                Ok(outcome) => outcome.record,
                Err(error) => return Err(many.cut_short(error)),
            };
            many.add(&batch);
            after = batch.next;
            if after.is_none() {
                return Ok(many);
            }
        }
    }
}
