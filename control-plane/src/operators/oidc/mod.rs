//! Operators by tokens of OpenID Connect.
//!
//! A token counts when a key of the configured issuer has signed it, it is for this
//! audience and time, and one of its groups has a role (`token.rs`, by OpenID Connect Core
//! section 3.1.3.7 and RFC 8725). The keys (`jwks.rs`) are fetched from the issuer and kept
//! (`keys.rs`). Nothing else is kept: each request's token is verified anew.

mod error;
mod jwks;
mod keys;
mod token;

use std::sync::Arc;

pub use error::TokenRefusal;
pub use jwks::Algorithm;

use super::{OperatorName, Role};
use crate::config::OidcConfig;
use crate::fetch::{FetchError, Fetcher};
use crate::telemetry::Metrics;
use crate::time::UnixMicros;
use keys::IssuerKeys;
use token::Token;

/// Who an issuer's tokens say that somebody is.
#[derive(Debug)]
pub struct Oidc {
    config: OidcConfig,
    keys: IssuerKeys,
}

impl Oidc {
    pub(crate) fn new(config: OidcConfig, metrics: Arc<Metrics>) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(config.ca.as_deref())?;
        let keys = IssuerKeys::new(&config, fetcher, metrics);
        Ok(Self { config, keys })
    }

    /// Keeps the keys of the issuer as new as they are. Never returns.
    pub(crate) async fn follow_issuer(&self) {
        self.keys.follow().await;
    }

    /// Takes a token apart, of which nothing is verified.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub(super) fn read<'a>(&self, presented: &'a [u8]) -> Result<Token<'a>, TokenRefusal> {
        Token::read(presented, &self.config.algorithms)
    }

    /// The operator whom a token names, and its role. With `ask`, the issuer may be asked
    /// for a key that is not known.
    ///
    /// # Errors
    /// Why the token does not count.
    pub(super) async fn operator(
        &self,
        token: &Token<'_>,
        now: UnixMicros,
        ask: bool,
    ) -> Result<(OperatorName, Role), TokenRefusal> {
        let key = self.keys.find(token.algorithm, token.kid.as_deref(), ask).await?;
        if !key.verify(token.signed, &token.signature) {
            return Err(TokenRefusal::Signature);
        }
        token.claims()?.operator(&self.config, now)
    }
}
