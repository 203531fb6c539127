//! The first message of a stream.

use kya_core::{Nonce, wire};
use tonic::Status;

/// Of this file's protocol.
const PROTOCOL_VERSION: u32 = 1;
const MAX_NAME_BYTES: usize = 256;

/// A `Hello` that can be answered.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) node_id: String,
    pub(super) cluster: String,
    pub(super) filter_version: String,
    pub(super) nonce: Nonce,
}

impl Greeting {
    /// Checks a first message; the status says what was wrong with it.
    pub(super) fn from_message(message: wire::ProxyMessage) -> Result<Self, Status> {
        let Some(wire::proxy_message::Message::Hello(hello)) = message.message else {
            return Err(Status::invalid_argument("the first message of a stream must be Hello"));
        };
        if hello.protocol_version != PROTOCOL_VERSION {
            return Err(Status::invalid_argument(format!(
                "this control plane speaks version {PROTOCOL_VERSION} of the protocol, the proxy version {}",
                hello.protocol_version
            )));
        }
        if hello.node_id.is_empty() {
            return Err(Status::invalid_argument("node_id is empty: set node.id in Envoy"));
        }
        for (field, text) in [
            ("node_id", &hello.node_id),
            ("node_cluster", &hello.node_cluster),
            ("filter_version", &hello.filter_version),
        ] {
            check_name(field, text)?;
        }
        Ok(Self {
            node_id: hello.node_id,
            cluster: hello.node_cluster,
            filter_version: hello.filter_version,
            nonce: nonce(hello.nonce)?,
        })
    }
}

/// Who a first message says it is from, if that can be a name at all.
pub(super) fn claimed_name(message: &wire::ProxyMessage) -> Option<&str> {
    let Some(wire::proxy_message::Message::Hello(hello)) = &message.message else { return None };
    let named = !hello.node_id.is_empty() && check_name("node_id", &hello.node_id).is_ok();
    named.then_some(&*hello.node_id)
}

/// Checks the nonce of a `Hello` or a `Resync`.
pub(super) fn nonce(bytes: Vec<u8>) -> Result<Nonce, Status> {
    let length = bytes.len();
    bytes
        .try_into()
        .map(Nonce)
        .map_err(|_| Status::invalid_argument(format!("a nonce has 32 bytes, this has {length}")))
}

fn check_name(field: &str, text: &str) -> Result<(), Status> {
    if text.len() > MAX_NAME_BYTES {
        let length = text.len();
        return Err(Status::invalid_argument(format!(
            "{field} has {length} bytes, more than {MAX_NAME_BYTES}"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!("{field} contains control characters")));
    }
    Ok(())
}
