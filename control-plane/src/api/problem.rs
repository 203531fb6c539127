//! Errors of the HTTP API, as RFC 9457 says them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::bearer::BearerError;
use crate::nodes::AccessError;
use crate::operators::{AuthError, Permission, Role, TokenRefusal, seconds};
use crate::registry::RegistryError;
use crate::store::{ApprovalError, IssuerError, PolicyError, StopError, StoreError};

/// The kinds of problem. Each has one code; most have one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PreconditionFailed,
    PayloadTooLarge,
    InvalidRequest,
    TooManyRequests,
    Unavailable,
    Internal,
}

/// A problem, to be answered.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    challenge: Option<Challenge>,
    /// When it may be different.
    retry_after: Option<Duration>,
    /// The server failed before anything was written.
    nothing_done: bool,
}

/// An extension of a response: it tells of a failure before anything was written, so that
/// the same request may be done again.
#[derive(Debug, Clone, Copy)]
pub(super) struct NothingDone;

/// What `www-authenticate` says (RFC 6750 section 3).
#[derive(Debug, Clone, Copy)]
enum Challenge {
    /// Nothing was presented.
    Missing,
    /// What was presented does not count.
    Invalid,
    /// Its holder may not do this.
    Lacks(Permission),
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    /// What the role of the operator would have to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'a str>,
    /// The roles that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<&'a [Role]>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, detail) = (code.status(), detail.into());
        Self { code, status, detail, challenge: None, retry_after: None, nothing_done: false }
    }

    /// It is not possible now, and nothing was written: 503.
    pub(super) fn not_begun(detail: impl Into<String>) -> Self {
        Self { nothing_done: true, ..Self::new(Code::Unavailable, detail) }
    }

    /// The request could not be understood: 400.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// The request was understood, and what it asks for cannot be: 422.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::invalid(detail).with_status(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// Nobody is let in: 401. True when a credential was presented, which RFC 6750
    /// wants to be told apart.
    pub(super) fn unauthorized(detail: impl Into<String>, presented: bool) -> Self {
        let challenge = if presented { Challenge::Invalid } else { Challenge::Missing };
        Self { challenge: Some(challenge), ..Self::new(Code::Unauthorized, detail) }
    }

    /// It may be different so much later.
    pub(super) fn retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::InvalidRequest,
        Self::TooManyRequests,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Every status of a problem, with the codes that have it.
    pub(super) fn statuses() -> BTreeMap<u16, Vec<&'static str>> {
        let mut statuses: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for code in Self::ALL {
            statuses.entry(code.status().as_u16()).or_default().push(code.text().0);
        }
        // What `with_status` makes of it.
        for status in [415, 422] {
            statuses.entry(status).or_default().push(Self::InvalidRequest.text().0);
        }
        statuses
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Unauthorized => ("unauthorized", "A valid credential is needed"),
            Self::Forbidden => ("forbidden", "The credential is not for this"),
            Self::NotFound => ("not_found", "There is no such thing"),
            Self::MethodNotAllowed => ("method_not_allowed", "This cannot be done here"),
            Self::Conflict => ("conflict", "The state of the registry forbids it"),
            Self::PreconditionFailed => ("precondition_failed", "It has changed meanwhile"),
            Self::PayloadTooLarge => ("payload_too_large", "The body is too large"),
            Self::InvalidRequest => ("invalid_request", "The request is not valid"),
            Self::TooManyRequests => ("too_many_requests", "Too many requests"),
            Self::Unavailable => ("unavailable", "Not possible now, try again"),
            Self::Internal => ("internal", "The control plane failed"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, title) = self.code.text();
        let lacks = match self.challenge {
            Some(Challenge::Lacks(permission)) => Some(permission),
            _ => None,
        };
        let body = Body {
            r#type: format!("urn:kya:problem:{code}"),
            title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code,
            permission: lacks.map(Permission::name),
            roles: lacks.map(Permission::holders),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Both are made of characters that a header may have.
        let challenge = self.challenge.and_then(|challenge| challenge.header());
        headers.extend(challenge.map(|value| (header::WWW_AUTHENTICATE, value)));
        let retry_after = self.retry_after.map(seconds);
        headers.extend(retry_after.map(|value| (header::RETRY_AFTER, value.into())));
        if self.nothing_done {
            response.extensions_mut().insert(NothingDone);
        }
        response
    }
}

