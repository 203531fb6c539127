//! A decision, written in its order at once. Nearly all records are decisions, and to write
//! one by its serde form and put that in order takes several times as long. Which members
//! there are is said there alone: a test writes decisions both ways.

use std::fmt::Write as _;
use std::ops::Range;

use serde::ser::Error as _;

use super::draft::Draft;
use super::{CanonicalError, number};
use crate::audit::{
    BodyHash, Decided, Disposition, FlightEnd, Payload, Source, Timestamp, Verdict,
};

/// More than most have.
const ROOM: usize = 1024;

/// The members of an object, as they are written.
struct Members {
    text: String,
    /// The first number that has no exact form.
    inexact: bool,
}

pub(super) fn draft(time: Timestamp, decided: &Decided) -> Result<Draft, CanonicalError> {
    let Decided {
        source: Source { proxy, worker, instance, number },
        decision,
        reason,
        agent_id,
        principal_id,
        token_id,
        service,
        action,
        method,
        path_template,
        policy_id,
        policy_version,
        epoch,
        revision,
        state_age_ms,
        request_id,
        trace_id,
        parent_span_id,
        end,
    } = decided;
    let mut it = Members { text: String::with_capacity(ROOM), inexact: false };
    it.text.push('{');
    it.may_be("action", action);
    it.may_be("agent_id", agent_id);
    it.word("decision", verdict(*decision));
    if let Some(end) = end {
        it.flight_end(end);
    }
    it.may_count("epoch", *epoch);
    it.string("instance", instance);
    it.may_be("method", method);
    it.count("number", *number);
    it.may_be("parent_span_id", parent_span_id);
    it.may_be("path_template", path_template);
    it.may_be("policy_id", policy_id);
    it.may_count("policy_version", policy_version.map(u64::from));
    it.may_be("principal_id", principal_id);
    it.string("proxy", proxy);
    it.may_be("reason", reason);
    it.word("recorded", "");
    let recorded = it.text.len().saturating_sub(1);
    it.may_be("request_id", request_id);
    it.may_count("revision", *revision);
    it.name("seq");
    let seq = it.text.len();
    let service = it.place(|it| it.may_be("service", service));
    it.may_count("state_age_ms", *state_age_ms);
    it.name("time");
    it.text.push('"');
    time.write(&mut it.text);
    it.text.push('"');
    let token = it.place(|it| it.may_be("token_id", token_id));
    it.may_be("trace_id", trace_id);
    it.word("type", "decision");
    let worker = it.place(|it| it.count("worker", u64::from(*worker)));
    it.text.push('}');
    if it.inexact {
        let error = "a number of 2^53 or more, which not every parser reads alike";
        return Err(CanonicalError::Unwritable(serde_json::Error::custom(error)));
    }
    Ok(Draft::new(it.text, recorded, seq, [service, token, worker]))
}

impl Members {
    fn name(&mut self, name: &str) {
        self.text.push_str(if self.text.ends_with('{') { "\"" } else { ",\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// One that needs no escapes.
    fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(word);
        self.text.push('"');
    }

    fn string(&mut self, name: &str, value: &str) {
        if !value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            return self.word(name, value);
        }
        self.name(name);
        // A text has a form in JSON whatever is in it.
        self.text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }

    fn may_be(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.string(name, value);
        }
    }

    fn count(&mut self, name: &str, count: u64) {
        self.name(name);
        self.inexact |= count > number::MAX_EXACT;
        // A `String` takes whatever is written.
        let _ = write!(self.text, "{count}");
    }

    fn may_count(&mut self, name: &str, count: Option<u64>) {
        if let Some(count) = count {
            self.count(name, count);
        }
    }

    /// Where that is which is written.
    fn place(&mut self, write: impl FnOnce(&mut Self)) -> Range<usize> {
        let begin = self.text.len();
        write(self);
        begin..self.text.len()
    }

    fn flight_end(&mut self, end: &FlightEnd) {
        let FlightEnd { disposition, upstream_status, duration_us, cut_by_revision, payload } = end;
        self.name("end");
        self.text.push('{');
        self.may_count("cut_by_revision", *cut_by_revision);
        self.word("disposition", became(*disposition));
        self.count("duration_us", *duration_us);
        if let Some(Payload { hashed, sha256, bytes }) = payload {
            self.name("payload");
            self.text.push('{');
            self.count("bytes", *bytes);
            self.word("hashed", how_much(*hashed));
            self.may_be("sha256", sha256);
            self.text.push('}');
        }
        self.may_count("upstream_status", upstream_status.map(u64::from));
        self.text.push('}');
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Pass => "pass",
    }
}

fn became(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Committed => "committed",
        Disposition::RolledBack => "rolled_back",
        Disposition::Escalated => "escalated",
    }
}

fn how_much(hashed: BodyHash) -> &'static str {
    match hashed {
        BodyHash::None => "none",
        BodyHash::Whole => "whole",
        BodyHash::Truncated => "truncated",
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
