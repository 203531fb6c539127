//! Everyone.

use kya_core::{InFlight, Status};

use super::principals::decided_values;
use super::write::Write;
use super::{Engine, Sql, read, rows, shown, undoing, values};
use crate::store::stops::fleet_to_wire;
use crate::store::{
    Cause, Decided, Fleet, FleetAction, Outcome, Restorable, StatusAction, StoreError, rules,
};

pub(super) async fn decide(
    mut write: Write<impl Engine>,
    action: FleetAction,
    cause: Cause,
) -> Result<Outcome<Fleet>, StoreError> {
    let Fleet { decided: before } = read(write.db()).await?;
    let Some(next) = next(before.as_ref(), action.into())? else {
        let Some(decided) = before else {
            let committed = read::head(write.db()).await?;
            write.roll_back().await?;
            return Ok(Outcome { record: Fleet { decided: None }, changed: false, committed });
        };
        let (revision, fleet) = (decided.revision, Fleet { decided: Some(decided) });
        let of = Restorable::Fleet;
        return undoing::unchanged(write, (fleet, revision), (of, action.into()), cause).await;
    };
    let was = before.as_ref().and_then(shown::decided);
    let decided = write.decided(next, None, &cause);
    write.shows(was, shown::decided(&decided));
    let write_it = "INSERT INTO fleet
         (status, in_flight, revoked_us, status_changed_us, status_reason, incident_id, revision,
          one)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
         ON CONFLICT (one) DO UPDATE SET status = excluded.status,
         in_flight = excluded.in_flight, revoked_us = excluded.revoked_us,
         status_changed_us = excluded.status_changed_us, status_reason = excluded.status_reason,
         incident_id = excluded.incident_id, revision = excluded.revision";
    write.db().execute(write_it, decided_values(&decided)).await?;
    let event = match action {
        FleetAction::Halt(_) => "fleet.halted",
        FleetAction::Resume => "fleet.resumed",
    };
    let changes = vec![fleet_to_wire(&decided)];
    let committed = write.commit(changes, event, "fleet".to_owned(), cause).await?;
    Ok(Outcome { record: Fleet { decided: Some(decided) }, changed: true, committed })
}

/// What `action` leads to, `None` when it already is so.
pub(super) fn next(
    before: Option<&Decided>,
    action: StatusAction,
) -> Result<Option<(Status, InFlight)>, StoreError> {
    let (status, in_flight) = before
        .map_or((Status::Active, InFlight::Abort), |decided| (decided.status, decided.in_flight));
    rules::next(status, in_flight, action)
        .map_err(|_| StoreError::Corrupt("the fleet is revoked".to_owned()))
}

pub(super) async fn read(db: &mut impl Sql) -> Result<Fleet, StoreError> {
    let row = db.first("SELECT * FROM fleet", values![]).await?;
    Ok(Fleet { decided: row.as_ref().map(rows::decided).transpose()? })
}

impl From<FleetAction> for StatusAction {
    fn from(action: FleetAction) -> Self {
        match action {
            FleetAction::Halt(in_flight) => Self::Suspend(in_flight),
            FleetAction::Resume => Self::Restore,
        }
    }
}
