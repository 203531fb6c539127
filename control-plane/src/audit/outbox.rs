//! The registry's log is the outbox of its changes: each event was written in the
//! transaction of its change, and is appended to the trail from there, once, in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Trail;
use super::acts::{self, cursor};
use super::group::{Done, Work};
use super::writer::NotAppended;
use crate::push::Push;
use crate::store::audit::EventCursor;
use crate::store::{Event, Kill, Store, StoreError};
use crate::throttle::Throttle;

/// Events that are read at once.
const PAGE: u32 = 500;
/// How often the log is looked at without word of a change.
const LOOK: Duration = Duration::from_millis(250);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(10));

/// Why the trail is behind what has happened.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trail cannot be appended to.
    #[error(transparent)]
    Trail(#[from] NotAppended),
}

/// Appends what was done, for ever.
pub(super) async fn follow(trail: Arc<Trail>, push: Arc<Push>) {
    let mut published = push.positions();
    loop {
        published.mark_unchanged();
        match catch_up(&trail).await {
            Ok(()) => {
                tokio::select! {
                    changed = published.changed() => if changed.is_err() { return },
                    () = sleep(LOOK) => {}
                }
            }
            Err(error) => {
                if WARNINGS.passes() {
                    tracing::error!(%error, "what was done is not in the audit trail yet");
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Appends everything that is in the log now.
pub(super) async fn finish(trail: &Trail) -> bool {
    catch_up(trail).await.is_ok()
}

async fn catch_up(trail: &Trail) -> Result<(), Stuck> {
    let store = &*trail.registry;
    let mut at = trail.store.head().await?.event;
    loop {
        // The one before is read again: it shows that the log is the one that it was.
        let page = store.events_after(at.sequence.saturating_sub(1), PAGE).await?;
        let known = at.sequence == 0 || page.first().is_some_and(|event| cursor(event) == at);
        let work = if known {
            let new: Vec<Event> =
                page.into_iter().filter(|event| event.sequence > at.sequence).collect();
            if new.is_empty() {
                return Ok(());
            }
            Work::Acts(at, Arc::new(with_kills(trail, new).await?))
        } else {
            let epoch = store.head().await?.position.epoch;
            let to = newest_of(store, at.epoch).await?;
            tracing::warn!(
                event = at.sequence,
                known = to.sequence,
                "the registry was put back from a backup"
            );
            Work::PutBack { from: at, to, epoch }
        };
        match trail.queue.append(work).await? {
            Done::Cursor(cursor) => at = cursor,
            _ => return Err(NotAppended::Unavailable.into()),
        }
    }
}

/// Each event with the kill that it is of, if it is.
async fn with_kills(
    trail: &Trail,
    events: Vec<Event>,
) -> Result<Vec<(Event, Option<Kill>)>, StoreError> {
    let mut kills = Vec::new();
    if events.iter().any(|event| acts::stops(&event.action))
        && let (Some(first), Some(last)) = (events.first(), events.last())
    {
        // Whoever is there now is to apply them.
        trail.note_who_is_there().await;
        kills = trail.registry.kills_of_events(first.sequence, last.sequence).await?;
    }
    let mut kills = kills.into_iter().peekable();
    let kill_of = |event: Event| {
        let kill = kills.next_if(|kill| kill.event == event.sequence);
        (event, kill)
    };
    Ok(events.into_iter().map(kill_of).collect())
}

/// The newest event of this epoch or an earlier one: what came later was done by a
/// registry that had been put back.
async fn newest_of(store: &dyn Store, epoch: u64) -> Result<EventCursor, StoreError> {
    let (mut low, mut high) = (EventCursor::default(), store.newest_event().await?);
    while low.sequence < high {
        let middle = low.sequence + (high - low.sequence - 1) / 2;
        match store.events_after(middle, 1).await?.first() {
            Some(event) if event.committed.position.epoch <= epoch && event.sequence <= high => {
                low = cursor(event);
            }
            _ => high = middle,
        }
    }
    Ok(low)
}
