//! A proxy in memory, for native tests, a control plane to follow, and what the
//! tests are about: keys, agents and tokens.

mod control_plane;
mod host;
mod host_tests;
mod proxy;
mod requests;
mod vm;
mod world;

use std::sync::OnceLock;

use kya_core::wire::{self, change::Change as Wire};
use kya_core::{AgentId, NodeCredential, OpaqueToken, Revision, Signer, Standing as Decided};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
pub(crate) use control_plane::{ControlPlane, chunked, sealed};
pub(crate) use host::MemoryHost;
pub(crate) use proxy::{HttpCall, Proxy};
pub(crate) use requests::{Exchange, Standing};
pub(crate) use vm::TestVm;
pub(crate) use world::{Link, World};

pub(crate) fn config() -> Config {
    static USUAL: OnceLock<Config> = OnceLock::new();
    USUAL.get_or_init(|| configured(|_| {})).clone()
}

/// The usual configuration after a change.
pub(crate) fn configured(change: impl FnOnce(&mut serde_json::Value)) -> Config {
    let mut json = serde_json::json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": [signer().public_key()],
        "node_credential": NodeCredential::from_random([3; 32]).reveal(),
    });
    change(&mut json);
    Config::parse(json.to_string().as_bytes(), |_| None).expect("a valid configuration")
}

pub(crate) fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

pub(crate) fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub(crate) fn token(n: u8) -> OpaqueToken {
    // Writing one is slow where nothing is optimised.
    static WRITTEN: OnceLock<Vec<OpaqueToken>> = OnceLock::new();
    let write = |n| OpaqueToken::from_random([n; 32]);
    let written = WRITTEN.get_or_init(|| (0..16).map(write).collect());
    written.get(usize::from(n)).cloned().unwrap_or_else(|| write(n))
}

/// The headers of a request with this token.
pub(crate) fn bearer(token: &OpaqueToken) -> String {
    format!("Bearer {}", token.reveal())
}

/// Agent `n` with this status.
pub(crate) fn agent(n: u8, status: wire::Status) -> Wire {
    standing(n, wire::Standing { status: status.into(), ..Decided::ACTIVE.into() })
}

/// Agent `n` with this standing.
pub(crate) fn standing(n: u8, standing: wire::Standing) -> Wire {
    let id = agent_id(n).to_bytes().into();
    Wire::Agent(wire::Agent { id, standing: Some(standing), principal_id: vec![] })
}

/// The one grant of agent `n`, which has its number.
pub(crate) fn grant(n: u8) -> Wire {
    Wire::Grant(wire::Grant { index: n.into(), agent_id: agent_id(n).to_bytes().into() })
}

/// Token `n`, held by agent `n`.
pub(crate) fn held(n: u8) -> wire::Token {
    held_by(n, n)
}

/// Token `n`, held by agent `holder`.
pub(crate) fn held_by(n: u8, holder: u8) -> wire::Token {
    wire::Token {
        digest: token(n).digest().0.into(),
        grant: holder.into(),
        issued_unix_seconds: 100,
        expires_unix_seconds: 1_000_000,
        revoked: false,
    }
}

/// One of any number of tokens of agent 9.
pub(crate) fn filler(n: u32) -> wire::Token {
    let mut digest = Sha256::digest(n.to_le_bytes()).to_vec();
    digest[16..].fill(0);
    wire::Token {
        digest,
        grant: 9,
        issued_unix_seconds: 100,
        expires_unix_seconds: 1_000_000,
        revoked: false,
    }
}

pub(crate) fn revision(position: Option<kya_core::Position>) -> Option<u64> {
    position.map(|position| position.revision).map(|Revision(revision)| revision)
}
