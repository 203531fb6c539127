//! Signed updates: how authority travels, and the one way to believe it.

use std::fmt;

use prost::Message;
use thiserror::Error;

use crate::change::Change;
use crate::key_ring::KeyRing;
use crate::keys::{PublicKey, Signer};
use crate::manifest::Manifest;
use crate::time::UnixMillis;
use crate::token::TokenDigest;
use crate::wire;

/// Signed in front of every payload, so that a signature made for this purpose
/// means nothing anywhere else.
const DOMAIN: &[u8] = b"kya-update-v1\0";
/// Most changes of one delta.
pub const MAX_CHANGES: usize = 4096;
/// Most keys whose signatures count at once.
pub const MAX_KEYS: usize = 8;

/// 32 random bytes by which a proxy recognises the answer to its own question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 32]);

/// Place in the total order of changes within one epoch. Gapless, from 1; 0 is
/// the empty store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// A revision and the epoch that it belongs to. Positions of a later epoch come
/// after all of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Which history the revision belongs to; a later history has a higher one.
    pub epoch: u64,
    /// Place within the epoch.
    pub revision: Revision,
}

/// An update whose signature fits a trusted key and whose shape is right. There
/// is no other way to make one than [`Verifier::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedUpdate {
    position: Position,
    issued: UnixMillis,
    body: Body,
}

/// What a verified update says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// All authority as of the position, in answer to `nonce`.
    Manifest {
        /// The nonce of the question that it answers.
        nonce: Nonce,
        /// The hashes of its chunks.
        manifest: Manifest,
    },
    /// What changed between the revision before the position and the position,
    /// in the order in which it applies.
    Delta(Vec<Change>),
    /// The control plane is there, and has sent everything up to the position.
    Heartbeat {
        /// The nonce of the question that it answers, if it answers one.
        nonce: Option<Nonce>,
    },
    /// Every worker is to show that it is alive.
    Challenge(Nonce),
    /// Which keys count from now on.
    Keys {
        /// Grows with every such update.
        serial: u64,
        /// 1 to [`MAX_KEYS`] keys.
        keys: Vec<PublicKey>,
    },
    /// Whether a token was issued, as of the position. It grants nothing: the
    /// state from that position on does.
    Introspection {
        /// The nonce of the question that it answers.
        nonce: Nonce,
        /// The token.
        digest: TokenDigest,
        /// Whether every state from the position on holds it.
        known: bool,
    },
    /// How much of what one worker has reported is in the trail.
    AuditReceipt {
        /// Its proxy.
        node: String,
        /// The worker's VM.
        instance: u64,
        /// Everything below this number is there; this one is expected.
        next: u64,
    },
}

/// Why a received update was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// It is not an encoded `SignedUpdate`.
    #[error("not a SignedUpdate")]
    NotAnEnvelope,
    /// It names a key that is not trusted.
    #[error("signed by a key that is not pinned")]
    UnknownKey,
    /// The signature does not fit the payload.
    #[error("the signature does not fit")]
    BadSignature,
    /// It is signed, but not an update of this version: a record in it is
    /// malformed, or of a kind that this version does not know.
    #[error("signed, but not an update that this version understands")]
    BadPayload {
        /// Where it leads to, if that much of it can be read.
        position: Option<Position>,
    },
}

impl UpdateError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::BadPayload { .. } => "bad_payload",
        }
    }
}

/// The trusted keys, and what is checked against them.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: KeyRing,
}

