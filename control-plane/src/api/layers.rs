//! What every request passes through.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::{Code, Problem};

/// Answers 503 after `limit`. A change that had begun goes on to its end.
pub(super) async fn time_out(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {limit:?}; a change may have taken place");
        Problem::new(Code::Unavailable, detail).into_response()
    })
}

/// Keeps answers, some of which carry a token, out of every cache.
pub(super) async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Counts and logs the request by its route, never by its path.
pub(super) async fn count(
    State(api): State<Arc<Api>>,
    method: Method,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let _in_flight = api.metrics.http.in_flight();
    let began = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = response.status().as_u16();
    api.metrics.http.requested(known(&method), route, status, began.elapsed());
    tracing::debug!(%method, route, status, "request");
    response
}

/// A method's name, for a label whose values must stay few.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    }
}

pub(super) async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}

/// Answers for a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    tracing::error!(message, "a handler panicked");
    Problem::new(Code::Internal, "see the server's log").into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn a_panic_and_a_handler_that_hangs_are_answered_as_problems() {
        let panics = get(async || -> &'static str { panic!("the secret is 42") });
        let router = Router::new()
            .route("/panics", panics)
            .route("/hangs", get(std::future::pending::<&'static str>))
            .layer(from_fn_with_state(Duration::from_millis(20), time_out))
            .layer(CatchPanicLayer::custom(panicked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(crate::http::serve(
            listener,
            router,
            None,
            Default::default(),
            stop.clone(),
        ));
        for (path, status, code) in [("panics", 500, "internal"), ("hangs", 503, "unavailable")] {
            let answer = reqwest::get(format!("http://{address}/{path}")).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], code);
            assert!(!problem.to_string().contains("secret"), "{problem}");
        }
        stop.cancel();
        serving.await.unwrap();
    }
}
