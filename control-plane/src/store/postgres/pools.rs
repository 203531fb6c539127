//! The connections to a database, each of which has joined.

use std::sync::{Arc, PoisonError, RwLock};

use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::sync::watch;

use super::join::{self, Seen};
use super::{DatabaseUrl, WAIT};
use crate::time::Clock;

/// And one that listens.
const READERS: u32 = 4;

/// The connections, which can be replaced by new ones.
#[derive(Debug)]
pub(super) struct Pools {
    url: DatabaseUrl,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
    now: RwLock<Both>,
    renewed: watch::Sender<()>,
}

/// Some connections.
#[derive(Debug, Clone)]
pub(super) struct Both {
    /// One: the writers of this server wait for it, and so not all of them for the
    /// lock that those of other servers wait for.
    pub(super) writer: PgPool,
    pub(super) readers: PgPool,
}

impl Pools {
    pub(super) fn new(url: &DatabaseUrl, clock: Arc<dyn Clock>, seen: Arc<Seen>) -> Self {
        let now = RwLock::new(both(url, &clock, &seen));
        Self { url: url.clone(), clock, seen, now, renewed: watch::Sender::default() }
    }

    /// Those to use now.
    pub(super) fn now(&self) -> Both {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves all connections, and makes new ones when they are needed.
    pub(super) fn renew(&self) {
        let both = both(&self.url, &self.clock, &self.seen);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = both;
        self.renewed.send_replace(());
    }

    /// Follows [`Pools::renew`].
    pub(super) fn renewals(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }
}

fn both(url: &DatabaseUrl, clock: &Arc<dyn Clock>, seen: &Arc<Seen>) -> Both {
    let pool = |connections| {
        let (clock, seen) = (Arc::clone(clock), Arc::clone(seen));
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(WAIT)
            // A connection is kept for its lease.
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |db, _| {
                let (clock, seen) = (Arc::clone(&clock), Arc::clone(&seen));
                Box::pin(async move { join::join(db, &*clock, &seen).await })
            })
            .connect_lazy_with(url.options())
    };
    Both { writer: pool(1), readers: pool(READERS + 1) }
}
