//! A whole control plane: opens, binds, runs, and ends in order.

mod error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kya_core::PublicKey;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::audit::{AuditKeys, Patience, Trail};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirLock};
use crate::drill::{self, Drills};
use crate::http;
use crate::keys::{AdminKey, SigningKeys};
use crate::nodes::NodeAccess;
use crate::opening;
use crate::operators::{Oidc, OperatorAccess};
use crate::push::{self, Limits, Push};
use crate::registry::{self, Registry};
use crate::rotation::KeyRotation;
use crate::servers::Servers;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::time::{Clock, SystemClock};
use crate::tls::{Listener, Tls, TlsError, TlsFiles};
use crate::token_keys::TokenKeys;
pub use error::StartError;

/// How often certificates are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked at what other servers have revoked, without word of it.
const LOOK: Duration = Duration::from_secs(1);
/// Name of the database in the data directory.
pub const DATABASE_FILE: &str = "kya.db";
/// Name of the database of the audit trail in the data directory.
pub const AUDIT_DATABASE_FILE: &str = "audit.db";

/// A control plane that is being started.
#[derive(Debug)]
pub struct Server {
    config: Config,
    limits: Limits,
    clock: Arc<dyn Clock>,
    certificate_interval: Duration,
    patience: Patience,
}

/// A control plane that serves. Dropping it ends it abruptly, which loses
/// nothing; [`RunningServer::shutdown`] ends it in order.
#[derive(Debug)]
pub struct RunningServer {
    /// Where the HTTP API listens.
    pub http_addr: SocketAddr,
    /// Where the enforcement protocol is spoken.
    pub grpc_addr: SocketAddr,
    /// The key that signed updates when it started.
    pub public_key: PublicKey,
    data_dir: DataDir,
    drain_timeout: Duration,
    push: Arc<Push>,
    store: Arc<dyn Store>,
    /// Ends HTTP.
    draining: CancellationToken,
    /// Ends streams and everything else.
    stop: CancellationToken,
    http: JoinHandle<()>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    publisher: JoinHandle<()>,
    trail: Arc<Trail>,
    drills: Arc<Drills>,
    servers: Arc<Servers>,
    writer: JoinHandle<()>,
    _lock: DataDirLock,
}

impl Server {
    /// A server with this configuration, the clock of the machine and the usual
    /// bounds.
    pub fn new(config: Config) -> Self {
        let (limits, clock) = (Limits::default(), Arc::new(SystemClock));
        let patience = Patience { kill: config.audit.kill_timeout, ..Patience::default() };
        let certificate_interval = CERTIFICATE_INTERVAL;
        Self { config, limits, clock, certificate_interval, patience }
    }

    /// The same by another clock.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same that waits longer or less long before a worker is lost.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same with other bounds of the push side.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same that looks more or less often whether certificates have changed.
    pub fn with_certificate_interval(self, certificate_interval: Duration) -> Self {
        Self { certificate_interval, ..self }
    }

    /// Starts with the defaults of [`Server::new`].
    pub async fn start(config: Config) -> Result<RunningServer, StartError> {
        Self::new(config).run().await
    }

