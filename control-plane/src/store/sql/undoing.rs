//! What a stop ends that changes nothing: whoever stops again what is stopped means it, so
//! that no restoration of it counts that was asked for before.

use kya_core::Revision;

use super::shown;
use super::write::Write;
use super::{Engine, approvals};
use crate::store::{Approval, Cause, Outcome, Restorable, StatusAction, StoreError, Verdict};

/// Nothing to change: finds the commit at `revision`, which made it so. A stop also voids
/// what waits to undo it.
pub(super) async fn unchanged<T>(
    mut write: Write<impl Engine>,
    (record, revision): (T, Revision),
    (of, action): (Restorable, StatusAction),
    cause: Cause,
) -> Result<Outcome<T>, StoreError> {
    if action == StatusAction::Restore {
        return write.unchanged(record, revision).await;
    }
    let mut waiting = approvals::waiting(&mut write).await?;
    waiting.retain(|approval| approval.of == of);
    if waiting.is_empty() {
        return write.unchanged(record, revision).await;
    }
    void(&mut write, &waiting, &cause).await?;
    write.unchanged_but_settled(record, revision).await
}

/// Voids these approvals, as part of a write.
pub(super) async fn void(
    write: &mut Write<impl Engine>,
    waiting: &[Approval],
    cause: &Cause,
) -> Result<(), StoreError> {
    for approval in waiting {
        approvals::settle(write, approval.id, Verdict::Void, &cause.actor).await?;
        let subject = approvals::subject(approval);
        let verdict = Some(Verdict::Void);
        write.shows(shown::approval(approval, None), shown::approval(approval, verdict));
        write.also_aside("approval.voided", subject, cause.clone()).await?;
    }
    Ok(())
}
