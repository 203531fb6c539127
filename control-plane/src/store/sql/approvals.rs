//! Restorations that wait for a second operator.
//!
//! **Invariant.** What an approval restores is the very decision that it was asked about,
//! and it is restored once: whether that decision still stands is looked at in the
//! transaction of the restoration, and that it was approved is written there.

use std::time::Duration;

use kya_core::{AgentId, ApprovalId, PrincipalId, Revision};

use super::rows::{self, signed};
use super::shown;
use super::write::Write;
use super::{Columns, Engine, Sql, agents, capabilities, fleet, operators, principals, values};
use crate::principals::PrincipalKey;
use crate::store::{
    APPROVAL_TTL, Approval, ApprovalError, Cause, FleetAction, MAX_PENDING_APPROVALS,
    MAX_PENDING_OF_AN_OPERATOR, Outcome, Restorable, Restoration, Restored, Settled, StatusAction,
    StoreError, Verdict, rules,
};
use crate::time::UnixMicros;

/// How long it is shown after it has expired. The log of events keeps it.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Notes what is asked for, unless it is so already. Whoever asks again for the same gets
/// the same.
pub(super) async fn ask(
    mut write: Write<impl Engine>,
    id: ApprovalId,
    of: Restorable,
    cause: Cause,
) -> Result<Restoration, StoreError> {
    let found = look(write.db(), of).await?;
    if !found.would_change? {
        return restore(write, found.of, cause).await.map(Restoration::Done);
    }
    let (asked_at, now) = write.time();
    let waiting = waiting(&mut write).await?;
    let reached = |count: usize, most: u32| count >= usize::try_from(most).unwrap_or(usize::MAX);
    let own = waiting.iter().filter(|it| it.asked_by == cause.actor).count();
    let full = reached(waiting.len(), MAX_PENDING_APPROVALS);
    let same = waiting.into_iter().find(|it| {
        (&it.of, it.target_revision, &it.asked_by) == (&found.of, found.revision, &cause.actor)
    });
    if let Some(same) = same {
        write.roll_back().await?;
        return Ok(Restoration::Pending(same));
    }
    if reached(own, MAX_PENDING_OF_AN_OPERATOR) {
        return Err(ApprovalError::TooManyOfOne(cause.actor).into());
    }
    if full {
        return Err(ApprovalError::TooMany.into());
    }
    let approval = Approval {
        id,
        of: found.of,
        target_revision: found.revision,
        asked_by: cause.actor.clone(),
        asked_at,
        expires_at: UnixMicros(now.0.saturating_add(micros(APPROVAL_TTL))),
        reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        settled: None,
    };
    // Two at a time, which is more than come.
    let forget = "DELETE FROM approvals WHERE id IN (
                      SELECT id FROM approvals WHERE expires_us <= $1
                      ORDER BY expires_us LIMIT 2)";
    let until = now.0.saturating_sub(micros(KEPT));
    write.db().execute(forget, values![signed(until)]).await?;
    insert(write.db(), &approval).await?;
    write.shows(None, shown::approval(&approval, None));
    write.commit_aside("approval.requested", subject(&approval), cause).await?;
    Ok(Restoration::Pending(approval))
}

