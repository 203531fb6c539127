use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::lane::{Lane, pin_every_worker};
use super::load::{Load, Outcome, Sample};
use super::record::{Record, tally};
use crate::api::{Acknowledgements, Agent, Api, Token};
use crate::wait::until;
use crate::{Fleet, Sidecar};

/// Time between two requests on one lane.
const PAUSE: Duration = Duration::from_millis(4);
/// Requests that every lane has to have been allowed at the beginning.
const WARM_UP: usize = 3;
const LIMIT: Duration = Duration::from_secs(30);

/// An agent whose requests never stop.
#[derive(Debug)]
pub struct Subject {
    /// The agent.
    pub agent: Agent,
    /// Its token.
    pub token: Token,
    lanes: Vec<Lane>,
    load: Load,
}

/// A lane to each worker of each of `sidecars`. Nobody else may connect to them
/// meanwhile; connections that are kept do no harm.
pub async fn pin_all(sidecars: &[Sidecar]) -> Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for sidecar in sidecars {
        lanes.extend(pin_every_worker(sidecar).await?);
    }
    Ok(lanes)
}

impl Subject {
    /// One that has a lane to every worker of `fleet`.
    pub async fn on(fleet: &Fleet, name: &str) -> Result<Self> {
        Self::start(fleet.api(), name, pin_all(&fleet.sidecars).await?).await
    }

    /// Registers an agent, waits until every worker knows its token, and starts
    /// its requests on `lanes`; each has been allowed some when this returns.
    pub async fn start(api: &Api, name: &str, lanes: Vec<Lane>) -> Result<Self> {
        let agent = api.register_agent(name).await?;
        let token = api.issue_token(&agent.agent_id).await?;
        let acks = api.acknowledgements(token.revision, LIMIT).await?;
        ensure!(acks.complete, "a worker did not learn of the token of {name}: {acks:?}");
        let load = Load::start(&lanes, &token.token, PAUSE);
        let subject = Self { agent, token, lanes, load };
        subject.wait_each(0, "to be allowed", WARM_UP, |s| s.outcome == Outcome::Allowed).await?;
        Ok(subject)
    }

    /// Waits until each lane has got `count` more answers.
    pub async fn wait_served(&self, count: usize) -> Result<()> {
        self.wait_each(self.load.len(), "to be answered", count, |_| true).await
    }

    /// Waits until each lane has been allowed `count` more requests.
    pub async fn wait_allowed(&self, count: usize) -> Result<()> {
        let allowed = |sample: &Sample| sample.outcome == Outcome::Allowed;
        self.wait_each(self.load.len(), "to be allowed", count, allowed).await
    }

    /// Revokes the agent and waits until every worker has acknowledged, and until
    /// there are answers to requests that were sent after that.
    ///
    /// # Errors
    /// When a worker has not acknowledged after 30 s.
    pub async fn kill(&self, api: &Api) -> Result<Acknowledgements> {
        let change = api.revoke_agent(&self.agent.agent_id, "chaos").await?;
        self.wait_killed(api, change.revision).await
    }

    /// Waits for the acknowledgements of `revision`, which revoked the agent, from
    /// every proxy that its requests go to, also from one that is not connected
    /// now; and for answers to requests that were sent after them.
    pub async fn wait_killed(&self, api: &Api, revision: u64) -> Result<Acknowledgements> {
        let everywhere = |acks: &Acknowledgements| {
            let heard =
                |lane: &Lane| acks.acknowledgements.iter().any(|ack| ack.node_id == lane.node_id);
            acks.complete && self.lanes.iter().all(heard)
        };
        let acks = until("every proxy to acknowledge", LIMIT, async || {
            let acks = api.acknowledgements(revision, Duration::from_secs(1)).await?;
            Ok(everywhere(&acks).then_some(acks))
        })
        .await?;
        let last = acks.last_applied_unix_ms().context("nobody has acknowledged")?;
        let later = |sample: &Sample| sample.sent_unix_ms > last;
        self.wait_each(0, "to be answered after the kill", WARM_UP, later).await?;
        Ok(acks)
    }

    /// Ends its requests.
    pub async fn finish(self) -> Result<Record> {
        let samples = self.load.stop().await?;
        Ok(Record { name: self.agent.name, lanes: self.lanes, samples })
    }

    async fn wait_each(
        &self,
        from: usize,
        what: &str,
        count: usize,
        counts: impl Fn(&Sample) -> bool,
    ) -> Result<()> {
        let what = format!("every request of {} {what}", self.agent.name);
        until(&what, LIMIT, async || {
            let samples = self.load.samples_from(from);
            let enough = |lane| {
                samples.iter().filter(|s| s.lane == lane && counts(s)).take(count).count() == count
            };
            Ok((0..self.lanes.len()).all(enough).then_some(()))
        })
        .await
        .with_context(|| tally(&self.lanes, &self.load.samples_from(0)))
    }
}
