//! Workers of many proxies that report what they decide, each batch when the one before is
//! acknowledged, and follow the state on a stream as proxies do.

mod worker;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kya_core::wire::{AuditBatch, SignedUpdate};
use kya_core::{Body, Position, PublicKey, Revision, Verifier};
use kya_envoy::unix_ms;
use kya_fleet::client::{Heard, Proxy};
use prost::Message as _;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::worker::{Caller, Worker};
use super::arrivals::Arrivals;
use super::stdin::wait_for_the_end;
use super::streams::CREDENTIAL;
use super::{Said, say};

/// How long the control plane may take for an answer, and how long a worker waits where it
/// is told to come again: as the filter.
const TIMEOUT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(1);
/// How long all of it may be refused before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of so many batches one is sent once more, as after an answer that was lost.
const TWICE_EVERY: u64 = 10;

/// Options of `xtask simulate reports`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the control plane listens for proxies.
    #[arg(long)]
    address: String,
    /// Its HTTP API.
    #[arg(long)]
    http: String,
    /// The key that signs its receipts.
    #[arg(long)]
    key: String,
    /// How many proxies, of one worker each.
    #[arg(long)]
    workers: usize,
    /// How long new batches are made, once a line has come on stdin.
    #[arg(long)]
    seconds: u64,
    /// A file with a line for each agent: its id, and the beginning of the hash of its token.
    #[arg(long)]
    callers: PathBuf,
}

/// What was reported, by all of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reported {
    /// Events that have happened.
    pub(crate) sent: u64,
    /// Of these those that had no room, and are counted in an event.
    pub(crate) dropped: u64,
    /// Batches that were acknowledged.
    pub(crate) batches: u64,
    /// Batches that were sent once more.
    pub(crate) resent: u64,
    /// Answers that told a worker to come again, and calls without an answer.
    pub(crate) refused: u64,
    /// When the first was sent.
    pub(crate) first_unix_ms: f64,
    /// When the last was acknowledged.
    pub(crate) last_unix_ms: f64,
    /// How long each took until it was acknowledged.
    pub(crate) answered_ms: Vec<f64>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let credential =
        env::var(CREDENTIAL).with_context(|| format!("{CREDENTIAL} is to hold the credential"))?;
    let done = Runtime::new()?.block_on(simulate(options, &credential));
    if let Err(error) = &done {
        say(&Said::Failed { why: format!("{error:#}") });
    }
    done
}

async fn simulate(options: &Options, credential: &str) -> Result<()> {
    let callers = fs::read_to_string(&options.callers)?;
    let callers = callers.lines().map(Caller::parse).collect::<Result<Vec<_>>>()?;
    let key: PublicKey = options.key.parse().context("the key of the control plane")?;
    let deltas = Arc::new(Arrivals::of(options.workers));
    let (begin, begins) = watch::channel(false);
    let (ready, mut are_ready) = mpsc::channel(options.workers.max(1));
    let (mut streams, mut reports) = (JoinSet::new(), JoinSet::new());
    for number in 0..options.workers {
        // Another in each run: a worker that was seen before does not begin at 1.
        let instance = (unix_ms() as u64) << 16 | number as u64;
        let proxy = Proxy {
            address: options.address.clone(),
            credential: credential.to_owned(),
            number,
            instance,
            acknowledges: true,
            fetches: false,
        };
        let applied = Applied::default();
        let sender = Sender {
            client: Client::builder().timeout(TIMEOUT).build()?,
            url: format!("{}/v1/enforcement/audit", options.http),
            credential: credential.to_owned(),
            verifier: Verifier::new([key]),
            reported: Reported::default(),
        };
        let worker = Worker::new(proxy.name(), instance, callers.clone());
        streams.spawn(follow(proxy, applied.clone(), Arc::clone(&deltas), ready.clone()));
        let mut begins = begins.clone();
        let seconds = Duration::from_secs(options.seconds);
        reports.spawn(async move {
            begins.wait_for(|begun| *begun).await?;
            sender.report(worker, &applied, seconds).await
        });
    }
    let all = async {
        for _ in 0..options.workers {
            are_ready.recv().await.context("a stream ended")?;
        }
        say(&Said::Ready);
        let line = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        line.await??;
        begin.send_replace(true);
        let mut all = Reported { first_unix_ms: f64::MAX, ..Reported::default() };
        while let Some(reported) = reports.join_next().await {
            all.add(reported??);
        }
        say(&Said::Reported(all));
        // What follows the end of the reports is still followed.
        anyhow::Ok(tokio::task::spawn_blocking(wait_for_the_end).await?)
    };
    tokio::select! {
        ended = all => ended,
        Some(ended) = streams.join_next() => ended?.and_then(|()| bail!("a stream ended")),
    }
}

