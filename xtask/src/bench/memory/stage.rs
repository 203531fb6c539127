//! An Envoy that meets a control plane with a full store, and is watched.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::{Lane, Load, Sample, pin_all};
use kya_envoy::{
    Artifacts, Fleet, FleetOptions, Headless, Node, Sidecar, SidecarOptions, unix_ms, until,
};

use crate::bench::process::{self, Memory};
use crate::bench::{rows, seed};

/// Agents that hold the tokens.
const AGENTS: u32 = 100;
/// For which a capability token is issued.
const SERVICE: &str = "payments";
/// How long the probes run before the load, to know what is usual.
const BEFORE: Duration = Duration::from_secs(2);
/// How long Envoy may take for everything.
const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// The memory is read when it has not moved for so long.
const SETTLED: Duration = Duration::from_secs(2);

/// A listener with the filter, and one without, that answer by themselves.
const ROUTE: &str = "route: { cluster: upstream }";
const ANSWER: &str = "direct_response: { status: 200 }";
const PLAIN: &str = "plain";

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Opaque tokens of some agents.
    Tokens(u32),
    /// Agents without any.
    Agents(u32),
    /// Capability tokens that were taken back, of one agent, and their issuer.
    TakenBack(u32),
}

/// An Envoy that has loaded everything.
#[derive(Debug)]
pub(super) struct Stage {
    fleet: Fleet,
    pub(super) load_ms: f64,
    pub(super) stall_ms: f64,
    pub(super) stall_before_ms: f64,
}

impl Stage {
    /// Fills a store, starts an Envoy that has never met its
    /// control plane, sends probes to each worker, and then starts that.
    pub(super) async fn start(
        artifacts: &Artifacts,
        workers: u16,
        contents: Contents,
    ) -> Result<Self> {
        let (mut headless, options) = prepare(artifacts, workers, contents).await?;
        let yaml = with_plain_listener(&options.yaml(artifacts)?)?;
        let sidecar = Sidecar::start_with(artifacts, &options, &yaml, headless.dir()).await?;
        headless.sidecars.push(sidecar);

        let lanes = pin_all(&headless.sidecars).await?;
        // Any answer will do; this one needs no token.
        let probes = Load::start(&lanes, "none", Duration::ZERO);
        tokio::time::sleep(BEFORE).await;
        let before = probes.len();
        let fleet = headless.recover().await?;
        let (connected, loaded) = watch_load(&fleet).await?;
        let samples = probes.stop().await?;
        let usual = usual_gap(&samples[..before], lanes.len())?;
        let during =
            |sample: &Sample| sample.answered_unix_ms >= connected && sample.sent_unix_ms <= loaded;
        let stall = |from: &[Sample], counts: &dyn Fn(&Sample) -> bool| {
            (longest_gap(from, lanes.len(), counts) - usual).max(0.0)
        };
        let stage = Self {
            load_ms: loaded - connected,
            stall_ms: stall(&samples, &during),
            stall_before_ms: stall(&samples[..before], &|_| true),
            fleet,
        };
        stage.settle().await?;
        Ok(stage)
    }

    pub(super) fn sidecar(&self) -> Result<&Sidecar> {
        self.fleet.sidecars.first().context("there is an Envoy")
    }

    /// One lane to each worker through the filter, and as many past it.
    pub(super) async fn lanes(&self) -> Result<(Vec<Lane>, Vec<Lane>)> {
        let sidecar = self.sidecar()?;
        let plain = sidecar.listener(PLAIN).await?;
        let kya = pin_all(&self.fleet.sidecars).await?;
        let mut past = Vec::new();
        for _ in &kya {
            past.push(Lane::kept_at(sidecar, plain).await?);
        }
        Ok((kya, past))
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        process::memory(self.sidecar()?.pid())
    }

    /// Memory of the control plane, in bytes.
    pub(super) fn control_plane_memory(&self) -> Result<u64> {
        Ok(process::memory(self.fleet.control_plane.pid())?.resident)
    }

    /// Waits until the memory of Envoy has not changed for a while.
    async fn settle(&self) -> Result<()> {
        let mut last = (self.memory()?.resident, unix_ms());
        until("the memory of Envoy to settle", LOAD_LIMIT, async || {
            let now = self.memory()?.resident;
            // A page more or less is no change.
            if now.abs_diff(last.0) > 64 * 1024 {
                last = (now, unix_ms());
            }
            Ok((unix_ms() - last.1 > SETTLED.as_secs_f64() * 1000.0).then_some(()))
        })
        .await
    }

    pub(super) async fn finish(self) -> Result<()> {
        self.fleet.finish().await
    }
}

