//! What the probes of one sample say about one relying party. Pure: times come in.

use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};

use super::in_flight::{Ending, InFlight};
use super::outcome::Outcome;

/// Microseconds since the instant of the stop, negative before it, by one monotonic clock.
/// The stop is the instant at which the control plane begins to write it: its own commit
/// is part of every figure.
pub type Micros = i64;

/// A probe, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Probe {
    /// When it was to be sent.
    pub due: Micros,
    /// When it was sent; `None` if it was not.
    pub sent: Option<Micros>,
    /// When the head of its answer came; `None` if none did.
    pub answered: Option<Micros>,
    /// When it ended, and how; `None` if it was not sent.
    pub ended: Option<(Micros, Ending)>,
    /// What the answer was.
    pub outcome: Outcome,
}

/// What one sample says about one relying party.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The canary was allowed there until the stop: of the answers before it that say
    /// either, the last did. Only then is there something to measure.
    pub worked: bool,
    /// When the first rejection came.
    pub first_rejection_us: Option<Micros>,
    /// When the last request was sent that was allowed.
    pub last_allow_us: Option<Micros>,
    /// When the answer came to the first rejected request that was sent after the last one
    /// that was allowed: from then on everything was rejected.
    pub settled_us: Option<Micros>,
    /// Requests that were allowed though they were sent when every worker had acknowledged
    /// the stop. Each is a failure, and never a latency.
    pub allowed_after_ack: u64,
    /// Requests that were in flight at the stop.
    pub in_flight: InFlight,
    /// Probes, those that were missed included.
    pub probes: u64,
    /// Probes that could not be sent when they were due.
    pub missed: u64,
    /// Probes that were not answered.
    pub unanswered: u64,
    /// Probes that were answered with another status, or by a gate that cannot decide.
    pub other: u64,
}

/// The probes on which figures rest whenever they were: the first and the last that was
/// allowed, and the last that was answered before the stop. Whoever leaves probes out that
/// were over before the stop finds the same figures if these stay.
pub fn decisive(probes: &[Probe]) -> [Option<usize>; 3] {
    let allowed = || probes.iter().enumerate().filter(|(_, it)| it.outcome == Outcome::Allowed);
    let sent = |(_, probe): &(usize, &Probe)| probe.sent;
    let first = allowed().filter(|it| sent(it).is_some()).min_by_key(sent);
    let last = allowed().filter(|it| sent(it).is_some()).max_by_key(sent);
    [first.map(|(at, _)| at), last.map(|(at, _)| at), last_said(probes)]
}

/// The probe that was answered last before the stop, of those that were allowed or denied; of
/// two at one instant, the one that was denied.
fn last_said(probes: &[Probe]) -> Option<usize> {
    let says = |probe: &Probe| matches!(probe.outcome, Outcome::Allowed | Outcome::Denied(_));
    let said = probes.iter().enumerate().filter(|(_, probe)| says(probe));
    let before = said.filter_map(|(at, probe)| Some((at, probe.answered.filter(|it| *it < 0)?)));
    let is_denied = |at: &usize| probes.get(*at).is_some_and(|it| it.outcome != Outcome::Allowed);
    before.max_by_key(|(at, answered)| (*answered, is_denied(at))).map(|(at, _)| at)
}

/// Finds the figures of one party. `acknowledged` is the instant at which every connected
/// worker was known to have acknowledged the stop, if they all did.
pub fn measure(probes: &[Probe], acknowledged: Option<Micros>) -> Measured {
    let allows = || probes.iter().filter(|probe| probe.outcome == Outcome::Allowed);
    let first_allow = allows().filter_map(|probe| probe.sent).min();
    let last_allow = allows().filter_map(|probe| probe.sent).max();
    let said = last_said(probes).and_then(|at| probes.get(at));
    let worked = said.is_some_and(|probe| probe.outcome == Outcome::Allowed);
    // What was rejected before it was allowed for the first time had not heard yet that
    // the stop before this one is over.
    let rejections = || {
        let rejected = probes.iter().filter(|probe| worked && probe.outcome.rejects());
        rejected
            .filter_map(|probe| Some((probe.sent?, probe.answered?)))
            .filter(|(sent, answered)| Some(*sent) >= first_allow && *answered >= 0)
    };
    let count = |is: &dyn Fn(&Probe) -> bool| {
        u64::try_from(probes.iter().filter(|probe| is(probe)).count()).unwrap_or(u64::MAX)
    };
    let after_ack = |probe: &Probe| {
        let late = acknowledged.is_some_and(|at| probe.sent.is_some_and(|sent| sent > at));
        probe.outcome == Outcome::Allowed && late
    };
    let other = |probe: &Probe| match probe.outcome {
        Outcome::Other(_) => true,
        Outcome::Denied(_) => !probe.outcome.rejects(),
        _ => false,
    };
    Measured {
        worked,
        first_rejection_us: rejections().map(|(_, answered)| answered).min(),
        last_allow_us: last_allow,
        settled_us: rejections()
            .filter(|(sent, _)| Some(*sent) > last_allow)
            .map(|(_, answered)| answered)
            .min(),
        allowed_after_ack: count(&after_ack),
        in_flight: InFlight::among(probes),
        probes: count(&|_| true),
        missed: count(&|probe| probe.outcome == Outcome::Missed),
        unanswered: count(&|probe| probe.outcome == Outcome::NoAnswer),
        other: count(&other),
    }
}

/// How a probe is written.
type Written = (Micros, Option<Micros>, Option<Micros>, Outcome, Option<Micros>, Option<Ending>);

impl From<Written> for Probe {
    fn from((due, sent, answered, outcome, ended, ending): Written) -> Self {
        Self { due, sent, answered, ended: ended.zip(ending), outcome }
    }
}

/// `[due, sent, answered, outcome, ended, ending]`, in microseconds since the stop.
impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(6)?;
        tuple.serialize_element(&self.due)?;
        tuple.serialize_element(&self.sent)?;
        tuple.serialize_element(&self.answered)?;
        tuple.serialize_element(&self.outcome)?;
        tuple.serialize_element(&self.ended.map(|(at, _)| at))?;
        tuple.serialize_element(&self.ended.map(|(_, ending)| ending))?;
        tuple.end()
    }
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
