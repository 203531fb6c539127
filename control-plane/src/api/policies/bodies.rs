//! What these requests carry. Whatever is not named here is refused.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use kya_core::policy::{
    MAX_DOCUMENT_BYTES, PolicyFormat, PolicyReference, PolicyTextError, PolicyVersion, read,
};
use kya_core::{Policy, PolicyId};
use serde::Deserialize;

use crate::api::conditional;
use crate::api::extract::{body_bytes, content_type_is};
use crate::api::problem::{Code, Problem};
use crate::api::requests::{Limit, PolicyKey};
use crate::registry::Why;
use crate::store::Expected;
use crate::text::{IncidentId, Reason};

/// The media types of YAML (RFC 9512), and what was in use before.
const YAML: [&str; 3] = ["application/yaml", "application/x-yaml", "text/yaml"];

/// What comes with a document, which is the body.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ApplyPolicy {
    pub(super) reason: Option<Reason>,
    pub(super) incident_id: Option<IncidentId>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListPolicies {
    pub(super) after: Option<PolicyId>,
    #[serde(default)]
    pub(super) limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Show {
    pub(super) version: Option<PolicyVersion>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListVersions {
    pub(super) before: Option<PolicyVersion>,
    #[serde(default)]
    pub(super) limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Compare {
    pub(super) from: Option<PolicyVersion>,
    pub(super) to: Option<PolicyVersion>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RollBack {
    to: PolicyVersion,
    reason: Reason,
    incident_id: Option<IncidentId>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["policy"]))]
pub(in crate::api) struct AssignPolicy {
    /// `None` is no policy; it must be said.
    #[serde(deserialize_with = "Option::deserialize")]
    policy: Option<PolicyKey>,
    reason: Option<Reason>,
    incident_id: Option<IncidentId>,
}

/// The policy in the body, in JSON or in YAML.
pub(in crate::api) struct PolicyBody(pub(in crate::api) Policy);

/// `if-match: "VERSION"`, or `if-none-match: *` of a policy that is to be new.
pub(in crate::api) struct Precondition(pub(in crate::api) Option<Expected>);

impl RollBack {
    /// To which version, whether only to look, and why.
    pub(super) fn parts(self) -> (PolicyVersion, bool, Why) {
        let why = Why { reason: Some(self.reason), incident_id: self.incident_id };
        (self.to, self.dry_run, why)
    }
}

impl AssignPolicy {
    pub(super) fn parts(self) -> (Option<PolicyReference>, Why) {
        let why = Why { reason: self.reason, incident_id: self.incident_id };
        (self.policy.map(|key| key.0), why)
    }
}

impl<S: Send + Sync> FromRequest<S> for PolicyBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let is_yaml = YAML.iter().any(|media_type| content_type_is(headers, media_type));
        let format = match is_yaml {
            true => PolicyFormat::Yaml,
            false if content_type_is(headers, "application/json") => PolicyFormat::Json,
            false => {
                return Err(Problem::invalid(
                    "a policy needs the header `content-type: application/yaml` or `application/json`",
                )
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
            }
        };
        let text = body_bytes(request, state, MAX_DOCUMENT_BYTES).await?;
        let document = read(&text, format)?;
        document.check().map(Self).map_err(|problems| PolicyTextError::from(problems).into())
    }
}

impl From<PolicyTextError> for Problem {
    fn from(error: PolicyTextError) -> Self {
        let detail = error.to_string();
        match error {
            PolicyTextError::TooLong(_) => Self::new(Code::PayloadTooLarge, detail),
            PolicyTextError::Unreadable(_) => Self::invalid(detail),
            PolicyTextError::Invalid(_) => Self::unprocessable(detail),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        expected(&parts.headers).map(Self)
    }
}

fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let wrong = |what: &str| Problem::invalid(format!("the header {what}"));
    let once = |name: header::HeaderName| {
        let mut all = headers.get_all(&name).iter();
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(wrong(&format!("`{name}` comes more than once"))),
        }
    };
    match (once(header::IF_MATCH)?, once(header::IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (Some(tag), None) => match version(tag) {
            Some(version) => Ok(Some(Expected::Version(version))),
            None => Err(wrong("`if-match` must be one version in quotes, such as `\"3\"`")),
        },
        (None, Some(any)) if any.as_bytes() == b"*" => Ok(Some(Expected::Nothing)),
        (None, Some(_)) => Err(wrong("`if-none-match` can only be `*` here")),
        (Some(_), Some(_)) => Err(wrong("`if-match` excludes `if-none-match`")),
    }
}

/// Whether a list of tags names this version (RFC 9110 section 13.1.2).
pub(super) fn names(tags: &HeaderValue, version: PolicyVersion) -> bool {
    conditional::names(tags, &format!("\"{version}\""))
}

fn version(tag: &HeaderValue) -> Option<PolicyVersion> {
    let number = tag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain).and_then(PolicyVersion::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&'static str, &'static str)]) -> Result<Option<Expected>, ()> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        expected(&headers).map_err(drop)
    }

    #[test]
    fn a_precondition_is_one_version_or_that_there_is_none() {
        let version = PolicyVersion::new(3).unwrap();
        assert_eq!(said(&[]), Ok(None));
        assert_eq!(said(&[("if-match", "\"3\"")]), Ok(Some(Expected::Version(version))));
        assert_eq!(said(&[("if-none-match", "*")]), Ok(Some(Expected::Nothing)));
        for wrong in [
            "3",
            "\"\"",
            "\"0\"",
            "\"03\"",
            "\"+3\"",
            "*",
            "\"3\", \"4\"",
            "W/\"3\"",
            "\"4294967296\"",
        ] {
            assert_eq!(said(&[("if-match", wrong)]), Err(()), "{wrong}");
        }
        assert_eq!(said(&[("if-none-match", "\"3\"")]), Err(()));
        assert_eq!(said(&[("if-match", "\"3\""), ("if-match", "\"4\"")]), Err(()));
        assert_eq!(said(&[("if-match", "\"3\""), ("if-none-match", "*")]), Err(()));
    }

    #[test]
    fn a_list_of_tags_names_each_of_them() {
        let version = PolicyVersion::new(3).unwrap();
        for (tags, named) in [
            ("\"3\"", true),
            ("\"2\", W/\"3\"", true),
            ("*", true),
            ("\"33\"", false),
            ("3", false),
            ("", false),
        ] {
            assert_eq!(names(&HeaderValue::from_static(tags), version), named, "{tags}");
        }
    }
}