    /// Opens everything, and returns once both addresses are served.
    pub async fn run(self) -> Result<RunningServer, StartError> {
        let Self { config, limits, clock, certificate_interval, patience } = self;
        if let Some(exposed) = config.exposed().into_iter().next() {
            return Err(exposed.into());
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        let lock = data_dir.lock()?;
        data_dir.remove(opening::ADDRESSES_FILE)?;
        let (admin_key, _) = AdminKey::open_or_create(&data_dir)?;
        if admin_key.is_locked() {
            tracing::info!("the admin key is locked away: only named operators are let in");
        }

        let metrics = Arc::new(Metrics::new()?);
        let http_tls = load(Listener::Http, config.http_tls, &metrics)?;
        let grpc_tls = load(Listener::Grpc, config.grpc_tls, &metrics)?;
        let (http_listener, http_addr) = opening::listen(config.http_listen).await?;
        let (grpc_listener, grpc_addr) = opening::listen(config.grpc_listen).await?;

        let (store, place) =
            opening::store(config.database_url.as_ref(), &data_dir, &clock, &metrics).await?;
        metrics.uses(if config.database_url.is_some() { "postgresql" } else { "sqlite" });
        let at_place = |source| StartError::Store { place: place.clone(), source };
        let files = SigningKeys::new(data_dir.clone());
        let keys = opening::signing_keys(&files, &*store).await.map_err(|e| e.at(&place))?;
        let public_key = keys.active;

        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        for tls in [&http_tls, &grpc_tls].into_iter().flatten() {
            let following = Arc::clone(tls).follow_files(certificate_interval);
            tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        }
        let incoming = push::incoming(grpc_listener, grpc_tls.clone(), &limits);
        let (push, publisher) = Push::start(
            Arc::clone(&store),
            &keys,
            files.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            limits,
            stop.clone(),
        )
        .await
        .map_err(at_place)?;
        let (trail, writer) = Trail::start(
            opening::audit_store(config.database_url.as_ref(), &data_dir).await?,
            Arc::clone(&store),
            AuditKeys::new(data_dir.clone()),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        )
        .await
        .map_err(at_place)?;
        trail.follow(&push, patience, config.audit, &stop).map_err(StartError::Anchor)?;
        let noting = registry::expiry::note(Arc::clone(&store));
        tokio::spawn(stop.clone().run_until_cancelled_owned(noting));
        let access = Arc::new(NodeAccess::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            Arc::clone(push.nodes()),
        ));
        let looked = access.looked().await.map_err(at_place)?;
        let following = Arc::clone(&access);
        let following = async move { following.follow_others(looked, LOOK).await };
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        let oidc = config.oidc.map(|oidc| Oidc::new(oidc, Arc::clone(&metrics)));
        let oidc = oidc.transpose().map_err(StartError::Oidc)?.map(Arc::new);
        if let Some(oidc) = oidc.clone() {
            let following = async move { oidc.follow_issuer().await };
            tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        }
        let operators = OperatorAccess::new(
            admin_key,
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let operators = Arc::new(operators.with_oidc(oidc));
        let registry = Registry::new(
            Arc::clone(&store),
            Arc::clone(&push),
            Arc::clone(&clock),
            TokenKeys::new(data_dir.clone()),
        )
        .with_second_operator(config.second_operator_to_resume);
        if let Some(issuer) = &config.issuer {
            registry.open_issuer(issuer).await.map_err(StartError::Issuer)?;
        }
        let rotation = Arc::new(KeyRotation::new(
            Arc::clone(&store),
            Arc::clone(&push),
            files,
            Arc::clone(&clock),
        ));
        let drills = Drills::start(
            Arc::clone(&store),
            (registry.clone(), Arc::clone(&push)),
            (Arc::clone(&clock), Arc::clone(&metrics)),
            drill::server_name(data_dir.path()),
            draining.clone(),
            &stop,
        )
        .map_err(StartError::Name)?;
        drills.follow_schedules(Arc::clone(&metrics), &stop);
        let servers = Arc::new(Servers::new(
            Arc::clone(&store),
            Arc::clone(&push),
            Arc::clone(&trail),
            Arc::clone(&clock),
            drill::server_name(data_dir.path()),
        ));
        let following = Arc::clone(&servers).follow();
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        let certificates = [&http_tls, &grpc_tls].into_iter().flatten().cloned().collect();
        let router = api::router(Arc::new(Api {
            registry,
            store: Arc::clone(&store),
            push: Arc::clone(&push),
            access: Arc::clone(&access),
            clock,
            operators,
            metrics,
            rotation,
            trail: Arc::clone(&trail),
            drills: Arc::clone(&drills),
            servers: Arc::clone(&servers),
            certificates,
            draining: draining.clone(),
        }));
        let http = tokio::spawn(http::serve(
            http_listener,
            router,
            http_tls,
            http::Limits::default(),
            draining.clone(),
        ));
        let grpc = tokio::spawn(
            push::grpc_server(Arc::clone(&push), access)
                .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()),
        );
        opening::write_addresses(&data_dir, http_addr, grpc_addr)?;
        tracing::info!(
            http = %http_addr,
            grpc = %grpc_addr,
            signing_key = %public_key,
            data_dir = %data_dir.path().display(),
            database = place,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        Ok(RunningServer {
            http_addr,
            grpc_addr,
            public_key,
            data_dir,
            drain_timeout: config.drain_timeout,
            push,
            store,
            draining,
            stop,
            http,
            grpc,
            publisher,
            trail,
            drills,
            servers,
            writer,
            _lock: lock,
        })
    }
}

impl RunningServer {
    /// The audit trail, for whoever embeds the server.
    pub fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// The push side, for whoever embeds the server.
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// Returns only if a part of the server ends by itself, which it never
    /// should.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.http => "the HTTP server ended",
            _ = &mut self.grpc => "the gRPC server ended",
            _ = &mut self.publisher => "the publisher of updates ended",
            _ = &mut self.writer => "the writer of the audit trail ended",
        }
    }

    /// Ends in order: requests under way are answered, what they committed is
    /// pushed, the streams end, the store closes. At most the drain timeout.
    pub async fn shutdown(mut self) {
        let deadline = Instant::now() + self.drain_timeout;
        self.draining.cancel();
        if !self.http.is_finished() && timeout_at(deadline, &mut self.http).await.is_err() {
            tracing::warn!("requests were still under way at the end of the drain timeout");
            self.http.abort();
        }
        let _ = timeout_at(deadline, self.drills.finish()).await;
        if let Ok(head) = self.store.head().await {
            // The streams get their last updates before they end, if they read.
            let _ = timeout_at(deadline, self.push.wait_published(head.position)).await;
        }
        let _ = timeout_at(deadline, self.trail.finish()).await;
        self.stop.cancel();
        let _ = timeout_at(deadline, self.servers.end()).await;
        if !self.grpc.is_finished() && timeout_at(deadline, &mut self.grpc).await.is_err() {
            tracing::warn!("streams were still open at the end of the drain timeout");
            self.grpc.abort();
        }
        let closing = async {
            self.trail.store().close().await;
            self.store.close().await;
        };
        let _ = timeout_at(deadline.max(Instant::now() + CLOSE), closing).await;
        if let Err(error) = self.data_dir.remove(opening::ADDRESSES_FILE) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot remove the addresses");
        }
        tracing::info!("stopped");
    }
}
/// Least time that the store gets to close.
const CLOSE: Duration = Duration::from_secs(1);

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.draining.cancel();
        self.stop.cancel();
    }
}

fn load(
    listener: Listener,
    files: Option<TlsFiles>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Tls>>, TlsError> {
    let load = |files| Tls::load(listener, files, Arc::clone(metrics)).map(Arc::new);
    files.map(load).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_whose_publisher_ends_has_failed() {
        let temp = tempfile::tempdir().unwrap();
        let mut server = Server::start(Config::ephemeral(temp.path())).await.unwrap();
        server.publisher.abort();
        let failed = tokio::time::timeout(Duration::from_secs(20), server.failed()).await;
        assert_eq!(failed, Ok("the publisher of updates ended"));
    }
}
