//! Requests that are done once however often they come, by keys of whoever makes them
//! (draft-ietf-httpapi-idempotency-key-header).

use async_trait::async_trait;

use super::StoreError;
use crate::operators::OperatorName;

/// How long a key is known, in seconds.
pub const KEYS_KEPT: u64 = 86_400;
/// Keys of one operator that are known at the same time.
pub const MAX_KEYS_OF_AN_OPERATOR: u32 = 10_000;

/// A request with a key. Neither is kept, only SHA-256 of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Whose key it is: nobody else's is the same.
    pub operator: OperatorName,
    /// Of the key.
    pub key: [u8; 32],
    /// Of all that tells this request from another one.
    pub request: [u8; 32],
}

/// What is known of a request when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing: whoever asks has begun it, and is to end it.
    Begun,
    /// It has begun and not ended; or it ended so that nobody knows what came of it.
    UnderWay,
    /// Another request has this key.
    OtherRequest,
    /// It was done before, and this came of it.
    Done(String),
    /// Nothing, and its operator has [`MAX_KEYS_OF_AN_OPERATOR`] keys already.
    TooMany,
}

/// Where keyed requests are kept, for [`KEYS_KEPT`] seconds from their begin.
#[async_trait]
pub trait IdempotencyStore {
    /// Begins a request, unless something is known of its key. Of many at once one begins.
    async fn begin_request(&self, request: KeyedRequest) -> Result<KeyState, StoreError>;

    /// Ends a request with what came of it, or forgets it if nothing did.
    async fn end_request(
        &self,
        request: KeyedRequest,
        outcome: Option<String>,
    ) -> Result<(), StoreError>;
}
