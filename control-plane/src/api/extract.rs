//! Reading requests. Every rejection is a [`Problem`] that names the field.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::{Code, Problem};

/// The largest body that is read.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON object in the body. No body at all is an empty object.
pub(super) struct Body<T>(pub(super) T);

/// The query string.
pub(super) struct Params<T>(pub(super) T);

/// The one variable segment of the path.
pub(super) struct Segment<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = content_type_is(request.headers(), "application/json");
        let bytes = body_bytes(request, state, MAX_BODY_BYTES).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !is_json {
            return Err(Problem::invalid(
                "a body needs the header `content-type: application/json`",
            )
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        parse(&bytes).map(Self)
    }
}

/// The body, up to the limit of its route.
pub(super) async fn body_bytes<S: Send + Sync>(
    request: Request,
    state: &S,
    limit: usize,
) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::PayloadTooLarge, format!("a body has at most {limit} bytes"))
        }
        _ => Problem::invalid("the body ended early"),
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Derived readers also take an array of the fields in their order.
    if !bytes.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
    {
        return Err(Problem::unprocessable("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let detail = match path.as_str() {
            "." => inner.to_string(),
            field => format!("`{field}`: {inner}"),
        };
        match inner.classify() {
            serde_json::error::Category::Data => Problem::unprocessable(detail),
            _ => Problem::invalid(format!("the body is not JSON: {detail}")),
        }
    })?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(Problem::invalid(format!("the body is not JSON: {error}"))),
    }
}

/// Whether the body is said to be of this media type, with whatever parameters.
pub(super) fn content_type_is(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media_type)
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ");
                Err(Problem::invalid(format!("in the query: {}", why.unwrap_or(&text))))
            }
        }
    }
}

impl<T: FromStr<Err: ToString>, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::invalid(format!("in the path: {rejection}")))?;
        match text.parse() {
            Ok(value) => Ok(Self(value)),
            Err(why) => Err(Problem::invalid(format!("in the path: {}", why.to_string()))),
        }
    }
}
