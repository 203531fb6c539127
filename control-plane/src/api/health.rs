//! What monitors ask, without a key: nothing here names an agent.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Api;
use super::problem::{Code, Problem};

pub(super) async fn alive() -> &'static str {
    "ok"
}

/// Ready means that the store answers, and that what it committed is pushed.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    let published = api.push.published().revision;
    // Asked for even when nothing waits: it is what shows that the store answers.
    if let Some(waiting) = api.store.committed(published.next()).await? {
        let age = api.push.age(waiting);
        if age > LATE {
            let revision = waiting.position.revision;
            let detail =
                format!("revision {revision} was committed {age:.1?} ago and is not pushed");
            return Err(Problem::new(Code::Unavailable, detail));
        }
    }
    Ok("ready")
}
/// The publisher looks at the store once a second even if nobody wakes it.
const LATE: Duration = Duration::from_secs(2);

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, Problem> {
    api.trail.note_waiting();
    let text = api.metrics.render(&api.push.census()).map_err(|error| {
        tracing::error!(%error, "metrics");
        Problem::new(Code::Internal, "the metrics cannot be written; see the server's log")
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
