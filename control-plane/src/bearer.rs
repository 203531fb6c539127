//! The `Bearer` scheme of the `authorization` header (RFC 6750 section 2.1), as
//! every door of the control plane reads it.

use axum::http::{HeaderMap, header};
use thiserror::Error;

/// Why there is no bearer credential in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BearerError {
    /// No `authorization` header.
    #[error("there is no `authorization` header")]
    Missing,
    /// More than one: which of them counts would be a choice.
    #[error("there are two `authorization` headers")]
    Twice,
    /// One of another scheme.
    #[error("the `authorization` header must begin with `Bearer `")]
    OtherScheme,
}

/// What follows `Bearer ` in the one `authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], BearerError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(BearerError::Missing),
        (Some(_), Some(_)) => Err(BearerError::Twice),
        (Some(value), None) => value
            .as_bytes()
            .split_at_checked("Bearer ".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, credential)| credential.trim_ascii())
            .ok_or(BearerError::OtherScheme),
    }
}
