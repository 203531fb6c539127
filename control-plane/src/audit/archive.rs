//! Archives: records that were exported as a sealed segment leave the database. A record
//! of the trail says which, and the hash of the file, before the first of them goes.

use std::sync::Arc;
use std::time::Duration;

use kya_core::audit::Archived;
use thiserror::Error;
use tokio::time::sleep;

use super::Trail;
use super::group::{Done, Work};
use super::writer::NotAppended;

/// Records that are removed in one transaction.
const AT_ONCE: u32 = 1000;
/// Between two of them, so that others get their turn.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked whether there is something to remove.
const LOOK: Duration = Duration::from_secs(10);

/// Why nothing was archived.
#[derive(Debug, Error)]
pub enum ArchiveRefused {
    /// It could not be written.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
    /// It is there already, or the trail is not that long.
    #[error("another archive was made meanwhile, or the trail is not that long")]
    Changed,
}

impl Trail {
    /// Says in the trail that these records are archived, and returns the number of the
    /// record that does. They are removed from then on.
    ///
    /// # Errors
    /// When the trail cannot be appended to, or it is archived already.
    pub async fn archive(&self, archived: Archived) -> Result<u64, ArchiveRefused> {
        match self.queue.append(Work::Archive(archived)).await? {
            Done::At(seq) => Ok(seq),
            _ => Err(ArchiveRefused::Changed),
        }
    }
}

/// Removes what is archived, for ever.
pub(super) async fn remove(trail: Arc<Trail>) {
    loop {
        match trail.store.remove_archived(AT_ONCE).await {
            Ok(0) => sleep(LOOK).await,
            Ok(records) => {
                tracing::info!(records, "removed records of the audit trail that are archived");
                sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot remove archived records of the audit trail");
                sleep(LOOK).await;
            }
        }
    }
}
