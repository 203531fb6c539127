//! The numbers of events, and the buffer in which they wait.
//!
//! An event that has a number is never thrown away before the control plane has it.
//! So there must be an end to what gets one: of decisions the buffer takes so many, and
//! of what becomes of requests as many again. What has no room is counted, and the
//! count is an event as soon as there is room. The end of a request that a state concerns
//! always has room, which is set aside when that is told: a kill waits for it.

use std::collections::VecDeque;

use super::event::{End, Event, Happened};

/// Events for which there is room from the beginning: those of two batches.
const USUAL: usize = 1024;

/// The events of one worker that are not known to be in the trail.
#[derive(Debug)]
pub(super) struct Recorder {
    events: VecDeque<Event>,
    /// Number of the oldest in the buffer, or of the next.
    first: u64,
    /// Everything below this number was sent at least once, and does not change.
    sent: u64,
    capacity: usize,
    /// Events that will come, and for which room is set aside.
    promised: usize,
    /// Events that had no room, and of which no event says so.
    dropped: u64,
    counts: Counts,
}

/// What has happened since it was counted last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events that got a number.
    pub recorded: u64,
    /// Events that had no room.
    pub dropped: u64,
    /// Events that the control plane has signed for.
    pub acknowledged: u64,
    /// Batches that were sent once more.
    pub resent: u64,
    /// Answers that were no receipt for what was sent.
    pub refused: u64,
}

impl Recorder {
    /// One whose buffer takes so many decisions.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            // More wait only while the control plane takes nothing; then it grows, and a
            // request pays for the copy each time that it doubles.
            events: VecDeque::with_capacity(capacity.min(USUAL)),
            first: 1,
            sent: 1,
            capacity,
            promised: 0,
            dropped: 0,
            counts: Counts::default(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many wait that were never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.next().saturating_sub(self.sent)
    }

