//! What the handlers work with, without a server around it.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Api;
use crate::audit::{AuditKeys, Trail};
use crate::config::IssuerConfig;
use crate::data_dir::DataDir;
use crate::drill::Drills;
use crate::keys::{AdminKey, SigningKeys};
use crate::nodes::NodeAccess;
use crate::operators::OperatorAccess;
use crate::push::{Limits, Push};
use crate::registry::Registry;
use crate::rotation::{KeyRotation, KeyState};
use crate::servers::Servers;
use crate::store::audit::SqliteAuditStore;
use crate::store::{SqliteStore, Store};
use crate::telemetry::Metrics;
use crate::time::{Clock, SystemClock};
use crate::token_keys::TokenKeys;

/// With an issuer of this name, and all its data in `dir`.
pub(super) async fn api(dir: &Path, issuer: &str) -> Api {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new().unwrap());
    let data_dir = DataDir::open(&dir.join("keys")).unwrap();
    let store = SqliteStore::open(&dir.join("kya.db"), Arc::clone(&clock)).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let files = SigningKeys::new(data_dir.clone());
    let keys = KeyState::new(files.first().unwrap().0.public_key(), Vec::new()).unwrap();
    let draining = CancellationToken::new();
    let (push, _) = Push::start(
        Arc::clone(&store),
        &keys,
        files.clone(),
        Arc::clone(&clock),
        Arc::clone(&metrics),
        Limits::default(),
        draining.clone(),
    )
    .await
    .unwrap();
    let token_keys = TokenKeys::new(data_dir.clone());
    let registry =
        Registry::new(Arc::clone(&store), Arc::clone(&push), Arc::clone(&clock), token_keys);
    let issuer = IssuerConfig { name: issuer.to_owned(), max_lifetime: 3600 };
    registry.open_issuer(&issuer).await.unwrap();
    let (key, _) = AdminKey::open_or_create(&data_dir).unwrap();
    let (s, c, m) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
    let operators = OperatorAccess::new(key, s, c, m);
    let (s, c, m) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
    let access = NodeAccess::new(s, c, m, Arc::clone(push.nodes()));
    let rotation =
        KeyRotation::new(Arc::clone(&store), Arc::clone(&push), files, Arc::clone(&clock));
    let audit = SqliteAuditStore::open(&dir.join("audit.db")).await.unwrap();
    let (trail, _) = Trail::start(
        Arc::new(audit),
        Arc::clone(&store),
        AuditKeys::new(data_dir),
        Arc::clone(&clock),
        Arc::clone(&metrics),
    )
    .await
    .unwrap();
    let drills = Drills::start(
        Arc::clone(&store),
        (registry.clone(), Arc::clone(&push)),
        (Arc::clone(&clock), Arc::clone(&metrics)),
        "test".to_owned(),
        draining.clone(),
        &draining,
    );
    let servers = Servers::new(
        Arc::clone(&store),
        Arc::clone(&push),
        Arc::clone(&trail),
        Arc::clone(&clock),
        "test".to_owned(),
    );
    Api {
        registry,
        store,
        push,
        access: Arc::new(access),
        clock,
        metrics,
        operators: Arc::new(operators),
        rotation: Arc::new(rotation),
        trail,
        drills: drills.unwrap(),
        servers: Arc::new(servers),
        certificates: Vec::new(),
        draining,
    }
}
