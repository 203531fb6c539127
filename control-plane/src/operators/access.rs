//! The one check of an operator's key, and what changes who passes it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use kya_core::{AgentId, OperatorKey, OperatorKeyDigest};
use subtle::ConstantTimeEq;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::buckets::Buckets;
use super::{AuthError, Oidc, OperatorError, OperatorName, Permission, Role};
use crate::bearer::bearer;
use crate::keys::AdminKey;
use crate::places::who;
use crate::registry::{RegistryError, Why, random};
use crate::store::{Cause, NewOperator, OperatorOutcome, OperatorRecord, Store, StoreError};
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::{Clock, second_start};

const MINUTE: Duration = Duration::from_secs(60);
/// Wrong keys that an address may present in a row, and in each minute, before the next
/// is answered 429 and looked up in a queue of its own.
const FAILURES: u32 = 10;
/// Addresses of which that is remembered.
const ADDRESSES: usize = 4096;
/// Changes that an operator may make in each minute. What stops somebody is none of them.
const CHANGES: u32 = 6_000;
/// The same in a row, of what starts something, which takes an admin: ten thousand tokens
/// of each kind, asked for as fast as they are made.
const BURST: u32 = 20_000;
/// Operators of which that is remembered.
const OPERATORS: usize = 1024;
/// Keys looked up at the same time; further ones wait for their turn.
const LOOKUPS: usize = 16;
/// The same for all addresses together from which too many wrong keys came.
const LIMITED_LOOKUPS: usize = 1;

/// Tokens that an agent may ask for, or give back, or ask about, in a row and in each
/// minute.
const ASSERTIONS: u32 = 600;
/// Assertions that are looked at at the same time. It is less than the connections by
/// which the store is read.
const ASSERTIONS_AT_ONCE: usize = 2;

/// Changes under way at the same time that stop nobody; further ones wait for their
/// turn. The store makes one at a time, so that one that stops somebody waits behind no
/// more than these.
const STARTS: usize = 32;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(5);
const LATE: &str = "too many wait for their turn";

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    name: OperatorName,
    role: Role,
    built_in: bool,
    /// Where it asks from.
    address: IpAddr,
}

/// Lets operators in, adds and revokes them.
#[derive(Debug)]
pub struct OperatorAccess {
    admin_key: AdminKey,
    oidc: Option<Arc<Oidc>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    failures: Buckets<IpAddr>,
    changes: Buckets<OperatorName>,
    /// Of what neither stops nor starts anything, which takes no admin.
    others: Buckets<OperatorName>,
    /// The same for whoever is no operator, so that these keep no operator out.
    strangers: Buckets<IpAddr>,
    agents: Buckets<AgentId>,
    assertions: Semaphore,
    limited_assertions: Semaphore,
    lookups: Semaphore,
    limited_lookups: Semaphore,
    starts: Arc<Semaphore>,
    warnings: Throttle,
}

impl Operator {
    /// What it is called.
    pub fn name(&self) -> &OperatorName {
        &self.name
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where it asks from.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// True of the one whose key is in the data directory.
    pub fn is_built_in(&self) -> bool {
        self.built_in
    }

    /// The cause of a change that it makes, for this reason.
    pub fn because(&self, why: Why) -> Cause {
        Cause {
            actor: self.name.to_string(),
            reason: why.reason.map(String::from),
            incident_id: why.incident_id.map(String::from),
            address: Some(self.address.to_canonical().to_string()),
            role: Some(self.role.name().to_owned()),
        }
    }
}

impl OperatorAccess {
    pub(crate) fn new(
        admin_key: AdminKey,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            admin_key,
            oidc: None,
            store,
            clock,
            metrics,
            failures: Buckets::new(FAILURES, MINUTE, ADDRESSES),
            changes: Buckets::new(CHANGES, MINUTE, OPERATORS).in_a_row(BURST),
            others: Buckets::new(CHANGES, MINUTE, OPERATORS),
            strangers: Buckets::new(FAILURES, MINUTE, ADDRESSES),
            agents: Buckets::new(ASSERTIONS, MINUTE, OPERATORS),
            assertions: Semaphore::new(ASSERTIONS_AT_ONCE),
            limited_assertions: Semaphore::new(LIMITED_LOOKUPS),
            lookups: Semaphore::new(LOOKUPS),
            limited_lookups: Semaphore::new(LIMITED_LOOKUPS),
            starts: Arc::new(Semaphore::new(STARTS)),
            warnings: Throttle::new(Duration::from_secs(1)),
        }
    }

