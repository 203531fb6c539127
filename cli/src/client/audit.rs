//! Reading the audit trail.

use std::time::Duration;

use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HeaderName};
use kya_core::audit::export::MAX_LINE_BYTES;
use kya_core::audit::{Filter, Verdict};

use super::{Answer, Client, json};
use crate::api::{
    AuditKeyStep, AuditKeys, AuditRecords, Inclusion, LatestCheckpoint, RecordedLine, Sealed,
    Segment,
};
use crate::error::Error;
use crate::transport::{self, Body, Failure};

/// How long a server may take to make a segment once more.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(600);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Client {
    /// A page of records that match, from record `from` back.
    pub(crate) async fn newest_records(
        &self,
        filter: &Filter,
        from: Option<u64>,
        most: u16,
    ) -> Result<Answer<AuditRecords>, Error> {
        let mut query = asked(filter);
        query.push(("order", Some("newest".to_owned())));
        query.push(("from", from.map(|it| it.to_string())));
        query.push(("limit", Some(most.to_string())));
        self.get(&["audit", "records"], &query).await
    }

    pub(crate) async fn audit_record(&self, seq: u64) -> Result<Answer<RecordedLine>, Error> {
        self.get(&["audit", "records", &seq.to_string()], &[]).await
    }

    pub(crate) async fn audit_checkpoint(&self) -> Result<Answer<LatestCheckpoint>, Error> {
        self.get(&["audit", "checkpoint"], &[]).await
    }

    pub(crate) async fn audit_keys(&self) -> Result<Answer<AuditKeys>, Error> {
        self.get(&["audit", "keys"], &[]).await
    }

    pub(crate) async fn inclusion(&self, seq: u64, size: u64) -> Result<Answer<Inclusion>, Error> {
        let query = [("seq", Some(seq.to_string())), ("size", Some(size.to_string()))];
        self.get(&["audit", "proofs", "inclusion"], &query).await
    }

    /// That the trail of `to` records begins with the `from` that it once had.
    pub(crate) async fn consistency(&self, from: u64, to: u64) -> Result<Answer<Inclusion>, Error> {
        let query = [("from", Some(from.to_string())), ("to", Some(to.to_string()))];
        self.get(&["audit", "proofs", "consistency"], &query).await
    }

    /// `step` is `announce`, `activate`, `rotate` or `recover`.
    pub(crate) async fn audit_key_step(
        &self,
        step: &str,
        asked: &AuditKeyStep<'_>,
    ) -> Result<Answer<AuditKeys>, Error> {
        self.post(&["audit", "keys", step], asked).await
    }

    /// Has what was exported removed. The server makes the export once more, which takes as
    /// long as it took.
    pub(crate) async fn archive(&self, segment: &Segment<'_>) -> Result<Answer<Sealed>, Error> {
        let timeout = self.timeout.max(ARCHIVE_TIMEOUT);
        let url = self.url(&["audit", "archive"], &[]);
        self.call(Method::POST, url, Some(json(segment)?), timeout).await
    }

    /// The segment from one record to another, line by line.
    pub(crate) async fn segment(&self, first: u64, last: u64) -> Result<Streamed<'_>, Error> {
        let query = [("first", Some(first.to_string())), ("last", Some(last.to_string()))];
        self.stream(self.url(&["audit", "export"], &query), "*/*", None, self.timeout).await
    }

    /// An export, line by line, with checkpoints of these sizes.
    pub(crate) async fn export(
        &self,
        filter: &Filter,
        format: &str,
        at: &[u64],
    ) -> Result<Streamed<'_>, Error> {
        let mut query = asked(filter);
        query.push(("format", Some(format.to_owned())));
        let sizes: Vec<_> = at.iter().map(u64::to_string).collect();
        query.push(("at", (!sizes.is_empty()).then(|| sizes.join(","))));
        let url = self.url(&["audit", "export"], &query);
        self.stream(url, "*/*", None, self.timeout).await
    }

    /// Records that match as they come, as server-sent events, from the one after `last` on.
    pub(crate) async fn tail(
        &self,
        filter: &Filter,
        last: Option<u64>,
        silence: Duration,
    ) -> Result<Streamed<'_>, Error> {
        let url = self.url(&["audit", "tail"], &asked(filter));
        self.stream(url, "text/event-stream", last, silence).await
    }

    async fn stream(
        &self,
        url: url::Url,
        accept: &'static str,
        last: Option<u64>,
        silence: Duration,
    ) -> Result<Streamed<'_>, Error> {
        let mut request = self.request(Method::GET).header(ACCEPT, accept);
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last.to_string());
        }
        let request =
            request.body(Full::default()).map_err(|error| Error::Usage(error.to_string()))?;
        let opened = transport::open(self.tls.as_ref(), &url, request, silence).await;
        let (status, body) = opened.map_err(|failure| self.lost(failure))?;
        if !status.is_success() {
            let body = body.whole().await.map_err(|failure| self.lost(failure))?;
            return Err(self.refusal(status, serde_json::from_slice(&body).ok()));
        }
        Ok(Streamed { client: self, body, buffer: Vec::new(), start: 0, seen: 0 })
    }

    fn lost(&self, failure: Failure) -> Error {
        match failure {
            Failure::TooLong => self.unexpected("more than anything it says".to_owned()),
            Failure::Lost { cause, explained, .. } => {
                Error::Unreachable { server: self.server(), cause, sent: false, explained }
            }
        }
    }
}

/// A filter as it is asked for. Servers take one type: of several, all records are asked
/// for, and whoever asks picks.
fn asked(filter: &Filter) -> Vec<(&'static str, Option<String>)> {
    let Filter { agent, since, until, action, decision, act, kill, types } = filter;
    let decision = decision.map(|it| match it {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Pass => "pass",
    });
    let one_type = match types.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    vec![
        ("agent_id", agent.clone()),
        ("since", since.map(|it| it.to_string())),
        ("until", until.map(|it| it.to_string())),
        ("action", action.clone()),
        ("decision", decision.map(str::to_owned)),
        ("act", act.clone()),
        ("kill", kill.clone()),
        ("type", one_type),
    ]
}

/// The lines of an answer that may be longer than memory.
pub(crate) struct Streamed<'a> {
    client: &'a Client,
    body: Body,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    start: usize,
    /// How far the buffer is known to have no line break after that.
    seen: usize,
}

impl Streamed<'_> {
    /// The next bytes, as they come; `None` at the end.
    pub(crate) async fn bytes(&mut self) -> Result<Option<Bytes>, Error> {
        self.body.next().await.map_err(|failure| self.client.lost(failure))
    }

    /// The next line, without its line break; `None` at the end.
    pub(crate) async fn line(&mut self) -> Result<Option<&str>, Error> {
        let end = loop {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                break self.seen + at;
            }
            self.seen = self.buffer.len();
            if self.buffer.len().saturating_sub(self.start) > MAX_LINE_BYTES {
                let what = format!("a line of more than {MAX_LINE_BYTES} bytes");
                return Err(self.client.unexpected(what));
            }
            match self.bytes().await? {
                Some(bytes) => {
                    self.buffer.drain(..self.start);
                    self.seen -= std::mem::take(&mut self.start);
                    self.buffer.extend_from_slice(&bytes);
                }
                None if self.start >= self.buffer.len() => return Ok(None),
                None => break self.buffer.len(),
            }
        };
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        (self.start, self.seen) = (end + 1, end + 1);
        let line = std::str::from_utf8(line);
        line.map(Some).map_err(|_| self.client.unexpected("bytes that are no text".to_owned()))
    }
}
