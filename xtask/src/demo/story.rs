//! The demo itself: an agent makes charges, is revoked, and is denied.

use std::time::Duration;

use anyhow::Result;
use kya_envoy::traffic::{Lane, Load, Outcome};
use kya_envoy::{Agent, Artifacts, Fleet, Token};
use tokio::time::{Instant, sleep_until};

use super::report::{Facts, Report};
use super::timeline;
use crate::narrator::Narrator;

const INCIDENT: &str = "INC-2041";
const REASON: &str = "charges nobody ordered";

/// Lines of requests to each sidecar, each request on a new connection, so that
/// the kernel spreads them over all workers.
const LANES_PER_SIDECAR: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);

/// How long the agent goes on after the last acknowledgement: "nothing was
/// allowed any more" has to be said about something.
const AFTERMATH: Duration = Duration::from_secs(2);

const TICK: Duration = Duration::from_millis(500);
const CONVERGE_LIMIT: Duration = Duration::from_secs(20);

/// What is left when the story has been told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) report: Report,
    /// The token of the agent that was revoked.
    pub(super) revoked: Token,
    /// An agent that nobody touched, for what comes next.
    pub(super) spared: (Agent, Token),
}

pub(super) async fn tell(
    narrator: &Narrator,
    artifacts: &Artifacts,
    fleet: &Fleet,
    duration: Duration,
) -> Result<Told> {
    let api = fleet.api();
    let agent = api.register_agent("invoice-bot").await?;
    let token = api.issue_token(&agent.agent_id).await?;
    let other = api.register_agent("report-bot").await?;
    let spared = (other.clone(), api.issue_token(&other.agent_id).await?);
    fleet.wait_converged().await?;
    introduce(narrator, fleet, &agent);

    let lanes = lanes(fleet)?;
    let load = Load::start(&lanes, &token.token, PAUSE);
    let mut ticker = Ticker::new(&lanes);
    ticker.run(narrator, &load, duration).await;

    revoke(narrator, artifacts, fleet, &agent).await?;
    let revision = api.agent(&agent.agent_id).await?.revision;
    let acks = api.acknowledgements(revision, CONVERGE_LIMIT).await?;
    ticker.run(narrator, &load, AFTERMATH).await;
    let samples = load.stop().await?;

    let facts = Facts {
        nodes: fleet.sidecars.iter().map(|sidecar| sidecar.node_id().to_owned()).collect(),
        workers: fleet.workers(),
        lanes: lanes.into_iter().map(|lane| lane.node_id).collect(),
        samples,
        acks,
    };
    let report = Report::new(&facts);
    narrator.say(&timeline::render(&facts, &report));
    Ok(Told { report, revoked: token, spared })
}

fn introduce(narrator: &Narrator, fleet: &Fleet, agent: &Agent) {
    narrator.say(&format!("\n  control plane  {}", fleet.api().base()));
    for sidecar in &fleet.sidecars {
        let (node, workers) = (sidecar.node_id(), sidecar.workers());
        narrator.say(&format!("  {node:<14} http://{}  {workers} workers", sidecar.address()));
    }
    narrator.say(&format!("  invoice-bot    {}\n", agent.agent_id));
    narrator.say("invoice-bot makes charges through every sidecar:\n");
}

fn lanes(fleet: &Fleet) -> Result<Vec<Lane>> {
    let each = fleet.sidecars.iter().flat_map(|s| std::iter::repeat_n(s, LANES_PER_SIDECAR));
    each.map(Lane::fresh).collect()
}

/// Revokes as an operator would, by `kya`.
async fn revoke(
    narrator: &Narrator,
    artifacts: &Artifacts,
    fleet: &Fleet,
    agent: &Agent,
) -> Result<()> {
    let id = &agent.agent_id;
    narrator
        .say(&format!("\n$ kya agent revoke {id} --reason '{REASON}' --incident-id {INCIDENT}"));
    let why = ["--reason", REASON, "--incident-id", INCIDENT];
    let said = fleet.kya(artifacts)?.text(&[&["agent", "revoke", id], &why[..]].concat()).await?;
    for line in said.lines() {
        narrator.say(&format!("  {line}"));
    }
    narrator.say("");
    Ok(())
}

/// Prints how many charges went which way, twice a second.
struct Ticker<'a> {
    lanes: &'a [Lane],
    start: Instant,
    seen: usize,
}

impl<'a> Ticker<'a> {
    fn new(lanes: &'a [Lane]) -> Self {
        Self { lanes, start: Instant::now(), seen: 0 }
    }

    async fn run(&mut self, narrator: &Narrator, load: &Load, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep_until((Instant::now() + TICK).min(end)).await;
            narrator.say(&self.line(load));
        }
    }

    fn line(&mut self, load: &Load) -> String {
        let new = load.samples_from(self.seen);
        self.seen += new.len();
        let mut line = format!("  {:>5.1} s", self.start.elapsed().as_secs_f64());
        for nodes in self.lanes.chunks(LANES_PER_SIDECAR) {
            let Some(node) = nodes.first().map(|lane| &lane.node_id) else { continue };
            let of_node =
                new.iter().filter(|s| self.lanes.get(s.lane).is_some_and(|l| l.node_id == *node));
            let (mut allowed, mut denied, mut failed) = (0, 0, 0);
            for sample in of_node {
                match sample.outcome {
                    Outcome::Allowed => allowed += 1,
                    Outcome::Denied => denied += 1,
                    Outcome::Failed => failed += 1,
                }
            }
            line.push_str(&format!("   {node}  {allowed:>3} allowed  {denied:>3} denied"));
            if failed > 0 {
                line.push_str(&format!("  {failed} failed"));
            }
        }
        line
    }
}
