//! Policies and their versions.

use kya_core::policy::{PolicyDocument, PolicyReference};
use kya_core::{
    AgentId, InFlight, MAX_POLICY_BYTES, Policy as Checked, PolicyId, PolicyVersion, Revision,
    Status,
};

use super::rows::{self, corrupt, signed};
use super::write::Write;
use super::{Columns, Engine, Sql, agents, delegation, shown, values};
use crate::store::policies::MAX_POLICIES;
use crate::store::{
    Agent, Cause, Expected, Outcome, Policy, PolicyChange, PolicyError, PolicyOf, PolicyStep,
    StoreError, in_flight_name,
};

/// Selects versions, each with the name and the newest version of its policy.
macro_rules! versions {
    ($rest:literal) => {
        concat!(
            "SELECT policy_versions.*, policies.name, policies.version AS newest
             FROM policy_versions JOIN policies ON policies.id = policy_versions.policy_id ",
            $rest
        )
    };
}

/// Selects the versions that count.
pub(super) const CURRENT: &str = versions!("WHERE policy_versions.version = policies.version");

/// A new version, before it is written.
struct Draft {
    id: PolicyId,
    /// The newest version so far; `None` of a policy that is new.
    newest: Option<Policy>,
    checked: Checked,
    step: PolicyStep,
}

