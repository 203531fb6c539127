//! The leader: the one VM of a proxy that talks to the control plane.
//!
//! Updates are pushed to it on a [`stream`] and pulled by it over HTTP
//! ([`pull`]), each on a cluster of its own, so that neither can break the other.
//! The [`intake`] is what believes them and stores them in the cache. Here is who
//! is asked for what, and when, and what is said of the workers ([`roster`]).

pub mod call;
pub mod channel;
pub mod fetch;
pub mod hello;
pub mod intake;
pub mod lag;
pub mod lease;
pub mod pull;
pub mod question;
pub mod retry;
pub mod roster;
pub mod stream;

use kya_core::{Monotonic, Position, Verifier, wire};
use prost::Message as _;
use wire::control_message::Message as Control;
use wire::proxy_message::Message;

use crate::clock;
use crate::host::{CallId, Host, HttpResponse, LogLevel, StreamEnd, StreamId};
use crate::plugin::Plugin;
use channel::Channel;
use fetch::Way;
use intake::{Intake, Refusal, Taken};
use lag::Lag;
use lease::Identity;
use pull::{Pull, Wanted};
use retry::Retry;
use roster::Roster;
use stream::Stream;

/// Manifests are asked for no more often than this.
const ASK_MILLIS: u64 = 1_000;
/// A stream that lasted so long was a good one: the next is opened quickly.
const LASTED_MILLIS: u64 = 2_000;
/// Most messages that are read of one pull: each may cost a signature check.
const MAX_PULLED: usize = 4_096;

/// Who talks to the control plane.
#[derive(Debug)]
pub struct Leader {
    me: Identity,
    intake: Intake,
    stream: Option<Stream>,
    retry: Retry,
    pull: Pull,
    asked: Monotonic,
    /// Number of the last word in the cache that a worker needs news.
    hurry: u32,
    lag: Lag,
    /// Messages that were not accepted.
    rejected: u32,
    roster: Roster,
}

impl Leader {
    /// A leader that trusts what its VM trusts, and accepts nothing older than
    /// `floor`, which that has verified.
    pub fn new<H: Host>(
        plugin: &Plugin<H>,
        me: Identity,
        verifier: Verifier,
        floor: Option<Position>,
    ) -> Self {
        Self {
            me,
            intake: Intake::new(plugin, verifier, floor),
            stream: None,
            retry: Retry::default(),
            pull: Pull::default(),
            asked: Monotonic::default(),
            hurry: plugin.cache.hurry(&plugin.host),
            lag: Lag::default(),
            rejected: 0,
            roster: Roster::default(),
        }
    }

