//! A control plane that dies, hangs, restarts and forgets, under traffic.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::Subject;
use kya_envoy::{Artifacts, Fleet, FleetOptions, Headless, until};

const LIMIT: Duration = Duration::from_secs(30);
/// Answers on every lane that count as going on.
const GOES_ON: usize = 20;

async fn fleet() -> Result<Fleet> {
    Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await
}

/// Starts the control plane again and waits until every worker is back with it.
async fn recover(headless: Headless) -> Result<Fleet> {
    let fleet = headless.recover().await?;
    fleet.wait_converged().await?;
    Ok(fleet)
}

#[tokio::test]
async fn killed_in_the_middle_of_a_kill_it_finishes_when_it_is_back() -> Result<()> {
    let fleet = fleet().await?;
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    let before = Subject::on(&fleet, "killed-before").await?;
    let before_acks = before.kill(fleet.api()).await?;

    // The revocation is committed; SIGKILL comes before anybody asks who knows.
    let change = fleet.api().revoke_agent(&victim.agent.agent_id, "chaos").await?;
    let headless = fleet.crash_control_plane()?;
    spared.wait_allowed(GOES_ON).await?;
    before.wait_served(GOES_ON).await?;
    let fleet = recover(headless).await?;
    // Every proxy has loaded a state that holds it.
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
    ensure!(acks.complete, "{acks:?}");
    let victim_acks = victim.wait_killed(fleet.api(), change.revision).await?;

    let third = Subject::on(&fleet, "killed-after").await?;
    let third_acks = third.kill(fleet.api()).await?;
    before.finish().await?.check_killed(&before_acks, &[])?;
    victim.finish().await?.check_killed(&victim_acks, &[])?;
    third.finish().await?.check_killed(&third_acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

/// SIGSTOP for `pause`, with an agent revoked before and one after.
async fn stopped_for(pause: Duration) -> Result<()> {
    let fleet = fleet().await?;
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    let before = Subject::on(&fleet, "killed-before").await?;
    let before_acks = before.kill(fleet.api()).await?;

    fleet.control_plane.pause()?;
    tokio::time::sleep(pause).await;
    spared.wait_allowed(GOES_ON).await?;
    before.wait_served(GOES_ON).await?;
    fleet.control_plane.resume()?;

    fleet.wait_converged().await?;
    let victim_acks = victim.kill(fleet.api()).await?;
    before.finish().await?.check_killed(&before_acks, &[])?;
    victim.finish().await?.check_killed(&victim_acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
async fn stopped_for_a_moment_it_goes_on_where_it_was() -> Result<()> {
    stopped_for(Duration::from_secs(1)).await
}

#[tokio::test]
#[ignore = "long: 25 s, until Envoy has given up the connection and new streams have timed out"]
async fn stopped_until_the_proxies_have_given_it_up_it_is_found_again() -> Result<()> {
    stopped_for(Duration::from_secs(25)).await
}

#[tokio::test]
#[ignore = "long: five restarts"]
async fn restarted_again_and_again_it_loses_no_kill_and_nobody_notices() -> Result<()> {
    let mut fleet = fleet().await?;
    let spared = Subject::on(&fleet, "spared").await?;
    let mut killed = Vec::new();
    for round in 0..5 {
        let victim = Subject::on(&fleet, &format!("victim-{round}")).await?;
        let acks = victim.kill(fleet.api()).await?;
        killed.push((victim, acks));
        fleet = recover(fleet.stop_control_plane().await?).await?;
        for (victim, _) in &killed {
            victim.wait_served(GOES_ON).await?;
        }
    }
    for (victim, acks) in killed {
        victim.finish().await?.check_killed(&acks, &[])?;
    }
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
async fn put_back_from_an_older_backup_it_revives_nobody() -> Result<()> {
    let fleet = fleet().await?;
    let (late, spared) =
        (Subject::on(&fleet, "killed-late").await?, Subject::on(&fleet, "spared").await?);
    let early = Subject::on(&fleet, "killed-early").await?;
    let early_acks = early.kill(fleet.api()).await?;

    let headless = fleet.stop_control_plane().await?;
    let backup = headless.dir().join("backup");
    headless.control_plane.back_up(&backup)?;
    let fleet = recover(headless).await?;
    let late_acks = late.kill(fleet.api()).await?;

    let headless = fleet.crash_control_plane()?;
    headless.control_plane.restore(&backup)?;
    let fleet = recover(headless).await?;
    // The backup knows nothing of the kill; the proxies do.
    ensure!(fleet.api().agent(&late.agent.agent_id).await?.status == "active");
    late.wait_served(GOES_ON).await?;
    early.wait_served(GOES_ON).await?;

    // What it commands from now on counts.
    let next = Subject::on(&fleet, "killed-next").await?;
    let next_acks = next.kill(fleet.api()).await?;
    // Said again, it is acknowledged again.
    let again = fleet.api().revoke_agent(&late.agent.agent_id, "chaos, again").await?;
    ensure!(again.changed);
    until("the second word on it to be known", LIMIT, async || {
        let acks = fleet.api().acknowledgements(again.revision, Duration::from_secs(1)).await?;
        Ok(acks.complete.then_some(()))
    })
    .await?;

    early.finish().await?.check_killed(&early_acks, &[])?;
    late.finish().await?.check_killed(&late_acks, &[])?;
    next.finish().await?.check_killed(&next_acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}
