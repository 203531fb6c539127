//! An Envoy that is replaced by another under traffic: hot restart, in which two
//! processes share the listening socket while the old one drains.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::{Lane, Outcome, Subject};
use kya_envoy::{
    Artifacts, Changes, Fleet, FleetOptions, Sidecar, SidecarOptions, reserve_port, unix_ms, until,
};

const LIMIT: Duration = Duration::from_secs(40);
const GOES_ON: usize = 20;
const LANES: usize = 3;

/// A fleet of one Envoy that can be followed by another, and what it was started with.
async fn fleet(artifacts: &Artifacts) -> Result<(Fleet, SidecarOptions)> {
    let nobody = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    let mut fleet = Fleet::start(artifacts, &nobody).await?;
    let mut options = fleet.next_sidecar(2)?;
    // The new process asks for the socket by its address, so it must have one.
    let listen = SocketAddr::from(([127, 0, 0, 1], reserve_port()?));
    options.changes =
        Changes { listen: Some(listen), restart_epoch: Some(0), ..Changes::default() }
            .argument("--drain-time-s", "3")
            .argument("--drain-strategy", "immediate")
            .argument("--parent-shutdown-time-s", "5");
    fleet.start_sidecar(artifacts, &options).await?;
    fleet.wait_converged().await?;
    Ok((fleet, options))
}

async fn newcomer(fleet: &Fleet, name: &str) -> Result<Subject> {
    Subject::start(fleet.api(), name, Lane::fresh_to_all(&fleet.sidecars, LANES)?).await
}

async fn keeper(fleet: &Fleet, name: &str) -> Result<Subject> {
    let lanes = Lane::kept_to_all(&fleet.sidecars, LANES).await?;
    Subject::start(fleet.api(), name, lanes).await
}

/// Starts the next Envoy, which takes the place of the newest, and returns that.
async fn replace(
    artifacts: &Artifacts,
    fleet: &mut Fleet,
    options: &mut SidecarOptions,
) -> Result<Sidecar> {
    options.changes.restart_epoch = options.changes.restart_epoch.map(|epoch| epoch + 1);
    fleet.start_sidecar(artifacts, options).await?;
    Ok(fleet.sidecars.remove(0))
}

/// Waits until the old process and the new one are both connected.
async fn two_streams(fleet: &Fleet) -> Result<()> {
    until("both processes to be connected", LIMIT, async || {
        let nodes = fleet.api().nodes().await?.nodes;
        Ok((nodes.len() == 2 && nodes.iter().all(|node| !node.workers.is_empty())).then_some(()))
    })
    .await
}

#[tokio::test]
#[ignore = "long: three hot restarts"]
async fn hot_restarts_let_nobody_through() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let (mut fleet, mut options) = fleet(&artifacts).await?;
    let mut killed = Vec::new();
    for round in 1..=3 {
        let name = |when: &str| format!("killed-{when}-{round}");
        let spared = newcomer(&fleet, &format!("spared-{round}")).await?;
        let early = newcomer(&fleet, &name("early")).await?;
        let comes = newcomer(&fleet, &name("while-one-comes")).await?;
        let goes = keeper(&fleet, &name("while-one-goes")).await?;
        let stays = keeper(&fleet, &format!("spared-while-one-goes-{round}")).await?;
        let early_acks = early.kill(fleet.api()).await?;

        let from = unix_ms();
        let mut old = replace(&artifacts, &mut fleet, &mut options).await?;
        // Both processes decide now, and both have to acknowledge.
        let goes_acks = goes.kill(fleet.api()).await?;
        let comes_acks = comes.kill(fleet.api()).await?;
        two_streams(&fleet).await?;
        fleet.wait_current().await?;
        let synced = unix_ms();
        spared.wait_served(GOES_ON).await?;
        until("the old Envoy to end", LIMIT, async || Ok((!old.is_running()?).then_some(())))
            .await?;

        // Its workers are forgotten, and no others.
        until("the old workers to be forgotten", LIMIT, async || {
            let nodes = fleet.api().nodes().await?.nodes;
            let workers: usize = nodes.iter().map(|node| node.workers.len()).sum();
            Ok(((nodes.len(), workers) == (1, fleet.workers())).then_some(()))
        })
        .await?;
        fleet.wait_converged().await?;
        let late = newcomer(&fleet, &name("late")).await?;
        let late_acks = late.kill(fleet.api()).await?;
        ensure!((late_acks.proxies, late_acks.workers) == (1, fleet.workers()), "{late_acks:?}");

        early.wait_served(GOES_ON).await?;
        goes.finish().await?.check_not_revived(&goes_acks)?;
        stays.finish().await?.check_answers("denied", |sample| {
            sample.outcome == Outcome::Allowed || sample.status.is_none()
        })?;
        // The new process denies until it has its first state, as every Envoy that
        // starts; it serves before that, since no filter can keep it from it.
        spared.finish().await?.check_answers("not allowed", |sample| {
            let unsynced = sample.status == Some(503)
                && sample.answered_unix_ms > from
                && sample.sent_unix_ms < synced;
            sample.outcome == Outcome::Allowed || unsynced
        })?;
        killed.extend([(early, early_acks), (comes, comes_acks), (late, late_acks)]);
    }
    for (victim, acks) in killed {
        victim.finish().await?.check_killed(&acks, &[503])?;
    }
    fleet.finish().await
}
