//! What the events of workers say about kills.

use kya_core::audit::{Disposition, Entry, Timestamp};

use crate::audit::report::Report;
use crate::store::audit::KillMark;
use crate::time::UnixMicros;

/// What an event says, but for the number of its record. `here` is the place of its worker
/// and its number.
pub(in crate::audit) fn of_event(
    report: &Report,
    here: (usize, u64),
    time: Timestamp,
    entry: &Entry,
) -> Option<KillMark> {
    let (place, number) = here;
    match entry {
        Entry::Applied(it) => Some(KillMark::Applied {
            place,
            number,
            seq: 0,
            position: (it.epoch, it.revision),
            at: (UnixMicros(time.0), UnixMicros(0)),
            in_flight: (it.in_flight.into(), it.untracked),
        }),
        Entry::InFlight(it) => Some(KillMark::Concerned {
            place,
            decision: it.decision_number,
            position: (it.epoch, it.revision),
            agent_id: it.agent_id.clone().or_else(|| agent(report, it.decision_number)),
            ending: it.ending.clone(),
            seq: 0,
            disposition: ended(report, it.decision_number),
        }),
        Entry::Ended(it) => Some(KillMark::Ended {
            place,
            decision: it.decision_number,
            disposition: it.end.disposition,
            seq: 0,
        }),
        _ => None,
    }
}

/// The same with the number of the record, and when it is appended.
pub(in crate::audit) fn at(mut mark: KillMark, number: u64, now: UnixMicros) -> KillMark {
    match &mut mark {
        KillMark::Applied { seq, at, .. } => {
            *seq = number;
            at.1 = now;
        }
        KillMark::Concerned { seq, .. }
        | KillMark::Ended { seq, .. }
        | KillMark::Scoped { seq, .. }
        | KillMark::Completed { seq, .. }
        | KillMark::Gone { seq, .. } => *seq = number,
        KillMark::Activated(_) | KillMark::Back { .. } => {}
    }
    mark
}

/// A request may have ended before its decision was sent: then the decision says so.
fn ended(report: &Report, decision: u64) -> Option<Disposition> {
    match decision_of(report, decision)? {
        Entry::Decision(decided) => decided.end.as_ref().map(|end| end.disposition),
        _ => None,
    }
}

fn agent(report: &Report, decision: u64) -> Option<String> {
    match decision_of(report, decision)? {
        Entry::Decision(decided) => decided.agent_id.clone(),
        _ => None,
    }
}

fn decision_of(report: &Report, decision: u64) -> Option<&Entry> {
    let index = usize::try_from(decision.checked_sub(report.first)?).ok()?;
    report.events.get(index).map(|event| &event.entry)
}
