//! Why a server does not start.

use std::net::SocketAddr;

use thiserror::Error;

use crate::config::ConfigError;
use crate::data_dir::DataDirError;
use crate::fetch::FetchError;
use crate::keys::KeyFileError;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::tls::TlsError;

/// Why a control plane does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The database cannot be used.
    #[error("{place}")]
    Store {
        /// The database: its file, or its address without a password.
        place: String,
        /// What was wrong.
        source: StoreError,
    },
    /// An address is taken, or not of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The configuration would give secrets away.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The issuer of operators' tokens cannot be asked.
    #[error("single sign-on")]
    Oidc(#[source] FetchError),
    /// Checkpoints of the audit trail cannot be put anywhere.
    #[error("the anchor of the audit trail")]
    Anchor(#[source] FetchError),
    /// The issuer of capability tokens cannot be as it is configured.
    #[error("the issuer of capability tokens")]
    Issuer(#[source] RegistryError),
    /// There is no randomness to tell this process from others.
    #[error("a name for this process")]
    Name(#[source] RegistryError),
    /// The metrics cannot be set up.
    #[error("cannot set up the metrics")]
    Metrics(#[from] prometheus::Error),
}
