//! Logs and metrics.

use std::io::IsTerminal;
use std::time::Duration;

use kya_core::{Revision, UnixSeconds};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use tracing_subscriber::EnvFilter;

use crate::audit::AuditMetrics;
use crate::config::{Config, LogFormat};
use crate::drill::DrillMetrics;
use crate::push::State;

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
    revision: IntGauge,
    proxies: IntGauge,
    workers: IntGauge,
    nodes: IntGaugeVec,
    challenges: IntCounter,
    challenges_answered: IntCounter,
    challenges_missed: IntCounter,
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
    requests: IntCounterVec,
    in_flight: IntGauge,
    pub(crate) audit: AuditMetrics,
    pub(crate) drills: DrillMetrics,
}

/// Counts a request as being in flight until it is dropped.
pub(crate) struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            revision: IntGauge::new("kya_revision", "Newest revision handed to the streams.")?,
            proxies: IntGauge::new("kya_proxies_connected", "Open streams of proxies.")?,
            workers: IntGauge::new("kya_workers_reported", "Workers that those have named.")?,
            nodes: IntGaugeVec::new(
                Opts::new(
                    "kya_nodes",
                    "Proxies by what is proved of them; those that have left are unknown.",
                ),
                &["state"],
            )?,
            challenges: IntCounter::new(
                "kya_challenges_sent_total",
                "Challenges sent, counted for each proxy.",
            )?,
            challenges_answered: IntCounter::new(
                "kya_challenges_answered_total",
                "Challenges that every worker of the proxy has answered, or a later one.",
            )?,
            challenges_missed: IntCounter::new(
                "kya_challenges_missed_total",
                "Challenges that not every worker of the proxy has answered in time.",
            )?,
            deltas: IntCounter::new("kya_deltas_sent_total", "Deltas sent to proxies.")?,
            manifests: IntCounter::new("kya_manifests_sent_total", "Manifests sent to proxies.")?,
            heartbeats: IntCounter::new("kya_heartbeats_sent_total", "Heartbeats sent.")?,
            chunks: IntCounter::new("kya_chunks_sent_total", "Chunks of images sent.")?,
            pulls: IntCounter::new("kya_pulls_total", "Pulls over HTTP that were answered.")?,
            introspections: IntCounter::new(
                "kya_introspections_total",
                "Questions whether there is a token that were answered.",
            )?,
            acknowledged: Histogram::with_opts(
                HistogramOpts::new(
                    "kya_acknowledgement_seconds",
                    "From a commit to the arrival of a worker's first report of it.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ]),
            )?,
            impossible: IntCounter::new(
                "kya_impossible_reports_total",
                "Workers' reports of a position that was never sent, which were ignored.",
            )?,
            nodes_refused: IntCounterVec::new(
                Opts::new(
                    "kya_node_refusals_total",
                    "Proxies that were not let in, or not any longer, by reason.",
                ),
                &["reason"],
            )?,
            auth_failures: IntCounterVec::new(
                Opts::new(
                    "kya_auth_failures_total",
                    "Requests of operators that were not let in, by reason.",
                ),
                &["reason"],
            )?,
            oidc_fetches: IntCounterVec::new(
                Opts::new(
                    "kya_oidc_key_fetches_total",
                    "Times that the keys of the issuer of operators' tokens were asked for, by outcome.",
                ),
                &["outcome"],
            )?,
            oidc_fetched_at: IntGauge::new(
                "kya_oidc_keys_fetched_timestamp_seconds",
                "When they were last had, in seconds since 1970; 0 if never.",
            )?,
            tls_refused: IntCounterVec::new(
                Opts::new("kya_tls_refusals_total", "Connections without a good TLS handshake."),
                &["listener"],
            )?,
            tls_files_refused: IntCounterVec::new(
                Opts::new(
                    "kya_tls_files_refused_total",
                    "New certificate files that could not be used, so that the old ones stayed.",
                ),
                &["listener"],
            )?,
            requests: IntCounterVec::new(
                Opts::new("kya_http_requests_total", "HTTP requests by route and status."),
                &["method", "route", "status"],
            )?,
            in_flight: IntGauge::new("kya_http_requests_in_flight", "HTTP requests now.")?,
            audit: AuditMetrics::new(&registry)?,
            drills: DrillMetrics::new(&registry)?,
            registry,
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.revision.clone()))?;
        registry.register(Box::new(metrics.proxies.clone()))?;
        registry.register(Box::new(metrics.workers.clone()))?;
        registry.register(Box::new(metrics.nodes.clone()))?;
        registry.register(Box::new(metrics.challenges.clone()))?;
        registry.register(Box::new(metrics.challenges_answered.clone()))?;
        registry.register(Box::new(metrics.challenges_missed.clone()))?;
        registry.register(Box::new(metrics.deltas.clone()))?;
        registry.register(Box::new(metrics.manifests.clone()))?;
        registry.register(Box::new(metrics.heartbeats.clone()))?;
        registry.register(Box::new(metrics.chunks.clone()))?;
        registry.register(Box::new(metrics.pulls.clone()))?;
        registry.register(Box::new(metrics.introspections.clone()))?;
        registry.register(Box::new(metrics.acknowledged.clone()))?;
        registry.register(Box::new(metrics.impossible.clone()))?;
        registry.register(Box::new(metrics.nodes_refused.clone()))?;
        registry.register(Box::new(metrics.auth_failures.clone()))?;
        registry.register(Box::new(metrics.oidc_fetches.clone()))?;
        registry.register(Box::new(metrics.oidc_fetched_at.clone()))?;
        registry.register(Box::new(metrics.tls_refused.clone()))?;
        registry.register(Box::new(metrics.tls_files_refused.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn published(&self, revision: Revision) {
        self.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
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
        self.oidc_fetched_at.set(i64::try_from(now.0).unwrap_or(i64::MAX));
    }

    pub(crate) fn tls_refused(&self, listener: &str) {
        self.tls_refused.with_label_values(&[listener]).inc();
    }

    pub(crate) fn tls_files_refused(&self, listener: &str) {
        self.tls_files_refused.with_label_values(&[listener]).inc();
    }

    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(crate) fn requested(&self, method: &str, route: &str, status: u16) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
    }

    /// Everything in Prometheus's text format, with what is connected now.
    pub(crate) fn render<const N: usize>(
        &self,
        (proxies, workers): (usize, usize),
        nodes: [(State, usize); N],
    ) -> Result<Vec<u8>, prometheus::Error> {
        self.proxies.set(i64::try_from(proxies).unwrap_or(i64::MAX));
        self.workers.set(i64::try_from(workers).unwrap_or(i64::MAX));
        for (state, count) in nodes {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.nodes.with_label_values(&[state.as_str()]).set(count);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
