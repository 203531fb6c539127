//! The one check of a node credential, and what changes who passes it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use kya_core::{NodeCredential, TokenError};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::sessions::Sessions;
use super::{NodeIdentity, NodeName, NodePattern};
use crate::bearer::{BearerError, bearer};
use crate::push::Nodes;
use crate::registry::{RegistryError, random};
use crate::store::{Cause, NewNode, NodeOutcome, NodeRegistration, Store, StoreError};
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::{Clock, second_start};

/// Credentials looked up at the same time; further ones wait for their turn.
const LOOKUPS: usize = 32;

/// Registers proxies, lets them in, and ends what they were let in for.
#[derive(Debug)]
pub struct NodeAccess {
    pub(super) store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pub(super) sessions: Arc<Sessions>,
    /// The proxies, those that have left included.
    proxies: Arc<Nodes>,
    lookups: Semaphore,
    warnings: Throttle,
}

/// Why a proxy is not let in, or not any longer.
#[derive(Debug, Error)]
pub enum AccessError {
    /// It presents nothing that could be a credential.
    #[error("{0}: send `authorization: Bearer nc_...` with the credential of this node")]
    Bearer(#[from] BearerError),
    /// What it presents has not the form of a credential.
    #[error("this is not a node credential: {0}")]
    Malformed(TokenError),
    /// It was never issued here.
    #[error("this control plane has not issued this node credential")]
    Unknown,
    /// Its registration was revoked.
    #[error("the node registration {0} is revoked")]
    Revoked(NodeName),
    /// Its registration has expired.
    #[error("the node registration {name} expired at {at}")]
    Expired {
        /// The registration.
        name: NodeName,
        /// RFC 3339.
        at: String,
    },
    /// Its registration is for another proxy.
    #[error("the node registration {name} is for node.id {pattern}, not for {node_id}")]
    OtherNode {
        /// The registration.
        name: NodeName,
        /// What it is for.
        pattern: NodePattern,
        /// What the proxy calls itself.
        node_id: String,
    },
    /// The store cannot say.
    #[error("node credentials cannot be checked now")]
    Unavailable(#[source] StoreError),
}

impl NodeAccess {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        proxies: Arc<Nodes>,
    ) -> Self {
        Self {
            proxies,
            store,
            clock,
            metrics,
            sessions: Arc::default(),
            lookups: Semaphore::new(LOOKUPS),
            warnings: Throttle::new(Duration::from_secs(1)),
        }
    }

    /// Lets a proxy in by the credential in its headers (of a gRPC call: its
    /// initial metadata). `peer` is for the log.
    ///
    /// # Errors
    /// Whatever is wrong with the credential; it is counted and logged here.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<NodeIdentity, AccessError> {
        let identity = self.identify(headers).await;
        if let Err(error) = &identity {
            self.refused(error, peer);
        }
        identity
    }

    /// Counts a refusal, and logs one a second.
    fn refused(&self, error: &AccessError, peer: IpAddr) {
        let reason = error.reason();
        self.metrics.node_refused(reason);
        if self.warnings.passes() {
            let source = std::error::Error::source(error);
            tracing::warn!(%peer, reason, source, "refused a proxy: {error}; further ones are counted");
        }
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<NodeIdentity, AccessError> {
        // The checksum keeps what was merely mistyped away from the store.
        let credential = NodeCredential::parse(bearer(headers)?).map_err(AccessError::Malformed)?;
        let registration = self.look_up(&credential).await?;
        let session = self.sessions.enter(registration.name.clone());
        // Once more, now that a revocation would end the session: one that was
        // committed in between is seen here, and a later one there.
        let registration = self.look_up(&credential).await?;
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        Ok(NodeIdentity { registration, session, clock, metrics })
    }

    /// The registration, if it counts now. How long the search for a digest takes
    /// tells nothing about the 256 random bits behind another one.
    async fn look_up(&self, credential: &NodeCredential) -> Result<NodeRegistration, AccessError> {
        // Fails only when the semaphore is closed, which nobody does.
        let _turn = self.lookups.acquire().await;
        let found = self.store.node_by_credential(credential.digest()).await;
        let found = found.map_err(AccessError::Unavailable)?.ok_or(AccessError::Unknown)?;
        if found.revoked_at.is_some() {
            return Err(AccessError::Revoked(found.name));
        }
        if found.is_expired(self.clock.now()) {
            return Err(AccessError::expired(&found));
        }
        Ok(found)
    }

    /// Registers a node. The credential is nowhere else from then on.
    ///
    /// # Errors
    /// When the name was used before, or the store cannot be used.
    pub async fn register(
        &self,
        name: NodeName,
        node_id: NodePattern,
        ttl_seconds: Option<u64>,
        cause: Cause,
    ) -> Result<(NodeCredential, NodeRegistration), RegistryError> {
        let credential = NodeCredential::from_random(random()?);
        let new = NewNode { name, node_id, digest: credential.digest(), ttl_seconds };
        let registration = self.store.register_node(new, cause).await?;
        Ok((credential, registration))
    }

    /// Revokes a registration and ends what runs under it, whoever stops waiting.
    ///
    /// # Errors
    /// When there is no such registration, or the store cannot be used.
    pub async fn revoke(&self, name: NodeName, cause: Cause) -> Result<NodeOutcome, RegistryError> {
        let (store, sessions) = (Arc::clone(&self.store), Arc::clone(&self.sessions));
        let proxies = Arc::clone(&self.proxies);
        let task = tokio::spawn(async move {
            let outcome = store.revoke_node(name.clone(), cause).await?;
            // Also when it was revoked before: asking again must not leave
            // anything open.
            sessions.end(&name);
            proxies.end_registration(&name);
            Ok(outcome)
        });
        task.await.map_err(|_| RegistryError::Interrupted)?
    }

    /// Another server has revoked it.
    pub(super) fn was_revoked(&self, name: &NodeName) {
        self.sessions.end(name);
        self.proxies.end_registration(name);
    }
}

impl AccessError {
    pub(super) fn expired(registration: &NodeRegistration) -> Self {
        let at = registration.expires.map(second_start).unwrap_or_default();
        Self::Expired { name: registration.name.clone(), at: at.to_rfc3339() }
    }

    /// One word for it, for a metric and for logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Bearer(BearerError::Missing) => "missing",
            Self::Bearer(_) | Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked(_) => "revoked",
            Self::Expired { .. } => "expired",
            Self::OtherNode { .. } => "other_node",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<AccessError> for tonic::Status {
    fn from(error: AccessError) -> Self {
        let why = error.to_string();
        match error {
            AccessError::OtherNode { .. } => Self::permission_denied(why),
            AccessError::Unavailable(_) => Self::unavailable(why),
            _ => Self::unauthenticated(why),
        }
    }
}
