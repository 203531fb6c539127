//! Requests that are done once, by the keys of whoever makes them.

use async_trait::async_trait;

use super::backend::write;
use super::rows::{self, signed};
use super::write::Write;
use super::{Backend, Columns, Engine, Sql, values};
use crate::store::StoreError;
use crate::store::idempotency::{
    IdempotencyStore, KEYS_KEPT, KeyState, KeyedRequest, MAX_KEYS_OF_AN_OPERATOR,
};

/// Keys that are forgotten with each that comes. There are more than one, so that the table
/// does not grow.
const FORGOTTEN: u32 = 4;

#[async_trait]
impl<B: Backend> IdempotencyStore for B {
    async fn begin_request(&self, request: KeyedRequest) -> Result<KeyState, StoreError> {
        write!(self, |write| begin(write, request))
    }

    async fn end_request(
        &self,
        request: KeyedRequest,
        outcome: Option<String>,
    ) -> Result<(), StoreError> {
        write!(self, |write| end(write, request, outcome))
    }
}

async fn begin(
    mut write: Write<impl Engine>,
    request: KeyedRequest,
) -> Result<KeyState, StoreError> {
    let (_, now) = write.time();
    let now = now.seconds().0;
    // Those that began then, or before, are over.
    let over = signed(now.saturating_sub(KEYS_KEPT));
    let (operator, key) = (request.operator.as_str(), request.key.to_vec());
    let select = "SELECT request_digest, began_s, outcome FROM keyed_requests
                  WHERE operator = $1 AND key_digest = $2";
    if let Some(row) = write.db().first(select, values![operator, key.clone()]).await? {
        if row.int("began_s")? > over {
            let known = match row.optional_text("outcome")? {
                _ if row.bytes("request_digest")? != request.request => KeyState::OtherRequest,
                Some(outcome) => KeyState::Done(outcome.to_owned()),
                None => KeyState::UnderWay,
            };
            write.roll_back().await?;
            return Ok(known);
        }
        let forget = "DELETE FROM keyed_requests WHERE operator = $1 AND key_digest = $2";
        write.db().execute(forget, values![operator, key.clone()]).await?;
    }
    let count = "SELECT COUNT(*) AS known FROM keyed_requests WHERE operator = $1 AND began_s > $2";
    let row = write.db().one(count, values![operator, over]).await?;
    if rows::count(&row, "known")? >= MAX_KEYS_OF_AN_OPERATOR.into() {
        write.roll_back().await?;
        return Ok(KeyState::TooMany);
    }
    let forget = "DELETE FROM keyed_requests WHERE (operator, key_digest) IN (
                      SELECT operator, key_digest FROM keyed_requests
                      WHERE began_s <= $1 ORDER BY began_s LIMIT $2)";
    write.db().execute(forget, values![over, FORGOTTEN]).await?;
    let insert = "INSERT INTO keyed_requests (operator, key_digest, request_digest, began_s)
                  VALUES ($1, $2, $3, $4)";
    let values = values![operator, key, request.request.to_vec(), signed(now)];
    write.db().execute(insert, values).await?;
    write.commit_quietly().await?;
    Ok(KeyState::Begun)
}

async fn end(
    mut write: Write<impl Engine>,
    request: KeyedRequest,
    outcome: Option<String>,
) -> Result<(), StoreError> {
    let (operator, key) = (request.operator.as_str(), request.key.to_vec());
    let digest = request.request.to_vec();
    match outcome {
        Some(outcome) => {
            let update = "UPDATE keyed_requests SET outcome = $4
                          WHERE operator = $1 AND key_digest = $2 AND request_digest = $3
                          AND outcome IS NULL";
            write.db().execute(update, values![operator, key, digest, outcome]).await?;
        }
        None => {
            let forget = "DELETE FROM keyed_requests
                          WHERE operator = $1 AND key_digest = $2 AND request_digest = $3
                          AND outcome IS NULL";
            write.db().execute(forget, values![operator, key, digest]).await?;
        }
    }
    write.commit_quietly().await
}