impl Challenge {
    fn header(self) -> Option<HeaderValue> {
        let told = match self {
            Self::Missing => "Bearer realm=\"kya\"".to_owned(),
            Self::Invalid => "Bearer realm=\"kya\", error=\"invalid_token\"".to_owned(),
            Self::Lacks(permission) => format!(
                "Bearer realm=\"kya\", error=\"insufficient_scope\", scope=\"{}\"",
                permission.name()
            ),
        };
        HeaderValue::try_from(told).ok()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSuchAgent(_)
            | StoreError::NoSuchToken(_)
            | StoreError::NoSuchNode(_)
            | StoreError::NoSuchOperator(_)
            | StoreError::Stop(StopError::NoSuchPrincipal(_))
            | StoreError::Approval(ApprovalError::NoSuch(_))
            | StoreError::Issuer(IssuerError::NoSuchToken(_) | IssuerError::NoSuchKey(_))
            | StoreError::Policy(
                PolicyError::NoSuchPolicy(_) | PolicyError::NoSuchVersion { .. },
            ) => Self::new(Code::NotFound, error.to_string()),
            StoreError::Policy(PolicyError::NotAsExpected { .. } | PolicyError::NotThereYet(_)) => {
                Self::new(Code::PreconditionFailed, error.to_string())
            }
            StoreError::Approval(ApprovalError::ShutOut { .. }) => {
                Self::new(Code::Forbidden, error.to_string())
            }
            StoreError::Policy(PolicyError::TooLarge(_)) => Self::unprocessable(error.to_string()),
            StoreError::Issuer(IssuerError::Unsayable(_)) => Self::unprocessable(error.to_string()),
            StoreError::Issuer(IssuerError::NoService(_)) => {
                Self::unprocessable(format!("`services`: {error}"))
            }
            StoreError::RevokedIsFinal(_)
            | StoreError::Issuer(_)
            | StoreError::Policy(_)
            | StoreError::Stop(_)
            | StoreError::Approval(_)
            | StoreError::Delegation(_)
            | StoreError::AgentNotActive { .. }
            | StoreError::NodeNameTaken(_)
            | StoreError::OperatorNameTaken(_)
            | StoreError::DrillRunning(_)
            | StoreError::DrillOver(_)
            | StoreError::Schedule(_)
            | StoreError::KeysChanged => Self::new(Code::Conflict, error.to_string()),
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "store");
                Self::not_begun("the store cannot be used now; see the server's log")
            }
            StoreError::Uncertain(_) => {
                tracing::error!(%error, "store");
                let detail = "the store does not say whether it is so now: look, and ask again";
                Self::new(Code::Unavailable, detail)
            }
            StoreError::Keys(_) => {
                tracing::error!(%error, "keys");
                Self::new(Code::Internal, "a signing key cannot be used; see the server's log")
            }
            StoreError::Corrupt(_) => {
                tracing::error!(%error, "store");
                Self::new(Code::Internal, "the store is damaged; see the server's log")
            }
        }
    }
}

/// For what a proxy asks by HTTP.
impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        match error {
            AccessError::OtherNode { .. } => Self::new(Code::Forbidden, detail),
            AccessError::Unavailable(_) => Self::new(Code::Unavailable, detail),
            AccessError::Bearer(BearerError::Missing) => Self::unauthorized(detail, false),
            _ => Self::unauthorized(detail, true),
        }
    }
}