    /// The same that lets in by tokens of this issuer, too.
    pub(crate) fn with_oidc(self, oidc: Option<Arc<Oidc>>) -> Self {
        Self { oidc, ..self }
    }

    /// Lets an operator in by the key in these headers, whatever came from its address
    /// before.
    ///
    /// # Errors
    /// Whatever is wrong with the key; it is counted and logged here. After too many
    /// wrong keys from its address, that is all that is said.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Operator, AuthError> {
        let error = match self.identify(headers, peer).await {
            Ok(operator) => return Ok(operator),
            Err(error) => error,
        };
        self.refused(&error, peer);
        if error.is_a_wrong_key()
            && let Err(retry_after) = self.failures.add(&who(peer), Instant::now())
        {
            return Err(AuthError::TooManyFailures { retry_after });
        }
        Err(error)
    }

    /// Lets an operator do something, if its role has the permission.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; counted and logged here.
    pub fn permit(
        &self,
        operator: &Operator,
        permission: Permission,
        peer: IpAddr,
    ) -> Result<(), AuthError> {
        let Operator { name, role, .. } = operator;
        if role.may(permission) {
            return Ok(());
        }
        let error = AuthError::Forbidden { name: name.clone(), role: *role, permission };
        self.refused(&error, peer);
        Err(error)
    }

    /// Counts a change that stops nobody.
    ///
    /// # Errors
    /// [`AuthError::TooManyChanges`]; counted and logged here.
    pub(crate) fn count(
        &self,
        operator: &Operator,
        permission: Permission,
        peer: IpAddr,
    ) -> Result<(), AuthError> {
        let of = if permission.starts() { &self.changes } else { &self.others };
        of.add(&operator.name, Instant::now()).map_err(|retry_after| {
            let error = AuthError::TooManyChanges { name: operator.name.clone(), retry_after };
            self.refused(&error, peer);
            error
        })
    }

    /// Where operators, and what they have asked for by keys, are kept.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Waits for the turn of what starts something, which is to be held until that is
    /// done. What stops somebody, and what only reads, takes none.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] if it waits too long.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, AuthError> {
        in_time(Arc::clone(&self.starts).acquire_owned()).await
    }

    /// Turns that nobody has.
    #[cfg(test)]
    pub(crate) fn turns_left(&self) -> usize {
        self.starts.available_permits()
    }

    /// Waits until nobody has a turn.
    #[cfg(test)]
    pub(crate) async fn all_turns(&self) -> SemaphorePermit<'_> {
        self.starts.acquire_many(u32::try_from(STARTS).unwrap()).await.unwrap()
    }

    /// Waits until somebody who is no operator may show who they are, among others from
    /// where too much was wrong.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] if it waits too long.
    pub(crate) async fn turn_of_stranger(
        &self,
        peer: IpAddr,
    ) -> Result<SemaphorePermit<'_>, AuthError> {
        match self.strangers.is_full(&who(peer), Instant::now()) {
            true => turn(&self.limited_assertions).await,
            false => turn(&self.assertions).await,
        }
    }

    /// Counts and logs somebody who has not shown who they are. After too many from
    /// there: how long until the next is looked at more closely.
    pub(crate) fn stranger_refused(&self, peer: IpAddr) -> Option<Duration> {
        self.metrics.auth_failed("assertion");
        if self.warnings.passes() {
            tracing::warn!(%peer, "refused an assertion; further refusals are counted");
        }
        self.strangers.add(&who(peer), Instant::now()).err()
    }

    /// Counts that an agent has shown who it is, to ask for something.
    ///
    /// # Errors
    /// When it asks too often: how long until it may again.
    pub(crate) fn agent_asks(&self, agent: AgentId) -> Result<(), Duration> {
        self.agents.add(&agent, Instant::now())
    }

    /// Counts a refusal, and logs one a second. No error shows a key.
    fn refused(&self, error: &AuthError, peer: IpAddr) {
        let reason = error.reason();
        self.metrics.auth_failed(reason);
        if self.warnings.passes() {
            let source = std::error::Error::source(error);
            tracing::warn!(%peer, reason, source, "refused a request: {error}; further ones are counted");
        }
    }

    async fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Operator, AuthError> {
        let presented = bearer(headers)?;
        if self.admin_key.matches(presented) {
            let (name, role) = (OperatorName::built_in(), Role::Admin);
            return Ok(Operator { name, role, built_in: true, address: peer });
        }
        if AdminKey::is_of_this_kind(presented) {
            return Err(AuthError::OtherAdminKey);
        }
        // No key has a dot in it, and every token has two.
        if let Some(oidc) = self.oidc.as_ref().filter(|_| presented.contains(&b'.')) {
            let token = oidc.read(presented)?;
            // Whoever guesses does not have the issuer asked, and has signatures checked
            // one after the other.
            let guesses = self.failures.is_full(&who(peer), Instant::now());
            let _turn = match guesses {
                true => Some(turn(&self.limited_lookups).await?),
                false => None,
            };
            let (name, role) = oidc.operator(&token, self.clock.now(), !guesses).await?;
            return Ok(Operator { name, role, built_in: false, address: peer });
        }
        // The checksum keeps what was merely mistyped away from the store.
        let key = OperatorKey::parse(presented).map_err(AuthError::Malformed)?;
        let OperatorRecord { name, role, .. } = self.look_up(key.digest(), peer).await?;
        Ok(Operator { name, role, built_in: false, address: peer })
    }

    /// The operator, if its key counts now. How long the search for a digest takes tells
    /// nothing about the 256 random bits behind another one.
    async fn look_up(
        &self,
        digest: OperatorKeyDigest,
        peer: IpAddr,
    ) -> Result<OperatorRecord, AuthError> {
        // Whoever floods from one address waits for themselves.
        let turns = match self.failures.is_full(&who(peer), Instant::now()) {
            true => &self.limited_lookups,
            false => &self.lookups,
        };
        let _turn = turn(turns).await?;
        let found = self.store.operator_by_key(digest).await.map_err(AuthError::Unavailable)?;
        let found = found
            .filter(|found| found.digest.0.ct_eq(&digest.0).into())
            .ok_or(AuthError::Unknown)?;
        if found.revoked.is_some() {
            return Err(AuthError::Revoked(found.name));
        }
        if found.is_expired(self.clock.now()) {
            let at = found.expires.map(second_start).unwrap_or_default().to_rfc3339();
            return Err(AuthError::Expired { name: found.name, at });
        }
        Ok(found)
    }

    /// Adds an operator. Its key is nowhere else from then on.
    ///
    /// # Errors
    /// When the name was used before or is reserved, or the store cannot be used.
    pub async fn add(
        &self,
        by: &Operator,
        name: OperatorName,
        role: Role,
        ttl_seconds: Option<u64>,
    ) -> Result<(OperatorKey, OperatorRecord), OperatorError> {
        if name.is_reserved() {
            return Err(OperatorError::Reserved);
        }
        let key = OperatorKey::from_random(random()?);
        let new = NewOperator { name, role, digest: key.digest(), ttl_seconds };
        let record = self.store.add_operator(new, by.because(Why::default())).await?;
        Ok((key, record))
    }

    /// Revokes an operator, whoever stops waiting.
    ///
    /// # Errors
    /// When there is no such operator, it is the built-in one, or the store cannot be
    /// used.
    pub async fn revoke(
        &self,
        by: &Operator,
        name: OperatorName,
        why: Why,
    ) -> Result<OperatorOutcome, OperatorError> {
        if name.is_reserved() {
            return Err(OperatorError::BuiltIn);
        }
        let (store, cause) = (Arc::clone(&self.store), by.because(why));
        let task = tokio::spawn(async move { store.revoke_operator(name, cause).await });
        Ok(task.await.map_err(|_| RegistryError::Interrupted)??)
    }
}

async fn turn(of: &Semaphore) -> Result<SemaphorePermit<'_>, AuthError> {
    in_time(of.acquire()).await
}

async fn in_time<T>(turn: impl Future<Output = Result<T, AcquireError>>) -> Result<T, AuthError> {
    let late = || AuthError::Unavailable(StoreError::Unavailable(LATE.into()));
    // The inner error is of a semaphore that is closed, which nobody does.
    timeout(TURN, turn).await.ok().and_then(Result::ok).ok_or_else(late)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
