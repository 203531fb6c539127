//! What was done by the registry's own log, as records say it.

use kya_core::audit::{Administered, Timestamp};

use crate::store::Event;
use crate::store::audit::EventCursor;
pub(super) use crate::store::stops;

/// Where the log goes on after this event.
pub(super) fn cursor(event: &Event) -> EventCursor {
    let (epoch, at) = (event.committed.position.epoch, event.committed.at);
    EventCursor { sequence: event.sequence, epoch, at }
}

/// The act, and when it was done.
pub(super) fn administered(event: &Event) -> (Timestamp, Administered) {
    let Event { sequence, committed, action, subject, cause, before, after } = event;
    let act = Administered {
        event: *sequence,
        epoch: committed.position.epoch,
        revision: committed.position.revision.0,
        actor: cause.actor.clone(),
        address: cause.address.clone(),
        act: action.clone(),
        subject: subject.clone(),
        reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        before: before.clone(),
        after: after.clone(),
    };
    (Timestamp(committed.at.0), act)
}
