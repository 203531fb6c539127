//! Shorthand for the tests of this crate.

use prost::Message;

use crate::standing::Standing;
use crate::wire::{self, change::Change};
use crate::{AgentId, OpaqueToken, Signer, VerifiedUpdate, Verifier, sign_update};

pub(crate) fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub(crate) fn agent(n: u8, status: wire::Status) -> wire::Agent {
    let standing = wire::Standing { status: status.into(), ..Standing::ACTIVE.into() };
    wire::Agent { id: vec![n; 16], standing: Some(standing), ..Default::default() }
}

/// The one grant of agent `n`, which has its number.
pub(crate) fn grant(n: u8) -> wire::Grant {
    wire::Grant { index: n.into(), agent_id: vec![n; 16], ..Default::default() }
}

pub(crate) fn opaque(n: u8) -> OpaqueToken {
    OpaqueToken::from_random([n; 32])
}

/// Token `n`, held by agent `holder`, issued at second 100, expiring at second
/// 1000.
pub(crate) fn token(n: u8, holder: u8) -> wire::Token {
    wire::Token {
        digest: opaque(n).digest().0.to_vec(),
        grant: holder.into(),
        issued_unix_seconds: 100,
        expires_unix_seconds: 1_000,
        revoked: false,
    }
}

pub(crate) fn changes(changes: impl IntoIterator<Item = Change>) -> Vec<wire::Change> {
    changes.into_iter().map(|change| wire::Change { change: Some(change) }).collect()
}

pub(crate) fn checked(records: impl IntoIterator<Item = Change>) -> Vec<crate::change::Change> {
    crate::change::Change::all_from_wire(&changes(records)).unwrap()
}

pub(crate) fn delta(
    epoch: u64,
    revision: u64,
    records: impl IntoIterator<Item = Change>,
) -> VerifiedUpdate {
    let delta = wire::Delta { changes: changes(records) };
    verified(epoch, revision, wire::update::Body::Delta(delta))
}

pub(crate) fn verified(epoch: u64, revision: u64, body: wire::update::Body) -> VerifiedUpdate {
    let signer = Signer::from_seed([1; 32]);
    let update = wire::Update { epoch, revision, unix_millis: 0, body: Some(body) };
    Verifier::new([signer.public_key()])
        .verify(&sign_update(&signer, &update).encode_to_vec())
        .unwrap()
}
