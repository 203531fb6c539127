//! What monitors ask, without a key: nothing here names an agent.

use std::sync::Arc;

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
    // Asked first: what is committed in between is not late.
    let published = api.push.published().revision;
    let committed = api.store.head().await?.position.revision;
    let late = committed.0.saturating_sub(published.0);
    if late > LATE_REVISIONS {
        let detail = format!("the newest {late} revisions are committed and not yet pushed");
        return Err(Problem::new(Code::Unavailable, detail));
    }
    Ok("ready")
}
/// Commits that may be on their way to the streams at any moment.
const LATE_REVISIONS: u64 = 1024;

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, Problem> {
    let text = api.metrics.render(api.push.nodes().count()).map_err(|error| {
        tracing::error!(%error, "metrics");
        Problem::new(Code::Internal, "the metrics cannot be written; see the server's log")
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
