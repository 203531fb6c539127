//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that makes
//! something is done once, however often it comes.
//!
//! What came of it is recorded, and answered again. No secret is: where the answer had one,
//! it is said what was made, so that it can be revoked and asked for anew.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::extract::{MAX_BODY_BYTES, body_bytes};
use super::problem::{Code, NothingDone, Problem};
use crate::operators::Operator;
use crate::store::{KeyState, KeyedRequest, MAX_KEYS_OF_AN_OPERATOR, Store};

pub(super) const HEADER: &str = "idempotency-key";
/// Characters of a key.
const MAX_KEY: usize = 128;
/// The longest answer that is recorded. One that makes something is shorter.
const MAX_ANSWER_BYTES: usize = 200 * 1024;

/// Requests whose end waits for the store; that of more is not recorded.
static LATER: Semaphore = Semaphore::const_new(256);
/// How long it waits before each try.
const TRIES_AFTER: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// What a request is answered that was done before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Again {
    /// What it was answered then.
    Same,
    /// That answer had a secret. This member of it says what was made.
    Names(&'static str),
}

/// An answer without a secret.
#[derive(Serialize, Deserialize)]
struct Recorded {
    status: u16,
    location: Option<String>,
    body: String,
}

/// The header as the document describes it.
pub(super) fn parameter() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A name of your own for this request, in quotes or without. For 24 hours the same request under it is not done again",
        "schema": {
            "type": "string",
            "pattern": format!("^([!#-\\[\\]-~]{{1,{MAX_KEY}}}|\"[!#-\\[\\]-~]{{1,{MAX_KEY}}}\")$"),
        },
    })
}

/// Does a request, whose body has come, unless it was done before, if it has a key.
pub(super) async fn once(
    store: &Arc<dyn Store>,
    operator: &Operator,
    again: Again,
    request: Request,
    next: Next,
) -> Response {
    match key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => keyed(store, operator, again, (key, request), next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

/// SHA-256 of the key.
fn key(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let mut all = headers.get_all(HEADER).iter();
    let value = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        _ => return Err(Problem::invalid(format!("the header `{HEADER}` comes more than once"))),
    };
    let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let key = bare.unwrap_or(value);
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
    if !(1..=MAX_KEY).contains(&key.len()) || !key.iter().all(is_plain) {
        return Err(Problem::invalid(format!(
            "the header `{HEADER}` must be 1 to {MAX_KEY} visible ASCII characters without `\"` and `\\`, in quotes or not; a UUID is one"
        )));
    }
    Ok(Some(Sha256::digest(key).into()))
}

/// Ends a request with what came of it: when the store does not take that now, later.
async fn end(store: &Arc<dyn Store>, keyed: KeyedRequest, outcome: Option<String>) {
    let Err(error) = store.end_request(keyed.clone(), outcome.clone()).await else { return };
    tracing::error!(%error, "what came of a request with a key is not recorded");
    let Ok(later) = LATER.try_acquire() else { return };
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let _later = later;
        for wait in TRIES_AFTER {
            tokio::time::sleep(wait).await;
            if store.end_request(keyed.clone(), outcome.clone()).await.is_ok() {
                return;
            }
        }
    });
}

