//! The signing key is replaced while real Envoys answer: nobody who is active is
//! denied for it, and nobody who is revoked is let through.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::Caller;
use kya_envoy::{Agent, Artifacts, Fleet, FleetOptions, Sidecar, Token, until};
use tokio::sync::watch;
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(20);
/// Between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(5);

/// Charges until it is told to stop, each on a connection of its own. Every answer
/// must be what the caller expects.
async fn charge(
    caller: &Caller,
    sidecar: &Sidecar,
    expected: impl Fn(&kya_envoy::traffic::Answer) -> bool,
    stop: watch::Receiver<bool>,
) -> Result<u64> {
    let mut count = 0;
    while !*stop.borrow() {
        let answer = caller.charge(sidecar).await?;
        ensure!(expected(&answer), "after {count} others: {answer:?}");
        count += 1;
        sleep(PAUSE).await;
    }
    Ok(count)
}

async fn agent_with_token(fleet: &Fleet, name: &str) -> Result<(Agent, Token)> {
    let agent = fleet.api().register_agent(name).await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    Ok((agent, token))
}

/// Takes a step and waits until every worker has it.
async fn step(fleet: &Fleet, name: &str) -> Result<()> {
    let change = fleet.api().key_step(name).await?;
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
    ensure!(acks.complete, "{name}: {acks:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_notices_that_the_key_is_replaced() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let mut fleet = Fleet::start(&artifacts, &FleetOptions::default()).await?;
    let old = fleet.control_plane.public_key()?;
    let (active, active_token) = agent_with_token(&fleet, "invoice-bot").await?;
    let (revoked, revoked_token) = agent_with_token(&fleet, "report-bot").await?;
    let change = fleet.api().revoke_agent(&revoked.agent_id, "charges nobody ordered").await?;
    ensure!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);

    let (end, stop) = watch::channel(false);
    let (allowed, denied) =
        (Caller::with_token(&active_token.token)?, Caller::with_token(&revoked_token.token)?);
    let is_charge = |answer: &_| kya_envoy::traffic::Answer::is_charge_of(answer, &active.agent_id);
    let is_denial =
        |answer: &_| kya_envoy::traffic::Answer::is_denial(answer, 403, "agent_revoked");
    let rotation = async {
        for name in ["announce", "activate", "retire"] {
            step(&fleet, name).await?;
            // Heartbeats, pulls and ticks come and go.
            sleep(Duration::from_millis(1_500)).await;
        }
        end.send(true)?;
        anyhow::Ok(())
    };
    let [one, two] = [&fleet.sidecars[0], &fleet.sidecars[1]];
    let (rotated, a, b, c, d) = tokio::join!(
        rotation,
        charge(&allowed, one, is_charge, stop.clone()),
        charge(&allowed, two, is_charge, stop.clone()),
        charge(&denied, one, is_denial, stop.clone()),
        charge(&denied, two, is_denial, stop.clone()),
    );
    rotated?;
    for count in [a?, b?, c?, d?] {
        ensure!(count > 50, "only {count} requests during the rotation");
    }

    // A revocation that the new key alone has signed stops the other, too.
    let change = fleet.api().revoke_agent(&active.agent_id, "a test").await?;
    ensure!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);
    for sidecar in &fleet.sidecars {
        let answer = allowed.charge(sidecar).await?;
        ensure!(answer.is_denial(403, "agent_revoked"), "{answer:?}");
        let stats = sidecar.stats().await?;
        ensure!(stats.get("wasmcustom.kya.update.rejected.unknown_key") == 0, "{stats:?}");
    }

    // One that starts now learns the chain, or pins the new key.
    let new = fleet.control_plane.public_key()?;
    ensure!(new != old, "the key is another one");
    let (agent, token) = agent_with_token(&fleet, "late-bot").await?;
    for key in [&old, &new] {
        let mut late = fleet.next_sidecar(2)?;
        late.update_key = key.clone();
        fleet.start_sidecar(&artifacts, &late).await?;
    }
    fleet.wait_converged().await?;
    let caller = Caller::with_token(&token.token)?;
    for sidecar in &fleet.sidecars[2..] {
        until("a charge", LIMIT, async || {
            Ok(caller.charge(sidecar).await?.is_charge_of(&agent.agent_id).then_some(()))
        })
        .await?;
        let stats = sidecar.stats().await?;
        ensure!(stats.get("wasmcustom.kya.update.rejected.unknown_key") == 0, "{stats:?}");
    }
    fleet.finish().await
}
