//! What a kill does, and what it leaves alone: real control plane, real Envoys.

use std::time::Duration;

use anyhow::Result;
use kya_envoy::traffic::{Caller, reach_every_worker};
use kya_envoy::{Agent, Artifacts, Fleet, FleetOptions, Token, until};

const LIMIT: Duration = Duration::from_secs(10);

/// Connections that each worker has to answer before a fact about it counts.
const EACH: u64 = 5;

async fn fleet() -> Result<Fleet> {
    Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await
}

async fn agent_with_token(fleet: &Fleet, name: &str) -> Result<(Agent, Token)> {
    let agent = fleet.api().register_agent(name).await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    Ok((agent, token))
}

/// Charges on every worker of every sidecar: all made, in the name of `agent`.
async fn allowed_everywhere(fleet: &Fleet, agent: &Agent, token: &Token) -> Result<u64> {
    let caller = Caller::with_token(&token.token)?;
    let mut count = 0;
    for sidecar in &fleet.sidecars {
        let reached = reach_every_worker(sidecar, EACH, async || caller.charge(sidecar).await);
        count += reached.await?.all(|answer| answer.is_charge_of(&agent.agent_id))?;
    }
    Ok(count)
}

/// Charges on every worker of every sidecar: all denied.
async fn denied_everywhere(fleet: &Fleet, token: &Token, status: u16, reason: &str) -> Result<u64> {
    let caller = Caller::with_token(&token.token)?;
    let mut count = 0;
    for sidecar in &fleet.sidecars {
        let reached = reach_every_worker(sidecar, EACH, async || caller.charge(sidecar).await);
        count += reached.await?.all(|answer| answer.is_denial(status, reason))?;
    }
    Ok(count)
}

/// Decisions of all sidecars together, by reason.
async fn counted(fleet: &Fleet, reason: &str) -> Result<u64> {
    let mut count = 0;
    for sidecar in &fleet.sidecars {
        count += sidecar.stats().await?.decisions(reason);
    }
    Ok(count)
}

#[tokio::test]
async fn a_revoked_agent_is_denied_by_every_worker_and_nobody_else_is() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;
    let (other, other_token) = agent_with_token(&fleet, "report-bot").await?;
    fleet.wait_converged().await?;
    let mut allowed = allowed_everywhere(&fleet, &agent, &token).await?;

    let change = fleet.api().revoke_agent(&agent.agent_id, "charges nobody ordered").await?;
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;

    assert!(acks.complete, "{acks:?}");
    assert_eq!((acks.proxies, acks.workers, acks.workers_acknowledged), (2, 4, 4));
    let mut rows: Vec<_> =
        acks.acknowledgements.iter().map(|ack| (ack.node_id.as_str(), ack.slot)).collect();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), 4, "every worker has a row of its own: {acks:?}");

    // From the acknowledgement on there is nothing to wait for.
    let denied = denied_everywhere(&fleet, &token, 403, "agent_revoked").await?;
    allowed += allowed_everywhere(&fleet, &other, &other_token).await?;

    // What Envoy counted is what the agents were told, no more and no less.
    assert_eq!(counted(&fleet, "allow").await?, allowed);
    assert_eq!(counted(&fleet, "agent_revoked").await?, denied);
    for sidecar in &fleet.sidecars {
        let stats = sidecar.stats().await?;
        let reasons: Vec<_> = stats.all_decisions().into_keys().collect();
        assert_eq!(reasons, ["agent_revoked", "allow"]);
        assert_eq!(stats.get("wasmcustom.kya.revision"), change.revision);
        // The leader counts the workers when it ticks.
        until("the leader to have counted two workers", LIMIT, async || {
            let workers = sidecar.stats().await?.get("wasmcustom.kya.workers");
            Ok((workers == 2).then_some(()))
        })
        .await?;
    }
    assert_eq!(fleet.upstream.total().await?, allowed, "no denied charge reached the service");
    fleet.finish().await
}

#[tokio::test]
async fn a_denial_says_who_why_and_since_when() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;
    fleet.wait_converged().await?;
    let change = fleet.api().revoke_agent(&agent.agent_id, "compromised").await?;
    fleet.wait_converged().await?;

    let answer = Caller::with_token(&token.token)?.charge(&fleet.sidecars[0]).await?;

    assert!(answer.is_denial(403, "agent_revoked"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.body["type"], "urn:kya:problem:agent_revoked");
    assert_eq!(answer.body["status"], 403);
    assert_eq!(answer.body["agent_id"], agent.agent_id);
    assert_eq!(answer.body["revision"], change.revision);
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    assert!(!format!("{answer:?}").contains(&token.token), "the token is not sent back");
    fleet.finish().await
}

#[tokio::test]
async fn an_agent_cannot_name_itself() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;
    let (victim, _) = agent_with_token(&fleet, "report-bot").await?;
    fleet.wait_converged().await?;
    let sidecar = &fleet.sidecars[0];

    let liar = Caller::with_token(&token.token)?
        .header("x-kya-agent-id", &victim.agent_id)?
        .header("x-kya-agent-id", &victim.agent_id)?;
    let answer = liar.charge(sidecar).await?;
    assert!(answer.is_charge_of(&agent.agent_id), "{answer:?}");

    let anonymous = Caller::anonymous()?.header("x-kya-agent-id", &victim.agent_id)?;
    let answer = anonymous.charge(sidecar).await?;
    assert!(answer.is_denial(401, "token_missing"), "{answer:?}");

    // Many services take the underscore for a dash.
    let smuggler = Caller::with_token(&token.token)?.header("x_kya_agent_id", &victim.agent_id)?;
    let answer = smuggler.charge(sidecar).await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(fleet.upstream.total().await?, 1);
    fleet.finish().await
}

#[tokio::test]
async fn a_suspension_holds_everywhere_until_it_is_taken_back() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;

    let change = fleet.api().suspend_agent(&agent.agent_id, "taking a look").await?;
    assert!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);
    denied_everywhere(&fleet, &token, 403, "agent_suspended").await?;

    let change = fleet.api().restore_agent(&agent.agent_id).await?;
    assert!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);
    allowed_everywhere(&fleet, &agent, &token).await?;
    fleet.finish().await
}

#[tokio::test]
async fn one_token_can_be_taken_back_without_the_agent() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, stolen) = agent_with_token(&fleet, "invoice-bot").await?;
    let kept = fleet.api().issue_token(&agent.agent_id).await?;

    let change = fleet.api().revoke_token(&stolen.token_id, "pasted into a chat").await?;
    assert!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);

    denied_everywhere(&fleet, &stolen, 401, "token_revoked").await?;
    allowed_everywhere(&fleet, &agent, &kept).await?;
    fleet.finish().await
}
