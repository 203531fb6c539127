//! A listener that is replaced under traffic: new connections go to the new one,
//! those there are drain with the old one.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::{Lane, Outcome, Subject};
use kya_envoy::{Artifacts, Changes, Fleet, FleetOptions, Sidecar, until};

const LIMIT: Duration = Duration::from_secs(30);
const GOES_ON: usize = 20;
const LANES: usize = 3;

/// What a new version of the listener brings with it.
#[derive(Debug, Clone, Copy)]
enum Brings {
    /// A new listener and the same plugin.
    Listener,
    /// Another configuration of the plugin, in the same VMs.
    Plugin,
    /// New VMs, as a new version of the filter would.
    Vms,
}

async fn fleet() -> Result<Fleet> {
    let changes = Changes { listener_file: true, ..Changes::default() };
    let changes = changes.argument("--drain-time-s", "2").argument("--drain-strategy", "immediate");
    let options = FleetOptions { sidecars: 1, changes, ..FleetOptions::default() };
    Fleet::start(&Artifacts::for_tests()?, &options).await
}

/// An agent that opens a connection for each request: it meets the new listener.
async fn newcomer(fleet: &Fleet, name: &str) -> Result<Subject> {
    Subject::start(fleet.api(), name, Lane::fresh_to_all(&fleet.sidecars, LANES)?).await
}

/// An agent that keeps its connections: it stays with the old listener, until
/// that closes them.
async fn keeper(fleet: &Fleet, name: &str) -> Result<Subject> {
    let lanes = Lane::kept_to_all(&fleet.sidecars, LANES).await?;
    Subject::start(fleet.api(), name, lanes).await
}

/// Listeners and filter chains that Envoy has replaced so far.
async fn replaced(sidecar: &Sidecar) -> Result<u64> {
    let stats = sidecar.stats().await?;
    let counts = ["listener_modified", "listener_in_place_updated"];
    Ok(counts.map(|name| stats.get(&format!("listener_manager.{name}"))).iter().sum())
}

impl Brings {
    /// The place of the listener that is different in each round.
    fn text(self, round: usize) -> String {
        match self {
            Self::Listener => format!("per_connection_buffer_limit_bytes: {}", 32768 + round),
            // The same to the filter, and another text to Envoy.
            Self::Plugin => {
                format!("\"control_plane_cluster\":{}\"kya_control_plane\"", " ".repeat(1 + round))
            }
            Self::Vms if round == 0 => "vm_id: kya\n".to_owned(),
            Self::Vms => format!(
                "vm_id: kya\n{}configuration: {{ \"@type\": type.googleapis.com/\
                 google.protobuf.StringValue, value: \"{round}\" }}\n",
                " ".repeat(16)
            ),
        }
    }
}

/// Replaces the listener and waits until Envoy has taken the new one.
async fn replace(sidecar: &mut Sidecar, brings: Brings, round: usize) -> Result<()> {
    let before = replaced(sidecar).await?;
    let (from, to) = (brings.text(round - 1), brings.text(round));
    sidecar.listener_file()?.change(&from, &to)?;
    until("Envoy to take the new listener", LIMIT, async || {
        Ok((replaced(sidecar).await? > before).then_some(()))
    })
    .await
}

/// Waits until the old listener is gone, with its connections and its VMs.
async fn drained(sidecar: &Sidecar) -> Result<()> {
    until("the old listener to have drained", LIMIT, async || {
        let stats = sidecar.stats().await?;
        let counts = ["total_listeners_draining", "total_filter_chains_draining"];
        let gone = |name: &str| stats.get(&format!("listener_manager.{name}")) == 0;
        Ok(counts.into_iter().all(gone).then_some(()))
    })
    .await
}

