//! The registry: what people and tools can do to agents and tokens; and in
//! `stops.rs`, to all that is above and beside these; in `policies.rs`, to what agents
//! may do.

mod approvals;
mod capability_tokens;
mod delegation;
pub(crate) mod expiry;
mod policies;
mod stops;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use kya_core::jwt::CapabilityError;
use kya_core::{AgentId, OpaqueToken, PublicKey, Revision, Signer, TokenId};
use thiserror::Error;

use crate::keys::KeyFileError;
use crate::push::Push;
use crate::store::{
    Agent, Cause, IssuerError, NewAgent, NewToken, Outcome, StatusAction, Store, StoreError, Token,
    TokenLimits,
};
use crate::text::{IncidentId, Name, Reason};
use crate::time::Clock;
use crate::token_keys::TokenKeys;
pub use capability_tokens::IssuedCapability;
pub use delegation::{ManyTokens, Successor};
pub use stops::{AgentDetails, Many};

/// Changes the registry and has every change pushed.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    push: Arc<Push>,
    clock: Arc<dyn Clock>,
    token_keys: TokenKeys,
    /// Whether restoring takes two operators.
    second_operator: bool,
    /// Private keys of capability tokens that were read, by the public ones.
    signers: Arc<Mutex<HashMap<[u8; 32], Arc<Signer>>>>,
}

/// Why the registry did not do what it was asked.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The store refused, or could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Entropy(getrandom::Error),
    /// The key that signs capability tokens cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The file of a key that counts no more is still there.
    #[error("the file of a key that counts no more cannot be removed: {0}")]
    Remains(KeyFileError),
    /// No capability token can say that.
    #[error("no capability token can say this: {0}")]
    Token(#[from] CapabilityError),
    /// Some of many were changed, and then it failed.
    #[error(
        "{changed} {what} were changed, up to revision {revision}, and then: {source}; ask again, which goes on with the others"
    )]
    Partly {
        /// Agents, or tokens.
        what: &'static str,
        /// How many.
        changed: u64,
        /// The last revision that changed any.
        revision: Revision,
        /// Why no more were.
        source: StoreError,
    },
    /// The change failed in a way that says nothing about what was written.
    #[error("the change was interrupted; ask again whether it took place")]
    Interrupted,
}

/// Why a change is made, as whoever asks says it.
#[derive(Debug, Clone, Default)]
pub struct Why {
    /// The reason.
    pub reason: Option<Reason>,
    /// The incident that it belongs to.
    pub incident_id: Option<IncidentId>,
}

impl RegistryError {
    /// Whether it is about a capability token that is not known.
    pub(crate) fn is_of_no_such_token(&self) -> bool {
        matches!(self, Self::Store(StoreError::Issuer(IssuerError::NoSuchToken(_))))
    }

    /// Whether it is about an assertion that was used before, or too late.
    pub(crate) fn is_of_a_replay(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_a_replay())
    }
}

impl Registry {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        push: Arc<Push>,
        clock: Arc<dyn Clock>,
        token_keys: TokenKeys,
    ) -> Self {
        Self { store, push, clock, token_keys, second_operator: false, signers: Arc::default() }
    }

    /// Registers an agent, active.
    pub async fn register_agent(
        &self,
        name: Name,
        public_key: Option<PublicKey>,
        details: AgentDetails,
        cause: Cause,
    ) -> Result<Outcome<Agent>, RegistryError> {
        let id = AgentId::from_parts(self.clock.now().millis().0, random()?);
        let AgentDetails { owner, parent, labels, expires, policy } = details;
        let name = name.into();
        let new = NewAgent { id, name, public_key, owner, parent, labels, expires, policy };
        let store = Arc::clone(&self.store);
        self.durably(async move { store.register_agent(new, cause).await }).await
    }

    /// Revokes, suspends or restores an agent.
    pub async fn decide_agent(
        &self,
        agent: AgentId,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Agent>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.decide_agent(agent, action, cause).await }).await
    }

    /// Issues a token to an active agent. The token is nowhere else from then on.
    pub async fn issue_token(
        &self,
        agent_id: AgentId,
        limits: TokenLimits,
        ttl_seconds: u64,
        cause: Cause,
    ) -> Result<(OpaqueToken, Outcome<Token>), RegistryError> {
        let token = OpaqueToken::from_random(random()?);
        let id = TokenId::from_parts(self.clock.now().millis().0, random()?);
        let new = NewToken { id, digest: token.digest(), agent_id, limits, ttl_seconds };
        let store = Arc::clone(&self.store);
        let outcome = self.durably(async move { store.issue_token(new, cause).await }).await?;
        Ok((token, outcome))
    }

    /// Revokes a token.
    pub async fn revoke_token(
        &self,
        token: TokenId,
        cause: Cause,
    ) -> Result<Outcome<Token>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.revoke_token(token, cause).await }).await
    }

    /// Runs a change to its end, whoever stops waiting for it: a client that
    /// hangs up must not come between a commit and its push.
    async fn durably<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<Outcome<T>, StoreError>> + Send + 'static,
    ) -> Result<Outcome<T>, RegistryError> {
        let push = Arc::clone(&self.push);
        let task = tokio::spawn(async move {
            let outcome = change.await?;
            if outcome.changed {
                push.committed(outcome.committed);
            }
            Ok(outcome)
        });
        task.await.map_err(|_| RegistryError::Interrupted)?
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], RegistryError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(RegistryError::Entropy)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::keys::SigningKeys;
    use crate::push::Limits;
    use crate::rotation::KeyState;
    use crate::store::SqliteStore;
    use crate::telemetry::Metrics;
    use crate::time::SystemClock;

    #[tokio::test]
    async fn a_change_is_made_and_pushed_though_nobody_waits_for_it() {
        let temp = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let path = temp.path().join("kya.db");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&path, Arc::clone(&clock)).await.unwrap());
        let files = SigningKeys::new(DataDir::open(&temp.path().join("keys")).unwrap());
        let first = files.first().unwrap().0.public_key();
        let keys = KeyState::new(first, Vec::new()).unwrap();
        let stop = CancellationToken::new();
        let (push, _publisher) = Push::start(
            Arc::clone(&store),
            &keys,
            files,
            Arc::clone(&clock),
            Arc::new(Metrics::new().unwrap()),
            Limits::default(),
            stop.clone(),
        )
        .await
        .unwrap();
        let token_keys = TokenKeys::new(DataDir::open(&temp.path().join("keys")).unwrap());
        let registry = Registry::new(Arc::clone(&store), Arc::clone(&push), clock, token_keys);

        let (open, gate) = oneshot::channel::<()>();
        let new = NewAgent::named(AgentId::from_bytes([1; 16]), "a");
        let change = async move {
            gate.await.unwrap();
            store.register_agent(new, Cause::default()).await
        };
        let impatient = timeout(Duration::from_millis(1), registry.durably(change)).await;
        assert!(impatient.is_err(), "the change cannot be over yet");
        open.send(()).expect("the change goes on");
        let first = kya_core::Position { revision: kya_core::Revision(1), ..push.published() };
        timeout(Duration::from_secs(20), push.wait_published(first)).await.expect("a push");
        stop.cancel();
    }
}
