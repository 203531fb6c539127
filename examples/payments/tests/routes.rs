//! The routes, over HTTP.

use kya_payments::{AGENT_HEADER, router};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const AGENT: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";

/// Serves a new ledger until the test ends, and returns its address.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router()).await });
    format!("http://{address}")
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let expected =
        if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected);
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_charge_and_a_refund_name_the_agent_that_made_them() {
    let (server, http) = (start().await, Client::new());
    for (path, id, kind) in [("charges", "ch_000001", "charge"), ("refunds", "re_000002", "refund")]
    {
        let body = json!({"amount": 1250, "currency": "eur", "description": "two books"});
        let request = http.post(format!("{server}/v1/{path}")).header(AGENT_HEADER, AGENT);
        let (status, mut entry) = send(request.json(&body)).await;
        assert_eq!(status, StatusCode::CREATED);
        let at = entry["at"].take();
        assert_eq!(at.as_str().unwrap().len(), "2026-02-05T14:47:23.891Z".len(), "{at}");
        let expected = json!({
            "id": id,
            "kind": kind,
            "amount": 1250,
            "currency": "eur",
            "description": "two books",
            "agent_id": AGENT,
            "at": null,
        });
        assert_eq!(entry, expected);
    }
    let (_, ledger) = send(http.get(format!("{server}/v1/ledger"))).await;
    assert_eq!(ledger["total"], 2);
    let ids: Vec<_> = ledger["entries"].as_array().unwrap().iter().map(|e| &e["id"]).collect();
    assert_eq!(ids, ["ch_000001", "re_000002"]);
}

#[tokio::test]
async fn what_did_not_come_through_the_proxy_is_401_and_not_entered() {
    let (server, http) = (start().await, Client::new());
    for values in [&[][..], &[""], &["billing-agent"], &[AGENT, AGENT]] {
        for path in ["charges", "refunds"] {
            let mut request = http.post(format!("{server}/v1/{path}"));
            for value in values {
                request = request.header(AGENT_HEADER, *value);
            }
            let body = json!({"amount": 1250, "currency": "eur"});
            let (status, problem) = send(request.json(&body)).await;
            assert_eq!((status, &problem["status"]), (StatusCode::UNAUTHORIZED, &json!(401)));
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with("not behind the proxy"), "{detail}");
        }
    }
    let (_, ledger) = send(http.get(format!("{server}/v1/ledger"))).await;
    assert_eq!(ledger, json!({"total": 0, "entries": []}));
}

#[tokio::test]
async fn wrong_input_is_400_with_the_reason_and_not_entered() {
    let (server, http) = (start().await, Client::new());
    for (body, part) in [
        (json!({"currency": "eur"}), "missing field `amount`"),
        (json!({"amount": 1}), "missing field `currency`"),
        (json!({"amount": 0, "currency": "eur"}), "from 1 to 100000000"),
        (json!({"amount": 100_000_001, "currency": "eur"}), "from 1 to 100000000"),
        (json!({"amount": -1, "currency": "eur"}), "amount"),
        (json!({"amount": 12.5, "currency": "eur"}), "amount"),
        (json!({"amount": "1", "currency": "eur"}), "amount"),
        (json!({"amount": 1, "currency": "EUR"}), "three lower-case letters"),
        (json!({"amount": 1, "currency": "euro"}), "three lower-case letters"),
        (json!({"amount": 1, "currency": "eu€"}), "three lower-case letters"),
        (json!({"amount": 1, "currency": "eur", "description": "x".repeat(257)}), "at most 256"),
        (json!([]), "invalid length"),
        (json!(null), "invalid type"),
    ] {
        let request = http.post(format!("{server}/v1/charges")).header(AGENT_HEADER, AGENT);
        let (status, problem) = send(request.json(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{body}: {detail:?} does not say {part:?}");
    }
    let charges = || http.post(format!("{server}/v1/charges")).header(AGENT_HEADER, AGENT);
    let json =
        |body: &str| charges().header("content-type", "application/json").body(body.to_owned());
    assert_eq!(send(json("{")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(json("")).await.0, StatusCode::BAD_REQUEST);
    let untyped = charges().body("{\"amount\": 1, \"currency\": \"eur\"}");
    assert_eq!(send(untyped).await.0, StatusCode::BAD_REQUEST);
    let large = json(&" ".repeat(17 * 1024));
    assert_eq!(send(large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (_, ledger) = send(http.get(format!("{server}/v1/ledger"))).await;
    assert_eq!(ledger["total"], 0);
}

#[tokio::test]
async fn the_ledger_keeps_the_last_thousand() {
    let (server, http) = (start().await, Client::new());
    for amount in 1..=1003 {
        let request = http.post(format!("{server}/v1/charges")).header(AGENT_HEADER, AGENT);
        let (status, _) = send(request.json(&json!({"amount": amount, "currency": "eur"}))).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let (_, ledger) = send(http.get(format!("{server}/v1/ledger"))).await;
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!((&ledger["total"], entries.len()), (&json!(1003), 1000));
    assert_eq!((&entries[0]["amount"], &entries[999]["amount"]), (&json!(4), &json!(1003)));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let (server, http) = (start().await, Client::new());
    assert_eq!(send(http.get(format!("{server}/v1/x"))).await.0, StatusCode::NOT_FOUND);
    let wrong_method = send(http.get(format!("{server}/v1/charges"))).await;
    assert_eq!(wrong_method.0, StatusCode::METHOD_NOT_ALLOWED);
    let health = http.get(format!("{server}/healthz")).send().await.unwrap();
    assert_eq!((health.status(), &*health.text().await.unwrap()), (StatusCode::OK, "ok"));
}
