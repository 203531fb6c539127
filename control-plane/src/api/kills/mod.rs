//! Kills: every stop by its id, and what has become of it.

mod last;
mod receipt;
mod records;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use kya_core::KillId;
use kya_core::audit::SignedReceipt;
use serde::{Deserialize, Deserializer, de};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Api;
use super::extract::{Params, Segment};
use super::handlers::page;
use super::problem::{Code, Problem};
use super::requests::Limit;
use crate::audit::NoReceipt;
use crate::audit::kills::Progress;
use crate::store::audit::{KillRow, RecordFilter};
use crate::store::{Kill, KillFilter};
pub(super) use last::{LastKill, last, unacknowledged};
use receipt::NotThere;
use records::{KillReport, Kills, Listed, Row};

type Shared = State<Arc<Api>>;

/// Longest wait for a kill to be complete.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked at, at most and at least, while somebody waits.
const EARLIEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(500);
/// Rows of one kill: there are three.
const ROWS: u32 = 8;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListKills {
    /// Of this subject, as its event has it.
    subject: Option<String>,
    /// By this act, for example `agent.revoked`.
    act: Option<String>,
    incident_id: Option<String>,
    /// A kill: those before it.
    before: Option<KillId>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowKill {
    /// How long to wait for it to be complete, as `5s` or `500ms`; at most `30s`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    wait: Wait,
}

/// `5s` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wait(Duration);

impl std::str::FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = text.strip_suffix("ms").map(|number| (number, 1));
        let seconds = || text.strip_suffix('s').map(|number| (number, 1000));
        let parsed = millis.or_else(seconds).and_then(|(number, unit)| {
            let number: u64 = number.parse().ok()?;
            Some(Duration::from_millis(number.checked_mul(unit)?))
        });
        let wait = parsed.ok_or_else(|| format!("`{text}` is no time as `5s` or `500ms`"))?;
        match wait <= MAX_WAIT {
            true => Ok(Self(wait)),
            false => Err(format!("at most {}s", MAX_WAIT.as_secs())),
        }
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

pub(super) async fn list(
    State(api): Shared,
    Params(wanted): Params<ListKills>,
) -> Result<Json<Kills>, Problem> {
    let limit = wanted.limit.0;
    let ListKills { subject, act, incident_id, before, .. } = wanted;
    let filter = KillFilter { subject, act, incident_id };
    let found = api.store.kills(filter, before, limit.saturating_add(1)).await?;
    let (found, next) = page(found, limit, |kill| kill.id);
    Ok(Json(Kills { kills: found.into_iter().map(Listed::from).collect(), next }))
}

pub(super) async fn show(
    State(api): Shared,
    Segment(id): Segment<KillId>,
    Params(ShowKill { wait: Wait(wait) }): Params<ShowKill>,
) -> Result<Json<KillReport>, Problem> {
    let Looked { kill, known, rows } = look(&api, id, wait).await?;
    Ok(Json(KillReport::new(kill, known, rows)))
}

/// Who has acknowledged it, and who was not there, signed.
pub(super) async fn receipt(
    State(api): Shared,
    Segment(id): Segment<KillId>,
    Params(ShowKill { wait: Wait(wait) }): Params<ShowKill>,
) -> Result<Json<SignedReceipt>, Problem> {
    let looked = look(&api, id, wait).await?;
    let not_there = NotThere::find(&api, &looked).await?;
    let now = api.clock.now();
    let signed = api.trail.sign_receipt(|origin| looked.receipt(not_there, origin, now));
    Ok(Json(signed.await?))
}

/// A kill, and what has become of it.
struct Looked {
    kill: Kill,
    /// How far it is; `None` if it is not in the trail yet.
    known: Option<(KillRow, Progress)>,
    /// Its rows in the trail.
    rows: Vec<Row>,
}

/// What has become of a kill, when it is complete or the time is over.
async fn look(api: &Api, id: KillId, wait: Duration) -> Result<Looked, Problem> {
    let deadline = Instant::now() + wait;
    let kill = api.store.kill(id).await?;
    let kill =
        kill.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no kill {id}")))?;
    let whose = api.trail.kill_whose(&kill).await?;
    let mut grown = api.trail.grown();
    loop {
        grown.mark_unchanged();
        let looked = Instant::now();
        let known = api.trail.kill_progress(&kill, &whose).await?;
        let over = looked >= deadline || api.draining.is_cancelled();
        if over || known.as_ref().is_some_and(|(row, progress)| is_complete(row, progress)) {
            let rows = rows(api, &kill).await?;
            return Ok(Looked { kill, known, rows });
        }
        let next = deadline.min(looked + LATEST);
        tokio::select! {
            // Whatever happened: it is looked again.
            _ = timeout_at(next, grown.changed()) => {}
            () = api.draining.cancelled() => {}
        }
        sleep_until(deadline.min(looked + EARLIEST)).await;
    }
}

/// Whether every worker has acknowledged it, nothing is in flight any more, and the trail
/// says so.
fn is_complete(row: &KillRow, progress: &Progress) -> bool {
    row.completed.is_some() && progress.is_acknowledged() && progress.is_over()
}

/// Its rows in the trail, the first first.
async fn rows(api: &Api, kill: &Kill) -> Result<Vec<Row>, Problem> {
    let filter =
        RecordFilter { kill_id: Some(kill.id.to_string()), ..RecordFilter::all(1, u64::MAX) };
    let found = api.trail.store().lines(&filter, ROWS).await?;
    found.lines.iter().map(Row::read).collect::<Result<_, _>>().map_err(Problem::from)
}

impl From<NoReceipt> for Problem {
    fn from(error: NoReceipt) -> Self {
        match error {
            NoReceipt::Store(error) => error.into(),
            NoReceipt::NotHere => Self::new(Code::Conflict, error.to_string()),
            NoReceipt::Unsigned(_) => {
                tracing::error!(%error, "a receipt of a kill");
                Self::new(Code::Internal, "the receipt cannot be signed; see the server's log")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_has_a_unit_and_a_bound() {
        let wait = |text: &str| text.parse().map(|Wait(wait)| wait).ok();
        assert_eq!(wait("5s"), Some(Duration::from_secs(5)));
        assert_eq!(wait("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(wait("30s"), Some(MAX_WAIT));
        for wrong in ["31s", "5", "s", "-1s", "1m", "1.5s", "99999999999999999999s", ""] {
            assert_eq!(wait(wrong), None, "{wrong}");
        }
    }
}
