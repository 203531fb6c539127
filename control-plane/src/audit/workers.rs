//! What workers report, as it is appended.

use kya_core::audit::{Closed, Conflict, Entry, Gap, Lost, Timestamp};

use super::group::Done;
use super::kills::marks;
use super::refusal::{MAX_WORKERS, NotTaken};
use super::report::{Flight, Report, source};
use super::writing::Writing;
use crate::store::StoreError;
use crate::store::audit::{KillMark, SourceKey, SourceRow, SourceState, Taken};
use crate::time::UnixMicros;

/// Most requests of one worker of which it is remembered whose they are until they end.
/// Those above are known by their decision alone.
const REMEMBERED: u64 = 65_536;

impl Writing {
    /// What is there already is not added again, and what is missing is named. What could
    /// not have come from this worker is refused.
    pub(super) fn report(&mut self, place: usize, report: &Report) -> Result<Done, StoreError> {
        let known = self.sources.get(place).cloned().flatten();
        let is_new = known.is_none();
        let mut row = known.unwrap_or(SourceRow {
            id: 0,
            slot: report.slot,
            next: 1,
            seen: self.now,
            state: SourceState::Alive,
            unended: 0,
            unremembered: 0,
            registration: None,
            conflict: None,
        });
        if row.registration.as_ref().is_some_and(|it| *it != report.registration) {
            let registration = report.registration.clone();
            return Ok(Done::NotTaken(NotTaken::OtherRegistration { registration }));
        }
        if let Some(number) = self.differs(place, report, row.next) {
            return self.conflict(place, row, report, number);
        }
        let is_more = report.first.saturating_add(report.events.len() as u64) > row.next;
        let is_back =
            row.state != SourceState::Alive && (is_more || row.state == SourceState::Lost);
        if (is_new || is_back) && !self.one_more(&report.source.node) {
            let node = report.source.node.clone();
            return Ok(Done::NotTaken(NotTaken::TooManyWorkers { node }));
        }
        if row.registration.is_none() {
            row.registration = Some(report.registration.clone());
            self.to.marked.insert(place);
        }
        row.seen = row.seen.max(self.now);
        row.slot = report.slot;
        let gap = report.first.saturating_sub(row.next);
        if gap > 0 && (is_more && !report.events.is_empty() || report.last) {
            let (first, last) = (row.next, report.first - 1);
            let source = report.source(first);
            let seq = self.add(Timestamp(self.now.0), Entry::Gap(Gap { source, events: gap }))?;
            self.take(Taken { place, first, last, seq, hashes: Vec::new() });
            row.next = report.first;
        }
        if is_back {
            self.to.kills.push(KillMark::Back { place });
            // Whoever was taken for lost is back.
            row.state = SourceState::Alive;
            row.unremembered = 0;
            self.to.marked.insert(place);
        }
        self.events(place, report, &mut row)?;
        let ends_here = report.first.saturating_add(report.events.len() as u64) == row.next;
        if report.last && ends_here && row.state != SourceState::Closed {
            let source = report.source(row.next);
            let closed = Entry::WorkerClosed(Closed { source });
            let seq = self.add(Timestamp(self.now.0), closed)?;
            row.state = SourceState::Closed;
            row.unremembered = 0;
            self.to.marked.insert(place);
            self.gone(place, &report.source.node, &mut row, seq);
        }
        let next = row.next;
        self.keep(place, row);
        Ok(Done::Next(next))
    }

    fn events(
        &mut self,
        place: usize,
        report: &Report,
        row: &mut SourceRow,
    ) -> Result<(), StoreError> {
        let there = row.next.saturating_sub(report.first);
        let new = report.events.iter().skip(usize::try_from(there).unwrap_or(usize::MAX));
        let (first, mut hashes) = (row.next, Vec::new());
        for (number, event) in (first..).zip(new) {
            let agent = self.flight(place, number, &event.flight, row);
            let (seq, mark) = match &event.draft {
                Some(draft) => {
                    let here = (place, number);
                    let mark = marks::of_event(report, here, event.time, &event.entry);
                    (self.place(event.time, &event.entry, draft)?, mark)
                }
                None => {
                    let entry = of_agent(event.entry.clone(), agent);
                    let mark = marks::of_event(report, (place, number), event.time, &entry);
                    (self.add(event.time, entry)?, mark)
                }
            };
            self.to.kills.extend(mark.map(|mark| marks::at(mark, seq, self.now)));
            hashes.push(event.digest);
            row.next = number + 1;
        }
        if !hashes.is_empty() {
            self.take(Taken { place, first, last: row.next - 1, seq: self.size(), hashes });
        }
        Ok(())
    }

