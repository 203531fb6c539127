//! The proxy's own credential.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

const PREFIX: &str = "nc_";
/// Most bytes of a credential, its prefix included.
pub(super) const MAX_LENGTH: usize = 256;

/// What a proxy shows the control plane to prove which node it is. A secret:
/// `Debug` does not show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCredential(String);

impl NodeCredential {
    /// Reads a credential as the control plane issues it: `nc_`, and letters,
    /// digits, `-`, `.`, `_` or `~`, at most 256 bytes in all.
    pub fn parse(text: String) -> Option<Self> {
        let secret = text.strip_prefix(PREFIX)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let valid = !secret.is_empty() && text.len() <= MAX_LENGTH && secret.bytes().all(plain);
        valid.then_some(Self(text))
    }

    /// The credential itself, to be sent to the control plane and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCredential(nc_…)")
    }
}

/// A value of the document that may be a secret, whatever its type: no error
/// about it quotes it.
pub(super) struct Secret(pub(super) String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("must be a string")),
        }
    }
}
