//! Records of the trail, one by one and page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::audit::ChainHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::asks;
use crate::api::Api;
use crate::api::extract::{Params, Segment};
use crate::api::problem::{Code, Problem};
use crate::api::requests::Limit;
use crate::store::StoreError;
use crate::store::audit::{Order, RecordFilter, StoredLine};

asks! {
    /// Which records are listed.
    ListRecords {
        /// From the last one back.
        #[serde(default)]
        order: Direction,
        /// The `next` of the page before.
        from: Option<u64>,
        #[serde(default)]
        limit: Limit,
    }
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Oldest,
    Newest,
}

/// A page. It may be short, or empty, though more follow: only `next` says.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Records {
    records: Vec<Listed>,
    /// The `from` of the next page.
    next: Option<u64>,
}

/// A record, and its hash in the chain.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditRecord")]
pub(in crate::api) struct Listed {
    hash: String,
    /// As docs/audit.md describes it.
    record: Value,
}

pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Params(wanted): Params<ListRecords>,
) -> Result<Json<Records>, Problem> {
    let filter = wanted.asked().filter();
    let filter = match (wanted.order, wanted.from) {
        (Direction::Oldest, from) => RecordFilter { first: from.unwrap_or(1), ..filter },
        (Direction::Newest, from) => {
            let order = Order::NewestFirst;
            RecordFilter { order, last: from.unwrap_or(u64::MAX), ..filter }
        }
    };
    let page = api.trail.store().lines(&filter, wanted.limit.0).await?;
    let records = page.lines.into_iter().map(Listed::try_from).collect::<Result<_, _>>()?;
    Ok(Json(Records { records, next: page.next }))
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Segment(seq): Segment<u64>,
) -> Result<Json<Listed>, Problem> {
    let Some(line) = api.trail.store().line(seq).await? else {
        let size = api.trail.store().head().await?.size;
        let told = match (1..=size).contains(&seq) {
            true => format!("record {seq} was exported and is archived"),
            false => format!("there is no record {seq}: the trail has {size}"),
        };
        return Err(Problem::new(Code::NotFound, told));
    };
    Ok(Json(line.try_into()?))
}

impl TryFrom<StoredLine> for Listed {
    type Error = StoreError;

    fn try_from(line: StoredLine) -> Result<Self, StoreError> {
        let StoredLine { seq, record, hash: ChainHash(hash) } = line;
        let unreadable = |error| StoreError::Corrupt(format!("record {seq}: {error}"));
        let record = serde_json::from_str(&record).map_err(unreadable)?;
        Ok(Self { hash: ChainHash(hash).to_string(), record })
    }
}
