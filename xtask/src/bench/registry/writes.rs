//! One write after the other: durable when it is answered, and then at a proxy.

use std::time::Duration;

use anyhow::Result;
use kya_envoy::{Artifacts, Fleet, unix_ms};
use serde::Serialize;

use crate::bench::helper::Helper;
use crate::distribution::{self, Distribution};

const LIMIT: Duration = Duration::from_secs(20);

/// Times in ms after a request was sent.
#[derive(Debug, Serialize)]
pub(super) struct Writes {
    count: u32,
    /// Until the answer, before which the change is on the disk.
    register_answered_ms: Option<Distribution>,
    /// Until a connected proxy has it.
    register_pushed_ms: Option<Distribution>,
    revoke_answered_ms: Option<Distribution>,
    revoke_pushed_ms: Option<Distribution>,
}

/// Registers so many agents, and revokes each.
pub(super) async fn measure(artifacts: &Artifacts, fleet: &Fleet, count: u32) -> Result<Writes> {
    let mut proxy = Helper::proxies(artifacts, fleet, &["--count=1".to_owned()]).await?;
    let (mut registered, mut revoked) = (Times::default(), Times::default());
    for number in 0..count {
        let sent = unix_ms();
        let agent = fleet.api().register_agent(&format!("bench-{number}")).await?;
        registered.note(sent, agent.revision, &mut proxy).await?;

        let sent = unix_ms();
        let change = fleet.api().revoke_agent(&agent.agent_id, "bench").await?;
        revoked.note(sent, change.revision, &mut proxy).await?;
    }
    Ok(Writes {
        count,
        register_answered_ms: Distribution::of(&registered.answered),
        register_pushed_ms: Distribution::of(&registered.pushed),
        revoke_answered_ms: Distribution::of(&revoked.answered),
        revoke_pushed_ms: Distribution::of(&revoked.pushed),
    })
}

#[derive(Default)]
struct Times {
    answered: Vec<f64>,
    pushed: Vec<f64>,
}

impl Times {
    /// A write that was just answered, until the proxy has it.
    async fn note(&mut self, sent: f64, revision: u64, proxy: &mut Helper) -> Result<()> {
        self.answered.push(unix_ms() - sent);
        let arrived = proxy.delta(revision, LIMIT).await?;
        self.pushed.push(arrived.last_unix_ms - sent);
        Ok(())
    }
}

impl Writes {
    pub(super) fn print(&self) {
        println!("\n{} writes of each kind, one after the other; ms after the request", self.count);
        for (what, spread) in [
            ("registration was answered, and is durable", &self.register_answered_ms),
            ("a connected proxy has it", &self.register_pushed_ms),
            ("revocation was answered, and is durable", &self.revoke_answered_ms),
            ("a connected proxy has it", &self.revoke_pushed_ms),
        ] {
            println!("\n{what}\n  {}", distribution::line(spread));
        }
    }
}
