//! The newest position, as far as a server knows: no worker has applied a later one.

use std::sync::{Mutex, PoisonError};

use kya_core::Position;
use kya_core::audit::event::{Batch, Happened};

use super::refusal::NotTaken;
use super::writer::NotAppended;
use crate::store::Store;

/// The newest position that the registry is known to have had.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Option<Position>>);

impl Newest {
    /// Refuses a batch which says that a worker has applied what was not done yet. A server
    /// that is behind asks the registry first.
    pub(super) async fn admits(&self, batch: &Batch, registry: &dyn Store) -> Result<(), NotTaken> {
        let Some((number, said)) = highest(batch) else { return Ok(()) };
        if self.known().is_some_and(|known| said <= known) {
            return Ok(());
        }
        let head = registry.head().await.map_err(|_| NotAppended::Unavailable)?;
        let newest = self.note(head.position);
        match said <= newest {
            true => Ok(()),
            false => Err(NotTaken::Ahead { number, said, newest }),
        }
    }

    fn known(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, position: Position) -> Position {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = known.map_or(position, |before| before.max(position));
        *known = Some(newest);
        newest
    }
}

/// The highest position that a worker says it has applied, and the number of that event.
fn highest(batch: &Batch) -> Option<(u64, Position)> {
    let said = batch.events.iter().filter_map(|event| match &event.happened {
        Happened::Applied(applied) => Some((event.number, applied.position)),
        Happened::InFlight { position, .. } => Some((event.number, *position)),
        _ => None,
    });
    said.max_by_key(|(_, position)| *position)
}
