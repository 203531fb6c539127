//! What is searched for, of a record as it is kept, and whether it is what is asked for.

use std::borrow::Cow;

use kya_core::audit::Timestamp;
use serde::Deserialize;

use super::RecordFilter;
use super::append::corrupt;
use super::bundles::What;
use crate::store::StoreError;
use crate::time::UnixMicros;

/// The members of a record that are searched for. Which of them are there, and what they
/// mean, depends on its type.
#[derive(Debug, Deserialize)]
pub(super) struct Searched<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    pub(super) time: Timestamp,
    pub(super) recorded: Timestamp,
    #[serde(borrow, default)]
    agent_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    decision: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    act: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kill_id: Option<Cow<'a, str>>,
    #[serde(default)]
    agents: u64,
    #[serde(borrow, default)]
    agent_ids: Vec<Cow<'a, str>>,
}

impl<'a> Searched<'a> {
    pub(super) fn of(record: &'a str) -> Result<Self, StoreError> {
        serde_json::from_str(record).map_err(|_| corrupt("records"))
    }

    /// The one agent that it is about, if it is about one.
    pub(super) fn agent_id(&self) -> Option<&str> {
        match (&*self.kind, self.agent_ids.as_slice()) {
            ("decision" | "ended" | "in_flight", _) => self.agent_id.as_deref(),
            ("admin" | "kill_activated", _) => {
                let first = self.subject.as_deref()?.split(' ').next()?;
                first.starts_with("agt_").then_some(first)
            }
            ("kill_scope", [one]) if self.agents == 1 => Some(one),
            _ => None,
        }
    }

    /// What a request would have done, or what was stopped or allowed by its name.
    pub(super) fn action(&self) -> Option<&str> {
        match &*self.kind {
            "decision" => self.action.as_deref(),
            "admin" | "kill_activated" => {
                self.subject.as_deref()?.split_once(' ').map(|(_, action)| action)
            }
            _ => None,
        }
    }

    /// What was answered.
    pub(super) fn decision(&self) -> Option<&str> {
        self.decision.as_deref().filter(|_| self.kind == "decision")
    }

    /// What was done.
    pub(super) fn act(&self) -> Option<&str> {
        self.act.as_deref().filter(|_| matches!(&*self.kind, "admin" | "kill_activated"))
    }

    /// The kill of which it is a row.
    pub(super) fn kill_id(&self) -> Option<&str> {
        let is_row =
            |kind: &str| matches!(kind, "kill_activated" | "kill_scope" | "kill_completed");
        self.kill_id.as_deref().filter(|_| is_row(&self.kind))
    }

    /// What is found of this kind.
    pub(super) fn value(&self, what: What) -> Option<&str> {
        match what {
            What::Agent => self.agent_id(),
            What::Kill => self.kill_id(),
            What::Act => self.act(),
        }
    }
}

/// What is asked for, so that most other records are known by a look at their bytes.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    filter: &'a RecordFilter,
    /// What stands in each record that fits, as canonical JSON writes it.
    needles: Vec<String>,
    /// The same of what an index leads to.
    lead: Option<(What, &'a str, String)>,
}

/// Whether a record is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meant {
    /// The index leads to it.
    pub(super) led: bool,
    /// It is what is asked for.
    pub(super) fits: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn of(filter: &'a RecordFilter) -> Self {
        let RecordFilter { agent_id, action, decision, kind, act, kill_id, .. } = filter;
        let mut needles = Vec::new();
        let member = |name: &str, value: &str| format!("\"{name}\":\"{}\"", written(value));
        let named = [("decision", decision), ("type", kind), ("act", act), ("kill_id", kill_id)];
        for (name, value) in named {
            needles.extend(value.as_deref().map(|value| member(name, value)));
        }
        needles.extend(action.as_deref().map(written));
        if !filter.with_seams {
            // Second rows of kills are looked at whatever agents they list.
            needles.extend(agent_id.as_deref().map(written));
        }
        let lead = match (kill_id, act, agent_id) {
            _ if filter.with_seams => None,
            (Some(it), _, _) => Some((What::Kill, it, member("kill_id", it))),
            (_, Some(it), _) => Some((What::Act, it, member("act", it))),
            (_, _, Some(it)) => Some((What::Agent, it, written(it))),
            _ => None,
        };
        let lead = lead.map(|(what, value, written)| (what, value.as_str(), written));
        Self { filter, needles, lead }
    }

    /// What an index leads to.
    pub(super) fn lead(&self) -> Option<(What, &'a str)> {
        self.lead.as_ref().map(|(what, value, _)| (*what, *value))
    }

    pub(super) fn meant(&self, record: &str) -> Result<Meant, StoreError> {
        if self.filter.is_all() {
            return Ok(Meant { led: false, fits: true });
        }
        let may_be_led = self.lead.as_ref().is_some_and(|(_, _, it)| record.contains(it));
        let may_fit = self.needles.iter().all(|it| record.contains(it))
            && (self.lead.is_none() || may_be_led);
        let may_be_seam = self.filter.with_seams && SEAMS.iter().any(|it| record.contains(it));
        if !(may_be_led || may_fit || may_be_seam) {
            return Ok(Meant { led: false, fits: false });
        }
        let it = Searched::of(record)?;
        let led = self.lead().is_some_and(|(what, value)| it.value(what) == Some(value));
        let is_seam = self.filter.with_seams && matches!(&*it.kind, "key" | "archived");
        Ok(Meant { led, fits: is_seam || self.fits(&it) })
    }

    fn fits(&self, it: &Searched<'_>) -> bool {
        let RecordFilter { agent_id, action, decision, kind, act, kill_id, .. } = self.filter;
        let is = |asked: &Option<String>, found: Option<&str>| match asked.as_deref() {
            None => true,
            asked => asked == found,
        };
        let (since, until) = (self.filter.since, self.filter.until);
        let may_list = self.filter.with_seams && it.kind == "kill_scope";
        (may_list || is(agent_id, it.agent_id()))
            && is(action, it.action())
            && is(decision, it.decision())
            && is(kind, Some(&it.kind))
            && is(act, it.act())
            && is(kill_id, it.kill_id())
            && since.is_none_or(|at| UnixMicros(it.time.0) >= at)
            && until.is_none_or(|at| UnixMicros(it.time.0) < at)
    }
}

const SEAMS: [&str; 2] = ["\"type\":\"key\"", "\"type\":\"archived\""];

/// How a text stands in canonical JSON, without the quotes around it.
fn written(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "searched_tests.rs"]
mod tests;
