//! A control plane that says what the test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{ADMIN_KEY, problem, tls};

/// A request that the fake got.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Method, path and query.
    pub line: String,
    /// The body, or null when there was none.
    pub body: Value,
}

struct Scripted {
    status: u16,
    body: String,
    /// The answer waits for this.
    held: Option<oneshot::Receiver<()>>,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Scripted>,
    otherwise: Option<(u16, String)>,
    seen: Vec<Seen>,
}

type Shared = Arc<Mutex<Script>>;

/// The fake control plane; it stops when it is dropped.
pub struct Fake {
    pub url: String,
    script: Shared,
    _stop: oneshot::Sender<()>,
}

impl Fake {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same behind TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Some(config))
    }

    fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let script = Shared::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Router::new().fallback(answer).with_state(script.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = match tls {
                    None => axum::serve(listener, app).into_future(),
                    Some(config) => {
                        let listener = tls::TlsListener { listener, acceptor: config.into() };
                        axum::serve(listener, app).into_future()
                    }
                };
                tokio::select! {
                    served = serving => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { url, script, _stop: stop }
    }

    /// Answers `METHOD /path` (without the query) with this, once.
    pub fn on(&self, line: &str, status: u16, body: &Value) {
        self.on_text(line, status, &body.to_string());
    }

    pub fn on_text(&self, line: &str, status: u16, body: &str) {
        let scripted = Scripted { status, body: body.to_owned(), held: None };
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
    }

    /// Like [`Fake::on`], but the answer is held back until the sender fires.
    pub fn on_held(&self, line: &str, status: u16, body: &Value) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        let scripted = Scripted { status, body: body.to_string(), held: Some(held) };
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
        release
    }

    /// Answers everything else with this.
    pub fn otherwise(&self, status: u16, body: &str) {
        self.script.lock().unwrap().otherwise = Some((status, body.to_owned()));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }
}

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let authorized = head.headers.get(AUTHORIZATION).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value == format!("Bearer {ADMIN_KEY}"))
    });
    let scripted = {
        let mut script = script.lock().unwrap();
        script.seen.push(Seen {
            line: format!("{} {}", head.method, head.uri),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        });
        if !authorized {
            let body = problem(401, "unauthorized", "the admin key is missing or wrong");
            Scripted { status: 401, body: body.to_string(), held: None }
        } else if let Some(scripted) =
            script.answers.remove(&format!("{} {}", head.method, head.uri.path()))
        {
            scripted
        } else {
            let (status, body) = script.otherwise.clone().unwrap_or((500, "not scripted".into()));
            Scripted { status, body, held: None }
        }
    };
    if let Some(held) = scripted.held {
        let _ = held.await;
    }
    let status = StatusCode::from_u16(scripted.status).unwrap();
    (status, [(CONTENT_TYPE, "application/json")], scripted.body).into_response()
}
