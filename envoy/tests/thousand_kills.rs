//! A thousand kills, several agents at a time, each under load on every worker.

use anyhow::Result;
use kya_envoy::traffic::{Lane, Subject, pin_all};
use kya_envoy::{Artifacts, Fleet, FleetOptions};

const KILLS: usize = 1000;
/// Agents that make requests at the same time.
const AT_ONCE: usize = 10;

/// Starts `AT_ONCE` agents and kills them one after the other, while those that
/// are still alive go on and must not notice.
async fn round(fleet: &Fleet, round: usize, lanes: &[Vec<Lane>]) -> Result<()> {
    let mut alive = Vec::new();
    for (number, lanes) in lanes.iter().enumerate() {
        let name = format!("victim-{}", round * AT_ONCE + number);
        alive.push(Subject::start(fleet.api(), &name, lanes.clone()).await?);
    }
    while let Some(victim) = alive.pop() {
        let acks = victim.kill(fleet.api()).await?;
        victim.finish().await?.check_killed(&acks, &[])?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "long: a thousand kills"]
async fn each_of_a_thousand_kills_is_acknowledged_by_all_and_holds() -> Result<()> {
    let fleet = Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await?;
    let spared = Subject::on(&fleet, "spared").await?;
    let mut lanes = Vec::new();
    for _ in 0..AT_ONCE {
        lanes.push(pin_all(&fleet.sidecars).await?);
    }
    for number in 0..KILLS / AT_ONCE {
        round(&fleet, number, &lanes).await?;
        if (number + 1) % 10 == 0 {
            eprintln!("{} of {KILLS} kills", (number + 1) * AT_ONCE);
        }
    }
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}
