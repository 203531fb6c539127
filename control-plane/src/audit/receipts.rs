//! Receipts of kills are signed by the key that signs checkpoints.

use std::sync::PoisonError;

use kya_core::audit::{Receipt, SignedReceipt, Unsigned};
use thiserror::Error;

use super::Trail;
use crate::store::StoreError;

/// Why a receipt was not signed.
#[derive(Debug, Error)]
pub enum NoReceipt {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This server does not have the key that signs now.
    #[error(
        "the key that signs the audit trail is not on this server: ask another one, or copy `audit-*.key` to it"
    )]
    NotHere,
    /// It says what cannot be signed.
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
}

impl Trail {
    /// Signs what `receipt` says of a trail of this name.
    ///
    /// # Errors
    /// When this server does not have the key, or the store cannot be used.
    pub(crate) async fn sign_receipt(
        &self,
        receipt: impl FnOnce(String) -> Receipt,
    ) -> Result<SignedReceipt, NoReceipt> {
        // Another server may have replaced the key a moment ago.
        self.find_key().await?;
        let signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signing = signing.ok_or(NoReceipt::NotHere)?;
        Ok(receipt(signing.key.name().to_owned()).sign(&signing.signer)?)
    }
}
