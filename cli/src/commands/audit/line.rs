//! A record as one line for people.

use kya_core::audit::{
    Activated, Administered, Completed, Concerned, Decided, Disposition, Entry, FlightEnd,
    KeyNamed, Record, Restored, Source, Timestamp, Verdict,
};

use crate::output::printable;

/// How something is meant, where colours can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Bad,
    Kill,
    Doubt,
    Act,
    Plain,
}

impl Tone {
    /// Select Graphic Rendition (ECMA-48 section 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Kill => "1;31",
            Self::Doubt => "33",
            Self::Act => "36",
            Self::Plain => "2",
        }
    }
}

/// One line, in colours or without.
pub(super) fn line(record: &Record, colours: bool) -> String {
    let (tone, label, says) = said(&record.entry);
    let label = format!("{label:<8}");
    let label = if colours { format!("\u{1b}[{}m{label}\u{1b}[0m", tone.code()) } else { label };
    let line = format!("{}  {:>7}  {label}  {}", at(record.time), record.seq, printable(&says));
    line.trim_end().to_owned()
}

/// To the millisecond.
fn at(time: Timestamp) -> String {
    let text = time.to_string();
    let short = text.get(..23).unwrap_or(&text);
    short.replace('T', " ")
}

fn key(it: &KeyNamed, does: &str, lost: Option<String>) -> String {
    let by = it.actor.as_ref().map(|actor| format!("by {actor}"));
    parts([Some(format!("{} {does}", it.key)), lost, by, it.reason.clone()])
}

fn said(entry: &Entry) -> (Tone, &'static str, String) {
    match entry {
        Entry::Decision(it) => decision(it),
        Entry::Ended(it) => {
            let of = format!("request {} of {}", it.decision_number, whose(&it.source));
            let (tone, how) = end(&it.end);
            (tone, "ENDED", parts([Some(of), it.agent_id.clone(), Some(how)]))
        }
        Entry::Applied(it) => {
            let (who, at) = (whose(&it.source), it.revision);
            let flight = match (it.in_flight, it.untracked) {
                (0, 0) => String::new(),
                (known, 0) => format!(", {known} in flight"),
                (known, more) => format!(", {known} in flight, and {more} not kept track of"),
            };
            (Tone::Plain, "APPLIED", format!("{who} decides by revision {at}{flight}"))
        }
        Entry::InFlight(it) => in_flight(it),
        Entry::Dropped(it) => {
            let says = format!("{}: {} events had no room", whose(&it.source), it.events);
            (Tone::Doubt, "DROPPED", says)
        }
        Entry::Gap(it) => {
            let (who, from) = (whose(&it.source), it.source.number);
            (
                Tone::Doubt,
                "GAP",
                format!("{who}: {} events from number {from} never came", it.events),
            )
        }
        Entry::Conflict(it) => {
            let (who, from, by) = (whose(&it.source), it.source.number, &it.registration);
            let says = format!(
                "two report as {who}: number {from} came again and says something else; refused, by {by}"
            );
            (Tone::Doubt, "CONFLICT", says)
        }
        Entry::WorkerLost(it) => {
            let (who, from) = (whose(&it.source), it.source.number);
            let says = format!(
                "{who} is gone; what it had not sent, from number {from} on, is lost; {} requests had not ended",
                it.unended
            );
            (Tone::Doubt, "LOST", says)
        }
        Entry::WorkerClosed(it) => (
            Tone::Plain,
            "CLOSED",
            format!("{} has ended, and all of it is here", whose(&it.source)),
        ),
        Entry::Admin(it) => administered(it),
        Entry::KillActivated(it) => activated(it),
        Entry::KillScope(it) => {
            let mut says = format!(
                "{}  {} agents, {} tokens, {} capability tokens",
                it.kill_id, it.agents, it.tokens, it.capability_tokens
            );
            if !it.actions.is_empty() {
                says.push_str(&format!(", only {}", it.actions.join(", ")));
            }
            (Tone::Kill, "SCOPE", says)
        }
        Entry::KillCompleted(it) => completed(it),
        Entry::Key(it) => {
            let tone = if it.recovered { Tone::Doubt } else { Tone::Act };
            let lost =
                it.recovered.then(|| "nobody vouches for it: the key before is lost".to_owned());
            (tone, "KEY", key(it, "signs checkpoints from here on", lost))
        }
        Entry::KeyAnnounced(it) => {
            (Tone::Act, "KEY", key(it, "is to sign checkpoints later", None))
        }
        Entry::Archived(it) => {
            let says =
                format!("records {} to {} are in an archive, by {}", it.first, it.last, it.actor);
            (Tone::Act, "ARCHIVED", says)
        }
        Entry::Restored(Restored { trail_size: Some(size), replaced_size, .. }) => {
            let lost = replaced_size.map(|it| format!(", in the place of one of {it}"));
            let says = format!(
                "the trail was put back: it had {size} records{}; what came after is gone",
                lost.unwrap_or_default()
            );
            (Tone::Doubt, "RESTORED", says)
        }
        Entry::Restored(it) => {
            let says = format!(
                "the registry was put back: it knew act {}, the trail has act {}; epoch {}",
                it.known, it.event, it.epoch
            );
            (Tone::Doubt, "RESTORED", says)
        }
    }
}

