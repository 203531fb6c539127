//! What a request presents, read from its headers.

mod source;
mod websocket;

use crate::token::TokenDigest;

use source::Place;
pub use source::Source;
pub use websocket::subprotocols_without_credential;

/// How a JWT begins: `{"` in base64url. No opaque token begins so.
const CAPABILITY_START: &[u8] = b"eyJ";

/// The credential of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// None of the sources has anything.
    Missing,
    /// The sources have more than one thing, in one place or in several, were it
    /// the same token twice: which one counts would be a choice, and a second
    /// reader might choose otherwise.
    Multiple,
    /// The one thing there is has another form than its source asks for, or is
    /// no well-formed token.
    Malformed,
    /// A well-formed opaque token, by its digest.
    Opaque(TokenDigest),
    /// What begins as a capability token does. Nothing of it was looked at.
    Capability(&'a [u8]),
}

impl<'h> Credential<'h> {
    /// Reads the credential of a request from all of its headers, in any encoding
    /// that the client chose to send.
    ///
    /// Every header of a source's name counts, whatever it holds: an
    /// `authorization: Basic …` beside a good `x-api-key` is `Multiple` where both
    /// are sources, since a service might act on the one and the gate on the
    /// other. Of `sec-websocket-protocol` only the entries with the prefix count.
    /// A source's header that is there without a value counts too, as malformed.
    pub fn read(
        sources: &[Source],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Self {
        // `Some(None)` is something that is no token in its source's form.
        let mut found: Option<Option<&'h [u8]>> = None;
        for (name, value) in headers {
            let of_this_name =
                |source: &&Source| name.eq_ignore_ascii_case(source.header_name().as_bytes());
            for source in sources.iter().filter(of_this_name) {
                let (first, second) = match &source.0 {
                    Place::Header { scheme: None, .. } => (Some(Some(value)), None),
                    Place::Header { scheme: Some(scheme), .. } => {
                        (Some(after_scheme(value, scheme)), None)
                    }
                    Place::Subprotocol { prefix } => {
                        let mut tokens = websocket::tokens(value, prefix);
                        (tokens.next().map(Some), tokens.next())
                    }
                };
                if second.is_some() || (first.is_some() && found.is_some()) {
                    return Self::Multiple;
                }
                found = found.or(first);
            }
        }
        match found {
            None => Self::Missing,
            Some(None) => Self::Malformed,
            Some(Some(token)) => Self::of(token),
        }
    }

    /// The credential that is this token, wherever it was presented.
    pub fn of(token: &'h [u8]) -> Self {
        match token.starts_with(CAPABILITY_START) {
            true => Self::Capability(token),
            false => TokenDigest::of(token).map_or(Self::Malformed, Self::Opaque),
        }
    }
}

/// What follows the scheme, in any case (RFC 9110 section 11.1), and one or more
/// spaces.
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (written, rest) = value.split_at_checked(scheme.len())?;
    let token = rest.trim_ascii_start();
    let spaces = rest.get(..rest.len().saturating_sub(token.len()))?;
    let separated = !spaces.is_empty() && spaces.iter().all(|byte| *byte == b' ');
    (written.eq_ignore_ascii_case(scheme.as_bytes()) && separated).then_some(token)
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;
