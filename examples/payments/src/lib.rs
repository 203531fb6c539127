//! A small payments API to stand behind a proxy with the kya filter.
//!
//! It trusts the `x-kya-agent-id` header, which the filter sets on every
//! request that it allows, and so must be reachable through the proxy only.

mod ledger;
mod problem;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use ledger::{Entry, Kind, Ledger, Page};
use problem::Problem;

/// The header that the filter sets: who the caller is.
pub const AGENT_HEADER: &str = "x-kya-agent-id";

/// The most cents that one entry may move: a million in the currency's unit.
pub const MAX_AMOUNT: u64 = 100_000_000;

const MAX_DESCRIPTION: usize = 256;
const MAX_BODY: usize = 16 * 1024;

type Shared = Arc<Mutex<Ledger>>;

/// The API, with an empty ledger.
pub fn router() -> Router {
    Router::new()
        .route("/v1/charges", post(charge))
        .route("/v1/refunds", post(refund))
        .route("/v1/ledger", get(ledger))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shared::default())
}

/// Body of `POST /v1/charges` and `POST /v1/refunds`. Fields besides these are
/// not looked at.
#[derive(Debug, Deserialize)]
struct Payment {
    /// In cents.
    amount: u64,
    /// ISO 4217, lower case.
    currency: String,
    description: Option<String>,
}

type Input = Result<Json<Payment>, JsonRejection>;
type Created = Result<(StatusCode, Json<Entry>), Problem>;

async fn charge(State(ledger): State<Shared>, headers: HeaderMap, payment: Input) -> Created {
    enter(&ledger, Kind::Charge, &headers, payment)
}

async fn refund(State(ledger): State<Shared>, headers: HeaderMap, payment: Input) -> Created {
    enter(&ledger, Kind::Refund, &headers, payment)
}

async fn ledger(State(ledger): State<Shared>) -> Json<Page> {
    Json(ledger.lock().unwrap_or_else(PoisonError::into_inner).page())
}

fn enter(ledger: &Shared, kind: Kind, headers: &HeaderMap, payment: Input) -> Created {
    let agent_id = agent(headers)?;
    let Json(Payment { amount, currency, description }) = payment.map_err(Problem::of_input)?;
    let wrong = |detail: String| Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    if !(1..=MAX_AMOUNT).contains(&amount) {
        return wrong(format!("amount is in cents, from 1 to {MAX_AMOUNT}"));
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return wrong("currency is three lower-case letters, as in eur".to_owned());
    }
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        return wrong(format!("description has at most {MAX_DESCRIPTION} characters"));
    }
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = ledger.enter(kind, amount, currency, description, agent_id);
    Ok((StatusCode::CREATED, Json(entry)))
}

/// Who the proxy says is calling. The proxy sets one value; none, or several,
/// means that the request did not come through it.
fn agent(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(AGENT_HEADER).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(agent), None) if agent.starts_with("agt_") => Ok(agent.to_owned()),
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            format!("not behind the proxy: the filter sets {AGENT_HEADER} on what it allows"),
        )),
    }
}
