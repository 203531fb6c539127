//! Calls about tokens, and the keys that sign those that are signed.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Client, Query};
use crate::api::{
    IssuedToken, Issuer, IssuerChange, NewToken, Nothing, RevokeTokens, Tokens, WhichTokenKey,
};
use crate::error::Error;

/// Of which kind a token is: where it is in the API.
pub(super) fn collection(capability: bool) -> &'static str {
    if capability { "capability-tokens" } else { "tokens" }
}

impl Client {
    pub(crate) async fn issue(
        &self,
        capability: bool,
        token: &NewToken,
    ) -> Result<Answer<IssuedToken>, Error> {
        self.post(&[collection(capability)], token).await
    }

    pub(crate) async fn tokens(
        &self,
        capability: bool,
        query: &Query<'_>,
    ) -> Result<Answer<Tokens>, Error> {
        self.get(&[collection(capability)], query).await
    }

    /// `T` is another thing for a dry run.
    pub(crate) async fn revoke_tokens<T: DeserializeOwned>(
        &self,
        revoke: &RevokeTokens<'_>,
    ) -> Result<Answer<T>, Error> {
        self.post(&["tokens", "revoke"], revoke).await
    }

    pub(crate) async fn token_keys(&self) -> Result<Answer<Issuer>, Error> {
        self.get(&["token-keys"], &[]).await
    }

    pub(crate) async fn announce_token_key(&self) -> Result<Answer<IssuerChange>, Error> {
        self.token_key_step("announce", &Nothing {}).await
    }

    pub(crate) async fn activate_token_key(
        &self,
        which: &WhichTokenKey<'_>,
    ) -> Result<Answer<IssuerChange>, Error> {
        self.token_key_step("activate", which).await
    }

    pub(crate) async fn retire_token_key(
        &self,
        which: &WhichTokenKey<'_>,
    ) -> Result<Answer<IssuerChange>, Error> {
        self.token_key_step("retire", which).await
    }

    async fn token_key_step(
        &self,
        step: &str,
        body: &impl Serialize,
    ) -> Result<Answer<IssuerChange>, Error> {
        self.post(&["token-keys", step], body).await
    }
}