/// Carries out what was asked for, by somebody else than whoever asked.
pub(super) async fn approve(
    mut write: Write<impl Engine>,
    id: ApprovalId,
    cause: Cause,
) -> Result<Outcome<Approval>, StoreError> {
    let approval = by_id(write.db(), id).await?;
    if approval.asked_by == cause.actor {
        return Err(ApprovalError::Own { id, by: approval.asked_by }.into());
    }
    let now = write.time().1;
    if let Some(why) = shut_out(write.db(), &cause.actor, now).await? {
        return Err(ApprovalError::ShutOut { by: cause.actor, why }.into());
    }
    if let Some(Settled { verdict: Verdict::Approved, revision: Some(revision), .. }) =
        approval.settled
    {
        return write.unchanged(approval, revision).await;
    }
    still_open(&approval, now)?;
    let was = shown::approval(&approval, None);
    if let Some(why) = what_changed(write.db(), &approval, now).await? {
        settle(&mut write, id, Verdict::Void, &cause.actor).await?;
        let cause = Cause { reason: Some(why.clone()), ..cause };
        write.shows(was, shown::approval(&approval, Some(Verdict::Void)));
        write.commit_aside("approval.voided", subject(&approval), cause).await?;
        return Err(ApprovalError::Void { id, why }.into());
    }
    let settled = settle(&mut write, id, Verdict::Approved, &cause.actor).await?;
    write.shows(was, shown::approval(&approval, Some(Verdict::Approved)));
    write.also("approval.approved", subject(&approval), cause.clone()).await?;
    let cause = Cause {
        actor: cause.actor,
        reason: approval.reason.clone().or(cause.reason),
        incident_id: approval.incident_id.clone().or(cause.incident_id),
        address: cause.address,
        role: cause.role,
    };
    let (changed, committed) = match restore(write, approval.of.clone(), cause).await? {
        Restored::Agent(outcome) => (outcome.changed, outcome.committed),
        Restored::Capability(outcome) => (outcome.changed, outcome.committed),
        Restored::Principal(outcome) => (outcome.changed, outcome.committed),
        Restored::Fleet(outcome) => (outcome.changed, outcome.committed),
    };
    if !changed {
        return Err(StoreError::Corrupt(format!("{} was not stopped at all", approval.of)));
    }
    Ok(Outcome { record: Approval { settled: Some(settled), ..approval }, changed, committed })
}

/// Ends what was asked for, by whomever. Doing it again changes nothing.
pub(super) async fn reject(
    mut write: Write<impl Engine>,
    id: ApprovalId,
    cause: Cause,
) -> Result<Approval, StoreError> {
    let approval = by_id(write.db(), id).await?;
    if matches!(&approval.settled, Some(it) if it.verdict == Verdict::Rejected) {
        write.roll_back().await?;
        return Ok(approval);
    }
    still_open(&approval, write.time().1)?;
    let settled = settle(&mut write, id, Verdict::Rejected, &cause.actor).await?;
    let verdict = Some(Verdict::Rejected);
    write.shows(shown::approval(&approval, None), shown::approval(&approval, verdict));
    write.commit_aside("approval.rejected", subject(&approval), cause).await?;
    Ok(Approval { settled: Some(settled), ..approval })
}

/// All that wait.
pub(super) async fn waiting(write: &mut Write<impl Engine>) -> Result<Vec<Approval>, StoreError> {
    let (_, now) = write.time();
    list(write.db(), false, None, MAX_PENDING_APPROVALS, now).await
}

/// Those that wait, or all that are kept.
pub(super) async fn list(
    db: &mut impl Sql,
    all: bool,
    after: Option<ApprovalId>,
    limit: u32,
    now: UnixMicros,
) -> Result<Vec<Approval>, StoreError> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let every = "SELECT * FROM approvals WHERE id > $1 ORDER BY id LIMIT $2";
    let waiting = "SELECT * FROM approvals WHERE id > $1 AND verdict IS NULL AND expires_us > $3
                   ORDER BY id LIMIT $2";
    let found = match all {
        true => db.all(every, values![after, limit]).await?,
        false => db.all(waiting, values![after, limit, signed(now.0)]).await?,
    };
    found.iter().map(approval).collect()
}

/// Something as it is now.
struct Found {
    of: Restorable,
    /// Of the last decision about it.
    revision: Revision,
    /// Whether restoring it would change anything, or why it cannot be.
    would_change: Result<bool, StoreError>,
}

