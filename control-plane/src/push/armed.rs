//! Whether a proxy is armed: proved by what its workers answered, not assumed
//! because it is connected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kya_core::Position;

use super::Limits;
use super::nodes::{Node, Transport};
use super::timeline::Timeline;
use super::worker::Worker;
use crate::time::UnixMicros;

/// What is proved about a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum State {
    /// Every worker has answered a challenge lately, by a fresh and current state.
    Armed,
    /// It is connected, and has not proved that.
    Stale,
    /// Nothing is known of it.
    #[default]
    Unknown,
}

/// What is proved about a proxy, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The result.
    pub state: State,
    /// Why it is not armed, in words.
    pub why: Option<String>,
    /// When the last challenge that it was sent was signed.
    pub challenged_at: Option<UnixMicros>,
    /// When the last of its workers had answered one of those that count: absent
    /// as long as one has not.
    pub answered_at: Option<UnixMicros>,
}

/// By what a proxy is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Age of the latest challenge that a worker has answered.
    answer: Duration,
    /// How long a revision may be missing.
    behind: Duration,
    /// Age of the state that a worker answered by.
    age: Duration,
}

/// What a proxy is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Yardstick<'a> {
    pub(super) limits: &'a Limits,
    pub(super) newest: Position,
    pub(super) timeline: &'a Timeline,
    pub(super) now: Instant,
}

impl State {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Armed, Self::Stale, Self::Unknown];

    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

impl Bounds {
    /// A stream carries every challenge and answer at once. What a proxy that pulls
    /// is asked comes with one pull, and is answered by the next.
    pub(super) fn of(limits: &Limits, transport: Transport) -> Self {
        let (answer, behind) = match transport {
            Transport::Stream => (limits.challenge_interval.saturating_mul(2), limits.armed_behind),
            Transport::Pull => (limits.pull_patience.saturating_mul(2), limits.pull_patience),
        };
        Self { answer, behind, age: limits.armed_age }
    }

    /// Age of the latest challenge that a worker has answered.
    pub(super) const fn answer(&self) -> Duration {
        self.answer
    }
}

impl Yardstick<'_> {
    /// What is proved about a proxy that is connected. Only answers to the
    /// challenge of the number `since`, or to a later one, count.
    pub(super) fn judge(&self, node: &Node, since: Option<u64>) -> Verdict {
        let Some(latest) = node.asked.latest() else {
            let why = Some("it is connected, and was not challenged yet".to_owned());
            return Verdict { why, ..Verdict::default() };
        };
        let answered = answered_at(&node.workers, since);
        let wrong = |(slot, worker): (&u32, &Worker)| {
            self.wrong(node, worker, since).map(|why| format!("worker {slot} {why}"))
        };
        let mut wrong = node.workers.iter().filter_map(wrong);
        let why = match wrong.next() {
            _ if since.is_some_and(|since| latest.number < since) => Some(
                "it was not sent the challenge yet; one that pulls gets it by its next pull"
                    .to_owned(),
            ),
            None if node.workers.is_empty() => Some("no worker is named".to_owned()),
            None => None,
            Some(first) => Some(match wrong.count() {
                0 => first,
                more => format!("{first}; not armed either: {more} more of {}", node.workers.len()),
            }),
        };
        let state = if why.is_some() { State::Stale } else { State::Armed };
        Verdict { state, why, challenged_at: Some(latest.asked.1), answered_at: answered }
    }

    /// Why a worker is not armed.
    fn wrong(&self, node: &Node, worker: &Worker, since: Option<u64>) -> Option<String> {
        let bounds = Bounds::of(self.limits, node.proxy.transport);
        let ago = |then: Instant| self.now.saturating_duration_since(then);
        let counts = |number: u64| since.is_none_or(|since| number >= since);
        let answer = worker.answer.filter(|answer| counts(answer.number));
        let Some(answer) = answer.filter(|answer| ago(answer.asked.0) <= bounds.answer) else {
            let number = worker.answer.map(|answer| answer.number);
            let open = node.asked.first_after(number);
            return Some(match (open, worker.answer) {
                (Some(open), _) => {
                    let ago = seconds(ago(open.asked.0));
                    format!("has not answered the challenge of {ago} ago")
                }
                (None, Some(answer)) => {
                    let ago = seconds(ago(answer.asked.0));
                    format!("was not challenged again since {ago} ago")
                }
                (None, None) => "has not answered any challenge".to_owned(),
            });
        };
        if answer.state_age > bounds.age {
            return Some(if answer.state_age.as_millis() >= u128::from(u64::MAX) {
                "decides by a state of unknown age".to_owned()
            } else {
                format!("decided by a state {} old when it answered", seconds(answer.state_age))
            });
        }
        self.behind(worker, bounds.behind)
    }

    /// What is wrong with the position that a worker decides by.
    fn behind(&self, worker: &Worker, patience: Duration) -> Option<String> {
        let Some(position) = worker.newest().map(|applied| applied.position) else {
            return Some("has not said what it decides by".to_owned());
        };
        if position >= self.newest {
            return None;
        }
        if position == Position::default() {
            return Some("has no state yet".to_owned());
        }
        if position.epoch != self.newest.epoch {
            return Some(format!(
                "decides by epoch {}, and not {}",
                position.epoch, self.newest.epoch
            ));
        }
        // Since the first revision that it has not got.
        let since = self.timeline.measured(position.revision.next(), self.now);
        if since.is_some_and(|since| since <= patience) {
            return None;
        }
        let (revision, behind) =
            (position.revision, self.newest.revision.0.saturating_sub(position.revision.0));
        let since = since
            .map_or_else(|| "for long".to_owned(), |since| format!("since {}", seconds(since)));
        Some(format!("decides by revision {revision}, {behind} behind {since}"))
    }
}

/// When every worker had answered, if every worker has.
fn answered_at(workers: &BTreeMap<u32, Worker>, since: Option<u64>) -> Option<UnixMicros> {
    let mut last = None;
    for worker in workers.values() {
        let counts = |number: u64| since.is_none_or(|since| number >= since);
        let answer = worker.answer.filter(|answer| counts(answer.number))?;
        last = last.max(Some(answer.arrived.1));
    }
    last
}

/// Whole seconds; what is less than ten of them with one decimal.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{whole} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_two_beats_and_a_pull_two_of_its_own() {
        let limits = Limits::default();
        let bounds = |transport| {
            let Bounds { answer, behind, age } = Bounds::of(&limits, transport);
            [answer, behind, age].map(|bound| bound.as_secs())
        };
        assert_eq!(bounds(Transport::Stream), [20, 2, 30]);
        assert_eq!(bounds(Transport::Pull), [180, 90, 30]);
    }

    #[test]
    fn times_are_short() {
        let shown = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([40, 9_960, 14_200].map(shown), ["0.0 s", "10.0 s", "14 s"]);
    }
}
