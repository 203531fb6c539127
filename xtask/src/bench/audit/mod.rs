//! What the audit trail takes: records of many workers, while an operator revokes.

mod database;
mod revocations;
mod trail;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Artifacts, ControlPlane, Downed, Profile, RunDir};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::database::Database;
use self::revocations::Revoked;
use super::helper::Helper;
use super::process;
use crate::build;
use crate::command::{self, cargo};
use crate::distribution::{self, Distribution};
use crate::simulate::{Arrived, CREDENTIAL, Reported, Said};

/// How long the connections may take, and the last acknowledgement after the time is over.
const LIMIT: Duration = Duration::from_secs(60);
/// Agents for whom requests are made.
const CALLERS: usize = 64;

/// Options of `cargo xtask bench audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long it is reported, for each database.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many workers report at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// How many agents or tokens are revoked in a second meanwhile.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=200))]
    revocations: u64,
    /// Only this database.
    #[arg(long)]
    only: Option<Kind>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Where the trail is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

/// Of all databases.
#[derive(Debug, Serialize)]
struct Outcomes {
    sqlite_records_per_s: Option<f64>,
    postgres_records_per_s: Option<f64>,
    /// Of the database with which it is worse.
    revoke_p99_ms: Option<f64>,
    verify_records_per_s: Option<f64>,
    /// Events that have happened.
    sent: u64,
    /// Events in the trail.
    stored: u64,
    /// Events that had no room in their worker, as the trail says.
    counted_drops: u64,
    sqlite: Option<Measured>,
    postgres: Option<Measured>,
}

/// Of one database.
#[derive(Debug, Serialize)]
struct Measured {
    /// From the first batch that is sent to the last acknowledgement.
    seconds: f64,
    records_per_s: f64,
    sent: u64,
    stored: u64,
    counted_drops: u64,
    /// All records, also those of operators and kills.
    records: u64,
    batches: u64,
    batches_sent_again: u64,
    batches_refused: u64,
    /// Until a batch was acknowledged.
    acknowledged_ms: Option<Distribution>,
    revocations: usize,
    /// Times in ms after a revocation was due.
    revoke_answered_ms: Option<Distribution>,
    /// Until the last of the workers has it.
    revoke_pushed_ms: Option<Distribution>,
    /// Processor time of the control plane for each record.
    cpu_us_per_record: f64,
    export_records_per_s: f64,
    verify_records_per_s: f64,
    /// What is wrong with the trail.
    wrong: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let artifacts = Artifacts::new(Profile::Release);
    build::binaries(&artifacts, Profile::Release)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let outcomes = Runtime::new()?.block_on(measure(&artifacts, options))?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&outcomes)?),
        false => outcomes.print(),
    }
    for (measured, name) in [(&outcomes.sqlite, "SQLite"), (&outcomes.postgres, "PostgreSQL")] {
        let Some(measured) = measured else { continue };
        let Measured { sent, stored, counted_drops, wrong, .. } = measured;
        ensure!(
            wrong.is_empty() && *sent == stored + counted_drops,
            "{name}: of {sent} events {stored} are in the trail and {counted_drops} are counted as dropped; {wrong:?}"
        );
    }
    Ok(())
}

async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    let (mut sqlite, mut postgres) = (None, None);
    if options.only != Some(Kind::Postgres) {
        eprintln!("SQLite");
        let dir = RunDir::new(artifacts)?;
        let downed = Downed::new(artifacts, dir.path())?;
        sqlite = Some(one(artifacts, &dir, downed, options).await?);
        dir.remove()?;
    }
    if options.only != Some(Kind::Sqlite) {
        eprintln!("PostgreSQL");
        let dir = RunDir::new(artifacts)?;
        let database = Database::start(artifacts).await?;
        let downed = Downed::new(artifacts, dir.path())?.on_database(&database.url());
        postgres = Some(one(artifacts, &dir, downed, options).await?);
        database.stop()?;
        dir.remove()?;
    }
    let both = || [&sqlite, &postgres].into_iter().flatten();
    let p99 = |it: &Measured| it.revoke_answered_ms.as_ref().map(|it| it.p99);
    Ok(Outcomes {
        sqlite_records_per_s: sqlite.as_ref().map(|it| it.records_per_s),
        postgres_records_per_s: postgres.as_ref().map(|it| it.records_per_s),
        revoke_p99_ms: both().filter_map(p99).reduce(f64::max),
        verify_records_per_s: both().map(|it| it.verify_records_per_s).reduce(f64::min),
        sent: both().map(|it| it.sent).sum(),
        stored: both().map(|it| it.stored).sum(),
        counted_drops: both().map(|it| it.counted_drops).sum(),
        sqlite,
        postgres,
    })
}

