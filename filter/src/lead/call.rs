//! HTTP calls to the control plane.

use crate::host::{CallId, Host, Refused};
use crate::plugin::Plugin;

/// Posts a message to an endpoint, authenticated as this proxy.
pub fn post<H: Host>(
    plugin: &Plugin<H>,
    path: &str,
    body: &[u8],
    timeout_millis: u32,
) -> Result<CallId, Refused> {
    let config = &plugin.config;
    let cluster = config.pull_cluster.as_str();
    let headers = [
        (":method", "POST"),
        (":path", path),
        (":authority", config.authority(cluster)),
        ("content-type", "application/x-protobuf"),
        ("authorization", &config.node_credential.authorization()),
    ];
    plugin.host.http_call(cluster, &headers, body, timeout_millis)
}
