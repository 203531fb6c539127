//! TLS for both listeners: certificates from files that may change while the
//! server runs, and handshakes that are bounded in time and number.

mod accept;
mod files;
mod reload;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;

use crate::places::Places;
use crate::telemetry::Metrics;
use crate::throttle::Throttle;

pub(crate) use accept::{Stream, secured};
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
        let current = RwLock::new(files.read()?.config(listener.alpn())?);
        Ok(Self {
            listener,
            files,
            current,
            handshakes: Places::new(HANDSHAKES),
            time: HANDSHAKE_TIME,
            warnings: Throttle::new(Duration::from_secs(1)),
            metrics,
        })
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
