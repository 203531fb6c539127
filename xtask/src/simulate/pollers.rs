//! Sidecars that ask Redis, again and again, whether an agent is on the list of those that
//! are denied.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kya_envoy::unix_ms;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::arrivals::Arrivals;
use super::crowd::{Crowd, Turn};
use super::{Said, chance, say, stdin};
use crate::resp::{Client, Value};

/// Options of `xtask simulate pollers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where Redis listens.
    #[arg(long)]
    redis: String,
    /// How many sidecars.
    #[arg(long)]
    count: usize,
    /// Time between two questions of one of them.
    #[arg(long)]
    every_ms: u64,
}

/// The key of an agent that is denied.
pub(crate) fn key(agent: u64) -> String {
    format!("denied:agent-{agent}")
}

/// Each line of stdin is the number of the agent that they ask about from then on.
pub(super) fn run(options: &Options) -> Result<()> {
    let every = Duration::from_millis(options.every_ms);
    let (told, agent) = watch::channel(0);
    // The one reader of stdin: its end ends the pollers, too.
    let mut lines = stdin::lines();
    let asking = async move {
        while let Some(line) = lines.recv().await {
            let id = line.trim().parse().context("a line is the number of an agent")?;
            told.send_replace(id);
            say(&Said::Asking { id });
        }
        Ok(())
    };
    crate::file_limit::make_room(options.count)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let known = Arc::new(Arrivals::of(options.count));
        let mut crowd = Crowd::of(options.count);
        for _ in 0..options.count {
            let (redis, agent, known) = (options.redis.clone(), agent.clone(), Arc::clone(&known));
            crowd.join(move |turn| async move { poll(&redis, every, &agent, turn, &known).await });
        }
        tokio::select! {
            ended = crowd.stay() => ended,
            told = asking => told,
        }
    })
}

/// Asks for ever, beginning at any time.
async fn poll(
    redis: &str,
    every: Duration,
    agent: &watch::Receiver<u64>,
    turn: Turn,
    known: &Arrivals,
) -> Result<()> {
    let mut client = Client::connect(redis).await?;
    turn.is_there();
    let mut ticks = interval_at(Instant::now() + chance::below(every), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut denied = 0;
    loop {
        ticks.tick().await;
        let id = *agent.borrow();
        match client.ask(&[b"EXISTS", key(id).as_bytes()]).await? {
            Value::Integer(0) => {}
            Value::Integer(1) if id == denied => {}
            Value::Integer(1) => {
                denied = id;
                if let Some(arrived) = known.note(id, 0, unix_ms()) {
                    say(&Said::Message(arrived));
                }
            }
            other => bail!("Redis said {other:?}"),
        }
    }
}
