//! Texts of few bytes, kept in place.

use std::fmt;

use kya_core::audit::event::{MAX_METHOD_BYTES, MAX_REQUEST_ID_BYTES};

/// Room for the id of a request.
pub const REQUEST_ID: usize = MAX_REQUEST_ID_BYTES;
/// Room for a method.
pub(super) const METHOD: usize = MAX_METHOD_BYTES;

/// At most `N` visible ASCII characters, `N` less than 256; none at all if there is
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    /// No text.
    pub const NONE: Self = Self { length: 0, bytes: [0; N] };

    /// This text; none if it is too long, or not all of it can be shown.
    pub fn of(text: &[u8], plain: impl Fn(u8) -> bool) -> Self {
        let mut it = Self::NONE;
        let Ok(length) = u8::try_from(text.len()) else { return it };
        let Some(room) = it.bytes.get_mut(..text.len()) else { return it };
        if text.iter().all(|byte| plain(*byte)) {
            room.copy_from_slice(text);
            it.length = length;
        }
        it
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Short<REQUEST_ID> {
    /// An id of a request; none if it has other characters than a trail can have.
    pub fn request_id(text: &[u8]) -> Self {
        Self::of(text, |byte| byte.is_ascii_graphic())
    }
}

impl Short<METHOD> {
    /// A method (RFC 9110 section 9.1); none if it is none.
    pub fn method(text: &[u8]) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        Self::of(text, plain)
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.as_bytes()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_nothing_is_cut() {
        let longest = "r".repeat(REQUEST_ID);
        for text in ["", "a", "7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a", &longest] {
            assert_eq!(Short::request_id(text.as_bytes()).as_bytes(), text.as_bytes());
        }
        for text in ["r".repeat(REQUEST_ID + 1), "r".repeat(300), "a b".into(), "\u{e9}".into()] {
            assert_eq!(Short::request_id(text.as_bytes()), Short::NONE, "{text}");
        }
    }

    #[test]
    fn a_method_is_a_token() {
        assert_eq!(Short::method(b"M-SEARCH").as_bytes(), b"M-SEARCH");
        for text in [&b"GE T"[..], b"GET\n", b"\xff", &[b'M'; 33]] {
            assert_eq!(Short::method(text), Short::NONE);
        }
    }
}
