//! What kya is compared with, where that is a process: Redis, and servers for `ext_authz`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, Process};

use super::variants::Server;
use crate::redis::Redis;
use crate::resp::{Client, Value};

const START_LIMIT: Duration = Duration::from_secs(20);
/// Connections to Redis.
const CONNECTIONS: usize = 1000;
const LISTENS: &str = "listening on ";

/// They run until this is dropped.
#[derive(Debug)]
pub(super) struct Others {
    redis: Redis,
    servers: Vec<(Server, Process, String)>,
}

impl Others {
    /// Starts all of them; each denies `revoked` and nothing else.
    pub(super) async fn start(
        artifacts: &Artifacts,
        redis_server: &Path,
        revoked: &str,
        dir: &Path,
    ) -> Result<Self> {
        let redis = Redis::start(redis_server, dir, CONNECTIONS).await?;
        revoke(redis.address(), revoked).await?;

        let mut servers = Vec::new();
        let url = format!("redis://{}", redis.address());
        for (server, arguments) in [
            (Server::Constant, ["--by=constant", "--revoked", revoked]),
            (Server::Redis, ["--by=redis", "--redis", &url]),
            (Server::Rego, ["--by=rego", "--revoked", revoked]),
        ] {
            let log = dir.join(format!("ext-authz-{server:?}.log"));
            let mut command = Command::new(artifacts.ext_authz()?);
            let name = format!("kya-ext-authz {}", arguments[0]);
            let mut process = Process::spawn(&name, command.args(arguments), &log)?;
            let address = process
                .wait_ready(START_LIMIT, async || {
                    let said = fs::read_to_string(&log)?;
                    Ok(said.lines().find_map(|line| line.strip_prefix(LISTENS).map(str::to_owned)))
                })
                .await?;
            servers.push((server, process, address));
        }
        Ok(Self { redis, servers })
    }

    /// Where each server listens.
    pub(super) fn addresses(&self) -> Vec<(Server, String)> {
        self.servers.iter().map(|(server, _, address)| (*server, address.clone())).collect()
    }

    /// The processes that work when this one is asked.
    pub(super) fn pids(&self, server: Server) -> Vec<u32> {
        let asked = self.servers.iter().filter(|(other, ..)| *other == server);
        let redis = (server == Server::Redis).then(|| self.redis.pid());
        asked.map(|(_, process, _)| process.id()).chain(redis).collect()
    }
}

/// Puts a token on the list of those that are revoked, as the source does: a key with the
/// rest of its lifetime.
async fn revoke(redis: &str, token: &str) -> Result<()> {
    let key = format!("blacklist:{token}");
    let mut client = Client::connect(redis).await?;
    let words = [&b"SETEX"[..], key.as_bytes(), b"86400", b"revoked"];
    let answer = tokio::time::timeout(START_LIMIT, client.ask(&words)).await??;
    ensure!(answer == Value::Simple("OK".to_owned()), "Redis said {answer:?}");
    Ok(())
}
