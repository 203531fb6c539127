//! Proxies that have nothing, connect, fetch all there is, and leave: so many a second.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use kya_fleet::client::Proxy;
use kya_fleet::state::Has;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::streams::credential;
use super::visits::{Visit, visit};
use super::{Said, say, stdin};

/// Most that are there at once: where they take longer than that, fewer come.
const AT_ONCE: usize = 64;
/// Their names come again after so many.
const NAMES: usize = 1000;
/// The first of their names, which no other simulated proxy has.
const FIRST: usize = 1_000_000;

/// Options of `xtask simulate newcomers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the control plane listens for proxies.
    #[arg(long)]
    address: String,
    /// How many a second.
    #[arg(long)]
    a_second: u32,
}

/// They come from a line of stdin to the next, after which it is said what they had.
pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(options.a_second > 0, "nobody would come");
    let proxy = Proxy {
        address: options.address.clone(),
        credential: credential()?,
        number: FIRST,
        instance: 1,
        acknowledges: false,
        fetches: true,
    };
    let mut lines = stdin::lines();
    let done = Runtime::new()?.block_on(async {
        say(&Said::Ready);
        while lines.recv().await.is_some() {
            let every = Duration::from_secs(1) / options.a_second;
            let mut coming = Coming::default();
            tokio::select! {
                told = lines.recv() => if told.is_none() { break },
                ended = coming.come(&proxy, every) => ended?,
            }
            let (visits, turned_away) = coming.leave().await?;
            say(&Said::Visited { visits, turned_away });
        }
        anyhow::Ok(())
    });
    if let Err(error) = &done {
        say(&Said::Failed { why: format!("{error:#}") });
    }
    done
}

/// Those that are there, and those that were.
#[derive(Debug, Default)]
struct Coming {
    there: JoinSet<Result<Visit>>,
    visits: Vec<Visit>,
    turned_away: usize,
}

impl Coming {
    /// Lets them come until one fails.
    async fn come(&mut self, proxy: &Proxy, every: Duration) -> Result<()> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut come = 0;
        loop {
            tokio::select! {
                Some(visited) = self.there.join_next() => self.visits.push(visited??),
                _ = ticks.tick() => match Arc::clone(&room).try_acquire_owned() {
                    Ok(place) => {
                        let proxy = Proxy { number: FIRST + come % NAMES, ..proxy.clone() };
                        come += 1;
                        self.there.spawn(async move {
                            let visited = visit(&proxy, &mut Has::default(), 0).await;
                            drop(place);
                            visited
                        });
                    }
                    Err(_) => self.turned_away += 1,
                },
            }
        }
    }

    /// Waits for those that are there, and says what all had.
    async fn leave(mut self) -> Result<(Vec<Visit>, usize)> {
        while let Some(visited) = self.there.join_next().await {
            self.visits.push(visited??);
        }
        if self.visits.is_empty() {
            bail!("nobody came");
        }
        Ok((self.visits, self.turned_away))
    }
}