/// For what an operator asks.
impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::Bearer(BearerError::Missing) => Self::unauthorized(detail, false),
            AuthError::Forbidden { permission, .. } => {
                let challenge = Some(Challenge::Lacks(permission));
                Self { challenge, ..Self::new(Code::Forbidden, detail) }
            }
            AuthError::TooManyFailures { retry_after }
            | AuthError::TooManyChanges { retry_after, .. } => {
                let retry_after = Some(retry_after);
                Self { retry_after, ..Self::new(Code::TooManyRequests, detail) }
            }
            AuthError::Unavailable(_) | AuthError::Token(TokenRefusal::NoKeys) => {
                Self::new(Code::Unavailable, detail)
            }
            AuthError::Token(TokenRefusal::NoRole { .. }) => Self::new(Code::Forbidden, detail),
            _ => Self::unauthorized(detail, true),
        }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => error.into(),
            RegistryError::Partly { .. } => {
                tracing::error!(%error, "registry");
                Self::new(Code::Unavailable, error.to_string())
            }
            RegistryError::Key(_) => {
                tracing::error!(%error, "registry");
                Self::not_begun(
                    "the key that signs capability tokens cannot be used here; see the server's log",
                )
            }
            RegistryError::Remains(_) => {
                tracing::error!(%error, "registry");
                let detail =
                    "the file of a key that counts no more is still here; see the server's log";
                Self::new(Code::Unavailable, detail)
            }
            RegistryError::Token(error) => Self::unprocessable(error.to_string()),
            RegistryError::Entropy(_) => {
                tracing::error!(%error, "registry");
                Self::not_begun("no random bytes; see the server's log")
            }
            RegistryError::Interrupted => {
                tracing::error!(%error, "registry");
                Self::new(Code::Internal, error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kya_core::TokenError;

    use super::*;
    use crate::nodes::NodeName;

    #[test]
    fn whoever_was_shut_out_is_forbidden_and_only_what_was_not_begun_says_so() {
        let of = |error: StoreError| {
            let response = Problem::from(error).into_response();
            let nothing_done = response.extensions().get::<NothingDone>().is_some();
            (response.status().as_u16(), nothing_done)
        };
        let by = "boss".to_owned();
        let shut_out = ApprovalError::ShutOut { by, why: "was revoked" };
        assert_eq!(of(shut_out.into()), (403, false));
        assert_eq!(of(StoreError::Unavailable("x".into())), (503, true));
        assert_eq!(of(StoreError::Uncertain("x".into())), (503, false));
    }

    #[test]
    fn a_proxy_that_is_not_let_in_is_answered_by_the_kind_of_its_mistake() {
        let challenge = |error: AccessError| {
            let response = Problem::from(error).into_response();
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            (response.status().as_u16(), challenge.map(|value| value.to_str().unwrap().to_owned()))
        };
        let (none, wrong) =
            ("Bearer realm=\"kya\"", "Bearer realm=\"kya\", error=\"invalid_token\"");
        let name = || "web-1".parse::<NodeName>().unwrap();
        let other_node = AccessError::OtherNode {
            name: name(),
            pattern: name().to_pattern(),
            node_id: "web-2".to_owned(),
        };
        let unavailable = AccessError::Unavailable(StoreError::Corrupt(String::new()));
        for (error, status, expected) in [
            (BearerError::Missing.into(), 401, Some(none)),
            (BearerError::Twice.into(), 401, Some(wrong)),
            (AccessError::Malformed(TokenError::WrongChecksum), 401, Some(wrong)),
            (AccessError::Unknown, 401, Some(wrong)),
            (AccessError::Revoked(name()), 401, Some(wrong)),
            (AccessError::Expired { name: name(), at: String::new() }, 401, Some(wrong)),
            (other_node, 403, None),
            (unavailable, 503, None),
        ] {
            assert_eq!(challenge(error), (status, expected.map(str::to_owned)));
        }
    }
}
