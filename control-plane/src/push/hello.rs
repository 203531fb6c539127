//! Who asks, and by which nonce: the first message of a stream, and a part of
//! every pull.

use kya_core::{Nonce, Position, wire};
use thiserror::Error;
use tonic::Status;

/// Of this file's protocol.
const PROTOCOL_VERSION: u32 = 1;
const MAX_NAME_BYTES: usize = 256;

/// What is wrong with what a proxy says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(malformed.0)
    }
}

/// A `Hello` that can be answered.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) node_id: String,
    pub(super) cluster: String,
    pub(super) filter_version: String,
    pub(super) nonce: Nonce,
    /// The newest position that the proxy has verified.
    pub(super) have: Option<Position>,
    pub(super) configuration_hash: Option<[u8; 32]>,
}

impl Greeting {
    /// Checks a first message.
    pub(super) fn from_message(message: wire::ProxyMessage) -> Result<Self, Malformed> {
        match message.message {
            Some(wire::proxy_message::Message::Hello(hello)) => Self::from_hello(hello),
            _ => Err(malformed("the first message of a stream must be Hello")),
        }
    }

    /// Checks a `Hello`.
    pub(super) fn from_hello(hello: wire::Hello) -> Result<Self, Malformed> {
        if hello.protocol_version != PROTOCOL_VERSION {
            return Err(Malformed(format!(
                "this control plane speaks version {PROTOCOL_VERSION} of the protocol, the proxy version {}",
                hello.protocol_version
            )));
        }
        if hello.node_id.is_empty() {
            return Err(malformed("node_id is empty: set node.id in Envoy"));
        }
        for (field, text) in [
            ("node_id", &hello.node_id),
            ("node_cluster", &hello.node_cluster),
            ("filter_version", &hello.filter_version),
        ] {
            check_name(field, text)?;
        }
        let configuration_hash = match hello.configuration_hash.as_slice() {
            [] => None,
            bytes => Some(bytes.try_into().map_err(|_| {
                Malformed(format!("configuration_hash has {} bytes, not 32", bytes.len()))
            })?),
        };
        Ok(Self {
            node_id: hello.node_id,
            cluster: hello.node_cluster,
            filter_version: hello.filter_version,
            nonce: nonce(&hello.nonce)?,
            have: hello.have.map(Position::from),
            configuration_hash,
        })
    }
}

/// Who a first message says it is from, if that can be a name at all.
pub(super) fn claimed_name(message: &wire::ProxyMessage) -> Option<&str> {
    let Some(wire::proxy_message::Message::Hello(hello)) = &message.message else { return None };
    let named = !hello.node_id.is_empty() && check_name("node_id", &hello.node_id).is_ok();
    named.then_some(&*hello.node_id)
}

/// Checks a nonce.
pub(super) fn nonce(bytes: &[u8]) -> Result<Nonce, Malformed> {
    let wrong = |_| Malformed(format!("a nonce has 32 bytes, this has {}", bytes.len()));
    bytes.try_into().map(Nonce).map_err(wrong)
}

fn check_name(field: &str, text: &str) -> Result<(), Malformed> {
    if text.len() > MAX_NAME_BYTES {
        let length = text.len();
        return Err(Malformed(format!("{field} has {length} bytes, more than {MAX_NAME_BYTES}")));
    }
    if text.chars().any(char::is_control) {
        return Err(Malformed(format!("{field} contains control characters")));
    }
    Ok(())
}

fn malformed(why: &str) -> Malformed {
    Malformed(why.to_owned())
}
