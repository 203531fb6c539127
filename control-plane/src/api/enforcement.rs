//! The enforcement protocol over HTTP, for proxies: protobuf in, protobuf out.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kya_core::wire::{IntrospectRequest, PullRequest};
use prost::Message;

use super::Api;
use super::extract::{MAX_BODY_BYTES, body_bytes, content_type_is};
use super::problem::{Code, Problem};
use crate::push::Refusal;

pub(super) const MEDIA_TYPE: &str = "application/x-protobuf";

/// A message in the body.
pub(super) struct Protobuf<T>(pub(super) T);

pub(super) async fn pull(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Protobuf<impl Message>, Problem> {
    // Before anything else of the request counts.
    let identity = api.access.authenticate(request.headers(), peer.ip()).await?;
    let Protobuf(request) = Protobuf::<PullRequest>::from_request(request, &()).await?;
    let admits = |node_id: &str| identity.admits(node_id).map_err(Problem::from);
    api.push
        .pull(peer, (identity.name(), identity.is_for_one()), request, admits)
        .await
        .map(Protobuf)
}

pub(super) async fn introspect(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Protobuf<impl Message>, Problem> {
    // Held until the answer is made: whoever is revoked meanwhile gets none.
    let _identity = api.access.authenticate(request.headers(), peer.ip()).await?;
    let Protobuf(request) = Protobuf::<IntrospectRequest>::from_request(request, &()).await?;
    Ok(Protobuf(api.push.introspect(&request).await?))
}

impl<T: Message + Default, S: Send + Sync> FromRequest<S> for Protobuf<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !content_type_is(request.headers(), MEDIA_TYPE) {
            let needed = format!("the body needs the header `content-type: {MEDIA_TYPE}`");
            return Err(Problem::invalid(needed).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = body_bytes(request, state, MAX_BODY_BYTES).await?;
        let broken = |error| Problem::invalid(format!("the body is not such a message: {error}"));
        T::decode(bytes).map(Self).map_err(broken)
    }
}

impl<T: Message> IntoResponse for Protobuf<T> {
    fn into_response(self) -> Response {
        let body = Bytes::from(self.0.encode_to_vec());
        ([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(why) => Self::unprocessable(why.to_string()),
            Refusal::Unavailable(why) => Self::new(Code::Unavailable, why),
        }
    }
}
