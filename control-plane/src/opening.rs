//! What a server opens before it serves: its addresses, its database and the keys that sign.

use std::net::SocketAddr;
use std::process;
use std::sync::Arc;

use kya_core::Revision;
use tokio::net::TcpListener;

use crate::data_dir::{DataDir, DataDirError};
use crate::keys::{KeyFileError, SigningKeys};
use crate::rotation::KeyState;
use crate::server::{AUDIT_DATABASE_FILE, DATABASE_FILE, StartError};
use crate::store::audit::{AuditStore, PostgresAuditStore, SqliteAuditStore};
use crate::store::{DatabaseUrl, PostgresStore, SqliteStore, Store, StoreError};
use crate::telemetry::Metrics;
use crate::time::Clock;

/// Where it is written, in the data directory, at which addresses a server serves.
pub(crate) const ADDRESSES_FILE: &str = "addresses.json";

/// Listens at this address, and says where that is if any port was fine.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// For tools that asked for port 0. Written last: who finds it can connect.
pub(crate) fn write_addresses(
    data_dir: &DataDir,
    http: SocketAddr,
    grpc: SocketAddr,
) -> Result<(), DataDirError> {
    let addresses = serde_json::json!({
        "http": http.to_string(),
        "grpc": grpc.to_string(),
        "pid": process::id(),
    });
    data_dir.write(ADDRESSES_FILE, &format!("{addresses}\n"))
}

/// Opens the audit trail: in the database at this address, whose tables are made, or
/// else in a file of its own in the data directory.
pub(crate) async fn audit_store(
    database_url: Option<&DatabaseUrl>,
    data_dir: &DataDir,
) -> Result<Arc<dyn AuditStore>, StartError> {
    let (place, opened): (_, Result<Arc<dyn AuditStore>, _>) = match database_url {
        Some(url) => {
            let opened = PostgresAuditStore::open(url).await;
            (url.to_string(), opened.map(|store| Arc::new(store) as _))
        }
        None => {
            let path = data_dir.path().join(AUDIT_DATABASE_FILE);
            let opened = SqliteAuditStore::open(&path).await;
            (path.display().to_string(), opened.map(|store| Arc::new(store) as _))
        }
    };
    opened.map_err(|source| StartError::Store { place, source })
}

/// Opens the database at this address, or else the one in the data directory, and
/// says where it is.
pub(crate) async fn store(
    database_url: Option<&DatabaseUrl>,
    data_dir: &DataDir,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<dyn Store>, String), StartError> {
    let clock = Arc::clone(clock);
    let counted = || Arc::clone(metrics);
    let (place, opened): (_, Result<Arc<dyn Store>, _>) = match database_url {
        Some(url) => {
            let opened = PostgresStore::open(url, clock).await;
            (url.to_string(), opened.map(|store| Arc::new(store.with_metrics(counted())) as _))
        }
        None => {
            let path = data_dir.path().join(DATABASE_FILE);
            let opened = SqliteStore::open(&path, clock).await;
            let opened = opened.map(|store| Arc::new(store.with_metrics(counted())) as _);
            (path.display().to_string(), opened)
        }
    };
    match opened {
        Ok(store) => Ok((store, place)),
        Err(source) => Err(StartError::Store { place, source }),
    }
}

/// The keys as the log of their steps says, and without one the first key, which
/// is made if there is none. What a step left to be done is done.
pub(crate) async fn signing_keys(
    files: &SigningKeys,
    store: &dyn Store,
) -> Result<KeyState, NoKeys> {
    let steps = store.key_steps_after(Revision(0)).await?;
    let first = match (steps.first(), store.first_key(None).await?) {
        (Some(step), _) => step.change.active,
        (None, Some(recorded)) => recorded,
        (None, None) => {
            let mine = files.first()?.0.public_key();
            // Another server may have been quicker.
            store.first_key(Some(mine)).await?.unwrap_or(mine)
        }
    };
    let state = KeyState::new(first, steps)?;
    match files.find(state.active) {
        Err(KeyFileError::Missing { id, key, path }) if store.commits().are_shared() => {
            return Err(KeyFileError::NotOfTheOthers { id, key, path }.into());
        }
        found => found?,
    };
    files.publish(state.active)?;
    for retired in &state.retired {
        files.forget(*retired)?;
    }
    Ok(state)
}

/// Why there are no keys to sign with.
pub(crate) enum NoKeys {
    File(KeyFileError),
    Store(StoreError),
}

impl NoKeys {
    pub(crate) fn at(self, place: &str) -> StartError {
        match self {
            Self::File(error) => error.into(),
            Self::Store(source) => StartError::Store { place: place.to_owned(), source },
        }
    }
}

impl From<KeyFileError> for NoKeys {
    fn from(error: KeyFileError) -> Self {
        Self::File(error)
    }
}

impl From<StoreError> for NoKeys {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