fn decision(it: &Decided) -> (Tone, &'static str, String) {
    let (tone, label) = match it.decision {
        Verdict::Allow => (Tone::Good, "ALLOW"),
        Verdict::Deny => (Tone::Bad, "DENY"),
        Verdict::Pass => (Tone::Doubt, "PASS"),
    };
    let path = [it.method.as_deref(), it.path_template.as_deref()];
    let path: Vec<_> = path.into_iter().flatten().collect();
    let end = it.end.as_ref().map(end);
    let tone = match end {
        Some((Tone::Doubt, _)) => Tone::Doubt,
        _ => tone,
    };
    let says = parts([
        it.agent_id.clone(),
        it.action.clone(),
        Some(path.join(" ")),
        it.reason.clone(),
        Some(whose(&it.source)),
        it.revision.map(|it| format!("r{it}")),
        end.map(|(_, how)| how),
    ]);
    (tone, label, says)
}

fn end(it: &FlightEnd) -> (Tone, String) {
    let (tone, how) = match it.disposition {
        Disposition::Committed => (Tone::Plain, "committed"),
        Disposition::RolledBack => (Tone::Plain, "rolled back"),
        Disposition::Escalated => (Tone::Doubt, "ESCALATED: a person must look"),
    };
    let after = it.duration_us / 1000;
    let cut = it.cut_by_revision.map(|it| format!("cut by r{it}"));
    let status = it.upstream_status.map(|it| it.to_string());
    (tone, parts([Some(how.to_owned()), status, Some(format!("{after} ms")), cut]))
}

fn in_flight(it: &Concerned) -> (Tone, &'static str, String) {
    let ending = match it.ending.as_str() {
        "abort" => "is ended",
        "drain" => "may end by itself",
        other => other,
    };
    let who = whose(&it.source);
    let of = format!("request {} of {who} {ending}", it.decision_number);
    (
        Tone::Kill,
        "INFLIGHT",
        parts([Some(of), it.agent_id.clone(), Some(format!("r{}", it.revision))]),
    )
}

fn administered(it: &Administered) -> (Tone, &'static str, String) {
    let by = Some(format!("by {}", it.actor));
    let from = it.address.as_ref().map(|it| format!("from {it}"));
    let says = parts([
        Some(it.act.clone()),
        Some(it.subject.clone()),
        by,
        from,
        it.reason.clone(),
        it.incident_id.clone(),
    ]);
    (Tone::Act, "ADMIN", says)
}

fn activated(it: &Activated) -> (Tone, &'static str, String) {
    let role = it.role.as_ref().map_or_else(String::new, |it| format!(" ({it})"));
    let says = parts([
        Some(it.kill_id.clone()),
        Some(it.act.clone()),
        Some(it.subject.clone()),
        Some(format!("by {}{role}", it.actor)),
        it.address.as_ref().map(|it| format!("from {it}")),
        it.reason.clone(),
        it.incident_id.clone(),
        Some(format!("r{}", it.revision)),
    ]);
    (Tone::Kill, "KILL", says)
}

fn completed(it: &Completed) -> (Tone, &'static str, String) {
    let unsure = it.escalated > 0 || it.timed_out || !it.unknown.is_empty();
    let tone = if unsure { Tone::Doubt } else { Tone::Kill };
    let mut says = format!(
        "{}  applied by {} of {} workers; {} in flight: {} committed, {} rolled back, {} escalated, {} going on",
        it.kill_id,
        it.applied,
        it.workers,
        it.in_flight,
        it.committed,
        it.rolled_back,
        it.escalated,
        it.open
    );
    if it.timed_out {
        says.push_str("; the time was over");
    }
    if it.cut_off {
        says.push_str("; there were more than are counted");
    }
    if !it.unknown.is_empty() {
        says.push_str(&format!("; not known of {}", it.unknown.join(", ")));
    }
    (tone, "KILLED", says)
}

fn whose(source: &Source) -> String {
    format!("{}/{}", source.proxy, source.worker)
}

/// Those that are there, two spaces apart.
fn parts<const N: usize>(parts: [Option<String>; N]) -> String {
    let there = parts.into_iter().flatten().filter(|it| !it.is_empty());
    there.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
