//! A control plane that says what the test tells it to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
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
    /// The connection is lost in the middle of the body.
    cut: bool,
}

impl Scripted {
    fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), held: None, cut: false }
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Scripted>,
    /// What is answered when the answer above was given.
    later: HashMap<String, VecDeque<Scripted>>,
    /// `last-event-id` of every request for events.
    resumed: Vec<Option<String>>,
    otherwise: Option<(u16, String)>,
    seen: Vec<Seen>,
}

impl Script {
    fn answer(&mut self, line: &str) -> Scripted {
        let later = || self.later.get_mut(line).and_then(VecDeque::pop_front);
        self.answers.remove(line).or_else(later).unwrap_or_else(|| {
            let (status, body) = self.otherwise.clone().unwrap_or((500, "not scripted".into()));
            Scripted::new(status, &body)
        })
    }
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
        let scripted = Scripted::new(status, body);
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
    }

    /// Answers this, once, when all that was scripted before has been answered.
    pub fn then_text(&self, line: &str, status: u16, body: &str) {
        let mut script = self.script.lock().unwrap();
        script.later.entry(line.to_owned()).or_default().push_back(Scripted::new(status, body));
    }

    /// Answers half of this, and then the connection is lost.
    pub fn on_cut(&self, line: &str, body: &str) {
        let scripted = Scripted { cut: true, ..Scripted::new(200, body) };
        self.script.lock().unwrap().answers.insert(line.to_owned(), scripted);
    }

    /// After which event each request for events asked to go on.
    pub fn resumed(&self) -> Vec<Option<String>> {
        self.script.lock().unwrap().resumed.clone()
    }

    /// Like [`Fake::on`], but the answer is held back until the sender fires.
    pub fn on_held(&self, line: &str, status: u16, body: &Value) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        let scripted = Scripted { held: Some(held), ..Scripted::new(status, &body.to_string()) };
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
        if head.headers.get(ACCEPT).is_some_and(|it| it == "text/event-stream") {
            let last = head.headers.get("last-event-id");
            script.resumed.push(last.map(|it| it.to_str().unwrap().to_owned()));
        }
        if !authorized {
            let body = problem(401, "unauthorized", "the admin key is missing or wrong");
            Scripted::new(401, &body.to_string())
        } else {
            script.answer(&format!("{} {}", head.method, head.uri.path()))
        }
    };
    if let Some(held) = scripted.held {
        let _ = held.await;
    }
    let status = StatusCode::from_u16(scripted.status).unwrap();
    if scripted.cut {
        let half = scripted.body[..scripted.body.len() / 2].to_owned();
        let broken = std::io::Error::other("lost");
        let parts = tokio_stream::iter([Ok(half), Err(broken)]);
        return (status, Body::from_stream(parts)).into_response();
    }
    (status, [(CONTENT_TYPE, "application/json")], scripted.body).into_response()
}
