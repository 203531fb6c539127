//! The roster: the workers of this proxy, as their slots show them. The leader
//! wakes them by it, and reports them.

use kya_core::{Position, wire};

use crate::cache::records::Slot;
use crate::clock;
use crate::host::Host;
use crate::lead::lease::is_past;
use crate::plugin::Plugin;
use crate::work::SLOT_EXPIRY_NANOS;

/// What a worker finds in its queue. The cache says the rest.
pub const WAKE: &[u8] = b"!";
/// The report of all is sent so often though nothing has changed, for the age of
/// the state.
const REPORT_NANOS: u64 = 5_000_000_000;

type Entry = (u32, Slot);

/// The workers that hold a slot.
#[derive(Debug, Default)]
pub struct Roster {
    workers: Vec<Entry>,
    /// The workers as the control plane was told of them on this stream, and when.
    reported: Option<(Vec<Entry>, u64)>,
}

impl Roster {
    /// A new stream: nothing has been reported on it.
    pub fn start_over(&mut self) {
        self.reported = None;
    }

    /// Wakes every worker. A lost wake is made up for by the worker's next
    /// request or tick.
    pub fn wake<H: Host>(&self, plugin: &Plugin<H>) {
        for (_, slot) in &self.workers {
            plugin.enqueue(slot.queue, WAKE);
        }
    }

    /// Reads these slots anew, and returns the report of them.
    pub fn reread<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        numbers: &[u32],
        newest: Option<Position>,
    ) -> Option<wire::WorkerReport> {
        let news: Vec<Entry> = numbers
            .iter()
            .filter_map(|number| Some((*number, plugin.cache.slot(&plugin.host, *number)?.0?)))
            .collect();
        for worker in &news {
            match self.workers.iter_mut().find(|known| known.0 == worker.0) {
                Some(known) => *known = *worker,
                None => self.workers.push(*worker),
            }
        }
        (!news.is_empty()).then(|| report(&news, newest, false))
    }

    /// Reads every slot anew, and returns the report of all if it is another than
    /// the last that [`reported`](Self::reported) confirmed, or if that was a
    /// while ago.
    pub fn reread_all<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        newest: Option<Position>,
    ) -> Option<wire::WorkerReport> {
        let now = clock::monotonic_nanos(&plugin.host);
        self.workers = plugin
            .cache
            .slots(&plugin.host)
            .into_iter()
            .filter(|(_, slot)| !is_past(slot.renewed_nanos, now, SLOT_EXPIRY_NANOS))
            .collect();
        plugin.metrics.workers(&plugin.host, self.workers.len());
        let told = self.reported.as_ref().is_some_and(|(reported, at)| {
            !is_past(*at, now, REPORT_NANOS) && same(reported, &self.workers)
        });
        (!told).then(|| self.report(newest))
    }

    /// The report of all as they were read last.
    pub fn report(&self, newest: Option<Position>) -> wire::WorkerReport {
        report(&self.workers, newest, true)
    }

    /// True if a worker decides by something older than `newest`.
    pub fn lags(&self, newest: Position) -> bool {
        self.workers.iter().any(|(_, slot)| slot.position < newest)
    }

    /// The report of all was sent.
    pub fn reported<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = clock::monotonic_nanos(&plugin.host);
        self.reported = Some((self.workers.clone(), now));
    }
}

/// Whether they say the same. That a slot was renewed, or that its state is a
/// little older, is no news.
fn same(one: &[Entry], other: &[Entry]) -> bool {
    let said = |(number, slot): &Entry| (*number, Slot { renewed_nanos: 0, state_age: 0, ..*slot });
    one.iter().map(said).eq(other.iter().map(said))
}

/// The report of these workers. None is reported to be ahead of `newest`, the
/// leader's own position: slots can be forged, and a claim that cannot be true
/// would cast doubt on the rest.
fn report(workers: &[Entry], newest: Option<Position>, complete: bool) -> wire::WorkerReport {
    let state = |(number, slot): &Entry| {
        let position = newest.map_or(slot.position, |newest| slot.position.min(newest));
        wire::WorkerState {
            slot: *number,
            instance: slot.instance,
            epoch: position.epoch,
            revision: position.revision.0,
            applied_unix_nanos: slot.applied_nanos,
            challenge: slot.challenge,
            state_age_millis: slot.state_age,
            cut: slot.cut,
        }
    };
    let workers = workers.iter().map(state).collect();
    wire::WorkerReport { workers, complete, clock_ahead_millis: 0 }
}
