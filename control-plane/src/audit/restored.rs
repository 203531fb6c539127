//! A trail that was put back says so.

use std::path::Path;
use std::sync::Arc;

use kya_core::audit::{Entry, Restored, Timestamp};

use super::group::{Group, Work};
use crate::store::StoreError;
use crate::store::audit::{AuditStore, SqliteAuditStore};
use crate::time::{Clock, SystemClock};

/// Appends to the trail in this file, which nobody uses, that it is a copy that was put back:
/// with how many records, and in the place of how many, where that is known. Nobody signs
/// that yet; the next checkpoint of the server does.
///
/// # Errors
/// When the file cannot be used.
pub(crate) async fn note_restored(file: &Path, replaced: Option<u64>) -> Result<(), StoreError> {
    let store = SqliteAuditStore::open(file).await?;
    let appended = append(&store, replaced).await;
    AuditStore::close(&store).await;
    appended
}

async fn append(store: &SqliteAuditStore, replaced_size: Option<u64>) -> Result<(), StoreError> {
    let head = store.head().await?;
    let now = SystemClock.now();
    let restored = Restored {
        event: head.event.sequence,
        known: head.event.sequence,
        epoch: head.event.epoch,
        trail_size: Some(head.size),
        replaced_size,
    };
    let entries = vec![(Timestamp(now.0), Entry::Restored(restored))];
    let group = Group::new(vec![Work::Entries(Arc::new(entries))], None, now);
    store.append(Arc::new(group)).await.map(drop)
}
