//! What the audit trail costs a proxy: CPU of Envoy at every request, with the trail and
//! without, in one process and one run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::Lane;
use kya_envoy::{Artifacts, Fleet, FleetOptions, Profile, Sidecar, until};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::bench::process;
use crate::{build, setup};

/// The listener whose filter records nothing.
const QUIET: &str = "quiet";
/// Connections to each listener.
const LANES: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);

/// Options of `cargo xtask bench recording`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds, each with as many requests through either listener.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Requests through each listener in a round.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// CPU of Envoy in microseconds a request.
#[derive(Debug, Serialize)]
struct Outcomes {
    /// With nothing recorded, the median of the rounds.
    off_us: f64,
    /// What the trail adds, the median of the rounds.
    added_us: f64,
    /// The half of the rounds in the middle.
    added_us_quartiles: [f64; 2],
    /// The same of one listener against itself: what this machine does by itself.
    noise_us_quartiles: [f64; 2],
}

pub(super) fn run(options: &Options) -> Result<()> {
    // Only Envoy is measured, which is what it is.
    let artifacts = Artifacts::new(Profile::Debug);
    setup::envoy(&artifacts)?;
    build::filter(&artifacts)?;
    build::binaries(&artifacts, Profile::Debug)?;
    let outcomes = Runtime::new()?.block_on(measure(&artifacts, options))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
        return Ok(());
    }
    let Outcomes { off_us, added_us, added_us_quartiles, noise_us_quartiles } = outcomes;
    let [low, high] = added_us_quartiles;
    let [noise_low, noise_high] = noise_us_quartiles;
    println!(
        "CPU of Envoy a request, one worker, an upstream that answers\n\
         off       {off_us:.1} us\n\
         added     {added_us:.1} us ({low:.1} to {high:.1})\n\
         noise     {noise_low:.1} to {noise_high:.1} us"
    );
    Ok(())
}

async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    let nobody = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    let mut fleet = Fleet::start(artifacts, &nobody).await?;
    let next = fleet.next_sidecar(1)?;
    let yaml = with_quiet_listener(&next.yaml(artifacts)?)?;
    let sidecar = Sidecar::start_with(artifacts, &next, &yaml, fleet.dir()).await?;
    let agent = fleet.api().register_agent("bench").await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?.token;
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..LANES {
        on.push(Lane::kept_at(&sidecar, sidecar.address()).await?);
        off.push(Lane::kept_at(&sidecar, sidecar.listener(QUIET).await?).await?);
    }
    for lane in on.iter().chain(&off) {
        let allowed = async || Ok(lane.request(&token).await?.is_success().then_some(()));
        until("the agent to be known", LIMIT, allowed).await?;
    }
    let pid = sidecar.pid();
    let spent = async |lanes: &[Lane]| spent(pid, lanes, &token, options.requests).await;
    let (mut bare, mut added, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    // The first one only warms up.
    for round in 0..=options.rounds {
        // Each is first in every other round.
        let (with, without, again) = match round.is_multiple_of(2) {
            true => {
                let without = spent(&off).await?;
                let with = spent(&on).await?;
                (with, without, spent(&off).await?)
            }
            false => {
                let again = spent(&off).await?;
                let with = spent(&on).await?;
                (with, spent(&off).await?, again)
            }
        };
        if round > 0 {
            bare.push(without);
            added.push(with - (without + again) / 2.0);
            noise.push(again - without);
        }
    }
    fleet.sidecars.push(sidecar);
    fleet.finish().await?;
    Ok(Outcomes {
        off_us: at(&mut bare, 2)?,
        added_us: at(&mut added, 2)?,
        added_us_quartiles: [at(&mut added, 1)?, at(&mut added, 3)?],
        noise_us_quartiles: [at(&mut noise, 1)?, at(&mut noise, 3)?],
    })
}

/// The smallest of `values` that so many quarters of them are not above.
fn at(values: &mut [f64], quarters: usize) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    let index = values.len().saturating_sub(1) * quarters / 4;
    let value = values.get(index).context("no round was measured")?;
    Ok((value * 100.0).round() / 100.0)
}

/// Microseconds of CPU that Envoy uses for one of so many requests over these lanes.
async fn spent(pid: u32, lanes: &[Lane], token: &str, requests: u32) -> Result<f64> {
    let each = requests.div_ceil(u32::try_from(lanes.len())?);
    let before = process::cpu(pid)?;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in lanes {
        let (lane, token) = (lane.clone(), token.to_owned());
        tasks.spawn(async move {
            for _ in 0..each {
                let status = lane.request(&token).await?;
                ensure!(status.is_success(), "a good token was answered {status}");
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let used = process::cpu(pid)?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / f64::from(each) / lanes.len() as f64)
}

/// The shipped listener once more, under another name, with VMs of its own that record
/// nothing.
fn with_quiet_listener(yaml: &str) -> Result<String> {
    const FIRST: &str = "  - name: kya_ingress\n";
    const CLUSTERS: &str = "\n  clusters:\n";
    const SERVICE: &str = "\"service\": \"payments\",";
    const VM: &str = "vm_id: kya\n";
    let (before, rest) = yaml.split_once(FIRST).context("there is no listener")?;
    let (listener, after) = rest.split_once(CLUSTERS).context("there are no clusters")?;
    ensure!(listener.matches(SERVICE).count() == 1 && listener.matches(VM).count() == 1);
    let quiet = listener
        .replace("kya_ingress", QUIET)
        .replace(SERVICE, &format!("{SERVICE} \"audit\": {{ \"mode\": \"off\" }},"))
        .replace(VM, "vm_id: kya_quiet\n");
    Ok(format!("{before}{FIRST}{listener}\n  - name: {QUIET}\n{quiet}{CLUSTERS}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_listener_is_the_shipped_one_without_a_trail() {
        let path = Artifacts::debug().bootstrap();
        let yaml = with_quiet_listener(&std::fs::read_to_string(path).unwrap()).unwrap();
        for once in ["- name: kya_ingress\n", "- name: quiet\n", "\"off\"", "vm_id: kya_quiet\n"] {
            assert_eq!(yaml.matches(once).count(), 1, "{once}");
        }
        assert_eq!(yaml.matches("root_id: kya\n").count(), 2);
    }

    #[test]
    fn quartiles_are_values_that_were_measured() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let quarters = [1, 2, 3].map(|quarters| at(&mut values, quarters).unwrap());
        assert_eq!(quarters, [2.0, 3.0, 4.0]);
        assert!(at(&mut [], 2).is_err());
    }
}
