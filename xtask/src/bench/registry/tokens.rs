//! Many tokens, asked for over some connections at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use kya_envoy::{Api, Fleet};
use serde::Serialize;
use tokio::task::JoinSet;

const SERVICE: &str = "payments";

/// How long it takes.
#[derive(Debug, Serialize)]
pub(super) struct Issuing {
    /// Of each kind.
    tokens: u32,
    connections: u16,
    opaque_seconds: f64,
    capability_seconds: f64,
}

/// Which kind is asked for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Opaque,
    Capability,
}

/// Issues so many of each kind to one agent.
pub(super) async fn measure(fleet: &Fleet, tokens: u32, connections: u16) -> Result<Issuing> {
    let agent = fleet.api().register_agent("bench-tokens").await?.agent_id;
    // A client keeps the connection that it has opened, so that each has its own. All of
    // them have the key of one operator.
    let key = fleet.api().add_operator("bench", "admin").await?;
    let clients = (0..connections).map(|_| Api::new(fleet.api().base(), &key));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let mut seconds = Vec::new();
    for kind in [Kind::Opaque, Kind::Capability] {
        let left = Arc::new(AtomicU32::new(tokens));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for api in &clients {
            let left = Arc::clone(&left);
            tasks.spawn(ask(api.clone(), kind, agent.clone(), left));
        }
        let mut issued = 0;
        while let Some(done) = tasks.join_next().await {
            issued += done??;
        }
        ensure!(issued == tokens, "{issued} of {tokens} tokens were issued");
        seconds.push(began.elapsed().as_secs_f64());
    }
    let rounded = |index: usize| {
        seconds.get(index).map_or(f64::NAN, |seconds| (seconds * 1000.0).round() / 1000.0)
    };
    Ok(Issuing { tokens, connections, opaque_seconds: rounded(0), capability_seconds: rounded(1) })
}

/// Asks for tokens while there are some left to ask for, and returns how many it got.
async fn ask(api: Api, kind: Kind, agent: String, left: Arc<AtomicU32>) -> Result<u32> {
    let mut got = 0;
    let one_less = |left: u32| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        match kind {
            Kind::Opaque => drop(api.issue_token(&agent).await?),
            Kind::Capability => drop(api.issue_capability_token(&agent, SERVICE).await?),
        }
        got += 1;
    }
    Ok(got)
}

impl Issuing {
    pub(super) fn print(&self) {
        let Self { tokens, connections, opaque_seconds, capability_seconds } = self;
        println!("\n{tokens} tokens over {connections} connections");
        println!("  opaque      {opaque_seconds:.1} s");
        println!("  capability  {capability_seconds:.1} s");
    }
}