impl Verifier {
    /// A verifier that trusts exactly these keys, until a signed update names
    /// others.
    pub fn new(pinned: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: KeyRing::pinned(pinned) }
    }

    /// Reads an encoded `SignedUpdate` and believes it, or says why not.
    pub fn verify(&self, encoded: &[u8]) -> Result<VerifiedUpdate, UpdateError> {
        let signed = wire::SignedUpdate::decode(encoded).map_err(|_| UpdateError::NotAnEnvelope)?;
        self.verify_signed(&signed)
    }

    /// Believes a `SignedUpdate`, or says why not. Nothing of the payload is
    /// looked at before its signature fits.
    pub fn verify_signed(
        &self,
        signed: &wire::SignedUpdate,
    ) -> Result<VerifiedUpdate, UpdateError> {
        let key = self.keys.find(&signed.key_id).ok_or(UpdateError::UnknownKey)?;
        if !key.verifies(&signed_bytes(&signed.payload), &signed.signature) {
            return Err(UpdateError::BadSignature);
        }
        let update = wire::Update::decode(signed.payload.as_slice())
            .map_err(|_| UpdateError::BadPayload { position: None })?;
        let position = Position { epoch: update.epoch, revision: Revision(update.revision) };
        VerifiedUpdate::from_payload(update)
            .ok_or(UpdateError::BadPayload { position: Some(position) })
    }

    /// Trusts the keys that a verified update names, in the place of those that
    /// were trusted before. Says whether that is news: an update with the same
    /// or a lower serial changes nothing, nor does one of another kind.
    pub fn learn(&mut self, update: &VerifiedUpdate) -> bool {
        match &update.body {
            Body::Keys { serial, keys } => self.keys.replace(*serial, keys),
            _ => false,
        }
    }

    /// Serial of the keys that are trusted now; 0 while they are the pinned ones.
    pub fn key_serial(&self) -> u64 {
        self.keys.serial()
    }
}

impl VerifiedUpdate {
    fn from_payload(update: wire::Update) -> Option<Self> {
        let body = Body::from_wire(update.body?)?;
        let position = Position { epoch: update.epoch, revision: Revision(update.revision) };
        Some(Self { position, issued: UnixMillis(update.unix_millis), body })
    }

    /// Where in the order of changes this update leads to, or was signed at.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When the control plane committed it (a delta) or signed it (all others).
    pub fn issued(&self) -> UnixMillis {
        self.issued
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

impl Body {
    fn from_wire(body: wire::update::Body) -> Option<Self> {
        use wire::update::Body as Wire;
        Some(match body {
            Wire::Manifest(manifest) => {
                let nonce = nonce(&manifest.nonce)?;
                Self::Manifest { nonce, manifest: Manifest::from_wire(manifest)? }
            }
            Wire::Delta(delta) => Self::Delta(changes(&delta.changes)?),
            Wire::Heartbeat(heartbeat) => match heartbeat.nonce.as_slice() {
                [] => Self::Heartbeat { nonce: None },
                bytes => Self::Heartbeat { nonce: Some(nonce(bytes)?) },
            },
            Wire::Challenge(challenge) => Self::Challenge(nonce(&challenge.nonce)?),
            Wire::Keys(ring) => {
                if ring.keys.is_empty() || ring.keys.len() > MAX_KEYS {
                    return None;
                }
                let key =
                    |bytes: &Vec<u8>| PublicKey::from_bytes(bytes.as_slice().try_into().ok()?).ok();
                let keys = ring.keys.iter().map(key).collect::<Option<_>>()?;
                Self::Keys { serial: ring.serial, keys }
            }
            Wire::Introspection(answer) => Self::Introspection {
                nonce: nonce(&answer.nonce)?,
                digest: TokenDigest::from_slice(&answer.digest)?,
                known: answer.known,
            },
            Wire::AuditReceipt(receipt) => Self::AuditReceipt {
                node: receipt.node_id,
                instance: receipt.instance,
                next: receipt.next,
            },
        })
    }
}

fn nonce(bytes: &[u8]) -> Option<Nonce> {
    bytes.try_into().ok().map(Nonce)
}

fn changes(records: &[wire::Change]) -> Option<Vec<Change>> {
    if records.len() > MAX_CHANGES { None } else { Change::all_from_wire(records) }
}

/// Encodes and signs an update. The payload is signed byte for byte as it will
/// travel, so no canonical form is needed.
pub fn sign_update(signer: &Signer, update: &wire::Update) -> wire::SignedUpdate {
    let payload = update.encode_to_vec();
    wire::SignedUpdate {
        key_id: signer.public_key().id().0.to_vec(),
        signature: signer.sign(&signed_bytes(&payload)).to_vec(),
        payload,
    }
}

fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DOMAIN.len().saturating_add(payload.len()));
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(payload);
    bytes
}

impl Revision {
    /// The revision after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Position {
    /// The position of the next change in the same epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, revision: self.revision.next() }
    }
}

impl From<Position> for wire::Position {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch, revision: position.revision.0 }
    }
}

impl From<wire::Position> for Position {
    fn from(position: wire::Position) -> Self {
        Self { epoch: position.epoch, revision: Revision(position.revision) }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