/// Replaces the listener in rounds, each time with agents that are revoked
/// before that, while the old one drains, and when it is gone.
async fn replaced_under_traffic(brings: Brings, rounds: usize) -> Result<()> {
    let mut fleet = fleet().await?;
    let spared = newcomer(&fleet, "spared").await?;
    let mut killed = Vec::new();
    for round in 1..=rounds {
        let name = |when: &str| format!("killed-{when}-{round}");
        let early = newcomer(&fleet, &name("early")).await?;
        let comes = newcomer(&fleet, &name("while-one-comes")).await?;
        let goes = keeper(&fleet, &name("while-one-goes")).await?;
        let stays = keeper(&fleet, &format!("spared-while-one-goes-{round}")).await?;
        let early_acks = early.kill(fleet.api()).await?;

        replace(&mut fleet.sidecars[0], brings, round).await?;
        let goes_acks = goes.kill(fleet.api()).await?;
        let comes_acks = comes.kill(fleet.api()).await?;
        spared.wait_allowed(GOES_ON).await?;
        drained(&fleet.sidecars[0]).await?;

        fleet.wait_current().await?;
        let late = newcomer(&fleet, &name("late")).await?;
        let late_acks = late.kill(fleet.api()).await?;
        ensure!(late_acks.proxies == 1, "{late_acks:?}");

        goes.finish().await?.check_not_revived(&goes_acks)?;
        stays.finish().await?.check_answers("denied", |sample| {
            sample.outcome == Outcome::Allowed || sample.status.is_none()
        })?;
        killed.extend([(early, early_acks), (comes, comes_acks), (late, late_acks)]);
    }
    for (victim, _) in &killed {
        victim.wait_served(GOES_ON).await?;
    }
    for (victim, acks) in killed {
        victim.finish().await?.check_killed(&acks, &[])?;
    }
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
async fn a_new_listener_lets_nobody_through() -> Result<()> {
    replaced_under_traffic(Brings::Listener, 1).await
}

#[tokio::test]
async fn new_vms_let_nobody_through() -> Result<()> {
    replaced_under_traffic(Brings::Vms, 1).await
}

#[tokio::test]
#[ignore = "long: three rounds of each kind"]
async fn new_listeners_again_and_again_let_nobody_through() -> Result<()> {
    for brings in [Brings::Listener, Brings::Plugin, Brings::Vms] {
        replaced_under_traffic(brings, 3).await?;
    }
    Ok(())
}

/// Replaces the listener `wait` after the start. When the old one is gone, the
/// control plane has to list the workers that there are, and `besides` them so many
/// VMs that serve nobody.
async fn listed_after(brings: Brings, wait: Duration, besides: usize) -> Result<()> {
    let mut fleet = fleet().await?;
    let agent = newcomer(&fleet, "agent").await?;
    tokio::time::sleep(wait).await;
    replace(&mut fleet.sidecars[0], brings, 1).await?;
    drained(&fleet.sidecars[0]).await?;
    agent.wait_allowed(GOES_ON).await?;
    // A change after which every VM has been heard of that there is.
    tokio::time::sleep(SLOT_EXPIRY).await;
    let acks = agent.kill(fleet.api()).await?;
    ensure!((acks.proxies, acks.workers) == (1, fleet.workers() + besides), "{acks:?}");
    ensure!(acks.complete && acks.acknowledgements.len() == acks.workers, "{acks:?}");
    agent.finish().await?.check_killed(&acks, &[])?;
    fleet.finish().await
}

/// Longer than a worker that is gone can be listed.
const SLOT_EXPIRY: Duration = Duration::from_secs(7);
/// Of VMs that come while Envoy runs nobody can tell which is the main thread's: it
/// is listed, too.
const UNTOLD: usize = 1;
/// Longer than the VMs of one configuration take to come.
const SETTLED: Duration = Duration::from_secs(4);

#[tokio::test]
#[ignore = "long: waits for what is gone to be forgotten"]
async fn after_a_new_listener_the_workers_are_listed_that_there_are() -> Result<()> {
    listed_after(Brings::Listener, SETTLED, 0).await
}

#[tokio::test]
#[ignore = "long: waits for what is gone to be forgotten"]
async fn after_a_new_plugin_the_workers_are_listed_that_there_are() -> Result<()> {
    listed_after(Brings::Plugin, SETTLED, 0).await
}

#[tokio::test]
#[ignore = "long: waits for what is gone to be forgotten"]
async fn after_new_vms_the_workers_are_listed_and_the_main_threads_vm() -> Result<()> {
    listed_after(Brings::Vms, SETTLED, UNTOLD).await
}

#[tokio::test]
#[ignore = "long: waits for what is gone to be forgotten"]
async fn after_new_vms_right_after_the_start_no_worker_is_missing_from_the_list() -> Result<()> {
    listed_after(Brings::Vms, Duration::ZERO, UNTOLD).await
}
