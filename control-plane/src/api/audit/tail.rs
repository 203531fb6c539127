//! The trail as it grows, as server-sent events: the id of each is the number of its
//! record, so that whoever lost the connection goes on where it ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::asked::asks;
use crate::api::Api;
use crate::api::describe::{Answers, Asks, Operation, Schemas, Shaped};
use crate::api::extract::Params;
use crate::api::problem::{Code, Problem};
use crate::store::audit::RecordFilter;

/// Connections that follow the trail at the same time.
const AT_ONCE: usize = 64;
/// How long one is held: then the client comes back, and shows its key again.
const HELD: Duration = Duration::from_secs(15 * 60);
/// How often it is looked at what other servers have appended.
const LOOK: Duration = Duration::from_millis(500);
/// Records that are read at once.
const PAGE: u32 = 200;
const WAITING: usize = 64;

static FOLLOWERS: Semaphore = Semaphore::const_new(AT_ONCE);

asks! {
    /// What is followed.
    Tail {
        /// From this record on, where there is no `Last-Event-ID`; from now on if it does
        /// not say.
        from: Option<u64>,
    }
}

/// Number of the last record that a client has had.
pub(in crate::api) struct LastEventId(Option<u64>);

/// Server-sent events.
pub(in crate::api) struct Events;

impl Answers for Events {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        let content = json!({ "text/event-stream": { "schema": { "type": "string" } } });
        let description =
            "Events: `id` is the number of the record, `data` its hash and the record";
        operation.answers.insert(200, json!({ "description": description, "content": content }));
    }
}

impl Asks for LastEventId {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "schema": { "type": "string", "pattern": "^[0-9]{1,16}$" },
        }));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let number = value.to_str().ok().and_then(|text| text.parse().ok());
        let wrong = || Problem::invalid("`Last-Event-ID` is the number of a record");
        number.map(|number| Self(Some(number))).ok_or_else(wrong)
    }
}

pub(in crate::api) async fn tail(
    State(api): State<Arc<Api>>,
    LastEventId(had): LastEventId,
    Params(asked): Params<Tail>,
) -> Result<Shaped<Events>, Problem> {
    let turn = FOLLOWERS.try_acquire().map_err(|_| {
        let told =
            format!("{AT_ONCE} connections follow the trail, which is as many as there may be");
        Problem::new(Code::TooManyRequests, told).retry_after(Duration::from_secs(5))
    })?;
    let first = match (had, asked.from) {
        (Some(had), _) => had.saturating_add(1),
        (None, Some(from)) => from,
        (None, None) => api.trail.store().head().await?.size.saturating_add(1),
    };
    let filter = RecordFilter { first, ..asked.asked().filter() };
    let (events, taken) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let _turn = turn;
        let end = Instant::now() + HELD;
        tokio::select! {
            _ = timeout_at(end, follow(&api, filter, events)) => {}
            () = api.draining.cancelled() => {}
        }
    });
    let sse = Sse::new(ReceiverStream::new(taken)).keep_alive(KeepAlive::default());
    Ok(Shaped::new(sse))
}

async fn follow(
    api: &Api,
    mut filter: RecordFilter,
    events: mpsc::Sender<Result<Event, Infallible>>,
) {
    let mut grown = api.trail.grown();
    loop {
        grown.mark_unchanged();
        let page = match api.trail.store().lines(&filter, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "cannot follow the audit trail");
                return;
            }
        };
        for line in page.lines {
            filter.first = line.seq.saturating_add(1);
            let data = format!("{{\"hash\":\"{}\",\"record\":{}}}", line.hash, line.record);
            let event = Event::default().id(line.seq.to_string()).data(data);
            if events.send(Ok(event)).await.is_err() {
                return;
            }
        }
        match page.next {
            Some(next) => filter.first = filter.first.max(next),
            None => tokio::select! {
                _ = grown.changed() => {}
                () = sleep(LOOK) => {}
                () = events.closed() => return,
            },
        }
    }
}