    /// Opens the stream when it is down and gives it up when it is silent, pulls,
    /// puts the cache right, asks for what is missing, and reports the workers
    /// when something about them changed.
    pub fn tick<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = clock::monotonic(&plugin.host);
        self.mind_stream(plugin, now);
        if let Some(report) = self.roster.reread_all(plugin, self.intake.position())
            && self.send_report(plugin, report)
        {
            self.roster.reported(plugin);
        }
        if self.intake.mind(plugin) {
            self.roster.wake(plugin);
        }
        let newest = self.intake.head().map(|head| head.position);
        if self.lag.calls_for_help(&self.roster, newest) && !self.intake.is_fetching() {
            self.intake.wants_manifest = true;
        }
        let hurry = plugin.cache.hurry(&plugin.host);
        if std::mem::replace(&mut self.hurry, hurry) != hurry {
            self.pull.hurry();
        }
        self.ask(plugin, now);
        plugin.metrics.state_age(&plugin.host, self.intake.state_age(now));
        plugin.metrics.clock_ahead(&plugin.host, self.intake.clock_ahead_millis());
    }

    /// A message arrived on a stream. Says whether there is news in the cache.
    pub fn message<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, bytes: &[u8]) -> bool {
        let Some(mut stream) = self.stream.take_if(|stream| stream.is(id)) else { return false };
        stream.heard(plugin);
        let was_proven = stream.is_proven();
        let news = match wire::ControlMessage::decode(bytes) {
            Ok(message) => self.take(plugin, message, &mut stream),
            Err(_) => {
                self.reject(plugin, "not_an_envelope", "not a ControlMessage");
                Some(false)
            }
        };
        let Some(news) = news else {
            stream.reset(plugin);
            self.intake.forget_request(Way::Stream);
            self.retry_later(plugin, "what it sends cannot be used");
            return false;
        };
        if stream.is_proven() && !was_proven {
            let revision = self.intake.position().unwrap_or_default().revision;
            let line = format!("connected to the control plane at revision {revision}");
            plugin.host.log(LogLevel::Info, &line);
        }
        self.stream = Some(stream);
        self.ask(plugin, clock::monotonic(&plugin.host));
        news
    }

    /// A call was answered, or failed. Says whether there is news in the cache.
    pub fn http_response<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        id: CallId,
        response: Option<&HttpResponse>,
    ) -> bool {
        let Some(answer) = self.pull.answered(id, response) else { return false };
        let now = clock::monotonic(&plugin.host);
        let (messages, mut pulled) = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.pull_failed(plugin, &why);
                return false;
            }
        };
        let mut news = false;
        let before = self.intake.progress();
        for message in messages.into_iter().take(MAX_PULLED) {
            match self.take(plugin, message, &mut pulled) {
                Some(more) => news |= more,
                None => break,
            }
        }
        plugin.metrics.pulled(&plugin.host, pulled.is_proven());
        if !pulled.is_proven() {
            self.pull_failed(plugin, "the answer proves nothing");
            return news;
        }
        // What was asked for over it and has not come, comes with the next, or by
        // the stream.
        self.intake.forget_request(Way::Pull);
        let more = self.intake.is_behind() && self.intake.progress() != before;
        self.pull.ended(true, more && !self.stream_is_proven());
        self.ask(plugin, now);
        news
    }

    /// The stream ended, from the other side or in between.
    pub fn closed<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, end: &StreamEnd) {
        if self.stream.take_if(|stream| stream.is(id)).is_some() {
            self.intake.forget_request(Way::Stream);
            self.retry_later(plugin, &format!("the stream ended: {end}"));
        }
    }

    /// These workers have written new words into their slots: pass them on.
    pub fn report<H: Host>(&mut self, plugin: &Plugin<H>, slots: &[u32]) {
        if let Some(report) = self.roster.reread(plugin, slots, self.intake.position()) {
            self.send_report(plugin, report);
        }
    }

    /// A worker has met something that a newer state might explain: pull, though
    /// not more often than once a second.
    pub fn hurry<H: Host>(&mut self, plugin: &Plugin<H>) {
        self.pull.hurry();
        self.ask(plugin, clock::monotonic(&plugin.host));
    }

    /// Ends the stream, because another VM leads now.
    pub fn stop<H: Host>(&mut self, plugin: &Plugin<H>) {
        if let Some(stream) = self.stream.take() {
            stream.reset(plugin);
        }
    }

    /// Takes one message. Says whether there is news in the cache; `None` if
    /// nothing more is to be taken over this channel.
    fn take<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        message: wire::ControlMessage,
        channel: &mut impl Channel,
    ) -> Option<bool> {
        // A leader that was replaced and has not noticed yet must not overwrite
        // what the new one stores.
        if !lease::holds(&plugin.host, &plugin.cache, self.me) {
            return None;
        }
        let taken = match message.message {
            Some(Control::Signed(signed)) => self.intake.signed(plugin, &signed, channel),
            Some(Control::Chunks(chunks)) => self.intake.chunks(plugin, &chunks),
            None => {
                self.reject(plugin, "bad_payload", "a message of an unknown kind");
                return Some(false);
            }
        };
        match taken {
            Ok(Taken::Noted) => Some(false),
            Ok(Taken::News) => {
                self.roster.wake(plugin);
                Some(true)
            }
            Err(Refusal { cause, why, fatal }) => {
                self.reject(plugin, cause, &why);
                if matches!(cause, "bad_signature" | "unknown_key" | "gap") {
                    self.pull.hurry();
                }
                // A position may have been announced that nobody can read.
                if cause == "bad_payload" {
                    self.roster.wake(plugin);
                    return Some(true);
                }
                (!fatal).then_some(false)
            }
        }
    }

    fn mind_stream<H: Host>(&mut self, plugin: &Plugin<H>, now: Monotonic) {
        if plugin.config.stream_cluster().is_none() {
            return;
        }
        match &self.stream {
            None if self.retry.is_due(now) => self.open(plugin),
            Some(stream) if stream.is_silent(now) => {
                self.give_up(plugin, "it did not answer in time");
            }
            Some(_) if self.intake.is_stalled(now) => {
                self.give_up(plugin, "what was asked for did not come");
            }
            Some(stream) if stream.has_lasted(LASTED_MILLIS, now) => {
                self.retry = Retry::default();
            }
            _ => {}
        }
    }

    fn open<H: Host>(&mut self, plugin: &Plugin<H>) {
        self.roster.start_over();
        match Stream::open(plugin, self.intake.have()) {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => self.retry_later(
                plugin,
                &format!(
                    "no stream could be opened ({error}): has the proxy a cluster of that name?"
                ),
            ),
        }
    }

    /// Asks for what is missing, on the stream if it is proven and by a pull
    /// otherwise, and pulls when it is time to.
    fn ask<H: Host>(&mut self, plugin: &Plugin<H>, now: Monotonic) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.is_proven()) {
            let mut asked = Ok(());
            let since = now.0.saturating_sub(self.asked.0);
            if self.intake.wants_manifest && since >= ASK_MILLIS {
                self.asked = now;
                asked = stream.ask(plugin);
            }
            if self.intake.wants_probe && asked.is_ok() {
                self.intake.wants_probe = false;
                asked = stream.probe(plugin);
            }
            if asked.is_ok()
                && let Some(request) = self.intake.request(Way::Stream, now)
            {
                asked = stream.send(plugin, Message::Chunks(request));
            }
            if let Err(error) = asked {
                self.give_up(plugin, &format!("a question could not be sent: {error}"));
            }
        }
        let streams = self.stream_is_proven();
        if !streams && (self.intake.wants_manifest || self.intake.is_behind()) {
            self.pull.hurry();
        }
        if !self.pull.is_due(plugin, streams, now) {
            return;
        }
        let wanted = Wanted {
            have: self.intake.have(),
            chunks: if streams { None } else { self.intake.request(Way::Pull, now) },
            manifest: self.intake.wants_manifest,
            // The stream has said it.
            workers: if streams { Default::default() } else { self.report_of_all() },
        };
        if let Err(error) = self.pull.begin(plugin, wanted, now) {
            self.pull_failed(plugin, &format!("it could not be sent ({error})"));
        }
    }

    fn report_of_all(&self) -> wire::WorkerReport {
        let clock_ahead_millis = self.intake.clock_ahead_millis();
        wire::WorkerReport { clock_ahead_millis, ..self.roster.report(self.intake.position()) }
    }

    fn stream_is_proven(&self) -> bool {
        self.stream.as_ref().is_some_and(Channel::is_proven)
    }

    fn send_report<H: Host>(&mut self, plugin: &Plugin<H>, report: wire::WorkerReport) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.is_proven()) else {
            return false;
        };
        let clock_ahead_millis = self.intake.clock_ahead_millis();
        let report = wire::WorkerReport { clock_ahead_millis, ..report };
        let sent = stream.send(plugin, Message::Workers(report));
        if let Err(error) = &sent {
            self.give_up(plugin, &format!("a report could not be sent: {error}"));
        }
        sent.is_ok()
    }

    fn give_up<H: Host>(&mut self, plugin: &Plugin<H>, why: &str) {
        self.stop(plugin);
        self.intake.forget_request(Way::Stream);
        self.retry_later(plugin, why);
    }

    fn retry_later<H: Host>(&mut self, plugin: &Plugin<H>, why: &str) {
        let attempt = self.retry.failed(&plugin.host);
        if is_worth_a_line(attempt) {
            let cluster = plugin.config.stream_cluster().unwrap_or_default();
            self.warn(plugin, &format!("stream (cluster `{cluster}`): {why}"), attempt);
        }
        // The other way may be open.
        self.pull.hurry();
    }

    fn pull_failed<H: Host>(&mut self, plugin: &Plugin<H>, why: &str) {
        self.intake.forget_request(Way::Pull);
        let attempt = self.pull.ended(false, false);
        if is_worth_a_line(attempt) {
            let cluster = &plugin.config.pull_cluster;
            self.warn(plugin, &format!("pull (cluster `{cluster}`): {why}"), attempt);
        }
    }

    fn warn<H: Host>(&self, plugin: &Plugin<H>, what: &str, attempt: u32) {
        let meanwhile = match self.intake.head() {
            Some(_) => "deciding by the last verified state, until that is stale",
            None => "no state was ever verified, so every request is denied",
        };
        let line = format!("{what}; trying again (attempt {attempt}); {meanwhile}");
        plugin.host.log(LogLevel::Warn, &line);
    }

    /// A message is not believed, or cannot be used.
    fn reject<H: Host>(&mut self, plugin: &Plugin<H>, cause: &'static str, why: &str) {
        plugin.metrics.update_rejected(&plugin.host, cause);
        self.rejected = self.rejected.saturating_add(1);
        if is_worth_a_line(self.rejected) {
            let count = self.rejected;
            plugin.host.log(LogLevel::Warn, &format!("update refused ({count} so far): {why}"));
        }
    }
}

/// The first, second, fourth, eighth … of a kind: never silent, never a flood.
fn is_worth_a_line(count: u32) -> bool {
    count.is_power_of_two()
}