    /// The first number of the batch that was taken by another event, or that a record says
    /// never came. Whoever reports in order and sends again until there is a receipt never
    /// has one.
    fn differs(&self, place: usize, report: &Report, next: u64) -> Option<u64> {
        let there = (report.first..next).zip(&report.events);
        let differs = |&(number, event): &(u64, &super::report::Reported)| {
            let taken = self.taken.range(..=(place, number)).next_back();
            let taken = taken.map(|(_, taken)| taken);
            // What was archived cannot be compared.
            let Some(taken) = taken.filter(|it| it.place == place && it.last >= number) else {
                return false;
            };
            let index = usize::try_from(number - taken.first).unwrap_or(usize::MAX);
            taken.hashes.get(index) != Some(&event.digest)
        };
        there.into_iter().find(differs).map(|(number, _)| number)
    }

    /// Says once of each worker that two report as it.
    fn conflict(
        &mut self,
        place: usize,
        mut row: SourceRow,
        report: &Report,
        number: u64,
    ) -> Result<Done, StoreError> {
        if row.conflict.is_none() {
            let registration = report.registration.clone();
            let conflict = Conflict { source: report.source(number), registration };
            let seq = self.add(Timestamp(self.now.0), Entry::Conflict(conflict))?;
            row.conflict = Some(seq);
            self.to.marked.insert(place);
            self.keep(place, row);
        }
        Ok(Done::NotTaken(NotTaken::Conflict { number }))
    }

    /// Whether one more worker of this node may be there; then it is.
    fn one_more(&mut self, node: &str) -> bool {
        let alive = self.alive.entry(node.to_owned()).or_default();
        let is_room = *alive < MAX_WORKERS;
        *alive += u64::from(is_room);
        is_room
    }

    fn take(&mut self, taken: Taken) {
        self.taken.insert((taken.place, taken.first), taken.clone());
        self.to.taken.push(taken);
    }

    /// Of a worker that is gone no request goes on.
    fn gone(&mut self, place: usize, node: &str, row: &mut SourceRow, seq: u64) {
        self.to.kills.push(KillMark::Gone { place, seq });
        row.unended = 0;
        self.began.retain(|(of, _), _| *of != place);
        self.unended.retain(|(of, _), _| *of != place);
        self.to.forgotten.push(place);
        if let Some(alive) = self.alive.get_mut(node) {
            *alive = alive.saturating_sub(1);
        }
    }

    fn keep(&mut self, place: usize, row: SourceRow) {
        if let Some(kept) = self.sources.get_mut(place) {
            *kept = Some(row.clone());
        }
        if let Some(written) = self.to.sources.get_mut(place) {
            *written = Some(row);
        }
    }

    /// Notes which requests go on, and returns whose that is that an event is about.
    fn flight(
        &mut self,
        place: usize,
        number: u64,
        flight: &Flight,
        row: &mut SourceRow,
    ) -> Option<String> {
        let (about, ended) = match flight {
            Flight::None => return None,
            Flight::Begins(agent) => {
                if row.unended < REMEMBERED {
                    self.began.insert((place, number), agent.clone());
                    row.unended += 1;
                } else {
                    row.unremembered += 1;
                    self.to.marked.insert(place);
                }
                return None;
            }
            Flight::Ends(decision) => (*decision, true),
            Flight::IsConcerned(decision) => (*decision, false),
        };
        let key = (place, about);
        let begun = self.began.get(&key).cloned();
        let known = begun.clone().or_else(|| self.unended.get(&key).cloned());
        if !ended {
            return known.flatten();
        }
        let Some(agent) = known else {
            if row.unremembered > 0 {
                row.unremembered -= 1;
                self.to.marked.insert(place);
            }
            return None;
        };
        row.unended = row.unended.saturating_sub(1);
        if self.began.remove(&key).is_none() {
            self.unended.remove(&key);
            self.to.ended.push(key);
        }
        agent
    }

    pub(super) fn silent(
        &mut self,
        place: usize,
        key: &SourceKey,
        since: UnixMicros,
    ) -> Result<Done, StoreError> {
        let Some(Some(row)) = self.sources.get(place) else { return Ok(Done::Refused) };
        if row.state != SourceState::Alive || row.seen >= since {
            return Ok(Done::Refused);
        }
        let mut row = row.clone();
        let source = source(&key.node, row.slot, key.instance, row.next);
        let unended = row.unended.saturating_add(row.unremembered);
        let seq = self.add(Timestamp(self.now.0), Entry::WorkerLost(Lost { source, unended }))?;
        row.state = SourceState::Lost;
        self.gone(place, &key.node, &mut row, seq);
        self.keep(place, row);
        Ok(Done::At(seq))
    }
}

/// What is said about a request, with whose it was.
fn of_agent(mut entry: Entry, agent: Option<String>) -> Entry {
    match &mut entry {
        Entry::Ended(ended) => ended.agent_id = agent,
        Entry::InFlight(concerned) => concerned.agent_id = agent,
        _ => {}
    }
    entry
}
