//! The servers that share a database: each says every few seconds that it is there, and how
//! far it is. Where there can be no other, nobody says anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::audit::Trail;
use crate::push::Push;
use crate::store::{ServerRow, Store, StoreError};
use crate::time::{Clock, UnixMicros};

/// How often a server says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// One that has not said so for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(20);
/// And after so long it is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// This server among those that use its database.
#[derive(Debug)]
pub(crate) struct Servers {
    store: Arc<dyn Store>,
    push: Arc<Push>,
    trail: Arc<Trail>,
    clock: Arc<dyn Clock>,
    name: String,
    started_at: UnixMicros,
}

impl Servers {
    /// This one, which begins now.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        push: Arc<Push>,
        trail: Arc<Trail>,
        clock: Arc<dyn Clock>,
        name: String,
    ) -> Self {
        let started_at = clock.now();
        Self { store, push, trail, clock, name, started_at }
    }

    /// Says that it is there, for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        while self.are_shared() {
            if let Err(error) = self.say().await {
                tracing::debug!(%error, "cannot say that this server is there");
            }
            sleep(BEAT).await;
        }
    }

    /// Says that it ends.
    pub(crate) async fn end(&self) {
        if self.are_shared()
            && let Err(error) = self.store.server_ends(&self.name).await
        {
            tracing::debug!(%error, "cannot say that this server ends");
        }
    }

    /// Those that are there, and those that are gone without a word within a day.
    pub(crate) async fn list(&self) -> Result<Vec<ServerRow>, StoreError> {
        match self.are_shared() {
            true => self.store.servers().await,
            false => Ok(vec![self.now()]),
        }
    }

    /// Whether it is this one.
    pub(crate) fn is_me(&self, server: &ServerRow) -> bool {
        server.name == self.name
    }

    /// For how long a server has been silent, if it is taken for gone.
    pub(crate) fn gone(&self, server: &ServerRow) -> Option<Duration> {
        let silent = self.clock.now().0.saturating_sub(server.seen_at.0);
        Some(Duration::from_micros(silent)).filter(|silent| *silent > GONE_AFTER)
    }

    fn are_shared(&self) -> bool {
        self.store.commits().are_shared()
    }

    async fn say(&self) -> Result<(), StoreError> {
        let me = self.now();
        let day = u64::try_from(FORGOTTEN_AFTER.as_micros()).unwrap_or(u64::MAX);
        let forgotten = UnixMicros(me.seen_at.0.saturating_sub(day));
        self.store.server_is_here(me, forgotten).await
    }

    fn now(&self) -> ServerRow {
        let (proxies, _) = self.push.nodes().count();
        ServerRow {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            seen_at: self.clock.now(),
            revision: self.push.published().revision,
            publishes: self.push.publishes(),
            signs: self.trail.signs_here(),
            proxies: u64::try_from(proxies).unwrap_or(u64::MAX),
        }
    }
}