pub(super) async fn change(
    mut write: Write<impl Engine>,
    change: PolicyChange,
    expected: Option<Expected>,
    cause: Cause,
) -> Result<Outcome<Policy>, StoreError> {
    let Draft { id, newest, checked, step } = draft(write.db(), change).await?;
    let name = checked.name().clone();
    match (expected, &newest) {
        (None, _) | (Some(Expected::Nothing), None) => {}
        (Some(Expected::Version(version)), Some(newest)) if newest.version == version => {}
        (_, Some(newest)) => {
            let newest = newest.version;
            return Err(PolicyError::NotAsExpected { name, newest }.into());
        }
        (Some(_), None) => return Err(PolicyError::NotThereYet(name).into()),
    }
    let document = canonical(&checked)?;
    let version = match &newest {
        Some(newest) if newest.document == document => {
            let (record, revision) = (newest.clone(), newest.revision);
            return write.unchanged(record, revision).await;
        }
        Some(newest) => {
            newest.version.next().ok_or_else(|| PolicyError::TooManyVersions(name.clone()))?
        }
        None => PolicyVersion::FIRST,
    };
    let bytes = id.to_bytes().to_vec();
    if newest.is_none() {
        let row = write.db().one("SELECT count(*) AS policies FROM policies", values![]).await?;
        if rows::count(&row, "policies")? >= MAX_POLICIES {
            return Err(PolicyError::TooMany.into());
        }
        let insert = "INSERT INTO policies (id, name, version) VALUES ($1, $2, $3)";
        write.db().execute(insert, values![bytes.clone(), name.as_str(), version.get()]).await?;
    } else {
        let update = "UPDATE policies SET version = $1 WHERE id = $2";
        write.db().execute(update, values![version.get(), bytes.clone()]).await?;
    }
    let (committed_at, _) = write.time();
    let revision = write.position().revision;
    let policy = Policy {
        id,
        name,
        version,
        newest: version,
        document,
        step,
        committed_at,
        cause: cause.clone(),
        revision,
    };
    let insert = "INSERT INTO policy_versions
         (policy_id, version, document, step, rolled_back_to, committed_us, actor, reason,
          incident_id, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = values![
        bytes,
        version.get(),
        &policy.document,
        step.name(),
        step.rolled_back_to().map(|version| i64::from(version.get())),
        signed(committed_at.0),
        &cause.actor,
        &cause.reason,
        &cause.incident_id,
        signed(revision.0),
    ];
    write.db().execute(insert, values).await?;
    write.ends(checked.in_flight());
    let subject = format!("{id}@{version}");
    write.shows(None, shown::policy(&policy));
    let committed = write.commit(vec![policy.to_wire()], step.event(), subject, cause).await?;
    Ok(Outcome { record: policy, changed: true, committed })
}

async fn draft(db: &mut impl Sql, change: PolicyChange) -> Result<Draft, StoreError> {
    match change {
        PolicyChange::Apply(fresh, checked) => {
            let reference = PolicyReference::Name(checked.name().clone());
            let newest = find(db, &reference, None).await?;
            let id = newest.as_ref().map_or(fresh, |policy| policy.id);
            Ok(Draft { id, newest, checked: *checked, step: PolicyStep::Applied })
        }
        PolicyChange::RollBack(reference, version) => {
            let newest = by_reference(db, &reference, None).await?;
            let before = by_reference(db, &reference, Some(version)).await?;
            let (id, checked) = (newest.id, read(&before.document)?.1);
            Ok(Draft { id, newest: Some(newest), checked, step: PolicyStep::RolledBack(version) })
        }
        PolicyChange::Revoke(reference, in_flight) => {
            let newest = by_reference(db, &reference, None).await?;
            let checked = permitting_nothing(&newest, in_flight)?;
            Ok(Draft { id: newest.id, newest: Some(newest), checked, step: PolicyStep::Revoked })
        }
    }
}

/// The policy that permits nothing, with all else as it was. Where it already permits
/// nothing, requests in flight are aborted if they were or are to be.
fn permitting_nothing(newest: &Policy, in_flight: InFlight) -> Result<Checked, StoreError> {
    let (document, checked) = read(&newest.document)?;
    let in_flight = match newest.step {
        PolicyStep::Revoked => in_flight.max(checked.in_flight()),
        _ => in_flight,
    };
    let document = PolicyDocument {
        deny: vec!["*".to_owned()],
        in_flight: Some(in_flight_name(in_flight).to_owned()),
        ..document
    };
    document.check().map_err(|error| corrupt("document", error))
}

/// A document as it is stored.
fn read(document: &str) -> Result<(PolicyDocument, Checked), StoreError> {
    let read: PolicyDocument =
        serde_json::from_str(document).map_err(|error| corrupt("document", error))?;
    let checked = read.check().map_err(|error| corrupt("document", error))?;
    Ok((read, checked))
}

/// The document as it is stored, hashed and sent.
fn canonical(policy: &Checked) -> Result<String, StoreError> {
    let document = serde_json::to_string(&policy.to_document())
        .map_err(|error| StoreError::Unavailable(error.into()))?;
    match document.len() {
        0..=MAX_POLICY_BYTES => Ok(document),
        length => Err(PolicyError::TooLarge(length).into()),
    }
}

pub(super) async fn by_reference(
    db: &mut impl Sql,
    reference: &PolicyReference,
    version: Option<PolicyVersion>,
) -> Result<Policy, StoreError> {
    if let Some(found) = find(db, reference, version).await? {
        return Ok(found);
    }
    match (version, find(db, reference, None).await?) {
        (Some(version), Some(Policy { name, newest, .. })) => {
            Err(PolicyError::NoSuchVersion { name, version, newest }.into())
        }
        _ => Err(PolicyError::NoSuchPolicy(reference.clone()).into()),
    }
}

async fn find(
    db: &mut impl Sql,
    reference: &PolicyReference,
    version: Option<PolicyVersion>,
) -> Result<Option<Policy>, StoreError> {
    let version = version.map(|version| i64::from(version.get()));
    let row = match reference {
        PolicyReference::Id(id) => {
            let query = versions!(
                "WHERE policies.id = $1
                   AND policy_versions.version = coalesce(CAST($2 AS BIGINT), policies.version)"
            );
            db.first(query, values![id.to_bytes().to_vec(), version]).await?
        }
        PolicyReference::Name(name) => {
            let query = versions!(
                "WHERE policies.name = $1
                   AND policy_versions.version = coalesce(CAST($2 AS BIGINT), policies.version)"
            );
            db.first(query, values![name.as_str(), version]).await?
        }
    };
    row.as_ref().map(policy).transpose()
}

/// Up to `limit` policies with an id after `after`, each in its newest version.
pub(super) async fn list(
    db: &mut impl Sql,
    after: Option<PolicyId>,
    limit: u32,
) -> Result<Vec<Policy>, StoreError> {
    let query = versions!(
        "WHERE policies.id > $1 AND policy_versions.version = policies.version
         ORDER BY policies.id LIMIT $2"
    );
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let found = db.all(query, values![after, limit]).await?;
    found.iter().map(policy).collect()
}

/// Up to `limit` versions of a policy before `before`, the newest first.
pub(super) async fn history(
    db: &mut impl Sql,
    reference: &PolicyReference,
    before: Option<PolicyVersion>,
    limit: u32,
) -> Result<Vec<Policy>, StoreError> {
    let id = by_reference(db, reference, None).await?.id.to_bytes().to_vec();
    let query = versions!(
        "WHERE policies.id = $1
           AND (CAST($2 AS BIGINT) IS NULL OR policy_versions.version < $2)
         ORDER BY policy_versions.version DESC LIMIT $3"
    );
    let before = before.map(|version| i64::from(version.get()));
    let found = db.all(query, values![id, before, limit]).await?;
    found.iter().map(policy).collect()
}

/// What a policy says now.
pub(super) async fn checked(
    db: &mut impl Sql,
    reference: &PolicyReference,
) -> Result<Checked, StoreError> {
    Ok(read(&by_reference(db, reference, None).await?.document)?.1)
}

/// How long a token of an agent lives at most, in seconds, by its policy and those of
/// whom it acts for; `None` if none of them says so.
pub(super) async fn longest_token(
    db: &mut impl Sql,
    agent: &Agent,
    above: &[Agent],
) -> Result<Option<u64>, StoreError> {
    let mut longest: Option<u64> = None;
    for policy in [agent].into_iter().chain(above).filter_map(|it| it.policy.as_ref()) {
        let span = checked(db, &PolicyReference::Id(policy.id)).await?.max_ttl();
        let seconds = span.map(|span| span.millis().div_euclid(1_000).max(1));
        longest = longest.into_iter().chain(seconds).min();
    }
    Ok(longest)
}

/// The services that an agent's policy names.
pub(super) async fn services(db: &mut impl Sql, agent: &Agent) -> Result<Vec<String>, StoreError> {
    let Some(policy) = &agent.policy else { return Ok(Vec::new()) };
    let checked = checked(db, &PolicyReference::Id(policy.id)).await?;
    Ok(checked.to_document().services.unwrap_or_default())
}

/// The policy of this reference, as an agent has it.
pub(super) async fn of_agent(
    db: &mut impl Sql,
    reference: &PolicyReference,
) -> Result<PolicyOf, StoreError> {
    let Policy { id, name, .. } = by_reference(db, reference, None).await?;
    Ok(PolicyOf { id, name })
}

/// Puts an agent under another policy, or under none.
pub(super) async fn assign(
    mut write: Write<impl Engine>,
    id: AgentId,
    reference: Option<PolicyReference>,
    cause: Cause,
) -> Result<Outcome<Agent>, StoreError> {
    let before = agents::by_id(write.db(), id).await?;
    if before.status == Status::Revoked {
        return Err(StoreError::RevokedIsFinal(id));
    }
    let policy = match &reference {
        Some(reference) => Some(of_agent(write.db(), reference).await?),
        None => None,
    };
    if policy == before.policy {
        let revision = before.revision.max(before.policy_revision.unwrap_or(Revision(0)));
        return write.unchanged(before, revision).await;
    }
    if let Some(reference) = &reference {
        let above = delegation::above(write.db(), before.parent).await?;
        delegation::within_those_above(write.db(), &above, reference).await?;
    }
    let was = shown::agent(&before);
    let agent = Agent { policy, policy_revision: Some(write.position().revision), ..before };
    let update = "UPDATE agents SET policy_id = $1, policy_revision = $2 WHERE id = $3";
    let values = values![
        &agent.policy.as_ref().map(|policy| policy.id.to_bytes().to_vec()),
        agent.policy_revision.map(|revision| signed(revision.0)),
        id.to_bytes().to_vec(),
    ];
    write.db().execute(update, values).await?;
    let changes = vec![agent.to_wire()];
    write.shows(was, shown::agent(&agent));
    let committed = write.commit(changes, "agent.policy_changed", id.to_string(), cause).await?;
    Ok(Outcome { record: agent, changed: true, committed })
}

/// Whether revoking a policy would change it.
pub(super) async fn would_revoke(
    db: &mut impl Sql,
    reference: &PolicyReference,
    in_flight: InFlight,
) -> Result<bool, StoreError> {
    let newest = by_reference(db, reference, None).await?;
    Ok(canonical(&permitting_nothing(&newest, in_flight)?)? != newest.document)
}

pub(super) fn policy(row: &impl Columns) -> Result<Policy, StoreError> {
    let version = |column| -> Result<Option<PolicyVersion>, StoreError> {
        let number = rows::optional(row, column)?;
        let known = number
            .map(|number| u32::try_from(number).ok().and_then(PolicyVersion::new).ok_or(number));
        known.transpose().map_err(|number| corrupt(column, number))
    };
    let must = |column| version(column)?.ok_or_else(|| corrupt(column, "nothing"));
    let step = row.text("step")?;
    let rolled_back_to = version("rolled_back_to")?;
    Ok(Policy {
        id: PolicyId::from_slice(row.bytes("policy_id")?)
            .map_err(|error| corrupt("policy_id", error))?,
        name: row.text("name")?.parse().map_err(|error| corrupt("name", error))?,
        version: must("version")?,
        newest: must("newest")?,
        document: row.text("document")?.to_owned(),
        step: PolicyStep::from_stored(step, rolled_back_to).ok_or_else(|| corrupt("step", step))?,
        committed_at: rows::micros(row, "committed_us")?,
        cause: rows::cause(row)?,
        revision: Revision(rows::count(row, "revision")?),
    })
}
