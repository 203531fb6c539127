//! What becomes of the audit trail when a listener is replaced and its filters end.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::{Lane, Load};
use kya_envoy::{Artifacts, Changes, Fleet, FleetOptions, Trail, until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
/// Enough that each worker accepts some: the kernel spreads them by their ports.
const LANES: usize = 16;
const PAUSE: Duration = Duration::from_millis(2);
/// Requests of each of the two listeners.
const REQUESTS: usize = 300;

/// The workers of a type of record, by instance.
fn workers(trail: &Trail, kind: &str) -> BTreeSet<String> {
    let instance = |record: &Value| record["instance"].as_str().map(str::to_owned);
    trail.of(kind).filter_map(instance).collect()
}

/// Requests until there are enough; the last are answered right before this returns.
async fn asks(fleet: &Fleet, token: &str) -> Result<u64> {
    let lanes = Lane::kept_to_all(&fleet.sidecars, LANES).await?;
    let load = Load::start(&lanes, token, PAUSE);
    until("enough requests", LIMIT, async || Ok((load.len() >= REQUESTS).then_some(()))).await?;
    let samples = load.stop().await?;
    ensure!(samples.iter().all(|sample| sample.status == Some(200)), "{samples:?}");
    Ok(samples.len() as u64)
}

/// Requests, a new listener in the place of the old one, and requests again: the trail,
/// and which workers it knew before.
async fn replaced(
    artifacts: &Artifacts,
    from: &str,
    to: &str,
) -> Result<(Fleet, Trail, BTreeSet<String>)> {
    let changes = Changes { listener_file: true, ..Changes::default() };
    let changes = changes.argument("--drain-time-s", "1").argument("--drain-strategy", "immediate");
    let changes = changes.argument("--file-flush-interval-msec", "100");
    let options = FleetOptions { sidecars: 1, changes, ..FleetOptions::default() };
    let mut fleet = Fleet::start(artifacts, &options).await?;
    let agent = fleet.api().register_agent("agent").await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?.token;
    fleet.wait_converged().await?;
    let first = asks(&fleet, &token).await?;

    // Nothing is waited for: what was not reported yet is reported while it goes.
    fleet.sidecars[0].listener_file()?.change(from, to)?;
    let count = async |name: &str| {
        let stats = fleet.sidecars[0].stats().await?;
        anyhow::Ok(stats.get(&format!("listener_manager.{name}")))
    };
    until("the old listener to be gone", LIMIT, async || {
        let taken = count("listener_modified").await? + count("listener_in_place_updated").await?;
        let drains = count("total_listeners_draining").await?
            + count("total_filter_chains_draining").await?;
        Ok((taken > 0 && drains == 0).then_some(()))
    })
    .await?;
    fleet.wait_current().await?;
    let kya = fleet.kya(artifacts)?;
    let key = fleet.control_plane.audit_key();
    let (trail, _) = Trail::reconciled(&kya, &key, fleet.dir(), &fleet.sidecars, first).await?;
    let before = workers(&trail, "decision");
    let sent = first + asks(&fleet, &token).await?;
    let (trail, counted) =
        Trail::reconciled(&kya, &key, fleet.dir(), &fleet.sidecars, sent).await?;
    ensure!(counted.dropped == 0, "{counted:?}");
    Ok((fleet, trail, before))
}

/// Replaces the VMs, as a new version of the filter would.
async fn replaced_vms(artifacts: &Artifacts) -> Result<(Fleet, Trail, BTreeSet<String>)> {
    let from = "vm_id: kya\n";
    let other = format!(
        "{from}{}configuration: {{ \"@type\": type.googleapis.com/google.protobuf.StringValue, \
         value: \"1\" }}\n",
        " ".repeat(16)
    );
    replaced(artifacts, from, &other).await
}

#[tokio::test]
async fn vms_that_end_when_their_listener_has_drained_have_reported_all() -> Result<()> {
    let (fleet, trail, before) = replaced_vms(&Artifacts::for_tests()?).await?;
    assert_eq!(before.len(), 2, "both workers had requests");
    let after = workers(&trail, "decision");
    assert_eq!(after.difference(&before).count(), 2, "those that came have others");
    fleet.finish().await
}

#[tokio::test]
#[ignore = "long: until a worker that is gone is taken for lost"]
async fn vms_that_end_are_lost_with_nothing_missing() -> Result<()> {
    const LOST: Duration = Duration::from_secs(100);
    let artifacts = Artifacts::for_tests()?;
    let (fleet, _, before) = replaced_vms(&artifacts).await?;
    let (kya, key) = (fleet.kya(&artifacts)?, fleet.control_plane.audit_key());
    let trail = until("the workers that are gone to be lost", LOST, async || {
        let trail = Trail::export(&kya, &key, fleet.dir()).await?;
        // Envoy drops the last report of a VM that ends.
        Ok(before.is_subset(&workers(&trail, "worker_lost")).then_some(trail))
    })
    .await?;
    for record in trail.of("worker_lost") {
        let instance = record["instance"].as_str().context("an instance")?;
        // From this number on nothing of it is known, and there was nothing more.
        assert_eq!(record["number"], trail.events_of(instance) + 1, "{record}");
        assert_eq!(record["unended"], 0, "{record}");
    }
    fleet.finish().await
}

#[tokio::test]
async fn a_filter_that_ends_in_a_vm_that_stays_closes_its_part_of_the_trail() -> Result<()> {
    let cluster = "\"control_plane_cluster\": \"kya_control_plane\"";
    let spaced = cluster.replace(": ", ":  ");
    let (fleet, trail, before) = replaced(&Artifacts::for_tests()?, cluster, &spaced).await?;
    let closed = workers(&trail, "worker_closed");
    ensure!(before.is_subset(&closed), "{before:?} have ended, {closed:?} are closed");
    for record in trail.of("worker_closed") {
        let instance = record["instance"].as_str().context("an instance")?;
        assert_eq!(record["number"], trail.events_of(instance) + 1, "{record}");
    }
    fleet.finish().await
}

#[tokio::test]
async fn a_listener_of_the_same_filter_goes_on_with_the_same_workers() -> Result<()> {
    let limit = "per_connection_buffer_limit_bytes: 32768";
    let other = limit.replace("32768", "32769");
    let (fleet, trail, before) = replaced(&Artifacts::for_tests()?, limit, &other).await?;
    assert_eq!(workers(&trail, "worker_closed"), BTreeSet::new());
    assert_eq!(workers(&trail, "decision"), before);
    fleet.finish().await
}
