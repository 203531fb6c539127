use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use reqwest::{Client, StatusCode};

use super::caller::fresh_connections;
use super::connection::Connection;
use crate::Sidecar;
use crate::upstream::{CHARGES, charge_body};

const MOST_CONNECTIONS: usize = 200;
const CRASH_HEADER: (&str, &str) = ("x-kya-test-crash", "1");

/// One line of requests to one sidecar, each sent when the last was answered.
#[derive(Debug, Clone)]
pub struct Lane {
    way: Way,
    /// The `node.id` of the sidecar.
    pub node_id: String,
    /// The worker at the other end, where the lane keeps one connection.
    pub worker: Option<u32>,
}

#[derive(Debug, Clone)]
enum Way {
    Fresh { http: Client, url: String },
    Kept(Connection),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worker {
            Some(worker) => write!(f, "{} worker {worker}", self.node_id),
            None => f.write_str(&self.node_id),
        }
    }
}

impl Lane {
    /// A lane that makes charges, each on a new connection.
    pub fn fresh(sidecar: &Sidecar) -> Result<Self> {
        let way = Way::Fresh { http: fresh_connections().build()?, url: sidecar.url(CHARGES) };
        Ok(Self { way, node_id: sidecar.node_id().to_owned(), worker: None })
    }

    /// `each` such lanes to each of `sidecars`: the kernel spreads the connections
    /// over the workers.
    pub fn fresh_to_all(sidecars: &[Sidecar], each: usize) -> Result<Vec<Self>> {
        let lanes = sidecars.iter().flat_map(|sidecar| std::iter::repeat_n(sidecar, each));
        lanes.map(Self::fresh).collect()
    }

    /// `each` lanes to each of `sidecars` that keep their connections, of which it
    /// is not known which worker has them.
    pub async fn kept_to_all(sidecars: &[Sidecar], each: usize) -> Result<Vec<Self>> {
        let mut lanes = Vec::new();
        for sidecar in sidecars.iter().flat_map(|sidecar| std::iter::repeat_n(sidecar, each)) {
            lanes.push(Self::kept_at(sidecar, sidecar.address()).await?);
        }
        Ok(lanes)
    }

    /// A lane that keeps one connection to `address`, a listener of `sidecar`.
    pub async fn kept_at(sidecar: &Sidecar, address: SocketAddr) -> Result<Self> {
        let way = Way::Kept(Connection::open(address).await?);
        Ok(Self { way, node_id: sidecar.node_id().to_owned(), worker: None })
    }

    /// A lane that keeps one connection, and which worker has accepted it.
    /// Nobody else may connect to the sidecar meanwhile.
    async fn kept(sidecar: &Sidecar) -> Result<Self> {
        let before = sidecar.connections_by_worker().await?;
        let connection = Connection::open(sidecar.address()).await?;
        // Once it was answered, whatever the answer is, it was accepted.
        connection.request("none").await?;
        let after = sidecar.connections_by_worker().await?;
        let worker = after.iter().zip(&before).position(|(after, before)| after > before);
        let worker = worker.context("no worker has accepted the connection")?;
        Ok(Self {
            way: Way::Kept(connection),
            node_id: sidecar.node_id().to_owned(),
            worker: Some(u32::try_from(worker)?),
        })
    }

    /// One that leads nowhere.
    #[cfg(test)]
    pub(super) fn for_tests(node_id: &str, worker: Option<u32>) -> Self {
        let way = Way::Fresh { http: Client::new(), url: String::new() };
        Self { way, node_id: node_id.to_owned(), worker }
    }

    /// Asks a filter that was built with `crash-for-tests` to crash. The lane
    /// must be one that keeps its connection, so that it is known which worker
    /// is meant.
    pub async fn crash(&self) -> Result<StatusCode> {
        match &self.way {
            Way::Kept(connection) => connection.request_with("none", &[CRASH_HEADER]).await,
            Way::Fresh { .. } => bail!("it is not known which worker this would crash"),
        }
    }

    /// Makes one request, and returns the status once the whole answer is there.
    pub async fn request(&self, token: &str) -> Result<StatusCode> {
        match &self.way {
            Way::Kept(connection) => connection.request(token).await,
            Way::Fresh { http, url } => {
                let request = http.post(url).bearer_auth(token).json(&charge_body());
                let response = request.send().await?;
                let status = response.status();
                response.bytes().await?;
                Ok(status)
            }
        }
    }
}

/// One lane that keeps its connection to each worker of `sidecar`, in the order of the workers.
///
/// # Errors
/// When 200 connections did not reach every worker.
pub async fn pin_every_worker(sidecar: &Sidecar) -> Result<Vec<Lane>> {
    let wanted = sidecar.workers() as usize;
    let mut lanes: Vec<Lane> = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        let lane = Lane::kept(sidecar).await?;
        if lanes.iter().all(|known| known.worker != lane.worker) {
            lanes.push(lane);
        }
        if lanes.len() == wanted {
            lanes.sort_by_key(|lane| lane.worker);
            return Ok(lanes);
        }
    }
    bail!("{MOST_CONNECTIONS} connections to {} reached {} workers", sidecar.node_id(), lanes.len())
}
