//! Answers that need not be sent again (RFC 9110 section 13.1.2).

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::describe::{NotModified, Shaped};
use super::problem::{Code, Problem};

/// Whether a list of tags names this one.
pub(super) fn names(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|it| it.strip_prefix("W/").unwrap_or(it)).any(|it| it == "*" || it == tag)
}

/// The record with a tag made of all that it says, or 304 if that is what `headers` know.
pub(super) fn unless_known<T: Serialize>(
    headers: &HeaderMap,
    record: T,
) -> Result<Shaped<(Json<T>, NotModified)>, Problem> {
    let text = serde_json::to_vec(&record)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let digest: [u8; 32] = Sha256::digest(text).into();
    let tag =
        format!("\"{}\"", digest[..16].iter().map(|it| format!("{it:02x}")).collect::<String>());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &tag));
    let tag = [(header::ETAG, tag)];
    Ok(match known {
        true => Shaped::new((StatusCode::NOT_MODIFIED, tag)),
        false => Shaped::new((tag, Json(record))),
    })
}
