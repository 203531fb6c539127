//! Parameters of a request (RFC 6749 appendix B).

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use url::form_urlencoded;

use super::OAuthError;
use crate::api::extract::{MAX_BODY_BYTES, body_bytes, content_type_is};

/// Most parameters of one request.
const MAX_PARAMETERS: usize = 64;

/// The parameters in their order. Those without a value are as if they were not there
/// (RFC 6749 section 3.2).
pub(super) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        if !content_type_is(request.headers(), "application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request(
                "the body must be a form: `content-type: application/x-www-form-urlencoded`",
            ));
        }
        let bytes: Bytes = body_bytes(request, state, MAX_BODY_BYTES)
            .await
            .map_err(|_| OAuthError::invalid_request("the body is too large, or ended early"))?;
        let pairs: Vec<_> = form_urlencoded::parse(&bytes)
            .take(MAX_PARAMETERS.saturating_add(1))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if pairs.len() > MAX_PARAMETERS {
            let most = format!("there are more than {MAX_PARAMETERS} parameters");
            return Err(OAuthError::invalid_request(most));
        }
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }
}

impl Form {
    /// The value of a parameter that must not be there twice (RFC 6749 section 3.2).
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(OAuthError::invalid_request(format!("`{name}` is there twice"))),
            (value, None) => Ok(value),
        }
    }

    /// The value of a parameter that must be there once.
    pub(super) fn needed(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.one(name)?.ok_or_else(|| OAuthError::invalid_request(format!("`{name}` is missing")))
    }

    /// The values of a parameter.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}
