//! Logs and metrics.

mod drills;
mod http;
mod kills;
mod making;
mod process;
mod store;

use std::io::IsTerminal;
use std::time::Duration;

use kya_core::{Revision, UnixSeconds};
use prometheus::{
    Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};
use tracing_subscriber::EnvFilter;

use crate::audit::AuditMetrics;
use crate::config::{Config, LogFormat};
use crate::drill::ScheduleMetrics;
use crate::push::Census;
use drills::DrillMetrics;
use http::HttpMetrics;
pub(crate) use kills::Closing;
use kills::KillMetrics;
pub(crate) use making::Making;
use process::Process;
pub(crate) use store::{Operation, StoreMetrics};

/// What is done within a fraction of a second, at best.
const FAST: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Sends log lines to standard error, as configured. Once per process.
pub fn init_logs(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging is already set up: {error}"))
}

/// The figures of one server, for Prometheus.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    build: IntGaugeVec,
    revision: IntGauge,
    proxies: IntGauge,
    workers: IntGauge,
    nodes: IntGaugeVec,
    left: IntGauge,
    behind: IntGauge,
    most_behind: IntGauge,
    challenges: IntCounter,
    challenges_answered: IntCounter,
    challenges_missed: IntCounter,
    pushed: Histogram,
    deltas: IntCounter,
    manifests: IntCounter,
    heartbeats: IntCounter,
    chunks: IntCounter,
    pulls: IntCounter,
    introspections: IntCounter,
    acknowledged: Histogram,
    impossible: IntCounter,
    nodes_refused: IntCounterVec,
    auth_failures: IntCounterVec,
    oidc_fetches: IntCounterVec,
    oidc_fetched_at: IntGauge,
    tls_refused: IntCounterVec,
    tls_files_refused: IntCounterVec,
    tls_expires: IntGaugeVec,
    pub(crate) http: HttpMetrics,
    pub(crate) audit: AuditMetrics,
    pub(crate) kills: KillMetrics,
    pub(crate) drills: DrillMetrics,
    pub(crate) schedules: ScheduleMetrics,
    pub(crate) store: StoreMetrics,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let making = Making(&registry);
        if let Some(process) = Process::new()? {
            registry.register(Box::new(process))?;
        }
        Ok(Self {
            build: making.gauges(
                ("kya_build_info", "1, of this version, on this kind of database."),
                &["version", "database"],
            )?,
            revision: making
                .gauge("kya_revision", "Newest revision handed to the streams.")?,
            proxies: making.gauge("kya_proxies_connected", "Proxies that are connected.")?,
            workers: making.gauge("kya_workers_reported", "Workers that those have named.")?,
            nodes: making.gauges(
                (
                    "kya_nodes",
                    "Proxies by what is proved of them and how they are told; those that are missing are unknown.",
                ),
                &["state", "transport"],
            )?,
            left: making.gauge(
                "kya_nodes_left",
                "Proxies that were connected within a day and have left in order.",
            )?,
            behind: making.gauge(
                "kya_workers_behind",
                "Workers that have not said that they decide by the newest revision.",
            )?,
            most_behind: making.gauge(
                "kya_revision_lag",
                "Most revisions that a worker of a connected proxy lacks, as far as it has said.",
            )?,
            challenges: making
                .counter("kya_challenges_sent_total", "Challenges sent, counted for each proxy.")?,
            challenges_answered: making.counter(
                "kya_challenges_answered_total",
                "Challenges that every worker of the proxy has answered, or a later one.",
            )?,
            challenges_missed: making.counter(
                "kya_challenges_missed_total",
                "Challenges that not every worker of the proxy has answered in time.",
            )?,
            pushed: making.histogram(
                (
                    "kya_push_seconds",
                    "From a commit until its delta was handed to the connection of a proxy, counted for each stream that was open at the commit.",
                ),
                &FAST,
            )?,
            deltas: making.counter("kya_deltas_sent_total", "Deltas sent to proxies.")?,
            manifests: making.counter("kya_manifests_sent_total", "Manifests sent to proxies.")?,
            heartbeats: making.counter("kya_heartbeats_sent_total", "Heartbeats sent.")?,
            chunks: making.counter("kya_chunks_sent_total", "Chunks of images sent.")?,
            pulls: making.counter("kya_pulls_total", "Pulls over HTTP that were answered.")?,
            introspections: making.counter(
                "kya_introspections_total",
                "Questions whether there is a token that were answered.",
            )?,
            acknowledged: making.histogram(
                (
                    "kya_acknowledgement_seconds",
                    "From a commit to the arrival of a worker's first report of it.",
                ),
                &FAST,
            )?,
            impossible: making.counter(
                "kya_impossible_reports_total",
                "Workers' reports of a position that was never sent, which were ignored.",
            )?,
            nodes_refused: making.counters(
                (
                    "kya_node_refusals_total",
                    "Proxies that were not let in, or not any longer, by reason.",
                ),
                &["reason"],
                &[],
            )?,
            auth_failures: making.counters(
                (
                    "kya_auth_failures_total",
                    "Requests of operators that were not let in, by reason.",
                ),
                &["reason"],
                &[],
            )?,
            oidc_fetches: making.counters(
                (
                    "kya_oidc_key_fetches_total",
                    "Times that the keys of the issuer of operators' tokens were asked for, by outcome.",
                ),
                &["outcome"],
                &[],
            )?,
            oidc_fetched_at: making.gauge(
                "kya_oidc_keys_fetched_timestamp_seconds",
                "When they were last had, in seconds since 1970; 0 if never.",
            )?,
            tls_refused: making.counters(
                ("kya_tls_refusals_total", "Connections without a good TLS handshake."),
                &["listener"],
                &[],
            )?,
            tls_files_refused: making.counters(
                (
                    "kya_tls_files_refused_total",
                    "New certificate files that could not be used, so that the old ones stayed.",
                ),
                &["listener"],
                &[],
            )?,
            tls_expires: making.gauges(
                (
                    "kya_tls_certificate_expires_timestamp_seconds",
                    "When the first certificate of the chain that is served ends, in seconds since 1970.",
                ),
                &["listener"],
            )?,
            http: HttpMetrics::new(making)?,
            audit: AuditMetrics::new(making)?,
            kills: KillMetrics::new(making)?,
            drills: DrillMetrics::new(making)?,
            schedules: ScheduleMetrics::new(&registry)?,
            store: StoreMetrics::new(making)?,
            registry,
        })
    }

    /// Which kind of database it is.
    pub(crate) fn uses(&self, database: &str) {
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION"), database]).set(1);
    }

    pub(crate) fn published(&self, revision: Revision) {
        self.revision.set(whole(revision.0));
    }

    /// A delta was handed to a stream that was open when it was committed.
    pub(crate) fn pushed(&self, after: Duration) {
        self.pushed.observe(after.as_secs_f64());
    }

    pub(crate) fn sent_delta(&self) {
        self.deltas.inc();
    }

    pub(crate) fn sent_manifest(&self) {
        self.manifests.inc();
    }

    pub(crate) fn sent_heartbeat(&self) {
        self.heartbeats.inc();
    }

    pub(crate) fn sent_chunks(&self, count: usize) {
        self.chunks.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A challenge was sent to a proxy that has missed so many before.
    pub(crate) fn sent_challenge(&self, missed: usize) {
        self.challenges.inc();
        self.challenges_missed.inc_by(u64::try_from(missed).unwrap_or(u64::MAX));
    }

    pub(crate) fn challenges_answered(&self, count: usize) {
        self.challenges_answered.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn pulled(&self) {
        self.pulls.inc();
    }

    pub(crate) fn introspected(&self) {
        self.introspections.inc();
    }

    pub(crate) fn acknowledged(&self, after: Duration) {
        self.acknowledged.observe(after.as_secs_f64());
    }

    pub(crate) fn impossible_report(&self) {
        self.impossible.inc();
    }

    pub(crate) fn node_refused(&self, reason: &str) {
        self.nodes_refused.with_label_values(&[reason]).inc();
    }

    pub(crate) fn auth_failed(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// The keys of an issuer were asked for: `fetched`, `failed`, or `limited` and not asked.
    pub(crate) fn oidc_keys(&self, outcome: &str) {
        self.oidc_fetches.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn oidc_keys_fetched(&self, now: UnixSeconds) {
        self.oidc_keys("fetched");
        self.oidc_fetched_at.set(whole(now.0));
    }

    pub(crate) fn tls_refused(&self, listener: &str) {
        self.tls_refused.with_label_values(&[listener]).inc();
    }

    pub(crate) fn tls_files_refused(&self, listener: &str) {
        self.tls_files_refused.with_label_values(&[listener]).inc();
    }

    pub(crate) fn tls_expires(&self, listener: &str, at: UnixSeconds) {
        self.tls_expires.with_label_values(&[listener]).set(whole(at.0));
    }

    /// Everything in Prometheus's text format, with what is connected now.
    pub(crate) fn render(&self, census: &Census) -> Result<Vec<u8>, prometheus::Error> {
        self.proxies.set(whole(census.proxies));
        self.workers.set(whole(census.workers));
        self.left.set(whole(census.left));
        self.behind.set(whole(census.workers_behind));
        self.most_behind.set(whole(census.most_behind));
        for ((state, transport), count) in &census.nodes {
            let labels = [state.as_str(), transport.as_str()];
            self.nodes.with_label_values(&labels).set(whole(*count));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// As a gauge has it.
pub(crate) fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
