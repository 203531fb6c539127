//! What one worker sees: events as the filter encodes them, in batches.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use kya_core::AgentId;
use kya_core::audit::event::MAX_EVENTS;
use kya_core::wire::{
    AuditApplied, AuditBatch, AuditDecision, AuditDropped, AuditEnd, AuditEvent, AuditInFlight,
    BodyHash, Disposition, InFlight, Verdict, audit_event::Event,
};
use kya_core::{Position, Revision};

/// Requests that go on at a time.
const OPEN: usize = 64;
/// In so many batches there was once no room.
const DROPS_EVERY: u64 = 8;
/// For so many events.
const DROPPED: u64 = 10;

/// For whom requests are made: an agent, and the first 16 bytes of the SHA-256 of its token.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    agent: Vec<u8>,
    token: Vec<u8>,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    node: String,
    pub(super) instance: u64,
    callers: Vec<Caller>,
    at: Position,
    /// Number of the next event.
    next: u64,
    batches: u64,
    /// Decisions of requests that go on.
    open: VecDeque<u64>,
    /// Events that have happened, also those that had no room.
    pub(super) happened: u64,
    /// Of these those that had none.
    pub(super) dropped: u64,
}

impl Caller {
    /// Of `agt_… HEX`.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let (agent, token) = line.split_once(' ').context("an agent and a token")?;
        let agent: AgentId = agent.parse()?;
        let digit = |at: usize| u8::from_str_radix(token.get(at..at + 2).unwrap_or(""), 16);
        let token = (0..token.len()).step_by(2).map(digit).collect::<Result<_, _>>()?;
        Ok(Self { agent: agent.to_bytes().to_vec(), token })
    }
}

impl Worker {
    pub(super) fn new(node: String, instance: u64, callers: Vec<Caller>) -> Self {
        Self {
            node,
            instance,
            callers,
            at: Position { epoch: 0, revision: Revision(0) },
            next: 1,
            batches: 0,
            open: VecDeque::new(),
            happened: 0,
            dropped: 0,
        }
    }

    /// A full batch, which begins with what was applied meanwhile.
    pub(super) fn batch(&mut self, applied: Vec<Position>) -> AuditBatch {
        let mut batch = self.empty();
        self.batches += 1;
        for at in applied {
            self.apply(&mut batch, at);
        }
        if self.batches.is_multiple_of(DROPS_EVERY) {
            self.dropped += DROPPED;
            self.happened += DROPPED;
            let dropped = Event::Dropped(AuditDropped { events: DROPPED });
            self.next += 1;
            batch.events.push(now(dropped));
        }
        while batch.events.len() < MAX_EVENTS {
            let event = self.request();
            self.add(&mut batch, event);
        }
        batch
    }

    /// What is still open ends, and nothing follows.
    pub(super) fn last(&mut self) -> AuditBatch {
        let mut batch = self.empty();
        while let Some(decision) = self.open.pop_front() {
            let end = Event::End(end(decision, Disposition::Committed));
            self.add(&mut batch, end);
        }
        AuditBatch { last: true, ..batch }
    }

    fn empty(&self) -> AuditBatch {
        AuditBatch {
            protocol_version: 1,
            node_id: self.node.clone(),
            slot: 0,
            instance: self.instance,
            service: "payments".to_owned(),
            first: self.next,
            events: Vec::with_capacity(MAX_EVENTS),
            clock_ahead_millis: 0,
            last: false,
        }
    }

    fn add(&mut self, batch: &mut AuditBatch, event: Event) {
        batch.events.push(now(event));
        self.next += 1;
        self.happened += 1;
    }

    /// It decides by another state, which ends the request that goes on the longest.
    fn apply(&mut self, batch: &mut AuditBatch, at: Position) {
        self.at = at;
        let (epoch, revision) = (at.epoch, at.revision.0);
        let concerned = self.open.pop_front();
        let in_flight = u32::from(concerned.is_some());
        let applied = AuditApplied { epoch, revision, in_flight, untracked: 0 };
        self.add(batch, Event::Applied(applied));
        if let Some(decision) = concerned {
            let ending = InFlight::Abort.into();
            let flight = AuditInFlight { epoch, revision, decision, ending };
            self.add(batch, Event::InFlight(flight));
            let end = AuditEnd {
                cut: true,
                cut_epoch: epoch,
                cut_revision: revision,
                ..end(decision, Disposition::Escalated)
            };
            self.add(batch, Event::End(end));
        }
    }

