//! Capability tokens: a real control plane issues them to an agent that shows its key, and
//! real Envoys let them pass.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use kya_envoy::traffic::{charged_everywhere, denied_everywhere};
use kya_envoy::{Agent, Artifacts, Fleet, FleetOptions};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);
/// What `sidecar.yaml` calls the service behind it.
const SERVICE: &str = "payments";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An agent, and the key by which it asks for tokens.
struct Holder {
    agent: Agent,
    key: SigningKey,
    http: Client,
}

impl Holder {
    async fn register(fleet: &Fleet) -> Result<Self> {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = kya_core::Signer::from_seed(key.to_bytes()).public_key().to_string();
        let body = json!({ "name": "payer", "public_key": public });
        let agent = fleet.api().register_agent_with(body).await?;
        Ok(Self { agent, key, http: Client::new() })
    }

    /// Asks at the token endpoint by an assertion of this name (RFC 7523 section 2.2).
    async fn ask(&self, fleet: &Fleet, jti: &str, audience: &str) -> Result<(StatusCode, Value)> {
        let endpoint = format!("{}/oauth/token", fleet.api().base());
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 60;
        let id = &self.agent.agent_id;
        let claims = json!({ "iss": id, "sub": id, "aud": endpoint, "jti": jti, "exp": expires });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&json!({ "alg": "Ed25519" })), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()).to_bytes());
        let form = format!(
            "grant_type=client_credentials&audience={audience}&client_assertion_type={ASSERTION}\
             &client_assertion={text}.{signature}"
        );
        let request = self.http.post(&endpoint).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    async fn token(&self, fleet: &Fleet, jti: &str, audience: &str) -> Result<String> {
        let (status, answer) = self.ask(fleet, jti, audience).await?;
        ensure!(status == StatusCode::OK, "{status}: {answer}");
        Ok(answer["access_token"].as_str().context("no token")?.to_owned())
    }
}

/// The `jti` of a token.
fn name(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("no JWT")?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok().context("no base64url")?;
    let claims: Value = serde_json::from_slice(&claims)?;
    Ok(claims["jti"].as_str().context("no jti")?.to_owned())
}

/// Makes a change, and waits until every worker has acknowledged it.
async fn change(fleet: &Fleet, path: &str, body: Value) -> Result<()> {
    let change = fleet.api().change(path, body).await?;
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
    ensure!(acks.complete && acks.workers == fleet.workers(), "{acks:?}");
    Ok(())
}

#[tokio::test]
async fn an_agents_own_token_passes_envoy_until_it_or_the_agent_is_stopped() -> Result<()> {
    let options = FleetOptions { issuer: true, ..FleetOptions::default() };
    let artifacts = Artifacts::for_tests()?;
    let fleet = Fleet::start(&artifacts, &options).await?;
    let kya = fleet.kya(&artifacts)?;
    let holder = Holder::register(&fleet).await?;
    fleet.wait_converged().await?;
    let (id, sidecars) = (&holder.agent.agent_id, &fleet.sidecars);

    let first = holder.token(&fleet, "a", SERVICE).await?;
    charged_everywhere(sidecars, &first, id).await?;
    let elsewhere = holder.token(&fleet, "b", "another-service").await?;
    denied_everywhere(sidecars, &elsewhere, 401, "wrong_audience").await?;

    let why = json!({ "reason": "a test" });
    let revoke = format!("capability-tokens/{}/revoke", name(&first)?);
    change(&fleet, &revoke, why.clone()).await?;
    denied_everywhere(sidecars, &first, 401, "token_revoked").await?;
    let second = holder.token(&fleet, "c", SERVICE).await?;
    charged_everywhere(sidecars, &second, id).await?;

    // Suspended, it gets nothing more, and what was issued before goes on until the drain
    // window is over, as is said; unless `abort` says so.
    let suspend = ["agent", "suspend", id, "--reason", "a test", "--wait", "20s"];
    let ended = kya.end(&suspend).await?;
    ensure!(ended.code == Some(0) && ended.out.contains("Acknowledged by 4 of 4"), "{ended:?}");
    ensure!(ended.out.contains("Capability tokens issued before may finish"), "{ended:?}");
    charged_everywhere(sidecars, &second, id).await?;
    let ended = kya.end(&[&suspend[..], &["--in-flight", "abort"]].concat()).await?;
    ensure!(ended.code == Some(0) && ended.out.contains("Acknowledged by 4 of 4"), "{ended:?}");
    ensure!(ended.out.contains("All verify calls will now return DENY"), "{ended:?}");
    denied_everywhere(sidecars, &second, 403, "agent_suspended").await?;
    let (status, answer) = holder.ask(&fleet, "d", SERVICE).await?;
    ensure!(status == StatusCode::BAD_REQUEST, "{status}: {answer}");
    ensure!(answer["error"] == "unauthorized_client", "{answer}");

    change(&fleet, &format!("agents/{id}/restore"), why.clone()).await?;
    let third = holder.token(&fleet, "e", SERVICE).await?;
    charged_everywhere(sidecars, &third, id).await?;
    denied_everywhere(sidecars, &first, 401, "token_revoked").await?;

    change(&fleet, &format!("agents/{id}/revoke"), why).await?;
    denied_everywhere(sidecars, &third, 403, "agent_revoked").await?;
    fleet.finish().await
}
