//! Requests of the canary that were in flight at the stop, and how each ended. Pure.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::samples::{Micros, Probe};

/// How a probe ended that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its answer came to its end.
    Whole,
    /// The connection was closed before that.
    Broken,
    /// Neither, in the time that a probe has.
    Late,
}

/// Requests that were sent before the stop and had not ended then, as the prober saw them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFlight {
    /// All of them.
    pub at_stop: u64,
    /// Those that the stop ended: kya denied them, or the connection was closed before the
    /// whole answer had come.
    pub cut: u64,
    /// Those that the service answered in full.
    pub completed: u64,
    /// Those that nobody answered in full within the time that a probe has.
    pub lost: u64,
}

impl InFlight {
    /// Counts those among the probes of one party in one sample.
    pub(super) fn among(probes: &[Probe]) -> Self {
        let mut found = Self::default();
        for probe in probes {
            let (Some(sent), Some((ended, ending))) = (probe.sent, probe.ended) else { continue };
            if sent < STOP && ended >= STOP {
                found.count(probe.outcome, ending);
            }
        }
        found
    }

    fn count(&mut self, outcome: Outcome, ending: Ending) {
        let kind = match (outcome, ending) {
            (Outcome::Denied(_), _) | (_, Ending::Broken) => &mut self.cut,
            (_, Ending::Whole) => &mut self.completed,
            (_, Ending::Late) => &mut self.lost,
        };
        *kind = kind.saturating_add(1);
        self.at_stop = self.at_stop.saturating_add(1);
    }

    /// These, and those of another sample or party.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            at_stop: self.at_stop.saturating_add(other.at_stop),
            cut: self.cut.saturating_add(other.cut),
            completed: self.completed.saturating_add(other.completed),
            lost: self.lost.saturating_add(other.lost),
        }
    }
}

/// Times are since the stop.
const STOP: Micros = 0;

#[cfg(test)]
mod tests {
    use crate::DenyReason;

    use super::*;

    const DENIED: Outcome = Outcome::Denied(DenyReason::AgentSuspended);

    fn probe(sent: Micros, ended: Micros, ending: Ending, outcome: Outcome) -> Probe {
        let answered = (outcome != Outcome::NoAnswer).then_some(ended);
        Probe { due: sent, sent: Some(sent), answered, ended: Some((ended, ending)), outcome }
    }

    #[test]
    fn what_the_stop_met_is_counted_by_how_it_ended() {
        let never_sent =
            Probe { due: -5, sent: None, answered: None, ended: None, outcome: Outcome::NoAnswer };
        let probes = [
            // Over before it, and begun after it.
            probe(-900, -1, Ending::Whole, Outcome::Allowed),
            probe(-900, -500, Ending::Late, Outcome::NoAnswer),
            probe(0, 500, Ending::Whole, DENIED),
            never_sent,
            // A call that waited for its service; one whose answer had begun; one that was
            // closed without a word.
            probe(-100, 900, Ending::Whole, DENIED),
            probe(-100, 900, Ending::Broken, Outcome::Allowed),
            probe(-100, 900, Ending::Broken, Outcome::NoAnswer),
            probe(-1, 0, Ending::Whole, Outcome::Allowed),
            probe(-100, 300, Ending::Whole, Outcome::Other(404)),
            probe(-100, 2_000_000, Ending::Late, Outcome::NoAnswer),
            probe(-100, 2_000_000, Ending::Late, Outcome::Allowed),
        ];
        let expected = InFlight { at_stop: 7, cut: 3, completed: 2, lost: 2 };
        assert_eq!(InFlight::among(&probes), expected);
        assert_eq!(expected.and(expected), InFlight { at_stop: 14, cut: 6, completed: 4, lost: 4 });
        assert_eq!(InFlight::among(&[]), InFlight::default());
    }
}
