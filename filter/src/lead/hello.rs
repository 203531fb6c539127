//! How a proxy introduces itself.

use kya_core::{Position, wire};

use crate::host::Host;
use crate::lead::question::Question;
use crate::plugin::Plugin;
use crate::vm::VERSION;

const PROTOCOL_VERSION: u32 = 1;
/// Longest text about the node that the protocol carries, in bytes.
const MAX_TEXT: usize = 256;

/// The greeting that asks this question.
pub fn hello<H: Host>(
    plugin: &Plugin<H>,
    question: &Question,
    have: Option<Position>,
) -> wire::Hello {
    wire::Hello {
        protocol_version: PROTOCOL_VERSION,
        node_id: node_id(plugin),
        node_cluster: node_text(plugin, "cluster"),
        filter_version: VERSION.to_owned(),
        nonce: question.nonce(),
        have: have.map(Into::into),
        configuration_hash: plugin.config.fingerprint().to_vec(),
    }
}

/// The name of this proxy: that of the configuration, or what it shows.
pub fn node_id<H: Host>(plugin: &Plugin<H>) -> String {
    let configured = plugin.config.node_id.clone();
    configured.unwrap_or_else(|| node_text(plugin, "id"))
}

/// An attribute of the node, cut to what the protocol carries. Envoy 1.40 has it
/// under `xds.node`, other proxies under `node`.
fn node_text<H: Host>(plugin: &Plugin<H>, name: &str) -> String {
    let property = |path: &[&str]| plugin.host.property(path).filter(|value| !value.is_empty());
    let bytes =
        property(&["xds", "node", name]).or_else(|| property(&["node", name])).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    while text.len() > MAX_TEXT {
        text.pop();
    }
    text
}
