//! The issuer of capability tokens, its keys, and the tokens by their names.

use async_trait::async_trait;
use kya_core::jwt::{self, Actor, CapabilityError, Claims, DEFAULT_LIFETIME, Scope};
use kya_core::{
    ActionName, AgentId, CapabilityId, Fingerprint, MAX_KEYS, PublicKey, Revision, Signer,
    TokenDigest, TokenId, UnixSeconds, wire,
};
use thiserror::Error;
use wire::change::Change;

use super::{
    Cause, Outcome, ServiceName, StoreError, Token, TokenBatch, TokenLimits, TokenSelection,
};
use crate::time::{UnixMicros, second_start};

/// Whose capability tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` of its tokens; `None` until somebody has named it.
    pub name: Option<String>,
    /// How long a token lives at most, in seconds.
    pub max_lifetime: u64,
    /// Its keys, the newest first, retired ones included.
    pub keys: Vec<TokenKey>,
    /// Revision of the last change; 0 before the first.
    pub revision: Revision,
}

/// A key that signs, or has signed, or will sign capability tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// The key.
    pub public_key: PublicKey,
    /// Since when tokens that it has signed count.
    pub published_at: UnixMicros,
    /// Since when it signs, or did.
    pub activated_at: Option<UnixMicros>,
    /// Which activation that was.
    pub activated_revision: Option<Revision>,
    /// Since when they do not count any more.
    pub retired_at: Option<UnixMicros>,
}

/// What is to become of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerChange {
    /// This is what it is called, and how long its tokens live at most.
    Configure {
        /// The `iss`.
        name: String,
        /// In seconds.
        max_lifetime: u64,
    },
    /// Tokens that this key signs count. The first key signs at once.
    Publish(PublicKey),
    /// This key signs from now on.
    Activate(PublicKey),
    /// Tokens that this key has signed do not count any more.
    Retire(PublicKey),
}

/// A capability token by its name. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityToken {
    /// Its `jti`.
    pub id: CapabilityId,
    /// Who holds it.
    pub agent_id: AgentId,
    /// The services and actions that it is for. It has at least one service.
    pub limits: TokenLimits,
    /// Whether all tokens of its holder that were issued until then were taken back.
    pub superseded: bool,
    /// Its `iat`.
    pub issued: UnixSeconds,
    /// Its `exp`.
    pub expires: UnixSeconds,
    /// When it was taken back.
    pub revoked_at: Option<UnixMicros>,
    /// The newest revision when it was issued, or that of its revocation.
    pub revision: Revision,
}

/// A capability token that is to be issued.
#[derive(Debug, Clone)]
pub struct NewCapabilityToken {
    /// A fresh id.
    pub id: CapabilityId,
    /// Who is to hold it.
    pub agent_id: AgentId,
    /// What it is for. Without a service: those of its holder's policy.
    pub limits: TokenLimits,
    /// How long it is to live, in seconds; as long as it may, if it is less.
    pub ttl_seconds: u64,
    /// The assertion by which it was asked for, which is used up by this.
    pub assertion: Option<UsedAssertion>,
}

/// An assertion that counts only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedAssertion {
    /// Whose it is.
    pub agent_id: AgentId,
    /// Its `jti`.
    pub id: String,
    /// Its `exp`: it is remembered until then.
    pub expires: UnixSeconds,
}

/// Why the issuer is not changed, or issues nothing.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// Nobody has said what it is called.
    #[error(
        "no issuer of capability tokens is configured: start the control plane with --issuer and its public address, such as https://kya.example.com"
    )]
    NotConfigured,
    /// There is no such key.
    #[error("there is no key {0} that signs capability tokens")]
    NoSuchKey(Box<PublicKey>),
    /// A retired key stays retired.
    #[error("the key {0} is retired, which is final: announce a new one")]
    Retired(Box<PublicKey>),
    /// Somebody has to sign.
    #[error("the key {0} signs now: activate another one before it is retired")]
    Active(Box<PublicKey>),
    /// Proxies keep no more.
    #[error(
        "{MAX_KEYS} keys sign capability tokens or have signed some that count, and that is the most: retire one"
    )]
    TooManyKeys,
    /// There is no such token.
    #[error("there is no capability token {0}")]
    NoSuchToken(CapabilityId),
    /// A capability token is for services that it names.
    #[error(
        "a capability token names the services that it is for, and neither the request nor the policy of {0} does: name them"
    )]
    NoService(AgentId),
    /// No token can say that.
    #[error("no capability token can say this: {0}")]
    Unsayable(CapabilityError),
    /// It has waited until it was over.
    #[error(
        "the assertion has expired: make a new one, with a `jti` of its own, for every request"
    )]
    Late,
    /// Whoever sees an assertion pass by must not be able to use it.
    #[error(
        "the assertion was used before: make a new one, with a `jti` of its own, for every request"
    )]
    Replayed,
}

/// The part of a [`Store`](super::Store) that is about capability tokens: who issues them,
/// and which there are.
#[async_trait]
pub trait CapabilityTokenStore {
    /// The token with this digest.
    async fn token_by_digest(&self, digest: TokenDigest) -> Result<Option<Token>, StoreError>;

    /// The ids of those of these opaque tokens that there are.
    async fn token_names(
        &self,
        fingerprints: Vec<Fingerprint>,
    ) -> Result<Vec<(Fingerprint, TokenId)>, StoreError>;

    /// Whose capability tokens count, and by which keys.
    async fn issuer(&self) -> Result<Issuer, StoreError>;

