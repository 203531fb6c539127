//! A control plane alone, with simulated proxies in the place of Envoys.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kya_envoy::{Artifacts, Change, Fleet, FleetOptions, until};

use super::helper::Helper;
use super::seed;
use crate::simulate::Arrived;

/// How long one delta or message may take.
pub(in crate::bench) const LIMIT: Duration = Duration::from_secs(20);
/// Between two things that are measured, so that none is in the way of the next.
pub(in crate::bench) const PAUSE: Duration = Duration::from_millis(50);

/// A control plane without any Envoy.
pub(in crate::bench) async fn control_plane(artifacts: &Artifacts) -> Result<Fleet> {
    let alone = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    Fleet::start(artifacts, &alone).await
}

/// The same with so many tokens in its store.
pub(in crate::bench) async fn with_tokens(artifacts: &Artifacts, tokens: u32) -> Result<Fleet> {
    let fleet = control_plane(artifacts).await?;
    let agent = fleet.api().register_agent("bench-holder").await?;
    fleet.api().issue_token(&agent.agent_id).await?;
    let headless = fleet.stop_control_plane().await?;
    seed::fill(&headless.control_plane.database(), tokens).await.context("the store")?;
    headless.recover().await
}

/// Waits until no proxy is connected any more: there is room for 10,000.
pub(in crate::bench) async fn all_have_left(fleet: &Fleet) -> Result<()> {
    until("all proxies to have left", LIMIT, async || {
        Ok(fleet.api().nodes().await?.nodes.is_empty().then_some(()))
    })
    .await
}

/// How many bytes the delta of a kill is on the wire.
pub(in crate::bench) async fn size_of_a_kill(
    artifacts: &Artifacts,
    fleet: &Fleet,
) -> Result<usize> {
    let mut one = Helper::proxies(artifacts, fleet, &["--count=1".to_owned()]).await?;
    Ok(kill(fleet, &mut one, 0).await.context("a first kill")?.1.bytes)
}

/// Revokes a new agent, and waits until every stream has heard it.
pub(in crate::bench) async fn kill(
    fleet: &Fleet,
    proxies: &mut Helper,
    number: u32,
) -> Result<(Change, Arrived)> {
    let agent = fleet.api().register_agent(&format!("bench-{number}")).await?;
    proxies.delta(agent.revision, LIMIT).await?;
    tokio::time::sleep(PAUSE).await;
    let change = fleet.api().revoke_agent(&agent.agent_id, "bench").await?;
    let arrived = proxies.delta(change.revision, LIMIT).await?;
    Ok((change, arrived))
}

/// From the commit of a kill to the last stream that has it, in ms.
pub(in crate::bench) async fn time_of_a_kill(
    fleet: &Fleet,
    proxies: &mut Helper,
    number: u32,
) -> Result<f64> {
    let (change, arrived) = kill(fleet, proxies, number).await?;
    tokio::time::sleep(PAUSE).await;
    Ok(arrived.last_unix_ms - change.committed_unix_ms)
}
