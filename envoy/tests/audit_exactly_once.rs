//! Every request that real Envoys decide is one record of the audit trail, or one of
//! those that it counts as dropped, whatever becomes of the control plane and of the
//! connection to it.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::{Lane, Load};
use kya_envoy::{
    Artifacts, Changes, Fault, Fleet, FleetOptions, Reconciled, Sidecar, Trail, Wire, until,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Lanes to each Envoy.
const LANES: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);

fn options(sidecars: usize) -> FleetOptions {
    // Else Envoy writes its access log every ten seconds.
    let changes = Changes::default().argument("--file-flush-interval-msec", "100");
    FleetOptions { sidecars, changes, ..FleetOptions::default() }
}

/// A counter of all Envoys together.
async fn total(sidecars: &[Sidecar], name: &str) -> Result<u64> {
    let mut sum = 0;
    for sidecar in sidecars {
        sum += sidecar.stats().await?.get(&format!("wasmcustom.kya.audit.{name}"));
    }
    Ok(sum)
}

/// Waits until a counter is more than it is now.
async fn grows(sidecars: &[Sidecar], name: &str) -> Result<()> {
    let before = total(sidecars, name).await?;
    until(&format!("{name} to grow"), LIMIT, async || {
        Ok((total(sidecars, name).await? > before).then_some(()))
    })
    .await
}

/// Two agents that make requests in the background.
struct Loads {
    loads: [Load; 2],
    /// One of them.
    agent_id: String,
}

impl Loads {
    async fn start(fleet: &Fleet) -> Result<Self> {
        let (first, second) =
            (fleet.api().register_agent("a").await?, fleet.api().register_agent("b").await?);
        let tokens = [
            fleet.api().issue_token(&first.agent_id).await?.token,
            fleet.api().issue_token(&second.agent_id).await?.token,
        ];
        fleet.wait_converged().await?;
        let lanes = Lane::kept_to_all(&fleet.sidecars, LANES).await?;
        let loads = tokens.map(|token| Load::start(&lanes, &token, PAUSE));
        Ok(Self { loads, agent_id: second.agent_id })
    }

    /// How many requests that were, each of which was answered.
    async fn stop(self) -> Result<u64> {
        let mut sent = 0;
        for load in self.loads {
            let samples = load.stop().await?;
            ensure!(samples.iter().all(|sample| sample.status.is_some()), "not answered");
            sent += samples.len() as u64;
        }
        Ok(sent)
    }
}

async fn reconciled(artifacts: &Artifacts, fleet: &Fleet, sent: u64) -> Result<Reconciled> {
    let (kya, key) = (fleet.kya(artifacts)?, fleet.control_plane.audit_key());
    let (_, counted) = Trail::reconciled(&kya, &key, fleet.dir(), &fleet.sidecars, sent).await?;
    eprintln!("{sent} requests: {counted:?}");
    Ok(counted)
}

/// SIGKILL and a new start of the control plane, so many times.
async fn killed(rounds: u64) -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let mut fleet = Fleet::start(&artifacts, &options(2)).await?;
    let loads = Loads::start(&fleet).await?;
    for round in 0..rounds {
        grows(&fleet.sidecars, "acknowledged").await?;
        if round == rounds / 2 {
            fleet.api().revoke_agent(&loads.agent_id, "chaos").await?;
        }
        // At another moment of its work each time.
        tokio::time::sleep(Duration::from_millis(round * 37 % 251)).await;
        fleet = fleet.crash_control_plane()?.recover().await?;
    }
    let sent = loads.stop().await?;
    fleet.wait_converged().await?;
    let counted = reconciled(&artifacts, &fleet, sent).await?;
    ensure!(counted.dropped == 0, "there was room for all of it: {counted:?}");
    fleet.finish().await
}

#[tokio::test]
async fn a_control_plane_that_is_killed_again_and_again_loses_and_doubles_nothing() -> Result<()> {
    killed(10).await
}

#[tokio::test]
#[ignore = "long: a hundred kills"]
async fn a_control_plane_that_is_killed_a_hundred_times_loses_and_doubles_nothing() -> Result<()> {
    killed(100).await
}

/// Connections that end after so many bytes of answers, each in turn.
async fn flapping(rounds: usize) -> Result<()> {
    /// Before an answer, within its head, within the receipt.
    const PLACES: [u64; 6] = [0, 1, 90, 150, 220, 260];
    let artifacts = Artifacts::for_tests()?;
    let mut fleet = Fleet::start(&artifacts, &options(0)).await?;
    let addresses = fleet.control_plane.addresses();
    let stream = Wire::start(addresses.grpc).await?;
    let calls = Wire::start(addresses.http).await?;
    for _ in 0..2 {
        let mut next = fleet.next_sidecar(2)?;
        next.changes = options(0).changes;
        (next.control_plane, next.control_plane_http) = (stream.address(), calls.address());
        fleet.start_sidecar(&artifacts, &next).await?;
    }
    let loads = Loads::start(&fleet).await?;
    for place in PLACES.iter().cycle().take(rounds) {
        let ended = calls.ended_by_fault();
        calls.set(Fault::CutAfter(*place));
        stream.cut();
        until("a connection to be cut", LIMIT, async || {
            Ok((calls.ended_by_fault() > ended).then_some(()))
        })
        .await?;
        calls.set(Fault::Pass);
        grows(&fleet.sidecars, "acknowledged").await?;
        // Whatever is under way.
        calls.cut();
    }
    let sent = loads.stop().await?;
    fleet.wait_converged().await?;
    ensure!(total(&fleet.sidecars, "resent").await? > 0, "no batch was cut");
    let counted = reconciled(&artifacts, &fleet, sent).await?;
    ensure!(counted.dropped == 0, "there was room for all of it: {counted:?}");
    fleet.finish().await
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_loses_and_doubles_nothing() -> Result<()> {
    flapping(6).await
}

#[tokio::test]
#[ignore = "long: sixty cuts"]
async fn a_connection_that_is_cut_sixty_times_loses_and_doubles_nothing() -> Result<()> {
    flapping(60).await
}

/// Outages that are longer than the buffer is large.
async fn overflowing(rounds: usize) -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let mut options = options(2);
    let service = "\"service\": \"payments\",";
    let small = format!("{service} \"audit\": {{ \"buffer\": 64 }},");
    options.changes = options.changes.replace(service, &small);
    let mut fleet = Fleet::start(&artifacts, &options).await?;
    let loads = Loads::start(&fleet).await?;
    for round in 0..rounds {
        grows(&fleet.sidecars, "acknowledged").await?;
        let headless = fleet.crash_control_plane()?;
        grows(&headless.sidecars, "dropped").await?;
        fleet = headless.recover().await?;
        if round == rounds / 2 {
            // Of a kill that comes while there is no room, too, all is told.
            fleet.api().revoke_agent(&loads.agent_id, "chaos").await?;
        }
    }
    let sent = loads.stop().await?;
    fleet.wait_converged().await?;
    let counted = reconciled(&artifacts, &fleet, sent).await?;
    ensure!(counted.dropped > 0, "there was room: {counted:?}");
    fleet.finish().await
}

#[tokio::test]
async fn what_has_no_room_is_counted_exactly() -> Result<()> {
    overflowing(3).await
}

#[tokio::test]
#[ignore = "long: thirty outages"]
async fn what_has_no_room_in_thirty_outages_is_counted_exactly() -> Result<()> {
    overflowing(30).await
}
