//! Checkpoints of the audit trail that are put to an address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use kya_control_plane::config::{AnchorUrl, AuditConfig, Config};
use kya_control_plane::{RunningServer, Server};
use kya_core::audit::{SignedCheckpoint, VerifierKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// What was put where.
type Put = (String, String);

/// A store that refuses what comes first.
#[derive(Clone)]
struct Store {
    refused: Arc<AtomicBool>,
    puts: mpsc::Sender<Put>,
}

async fn keep(State(store): State<Store>, Path(name): Path<String>, note: String) -> StatusCode {
    store.puts.send((name, note)).await.unwrap();
    match store.refused.swap(true, Ordering::SeqCst) {
        true => StatusCode::CREATED,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn server(dir: &std::path::Path, url: &str) -> RunningServer {
    let anchor_url = Some(AnchorUrl::new(url).unwrap());
    let audit = AuditConfig { anchor_url, ..AuditConfig::default() };
    Server::start(Config { audit, ..Config::ephemeral(dir) }).await.unwrap()
}

async fn key(server: &RunningServer) -> VerifierKey {
    server.trail().store().keys().await.unwrap()[0].verifier_key.parse().unwrap()
}

#[tokio::test]
async fn checkpoints_arrive_at_an_address_and_are_sent_again_where_they_did_not() {
    let (puts, mut seen) = mpsc::channel(16);
    let store = Store { refused: Arc::default(), puts };
    let app = Router::new().route("/kya/{name}", put(keep)).with_state(store);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });

    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{address}/kya/{{size}}.checkpoint?signature=of-the-address");
    let server = server(&dir.path().join("data"), &url).await;
    let key = key(&server).await;
    // The first is refused.
    for _ in 0..2 {
        let (name, note) = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
        let signed = SignedCheckpoint::parse(&note).unwrap();
        let size = signed.verified_by(&key).expect("signed by the key of the trail").size;
        assert_eq!(name, format!("{size}.checkpoint"));
    }
    let figures = format!("http://{}/metrics", server.http_addr);
    let figures = reqwest::get(figures).await.unwrap().text().await.unwrap();
    assert!(figures.contains("kya_audit_anchored_total{outcome=\"failed\"} 1"), "{figures}");
    server.shutdown().await;
}

#[tokio::test]
async fn the_trail_waits_for_no_address() {
    // It takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}/checkpoint", silent.local_addr().unwrap());
    let server = server(&dir.path().join("data"), &url).await;
    // The one that is on its way waits for an answer.
    let (_connection, _) = timeout(PATIENCE, silent.accept()).await.unwrap().unwrap();
    server.trail().finish().await;
    let store = server.trail().store();
    let before = store.head().await.unwrap().checkpoint.0;
    let lost = kya_core::audit::Entry::Restored(kya_core::audit::Restored {
        event: 0,
        known: 0,
        epoch: 1,
        trail_size: None,
        replaced_size: None,
    });
    server.trail().add(vec![(kya_core::audit::Timestamp(1), lost)]).await.unwrap();
    server.trail().finish().await;
    assert!(store.head().await.unwrap().checkpoint.0 > before);
    server.shutdown().await;
}
