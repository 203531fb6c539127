//! Proxies that have everything, are cut off, and come back with that.

use anyhow::{Context as _, Result};
use kya_fleet::client::Proxy;
use kya_fleet::state::Has;
use tokio::runtime::Runtime;

use super::streams::credential;
use super::visits::visit;
use super::{Said, say, stdin};

/// Options of `xtask simulate returning`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the control plane listens for proxies.
    #[arg(long)]
    address: String,
    /// How many proxies.
    #[arg(long)]
    count: usize,
}

/// Every line of stdin is a revision. At the first they come, one after the other, with
/// nothing, and leave as soon as they have that; at the next they come back with it; at the
/// third they come with nothing, and so on.
pub(super) fn run(options: &Options) -> Result<()> {
    let credential = credential()?;
    let proxy = |number| Proxy {
        address: options.address.clone(),
        credential: credential.clone(),
        number,
        instance: 1,
        acknowledges: false,
        fetches: true,
    };
    let mut lines = stdin::lines();
    let done = Runtime::new()?.block_on(async {
        say(&Said::Ready);
        let mut all: Option<Vec<Has>> = None;
        while let Some(line) = lines.recv().await {
            let revision = line.trim().parse().context("a line is a revision")?;
            let come_back = all.is_some();
            let mut having = all.take().unwrap_or_else(|| vec![Has::default(); options.count]);
            let mut visits = Vec::new();
            for (number, has) in having.iter_mut().enumerate() {
                visits.push(visit(&proxy(number), has, revision).await?);
            }
            say(&Said::Visited { visits, turned_away: 0 });
            all = (!come_back).then_some(having);
        }
        anyhow::Ok(())
    });
    if let Err(error) = &done {
        say(&Said::Failed { why: format!("{error:#}") });
    }
    done
}