/// The states that a worker has applied and not reported.
#[derive(Debug, Clone, Default)]
struct Applied(Arc<Mutex<Vec<Position>>>);

impl Applied {
    fn push(&self, at: Position) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(at);
    }

    fn take(&self) -> Vec<Position> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn follow(
    proxy: Proxy,
    applied: Applied,
    deltas: Arc<Arrivals>,
    ready: mpsc::Sender<()>,
) -> Result<()> {
    let heard = |heard| match heard {
        Heard::Greeting { .. } => {}
        Heard::State { epoch, revision, .. } => {
            applied.push(Position { epoch, revision: Revision(revision) });
            // Whoever counts them has room for all.
            let _ = ready.try_send(());
        }
        Heard::Delta { epoch, revision, bytes, unix_ms } => {
            applied.push(Position { epoch, revision: Revision(revision) });
            if let Some(arrived) = deltas.note(revision, bytes, unix_ms) {
                say(&Said::Delta(arrived));
            }
        }
    };
    proxy.follow(heard).await
}

/// Sends the batches of one worker, on a connection of its own.
struct Sender {
    client: Client,
    url: String,
    credential: String,
    verifier: Verifier,
    reported: Reported,
}

impl Sender {
    async fn report(
        mut self,
        mut worker: Worker,
        applied: &Applied,
        long: Duration,
    ) -> Result<Reported> {
        let end = Instant::now() + long;
        self.reported.first_unix_ms = unix_ms();
        while Instant::now() < end {
            let batch = worker.batch(applied.take());
            self.deliver(&batch).await?;
        }
        // The last states of all, and what is open.
        let batch = worker.batch(applied.take());
        self.deliver(&batch).await?;
        let last = worker.last();
        self.deliver(&last).await?;
        (self.reported.sent, self.reported.dropped) = (worker.happened, worker.dropped);
        Ok(self.reported)
    }

    /// Sends a batch until it is acknowledged.
    async fn deliver(&mut self, batch: &AuditBatch) -> Result<()> {
        let expected = batch.first + batch.events.len() as u64;
        let body = batch.encode_to_vec();
        let began = Instant::now();
        let mut times = 0;
        loop {
            match self.post(body.clone()).await? {
                Some(receipt) => {
                    self.receipt(&receipt, batch.instance, expected)?;
                    break;
                }
                None if began.elapsed() > PATIENCE => bail!("nothing was taken for {PATIENCE:?}"),
                None => {
                    self.reported.refused += 1;
                    times += 1;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        self.reported.answered_ms.push(began.elapsed().as_secs_f64() * 1000.0);
        self.reported.last_unix_ms = unix_ms();
        self.reported.batches += 1;
        if self.reported.batches.is_multiple_of(TWICE_EVERY)
            && let Some(receipt) = self.post(body).await?
        {
            times += 1;
            self.receipt(&receipt, batch.instance, expected)?;
        }
        self.reported.resent += times;
        Ok(())
    }

    /// The receipt; nothing where it is to be sent again.
    async fn post(&self, body: Vec<u8>) -> Result<Option<SignedUpdate>> {
        let request = self.client.post(&self.url).bearer_auth(&self.credential);
        let request = request.header("content-type", "application/x-protobuf").body(body);
        let Ok(response) = request.send().await else { return Ok(None) };
        let status = response.status();
        let Ok(bytes) = response.bytes().await else { return Ok(None) };
        match status {
            StatusCode::OK => Ok(Some(SignedUpdate::decode(bytes)?)),
            StatusCode::SERVICE_UNAVAILABLE => Ok(None),
            _ => bail!("a batch was answered {status}: {}", String::from_utf8_lossy(&bytes)),
        }
    }

    fn receipt(&self, signed: &SignedUpdate, instance: u64, expected: u64) -> Result<()> {
        let update = self.verifier.verify_signed(signed).context("the receipt")?;
        let Body::AuditReceipt { instance: of, next, .. } = update.body() else {
            bail!("a batch was answered with no receipt");
        };
        ensure!(*of == instance, "the receipt of another worker");
        ensure!(*next == expected, "{next} is expected after {expected} was sent");
        Ok(())
    }
}

impl Reported {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.batches += other.batches;
        self.resent += other.resent;
        self.refused += other.refused;
        self.first_unix_ms = self.first_unix_ms.min(other.first_unix_ms);
        self.last_unix_ms = self.last_unix_ms.max(other.last_unix_ms);
        self.answered_ms.extend(other.answered_ms);
    }
}
