//! Everything that runs while it is measured: a real control plane and its service, the
//! tables besides, what kya is compared with, the Envoy, and the load.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_core::testing;
use kya_envoy::{Api, Artifacts, Fleet, FleetOptions, Sidecar, until};
use reqwest::Client;
use tokio::task::JoinSet;

use super::listeners::{self, DIRECT, Knowledge, UPSTREAM};
use super::native;
use super::others::Others;
use super::variants::{Bearers, Chain, FEW, TABLES, VARIANTS, Variant};
use super::wasm;
use crate::bench::helper::Helper;
use crate::bench::seed;
use crate::simulate::Said;
use crate::simulate::load::Shown;

/// More capability tokens than the filter remembers, twice over, so that hardly any is
/// found when it comes again.
const CAPABILITIES: usize = 8_192;
/// How long tokens last: longer than the measurement.
const LIFETIME_SECONDS: u64 = 3_600;
const CONNECTIONS: usize = 8;
/// How long tables may take to be there, and to be loaded.
const LIMIT: Duration = Duration::from_secs(180);
const SERVICE: &str = "payments";

/// All of it.
#[derive(Debug)]
pub(super) struct Stage {
    // In the order in which they are to be stopped.
    pub(super) load: Helper,
    fleet: Fleet,
    pub(super) others: Others,
    _tables: Helper,
    pub(super) bearers: Bearers,
}

impl Stage {
    /// Starts it, and waits until every variant answers as it should.
    pub(super) async fn start(artifacts: &Artifacts, redis_server: &Path) -> Result<Self> {
        let tokens = TABLES.map(|count| format!("--tokens={count}"));
        let arguments = [&["tables".to_owned()][..], &tokens].concat();
        let mut tables = Helper::start(artifacts, &arguments, &[])?;

        eprintln!("a control plane with {FEW} opaque and {CAPABILITIES} capability tokens");
        let mut fleet = control_plane(artifacts).await?;
        let bearers = issue(&fleet).await?;
        let others = Others::start(artifacts, redis_server, &bearers.revoked, fleet.dir()).await?;
        eprintln!("tables of {TABLES:?} tokens");
        let serves = |said| match said {
            Said::Serves { addresses } => Some(addresses),
            _ => None,
        };
        let addresses = tables.wait("the tables to be there", LIMIT, serves).await?;

        let next = fleet.next_sidecar(1)?;
        let issuer = fleet.api().base().to_owned();
        let knowledge = Knowledge {
            jwks: native::jwks(),
            issuer,
            tokens: (0..FEW).map(|number| seed::token(number).reveal().to_owned()).collect(),
            servers: others.addresses(),
            tables: TABLES.into_iter().zip(addresses).collect(),
            table_key: testing::signer().public_key().to_string(),
            update_key: next.update_key.clone(),
        };
        let yaml = next.yaml(artifacts)?;
        let yaml = listeners::bootstrap(&yaml, &VARIANTS, &knowledge, fleet.dir())?;
        eprintln!("an Envoy with {} variants", VARIANTS.len());
        let sidecar = Sidecar::start_with(artifacts, &next, &yaml, fleet.dir()).await?;
        fleet.sidecars.push(sidecar);
        let load = Helper::start(artifacts, &["load".to_owned()], &[])?;
        let stage = Self { load, fleet, others, _tables: tables, bearers };
        stage.check().await?;
        Ok(stage)
    }

    pub(super) fn sidecar(&self) -> Result<&Sidecar> {
        self.fleet.sidecars.first().context("there is an Envoy")
    }

    /// Where the listener of this name is.
    pub(super) async fn address(&self, name: &str) -> Result<String> {
        Ok(self.sidecar()?.listener(name).await?.to_string())
    }

    /// Fails unless every variant lets pass whom it should and denies whom it should, by
    /// its own filter.
    async fn check(&self) -> Result<()> {
        let http = Client::builder().timeout(Duration::from_secs(10)).build()?;
        for variant in &VARIANTS {
            self.check_one(&http, variant).await.with_context(|| variant.name.to_owned())?;
        }
        for piece in &wasm::PIECES {
            for repeats in wasm::REPEATS {
                let name = piece.listener(repeats);
                let address = self.address(&name).await?;
                let (status, _) = ask(&http, &address, DIRECT, "none").await?;
                ensure!(status == 200, "{name} was answered {status}");
            }
        }
        Ok(())
    }

