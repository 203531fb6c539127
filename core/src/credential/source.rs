//! Where a request may carry its credential.

use std::fmt;

use crate::headers::{SUBPROTOCOLS, is_own};

/// Most bytes of a header's name, a scheme or a prefix.
const MAX_LENGTH: usize = 64;

/// One place in which a request may carry its credential. Names of headers are
/// held in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(pub(super) Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A header of its own.
    Header {
        /// In lower case.
        name: String,
        /// In lower case: it is compared in any (RFC 9110 section 11.1).
        scheme: Option<String>,
    },
    /// The entry of `Sec-WebSocket-Protocol` with this prefix.
    Subprotocol {
        /// Compared as it is: subprotocols differ by case (RFC 6455 section
        /// 11.5).
        prefix: String,
    },
}

impl Source {
    /// `Authorization: Bearer …` (RFC 6750 section 2.1).
    pub fn authorization() -> Self {
        Self(Place::Header { name: "authorization".into(), scheme: Some("bearer".into()) })
    }

    /// A header whose whole value is the token. `None` if `name` is no token (RFC
    /// 9110 section 5.6.2) of 1 to 64 bytes, is one of the gate's own headers, or
    /// is `sec-websocket-protocol`, which is a list.
    pub fn header(name: &str) -> Option<Self> {
        let name = lower_case(name)?;
        let reserved = name == SUBPROTOCOLS || is_own(name.as_bytes());
        (!reserved).then_some(Self(Place::Header { name, scheme: None }))
    }

    /// The same header, with its token after a scheme (RFC 9110 section 11.1) and
    /// spaces. `None` if `scheme` is no token of 1 to 64 bytes, or this is no
    /// header.
    pub fn with_scheme(self, scheme: &str) -> Option<Self> {
        match self.0 {
            Place::Header { name, .. } => {
                Some(Self(Place::Header { name, scheme: Some(lower_case(scheme)?) }))
            }
            Place::Subprotocol { .. } => None,
        }
    }

    /// The entry of `Sec-WebSocket-Protocol` (RFC 6455 section 11.3.4) that begins
    /// with `prefix`, for browsers: they let a page set no other header of a
    /// handshake. `None` if `prefix` is no token of 1 to 64 bytes.
    pub fn websocket_protocol(prefix: &str) -> Option<Self> {
        is_name(prefix).then(|| Self(Place::Subprotocol { prefix: prefix.to_owned() }))
    }

    /// The header that this source reads, in lower case.
    pub fn header_name(&self) -> &str {
        match &self.0 {
            Place::Header { name, .. } => name,
            Place::Subprotocol { .. } => SUBPROTOCOLS,
        }
    }
}

impl fmt::Display for Source {
    /// The header, and what stands before the token in it. Two sources that are
    /// written alike are alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Header { name, scheme: None } => write!(f, "{name}:"),
            Place::Header { name, scheme: Some(scheme) } => write!(f, "{name}: {scheme} "),
            Place::Subprotocol { prefix } => write!(f, "{SUBPROTOCOLS}: {prefix}"),
        }
    }
}

fn lower_case(name: &str) -> Option<String> {
    is_name(name).then(|| name.to_ascii_lowercase())
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_LENGTH && is_token(text.as_bytes())
}

/// Whether these bytes are a `token` (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_are_held_in_lower_case() {
        let source = Source::header("X-Api-Key").unwrap();
        assert_eq!(source.header_name(), "x-api-key");
        let with = |scheme| Source::header("Authorization").unwrap().with_scheme(scheme).unwrap();
        assert_eq!(with("Bearer"), Source::authorization());
        assert_eq!(with("BEARER"), Source::authorization());
    }

    #[test]
    fn what_can_be_no_source_is_none() {
        let long = "x".repeat(65);
        for text in ["", " ", "a b", "a:", ":path", "a,b", "a\0", "é", "a\"", "a(", "x/y", &long] {
            assert_eq!(Source::header(text), None, "{text}");
            assert_eq!(Source::authorization().with_scheme(text), None, "{text}");
            assert_eq!(Source::websocket_protocol(text), None, "{text}");
        }
        for own in ["x-kya-agent-id", "X-KYA-Token", "x_kya_token", "Sec-WebSocket-Protocol"] {
            assert_eq!(Source::header(own), None, "{own}");
        }
        let subprotocol = Source::websocket_protocol("kya.bearer.").unwrap();
        assert_eq!(subprotocol.with_scheme("Bearer"), None);
    }

    #[test]
    fn different_sources_are_written_differently() {
        let sources = [
            Source::authorization(),
            Source::header("authorization").unwrap(),
            Source::header("bearer").unwrap(),
            Source::websocket_protocol("bearer").unwrap(),
            Source::websocket_protocol("Bearer").unwrap(),
        ];
        let written: std::collections::BTreeSet<_> =
            sources.iter().map(ToString::to_string).collect();
        assert_eq!(written.len(), sources.len());
    }
}