async fn look(db: &mut impl Sql, of: Restorable) -> Result<Found, StoreError> {
    let action = StatusAction::Restore;
    let (of, revision, next) = match of {
        Restorable::Agent(id) => {
            let agent = agents::by_id(db, id).await?;
            (of, agent.revision, rules::next_status(&agent, action))
        }
        Restorable::Capability(id, ref name) => {
            let (_, it) = capabilities::look(db, id, name).await?;
            (of, it.decided.revision, rules::next_of_capability(&it, action))
        }
        Restorable::Principal(key) => {
            let it = principals::by_key(db, &key).await?;
            let of = Restorable::Principal(PrincipalKey::Id(it.id));
            (of, it.decided.revision, rules::next_of_principal(&it, action))
        }
        Restorable::Fleet => {
            let decided = fleet::read(db).await?.decided;
            let revision = decided.as_ref().map(|decided| decided.revision);
            (of, revision.unwrap_or_default(), fleet::next(decided.as_ref(), action))
        }
    };
    Ok(Found { of, revision, would_change: next.map(|next| next.is_some()) })
}

/// The change itself, and its commit.
async fn restore(
    write: Write<impl Engine>,
    of: Restorable,
    cause: Cause,
) -> Result<Restored, StoreError> {
    let action = StatusAction::Restore;
    Ok(match of {
        Restorable::Agent(id) => {
            Restored::Agent(Box::new(agents::decide(write, id, action, cause).await?))
        }
        Restorable::Capability(id, name) => {
            Restored::Capability(capabilities::decide(write, id, name, action, cause).await?)
        }
        Restorable::Principal(key) => {
            Restored::Principal(principals::decide(write, key, action, cause).await?)
        }
        Restorable::Fleet => {
            Restored::Fleet(fleet::decide(write, FleetAction::Resume, cause).await?)
        }
    })
}

fn still_open(approval: &Approval, now: UnixMicros) -> Result<(), ApprovalError> {
    let id = approval.id;
    match &approval.settled {
        Some(Settled { verdict, by, .. }) => {
            Err(ApprovalError::Settled { id, verdict: *verdict, by: by.clone() })
        }
        None if approval.is_expired(now) => {
            Err(ApprovalError::Expired { id, at: approval.expires_at })
        }
        None => Ok(()),
    }
}

/// Why what was asked for counts no more, if it does not.
async fn what_changed(
    db: &mut impl Sql,
    approval: &Approval,
    now: UnixMicros,
) -> Result<Option<String>, StoreError> {
    let Approval { of, target_revision, asked_by, .. } = approval;
    if let Some(why) = shut_out(db, asked_by, now).await? {
        return Ok(Some(format!("the operator {asked_by}, who asked, {why} since")));
    }
    let Found { revision, .. } = look(db, of.clone()).await?;
    Ok((revision != *target_revision).then(|| {
        format!(
            "something else was decided about {of} since (revision {revision}, and it was asked about that of revision {target_revision})"
        )
    }))
}

/// What has ended the key of an operator, if something has. The built-in operator and those
/// of OpenID Connect have no record, and pass: nothing here can end them before the next
/// request.
async fn shut_out(
    db: &mut impl Sql,
    name: &str,
    now: UnixMicros,
) -> Result<Option<&'static str>, StoreError> {
    let operator = operators::by_name(db, name).await?;
    Ok(operator.and_then(|operator| match operator.revoked {
        Some(_) => Some("was revoked"),
        None => operator.is_expired(now).then_some("has expired"),
    }))
}

pub(super) async fn settle(
    write: &mut Write<impl Engine>,
    id: ApprovalId,
    verdict: Verdict,
    by: &str,
) -> Result<Settled, StoreError> {
    let (at, _) = write.time();
    let revision = (verdict == Verdict::Approved).then(|| write.position().revision);
    let update = "UPDATE approvals SET verdict = $1, settled_by = $2, settled_us = $3,
                  revision = $4 WHERE id = $5";
    let values = values![
        verdict.name(),
        by,
        signed(at.0),
        revision.map(|revision| signed(revision.0)),
        id.to_bytes().to_vec(),
    ];
    write.db().execute(update, values).await?;
    Ok(Settled { verdict, by: by.to_owned(), at, revision })
}

