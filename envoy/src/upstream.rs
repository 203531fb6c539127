use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};

use crate::Artifacts;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(20);
const ANNOUNCED: &str = "listening on ";

/// Where charges are made: the action `create_charge`.
pub const CHARGES: &str = "/v1/charges";

/// Where refunds are made: the action `issue_refund`. The service answers one as it does
/// a charge.
pub const REFUNDS: &str = "/v1/refunds";

/// Something to ask for without a body.
pub(crate) const HEALTH: &str = "/healthz";

/// A charge.
pub(crate) fn charge_body() -> Value {
    json!({ "amount": 1999, "currency": "eur" })
}

/// The same charge as a line of shell, through the proxy at `base`.
pub fn curl_charge(base: &str, token: &str) -> String {
    format!(
        "curl -i {base}{CHARGES} -H 'authorization: Bearer {token}' \
         -H 'content-type: application/json' -d '{}'",
        charge_body()
    )
}

/// The payments service behind the sidecars.
#[derive(Debug)]
pub struct Upstream {
    _process: Process,
    address: SocketAddr,
    http: Client,
}

impl Upstream {
    /// Starts it on a free port; its log is in `dir`.
    pub async fn start(artifacts: &Artifacts, dir: &Path) -> Result<Self> {
        let log = dir.join("payments.log");
        let mut command = Command::new(artifacts.payments()?);
        command.args(["--listen", "127.0.0.1:0"]);
        let mut process = Process::spawn("the payments service", &mut command, &log)?;
        let address = process
            .wait_ready(START_LIMIT, async || {
                let said = std::fs::read_to_string(&log)?;
                // A line counts once its end was written.
                let Some((line, _)) = said.split_once('\n') else { return Ok(None) };
                let address = line.strip_prefix(ANNOUNCED).context("not an announcement")?;
                Ok(Some(address.parse().context("not an address")?))
            })
            .await?;
        let http = Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { _process: process, address, http })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many charges and refunds have reached it.
    pub async fn total(&self) -> Result<u64> {
        self.ledger().await?["total"].as_u64().context("the ledger has no total")
    }

    /// How many of the last 1000 of them were made by this agent.
    pub async fn made_by(&self, agent_id: &str) -> Result<usize> {
        let page = self.ledger().await?;
        let entries = page["entries"].as_array().context("the ledger has no entries")?;
        Ok(entries.iter().filter(|entry| entry["agent_id"] == agent_id).count())
    }

    async fn ledger(&self) -> Result<Value> {
        let url = format!("http://{}/v1/ledger", self.address);
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }
}
