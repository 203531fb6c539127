//! Drills. They are kept beside the authority, and take no revision.

use async_trait::async_trait;
use kya_core::drill::raw::RawSample;
use kya_core::{AgentId, DrillId, TokenId};
use serde_json::{Value, json};

use super::backend::{read, write};
use super::rows::{self, corrupt, signed};
use super::write::Write;
use super::{Backend, Columns, Engine, Sql, schedule_runs, values};
use crate::store::{
    Canary, Cause, Drill, DrillState, DrillStore, EndedDrill, NewDrill, StoreError,
};

#[async_trait]
impl<B: Backend> DrillStore for B {
    async fn begin_drill(&self, new: NewDrill, cause: Cause) -> Result<Drill, StoreError> {
        write!(self, |write| begin(write, new, cause))
    }

    async fn note_canary(&self, id: DrillId, canary: Canary) -> Result<(), StoreError> {
        write!(self, |write| note(write, id, canary))
    }

    async fn drill_goes_on(
        &self,
        id: DrillId,
        done: u32,
    ) -> Result<Option<DrillState>, StoreError> {
        write!(self, |write| goes_on(write, id, done))
    }

    async fn ask_drill_to_stop(
        &self,
        id: DrillId,
        cause: Cause,
    ) -> Result<Option<Drill>, StoreError> {
        write!(self, |write| ask_to_stop(write, id, cause))
    }

    async fn end_drill(
        &self,
        id: DrillId,
        ended: EndedDrill,
        cause: Cause,
    ) -> Result<bool, StoreError> {
        let digests = digests(&ended.samples)?;
        write!(self, |write| end(write, id, (ended, digests), cause))
    }

    async fn drill(&self, id: DrillId) -> Result<Option<Drill>, StoreError> {
        read!(self, |db| by_id(db, id))
    }

    async fn drill_samples(&self, id: DrillId) -> Result<Option<String>, StoreError> {
        read!(self, |db| samples(db, id))
    }

    async fn drills(&self, before: Option<DrillId>, limit: u32) -> Result<Vec<Drill>, StoreError> {
        read!(self, |db| list(db, before, limit))
    }

    async fn open_drill(&self) -> Result<Option<Drill>, StoreError> {
        read!(self, |db| open(db))
    }
}

/// The samples of drills that are kept, in bytes. Whoever wants those of an earlier drill has
/// its report.
const SAMPLES_BYTES: i64 = 256 * 1024 * 1024;
/// Forgets those of the drills that are the longest ago. Neither database reads a text to
/// know how many bytes it has.
const FORGET: &str = "UPDATE drills SET samples = NULL WHERE id IN (
      SELECT id FROM (SELECT id, sum(octet_length(samples)) OVER (ORDER BY id DESC) AS bytes
                      FROM drills WHERE samples IS NOT NULL) AS sized
      WHERE bytes > $1)";

async fn begin(
    mut write: Write<impl Engine>,
    new: NewDrill,
    cause: Cause,
) -> Result<Drill, StoreError> {
    if let Some(open) = open(write.db()).await? {
        return Err(StoreError::DrillRunning(open.id));
    }
    let begun = insert(&mut write, &new, &cause).await?;
    write.shows(None, Some(json!({ "state": begun.state.name(), "request": new.request })));
    write.commit_aside("drill.started", new.id.to_string(), cause).await?;
    Ok(begun)
}

/// Writes a drill that begins, while none is open.
pub(super) async fn insert(
    write: &mut Write<impl Engine>,
    new: &NewDrill,
    cause: &Cause,
) -> Result<Drill, StoreError> {
    let (_, now) = write.time();
    let insert = "INSERT INTO drills
         (id, state, started_us, alive_us, server, actor, role, address, request)
         VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)";
    let values = values![
        new.id.to_bytes().to_vec(),
        DrillState::Running.name(),
        signed(now.0),
        &new.server,
        &cause.actor,
        &cause.role,
        &cause.address,
        new.request.to_string(),
    ];
    write.db().execute(insert, values).await?;
    found(by_id(write.db(), new.id).await?)
}

async fn note(
    mut write: Write<impl Engine>,
    id: DrillId,
    canary: Canary,
) -> Result<(), StoreError> {
    if !by_id(write.db(), id).await?.is_some_and(|drill| drill.state.is_open()) {
        return Err(StoreError::DrillOver(id));
    }
    let update = "UPDATE drills SET canary = $1, token = $2 WHERE id = $3 AND ended_us IS NULL";
    let token = canary.token.map(|token| token.to_bytes().to_vec());
    let id = id.to_bytes().to_vec();
    let values = values![canary.agent.to_bytes().to_vec(), &token, id];
    write.db().execute(update, values).await?;
    write.commit_quietly().await
}

async fn goes_on(
    mut write: Write<impl Engine>,
    id: DrillId,
    done: u32,
) -> Result<Option<DrillState>, StoreError> {
    let (_, now) = write.time();
    let update = "UPDATE drills SET alive_us = $1, done = $2 WHERE id = $3 AND ended_us IS NULL";
    let values = values![signed(now.0), done, id.to_bytes().to_vec()];
    write.db().execute(update, values).await?;
    let state = by_id(write.db(), id).await?.map(|drill| drill.state);
    write.commit_quietly().await?;
    Ok(state)
}

