//! The keys that sign updates, as the HTTP API takes and gives them.

use kya_core::PublicKey;
use serde::{Deserialize, Serialize};

use super::Why;

/// `POST /v1/keys/activate` and `/v1/keys/retire`.
#[derive(Debug, Serialize)]
pub(crate) struct NextKeyStep<'a> {
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
    pub(crate) force: bool,
}

/// `POST /v1/keys/compact`.
#[derive(Debug, Serialize)]
pub(crate) struct CompactKeys<'a> {
    pub(crate) pinned: PublicKey,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
}

/// The keys that sign updates.
#[derive(Debug, Deserialize)]
pub(crate) struct Keys {
    /// `steady`, `announced` or `activated`.
    pub(crate) phase: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) chain: KeyChain,
    pub(crate) steps: Vec<KeyStep>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) public_key: PublicKey,
    /// `active`, `next` or `previous`.
    pub(crate) role: String,
}

/// Updates that lead from the oldest key to the active one.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyChain {
    pub(crate) length: u64,
    pub(crate) most: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyStep {
    pub(crate) action: String,
    pub(crate) key_id: String,
    pub(crate) revision: u64,
    pub(crate) committed_at: String,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeysChange {
    #[serde(flatten)]
    pub(crate) keys: Keys,
    /// False when the step was taken before.
    pub(crate) changed: bool,
    pub(crate) revision: u64,
}
