//! Signed updates: how authority travels, and the one way to believe it.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use thiserror::Error;

use crate::authority::{AgentStatus, TokenGrant};
use crate::ids::{AgentId, TokenId};
use crate::keys::{KeyId, PublicKey, Signer};
use crate::time::{UnixMillis, UnixSeconds};
use crate::token::TokenDigest;
use crate::wire;

/// Signed in front of every payload, so that a signature made for this purpose
/// means nothing anywhere else.
const DOMAIN: &[u8] = b"kya-update-v1\0";

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

/// An update whose signature fits a pinned key and whose shape is right. There
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
    Snapshot {
        /// The nonce of the question that it answers.
        nonce: Nonce,
        /// Every agent.
        agents: Vec<(AgentId, AgentStatus)>,
        /// Every token that has not expired.
        tokens: Vec<(TokenDigest, TokenGrant)>,
    },
    /// What changed between the revision before the position and the position.
    Delta {
        /// In the order in which they apply.
        changes: Vec<Change>,
    },
}

/// One change of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The standing of an agent.
    Agent(AgentId, AgentStatus),
    /// What is known of a token.
    Token(TokenDigest, TokenGrant),
}

/// Why a received update was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// It is not an encoded `SignedUpdate`.
    #[error("not a SignedUpdate")]
    NotAnEnvelope,
    /// It names a key that is not pinned.
    #[error("signed by a key that is not pinned")]
    UnknownKey,
    /// The signature does not fit the payload.
    #[error("the signature does not fit")]
    BadSignature,
    /// It is signed, but not an update of this version: a record in it is
    /// malformed, or of a kind that this version does not know.
    #[error("signed, but not an update that this version understands")]
    BadPayload,
}

impl UpdateError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::BadPayload => "bad_payload",
        }
    }
}

/// The pinned keys, and what is checked against them.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: BTreeMap<KeyId, PublicKey>,
}

impl Verifier {
    /// A verifier that trusts exactly these keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.id(), key)).collect() }
    }

    /// Reads an encoded `SignedUpdate` and believes it, or says why not. Nothing
    /// of the payload is looked at before its signature fits.
    pub fn verify(&self, encoded: &[u8]) -> Result<VerifiedUpdate, UpdateError> {
        let signed = wire::SignedUpdate::decode(encoded).map_err(|_| UpdateError::NotAnEnvelope)?;
        let key = <[u8; 8]>::try_from(signed.key_id.as_slice())
            .ok()
            .and_then(|id| self.keys.get(&KeyId(id)))
            .ok_or(UpdateError::UnknownKey)?;
        if !key.verifies(&signed_bytes(&signed.payload), &signed.signature) {
            return Err(UpdateError::BadSignature);
        }
        let update =
            wire::Update::decode(signed.payload.as_slice()).map_err(|_| UpdateError::BadPayload)?;
        VerifiedUpdate::from_payload(update).ok_or(UpdateError::BadPayload)
    }
}

impl VerifiedUpdate {
    fn from_payload(update: wire::Update) -> Option<Self> {
        let body = match update.body? {
            wire::update::Body::Snapshot(snapshot) => Body::Snapshot {
                nonce: Nonce(snapshot.nonce.try_into().ok()?),
                agents: snapshot.agents.iter().map(agent).collect::<Option<_>>()?,
                tokens: snapshot.tokens.iter().map(token).collect::<Option<_>>()?,
            },
            wire::update::Body::Delta(delta) => {
                Body::Delta { changes: delta.changes.iter().map(change).collect::<Option<_>>()? }
            }
        };
        let position = Position { epoch: update.epoch, revision: Revision(update.revision) };
        Some(Self { position, issued: UnixMillis(update.unix_millis), body })
    }

