//! The end of a principal for whom very many agents act.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, Change, Fleet};
use serde::Serialize;
use serde_json::json;

use super::{Options, control_plane, seed};
use crate::bench::helper::Helper;
use crate::distribution::{self, Distribution};

const NAME: &str = "alice@example.com";
const LIMIT: Duration = Duration::from_secs(60);
/// How often the principal is suspended before the end, which comes only once: it is the
/// same kind of change.
const SUSPENSIONS: u32 = 20;

/// Times in ms after the commit.
#[derive(Debug, Serialize)]
pub(super) struct Offboarding {
    agents: u32,
    tokens: u32,
    proxies: u16,
    /// Until the last proxy has the end.
    offboarded_ms: f64,
    /// Until the last acknowledgement of its worker is back.
    acknowledged_ms: f64,
    /// The same for suspensions of the same principal.
    suspended_ms: Option<Distribution>,
    suspensions_acknowledged_ms: Option<Distribution>,
}

/// Fills a store, connects the proxies, and stops the principal.
pub(super) async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Offboarding> {
    let fleet = control_plane(artifacts).await?;
    fleet.api().add_principal(NAME).await?;
    let body = json!({ "name": "bench", "owner": NAME });
    let agent = fleet.api().register_agent_with(body).await?;
    fleet.api().issue_token(&agent.agent_id).await?;
    let headless = fleet.stop_control_plane().await?;
    seed::fill(&headless.control_plane.database(), options.agents, options.tokens_each).await?;
    let fleet = headless.recover().await?;

    let count = [format!("--count={}", options.proxies), "--acknowledge".to_owned()];
    let mut proxies = Helper::proxies(artifacts, &fleet, &count).await?;
    let (mut suspended, mut acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..SUSPENSIONS {
        let (arrived, back) = stop(&fleet, &mut proxies, "suspend", options.proxies).await?;
        suspended.push(arrived);
        acknowledged.push(back);
        let change = change(&fleet, "restore").await?;
        proxies.delta(change.revision, LIMIT).await?;
    }
    let (offboarded_ms, acknowledged_ms) =
        stop(&fleet, &mut proxies, "offboard", options.proxies).await?;
    drop(proxies);
    fleet.finish().await?;
    Ok(Offboarding {
        agents: options.agents,
        tokens: options.agents * options.tokens_each,
        proxies: options.proxies,
        offboarded_ms,
        acknowledged_ms,
        suspended_ms: Distribution::of(&suspended),
        suspensions_acknowledged_ms: Distribution::of(&acknowledged),
    })
}

/// Makes a change, and returns when the last proxy had it and when the last
/// acknowledgement was back; ms after the commit.
async fn stop(fleet: &Fleet, proxies: &mut Helper, action: &str, all: u16) -> Result<(f64, f64)> {
    let change = change(fleet, action).await?;
    let arrived = proxies.delta(change.revision, LIMIT).await?;
    let acks = fleet.api().acknowledgements(change.revision, Duration::from_secs(20)).await?;
    ensure!(acks.complete && acks.proxies == usize::from(all), "{} of {all}", acks.proxies);
    let back = acks.acknowledgements.iter().map(|ack| ack.after_ms).fold(0.0, f64::max);
    let rounded = |ms: f64| (ms * 1000.0).round() / 1000.0;
    Ok((rounded(arrived.last_unix_ms - change.committed_unix_ms), rounded(back)))
}

async fn change(fleet: &Fleet, action: &str) -> Result<Change> {
    let path = format!("principals/{NAME}/{action}");
    fleet.api().change(&path, json!({ "reason": "bench" })).await
}

impl Offboarding {
    pub(super) fn print(&self) {
        let Self { agents, tokens, proxies, offboarded_ms, acknowledged_ms, .. } = self;
        println!(
            "\na principal with {agents} agents and {tokens} tokens, {proxies} proxies; ms after the commit"
        );
        println!(
            "\noffboarded\n  last proxy has it {offboarded_ms}  last acknowledgement {acknowledged_ms}"
        );
        println!("\n{SUSPENSIONS} suspensions of it: last proxy has it");
        println!("  {}", distribution::line(&self.suspended_ms));
        println!("\nlast acknowledgement was back");
        println!("  {}", distribution::line(&self.suspensions_acknowledged_ms));
    }
}