    /// Whether there is no room for another decision.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.capacity
    }

    /// Number of the oldest that waits.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    /// Everything below this number was sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Events from the oldest on.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Records a decision, if there is room: its number.
    pub(super) fn decision(&mut self, event: Event) -> Option<u64> {
        if self.is_full() {
            return self.drop_one();
        }
        Some(self.push(event))
    }

    /// Records what follows from decisions, or from a state.
    pub(super) fn follow(&mut self, event: Event) -> Option<u64> {
        if self.free() == 0 {
            return self.drop_one();
        }
        Some(self.push(event))
    }

    /// Whether there is room for a state that is applied, and then for how many requests
    /// that it concerns, each with its end.
    pub(super) fn room_for_a_stop(&self) -> Option<usize> {
        let left = self.free().checked_sub(1)?;
        Some((left / 2).min(self.capacity.saturating_sub(self.promised)))
    }

    /// Sets room aside for an event.
    pub(super) fn promise(&mut self) {
        self.promised = self.promised.saturating_add(1);
    }

    /// Records an event for which room was set aside.
    pub(super) fn keep_promise(&mut self, event: Event) -> Option<u64> {
        self.promised = self.promised.saturating_sub(1);
        Some(self.push(event))
    }

    /// Records an event, whether there is room or not.
    pub(super) fn insist(&mut self, event: Event) {
        self.push(event);
    }

    /// For how many events that are no decisions there is room.
    fn free(&self) -> usize {
        let taken = self.events.len().saturating_add(self.promised);
        self.capacity.saturating_mul(2).saturating_sub(taken)
    }

    /// Says with a decision how its request ended; gives the end back where the
    /// decision was sent already.
    pub(super) fn fold(&mut self, number: u64, end: End) -> Result<(), End> {
        if number < self.sent {
            return Err(end);
        }
        let index = number.checked_sub(self.first).and_then(|it| usize::try_from(it).ok());
        match index.and_then(|index| self.events.get_mut(index)).map(|event| &mut event.happened) {
            Some(Happened::Decision(decision)) => {
                decision.end = Some(end);
                Ok(())
            }
            _ => Err(end),
        }
    }

    /// Says how many events had no room, if some had none and now there is.
    pub(super) fn say_dropped(&mut self, unix_nanos: impl FnOnce() -> u64) {
        if self.dropped > 0 && !self.is_full() {
            self.say_all_dropped(unix_nanos);
        }
    }

    /// The same, whether there is room or not: nothing else comes.
    pub(super) fn say_all_dropped(&mut self, unix_nanos: impl FnOnce() -> u64) {
        if self.dropped > 0 {
            let happened = Happened::Dropped(std::mem::take(&mut self.dropped));
            self.push(Event { unix_nanos: unix_nanos(), happened });
        }
    }

    /// Everything below this number has been sent.
    pub(super) fn sent_below(&mut self, number: u64) {
        self.sent = self.sent.max(number);
    }

    /// Everything below this number is in the trail. False if that cannot be, or is
    /// nothing new.
    pub(super) fn acknowledge(&mut self, next: u64) -> bool {
        if next <= self.first || next > self.sent {
            return false;
        }
        let count = next.saturating_sub(self.first);
        self.events.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(self.events.len()));
        self.first = next;
        self.counts.acknowledged = self.counts.acknowledged.saturating_add(count);
        true
    }

    /// A batch was sent once more.
    pub(super) fn count_resent(&mut self) {
        self.counts.resent = self.counts.resent.saturating_add(1);
    }

    /// An answer was no receipt.
    pub(super) fn count_refused(&mut self) {
        self.counts.refused = self.counts.refused.saturating_add(1);
    }

    /// What has happened since this was asked last.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn push(&mut self, event: Event) -> u64 {
        let number = self.next();
        self.events.push_back(event);
        self.counts.recorded = self.counts.recorded.saturating_add(1);
        number
    }

    fn drop_one(&mut self) -> Option<u64> {
        self.dropped = self.dropped.saturating_add(1);
        self.counts.dropped = self.counts.dropped.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use kya_core::wire::{Disposition, Verdict};
    use proptest::prelude::*;

    use super::super::event::{Body, Decision};
    use super::*;

    fn decision() -> Event {
        let happened = Happened::Decision(Decision::bare(Verdict::Allow, ""));
        Event { unix_nanos: 1, happened }
    }

    fn end() -> End {
        End {
            disposition: Disposition::Committed,
            status: 200,
            duration_micros: 5,
            cut: None,
            body: Body::NONE,
        }
    }

    #[test]
    fn numbers_have_no_gap_and_begin_with_one() {
        let mut recorder = Recorder::new(4);
        assert_eq!((recorder.first(), recorder.next()), (1, 1));
        let numbers: Vec<_> = (0..3).map(|_| recorder.decision(decision())).collect();
        assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
        recorder.sent_below(3);
        assert!(recorder.acknowledge(3));
        assert_eq!((recorder.first(), recorder.next(), recorder.len()), (3, 4, 1));
        assert_eq!(recorder.decision(decision()), Some(4));
    }

    #[test]
    fn an_end_is_said_with_its_decision_until_that_was_sent() {
        let mut recorder = Recorder::new(4);
        let (first, second) =
            (recorder.decision(decision()).unwrap(), recorder.decision(decision()).unwrap());
        recorder.sent_below(2);
        assert_eq!(recorder.fold(first, end()), Err(end()), "it may be in the trail without");
        assert_eq!(recorder.fold(second, end()), Ok(()));
        let ends: Vec<_> = recorder
            .events()
            .map(|event| matches!(&event.happened, Happened::Decision(it) if it.end.is_some()))
            .collect();
        assert_eq!(ends, [false, true]);
        assert_eq!(recorder.fold(9, end()), Err(end()), "there is no such event");
    }

    #[test]
    fn what_has_no_room_is_counted_and_said_when_there_is() {
        let mut recorder = Recorder::new(2);
        assert!(recorder.decision(decision()).is_some() && recorder.decision(decision()).is_some());
        assert!(recorder.is_full());
        assert_eq!((recorder.decision(decision()), recorder.decision(decision())), (None, None));
        // What becomes of requests has as much room again.
        assert_eq!((recorder.follow(decision()), recorder.follow(decision())), (Some(3), Some(4)));
        assert_eq!(recorder.follow(decision()), None);
        recorder.say_dropped(|| 7);
        assert_eq!(recorder.len(), 4, "there is no room to say it");
        recorder.sent_below(5);
        assert!(recorder.acknowledge(4));
        recorder.say_dropped(|| 7);
        recorder.say_dropped(|| 8);
        let last = recorder.events().last().unwrap();
        assert_eq!(*last, Event { unix_nanos: 7, happened: Happened::Dropped(3) });
        assert_eq!(recorder.len(), 2, "it is said once");
        let counts = recorder.take_counts();
        assert_eq!((counts.recorded, counts.dropped, counts.acknowledged), (5, 3, 3));
        assert_eq!(recorder.take_counts(), Counts::default());
    }

    #[test]
    fn what_was_promised_room_has_it_whatever_comes_in_between() {
        let mut recorder = Recorder::new(4);
        assert_eq!(recorder.room_for_a_stop(), Some(3), "8 places: the stop, and two each");
        for _ in 0..3 {
            recorder.follow(decision());
            recorder.promise();
        }
        assert_eq!(recorder.room_for_a_stop(), Some(0), "two places are left, for one more");
        while recorder.follow(decision()).is_some() {}
        assert_eq!((recorder.len(), recorder.room_for_a_stop()), (5, None));
        for number in 6..=8 {
            assert_eq!(recorder.keep_promise(decision()), Some(number));
        }
        assert_eq!(recorder.follow(decision()), None, "8 places are taken");
        recorder.sent_below(9);
        assert!(recorder.acknowledge(9));
        // However much is promised, there is room for decisions.
        while recorder.room_for_a_stop().is_some_and(|requests| requests > 0) {
            recorder.promise();
        }
        let decided = std::iter::from_fn(|| recorder.decision(decision())).count();
        assert_eq!(decided, 4);
        assert!(recorder.len() + recorder.promised <= 8);
    }

    proptest! {
        /// Whatever happens, in whatever order: every event is in the trail, in the
        /// buffer, or counted.
        #[test]
        fn nothing_is_lost_and_nothing_invented(steps in prop::collection::vec((0u8..5, 0u64..12), 0..200)) {
            let mut recorder = Recorder::new(4);
            let (mut happened, mut said) = (0u64, 0u64);
            for (step, by) in steps {
                match step {
                    0 => {
                        happened += 1;
                        recorder.decision(decision());
                    }
                    1 => {
                        happened += 1;
                        recorder.follow(decision());
                    }
                    2 => recorder.sent_below(recorder.next().min(recorder.first() + by)),
                    3 => {
                        let next = recorder.first().saturating_sub(3) + by;
                        let (first, sent) = (recorder.first(), recorder.sent());
                        let dropped = recorder.events().take(by as usize).filter(|event| {
                            matches!(event.happened, Happened::Dropped(_))
                        }).count();
                        let taken = recorder.acknowledge(next);
                        prop_assert_eq!(taken, next > first && next <= sent);
                        let _ = dropped;
                    }
                    _ => {
                        let before = recorder.next();
                        recorder.say_dropped(|| 1);
                        said += recorder.next() - before;
                    }
                }
                let counts = recorder.counts;
                prop_assert_eq!(counts.recorded + counts.dropped, happened + said);
                prop_assert_eq!(counts.recorded, recorder.next() - 1);
                prop_assert_eq!(counts.acknowledged, recorder.first() - 1);
                prop_assert!(recorder.len() <= 9 && recorder.sent() <= recorder.next());
            }
        }
    }
}
