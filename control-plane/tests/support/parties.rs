//! Relying parties that ask a control plane about each request, and some that are at fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::Api;

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the control plane says.
    Honest,
    /// It lets everything through.
    Open,
    /// It denies whoever has no token, and allows everybody else.
    Deaf,
    /// What is denied is not answered.
    Hangs,
    /// What is denied is answered with 500.
    Breaks,
    /// So many requests are allowed after it should have heard.
    Late(u32),
    /// It sends everybody elsewhere.
    Redirects,
    /// It is for another service.
    WrongService,
}

struct Party {
    way: Way,
    plane: Api,
    allowed_late: AtomicU32,
}

/// Serves such a party, and returns its address.
pub async fn party(plane: &Api, way: Way) -> String {
    let party = Party { way, plane: plane.clone(), allowed_late: AtomicU32::new(0) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::new(party));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/work")
}

async fn answer(State(party): State<Arc<Party>>, headers: HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let reason = match (party.way, token) {
        (Way::Open, _) | (Way::Deaf, Some(_)) => None,
        (Way::Redirects, _) => return Redirect::temporary("/elsewhere").into_response(),
        (_, None) => Some("token_missing".to_owned()),
        (Way::WrongService, Some(_)) => Some("service_denied".to_owned()),
        (_, Some(token)) => {
            let said = party.plane.post("/v1/verify", json!({ "token": token })).await;
            said.expect(200)["reason"].as_str().map(str::to_owned)
        }
    };
    let Some(reason) = reason else { return "done".into_response() };
    match party.way {
        Way::Hangs if token.is_some() => std::future::pending().await,
        Way::Breaks if token.is_some() => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Way::Late(most) if party.allowed_late.fetch_add(1, Ordering::SeqCst) < most => {
            "done".into_response()
        }
        _ => {
            let body = json!({ "type": format!("urn:kya:problem:{reason}"), "status": 403 });
            let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
            (StatusCode::FORBIDDEN, media_type, body.to_string()).into_response()
        }
    }
}
