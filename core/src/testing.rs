//! Shorthand for the tests of this crate.

use prost::Message;

use crate::{AgentId, OpaqueToken, Signer, TokenId, VerifiedUpdate, Verifier, sign_update, wire};

pub(crate) fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub(crate) fn agent(n: u8, status: wire::AgentStatus) -> wire::Agent {
    wire::Agent { id: vec![n; 16], status: status.into() }
}

pub(crate) fn opaque(n: u8) -> OpaqueToken {
    OpaqueToken::from_random([n; 32])
}

/// Token `n`, held by agent `holder`, expiring at second 1000.
pub(crate) fn token(n: u8, holder: u8) -> wire::Token {
    wire::Token {
        digest: opaque(n).digest().0.to_vec(),
        id: vec![n; 16],
        agent_id: vec![holder; 16],
        expires_unix_seconds: 1_000,
        revoked: false,
    }
}

pub(crate) fn token_id(n: u8) -> TokenId {
    TokenId::from_bytes([n; 16])
}

pub(crate) fn snapshot(
    epoch: u64,
    revision: u64,
    agents: Vec<wire::Agent>,
    tokens: Vec<wire::Token>,
) -> VerifiedUpdate {
    let snapshot = wire::Snapshot { nonce: vec![0; 32], agents, tokens };
    verified(epoch, revision, wire::update::Body::Snapshot(snapshot))
}

pub(crate) fn delta(
    epoch: u64,
    revision: u64,
    changes: Vec<wire::change::Change>,
) -> VerifiedUpdate {
    let changes = changes.into_iter().map(|change| wire::Change { change: Some(change) }).collect();
    verified(epoch, revision, wire::update::Body::Delta(wire::Delta { changes }))
}

pub(crate) fn verified(epoch: u64, revision: u64, body: wire::update::Body) -> VerifiedUpdate {
    let signer = Signer::from_seed([1; 32]);
    let update = wire::Update { epoch, revision, unix_millis: 0, body: Some(body) };
    Verifier::new([signer.public_key()])
        .verify(&sign_update(&signer, &update).encode_to_vec())
        .unwrap()
}
