//! What workers report.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use kya_core::audit::event::{Batch, BatchError, MAX_BATCH_BYTES};
use prost::Message;
use tokio::time::{Instant, timeout};

use crate::api::Api;
use crate::api::enforcement::{MEDIA_TYPE, Protobuf};
use crate::api::extract::{body_bytes, content_type_is};
use crate::api::problem::{Code, Problem};
use crate::audit::{NotAppended, NotTaken};

/// How long the body of one may take. No longer: its worker waits for the answer.
const BODY: Duration = Duration::from_secs(5);
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// When a worker may come again.
const AGAIN: Duration = Duration::from_secs(1);
/// When a worker may come again that was one too many.
const LATER: Duration = Duration::from_secs(10);

/// Takes a batch of a worker, and answers with a signed receipt when it is on disk.
pub(in crate::api) async fn report(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Protobuf<impl Message>, Problem> {
    // Held until the answer is made: whoever is revoked meanwhile gets none.
    let identity = api.access.authenticate(request.headers(), peer.ip()).await?;
    if !content_type_is(request.headers(), MEDIA_TYPE) {
        let needed = format!("the body needs the header `content-type: {MEDIA_TYPE}`");
        return Err(Problem::invalid(needed).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    // Whoever sends a body slowly takes nobody's turn.
    let slow = |_| Problem::invalid(format!("the body did not come within {BODY:?}"));
    let bytes = timeout(BODY, body_bytes(request, &(), MAX_BATCH_BYTES)).await.map_err(slow)??;
    let unread = |error: prost::DecodeError| BatchError::NotABatch(error.to_string());
    let node = Sender::decode(&*bytes).map_err(unread).map_err(Problem::from);
    let Sender { node_id } = node.inspect_err(|_| count(&api, "malformed"))?;
    identity.admits(&node_id)?;
    let registration = identity.name().as_str();
    let turn = api.trail.reading.wait(registration, &node_id, Instant::now() + TURN).await;
    let _turn = turn.ok_or(NotAppended::Share).inspect_err(|_| count(&api, "busy"))?;
    let read = tokio::task::spawn_blocking(move || Batch::read(&bytes)).await;
    let read = read.map_err(|_| NotAppended::Unavailable)?;
    let batch = read.map_err(Problem::from);
    let batch = batch.inspect_err(|_| count(&api, "malformed"))?;
    let instance = batch.instance;
    let happened = newest(&batch);
    let appended = api.trail.report(registration, batch).await;
    let next = appended.inspect_err(|error| count(&api, outcome(error)))?;
    count(&api, "taken");
    if let Some(happened) = happened {
        let lag = api.clock.now().0.saturating_sub(happened);
        api.metrics.audit.lag(Duration::from_micros(lag));
    }
    Ok(Protobuf(api.push.audit_receipt(node_id, instance, next)))
}

/// When its last event happened, by this control plane's clock, in microseconds.
fn newest(batch: &Batch) -> Option<u64> {
    let ahead = batch.clock_ahead_millis.saturating_mul(1000);
    batch.events.last().map(|event| event.time.0.saturating_add_signed(ahead.saturating_neg()))
}

/// The beginning of an `AuditBatch`.
#[derive(prost::Message)]
struct Sender {
    #[prost(string, tag = "2")]
    node_id: String,
}

/// One word for it, for a metric.
const fn outcome(error: &NotTaken) -> &'static str {
    match error {
        NotTaken::NotAppended(NotAppended::Busy | NotAppended::Share) => "busy",
        NotTaken::NotAppended(NotAppended::Unavailable) => "unavailable",
        NotTaken::TooManyWorkers { .. } => "too_many_workers",
        NotTaken::Ahead { .. } => "ahead",
        NotTaken::OtherRegistration { .. } => "other_registration",
        NotTaken::Conflict { .. } => "conflict",
    }
}

fn count(api: &Api, outcome: &str) {
    api.metrics.audit.batch(outcome);
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        let told = error.to_string();
        match error {
            BatchError::TooLong(_) => Self::new(Code::PayloadTooLarge, told),
            BatchError::NotABatch(_) => Self::invalid(told),
            _ => Self::unprocessable(told),
        }
    }
}

impl From<NotAppended> for Problem {
    fn from(error: NotAppended) -> Self {
        let code = match error {
            NotAppended::Share => Code::TooManyRequests,
            NotAppended::Busy | NotAppended::Unavailable => Code::Unavailable,
        };
        Self::new(code, error.to_string()).retry_after(AGAIN)
    }
}

impl From<NotTaken> for Problem {
    fn from(error: NotTaken) -> Self {
        let told = error.to_string();
        match error {
            NotTaken::NotAppended(error) => error.into(),
            NotTaken::TooManyWorkers { .. } => {
                Self::new(Code::TooManyRequests, told).retry_after(LATER)
            }
            NotTaken::Ahead { .. } => Self::invalid(told),
            NotTaken::OtherRegistration { .. } => Self::new(Code::Forbidden, told),
            NotTaken::Conflict { .. } => Self::new(Code::Conflict, told),
        }
    }
}