    /// What the next request gives rise to: of 20, two are denied, one goes on beyond its
    /// batch, and the others have ended.
    fn request(&mut self) -> Event {
        if self.open.len() > OPEN
            && let Some(decision) = self.open.pop_front()
        {
            return Event::End(end(decision, Disposition::Committed));
        }
        let mut decision = self.decision();
        match self.next % 20 {
            3 | 13 => {
                decision.verdict = Verdict::Deny.into();
                decision.reason = "action_not_allowed".to_owned();
            }
            7 => self.open.push_back(self.next),
            _ => decision.end = Some(AuditEnd { decision: 0, ..end(0, Disposition::Committed) }),
        }
        Event::Decision(decision)
    }

    fn decision(&self) -> AuditDecision {
        let place = usize::try_from(self.next).unwrap_or(0) % self.callers.len().max(1);
        let caller = self.callers.get(place);
        let (agent, token) =
            caller.map(|it| (it.agent.clone(), it.token.clone())).unwrap_or_default();
        // As unlike each other as random ones, and cheaper.
        let mixed = mixed(self.instance ^ self.next << 16);
        let trace = [mixed.to_be_bytes(), self.next.to_le_bytes()].concat();
        AuditDecision {
            verdict: Verdict::Allow.into(),
            agent_id: agent,
            token_fingerprint: token,
            action: "charge.create".to_owned(),
            method: "POST".to_owned(),
            template: "/v1/charges".to_owned(),
            epoch: self.at.epoch,
            revision: self.at.revision.0,
            state_age_millis: mixed % 1000,
            request_id: format!(
                "{:08x}-{:04x}-4000-8000-{:012x}",
                mixed >> 32,
                mixed & 0xffff,
                self.next
            ),
            trace_id: trace,
            parent_span_id: mixed.to_be_bytes().to_vec(),
            ..AuditDecision::default()
        }
    }
}

fn end(decision: u64, disposition: Disposition) -> AuditEnd {
    AuditEnd {
        decision,
        disposition: disposition.into(),
        status: 201,
        duration_micros: 1840,
        body: BodyHash::None.into(),
        ..AuditEnd::default()
    }
}

fn now(event: Event) -> AuditEvent {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_nanos = u64::try_from(since.as_nanos()).unwrap_or(0);
    AuditEvent { unix_nanos, event: Some(event) }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let a = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ b >> 31
}

#[cfg(test)]
mod tests {
    use kya_core::audit::event::Batch;
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_batch_is_one_that_the_control_plane_takes_and_every_event_is_counted() {
        let agent = AgentId::from_parts(1, [7; 10]);
        let caller = Caller::parse(&format!("{agent} {}", "ab".repeat(16))).unwrap();
        let mut worker = Worker::new("simulated-0".to_owned(), 9, vec![caller]);
        let (mut numbers, mut drops) = (0, 0);
        for round in 0..64 {
            let at = Position { epoch: 5, revision: Revision(round) };
            let batch = worker.batch(vec![at]);
            let read = Batch::read(&batch.encode_to_vec()).unwrap();
            assert_eq!((read.first, read.events.len()), (numbers + 1, MAX_EVENTS));
            numbers += batch.events.len() as u64;
            let is_drop = |it: &&AuditEvent| matches!(it.event, Some(Event::Dropped(_)));
            drops += batch.events.iter().filter(is_drop).count() as u64;
        }
        let last = worker.last();
        assert!(Batch::read(&last.encode_to_vec()).unwrap().last);
        numbers += last.events.len() as u64;
        assert_eq!(drops, 8);
        assert_eq!(worker.dropped, drops * DROPPED);
        assert_eq!(worker.happened, numbers - drops + worker.dropped);
    }
}
