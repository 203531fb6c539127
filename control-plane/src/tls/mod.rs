//! TLS for both listeners: certificates from files that may change while the
//! server runs, and handshakes that are bounded in time and number.

mod accept;
mod files;
mod reload;
mod validity;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kya_core::UnixSeconds;
use rustls::ServerConfig;

use crate::places::Places;
use crate::telemetry::Metrics;
use crate::throttle::Throttle;

pub(crate) use accept::{Stream, secured};
use files::Content;
pub use files::{TlsError, TlsFiles};

/// Handshakes at the same time; one peer has at most half of them.
const HANDSHAKES: usize = 512;
/// How long a handshake may take, the wait for its turn included.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// What a listener is for: the protocol that TLS agrees on, and what is answered
/// to who speaks in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Http,
    Grpc,
}

/// The TLS of one listener.
#[derive(Debug)]
pub(crate) struct Tls {
    listener: Listener,
    files: TlsFiles,
    /// Replaced whole, so that no session is resumed under other certificates.
    current: RwLock<Arc<ServerConfig>>,
    /// When the first certificate of the chain ends that is served; 0 if that is not known.
    expires: AtomicU64,
    handshakes: Places,
    time: Duration,
    warnings: Throttle,
    metrics: Arc<Metrics>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(
        listener: Listener,
        files: TlsFiles,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let content = files.read()?;
        let current = RwLock::new(content.config(listener.alpn())?);
        let tls = Self {
            listener,
            files,
            current,
            expires: AtomicU64::default(),
            handshakes: Places::new(HANDSHAKES),
            time: HANDSHAKE_TIME,
            warnings: Throttle::new(Duration::from_secs(1)),
            metrics,
        };
        tls.note_expiry(&content);
        Ok(tls)
    }

    /// For which listener it is.
    pub(crate) fn listener(&self) -> &'static str {
        self.listener.name()
    }

    /// When the first certificate of the chain ends that is served, if that is known.
    pub(crate) fn expires(&self) -> Option<UnixSeconds> {
        let at = self.expires.load(Ordering::Relaxed);
        (at > 0).then_some(UnixSeconds(at))
    }

    fn note_expiry(&self, content: &Content) {
        let at = content.expires();
        self.expires.store(at.map_or(0, |at| at.0.max(1)), Ordering::Relaxed);
        if let Some(at) = at {
            self.metrics.tls_expires(self.listener.name(), at);
        }
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listener {
    /// As metrics and logs name it.
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }

    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http => b"http/1.1",
            Self::Grpc => b"h2",
        }
    }
}

#[cfg(test)]
mod tests;