    /// Where in the order of changes this update leads to.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When the control plane committed it (a delta) or took it (a snapshot).
    pub fn issued(&self) -> UnixMillis {
        self.issued
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

fn change(record: &wire::Change) -> Option<Change> {
    // What is not understood may be a denial: refuse it, never skip it.
    match record.change.as_ref()? {
        wire::change::Change::Agent(record) => {
            agent(record).map(|(id, status)| Change::Agent(id, status))
        }
        wire::change::Change::Token(record) => {
            token(record).map(|(digest, grant)| Change::Token(digest, grant))
        }
    }
}

fn agent(record: &wire::Agent) -> Option<(AgentId, AgentStatus)> {
    let status = match record.status() {
        wire::AgentStatus::Active => AgentStatus::Active,
        wire::AgentStatus::Suspended => AgentStatus::Suspended,
        // A status that this version does not know is the strictest one.
        wire::AgentStatus::Revoked | wire::AgentStatus::Unspecified => AgentStatus::Revoked,
    };
    Some((AgentId::from_slice(&record.id).ok()?, status))
}

fn token(record: &wire::Token) -> Option<(TokenDigest, TokenGrant)> {
    let grant = TokenGrant {
        token_id: TokenId::from_slice(&record.id).ok()?,
        agent_id: AgentId::from_slice(&record.agent_id).ok()?,
        expires: UnixSeconds(record.expires_unix_seconds),
        revoked: record.revoked,
    };
    Some((TokenDigest::from_slice(&record.digest)?, grant))
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

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer() -> Signer {
        Signer::from_seed([1; 32])
    }

    fn verifier() -> Verifier {
        Verifier::new([signer().public_key()])
    }

    fn delta() -> wire::Update {
        wire::Update {
            epoch: 1,
            revision: 7,
            unix_millis: 1_000,
            body: Some(wire::update::Body::Delta(wire::Delta { changes: vec![] })),
        }
    }

    #[test]
    fn what_a_pinned_key_signed_is_believed() {
        let verified =
            verifier().verify(&sign_update(&signer(), &delta()).encode_to_vec()).unwrap();
        assert_eq!(verified.position(), Position { epoch: 1, revision: Revision(7) });
        assert_eq!(verified.issued(), UnixMillis(1_000));
    }

    #[test]
    fn another_key_is_not_believed_even_under_a_pinned_key_id() {
        let foreign = Signer::from_seed([2; 32]);
        let mut signed = sign_update(&foreign, &delta());
        assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::UnknownKey));
        signed.key_id = signer().public_key().id().0.to_vec();
        assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::BadSignature));
    }

    #[test]
    fn a_signature_without_the_domain_prefix_is_not_believed() {
        let mut signed = sign_update(&signer(), &delta());
        signed.signature = signer().sign(&signed.payload).to_vec();
        assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::BadSignature));
    }

    #[test]
    fn a_signed_update_of_an_unknown_shape_is_refused() {
        let mut without_body = delta();
        without_body.body = None;
        let short_nonce = wire::Update {
            body: Some(wire::update::Body::Snapshot(wire::Snapshot {
                nonce: vec![0; 31],
                ..Default::default()
            })),
            ..delta()
        };
        let with = |change| wire::Update {
            body: Some(wire::update::Body::Delta(wire::Delta {
                changes: vec![wire::Change { change }],
            })),
            ..delta()
        };
        let unknown_change = with(None);
        let short_digest = with(Some(wire::change::Change::Token(wire::Token {
            digest: vec![0; 31],
            ..crate::testing::token(8, 1)
        })));
        let long_id = with(Some(wire::change::Change::Agent(wire::Agent {
            id: vec![0; 17],
            ..Default::default()
        })));
        for update in [without_body, short_nonce, unknown_change, short_digest, long_id] {
            let signed = sign_update(&signer(), &update).encode_to_vec();
            assert_eq!(verifier().verify(&signed), Err(UpdateError::BadPayload));
        }
    }

    #[test]
    fn a_later_epoch_comes_after_every_revision_of_an_earlier_one() {
        let before = Position { epoch: 1, revision: Revision(u64::MAX) };
        let after = Position { epoch: 2, revision: Revision(0) };
        assert!(after > before);
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at: prop::sample::Index, flip in 1u8..=255) {
            let mut bytes = sign_update(&signer(), &delta()).encode_to_vec();
            let honest = verifier().verify(&bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            // A flipped bit in a protobuf tag may leave the meaning as it was;
            // what is believed must then still be what was signed.
            if let Ok(believed) = verifier().verify(&bytes) {
                prop_assert_eq!(believed, honest);
            }
        }

        #[test]
        fn no_bytes_make_the_verifier_panic(bytes: Vec<u8>) {
            prop_assert!(verifier().verify(&bytes).is_err());
        }
    }
}
