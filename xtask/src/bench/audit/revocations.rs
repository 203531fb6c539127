//! An operator who revokes at a steady pace, whatever the answers take.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kya_envoy::{Api, unix_ms};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// What can be revoked.
#[derive(Debug)]
pub(super) enum Target {
    Agent(String),
    Token(String),
}

/// One that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Revoked {
    pub(super) revision: u64,
    /// When it was to be sent.
    pub(super) due_unix_ms: f64,
    pub(super) answered_unix_ms: f64,
}

/// So many agents, each with a token: of every second the agent is to be revoked, of the
/// others the token.
pub(super) async fn targets(api: &Api, count: usize) -> Result<Vec<Target>> {
    let mut targets = Vec::with_capacity(count);
    for number in 0..count {
        let agent = api.register_agent(&format!("bench-{number}")).await?.agent_id;
        let token = api.issue_token(&agent).await?.token_id;
        targets.push(match number % 2 {
            0 => Target::Agent(agent),
            _ => Target::Token(token),
        });
    }
    Ok(targets)
}

/// Agents for whom requests are made: a line for each, with its id and the first 16 bytes
/// of the SHA-256 of its token.
pub(super) async fn callers(api: &Api, count: usize) -> Result<String> {
    let mut lines = String::new();
    for number in 0..count {
        let agent = api.register_agent(&format!("caller-{number}")).await?.agent_id;
        let token = api.issue_token(&agent).await?.token;
        let hash = Sha256::digest(token.as_bytes());
        let beginning = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
        lines.push_str(&format!("{agent} {}\n", beginning.collect::<String>()));
    }
    Ok(lines)
}

/// Revokes one in each period, also while earlier ones are not answered. A time counts
/// from when it was due, so that a server that stands still is not spared.
pub(super) async fn revoke(
    api: Api,
    targets: Vec<Target>,
    period: Duration,
) -> Result<Vec<Revoked>> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = JoinSet::new();
    for target in targets {
        ticks.tick().await;
        let (api, due_unix_ms) = (api.clone(), unix_ms());
        tasks.spawn(async move {
            let change = match &target {
                Target::Agent(id) => api.revoke_agent(id, "bench").await,
                Target::Token(id) => api.revoke_token(id, "bench").await,
            };
            let answered_unix_ms = unix_ms();
            let revision = change.with_context(|| format!("{target:?}"))?.revision;
            anyhow::Ok(Revoked { revision, due_unix_ms, answered_unix_ms })
        });
    }
    let mut revoked = Vec::new();
    while let Some(done) = tasks.join_next().await {
        revoked.push(done??);
    }
    Ok(revoked)
}
