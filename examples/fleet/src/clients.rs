use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kya_envoy::{Fleet, until};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Heard, Proxy};

/// How long all of them may take to be there.
const LIMIT: Duration = Duration::from_secs(30);

/// Simulated clients of the stream, which acknowledge whatever comes and answer what they
/// are challenged with. Dropping it ends them.
#[derive(Debug)]
pub struct Clients {
    count: usize,
    streams: JoinSet<Result<()>>,
}

impl Clients {
    /// Connects so many, and waits until each has its first state and the control plane
    /// knows it.
    ///
    /// # Errors
    /// When one of them is cut off meanwhile, or it takes too long.
    pub async fn connect(fleet: &Fleet, count: usize) -> Result<Self> {
        let address = fleet.control_plane.addresses().grpc.to_string();
        let credential = fleet.control_plane.node_credential()?.to_owned();
        let (heard, mut first) = mpsc::channel(count.max(1));
        let mut streams = JoinSet::new();
        for number in 0..count {
            let (address, credential) = (address.clone(), credential.clone());
            let proxy = Proxy {
                address,
                credential,
                number,
                instance: 1,
                acknowledges: true,
                fetches: false,
            };
            let ready = heard.clone();
            streams.spawn(async move {
                let tell = |heard| {
                    if let Heard::State { .. } = heard {
                        // It is full only if a stream got more than one.
                        let _ = ready.try_send(());
                    }
                };
                proxy.follow(tell).await
            });
        }
        let mut clients = Self { count, streams };
        let all = async {
            for _ in 0..count {
                first.recv().await.context("a stream ended")?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            ready = tokio::time::timeout(LIMIT, all) => ready.context("first states")??,
            Some(ended) = clients.streams.join_next() => ended??,
        }
        until("every simulated client to have said where it is", LIMIT, async || {
            let nodes = fleet.api().nodes().await?.nodes;
            let named = nodes.iter().filter(|node| node.node_id.starts_with("simulated-"));
            let count = named.filter(|node| !node.workers.is_empty()).count();
            Ok((count == clients.count).then_some(()))
        })
        .await?;
        Ok(clients)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one has ended before.
    pub fn finish(mut self) -> Result<()> {
        if let Some(ended) = self.streams.try_join_next() {
            match ended? {
                Ok(()) => bail!("a simulated client ended"),
                Err(error) => return Err(error.context("a simulated client was cut off")),
            }
        }
        ensure!(self.streams.len() == self.count, "{} of {}", self.streams.len(), self.count);
        Ok(())
    }
}