/// A control plane that does not run, with something in its store, and what the
/// Envoy is to be started with.
async fn prepare(
    artifacts: &Artifacts,
    workers: u16,
    contents: Contents,
) -> Result<(Headless, SidecarOptions)> {
    let issuer = matches!(contents, Contents::TakenBack(_));
    let nobody = FleetOptions { sidecars: 0, issuer, ..FleetOptions::default() };
    let fleet = Fleet::start(artifacts, &nobody).await?;
    let mut options = fleet.next_sidecar(workers.into())?;
    options.changes = options.changes.replace(ROUTE, ANSWER);
    let agents = match contents {
        Contents::Tokens(tokens) => AGENTS.min(tokens),
        Contents::Agents(agents) => agents.min(1),
        Contents::TakenBack(_) => 1,
    };
    for number in 0..agents {
        let agent = fleet.api().register_agent(&format!("bench-{number}")).await?;
        match contents {
            Contents::Tokens(_) if number == 0 => {
                fleet.api().issue_token(&agent.agent_id).await?;
            }
            Contents::TakenBack(_) => {
                fleet.api().issue_capability_token(&agent.agent_id, SERVICE).await?;
            }
            Contents::Tokens(_) | Contents::Agents(_) => {}
        }
    }
    let headless = fleet.stop_control_plane().await?;
    let database = headless.control_plane.database();
    match contents {
        Contents::Tokens(0) | Contents::Agents(0) | Contents::TakenBack(0) => {}
        Contents::Tokens(tokens) => seed::fill(&database, tokens).await?,
        Contents::Agents(agents) => rows::fill_agents(&database, agents).await?,
        Contents::TakenBack(tokens) => rows::fill_taken_back(&database, tokens).await?,
    }
    Ok((headless, options))
}

/// When the proxy had connected, and when its last worker had acknowledged
/// everything; milliseconds since 1970.
async fn watch_load(fleet: &Fleet) -> Result<(f64, f64)> {
    until("the last worker to acknowledge", LOAD_LIMIT, async || {
        let seen = fleet.api().nodes().await?;
        let current = |node: &&Node| {
            node.workers.len() == fleet.workers()
                && node.workers.iter().all(|worker| worker.revision >= seen.revision)
        };
        let loaded = seen.nodes.iter().find(current);
        Ok(loaded.map(|node| (node.connected_unix_ms(), unix_ms())))
    })
    .await
}

/// The shipped listener once more, under another name, on any port, without kya.
fn with_plain_listener(yaml: &str) -> Result<String> {
    const FIRST: &str = "  - name: kya_ingress\n";
    const CLUSTERS: &str = "\n  clusters:\n";
    const FILTER: &str = "          - name: kya\n";
    const ROUTER: &str = "          - name: envoy.filters.http.router\n";
    let (before, rest) = yaml.split_once(FIRST).context("there is no listener")?;
    let (listener, after) = rest.split_once(CLUSTERS).context("there are no clusters")?;
    let (head, tail) = listener.split_once(FILTER).context("there is no filter")?;
    let (_, tail) = tail.split_once(ROUTER).context("there is no router")?;
    let plain = format!("{head}{ROUTER}{tail}").replace("kya_ingress", PLAIN);
    ensure!(!plain.contains("filters.http.wasm"), "the filter is in it still:\n{plain}");
    Ok(format!("{before}{FIRST}{listener}\n  - name: {PLAIN}\n{plain}{CLUSTERS}{after}"))
}

/// Times between two answers on the same lane, in ms, where the second counts.
fn gaps(samples: &[Sample], lanes: usize, counts: impl Fn(&Sample) -> bool) -> Vec<f64> {
    let of_lane = |lane| {
        let of_lane: Vec<&Sample> = samples.iter().filter(|s| s.lane == lane).collect();
        let pairs = of_lane.windows(2).filter(|pair| counts(pair[1]));
        pairs.map(|pair| pair[1].answered_unix_ms - pair[0].answered_unix_ms).collect::<Vec<_>>()
    };
    (0..lanes).flat_map(of_lane).collect()
}

fn usual_gap(samples: &[Sample], lanes: usize) -> Result<f64> {
    let mut gaps = gaps(samples, lanes, |_| true);
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().context("no probe was answered")
}

fn longest_gap(samples: &[Sample], lanes: usize, counts: impl Fn(&Sample) -> bool) -> f64 {
    gaps(samples, lanes, counts).into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use kya_envoy::traffic::Outcome;

    use super::*;

    fn sample(lane: usize, answered: f64) -> Sample {
        Sample {
            lane,
            sent_unix_ms: answered - 0.5,
            answered_unix_ms: answered,
            status: Some(503),
            outcome: Outcome::Failed,
        }
    }

    #[test]
    fn a_gap_is_between_two_answers_of_one_worker() {
        let samples =
            [sample(0, 1.0), sample(1, 1.5), sample(0, 2.0), sample(1, 9.5), sample(0, 4.0)];
        assert_eq!(gaps(&samples, 2, |_| true), [1.0, 2.0, 8.0]);
        assert_eq!(usual_gap(&samples, 2).unwrap(), 2.0);
        assert_eq!(longest_gap(&samples, 2, |sample| sample.answered_unix_ms < 5.0), 2.0);
        assert!(usual_gap(&[], 2).is_err());
    }

    #[test]
    fn the_second_listener_is_the_first_without_the_filter() {
        let shipped = std::fs::read_to_string(Artifacts::debug().bootstrap()).unwrap();
        let both = with_plain_listener(&shipped.replace(ROUTE, ANSWER)).unwrap();
        assert_eq!(both.matches("http_connection_manager.v3").count(), 2);
        assert_eq!(both.matches("extensions.filters.http.wasm.v3.Wasm").count(), 1);
        assert_eq!(both.matches("stat_prefix: plain").count(), 2);
        assert_eq!(both.matches(ANSWER).count(), 2);
        assert_eq!(both.matches("\n  clusters:\n").count(), 1);
    }
}
