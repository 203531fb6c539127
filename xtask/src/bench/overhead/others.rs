//! What kya is compared with, where that is a process: Redis, and servers for `ext_authz`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Artifacts, Process, reserve_port};

use super::variants::Server;

const START_LIMIT: Duration = Duration::from_secs(20);
const LISTENS: &str = "listening on ";

/// They run until this is dropped.
#[derive(Debug)]
pub(super) struct Others {
    redis: Process,
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
        let port = reserve_port()?.to_string();
        let mut command = Command::new(redis_server);
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        command.current_dir(dir);
        let mut redis = Process::spawn("Redis", &mut command, &dir.join("redis.log"))?;
        let address = format!("127.0.0.1:{port}");
        redis
            .wait_ready(START_LIMIT, async || Ok(TcpStream::connect(&address).ok().map(drop)))
            .await?;
        revoke(&address, revoked)?;

        let mut servers = Vec::new();
        let url = format!("redis://{address}");
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
        let redis = (server == Server::Redis).then(|| self.redis.id());
        asked.map(|(_, process, _)| process.id()).chain(redis).collect()
    }
}

/// Puts a token on the list of those that are revoked, as the source does: a key with the
/// rest of its lifetime.
fn revoke(redis: &str, token: &str) -> Result<()> {
    let mut connection = TcpStream::connect(redis).context("Redis")?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(format!("SETEX blacklist:{token} 86400 revoked\r\n").as_bytes())?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).context("Redis does not answer")?;
    ensure!(&answer == b"+OK\r\n", "Redis said {}", String::from_utf8_lossy(&answer));
    Ok(())
}
