//! A proxy in memory, for native tests. The control plane that it follows is that
//! of `kya_core::testing`.

mod host;
mod host_tests;
mod proxy;
mod requests;
mod vm;
mod world;

use std::sync::OnceLock;

pub(crate) use kya_core::testing::{
    ControlPlane, agent, agent_id, bearer, chunked, filler, grant, held_by, sealed, signer,
    standing, token,
};
use kya_core::{NodeCredential, Revision};

use crate::config::Config;
pub(crate) use host::MemoryHost;
pub(crate) use proxy::{HttpCall, Proxy};
pub(crate) use requests::{Exchange, Standing};
pub(crate) use vm::TestVm;
pub(crate) use world::{Link, World};

pub(crate) fn config() -> Config {
    static USUAL: OnceLock<Config> = OnceLock::new();
    USUAL.get_or_init(|| configured(|_| {})).clone()
}

/// The usual configuration of a filter before a service that takes capability tokens.
pub(crate) fn acting() -> Config {
    configured(kya_core::testing::capabilities::configured)
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

pub(crate) fn revision(position: Option<kya_core::Position>) -> Option<u64> {
    position.map(|position| position.revision).map(|Revision(revision)| revision)
}
