//! Which requests a rule is about: a method and a template of a path.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::path::{PathError, exact};

/// Longest template of a path, in bytes.
pub const MAX_ROUTE_BYTES: usize = 1024;
/// Most segments of a path that a rule can be about.
pub const MAX_SEGMENTS: usize = 32;
const MAX_METHOD: usize = 32;
const MAX_PARAMETER: usize = 64;

/// A method and a template of a path, such as `GET /v1/customers/{id}`.
///
/// A segment of the template is a literal, or `{name}` for any one segment, or
/// `{name}:verb` for one that ends so. The last may be `{name=**}`, for one segment
/// or more (the syntax of `google.api.HttpRule`). `grpc: package.Service/Method` is
/// the same as `POST /package.Service/Method`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) method: String,
    pub(super) segments: Vec<Segment>,
    template: String,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// This one; empty for the slash at the end of a path.
    Literal(String),
    /// Any one.
    Any,
    /// Any one, with `:` and this after it.
    Verb(String),
    /// This one and all that follow.
    Rest,
}

/// Why a text is not a route.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteError {
    /// It is not a method, one space, and a path.
    #[error(
        "must be a method and a path, such as `POST /v1/refunds`, or `grpc: package.Service/Method`"
    )]
    Shape,
    /// It is longer than 1024 bytes, or its path has more than 32 segments.
    #[error("must have a path of at most 1024 bytes and 32 segments")]
    TooLong,
    /// The method is none (RFC 9110 section 9.1), in the case in which they are
    /// written.
    #[error("must begin with a method in capital letters, such as `GET`")]
    Method,
    /// `CONNECT` has no path (RFC 9110 section 9.3.6).
    #[error("cannot be about `CONNECT`, which has no path: it is never mapped")]
    Connect,
    /// A literal segment is not exact, or a path has no place for it.
    #[error("must have a path with exactly one reading, but it {0}")]
    Path(PathError),
    /// A literal is percent-encoded.
    #[error("percent-encodes something: only parameters can stand for what must be encoded")]
    Encoded,
    /// A query, which is no part of what a rule is about.
    #[error("has a query: a rule counts whatever the query is, so leave it out")]
    Query,
    /// Braces that are not a parameter.
    #[error(
        "has the segment `{0}`: a parameter is a whole segment, `{{name}}` or `{{name}}:verb`, or at the end `{{name=**}}`, with a name of lower-case letters, digits and `_`"
    )]
    Parameter(String),
    /// Two parameters have the same name.
    #[error("has two parameters called `{0}`")]
    SameName(String),
    /// What follows `grpc:` is not a service and a method.
    #[error("must name a service and a method after `grpc:`, such as `payments.v1.Refunds/Issue`")]
    Grpc,
}

impl Route {
    /// A route for this method and template, such as `GET` and
    /// `/v1/customers/{id}`.
    pub fn http(method: &str, template: &str) -> Result<Self, RouteError> {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
        let is_method = method.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
            && method.len() <= MAX_METHOD
            && method.bytes().all(plain);
        if !is_method {
            return Err(RouteError::Method);
        }
        if method == "CONNECT" {
            return Err(RouteError::Connect);
        }
        let segments = segments(template)?;
        Ok(Self { method: method.to_owned(), segments, template: template.to_owned() })
    }

    /// A route for a method of gRPC, such as `payments.v1.Refunds/Issue`: `POST`
    /// to the path of that name, whatever the content type. What a service does is
    /// the same over gRPC, gRPC-Web or JSON, and so is the action.
    pub fn grpc(method: &str) -> Result<Self, RouteError> {
        let (service, name) = method.split_once('/').ok_or(RouteError::Grpc)?;
        if !service.split('.').all(is_identifier) || !is_identifier(name) {
            return Err(RouteError::Grpc);
        }
        Self::http("POST", &format!("/{method}"))
    }

