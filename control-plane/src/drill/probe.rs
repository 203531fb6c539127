//! Probes: requests of the canary, sent by a schedule that is fixed beforehand, whether or
//! not those before were answered (open loop). They are sent by a thread of their own, so
//! that they do not delay the stop that they measure.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use kya_core::drill::in_flight::Ending;
use kya_core::drill::outcome::{Outcome, may_deny};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use crate::fetch::Fetcher;

/// Connections to one party, at most.
const CONNECTIONS: usize = 64;
/// So many are used in turn, however few would do: a proxy gives each to one of its workers,
/// and every worker is to be asked.
const IN_TURN: usize = 16;
/// Longest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// From the start of a probe to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What is due and could not be begun for so long is missed.
const LATE: Duration = Duration::from_millis(100);
/// Bytes of an answer that are read, so that its connection can be used again.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of an answer that are looked at.
const MAX_DENIAL: usize = 8 * 1024;
/// Probes of one party in one window: more are missed, and not kept.
const MAX_PROBES: usize = 100_000;

/// A probe as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shot {
    pub(super) due: Instant,
    pub(super) sent: Option<Instant>,
    pub(super) answered: Option<Instant>,
    pub(super) ended: Option<(Instant, Ending)>,
    pub(super) outcome: Outcome,
}

/// What was seen of a party while probes go on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) allowed: AtomicU64,
    pub(super) rejected: AtomicU64,
    /// Probes are answered at all.
    pub(super) answers: AtomicBool,
}

/// Sends probes to all parties, until it is dropped.
pub(super) struct Prober {
    parties: Vec<Arc<Party>>,
    runtime: Handle,
    stop: CancellationToken,
}

/// Probes that go on.
pub(super) struct Window {
    pub(super) seen: Vec<Arc<Seen>>,
    until: CancellationToken,
    parties: Vec<JoinHandle<Vec<Shot>>>,
}

struct Party {
    url: Url,
    tls: Option<Arc<Fetcher>>,
    /// The one that was used longest ago is in front.
    idle: Mutex<VecDeque<SendRequest<Empty<Bytes>>>>,
    places: Arc<Semaphore>,
}

