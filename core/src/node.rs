//! Node credentials: by which a proxy shows who it is to a control plane.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::token::{self, TokenError};

/// Of the same length as that of an opaque token, whose written form it shares.
const PREFIX: &str = "nc_";

/// The credential of a proxy: `nc_`, 43 base62 digits of 32 random bytes, and 6
/// of the CRC-32 of everything before them. It is a secret: `Debug` does not
/// show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCredential(String);

/// SHA-256 of a node credential as it is sent, `nc_` included: the only form in
/// which a control plane keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeCredentialDigest(pub [u8; 32]);

impl NodeCredential {
    /// Makes a credential from 32 random bytes.
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self(token::write(PREFIX, &secret))
    }

    /// Reads a credential as it came from outside.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        token::read(PREFIX, text).map(Self)
    }

    /// The digest by which the credential is known.
    pub fn digest(&self) -> NodeCredentialDigest {
        NodeCredentialDigest(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The credential itself, to be shown once to whoever asked for it, and sent
    /// by the proxy.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCredential(nc_…)")
    }
}

impl fmt::Debug for NodeCredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpaqueToken;

    #[test]
    fn the_written_form_is_stable_and_read_back() {
        let credential = NodeCredential::from_random([7; 32]);
        // Digits as of the opaque token of the same bytes; the checksum, which
        // covers the prefix, by big-integer arithmetic in another language.
        assert_eq!(credential.reveal(), "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm");
        assert_eq!(NodeCredential::parse(credential.reveal().as_bytes()), Ok(credential));
    }

    #[test]
    fn a_token_is_no_credential_and_a_credential_no_token() {
        let token = OpaqueToken::from_random([7; 32]);
        let credential = NodeCredential::from_random([7; 32]);
        let (token, credential) = (token.reveal(), credential.reveal());
        let wrong = NodeCredential::parse(token.as_bytes());
        assert_eq!(wrong, Err(TokenError::WrongPrefix("nc_")));
        assert!(OpaqueToken::parse(credential.as_bytes()).is_err());
        let renamed = format!("nc_{}", &token[3..]);
        assert_eq!(NodeCredential::parse(renamed.as_bytes()), Err(TokenError::WrongChecksum));
    }

    #[test]
    fn a_credential_is_not_shown_by_debug() {
        let credential = NodeCredential::from_random([7; 32]);
        let shown = format!("{credential:?}{:?}", credential.digest());
        assert!(!shown.contains(&credential.reveal()[3..10]), "{shown}");
    }
}