    /// The template of a path, as it is written.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Whether some path is one that both templates stand for.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        // `{name=**}` never stands for a slash at the end.
        let ends_in_slash = |route: &Self| matches!(route.segments.last(), Some(Segment::Literal(last)) if last.is_empty());
        let mut pairs = self.segments.iter().zip(&other.segments);
        let met = pairs.find_map(|(mine, theirs)| match (mine, theirs) {
            (Segment::Rest, _) => Some(!ends_in_slash(other)),
            (_, Segment::Rest) => Some(!ends_in_slash(self)),
            _ => (!mine.meets(theirs)).then_some(false),
        });
        met.unwrap_or(self.segments.len() == other.segments.len())
    }

    /// Whether every path that this template stands for is one of the other's, by
    /// a look at each segment.
    pub(super) fn is_narrower(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(mine, theirs)| match theirs {
            Segment::Rest => true,
            Segment::Any => !matches!(mine, Segment::Rest),
            theirs => mine == theirs,
        })
    }

    /// The segments of what two templates that overlap have in common.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> Vec<&'a Segment> {
        let length = self.segments.len().max(other.segments.len());
        (0..length)
            .filter_map(|at| match (self.segments.get(at), other.segments.get(at)) {
                (Some(Segment::Rest), Some(theirs)) => Some(theirs),
                (Some(mine), Some(Segment::Rest)) => Some(mine),
                (Some(Segment::Any), Some(theirs)) => Some(theirs),
                (Some(mine), _) => Some(mine),
                (None, theirs) => theirs,
            })
            .collect()
    }
}

impl Segment {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(mine), Self::Literal(theirs)) => mine == theirs,
            (Self::Verb(mine), Self::Verb(theirs)) => mine == theirs,
            // A parameter takes neither the empty segment nor one with a colon.
            (Self::Any, Self::Literal(literal)) | (Self::Literal(literal), Self::Any) => {
                !literal.is_empty() && !literal.contains(':')
            }
            (Self::Verb(verb), Self::Literal(literal))
            | (Self::Literal(literal), Self::Verb(verb)) => {
                literal.split_once(':').is_some_and(|(id, rest)| !id.is_empty() && rest == verb)
            }
            (Self::Any, Self::Verb(_)) | (Self::Verb(_), Self::Any) => false,
            _ => true,
        }
    }
}

fn segments(template: &str) -> Result<Vec<Segment>, RouteError> {
    if template.contains('?') {
        return Err(RouteError::Query);
    }
    let path = template.strip_prefix('/').ok_or(RouteError::Path(PathError::NotAbsolute))?;
    let count = path.split('/').count();
    if template.len() > MAX_ROUTE_BYTES || count > MAX_SEGMENTS {
        return Err(RouteError::TooLong);
    }
    let mut names = Vec::new();
    let mut segments = Vec::with_capacity(count);
    for (index, text) in path.split('/').enumerate() {
        let is_last = count.checked_sub(1) == Some(index);
        if text.is_empty() && !is_last {
            return Err(RouteError::Path(PathError::EmptySegment));
        }
        if !text.contains(['{', '}']) {
            exact(format!("/{text}").as_bytes()).map_err(RouteError::Path)?;
            if text.contains('%') {
                return Err(RouteError::Encoded);
            }
            segments.push(Segment::Literal(text.to_owned()));
            continue;
        }
        let (name, segment) =
            parameter(text, is_last).ok_or_else(|| RouteError::Parameter(text.to_owned()))?;
        if names.contains(&name) {
            return Err(RouteError::SameName(name.to_owned()));
        }
        names.push(name);
        segments.push(segment);
    }
    Ok(segments)
}

fn parameter(text: &str, is_last: bool) -> Option<(&str, Segment)> {
    let (name, verb) = text.strip_prefix('{')?.split_once('}')?;
    let (name, segment) = match (name.strip_suffix("=**"), verb.strip_prefix(':')) {
        (Some(name), None) if verb.is_empty() && is_last => (name, Segment::Rest),
        (None, Some(verb)) => (name, Segment::Verb(verb.to_owned())),
        (None, None) if verb.is_empty() => (name, Segment::Any),
        _ => return None,
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = name.len() <= MAX_PARAMETER && name.bytes().all(plain);
    let is_named = is_name && !name.bytes().next()?.is_ascii_digit();
    let is_verb = match &segment {
        Segment::Verb(verb) => is_identifier(verb),
        _ => true,
    };
    (is_named && is_verb).then_some((name, segment))
}

fn is_identifier(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        if let Some(method) = text.strip_prefix("grpc:") {
            return Self::grpc(method.strip_prefix(' ').unwrap_or(method));
        }
        let (method, template) = text.split_once(' ').ok_or(RouteError::Shape)?;
        Self::http(method, template)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