async fn one(
    artifacts: &Artifacts,
    dir: &RunDir,
    downed: Downed,
    options: &Options,
) -> Result<Measured> {
    let plane = downed.start().await?;
    let count = usize::try_from(options.seconds * options.revocations)?;
    let targets = revocations::targets(plane.api(), count).await?;
    let callers = dir.path().join("callers");
    fs::write(&callers, revocations::callers(plane.api(), CALLERS).await?)?;
    let arguments = [
        "reports".to_owned(),
        format!("--address={}", plane.addresses().grpc),
        format!("--http={}", plane.api().base()),
        format!("--key={}", plane.public_key()?),
        format!("--workers={}", options.workers),
        format!("--seconds={}", options.seconds),
        format!("--callers={}", callers.display()),
    ];
    let variables = [(CREDENTIAL, plane.node_credential()?)];
    let mut workers = Helper::start(artifacts, &arguments, &variables)?;
    let ready = |said| matches!(said, Said::Ready).then_some(());
    workers.wait("all workers to have a state", LIMIT, ready).await?;

    let cpu = process::cpu(plane.pid())?;
    workers.tell("begin").await?;
    let period = Duration::from_secs(1) / u32::try_from(options.revocations)?;
    let revoking = tokio::spawn(revocations::revoke(plane.api().clone(), targets, period));
    let mut deltas = Vec::new();
    let limit = Duration::from_secs(options.seconds) + LIMIT;
    let heard = |said| match said {
        Said::Delta(arrived) => {
            deltas.push(arrived);
            None
        }
        Said::Reported(reported) => Some(reported),
        _ => None,
    };
    let reported = workers.wait("the last acknowledgement", limit, heard).await?;
    let cpu = (process::cpu(plane.pid())? - cpu).as_secs_f64();
    let revoked = revoking.await??;
    let newest = revoked.iter().map(|it| it.revision).max().unwrap_or(0);
    if deltas.iter().all(|delta| delta.id < newest) {
        deltas.push(workers.delta(newest, LIMIT).await?);
    }
    drop(workers);
    audited(artifacts, dir, plane, reported, &revoked, &deltas, cpu).await
}

/// Looks at what is in the trail, and ends the control plane.
async fn audited(
    artifacts: &Artifacts,
    dir: &RunDir,
    plane: ControlPlane,
    reported: Reported,
    revoked: &[Revoked],
    deltas: &[Arrived],
    cpu: f64,
) -> Result<Measured> {
    let export = dir.path().join("trail.jsonl");
    let exported = trail::export(plane.api(), &export).await?;
    let key = fs::read_to_string(plane.data_dir().join("audit.pub"))?;
    let (_, status) = plane.stop().await?;
    ensure!(status.success(), "the control plane ended with {status}");
    let arguments = [
        "auditor".to_owned(),
        format!("--file={}", export.display()),
        format!("--key={}", key.trim()),
    ];
    let mut auditor = Helper::start(artifacts, &arguments, &[])?;
    let audited = |said| match said {
        Said::Audited(counted) => Some(counted),
        _ => None,
    };
    let counted = auditor.wait("the auditor", LIMIT, audited).await?;
    let answered: Vec<_> = revoked.iter().map(|it| it.answered_unix_ms - it.due_unix_ms).collect();
    let pushed = revoked.iter().map(|it| Some(pushed(deltas, it.revision)? - it.due_unix_ms));
    let pushed: Option<Vec<_>> = pushed.collect();
    let pushed = pushed.context("a revocation came to no worker")?;
    let seconds = (reported.last_unix_ms - reported.first_unix_ms) / 1000.0;
    let per_second = |records: u64, seconds: f64| (records as f64 / seconds).round();
    Ok(Measured {
        seconds: (seconds * 1000.0).round() / 1000.0,
        records_per_s: per_second(counted.stored, seconds),
        sent: reported.sent,
        stored: counted.stored,
        counted_drops: counted.dropped,
        records: counted.records,
        batches: reported.batches,
        batches_sent_again: reported.resent,
        batches_refused: reported.refused,
        acknowledged_ms: Distribution::of(&reported.answered_ms),
        revocations: revoked.len(),
        revoke_answered_ms: Distribution::of(&answered),
        revoke_pushed_ms: Distribution::of(&pushed),
        cpu_us_per_record: (cpu * 1e7 / counted.stored as f64).round() / 10.0,
        export_records_per_s: per_second(counted.records, exported),
        verify_records_per_s: per_second(counted.records, counted.verified_seconds),
        wrong: counted.wrong,
    })
}

/// When the last worker had this revision: alone, or with later ones.
fn pushed(deltas: &[Arrived], revision: u64) -> Option<f64> {
    let after = deltas.iter().filter(|delta| delta.id >= revision);
    after.min_by_key(|delta| delta.id).map(|delta| delta.last_unix_ms)
}

impl Outcomes {
    fn print(&self) {
        let both = [("SQLite", &self.sqlite), ("PostgreSQL", &self.postgres)];
        for (name, measured) in both {
            let Some(it) = measured else { continue };
            println!("\n{name}: {} records/s for {} s", it.records_per_s, it.seconds);
            println!(
                "  {} events: {} in the trail, {} counted as dropped",
                it.sent, it.stored, it.counted_drops
            );
            println!(
                "  {} batches, {} sent again, {} refused",
                it.batches, it.batches_sent_again, it.batches_refused
            );
            println!("  ms until acknowledged  {}", distribution::line(&it.acknowledged_ms));
            println!("  {} revocations meanwhile, ms after each was due", it.revocations);
            println!("    answered             {}", distribution::line(&it.revoke_answered_ms));
            println!("    the last worker      {}", distribution::line(&it.revoke_pushed_ms));
            println!("  {} µs of the control plane's processor a record", it.cpu_us_per_record);
            println!(
                "  exported {} records/s, verified {} records/s",
                it.export_records_per_s, it.verify_records_per_s
            );
        }
    }
}
