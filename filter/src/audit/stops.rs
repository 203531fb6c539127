//! That a state may stop somebody, and what it concerns, in the room that there is.
//!
//! A state with the requests that it concerns is told at once, as far as there is room
//! for each of these and for its end; the others are counted. Where there is not even room for
//! the state, the newest one is kept and told as soon as there is: a kill must hear of
//! every worker, and the newest state holds all those before it.

use kya_core::{InFlight, Position};

use super::event::{Event, Happened};
use super::flights::Flights;
use super::recorder::Recorder;
use crate::host::ContextId;

/// The newest state that there was no room to tell.
#[derive(Debug, Default)]
pub(super) struct Stops(Option<Waiting>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    unix_nanos: u64,
    position: Position,
    /// Requests that nobody has looked at.
    unseen: u64,
    /// Those that one of the states concerns, and of which that cannot be told.
    untold: u64,
}

/// A state that a worker applies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop<'a> {
    /// When.
    pub(super) unix_nanos: u64,
    /// Which.
    pub(super) position: Position,
    /// The requests that it concerns, and what becomes of each.
    pub(super) concerned: &'a [(ContextId, InFlight)],
    /// Requests that nobody has looked at.
    pub(super) unseen: u64,
}

impl Stops {
    /// Records that a state is applied, or keeps it in mind.
    pub(super) fn applied(
        &mut self,
        stop: Stop<'_>,
        flights: &mut Flights,
        recorder: &mut Recorder,
    ) {
        let Stop { unix_nanos, position, concerned, unseen } = stop;
        // What happened before is told before.
        self.tell(recorder);
        let room = recorder.room_for_a_stop().filter(|_| self.0.is_none());
        let Some(room) = room else {
            let before = self.0.map_or((0, 0), |it| (it.unseen, it.untold));
            self.0 = Some(Waiting {
                unix_nanos,
                position,
                unseen: unseen.max(before.0),
                untold: before.1.saturating_add(count(concerned.len())),
            });
            return;
        };
        let numbered =
            concerned.iter().filter_map(|(it, ending)| Some((*it, flights.number(*it)?, *ending)));
        let told: Vec<_> = numbered.take(room).collect();
        let untold = count(concerned.len().saturating_sub(told.len()));
        let happened = Happened::Applied {
            position,
            in_flight: u32::try_from(told.len()).unwrap_or(u32::MAX),
            untracked: unseen.saturating_add(untold),
        };
        recorder.follow(Event { unix_nanos, happened });
        for (context, decision, ending) in told {
            let happened = Happened::InFlight { position, decision, ending };
            recorder.follow(Event { unix_nanos, happened });
            if flights.tell(context) {
                recorder.promise();
            }
        }
    }

    /// Tells what is kept in mind, if there is room now. True if it has.
    pub(super) fn tell(&mut self, recorder: &mut Recorder) -> bool {
        recorder.room_for_a_stop().is_some() && self.tell_anyway(recorder)
    }

    /// The same, whether there is room or not: nothing else comes.
    pub(super) fn tell_anyway(&mut self, recorder: &mut Recorder) -> bool {
        let Some(Waiting { unix_nanos, position, unseen, untold }) = self.0.take() else {
            return false;
        };
        let untracked = unseen.saturating_add(untold);
        let happened = Happened::Applied { position, in_flight: 0, untracked };
        recorder.insist(Event { unix_nanos, happened });
        true
    }
}

fn count(requests: usize) -> u64 {
    u64::try_from(requests).unwrap_or(u64::MAX)
}
