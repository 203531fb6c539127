//! Whether a real Envoy is armed is proved by the answers of its workers.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, Fleet, FleetOptions, Proof, until};

const LIMIT: Duration = Duration::from_secs(40);

/// Waits until the proxy is in this state, and returns why.
async fn is(fleet: &Fleet, state: &str) -> Result<String> {
    until(&format!("the proxy to be {state}"), LIMIT, async || {
        let nodes = fleet.api().nodes().await?;
        let connected = nodes.nodes.into_iter().map(|node| node.armed);
        let left = nodes.disconnected.into_iter().map(|node| node.armed);
        let mut all = connected.chain(left);
        Ok(all.find(|armed| armed.state == state).map(|armed| armed.why.unwrap_or_default()))
    })
    .await
}

async fn challenge(fleet: &Fleet) -> Result<Proof> {
    fleet.api().challenge(Some("sidecar-1"), Duration::from_secs(2)).await
}

#[tokio::test]
async fn an_envoy_is_armed_while_its_workers_answer_and_not_a_moment_longer_than_proved()
-> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let options = FleetOptions { sidecars: 1, ..FleetOptions::default() };
    let mut fleet = Fleet::start(&artifacts, &options).await?;
    is(&fleet, "armed").await?;
    let proof = challenge(&fleet).await?;
    ensure!(proof.armed, "{proof:?}");
    let workers = &proof.nodes[0].workers;
    ensure!(workers.len() == 2, "{proof:?}");
    ensure!(workers.iter().all(|worker| worker.answered_after_ms.is_some()), "{proof:?}");

    // It stays connected, and answers nothing.
    fleet.sidecars[0].pause()?;
    fleet.api().register_agent("invoice-bot").await?;
    let proof = challenge(&fleet).await?;
    ensure!(!proof.armed && proof.nodes[0].armed.state == "stale", "{proof:?}");
    let why = proof.nodes[0].armed.why.clone().unwrap_or_default();
    ensure!(why.contains("has not answered the challenge of"), "{proof:?}");
    // And it decides by what was newest before.
    let why = is(&fleet, "stale").await?;
    ensure!(why.contains("decides by revision 0, 1 behind since"), "{why}");

    fleet.sidecars[0].resume()?;
    is(&fleet, "armed").await?;

    let next = fleet.next_sidecar(2)?;
    drop(fleet.sidecars.remove(0));
    let why = is(&fleet, "unknown").await?;
    ensure!(why.contains("it is not connected since"), "{why}");
    ensure!(challenge(&fleet).await.is_err(), "nobody is there to be challenged");

    let back = kya_envoy::SidecarOptions { node_id: "sidecar-1".into(), ..next };
    fleet.start_sidecar(&artifacts, &back).await?;
    is(&fleet, "armed").await?;
    ensure!(challenge(&fleet).await?.armed);
    fleet.finish().await
}
