//! The keys of the issuer, as they were last fetched.
//!
//! They are fetched in the background, and for a token with a `kid` that is not known: at
//! most once in a while, so that whoever invents them has the issuer asked no more often.
//! When the issuer cannot be asked, the keys that are there go on counting for a time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use url::Url;

use super::TokenRefusal;
use super::jwks::{self, Algorithm, Key};
use crate::config::OidcConfig;
use crate::fetch::{Fetcher, endpoint};
use crate::telemetry::Metrics;
use crate::time::{Clock as _, SystemClock};

/// How often they are fetched: after so long a key that the issuer has taken back counts
/// no more.
const EVERY: Duration = Duration::from_secs(300);
/// The same after a failure.
const RETRY: Duration = Duration::from_secs(15);
/// How long they count without word of the issuer.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// How often a token can have them fetched.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// How long a token waits for another that has them fetched.
const TURN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct IssuerKeys {
    issuer: String,
    jwks_url: Option<Url>,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
    fetched: RwLock<Option<Fetched>>,
    /// When a token last had them fetched; held while it does.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Fetched {
    keys: Arc<Vec<Arc<Key>>>,
    at: Instant,
}

/// What is read of a discovery document (OpenID Connect Discovery section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    pub(super) fn new(config: &OidcConfig, fetcher: Fetcher, metrics: Arc<Metrics>) -> Self {
        Self {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            fetcher,
            metrics,
            fetched: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// The key with this `kid`, or the only one for the algorithm.
    pub(super) async fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        ask: bool,
    ) -> Result<Arc<Key>, TokenRefusal> {
        match self.known(algorithm, kid) {
            Err(TokenRefusal::UnknownKey | TokenRefusal::NoKeys) if ask => {
                self.ask().await;
                self.known(algorithm, kid)
            }
            found => found,
        }
    }

    fn known(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<Arc<Key>, TokenRefusal> {
        let fetched = self.fetched().filter(|fetched| fetched.at.elapsed() <= KEEP);
        let keys = fetched.ok_or(TokenRefusal::NoKeys)?.keys;
        let mut fit = keys.iter().filter(|key| {
            key.algorithm == algorithm && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        match (fit.next(), fit.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            (Some(_), Some(_)) => Err(TokenRefusal::WhichKey),
            (None, _) => Err(TokenRefusal::UnknownKey),
        }
    }

    fn fetched(&self) -> Option<Fetched> {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches them for a token, unless that was just done.
    async fn ask(&self) {
        let Ok(mut asked) = timeout(TURN, self.asked.lock()).await else { return };
        if asked.is_some_and(|asked| asked.elapsed() < ASKED_EVERY) {
            self.metrics.oidc_keys("limited");
            return;
        }
        *asked = Some(Instant::now());
        self.refresh().await;
    }

    /// Fetches them for ever.
    pub(super) async fn follow(&self) {
        loop {
            let wait = if self.refresh().await { EVERY } else { RETRY };
            sleep(wait).await;
        }
    }

    /// Fetches them, and keeps those that are there when that fails.
    async fn refresh(&self) -> bool {
        let keys = match self.fetch().await {
            Ok(keys) => keys,
            Err(why) => {
                self.metrics.oidc_keys("failed");
                let issuer = &self.issuer;
                match self.fetched().map(|fetched| fetched.at.elapsed()) {
                    Some(age) => tracing::warn!(
                        issuer,
                        why,
                        age_s = age.as_secs(),
                        "cannot fetch the issuer's keys: those from before go on counting, for {} h at most",
                        KEEP.as_secs() / 3600
                    ),
                    None => tracing::warn!(
                        issuer,
                        why,
                        "cannot fetch the issuer's keys: no token of it lets anybody in"
                    ),
                }
                return false;
            }
        };
        let keys: Arc<Vec<_>> = Arc::new(keys.into_iter().map(Arc::new).collect());
        self.metrics.oidc_keys_fetched(SystemClock.now().seconds());
        if self.fetched().is_none_or(|before| before.keys != keys) {
            tracing::info!(issuer = self.issuer, keys = keys.len(), "the issuer has these keys");
        }
        let fetched = Some(Fetched { keys, at: Instant::now() });
        *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = fetched;
        true
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let document = self.fetcher.get(&url).await.map_err(|why| why.to_string())?;
        jwks::read(&document).map_err(|why| format!("{url}: {why}"))
    }

    /// Where the issuer says that its keys are.
    async fn discover(&self) -> Result<Url, String> {
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let url = endpoint(&format!("{base}/.well-known/openid-configuration"))?;
        let document = self.fetcher.get(&url).await.map_err(|why| why.to_string())?;
        let found: Discovery = serde_json::from_slice(&document)
            .map_err(|why| format!("{url}: this is no discovery document: {why}"))?;
        if found.issuer != self.issuer {
            return Err(format!("{url}: it is of another issuer, {:?}", found.issuer));
        }
        endpoint(&found.jwks_uri).map_err(|why| format!("{url}: `jwks_uri`: {why}"))
    }
}
