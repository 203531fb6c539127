//! A proxy in memory, for native tests, and what the tests are about: keys,
//! agents, tokens and signed updates.

mod host;
mod host_tests;
mod proxy;
mod requests;
mod vm;

use kya_core::{AgentId, OpaqueToken, Revision, Signer, TokenId, sign_update, wire};
use prost::Message;

use crate::config::Config;
pub(crate) use host::MemoryHost;
pub(crate) use proxy::{HttpCall, Proxy};
pub(crate) use requests::{Exchange, Standing};
pub(crate) use vm::TestVm;

pub(crate) fn config() -> Config {
    let json = serde_json::json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": [signer().public_key()],
        "node_credential": "nc_test",
    });
    Config::parse(json.to_string().as_bytes(), |_| None).expect("a valid configuration")
}

pub(crate) fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

pub(crate) fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub(crate) fn token(n: u8) -> OpaqueToken {
    OpaqueToken::from_random([n; 32])
}

pub(crate) fn agent(n: u8, status: wire::AgentStatus) -> wire::Agent {
    wire::Agent { id: agent_id(n).to_bytes().into(), status: status.into() }
}

/// Tokens 1 and 2, held by agents 1 and 2.
pub(crate) fn tokens() -> Vec<wire::Token> {
    let token = |n| wire::Token {
        digest: token(n).digest().0.into(),
        id: TokenId::from_bytes([n; 16]).to_bytes().into(),
        agent_id: agent_id(n).to_bytes().into(),
        expires_unix_seconds: 1_000_000,
        revoked: false,
    };
    [1, 2].map(token).into()
}

/// A signed snapshot in which agents 1 and 2 are active and hold tokens 1 and 2.
pub(crate) fn snapshot(revision: u64, nonce: &[u8]) -> Vec<u8> {
    let snapshot = wire::Snapshot {
        nonce: nonce.into(),
        agents: [1, 2].map(|n| agent(n, wire::AgentStatus::Active)).into(),
        tokens: tokens(),
    };
    signed(&signer(), 1, revision, wire::update::Body::Snapshot(snapshot))
}

/// A signed delta that sets the status of an agent.
pub(crate) fn delta(revision: u64, subject: u8, status: wire::AgentStatus) -> Vec<u8> {
    let change = wire::change::Change::Agent(agent(subject, status));
    let delta = wire::Delta { changes: vec![wire::Change { change: Some(change) }] };
    signed(&signer(), 1, revision, wire::update::Body::Delta(delta))
}

pub(crate) fn signed(
    signer: &Signer,
    epoch: u64,
    revision: u64,
    body: wire::update::Body,
) -> Vec<u8> {
    let update = wire::Update { epoch, revision, unix_millis: 0, body: Some(body) };
    sign_update(signer, &update).encode_to_vec()
}

pub(crate) fn revision(position: Option<kya_core::Position>) -> Option<u64> {
    position.map(|position| position.revision).map(|Revision(revision)| revision)
}
