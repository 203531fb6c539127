use anyhow::{Result, bail, ensure};

use super::lane::Lane;
use super::load::{Outcome, Sample};
use crate::api::Acknowledgements;

/// Every answer that an agent got.
#[derive(Debug, Clone)]
pub struct Record {
    /// The agent's name.
    pub name: String,
    /// Where its requests went.
    pub lanes: Vec<Lane>,
    /// The answers.
    pub samples: Vec<Sample>,
}

impl Record {
    /// # Errors
    /// When a request was not allowed, or a lane had none at all.
    pub fn check_never_denied(&self) -> Result<()> {
        self.check_answers("not allowed", |sample| sample.outcome == Outcome::Allowed)
    }

    /// # Errors
    /// When an answer is not `expected`, or a lane had none at all.
    pub fn check_answers(&self, wrong: &str, expected: impl Fn(&Sample) -> bool) -> Result<()> {
        for lane in 0..self.lanes.len() {
            ensure!(self.samples.iter().any(|s| s.lane == lane), self.about("a lane is empty"));
        }
        match self.samples.iter().find(|sample| !expected(sample)) {
            Some(sample) => bail!(self.about(&format!("a request was {wrong}: {sample:?}"))),
            None => Ok(()),
        }
    }

    /// Judges the kill that `acks` acknowledge.
    ///
    /// A worker may allow what was sent before it acknowledged, and nothing
    /// else. Which acknowledgement is which worker's is not known: they must
    /// pair up in some way in which that holds. Lanes of which it is not known
    /// where they go are held to the last acknowledgement of the proxy.
    ///
    /// # Errors
    /// When a request was allowed that must not be; when one was answered after
    /// the last acknowledgement with anything but 403 or a status of `also`; when
    /// a lane has nothing to show after that; and when `acks` are not complete.
    pub fn check_killed(&self, acks: &Acknowledgements, also: &[u16]) -> Result<()> {
        ensure!(acks.complete, "not every worker has acknowledged: {acks:?}");
        let mut nodes: Vec<&str> = self.lanes.iter().map(|lane| lane.node_id.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            self.check_killed_at(node, acks, also)?;
        }
        Ok(())
    }

    /// The part of [`Record::check_killed`] that holds for connections which may
    /// have been closed meanwhile.
    ///
    /// # Errors
    /// When a request was allowed that was sent after the last acknowledgement.
    pub fn check_not_revived(&self, acks: &Acknowledgements) -> Result<()> {
        let last = acks.last_applied_unix_ms().unwrap_or(f64::INFINITY);
        ensure!(acks.complete && last.is_finite(), "not every worker has acknowledged: {acks:?}");
        let revived =
            |sample: &&Sample| sample.sent_unix_ms > last && sample.outcome == Outcome::Allowed;
        match self.samples.iter().find(revived) {
            Some(sample) => bail!(self.about(&format!("a request was allowed: {sample:?}"))),
            None => Ok(()),
        }
    }

    fn check_killed_at(&self, node: &str, acks: &Acknowledgements, also: &[u16]) -> Result<()> {
        let acknowledgements = acks.acknowledgements.iter().filter(|ack| ack.node_id == node);
        let mut applied: Vec<f64> = acknowledgements.map(|ack| ack.applied_unix_ms).collect();
        applied.sort_by(f64::total_cmp);
        let Some(last) = applied.last().copied() else {
            bail!(self.about(&format!("{node} has acknowledged nothing")));
        };
        let lanes: Vec<(usize, &Lane)> =
            self.lanes.iter().enumerate().filter(|(_, lane)| lane.node_id == node).collect();
        let mut workers: Vec<Option<u32>> = lanes.iter().map(|(_, lane)| lane.worker).collect();
        workers.sort_unstable();
        workers.dedup();
        let one_each = workers.len() == lanes.len() && workers.iter().all(Option::is_some);
        if !(one_each && lanes.len() == applied.len()) {
            applied = vec![last; lanes.len()];
        }

        let mut last_allowed = Vec::new();
        for (index, lane) in lanes {
            let of_lane = || self.samples.iter().filter(move |sample| sample.lane == index);
            let allowed = of_lane().filter(|s| s.outcome == Outcome::Allowed);
            last_allowed.push(allowed.map(|s| s.sent_unix_ms).fold(0.0, f64::max));
            let mut after = of_lane().filter(|sample| sample.sent_unix_ms > last).peekable();
            if after.peek().is_none() {
                bail!(self.about(&format!("nothing was asked of {lane} after the kill")));
            }
            let fits = |sample: &&Sample| {
                sample.outcome == Outcome::Denied
                    || sample.status.is_some_and(|status| also.contains(&status))
            };
            if let Some(sample) = after.find(|sample| !fits(sample)) {
                bail!(self.about(&format!(
                    "{lane} answered {:.1} ms after the last acknowledgement: {sample:?}",
                    sample.sent_unix_ms - last
                )));
            }
        }
        last_allowed.sort_by(f64::total_cmp);
        for (allowed, applied) in last_allowed.iter().zip(&applied) {
            ensure!(
                allowed <= applied,
                self.about(&format!(
                    "a worker of {node} allowed what was sent {:.1} ms after it acknowledged",
                    allowed - applied
                ))
            );
        }
        Ok(())
    }

    /// `what`, and whose answers these are, lane by lane.
    fn about(&self, what: &str) -> String {
        format!("{}: {what}\n{}", self.name, tally(&self.lanes, &self.samples))
    }
}

/// What each lane was answered, a line each.
pub fn tally(lanes: &[Lane], samples: &[Sample]) -> String {
    let line = |(index, lane): (usize, &Lane)| {
        let count =
            |outcome| samples.iter().filter(|s| s.lane == index && s.outcome == outcome).count();
        format!(
            "  {lane}: {} allowed, {} denied, {} failed",
            count(Outcome::Allowed),
            count(Outcome::Denied),
            count(Outcome::Failed)
        )
    };
    lanes.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
