//! Receipts of kills: who has acknowledged one, signed.
//!
//! A receipt is a JSON object of two members. `receipt` is the document: canonical JSON of
//! [`Receipt`], of any spelling when it is read. `note` is a signed note (C2SP signed-note)
//! by the key that signs the checkpoints of the trail, over five lines:
//!
//! ```text
//! kya kill receipt 1
//! kil_01KGQH0RN0EK57VYVZFXYZF3V1
//! complete true
//! time 2026-02-05T14:47:03.000250Z
//! sha256 <64 hexadecimal digits: SHA-256 of the canonical JSON (RFC 8785) of the document>
//! ```
//!
//! No checkpoint begins with the first line, as no key has a name with spaces in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{BadNote, Canonical, Note, Timestamp, VerifierKey, hex};
use crate::keys::Signer;

/// First line of what is signed.
const KIND: &str = "kya kill receipt 1";
/// Longest receipt that is read, in bytes: 20 000 workers have room in it.
pub const MAX_RECEIPT_BYTES: usize = 16 * 1024 * 1024;

/// What became of a kill, as its control plane has it in the trail at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "KillReceipt"))]
pub struct Receipt {
    /// The name of the trail that it is about, under which its key signs.
    pub origin: String,
    /// Which kill.
    pub kill_id: String,
    /// What was done, for example `agent.revoked`.
    pub act: String,
    /// To whom or what, as its event has it.
    pub subject: String,
    /// Who did it, by name, and in which role.
    pub actor: String,
    /// `admin`, `operator` and so on; absent where no operator did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Why, as whoever did it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<String>,
    /// When it was committed, by the control plane's clock.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub committed_at: Timestamp,
    /// The state from which on it counts.
    pub epoch: u64,
    /// Within that epoch.
    pub revision: u64,
    /// When this was found and signed, by the same clock.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub issued_at: Timestamp,
    /// Whether every worker that was there has acknowledged it, at least one was, nothing is
    /// in flight any more, and the trail says so.
    pub complete: bool,
    /// Workers that were there, and those of them that have acknowledged it.
    pub workers_there: u64,
    /// See there.
    pub acknowledged: u64,
    /// From the commit to the last acknowledgement so far, in microseconds, by the control
    /// plane's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_acknowledged_after_us: Option<u64>,
    /// Every proxy that was there, by its name.
    pub proxies: Vec<ReceiptProxy>,
    /// Proxies that may connect and were not there: nothing is known of what they decide by.
    pub not_connected: Vec<String>,
    /// There are more of these than are listed.
    pub more_not_connected: bool,
    /// Requests that were in flight, by what became of them.
    pub in_flight: ReceiptFlights,
    /// Numbers of its rows in the trail.
    pub records: Vec<u64>,
}

/// A proxy, by its `node.id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "KillReceiptProxy"))]
pub struct ReceiptProxy {
    /// Envoy's `node.id`.
    pub proxy: String,
    /// Whether all of its workers have acknowledged it.
    pub acknowledged: bool,
    /// Each of them.
    pub workers: Vec<ReceiptWorker>,
}

/// A worker of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "KillReceiptWorker"))]
pub struct ReceiptWorker {
    /// Its slot within the proxy.
    pub worker: u32,
    /// Random identity of the VM, in 16 hexadecimal digits.
    pub instance: String,
    /// `waiting`, `applied` (requests go on), `done`, `closed` (it ended before) or `lost`.
    pub state: String,
    /// From the commit until the trail had its acknowledgement, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_after_us: Option<u64>,
    /// Number of the record that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

/// How many requests were in flight, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "KillReceiptFlights"))]
pub struct ReceiptFlights {
    /// All of them.
    pub requests: u64,
    /// The upstream answered in full.
    pub committed: u64,
    /// They never reached the upstream, or it undid them.
    pub rolled_back: u64,
    /// Nobody knows what they did: a person must look.
    pub escalated: u64,
    /// They go on, or nobody has said how they ended.
    pub open: u64,
}

/// A receipt and what was signed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "SignedKillReceipt"))]
pub struct SignedReceipt {
    /// The document.
    pub receipt: Receipt,
    /// The signed note over its SHA-256.
    pub note: String,
}

/// Why a receipt cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unsigned {
    /// Something in it has no canonical form.
    #[error("the receipt has no canonical JSON: {0}")]
    Unwritable(String),
    /// It cannot be a signed note.
    #[error(transparent)]
    Note(#[from] BadNote),
}

/// Why a receipt does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadReceipt {
    /// It is larger than any.
    #[error("more than {MAX_RECEIPT_BYTES} bytes")]
    TooLong,
    /// It is not one.
    #[error("not a receipt of a kill: a JSON object with `receipt` and `note`: {0}")]
    Form(String),
    /// What was signed is no receipt.
    #[error("its note is not that of a receipt of a kill")]
    Note,
    /// Its signature is of another key, or of nobody.
    #[error("no signature by the key {0}")]
    Key(Box<VerifierKey>),
    /// The document is not what was signed: it was edited, or belongs to another note.
    #[error("the document was changed after it was signed")]
    Changed,
}

impl Receipt {
    /// Signs it by the key of the trail.
    ///
    /// # Errors
    /// When it says something that is not signed, such as a name with a line break.
    pub fn sign(self, signer: &Signer) -> Result<SignedReceipt, Unsigned> {
        let canonical = Canonical::text_of(&self);
        let canonical = canonical.map_err(|error| Unsigned::Unwritable(error.to_string()))?;
        let text = self.statement(&digest(&canonical));
        let note = Note::sign(&text, &self.origin, signer)?;
        Ok(SignedReceipt { receipt: self, note })
    }

    fn statement(&self, sha256: &str) -> String {
        let Self { kill_id, complete, issued_at, .. } = self;
        format!("{KIND}\n{kill_id}\ncomplete {complete}\ntime {issued_at}\nsha256 {sha256}\n")
    }
}

impl SignedReceipt {
    /// Reads a receipt that somebody shows, and believes it if this key signed it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(shown: &[u8], key: &VerifierKey) -> Result<Receipt, BadReceipt> {
        if shown.len() > MAX_RECEIPT_BYTES {
            return Err(BadReceipt::TooLong);
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Shown {
            // What was signed is all of it, members that this version does not know
            // included.
            receipt: Value,
            note: String,
        }
        // Of a member that stands there twice other readers may take the other one.
        #[derive(Deserialize)]
        struct Once {
            #[serde(rename = "receipt")]
            _receipt: Receipt,
        }
        let form = |error: serde_json::Error| BadReceipt::Form(error.to_string());
        serde_json::from_slice::<Once>(shown).map_err(form)?;
        let Shown { receipt, note } = serde_json::from_slice(shown).map_err(form)?;
        let canonical = Canonical::text_of(&receipt);
        let canonical = canonical.map_err(|error| BadReceipt::Form(error.to_string()))?;
        let receipt: Receipt = serde_json::from_value(receipt).map_err(form)?;
        let note = Note::parse(&note).map_err(|_| BadReceipt::Note)?;
        if !note.text().starts_with(KIND) {
            return Err(BadReceipt::Note);
        }
        if !note.is_signed_by(key) {
            return Err(BadReceipt::Key(Box::new(key.clone())));
        }
        // It is about the trail of the key, and the lines say what the document says.
        let same =
            receipt.origin == key.name() && note.text() == receipt.statement(&digest(&canonical));
        same.then_some(receipt).ok_or(BadReceipt::Changed)
    }
}

fn digest(canonical: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(canonical).into();
    hex::encode(&digest)
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
