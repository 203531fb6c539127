//! Many proxies in one process.

use std::env;
use std::future::Future;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use kya_fleet::client::{Heard, Proxy};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::arrivals::Arrivals;
use super::{Said, plain, say};

/// The variable that holds the node credential.
pub(crate) const CREDENTIAL: &str = "KYA_NODE_CREDENTIAL";
/// Connections that are being made at a time.
const AT_ONCE: usize = 64;

/// Options of `xtask simulate streams`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the control plane listens for proxies.
    #[arg(long)]
    address: String,
    /// How many proxies.
    #[arg(long)]
    count: usize,
    /// Whether each reports that it has applied what it got.
    #[arg(long)]
    acknowledge: bool,
    /// Where a writer listens to whom as many plain connections are made.
    #[arg(long, requires = "bytes")]
    plain: Option<String>,
    /// How long its messages are.
    #[arg(long)]
    bytes: Option<usize>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let credential =
        env::var(CREDENTIAL).with_context(|| format!("{CREDENTIAL} is to hold the credential"))?;
    Runtime::new()?.block_on(async {
        tokio::select! {
            ended = follow_all(options, &credential) => ended,
            closed = tokio::task::spawn_blocking(wait_for_the_end) => Ok(closed?),
        }
    })
}

/// Returns when stdin ends.
pub(super) fn wait_for_the_end() {
    // Whatever it says, it is the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Counts what has to happen before all is ready.
#[derive(Debug)]
struct Missing(AtomicUsize);

impl Missing {
    fn one_less(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            say(&Said::Ready);
        }
    }
}

/// Returns only if one of them fails.
async fn follow_all(options: &Options, credential: &str) -> Result<()> {
    let lanes = if options.plain.is_some() { 2 } else { 1 };
    let missing = Arc::new(Missing(AtomicUsize::new(options.count * lanes)));
    let deltas = Arc::new(Arrivals::of(options.count));
    let plains = Arc::new(Arrivals::of(options.count));
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in 0..options.count {
        let proxy = Proxy {
            address: options.address.clone(),
            credential: credential.to_owned(),
            number,
            instance: 1,
            acknowledges: options.acknowledge,
        };
        tasks.spawn(stream(proxy, Arc::clone(&missing), Arc::clone(&deltas), turn(&turns)));
        if let (Some(address), Some(bytes)) = (options.plain.clone(), options.bytes) {
            let (missing, plains, turn) = (Arc::clone(&missing), Arc::clone(&plains), turn(&turns));
            tasks.spawn(async move {
                let mut turn = Some(turn.await);
                let connected = || {
                    turn.take();
                    missing.one_less();
                };
                let heard = |id, at| {
                    if let Some(arrived) = plains.note(id, bytes, at) {
                        say(&Said::Plain(arrived));
                    }
                };
                plain::follow(&address, bytes, connected, heard).await
            });
        }
    }
    match tasks.join_next().await {
        Some(ended) => {
            let why = match ended? {
                Ok(()) => "a connection ended".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            say(&Said::Failed { why: why.clone() });
            anyhow::bail!(why)
        }
        None => Ok(()),
    }
}

/// One stream, which has its turn until it has its first state.
async fn stream<T>(
    proxy: Proxy,
    missing: Arc<Missing>,
    deltas: Arc<Arrivals>,
    turn: impl Future<Output = T> + Send,
) -> Result<()>
where
    T: Send,
{
    let turn = Mutex::new(Some(turn.await));
    proxy
        .follow(|heard| match heard {
            Heard::State { .. } => {
                let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                if turn.take().is_some() {
                    missing.one_less();
                }
            }
            Heard::Delta { revision, bytes, unix_ms, .. } => {
                if let Some(arrived) = deltas.note(revision, bytes, unix_ms) {
                    say(&Said::Delta(arrived));
                }
            }
        })
        .await
}

fn turn(
    turns: &Arc<Semaphore>,
) -> impl Future<Output = Option<tokio::sync::OwnedSemaphorePermit>> + use<> {
    let turns = Arc::clone(turns);
    // It is never closed.
    async move { turns.acquire_owned().await.ok() }
}
