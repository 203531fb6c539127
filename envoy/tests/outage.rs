//! A control plane that is not there: before the first start, in a crash, after one.

use std::time::Duration;

use anyhow::Result;
use kya_envoy::traffic::{Caller, reach_every_worker};
use kya_envoy::{
    Agent, Artifacts, Changes, Downed, Fleet, FleetOptions, RunDir, Sidecar, SidecarOptions, Token,
    Upstream, until,
};

const LIMIT: Duration = Duration::from_secs(20);

async fn agent_with_token(fleet: &Fleet, name: &str) -> Result<(Agent, Token)> {
    let agent = fleet.api().register_agent(name).await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    Ok((agent, token))
}

async fn every_worker_denies(
    sidecar: &Sidecar,
    token: &str,
    status: u16,
    reason: &str,
) -> Result<()> {
    let caller = Caller::with_token(token)?;
    let reached = reach_every_worker(sidecar, 3, async || caller.charge(sidecar).await).await?;
    reached.all(|answer| answer.is_denial(status, reason))?;
    Ok(())
}

async fn every_worker_allows(sidecar: &Sidecar, agent: &Agent, token: &Token) -> Result<()> {
    let caller = Caller::with_token(&token.token)?;
    let reached = reach_every_worker(sidecar, 3, async || caller.charge(sidecar).await).await?;
    reached.all(|answer| answer.is_charge_of(&agent.agent_id))?;
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_never_saw_a_control_plane_denies_until_it_does() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let dir = RunDir::new(&artifacts)?;
    // It has run before, so that the proxy is registered.
    let control_plane = Downed::new(&artifacts, dir.path())?.start().await?;
    let addresses = control_plane.addresses();
    let node_credential = control_plane.node_credential()?.to_owned();
    let (absent, _) = control_plane.stop().await?;
    let upstream = Upstream::start(&artifacts, dir.path()).await?;
    let options = SidecarOptions {
        node_id: "sidecar-1".into(),
        workers: 2,
        upstream: upstream.address(),
        control_plane: addresses.grpc,
        control_plane_http: addresses.http,
        update_key: absent.public_key()?,
        node_credential,
        changes: Changes::default(),
    };
    let mut sidecar = Sidecar::start(&artifacts, &options, dir.path()).await?;

    every_worker_denies(&sidecar, "at_whatever", 503, "unsynced").await?;
    assert_eq!(upstream.total().await?, 0);

    let control_plane = absent.start().await?;
    let api = control_plane.api();
    let agent = api.register_agent("invoice-bot").await?;
    let token = api.issue_token(&agent.agent_id).await?;
    let connected = async || {
        let acks = api.acknowledgements(token.revision, Duration::from_secs(1)).await?;
        Ok(acks.complete.then_some(()))
    };
    until("the proxy to find the control plane", LIMIT, connected).await?;
    every_worker_allows(&sidecar, &agent, &token).await?;

    sidecar.check_sound().await?;
    drop((sidecar, upstream, control_plane));
    dir.remove()
}

#[tokio::test]
async fn updates_that_a_stranger_has_signed_change_nothing() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let (dir, other_dir) = (RunDir::new(&artifacts)?, RunDir::new(&artifacts)?);
    let control_plane = Downed::new(&artifacts, dir.path())?.start().await?;
    let agent = control_plane.api().register_agent("invoice-bot").await?;
    let token = control_plane.api().issue_token(&agent.agent_id).await?;
    let upstream = Upstream::start(&artifacts, dir.path()).await?;
    let options = SidecarOptions {
        node_id: "sidecar-1".into(),
        workers: 2,
        upstream: upstream.address(),
        control_plane: control_plane.addresses().grpc,
        control_plane_http: control_plane.addresses().http,
        node_credential: control_plane.node_credential()?.to_owned(),
        // The key of a control plane that is not the one it is connected to.
        update_key: Downed::new(&artifacts, other_dir.path())?.public_key()?,
        changes: Changes::default(),
    };
    let mut sidecar = Sidecar::start(&artifacts, &options, dir.path()).await?;

    until("an update to be refused", LIMIT, async || {
        let refused = sidecar.stats().await?.refused_updates();
        Ok((refused > 0).then_some(()))
    })
    .await?;
    every_worker_denies(&sidecar, &token.token, 503, "unsynced").await?;

    sidecar.check_sound().await?;
    drop((sidecar, upstream, control_plane));
    dir.remove()?;
    other_dir.remove()
}

#[tokio::test]
async fn a_revocation_outlives_a_crash_right_after_it() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let fleet = Fleet::start(&artifacts, &FleetOptions::default()).await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;
    let (other, other_token) = agent_with_token(&fleet, "report-bot").await?;
    fleet.wait_converged().await?;

    let change = fleet.api().revoke_agent(&agent.agent_id, "compromised").await?;
    let mut fleet = fleet.crash_control_plane()?.recover().await?;

    assert_eq!(fleet.api().agent(&agent.agent_id).await?.status, "revoked");
    assert!(!fleet.api().revoke_agent(&agent.agent_id, "again").await?.changed);
    // A proxy that has never heard of the revocation joins.
    fleet.add_sidecar(&artifacts, 2).await?;
    fleet.wait_converged().await?;
    assert!(fleet.api().nodes().await?.revision >= change.revision);
    for sidecar in &fleet.sidecars {
        every_worker_denies(sidecar, &token.token, 403, "agent_revoked").await?;
        every_worker_allows(sidecar, &other, &other_token).await?;
    }
    fleet.finish().await
}

#[tokio::test]
async fn without_the_control_plane_proxies_decide_by_what_they_know() -> Result<()> {
    let fleet = Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await?;
    let (agent, token) = agent_with_token(&fleet, "invoice-bot").await?;
    let (revoked, revoked_token) = agent_with_token(&fleet, "report-bot").await?;
    fleet.api().revoke_agent(&revoked.agent_id, "compromised").await?;
    fleet.wait_converged().await?;

    let headless = fleet.crash_control_plane()?;
    for sidecar in &headless.sidecars {
        every_worker_allows(sidecar, &agent, &token).await?;
        every_worker_denies(sidecar, &revoked_token.token, 403, "agent_revoked").await?;
    }

    // Once it is back, it commands again.
    let fleet = headless.recover().await?;
    fleet.wait_converged().await?;
    let change = fleet.api().revoke_agent(&agent.agent_id, "compromised too").await?;
    assert!(fleet.api().acknowledgements(change.revision, LIMIT).await?.complete);
    for sidecar in &fleet.sidecars {
        every_worker_denies(sidecar, &token.token, 403, "agent_revoked").await?;
    }
    fleet.finish().await
}
