//! A client of the HTTP API that keeps status, headers and JSON together.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Api {
    pub base: String,
    pub key: String,
    client: Client,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub json: Value,
}

impl Api {
    pub fn new(address: &str, key: &str) -> Self {
        Self { base: format!("http://{address}"), key: key.to_owned(), client: Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Sends with the key.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.bearer_auth(&self.key)).await
    }

    pub async fn register(&self, name: &str) -> String {
        self.post("/v1/agents", json!({ "name": name })).await.expect(201)["agent_id"].text()
    }

    pub async fn issue(&self, agent: &str) -> Value {
        self.post("/v1/tokens", json!({ "agent_id": agent })).await.expect(201)
    }

    pub async fn decide(&self, agent: &str, action: &str) -> Answer {
        self.post(&format!("/v1/agents/{agent}/{action}"), json!({ "reason": "a test" })).await
    }

    pub async fn revoke(&self, agent: &str) -> Value {
        self.decide(agent, "revoke").await.expect(200)
    }

    /// Registers a node and returns its credential.
    pub async fn register_node(&self, body: Value) -> String {
        self.post("/v1/nodes", body).await.expect(201)["credential"].text()
    }

    /// Registers, under a new name, a node of any `node.id`.
    pub async fn register_any_node(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("any-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.register_node(json!({ "name": name, "match": "*" })).await
    }

    /// Adds an operator and returns a client with its key.
    pub async fn add_operator(&self, name: &str, role: &str) -> Self {
        let body = json!({ "name": name, "role": role });
        let key = self.post("/v1/operators", body).await.expect(201)["key"].text();
        self.with_key(&key)
    }

    /// The same for whoever has another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub async fn revoke_operator(&self, name: &str) -> Value {
        let why = json!({ "reason": "a test", "incident_id": "INC-9" });
        self.post(&format!("/v1/operators/{name}/revoke"), why).await.expect(200)
    }

    pub async fn revoke_node(&self, name: &str) -> Value {
        let why = json!({ "reason": "a test" });
        self.post(&format!("/v1/nodes/{name}/revoke"), why).await.expect(200)
    }

    pub async fn nodes(&self) -> Vec<Value> {
        self.get("/v1/nodes").await.expect(200)["nodes"].as_array().unwrap().clone()
    }
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let json = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Self { status, headers, json }
    }

    /// The JSON, if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        self.json
    }

    /// The detail of a problem, whose members must all be right.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.json["type"], format!("urn:kya:problem:{code}"));
        assert_eq!(self.json["code"], code);
        assert_eq!(self.json["status"], status);
        assert!(!self.json["title"].text().is_empty());
        self.json["detail"].text()
    }
}

pub trait Text {
    fn text(&self) -> String;
}

impl Text for Value {
    #[track_caller]
    fn text(&self) -> String {
        self.as_str().unwrap_or_else(|| panic!("not a string: {self}")).to_owned()
    }
}
