//! What asks for capability tokens, as OAuth clients do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use kya_control_plane::config::{Config, IssuerConfig};
use kya_control_plane::push::Limits;
use kya_core::Signer;
use reqwest::Method;
use serde_json::{Value, json};

use super::ControlPlane;
use super::api::{Answer, Api, Text};
use super::issuer::now;

pub const ISSUER: &str = "https://kya.example";
pub const ENDPOINT: &str = "https://kya.example/oauth/token";
pub const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub async fn start() -> ControlPlane {
    start_in(tempfile::tempdir().unwrap()).await
}

pub async fn start_in(dir: tempfile::TempDir) -> ControlPlane {
    let issuer = IssuerConfig { name: ISSUER.to_owned(), max_lifetime: 3600 };
    let config = Config { issuer: Some(issuer), ..Config::ephemeral(dir.path()) };
    ControlPlane::start_as(config, dir, Limits::default()).await
}

/// An agent and its key.
pub struct Agent {
    pub id: String,
    pub signer: Signer,
}

impl Agent {
    pub async fn register(api: &Api, n: u8) -> Self {
        let signer = Signer::from_seed([n; 32]);
        let body = json!({ "name": "payer", "public_key": signer.public_key() });
        let id = api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
        Self { id, signer }
    }

    pub fn claims(&self, jti: &str) -> Value {
        let exp = now() + 60;
        json!({ "iss": self.id, "sub": self.id, "aud": ENDPOINT, "jti": jti, "exp": exp })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&json!({ "alg": "EdDSA" })), encode(claims));
        let key = SigningKey::from_bytes(&self.signer.to_seed());
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes());
        format!("{text}.{signature}")
    }

    /// A form in which it asks, by an assertion of this name.
    pub fn asks<'a>(&self, jti: &str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
        let mut form = vec![
            ("client_assertion_type", ASSERTION.to_owned()),
            ("client_assertion", self.sign(&self.claims(jti))),
        ];
        form.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        form
    }

    pub async fn token(&self, api: &Api, jti: &str, more: &[(&str, &str)]) -> Answer {
        let grant = [&[("grant_type", "client_credentials")], more].concat();
        form(api, "/oauth/token", &self.asks(jti, &grant)).await
    }
}

/// Without a key of an operator.
pub async fn form(api: &Api, path: &str, form: &[(&str, String)]) -> Answer {
    Answer::of(api.request(Method::POST, path).form(form)).await
}

#[track_caller]
pub fn refused(answer: Answer, status: u16, error: &str) -> String {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.json);
    assert_eq!(answer.json["error"], error, "{}", answer.json);
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.json["error_description"].text()
}

pub fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

pub fn kid(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].text()
}

pub async fn revision(api: &Api) -> u64 {
    api.get("/v1/nodes").await.expect(200)["revision"].as_u64().unwrap()
}

pub async fn introspect(api: &Api, token: &str) -> Value {
    let request = api.request(Method::POST, "/oauth/introspect").form(&[("token", token)]);
    api.send(request).await.expect(200)
}
