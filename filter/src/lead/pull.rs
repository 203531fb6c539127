//! Pulls: the state by HTTP, whatever becomes of the stream.
//!
//! A pull goes out at least so often as the configuration says, more often while
//! there is no stream, and at once when something is missing, though never two
//! within a second because of that.

use kya_core::{Monotonic, Nonce, Position, wire};
use prost::Message;

use crate::host::{CallId, Host, HttpResponse, Refused};
use crate::lead::call;
use crate::lead::channel::Channel;
use crate::lead::hello::hello;
use crate::lead::question::{self, Question};
use crate::plugin::Plugin;

/// Path of the endpoint.
const PATH: &str = "/v1/enforcement/pull";
/// How long the control plane may take.
const TIMEOUT_MILLIS: u32 = 5_000;
/// Shortest time between two pulls that nothing but a need calls for.
const HURRY_MILLIS: u64 = 1_000;

/// The pulls of a leader.
#[derive(Debug, Default)]
pub struct Pull {
    open: Option<(CallId, Question)>,
    /// When the last began.
    began: Option<Monotonic>,
    hurried: bool,
    /// The last one brought a part, and the next brings more.
    unfinished: bool,
    failures: u32,
}

/// What a pull asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// What the proxy has, if deltas can go on from there.
    pub have: Option<Position>,
    /// Chunks.
    pub chunks: Option<wire::ChunkRequest>,
    /// A manifest, whatever it has.
    pub manifest: bool,
    /// What its workers have applied.
    pub workers: wire::WorkerReport,
}

/// One response, while it is read.
#[derive(Debug)]
pub struct Pulled {
    question: Option<Question>,
    proven: bool,
}

impl Pull {
    /// Something is missing: the next pull is due, a second after the last.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether a pull is to go out now. There is one at a time.
    pub fn is_due<H: Host>(&self, plugin: &Plugin<H>, streams: bool, now: Monotonic) -> bool {
        if self.open.is_some() {
            return false;
        }
        let Some(began) = self.began else { return true };
        let since = now.0.saturating_sub(began.0);
        let millis =
            |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let usual = millis(plugin.config.pull_interval);
        // Without a stream the state ages between two pulls.
        let alone = (millis(plugin.config.max_staleness) / 4).max(HURRY_MILLIS);
        let interval = if streams { usual } else { usual.min(alone) };
        self.unfinished || since >= interval || (self.hurried && since >= HURRY_MILLIS)
    }

    /// Sends a pull.
    pub fn begin<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        wanted: Wanted,
        now: Monotonic,
    ) -> Result<(), Refused> {
        self.began = Some(now);
        self.hurried = false;
        self.unfinished = false;
        let question = Question::new(plugin)?;
        let request = wire::PullRequest {
            hello: Some(hello(plugin, &question, wanted.have)),
            workers: Some(wanted.workers),
            chunks: wanted.chunks,
            manifest: wanted.manifest,
        };
        let call = call::post(plugin, PATH, &request.encode_to_vec(), TIMEOUT_MILLIS)?;
        self.open = Some((call, question));
        Ok(())
    }

    /// Takes the response to a call, if it was the open pull: the messages, or
    /// why there are none.
    pub fn answered(
        &mut self,
        id: CallId,
        response: Option<&HttpResponse>,
    ) -> Option<Result<(Vec<wire::ControlMessage>, Pulled), String>> {
        let (_, question) = self.open.take_if(|(open, _)| *open == id)?;
        let messages = match response {
            None => Err("no answer".to_owned()),
            Some(HttpResponse { status: 200, body }) => wire::PullResponse::decode(body.as_slice())
                .map(|response| response.messages)
                .map_err(|_| "the answer is no PullResponse".to_owned()),
            Some(HttpResponse { status, .. }) => Err(format!("HTTP status {status}")),
        };
        let pulled = Pulled { question: Some(question), proven: false };
        Some(messages.map(|messages| (messages, pulled)))
    }

    /// What became of the last one. Says how many have failed in a row.
    pub fn ended(&mut self, proven: bool, unfinished: bool) -> u32 {
        self.unfinished = proven && unfinished;
        self.failures = if proven { 0 } else { self.failures.saturating_add(1) };
        self.failures
    }
}

impl Channel for Pulled {
    fn answers(&mut self, nonce: Nonce) -> Option<Monotonic> {
        question::answer(&mut self.question, nonce)
    }

    fn prove(&mut self) {
        self.proven = true;
    }

    fn is_proven(&self) -> bool {
        self.proven
    }

    fn repeats(&self) -> bool {
        true
    }
}
