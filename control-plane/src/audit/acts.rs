//! What was done by the registry's own log, as records say it.

use kya_core::audit::{Administered, Canonical, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::report::hex;
use crate::store::Event;
use crate::store::audit::EventCursor;
pub(super) use crate::store::stops;

/// What an act says of its subject before, and after, may have so many bytes in a record. All
/// else in one is bounded where it is accepted, and a record that is too long would keep out
/// whatever is done after it.
const MOST: usize = 96 * 1024;

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
        before: before.as_ref().map(said),
        after: after.as_ref().map(said),
    };
    (Timestamp(committed.at.0), act)
}

/// The value; of one that is too long, or that a record has no form for, its hash and length.
fn said(value: &Value) -> Value {
    let fits = |it: Canonical| it.as_bytes().len() <= MOST;
    if Canonical::of(value).is_ok_and(fits) {
        return value.clone();
    }
    let text = value.to_string();
    let sha256 = hex(&Sha256::digest(&text));
    json!({ "omitted": { "sha256": sha256, "bytes": text.len() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_has_room_or_a_form_for_is_in_it_by_its_hash() {
        let fits = json!({ "name": "a".repeat(MOST - 40), "count": (1u64 << 53) - 1 });
        assert_eq!(said(&fits), fits);
        let long = json!({ "name": "a".repeat(MOST) });
        let inexact = json!({ "name": "a", "count": 1u64 << 53 });
        for value in [long, inexact] {
            let omitted = &said(&value)["omitted"];
            let text = value.to_string();
            assert_eq!(omitted["bytes"], text.len());
            let sha256 = omitted["sha256"].as_str().unwrap();
            assert_eq!(sha256.len(), 64);
            assert_ne!(said(&json!({ "name": "b".repeat(MOST) }))["omitted"]["sha256"], sha256);
        }
    }
}
