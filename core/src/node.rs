//! Node credentials: by which a proxy shows who it is to a control plane.

use crate::token::secret;

secret! {
    "nc_";
    /// The credential of a proxy: `nc_`, 43 base62 digits of 32 random bytes, and 6
    /// of the CRC-32 of everything before them. It is a secret: `Debug` does not
    /// show it, and there is no `Display`.
    NodeCredential;
    /// SHA-256 of a node credential as it is sent, `nc_` included: the only form in
    /// which a control plane keeps it.
    NodeCredentialDigest;
}

impl NodeCredential {
    /// The value of the `authorization` header that shows it (RFC 6750 section
    /// 2.1).
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpaqueToken, TokenError};

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