async fn insert(db: &mut impl Sql, approval: &Approval) -> Result<(), StoreError> {
    let (target, action) = match &approval.of {
        Restorable::Agent(id) => (Some(id.to_bytes().to_vec()), None),
        Restorable::Capability(id, name) => (Some(id.to_bytes().to_vec()), Some(name.as_str())),
        Restorable::Principal(PrincipalKey::Id(id)) => (Some(id.to_bytes().to_vec()), None),
        // `look` has put the id in the place of the name.
        Restorable::Principal(PrincipalKey::Name(_)) | Restorable::Fleet => (None, None),
    };
    let insert = "INSERT INTO approvals
         (id, kind, target_id, action, target_revision, asked_by, asked_us, expires_us, reason,
          incident_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = values![
        approval.id.to_bytes().to_vec(),
        approval.of.kind(),
        &target,
        action,
        signed(approval.target_revision.0),
        &approval.asked_by,
        signed(approval.asked_at.0),
        signed(approval.expires_at.0),
        &approval.reason,
        &approval.incident_id,
    ];
    Ok(db.execute(insert, values).await?)
}

async fn by_id(db: &mut impl Sql, id: ApprovalId) -> Result<Approval, StoreError> {
    let query = "SELECT * FROM approvals WHERE id = $1";
    let row = db.first(query, values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(ApprovalError::NoSuch(id).into()), approval)
}

fn approval(row: &impl Columns) -> Result<Approval, StoreError> {
    let target = row.optional_bytes("target_id")?.unwrap_or_default();
    let agent = || AgentId::from_slice(target).map_err(|error| rows::corrupt("target_id", error));
    let of = match row.text("kind")? {
        "agent" => Restorable::Agent(agent()?),
        "capability" => {
            let action = row.optional_text("action")?.unwrap_or_default();
            let action = action.parse().map_err(|error| rows::corrupt("action", error))?;
            Restorable::Capability(agent()?, action)
        }
        "principal" => {
            let id = PrincipalId::from_slice(target);
            let id = id.map_err(|error| rows::corrupt("target_id", error))?;
            Restorable::Principal(PrincipalKey::Id(id))
        }
        "fleet" => Restorable::Fleet,
        other => return Err(rows::corrupt("kind", other)),
    };
    let id =
        ApprovalId::from_slice(row.bytes("id")?).map_err(|error| rows::corrupt("id", error))?;
    Ok(Approval {
        id,
        of,
        target_revision: Revision(rows::count(row, "target_revision")?),
        asked_by: row.text("asked_by")?.to_owned(),
        asked_at: rows::micros(row, "asked_us")?,
        expires_at: rows::micros(row, "expires_us")?,
        reason: rows::owned(row.optional_text("reason")?),
        incident_id: rows::owned(row.optional_text("incident_id")?),
        settled: settled(row)?,
    })
}

fn settled(row: &impl Columns) -> Result<Option<Settled>, StoreError> {
    let by = rows::owned(row.optional_text("settled_by")?);
    let at = rows::optional_micros(row, "settled_us")?;
    match (row.optional_text("verdict")?, by, at) {
        (Some(verdict), Some(by), Some(at)) => Ok(Some(Settled {
            verdict: Verdict::from_name(verdict)
                .ok_or_else(|| rows::corrupt("verdict", verdict))?,
            by,
            at,
            revision: rows::optional(row, "revision")?.map(Revision),
        })),
        (None, None, None) => Ok(None),
        _ => Err(rows::corrupt("verdict", "given by nobody, or never")),
    }
}

/// As the log of events names it.
pub(super) fn subject(approval: &Approval) -> String {
    format!("{} {}", approval.id, approval.of)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