    async fn check_one(&self, http: &Client, variant: &Variant) -> Result<()> {
        let address = self.address(variant.name).await?;
        let shown = match self.bearers.shown(variant.bearer) {
            Shown::One(text) => text,
            Shown::Numbers(count) => seed::token(count - 1).reveal().to_owned(),
            Shown::Lines(file) => {
                let lines = fs::read_to_string(file)?;
                lines.lines().next().context("no tokens")?.to_owned()
            }
        };
        // Until its state has come, kya denies.
        let answered = async || {
            let (status, _) = ask(http, &address, DIRECT, &shown).await?;
            Ok((status == variant.status).then_some(()))
        };
        until("the state to be there", LIMIT, answered).await?;
        if variant.upstream {
            let (status, body) = ask(http, &address, UPSTREAM, &shown).await?;
            ensure!(status == 200, "the service answered {status}: {body}");
        }
        if let Some((bearer, expected, mark)) = variant.refuses() {
            let Shown::One(shown) = self.bearers.shown(bearer) else { return Ok(()) };
            let (status, body) = ask(http, &address, DIRECT, &shown).await?;
            ensure!(
                status == expected && body.contains(mark),
                "answered {status} and {body:?}, not {expected} and {mark:?}"
            );
        }
        // Somebody without any credential, where there is a filter that asks for one.
        if !matches!(variant.chain, Chain::Empty | Chain::Noop) {
            let status = http.get(format!("http://{address}{DIRECT}")).send().await?.status();
            ensure!(status.is_client_error(), "nobody was answered {status}");
        }
        Ok(())
    }

    /// Events for the audit trail that found no room, which would make it look cheaper than
    /// it is.
    pub(super) async fn unrecorded(&self) -> Result<u64> {
        Ok(self.sidecar()?.stats_of("kya.audit").await?.get("wasmcustom.kya.audit.dropped"))
    }

    /// Whether the control plane has every event that was recorded.
    pub(super) async fn is_drained(&self) -> Result<bool> {
        let stats = self.sidecar()?.stats_of("kya.audit").await?;
        let count = |name: &str| stats.get(&format!("wasmcustom.kya.audit.{name}"));
        Ok(count("acknowledged") >= count("recorded"))
    }

    pub(super) async fn finish(self) -> Result<()> {
        let Self { load, fleet, .. } = self;
        drop(load);
        fleet.finish().await
    }
}

/// One that issues capability tokens, and has as many opaque ones as are wanted of one agent.
async fn control_plane(artifacts: &Artifacts) -> Result<Fleet> {
    let options = FleetOptions { sidecars: 0, issuer: true, ..FleetOptions::default() };
    let fleet = Fleet::start(artifacts, &options).await?;
    let agent = fleet.api().register_agent("bench").await?;
    fleet.api().issue_token(&agent.agent_id).await?;
    let headless = fleet.stop_control_plane().await?;
    seed::fill(&headless.control_plane.database(), FEW).await?;
    headless.recover().await
}

/// Credentials of an agent that may act, and of one that was revoked.
async fn issue(fleet: &Fleet) -> Result<Bearers> {
    let api = fleet.api();
    let gone = api.register_agent("bench-revoked").await?.agent_id;
    let revoked = api.issue_token(&gone).await?.token;
    api.revoke_agent(&gone, "bench").await?;
    let agent = api.register_agent("bench-capable").await?.agent_id;
    // A client keeps the connection that it has opened, so that each has its own. All of
    // them have the key of one operator.
    let key = api.add_operator("bench", "admin").await?;
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (api, agent) = (Api::new(api.base(), &key)?, agent.clone());
        tasks.spawn(async move {
            let mut tokens = Vec::new();
            for _ in 0..CAPABILITIES / CONNECTIONS {
                let lasts = LIFETIME_SECONDS;
                tokens.push(api.issue_lasting_capability_token(&agent, SERVICE, lasts).await?);
            }
            anyhow::Ok(tokens)
        });
    }
    let mut tokens = Vec::new();
    while let Some(issued) = tasks.join_next().await {
        tokens.extend(issued??);
    }
    let capability = tokens.pop().context("no capability tokens")?;
    let file = fleet.dir().join("capability-tokens");
    fs::write(&file, tokens.join("\n"))?;
    Ok(Bearers {
        jwt: native::signed_anew(&capability)?,
        good: seed::token(0).reveal().to_owned(),
        revoked,
        capability,
        capabilities: file.display().to_string(),
    })
}

/// The status and the body of an answer.
async fn ask(http: &Client, address: &str, path: &str, bearer: &str) -> Result<(u16, String)> {
    let request = http.get(format!("http://{address}{path}")).bearer_auth(bearer);
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}