async fn ask_to_stop(
    mut write: Write<impl Engine>,
    id: DrillId,
    cause: Cause,
) -> Result<Option<Drill>, StoreError> {
    let before = by_id(write.db(), id).await?;
    let before = match before {
        Some(drill) if drill.state == DrillState::Running => drill,
        other => {
            write.roll_back().await?;
            return Ok(other);
        }
    };
    let update = "UPDATE drills SET state = $1 WHERE id = $2";
    let values = values![DrillState::Stopping.name(), id.to_bytes().to_vec()];
    write.db().execute(update, values).await?;
    let drill = Drill { state: DrillState::Stopping, ..before };
    write.commit_aside("drill.stop_asked", id.to_string(), cause).await?;
    Ok(Some(drill))
}

async fn end(
    mut write: Write<impl Engine>,
    id: DrillId,
    (ended, digests): (EndedDrill, Vec<String>),
    cause: Cause,
) -> Result<bool, StoreError> {
    let before = by_id(write.db(), id).await?;
    let Some(before) = before.filter(|drill| drill.state.is_open()) else {
        write.roll_back().await?;
        return Ok(false);
    };
    let (_, now) = write.time();
    let update = "UPDATE drills SET state = $1, ended_us = $2, result = $3, samples = $4
                  WHERE id = $5";
    let values = values![
        ended.state.name(),
        signed(now.0),
        ended.result.to_string(),
        ended.samples,
        id.to_bytes().to_vec(),
    ];
    write.db().execute(update, values).await?;
    write.db().execute(FORGET, values![SAMPLES_BYTES]).await?;
    if ended.state == DrillState::Passed {
        schedule_runs::passed(&mut write, id).await?;
    }
    let after = json!({
        "state": ended.state.name(),
        "result": ended.result,
        "samples_sha256": digests,
    });
    write.shows(Some(json!({ "state": before.state.name() })), Some(after));
    write.commit_aside("drill.ended", id.to_string(), cause).await?;
    Ok(true)
}

/// What goes on record of each sample, so that none can be another one later.
fn digests(samples: &str) -> Result<Vec<String>, StoreError> {
    let samples: Vec<RawSample> =
        serde_json::from_str(samples).map_err(|error| corrupt("samples", error))?;
    let digests = samples.iter().map(RawSample::sha256);
    digests.collect::<Result<_, _>>().map_err(|error| corrupt("samples", error))
}

async fn by_id(db: &mut impl Sql, id: DrillId) -> Result<Option<Drill>, StoreError> {
    let query = "SELECT id, state, started_us, alive_us, ended_us, server, actor, role, address,
                        request, canary, token, done, result
                 FROM drills WHERE id = $1";
    db.first(query, values![id.to_bytes().to_vec()]).await?.as_ref().map(drill).transpose()
}

pub(super) async fn open(db: &mut impl Sql) -> Result<Option<Drill>, StoreError> {
    let query = "SELECT id, state, started_us, alive_us, ended_us, server, actor, role, address,
                        request, canary, token, done, result
                 FROM drills WHERE ended_us IS NULL ORDER BY id LIMIT 1";
    db.first(query, values![]).await?.as_ref().map(drill).transpose()
}

async fn samples(db: &mut impl Sql, id: DrillId) -> Result<Option<String>, StoreError> {
    let query = "SELECT samples FROM drills WHERE id = $1";
    let found = db.first(query, values![id.to_bytes().to_vec()]).await?;
    let Some(row) = found else { return Ok(None) };
    Ok(rows::owned(row.optional_text("samples")?))
}

async fn list(
    db: &mut impl Sql,
    before: Option<DrillId>,
    limit: u32,
) -> Result<Vec<Drill>, StoreError> {
    let before = before.map_or([u8::MAX; 16], DrillId::to_bytes).to_vec();
    let query = "SELECT id, state, started_us, alive_us, ended_us, server, actor, role, address,
                        request, canary, token, done, result
                 FROM drills WHERE id < $1 ORDER BY id DESC LIMIT $2";
    db.all(query, values![before, limit]).await?.iter().map(drill).collect()
}

fn found(drill: Option<Drill>) -> Result<Drill, StoreError> {
    drill.ok_or_else(|| StoreError::Corrupt("a drill that was written is not there".to_owned()))
}

fn drill(row: &impl Columns) -> Result<Drill, StoreError> {
    let state = row.text("state")?;
    let json = |column: &str, text: &str| -> Result<Value, StoreError> {
        serde_json::from_str(text).map_err(|error| corrupt(column, error))
    };
    let canary = match row.optional_bytes("canary")? {
        None => None,
        Some(agent) => {
            let token = row.optional_bytes("token")?.map(TokenId::from_slice).transpose();
            Some(Canary {
                agent: AgentId::from_slice(agent).map_err(|error| corrupt("canary", error))?,
                token: token.map_err(|error| corrupt("token", error))?,
            })
        }
    };
    Ok(Drill {
        id: DrillId::from_slice(row.bytes("id")?).map_err(|error| corrupt("id", error))?,
        state: DrillState::from_name(state).ok_or_else(|| corrupt("state", state))?,
        started_at: rows::micros(row, "started_us")?,
        alive_at: rows::micros(row, "alive_us")?,
        ended_at: rows::optional_micros(row, "ended_us")?,
        server: row.text("server")?.to_owned(),
        cause: Cause {
            actor: row.text("actor")?.to_owned(),
            role: rows::owned(row.optional_text("role")?),
            address: rows::owned(row.optional_text("address")?),
            ..Cause::default()
        },
        request: json("request", row.text("request")?)?,
        canary,
        done: u32::try_from(rows::count(row, "done")?).map_err(|error| corrupt("done", error))?,
        result: row.optional_text("result")?.map(|text| json("result", text)).transpose()?,
    })
}
