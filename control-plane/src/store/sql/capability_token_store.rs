//! [`CapabilityTokenStore`] on whatever [`Store`](crate::store::Store) is on.

use async_trait::async_trait;
use kya_core::{AgentId, CapabilityId, Fingerprint, TokenDigest, TokenId};

use super::backend::{read, write};
use super::write::Write;
use super::{Backend, capability_tokens, issuer, tokens};
use crate::store::{
    CapabilityToken, CapabilityTokenStore, Cause, Issuer, IssuerChange, NewCapabilityToken,
    Outcome, StoreError, Token, TokenBatch, TokenSelection, UsedAssertion,
};

#[async_trait]
impl<B: Backend> CapabilityTokenStore for B {
    async fn token_by_digest(&self, digest: TokenDigest) -> Result<Option<Token>, StoreError> {
        read!(self, |db| tokens::by_digest(db, digest))
    }

    async fn token_names(
        &self,
        fingerprints: Vec<Fingerprint>,
    ) -> Result<Vec<(Fingerprint, TokenId)>, StoreError> {
        read!(self, |db| tokens::names::<B::Engine>(db, &fingerprints))
    }

    async fn issuer(&self) -> Result<Issuer, StoreError> {
        read!(self, publisher, |db| issuer::read(db))
    }

    async fn change_issuer(
        &self,
        change: IssuerChange,
        cause: Cause,
    ) -> Result<Outcome<Issuer>, StoreError> {
        write!(self, |write| issuer::change(write, change, cause))
    }

    async fn issue_capability_token(
        &self,
        new: NewCapabilityToken,
        cause: Cause,
    ) -> Result<(CapabilityToken, Vec<AgentId>), StoreError> {
        write!(self, |write| capability_tokens::issue(write, new, cause))
    }

    async fn use_assertion(&self, assertion: UsedAssertion) -> Result<(), StoreError> {
        write!(self, |write| capability_tokens::use_assertion(write, assertion))
    }

    async fn capability_token(&self, id: CapabilityId) -> Result<CapabilityToken, StoreError> {
        read!(self, |db| capability_tokens::by_id(db, id))
    }

    async fn capability_tokens(
        &self,
        holder: Option<AgentId>,
        after: Option<CapabilityId>,
        limit: u32,
    ) -> Result<Vec<CapabilityToken>, StoreError> {
        read!(self, |db| capability_tokens::list(db, holder, after, limit))
    }

    async fn revoke_capability_token(
        &self,
        id: CapabilityId,
        cause: Cause,
    ) -> Result<Outcome<CapabilityToken>, StoreError> {
        write!(self, |write| capability_tokens::revoke(write, id, cause))
    }

    async fn revoke_capability_tokens(
        &self,
        selection: TokenSelection,
        after: Option<CapabilityId>,
        cause: Cause,
    ) -> Result<TokenBatch<CapabilityId>, StoreError> {
        write!(self, |write| capability_tokens::revoke_all(write, selection, after, cause))
    }
}