    /// Changes that. What is so already changes nothing.
    async fn change_issuer(
        &self,
        change: IssuerChange,
        cause: Cause,
    ) -> Result<Outcome<Issuer>, StoreError>;

    /// Notes that a capability token is issued, to an agent that may hold one, and uses
    /// up the assertion by which it was asked for. It has an event and takes no revision:
    /// proxies need not know of it. Returns also whom its holder acts for, the nearest first.
    async fn issue_capability_token(
        &self,
        new: NewCapabilityToken,
        cause: Cause,
    ) -> Result<(CapabilityToken, Vec<AgentId>), StoreError>;

    /// Uses up an assertion by which an agent asks for something else.
    async fn use_assertion(&self, assertion: UsedAssertion) -> Result<(), StoreError>;

    /// The capability token of this name. Those that expired long ago are forgotten.
    async fn capability_token(&self, id: CapabilityId) -> Result<CapabilityToken, StoreError>;

    /// Up to `limit` capability tokens with an id after `after`, ordered by id.
    async fn capability_tokens(
        &self,
        holder: Option<AgentId>,
        after: Option<CapabilityId>,
        limit: u32,
    ) -> Result<Vec<CapabilityToken>, StoreError>;

    /// Takes a capability token back. Doing it again changes nothing.
    async fn revoke_capability_token(
        &self,
        id: CapabilityId,
        cause: Cause,
    ) -> Result<Outcome<CapabilityToken>, StoreError>;

    /// [`revoke_tokens`](super::Store::revoke_tokens) of capability tokens.
    async fn revoke_capability_tokens(
        &self,
        selection: TokenSelection,
        after: Option<CapabilityId>,
        cause: Cause,
    ) -> Result<TokenBatch<CapabilityId>, StoreError>;
}

impl Default for Issuer {
    fn default() -> Self {
        let (name, keys) = Default::default();
        Self { name, max_lifetime: DEFAULT_LIFETIME, keys, revision: Revision::default() }
    }
}

impl Issuer {
    /// The key that signs, if there is one.
    pub fn active(&self) -> Option<PublicKey> {
        let live = self.published().filter(|key| key.activated_revision.is_some());
        live.max_by_key(|key| key.activated_revision).map(|key| key.public_key)
    }

    /// The keys whose tokens count, the newest first.
    pub fn published(&self) -> impl Iterator<Item = &TokenKey> {
        self.keys.iter().filter(|key| key.retired_at.is_none())
    }

    /// The key of this name, if it was ever published.
    pub fn find(&self, key: PublicKey) -> Option<&TokenKey> {
        self.keys.iter().find(|it| it.public_key == key)
    }

    /// As the protocol carries it: of one that nobody has named, no token counts.
    pub(super) fn to_wire(&self) -> Change {
        let keys = self.published().map(|key| key.public_key.to_bytes().to_vec());
        Change::Issuer(wire::Issuer {
            name: self.name.clone().unwrap_or_default(),
            keys: match self.name {
                Some(_) => keys.collect(),
                None => Vec::new(),
            },
            max_lifetime_seconds: self.max_lifetime,
        })
    }
}

impl CapabilityToken {
    /// Whether it counts, as far as this record shows.
    pub fn counts(&self, now: UnixMicros) -> bool {
        self.revoked_at.is_none() && !self.superseded && second_start(self.expires) > now
    }

    /// The claims of the token. `above` is whom its holder acts for, the nearest first.
    ///
    /// # Errors
    /// When an action has a name that no scope can have.
    pub(crate) fn claims(
        &self,
        issuer: &str,
        above: &[AgentId],
    ) -> Result<Claims, CapabilityError> {
        let scope = match self.limits.actions() {
            [] => Scope::parse(Scope::EVERYTHING),
            actions => Scope::of(actions.iter().map(ActionName::as_str)),
        }?;
        let (subject, actors) = delegation(self.agent_id, above);
        Ok(Claims {
            issuer: issuer.to_owned(),
            agent: self.agent_id,
            subject,
            audience: self.limits.services().iter().map(ServiceName::to_string).collect(),
            issued: self.issued,
            not_before: self.issued,
            expires: self.expires,
            id: self.id,
            scope,
            actors,
            confirmation: None,
        })
    }

    /// Whether there can be such a token, before there is one: by whichever key and of
    /// the longest name of an issuer.
    pub(super) fn check(&self, above: &[AgentId]) -> Result<(), IssuerError> {
        let longest = "i".repeat(jwt::MAX_NAME_BYTES);
        let claims = self.claims(&longest, above).map_err(IssuerError::Unsayable)?;
        let made = jwt::mint(&Signer::from_seed([0; 32]), &claims);
        made.map(drop).map_err(IssuerError::Unsayable)
    }

    /// That it was taken back, as the protocol carries it.
    pub(super) fn revocation_to_wire(&self) -> Change {
        Change::RevokedCapability(wire::RevokedCapability {
            id: self.id.to_bytes().to_vec(),
            expires_unix_seconds: self.expires.0,
        })
    }
}

/// For whom an agent acts, and through whom, itself first (RFC 8693 section 4.1). `above`
/// is whom it acts for, the nearest first.
fn delegation(agent: AgentId, above: &[AgentId]) -> (Option<Actor>, Vec<Actor>) {
    let Some((top, between)) = above.split_last() else { return (None, Vec::new()) };
    let actors = [agent].iter().chain(between).copied().map(Actor::Agent).collect();
    (Some(Actor::Agent(*top)), actors)
}
