//! `kya drill` and a real control plane.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::support::*;

/// A party that asks this control plane about each request, or asks nobody.
async fn party(real: &Real, asks: bool) -> String {
    let asked = asks.then(|| (real.server.http_addr.to_string(), real.key.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/work", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::new(asked));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn answer(
    State(asked): State<Arc<Option<(String, String)>>>,
    headers: HeaderMap,
) -> Response {
    let Some((address, key)) = &*asked else { return "done".into_response() };
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let reason = match token.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => verify(address, key, token).await,
        None => json!("token_missing"),
    };
    let Some(reason) = reason.as_str() else { return "done".into_response() };
    let body = json!({ "type": format!("urn:kya:problem:{reason}"), "status": 403 });
    let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::FORBIDDEN, media_type, body.to_string()).into_response()
}

/// Why a token is denied, or nothing.
async fn verify(address: &str, key: &str, token: &str) -> Value {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(json!({ "token": token }).to_string()));
    let request = Request::post("/v1/verify")
        .header(header::HOST, address)
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&bytes).unwrap()["reason"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_is_run_shown_and_listed() {
    let real = Real::start().await;
    let probe = format!("payments={}", party(&real, true).await);
    let args = ["drill", "run", "--probe", &probe, "--samples", "2", "--rate", "50"];
    let ended = real.kya(&[&args[..], &["--p99", "60s"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.starts_with("Drill: drl_"), "{ended:?}");
    assert!(ended.err.contains(" of 2 samples, running"), "{ended:?}");
    assert!(ended.out.ends_with("\nPassed.\n"), "{ended:?}");
    let row = ended.out.lines().find(|line| line.starts_with("payments")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(&cells[..3], ["payments", "2", "0"], "{row}");
    let id = ended.err.lines().next().unwrap().strip_prefix("Drill: ").unwrap();

    let shown = real.kya(&["drill", "show", id]).await;
    assert_eq!((shown.code, &shown.out), (0, &ended.out));
    let shown = real.kya(&["-o", "json", "drill", "show", id, "--samples"]).await.json();
    assert_eq!(shown["samples"].as_array().unwrap().len(), 2);
    assert_eq!(shown["result"]["passed"], true);
    let listed = real.kya(&["drill", "list"]).await;
    let row: Vec<_> = listed.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[2], row[3]), (id, "passed", "2/2"));
    let stopped = real.kya(&["drill", "stop", id]).await;
    assert_eq!((stopped.code, stopped.out), (0, format!("{id}: passed\n")));
    real.server.shutdown().await;
}

/// A report of each format, which verifies when its server is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_has_the_evidence_of_a_real_drill() {
    let real = Real::start().await;
    let keys = real.kya(&["-o", "json", "audit", "keys"]).await.json();
    let key = keys["keys"][0]["verifier_key"].as_str().unwrap().to_owned();
    let (honest, open) = (party(&real, true).await, party(&real, false).await);
    let probes = [format!("payments={honest}"), format!("open={open}")];
    let probes = ["--probe", &probes[0], "--probe", &probes[1]];
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for act in ["suspend", "revoke"] {
        let args = ["drill", "run", "--samples", "2", "--rate", "50", "--act", act];
        let ended = real.kya(&[&args[..], &probes].concat()).await;
        assert_eq!(ended.code, 8, "{ended:?}");
        let id = ended.err.lines().next().unwrap().strip_prefix("Drill: ").unwrap().to_owned();
        for format in ["html", "pdf", "json"] {
            let out = folder.path().join(format!("{act}.{format}")).display().to_string();
            let args = ["drill", "report", &id, "--format", format, "--out", &out, "--key", &key];
            let ended = real.kya(&args).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            assert!(ended.err.contains("The key is the one that you pinned"), "{ended:?}");
            written.push((out, id.clone()));
        }
    }
    // With no key pinned, the server is believed about its keys, and that is said.
    let unpinned = real.kya(&["drill", "report", &written[0].1]).await;
    assert!(unpinned.out.starts_with("<!doctype html>"), "{unpinned:?}");
    assert!(unpinned.err.contains("No key was pinned"), "{unpinned:?}");
    let missing = ["drill", "report", "drl_01KGQH0RN0EK57VYVZFXYZF3V1"];
    assert_eq!(real.kya(&missing).await.code, 1);
    real.server.shutdown().await;

    for (file, id) in &written {
        let mut verify =
            command("http://127.0.0.1:1", &["-o", "json", "audit", "verify", file, "--key", &key]);
        let ended = end(verify.env_remove("KYA_TOKEN").spawn().unwrap());
        assert_eq!(ended.code, 0, "{ended:?}");
        let drill = ended.json()["files"][0]["drill"].clone();
        assert_eq!((&drill["drill_id"], &drill["state"]), (&json!(id), &json!("failed")));
        assert_eq!(drill["started"]["actor"], "admin");
        let restored = |stop: &Value| stop["restored"]["record"].is_u64();
        let stops = drill["stops"].as_array().unwrap();
        assert_eq!(stops.len(), 2);
        assert_eq!(stops.iter().all(restored), file.contains("suspend"), "{stops:#?}");
        assert!(stops.iter().all(|stop| stop["receipt"]["issued_at"].is_string()));
    }
    // Records of the drill, and no decision or other act.
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(&written[2].0).unwrap()).unwrap();
    let lines = document["export"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let acts = lines.filter(|it| it.contains("\"type\":\"admin\""));
    assert!(acts.clone().all(|it| it.contains(&written[2].1)), "{acts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_does_not_pass_has_an_exit_code_of_its_own() {
    let real = Real::start().await;
    let probe = format!("open={}", party(&real, false).await);
    let args = ["drill", "run", "--probe", &probe, "--samples", "1", "--rate", "20"];
    let ended = real.kya(&args).await;
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.out.contains("NOT PASSED: open: it never rejected the canary"), "{ended:?}");
    assert!(ended.err.ends_with("has not passed: it failed\n"), "{ended:?}");
    let ended = real.kya(&[&["-o", "json"], &args[..]].concat()).await;
    assert_eq!((ended.code, &ended.json()["result"]["never_rejected"]), (8, &json!(["open"])));
    assert_eq!(ended.problem()["code"], "drill_not_passed");
    let production = real.kya(&[&args[..], &["--selector", "env=prod"]].concat()).await;
    assert_eq!(production.code, 1);
    assert!(production.err.contains("production"), "{production:?}");
    real.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_the_drill_and_waits_until_the_canary_is_restored() {
    let real = Real::start().await;
    let probe = party(&real, true).await;
    let args = ["drill", "run", "--probe", &probe, "--samples", "200", "--rate", "50"];
    let child = real.spawn(&args);
    let list = ["-o", "json", "drill", "list"];
    let began = async {
        while real.kya(&list).await.json()["drills"][0]["samples_done"].as_u64() < Some(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), began).await.expect("a sample");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(|| end(child)).await.unwrap();
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.err.contains("Stopping: the canary is being restored"), "{ended:?}");
    assert!(ended.err.ends_with("it was interrupted\n"), "{ended:?}");
    let agents = real.kya(&["-o", "json", "agent", "list"]).await.json();
    let statuses: Vec<_> =
        agents["agents"].as_array().unwrap().iter().map(|agent| &agent["status"]).collect();
    assert_eq!(statuses, ["active"]);
    real.server.shutdown().await;
}
