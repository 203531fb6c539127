//! What a request presents, read from its `authorization` headers.

use crate::token::{OpaqueToken, TokenDigest};

/// The credential of one request (RFC 6750 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// No `authorization` header.
    Missing,
    /// More than one `authorization` header: which one counts would be a
    /// choice, and a second reader might choose otherwise.
    Multiple,
    /// One header that is not `Bearer` and a well-formed token.
    Malformed,
    /// A well-formed opaque token, by its digest.
    Opaque(TokenDigest),
}

impl Credential {
    /// Reads the values of every `authorization` header of a request, in any
    /// encoding that the client chose to send.
    pub fn from_authorization<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Missing,
            (Some(_), Some(_)) => Self::Multiple,
            (Some(value), None) => match bearer(value).map(OpaqueToken::parse) {
                Some(Ok(token)) => Self::Opaque(token.digest()),
                Some(Err(_)) | None => Self::Malformed,
            },
        }
    }
}

/// What follows the scheme, which is `Bearer` in any case (RFC 9110 section
/// 11.1) and one or more spaces.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    let token = rest.trim_ascii_start();
    let spaces = rest.get(..rest.len().saturating_sub(token.len()))?;
    let separated = !spaces.is_empty() && spaces.iter().all(|byte| *byte == b' ');
    (scheme.eq_ignore_ascii_case(b"Bearer") && separated).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(values: &[&[u8]]) -> Credential {
        Credential::from_authorization(values.iter().copied())
    }

    fn token() -> OpaqueToken {
        OpaqueToken::from_random([9; 32])
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
            let value = format!("{scheme}{}", token().reveal());
            assert_eq!(read(&[value.as_bytes()]), Credential::Opaque(token().digest()), "{scheme}");
        }
    }

    #[test]
    fn no_header_is_missing_and_an_empty_one_is_malformed() {
        assert_eq!(read(&[]), Credential::Missing);
        assert_eq!(read(&[b""]), Credential::Malformed);
    }

    #[test]
    fn two_headers_are_never_a_choice() {
        let value = format!("Bearer {}", token().reveal());
        assert_eq!(read(&[value.as_bytes(), value.as_bytes()]), Credential::Multiple);
        assert_eq!(read(&[value.as_bytes(), b""]), Credential::Multiple);
        assert_eq!(read(&[b"Basic eDp5", value.as_bytes()]), Credential::Multiple);
    }

    #[test]
    fn everything_else_is_malformed() {
        let token = token();
        let token = token.reveal();
        for value in [
            format!("Basic {token}"),
            format!("Bearer{token}"),
            format!("Bearer\t{token}"),
            format!("Bearer \t{token}"),
            format!("Bearer {token} "),
            format!("Bearer {token},Bearer {token}"),
            format!("Bearer {token}, {token}"),
            format!(" Bearer {token}"),
            format!("Bearer \"{token}\""),
            format!("Bearer token={token}"),
            format!("Bearer {}", token.to_lowercase()),
            format!("Bearer {}", &token[..40]),
            format!("Bearer {token}\0"),
            token.to_owned(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
        ] {
            assert_eq!(read(&[value.as_bytes()]), Credential::Malformed, "{value}");
        }
        assert_eq!(read(&[b"Bearer \xff\xfe"]), Credential::Malformed);
        assert_eq!(read(&["Bearer аt_".as_bytes()]), Credential::Malformed, "a Cyrillic a");
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(values: Vec<Vec<u8>>) {
            let _ = Credential::from_authorization(values.iter().map(Vec::as_slice));
        }
    }
}