impl Prober {
    /// Starts the thread. Addresses are `http://` or `https://`, and of these the
    /// certificate is verified by the authorities in `ca`, which is PEM, or by those of the
    /// machine.
    pub(super) fn start(urls: &[Url], ca: Option<&str>) -> Result<Self, String> {
        let needs_tls = urls.iter().any(|url| url.scheme() == "https");
        let tls = || match ca {
            Some(pem) => Fetcher::from_pem(pem.as_bytes()),
            None => Fetcher::new(None).map_err(|error| error.to_string()),
        };
        let tls = needs_tls.then(tls).transpose()?.map(Arc::new);
        let party = |url: &Url| {
            let tls = tls.clone().filter(|_| url.scheme() == "https");
            let (idle, places) = (Mutex::default(), Arc::new(Semaphore::new(CONNECTIONS)));
            Arc::new(Party { url: url.clone(), tls, idle, places })
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no thread for probes: {error}"))?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name("drill-probes".to_owned())
            .spawn(move || runtime.block_on(stopped.cancelled()))
            .map_err(|error| format!("no thread for probes: {error}"))?;
        Ok(Self { parties: urls.iter().map(party).collect(), runtime: handle, stop })
    }

    /// Asks each party once, with this token or without any.
    pub(super) async fn ask(&self, token: Option<&HeaderValue>) -> Vec<Outcome> {
        let asked: Vec<_> = self
            .parties
            .iter()
            .map(|party| {
                let (party, token) = (Arc::clone(party), token.cloned());
                self.runtime
                    .spawn(async move { party.shoot(token.as_ref(), Instant::now()).await.outcome })
            })
            .collect();
        let mut outcomes = Vec::with_capacity(asked.len());
        for outcome in asked {
            outcomes.push(outcome.await.unwrap_or(Outcome::NoAnswer));
        }
        outcomes
    }

    /// Sends `rate` probes a second to each party, with this token, until
    /// [`Window::close`].
    pub(super) fn open(&self, token: &HeaderValue, rate: u32) -> Window {
        let until = self.stop.child_token();
        let seen: Vec<Arc<Seen>> = self.parties.iter().map(|_| Arc::default()).collect();
        let parties = self.parties.iter().zip(&seen).map(|(party, seen)| {
            let (party, seen) = (Arc::clone(party), Arc::clone(seen));
            self.runtime.spawn(party.keep_shooting(token.clone(), rate, until.clone(), seen))
        });
        let parties = parties.collect();
        Window { seen, until, parties }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Window {
    /// Sends no more, waits for the answers that are due, and returns every probe by party.
    pub(super) async fn close(self) -> Vec<Vec<Shot>> {
        self.until.cancel();
        let mut all = Vec::with_capacity(self.parties.len());
        for party in self.parties {
            all.push(party.await.unwrap_or_default());
        }
        all
    }
}

impl Party {
    async fn keep_shooting(
        self: Arc<Self>,
        token: HeaderValue,
        rate: u32,
        until: CancellationToken,
        seen: Arc<Seen>,
    ) -> Vec<Shot> {
        let interval = Duration::from_secs(1) / rate.max(1);
        let (mut flights, mut shots) = (JoinSet::new(), Vec::new());
        let mut due = Instant::now();
        while !until.is_cancelled() && shots.len() < MAX_PROBES {
            tokio::select! {
                biased;
                () = until.cancelled() => break,
                () = sleep_until(due.into()) => {}
            }
            let missed = Shot { outcome: Outcome::Missed, ..Shot::due(due) };
            match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) if due.elapsed() < LATE => {
                    let (party, token, seen) =
                        (Arc::clone(&self), token.clone(), Arc::clone(&seen));
                    flights.spawn(async move {
                        let shot = party.shoot(Some(&token), due).await;
                        seen.note(shot.outcome);
                        drop(place);
                        shot
                    });
                }
                _ => shots.push(missed),
            }
            while let Some(shot) = flights.try_join_next() {
                shots.extend(shot.ok());
            }
            due += interval;
        }
        while let Some(shot) = flights.join_next().await {
            shots.extend(shot.ok());
        }
        shots
    }

    /// Sends one probe.
    async fn shoot(&self, token: Option<&HeaderValue>, due: Instant) -> Shot {
        let mut shot = Shot::due(due);
        // What is known when the time is over stays known.
        let ending = timeout(TIMEOUT, self.exchange(token, &mut shot)).await;
        let ending = match ending {
            Ok(Some(())) => Ending::Whole,
            Ok(None) => Ending::Broken,
            Err(_) => Ending::Late,
        };
        shot.ended = shot.sent.map(|_| (Instant::now(), ending));
        shot
    }

    /// `None` if the connection is closed before the whole answer has come.
    async fn exchange(&self, token: Option<&HeaderValue>, shot: &mut Shot) -> Option<()> {
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::get(&self.url[Position::BeforePath..])
            .header(HOST, &self.url[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, concat!("kya-drill/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new()).ok()?;
        shot.sent = Some(Instant::now());
        let answer = sender.send_request(request).await.ok()?;
        let answered = Instant::now();
        let status = answer.status().as_u16();
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let media_type = media_type.map(str::to_owned);
        let look = may_deny(status, media_type.as_deref());
        if !look {
            // The head says it all, however long the rest takes.
            shot.answered = Some(answered);
            shot.outcome = Outcome::of(status, media_type.as_deref(), &[]);
        }
        let (body, rest) = read(answer.into_body(), look).await;
        if look {
            shot.answered = Some(answered);
            shot.outcome = Outcome::of(status, media_type.as_deref(), &body);
        }
        match rest {
            Rest::Read => self.idle().push_back(sender),
            Rest::Left => {}
            Rest::Broken => return None,
        }
        Some(())
    }

    fn take_idle(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle();
        idle.retain(|sender| !sender.is_closed());
        // This probe has a place already, and no connection yet.
        let busy = CONNECTIONS.saturating_sub(self.places.available_permits());
        if idle.len().saturating_add(busy) <= IN_TURN {
            return None;
        }
        let ready = idle.iter().position(SendRequest::is_ready)?;
        idle.remove(ready)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<SendRequest<Empty<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let stream = Fetcher::connect(self.tls.as_deref(), &self.url).await.ok()?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .ok()?;
        // It ends when its sender is dropped, or the other end closes.
        tokio::spawn(connection);
        Some(sender)
    }
}

impl Shot {
    /// One that was not sent yet.
    fn due(due: Instant) -> Self {
        Self { due, sent: None, answered: None, ended: None, outcome: Outcome::NoAnswer }
    }
}

impl Seen {
    fn note(&self, outcome: Outcome) {
        match outcome {
            Outcome::Allowed => self.allowed.fetch_add(1, Ordering::Relaxed),
            outcome if outcome.rejects() => self.rejected.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        if !matches!(outcome, Outcome::NoAnswer | Outcome::Missed) {
            self.answers.store(true, Ordering::Relaxed);
        }
    }
}

/// What became of the body of an answer.
enum Rest {
    /// It was read to its end.
    Read,
    /// It is longer than what is read.
    Left,
    /// The connection was closed before its end.
    Broken,
}

/// Reads an answer to its end, and keeps the beginning if it is looked at.
async fn read(mut body: Incoming, look: bool) -> (Vec<u8>, Rest) {
    let (mut kept, mut length) = (Vec::new(), 0usize);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (kept, Rest::Broken) };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > MAX_BODY {
            return (kept, Rest::Left);
        }
        if look && kept.len() < MAX_DENIAL {
            kept.extend_from_slice(&data);
        }
    }
    (kept, Rest::Read)
}
