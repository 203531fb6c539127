//! Relying parties that ask a control plane about each request, and some that are at fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::Api;
use super::certificates::Authority;

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the control plane says.
    Honest,
    /// The same, when so many milliseconds are over.
    Slow(u64),
    /// It lets everything through.
    Open,
    /// It denies whoever has no token that was issued, and allows everybody else.
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
    format!("http://{}/work", serve(plane, way).await)
}

/// The same behind TLS, with a certificate for 127.0.0.1 of this authority.
pub async fn tls_party(plane: &Api, way: Way, authority: &Authority) -> String {
    let party = serve(plane, way).await;
    let acceptor = authority.issue("127.0.0.1").acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(party).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut plain).await
            });
        }
    });
    format!("https://{address}/work")
}

async fn serve(plane: &Api, way: Way) -> SocketAddr {
    let party = Party { way, plane: plane.clone(), allowed_late: AtomicU32::new(0) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::new(party));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(State(party): State<Arc<Party>>, headers: HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if let Way::Slow(millis) = party.way {
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    }
    let reason = match (party.way, token) {
        (Way::Open, _) => None,
        (Way::Redirects, _) => return Redirect::temporary("/elsewhere").into_response(),
        (_, None) => Some("token_missing".to_owned()),
        (Way::WrongService, Some(_)) => Some("service_denied".to_owned()),
        (_, Some(token)) => {
            let said = party.plane.post("/v1/verify", json!({ "token": token })).await;
            let reason = said.expect(200)["reason"].as_str().map(str::to_owned);
            reason.filter(|reason| party.way != Way::Deaf || reason == "token_unknown")
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
