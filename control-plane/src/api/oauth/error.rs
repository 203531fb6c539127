//! Errors as RFC 6749 section 5.2 says them.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::problem::Problem;
use crate::operators::{AuthError, seconds};
use crate::registry::RegistryError;
use crate::store::{IssuerError, StoreError};

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub(super) enum OAuthError {
    /// As OAuth says it.
    Told {
        status: StatusCode,
        /// The registered code.
        error: &'static str,
        description: String,
        /// When it may be different.
        retry_after: Option<Duration>,
    },
    /// An operator is not let in, which is told as everywhere.
    Operator(Box<Problem>),
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
}

impl OAuthError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self::Told { status, error, description: description.into(), retry_after: None }
    }

    /// The request is not in the form in which it is read.
    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// Whoever asks has not shown who they are.
    pub(super) fn invalid_client(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    /// Too many have not, from there.
    pub(super) fn too_many(retry_after: Duration) -> Self {
        let description = "too many requests from there that showed nobody to be an agent";
        Self::Told {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: "invalid_client",
            description: description.to_owned(),
            retry_after: Some(retry_after),
        }
    }

    pub(super) fn unsupported_grant_type() -> Self {
        let description = "`grant_type` must be `client_credentials`";
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", description)
    }

    pub(super) fn invalid_scope(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", description)
    }

    /// RFC 8707 section 2.
    pub(super) fn invalid_target(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_target", description)
    }

    /// Whoever asks may not have this now.
    pub(super) fn unauthorized_client(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", description)
    }

    /// An agent asks more often than anybody needs to.
    pub(super) fn too_often(retry_after: Duration) -> Self {
        Self::Told {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: "temporarily_unavailable",
            description: "this agent asks too often: use a token until it expires".to_owned(),
            retry_after: Some(retry_after),
        }
    }

    fn unavailable() -> Self {
        let description = "not possible now, try again; see the server's log";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
    }

    /// There is no issuer, so there is none of this.
    pub(super) fn not_configured() -> Self {
        let description = IssuerError::NotConfigured.to_string();
        Self::new(StatusCode::NOT_FOUND, "invalid_request", description)
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        let told = error.to_string();
        match error {
            StoreError::Issuer(IssuerError::NotConfigured) => Self::not_configured(),
            StoreError::Issuer(IssuerError::Replayed | IssuerError::Late) => {
                Self::invalid_client(told)
            }
            StoreError::Issuer(IssuerError::Unsayable(_)) => Self::invalid_request(told),
            StoreError::Issuer(IssuerError::NoService(_)) => Self::invalid_target(format!(
                "{told}, by one or several parameters `resource` or `audience`"
            )),
            StoreError::NoSuchAgent(_)
            | StoreError::AgentNotActive { .. }
            | StoreError::Stop(_)
            | StoreError::Delegation(_) => Self::unauthorized_client(told),
            error => {
                tracing::error!(%error, "oauth");
                Self::unavailable()
            }
        }
    }
}

impl From<RegistryError> for OAuthError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => error.into(),
            RegistryError::Token(error) => Self::invalid_request(error.to_string()),
            error => {
                tracing::error!(%error, "oauth");
                Self::unavailable()
            }
        }
    }
}

impl From<tonic::Status> for OAuthError {
    fn from(status: tonic::Status) -> Self {
        tracing::error!(%status, "oauth");
        Self::unavailable()
    }
}

impl From<AuthError> for OAuthError {
    fn from(error: AuthError) -> Self {
        Self::Operator(Box::new(error.into()))
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let (status, error, error_description, retry_after) = match self {
            Self::Told { status, error, description, retry_after } => {
                (status, error, description, retry_after)
            }
            Self::Operator(problem) => return problem.into_response(),
        };
        // RFC 6749 section 5.2 has few characters in a description.
        let plain =
            |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '\'' };
        let error_description = error_description.chars().map(plain).collect();
        let mut response = (status, Json(Body { error, error_description })).into_response();
        let headers = response.headers_mut();
        headers.extend(retry_after.map(|after| (header::RETRY_AFTER, seconds(after).into())));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        response
    }
}
