//! Ways to stop above and below an agent: real control plane, real Envoys.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::{Answer, Caller, reach_every_worker};
use kya_envoy::{Agent, Artifacts, Fleet, FleetOptions, Token, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);
const REFUNDS: &str = "/v1/refunds";

/// Connections that each worker has to answer before a fact about it counts.
const EACH: u64 = 5;

/// An agent and the token that it presents.
struct Holder {
    agent: Agent,
    token: Token,
}

async fn fleet() -> Result<Fleet> {
    Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await
}

async fn holder(fleet: &Fleet, body: Value) -> Result<Holder> {
    let agent = fleet.api().register_agent_with(body).await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    Ok(Holder { agent, token })
}

/// Makes a change, and waits until every worker has acknowledged it.
async fn change(fleet: &Fleet, path: &str, body: Value) -> Result<()> {
    let change = fleet.api().change(path, body).await?;
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
    ensure!(acks.complete && acks.workers == fleet.workers(), "{acks:?}");
    Ok(())
}

/// Charges on every worker of every sidecar, of which all are as expected.
async fn everywhere(
    fleet: &Fleet,
    holder: &Holder,
    expected: impl Fn(&Answer) -> bool,
) -> Result<()> {
    let caller = Caller::with_token(&holder.token.token)?;
    for sidecar in &fleet.sidecars {
        let reached = reach_every_worker(sidecar, EACH, async || caller.charge(sidecar).await);
        reached.await?.all(&expected)?;
    }
    Ok(())
}

async fn allowed(fleet: &Fleet, holder: &Holder) -> Result<()> {
    everywhere(fleet, holder, |answer| answer.is_charge_of(&holder.agent.agent_id)).await
}

async fn denied(fleet: &Fleet, holder: &Holder, reason: &str) -> Result<()> {
    everywhere(fleet, holder, |answer| answer.is_denial(403, reason)).await
}

#[tokio::test]
async fn offboarding_a_principal_denies_every_agent_of_hers_and_no_other() -> Result<()> {
    let fleet = fleet().await?;
    let mut hers = Vec::new();
    for name in ["alice@example.com", "bob@example.com"] {
        fleet.api().add_principal(name).await?;
    }
    for n in 0..3 {
        let body = json!({ "name": format!("hers-{n}"), "owner": "alice@example.com" });
        hers.push(holder(&fleet, body).await?);
    }
    let his = holder(&fleet, json!({ "name": "his", "owner": "bob@example.com" })).await?;
    let nobodys = holder(&fleet, json!({ "name": "nobodys" })).await?;
    fleet.wait_converged().await?;
    for holder in hers.iter().chain([&his, &nobodys]) {
        allowed(&fleet, holder).await?;
    }

    let why = json!({ "reason": "she left" });
    change(&fleet, "principals/alice@example.com/suspend", why.clone()).await?;
    denied(&fleet, &hers[0], "principal_suspended").await?;
    change(&fleet, "principals/alice@example.com/restore", json!({})).await?;
    allowed(&fleet, &hers[0]).await?;

    change(&fleet, "principals/alice@example.com/offboard", why).await?;
    for holder in &hers {
        denied(&fleet, holder, "principal_revoked").await?;
    }
    for holder in [&his, &nobodys] {
        allowed(&fleet, holder).await?;
    }
    fleet.finish().await
}

#[tokio::test]
async fn a_halt_denies_everyone_and_its_end_brings_back_who_was_not_stopped() -> Result<()> {
    let fleet = fleet().await?;
    let (one, other) = (
        holder(&fleet, json!({ "name": "a" })).await?,
        holder(&fleet, json!({ "name": "b" })).await?,
    );
    let gone = holder(&fleet, json!({ "name": "gone" })).await?;
    fleet.api().revoke_agent(&gone.agent.agent_id, "before").await?;
    fleet.wait_converged().await?;
    for holder in [&one, &other] {
        allowed(&fleet, holder).await?;
    }

    change(&fleet, "fleet/halt", json!({ "reason": "everything is wrong" })).await?;
    for holder in [&one, &other, &gone] {
        denied(&fleet, holder, "fleet_halted").await?;
    }
    change(&fleet, "fleet/resume", json!({ "reason": "it is out" })).await?;
    for holder in [&one, &other] {
        allowed(&fleet, holder).await?;
    }
    denied(&fleet, &gone, "agent_revoked").await?;
    fleet.finish().await
}

#[tokio::test]
async fn one_action_is_denied_and_the_agent_goes_on_with_the_others() -> Result<()> {
    let fleet = fleet().await?;
    let (agent, other) = (
        holder(&fleet, json!({ "name": "a" })).await?,
        holder(&fleet, json!({ "name": "b" })).await?,
    );
    let stop = json!({ "action": "issue_refund", "reason": "refund loop" });
    let path = format!("agents/{}/capabilities/revoke", agent.agent.agent_id);
    change(&fleet, &path, stop).await?;
    allowed(&fleet, &agent).await?;
    let refund = json!({ "amount": 1999, "currency": "eur" });
    for holder in [&agent, &other] {
        let caller = Caller::with_token(&holder.token.token)?;
        for sidecar in &fleet.sidecars {
            let reached = reach_every_worker(sidecar, EACH, async || {
                caller.post(sidecar, REFUNDS, &refund).await
            });
            let (id, stopped) = (&holder.agent.agent_id, &agent.agent.agent_id);
            // The service answers a refund as it does a charge.
            reached.await?.all(|answer| match id == stopped {
                true => answer.is_denial(403, "capability_revoked"),
                false => answer.is_charge_of(id),
            })?;
        }
    }
    fleet.finish().await
}

#[tokio::test]
async fn agents_are_stopped_by_their_labels_and_expire_by_themselves() -> Result<()> {
    let fleet = fleet().await?;
    let staging = holder(&fleet, json!({ "name": "s", "labels": { "env": "staging" } })).await?;
    let prod = holder(&fleet, json!({ "name": "p", "labels": { "env": "prod" } })).await?;
    let stop = json!({ "selector": "env=staging", "reason": "noise" });
    change(&fleet, "agents/suspend", stop).await?;
    denied(&fleet, &staging, "agent_suspended").await?;
    allowed(&fleet, &prod).await?;

    let until_then = jiff::Timestamp::now() + Duration::from_secs(3);
    let body = json!({ "name": "short", "expires_at": until_then.to_string() });
    let short = holder(&fleet, body).await?;
    fleet.wait_converged().await?;
    let caller = Caller::with_token(&short.token.token)?;
    for sidecar in &fleet.sidecars {
        until("the agent to expire", LIMIT, async || {
            let answer = caller.charge(sidecar).await?;
            Ok(answer.is_denial(403, "agent_expired").then_some(()))
        })
        .await?;
    }
    denied(&fleet, &short, "agent_expired").await?;
    allowed(&fleet, &prod).await?;
    fleet.finish().await
}
