//! Two control planes on one database of PostgreSQL behind one cluster of real Envoys,
//! killed in turn under load: every request is one record of one trail.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::{Lane, Load};
use kya_envoy::{
    Artifacts, Changes, Cli, ControlPlane, Downed, Postgres, RunDir, Sidecar, SidecarOptions,
    Trail, Upstream, until,
};

const LIMIT: Duration = Duration::from_secs(60);
const LANES: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);

/// What makes two endpoints of the one at this address.
fn beside(changes: Changes, first: SocketAddr, second: SocketAddr) -> Changes {
    let at = |address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("socket_address: {{ address: \"{ip}\", port_value: {port} }}")
    };
    let indent = " ".repeat(8);
    let both = format!(
        "{}\n{indent}- endpoint:\n{indent}    address:\n{indent}      {}",
        at(first),
        at(second)
    );
    changes.replace(&at(first), &both)
}

/// The two servers; the one that is down is started again before the other is killed.
struct Pair(Option<ControlPlane>, Option<ControlPlane>);

impl Pair {
    /// SIGKILL for the first, and a new start once the Envoys have found the other.
    async fn fail_over(&mut self, sidecars: &[Sidecar]) -> Result<()> {
        let down = self.0.take().context("it runs")?.kill()?;
        grows(sidecars).await?;
        self.0 = Some(down.start().await?);
        std::mem::swap(&mut self.0, &mut self.1);
        grows(sidecars).await
    }

    fn any(&self) -> Result<&ControlPlane> {
        self.0.as_ref().context("it runs")
    }
}

/// Waits until every Envoy has had events acknowledged.
async fn grows(sidecars: &[Sidecar]) -> Result<()> {
    const NAME: &str = "wasmcustom.kya.audit.acknowledged";
    for sidecar in sidecars {
        let before = sidecar.stats().await?.get(NAME);
        until("events to be acknowledged", LIMIT, async || {
            Ok((sidecar.stats().await?.get(NAME) > before).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Requests until one is allowed on each lane: how many that were.
async fn warm(lanes: &[Lane], token: &str) -> Result<u64> {
    let mut sent = 0;
    for lane in lanes {
        let allowed = async || {
            sent += 1;
            Ok(lane.request(token).await?.is_success().then_some(()))
        };
        until("the agent to be known", LIMIT, allowed).await?;
    }
    Ok(sent)
}

async fn failing_over(rounds: usize) -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let postgres = Postgres::start(&artifacts).await?;
    let (dir, other_dir) = (RunDir::new(&artifacts)?, RunDir::new(&artifacts)?);
    let first = Downed::new(&artifacts, dir.path())?.on_database(&postgres.url());
    let first = first.start().await?;
    let second = first.replica(other_dir.path())?.start().await?;
    let upstream = Upstream::start(&artifacts, dir.path()).await?;
    let changes = Changes::default().argument("--file-flush-interval-msec", "100");
    let (one, two) = (first.addresses(), second.addresses());
    let changes = beside(beside(changes, one.grpc, two.grpc), one.http, two.http);
    let mut sidecars = Vec::new();
    for number in 1..=2 {
        let options = SidecarOptions {
            node_id: format!("sidecar-{number}"),
            workers: 2,
            upstream: upstream.address(),
            control_plane: one.grpc,
            control_plane_http: one.http,
            update_key: first.public_key()?,
            node_credential: first.node_credential()?.to_owned(),
            changes: changes.clone(),
        };
        sidecars.push(Sidecar::start(&artifacts, &options, dir.path()).await?);
    }
    let agent = first.api().register_agent("failover-bot").await?;
    let token = first.api().issue_token(&agent.agent_id).await?.token;
    let lanes = Lane::kept_to_all(&sidecars, LANES).await?;
    let mut sent = warm(&lanes, &token).await?;
    let load = Load::start(&lanes, &token, PAUSE);

    let (mut pair, key) = (Pair(Some(first), Some(second)), dir.path().join("audit.pub"));
    std::fs::copy(pair.any()?.audit_key(), &key)?;
    for _ in 0..rounds {
        pair.fail_over(&sidecars).await?;
    }

    let samples = load.stop().await?;
    ensure!(samples.iter().all(|sample| sample.status == Some(200)), "not allowed");
    sent += samples.len() as u64;
    let server = pair.any()?;
    let kya = Cli::new(&artifacts, server.api().base(), server.api().admin_key())?;
    let (_, counted) = Trail::reconciled(&kya, &key, dir.path(), &sidecars, sent).await?;
    eprintln!("{sent} requests: {counted:?}");
    ensure!(counted.dropped == 0, "there was room for all of it: {counted:?}");
    for sidecar in &mut sidecars {
        sidecar.check_sound().await?;
    }
    drop((sidecars, upstream, pair, postgres));
    dir.remove()?;
    other_dir.remove()
}

#[tokio::test]
async fn servers_of_one_database_that_are_killed_in_turn_lose_and_double_nothing() -> Result<()> {
    failing_over(4).await
}

#[tokio::test]
#[ignore = "long: fifty kills"]
async fn servers_of_one_database_that_are_killed_fifty_times_lose_and_double_nothing() -> Result<()>
{
    failing_over(50).await
}
