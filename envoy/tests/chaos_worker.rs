//! Filter VMs that crash, under traffic.
//!
//! The filter is built with `crash-for-tests`.

use anyhow::{Result, ensure};
use kya_envoy::traffic::{Lane, Outcome, Record, Sample, Subject, pin_all};
use kya_envoy::{Artifacts, Changes, Fleet, FleetOptions, unix_ms};

const GOES_ON: usize = 20;

async fn fleet() -> Result<Fleet> {
    let artifacts = Artifacts::for_tests()?;
    let changes =
        Changes { filter_wasm: Some(artifacts.crashing_filter_wasm()?), ..Changes::default() };
    let options = FleetOptions { changes, ..FleetOptions::default() };
    Fleet::start(&artifacts, &options).await
}

/// Crashes the VM at the other end of `lane`, and returns when.
async fn crash(fleet: &Fleet, lane: &Lane) -> Result<f64> {
    let before = unix_ms();
    let answer = lane.crash().await?;
    ensure!(answer.is_server_error(), "the crash itself was answered {answer}");
    for sidecar in fleet.sidecars.iter().filter(|sidecar| sidecar.node_id() == lane.node_id) {
        let log = sidecar.log()?;
        ensure!(log.contains("unreachable"), "nothing has crashed:\n{log}");
    }
    Ok(before)
}

/// `spared` was allowed everywhere, but that the `crashed` workers may have
/// answered 503 after the first crash, which was at `from`.
fn check_spared(spared: &Record, crashed: &[Lane], from: f64) -> Result<()> {
    let down = |sample: &Sample| {
        let lane = &spared.lanes[sample.lane];
        let hit = crashed.iter().any(|c| (&c.node_id, c.worker) == (&lane.node_id, lane.worker));
        hit && sample.answered_unix_ms > from && sample.status == Some(503)
    };
    spared.check_answers("not allowed where no VM was down", |sample| {
        sample.outcome == Outcome::Allowed || down(sample)
    })
}

#[tokio::test]
async fn a_crashed_vm_denies_until_it_is_back_and_the_others_go_on() -> Result<()> {
    let fleet = fleet().await?;
    let crashers = pin_all(&fleet.sidecars).await?;
    let spared = Subject::on(&fleet, "spared").await?;
    let before = Subject::on(&fleet, "killed-before").await?;
    let before_acks = before.kill(fleet.api()).await?;

    let from = crash(&fleet, &crashers[0]).await?;
    // Its next requests bring it back, when Envoy thinks it is time.
    spared.wait_allowed(GOES_ON).await?;
    before.wait_served(GOES_ON).await?;
    fleet.wait_converged().await?;

    let victim = Subject::on(&fleet, "victim").await?;
    let acks = victim.kill(fleet.api()).await?;
    ensure!((acks.proxies, acks.workers) == (2, 4), "{acks:?}");
    before.finish().await?.check_killed(&before_acks, &[503])?;
    victim.finish().await?.check_killed(&acks, &[])?;
    check_spared(&spared.finish().await?, &crashers[..1], from)?;
    still_sound(fleet, 1).await
}

#[tokio::test]
async fn a_kill_made_while_a_vm_is_down_is_known_to_it_when_it_is_back() -> Result<()> {
    let fleet = fleet().await?;
    let crashers = pin_all(&fleet.sidecars).await?;
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);

    let from = crash(&fleet, &crashers[0]).await?;
    let acks = victim.kill(fleet.api()).await?;
    spared.wait_allowed(GOES_ON).await?;
    victim.wait_served(GOES_ON).await?;

    victim.finish().await?.check_killed(&acks, &[503])?;
    check_spared(&spared.finish().await?, &crashers[..1], from)?;
    still_sound(fleet, 1).await
}

#[tokio::test]
#[ignore = "long: five rounds of crashes of everything"]
async fn crashes_of_every_vm_again_and_again_revive_nobody() -> Result<()> {
    let fleet = fleet().await?;
    let crashers = pin_all(&fleet.sidecars).await?;
    let spared = Subject::on(&fleet, "spared").await?;
    let (mut killed, mut first, mut crashes) = (Vec::new(), None, 0);
    for round in 0..5 {
        let victim = Subject::on(&fleet, &format!("victim-{round}")).await?;
        // One after the other in the first round, then ever closer together.
        for lane in &crashers {
            let from = crash(&fleet, lane).await?;
            first.get_or_insert(from);
            crashes += 1;
            if round == 0 {
                spared.wait_allowed(GOES_ON).await?;
            }
        }
        let acks = victim.kill(fleet.api()).await?;
        spared.wait_allowed(GOES_ON).await?;
        killed.push((victim, acks));
        for (victim, _) in &killed {
            victim.wait_served(GOES_ON).await?;
        }
    }
    for (victim, acks) in killed {
        victim.finish().await?.check_killed(&acks, &[503])?;
    }
    check_spared(&spared.finish().await?, &crashers, first.unwrap_or_default())?;
    still_sound(fleet, crashes).await
}

#[tokio::test]
async fn the_filter_that_is_shipped_cannot_be_crashed_by_a_request() -> Result<()> {
    let options = FleetOptions { sidecars: 1, ..FleetOptions::default() };
    let fleet = Fleet::start(&Artifacts::for_tests()?, &options).await?;
    for lane in pin_all(&fleet.sidecars).await? {
        let answer = lane.crash().await?;
        ensure!(answer == 401, "no token was shown, and the answer is {answer}");
    }
    fleet.finish().await
}

/// Every Envoy runs, `crashes` VMs were lost and as many came back, every worker
/// is where it belongs, and the control plane lists as many as there are.
async fn still_sound(mut fleet: Fleet, crashes: u64) -> Result<()> {
    fleet.wait_converged().await?;
    let (mut lost, mut back) = (0, 0);
    for sidecar in &mut fleet.sidecars {
        ensure!(sidecar.is_running()?, "an Envoy has ended:\n{}", sidecar.log()?);
        lost += sidecar.log()?.matches("RuntimeError: unreachable").count() as u64;
        back += sidecar.stats().await?.get("wasm.kya.vm_reload_success");
    }
    ensure!((lost, back) == (crashes, crashes), "{lost} VMs were lost and {back} came back");
    let listed: usize = fleet.api().nodes().await?.nodes.iter().map(|n| n.workers.len()).sum();
    ensure!(listed == fleet.workers(), "{listed} workers are listed");
    fleet.discard()
}