async fn keyed(
    store: &Arc<dyn Store>,
    operator: &Operator,
    again: Again,
    (key, request): ([u8; 32], Request),
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let body = body_bytes(whole, &(), MAX_BODY_BYTES).await?;
    let keyed =
        KeyedRequest { operator: operator.name().clone(), key, request: told_apart(&parts, &body) };
    match store.begin_request(keyed.clone()).await? {
        KeyState::Begun => {}
        KeyState::Done(outcome) => return repeat(again, &outcome),
        KeyState::UnderWay => {
            return Err(Problem::new(
                Code::Conflict,
                "a request with this key has begun, and what came of it is not known yet. Ask again; if it stays so, the control plane was interrupted: look for what was to be made before you ask with another key",
            ));
        }
        KeyState::OtherRequest => {
            return Err(Problem::unprocessable(
                "this key was used for another request within 24 hours: take a new key for each",
            ));
        }
        KeyState::TooMany => {
            return Err(Problem::new(
                Code::TooManyRequests,
                format!(
                    "{MAX_KEYS_OF_AN_OPERATOR} keys of this operator are kept for 24 hours each, and no more"
                ),
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    Ok(record(store, keyed, again, response).await)
}

/// Of whatever could make another request of it.
fn told_apart(parts: &axum::http::request::Parts, body: &Bytes) -> [u8; 32] {
    let uri = parts.uri.to_string();
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let all = [parts.method.as_str().as_bytes(), uri.as_bytes(), content_type.unwrap_or_default()];
    let mut digest = Sha256::new();
    for part in all.into_iter().chain([&body[..]]) {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Records what came of it.
async fn record(
    store: &Arc<dyn Store>,
    keyed: KeyedRequest,
    again: Again,
    response: Response,
) -> Response {
    let status = response.status();
    let nothing_done = response.extensions().get::<NothingDone>().is_some();
    // Something may have been made: it stays as if it were under way.
    if status.is_server_error() && !nothing_done {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_ANSWER_BYTES).await else {
        tracing::error!("an answer is too long to be recorded");
        return Problem::new(Code::Internal, "see the server's log").into_response();
    };
    let outcome = status.is_success().then(|| match again {
        Again::Same => {
            let location = parts.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
            let body = String::from_utf8_lossy(&body).into_owned();
            json!(Recorded { status: status.as_u16(), location: location.map(str::to_owned), body })
                .to_string()
        }
        Again::Names(member) => {
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            answer[member].as_str().unwrap_or_default().to_owned()
        }
    });
    end(store, keyed, outcome).await;
    Response::from_parts(parts, Body::from(body))
}

fn repeat(again: Again, outcome: &str) -> Result<Response, Problem> {
    let member = match again {
        Again::Same => {
            let damaged = || Problem::new(Code::Internal, "the recorded answer is damaged");
            let recorded: Recorded = serde_json::from_str(outcome).map_err(|_| damaged())?;
            let status = StatusCode::from_u16(recorded.status).map_err(|_| damaged())?;
            let json = [(header::CONTENT_TYPE, "application/json")];
            let location = recorded.location.map(|location| [(header::LOCATION, location)]);
            return Ok(match location {
                Some(location) => (status, json, location, recorded.body).into_response(),
                None => (status, json, recorded.body).into_response(),
            });
        }
        Again::Names(member) => member,
    };
    Err(Problem::new(
        Code::Conflict,
        format!(
            "the request with this key was done, and made what has the `{member}` {outcome}. Its secret was shown once and is kept nowhere: revoke it, and ask with another key"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_quotes_and_has_no_other_form() {
        let of = |values: &[&[u8]]| {
            let values = values.iter().map(|it| HeaderValue::from_bytes(it).unwrap());
            let name = header::HeaderName::from_static(HEADER);
            key(&values.map(|value| (name.clone(), value)).collect()).map_err(|_| ())
        };
        let uuid = b"8e03978e-40d5-43e8-bc93-6894a57f9324";
        let quoted = [&b"\""[..], uuid, b"\""].concat();
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[uuid]), of(&[&quoted]));
        assert!(of(&[uuid]).unwrap().is_some());
        assert_ne!(of(&[b"a"]), of(&[b"b"]));
        let long = [b'k'; MAX_KEY + 1];
        assert!(of(&[&long[1..]]).unwrap().is_some());
        for wrong in [&b""[..], b"\"\"", b"\"", b"\"a", b"a b", b"a\\b", b"\xc3\xa9", &long] {
            assert_eq!(of(&[wrong]), Err(()), "{wrong:?}");
        }
        assert_eq!(of(&[b"a", b"a"]), Err(()), "twice");
    }

    #[test]
    fn requests_differ_by_method_path_type_and_body() {
        let digest = |method: &str, uri: &str, media_type: &str, body: &'static str| {
            let request = Request::builder().method(method).uri(uri);
            let (parts, ()) =
                request.header("content-type", media_type).body(()).unwrap().into_parts();
            told_apart(&parts, &Bytes::from_static(body.as_bytes()))
        };
        let one = digest("POST", "/agents", "application/json", "{}");
        assert_eq!(one, digest("POST", "/agents", "application/json", "{}"));
        for other in [
            digest("PUT", "/agents", "application/json", "{}"),
            digest("POST", "/agents?a", "application/json", "{}"),
            digest("POST", "/agents", "application/jso", "n{}"),
            digest("POST", "/agents", "application/json", "{} "),
        ] {
            assert_ne!(one, other);
        }
    }
}
