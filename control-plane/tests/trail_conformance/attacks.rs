//! What whoever holds the credential of one node could send.

use std::sync::Arc;

use kya_control_plane::audit::{MAX_WORKERS, NotTaken};
use kya_control_plane::store::audit::{LED_TO_A_PAGE, RecordFilter, SourceKey};

use kya_control_plane::time::UnixMicros;
use kya_core::audit::event::{Batch, Decision, Happened};
use kya_core::audit::{Entry, Verdict};
use kya_core::{InFlight, Position, Revision};

use super::kills::{applied, close, concerned, ends, goes_on, register, revoke, rows};
use super::{Fixture, Opened, agent, batch, decision, ended, open};

const NODE: &str = "web-1";

fn one(instance: u64) -> Batch {
    batch(NODE, instance, 1, vec![ended(1)])
}

/// What comes by a credential.
async fn by(it: &Opened, registration: &str, batch: Batch) -> Result<u64, NotTaken> {
    it.trail.report(registration, batch).await
}

fn is_one_too_many(answer: &Result<u64, NotTaken>) -> bool {
    matches!(answer, Err(NotTaken::TooManyWorkers { node }) if node == NODE)
}

async fn lose(it: &Opened, second: u64) {
    it.trail.lose_silent(UnixMicros(second * 1_000_000)).await.unwrap();
}

pub async fn a_node_has_so_many_workers_at_a_time_and_no_more<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    // All at once: what is appended together counts, too.
    let all = (1..=MAX_WORKERS + 12).map(|instance| {
        let trail = Arc::clone(&it.trail);
        tokio::spawn(async move { trail.report("fleet", one(instance)).await })
    });
    let (mut there, mut refused) = (Vec::new(), 0);
    for (instance, answer) in (1..).zip(all.collect::<Vec<_>>()) {
        match answer.await.unwrap() {
            Ok(_) => there.push(instance),
            answer if is_one_too_many(&answer) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((there.len(), refused), (128, 12));
    assert!(is_one_too_many(&by(&it, "fleet", one(1_000)).await));
    assert!(is_one_too_many(&by(&it, "fleet", batch(NODE, 1_000, 1, vec![])).await));
    // Those that are there go on, and other nodes have workers of their own.
    assert_eq!(it.report(batch(NODE, there[0], 2, vec![ended(1)])).await, 3);
    assert_eq!(it.report(batch("web-2", 1_000, 1, vec![ended(1)])).await, 2);
    // One that is connected is known, and is let in.
    let connected = SourceKey { node: NODE.to_owned(), instance: 2_000 };
    it.trail.store().seen(&[(connected, 3)], UnixMicros(1_000_000_000)).await.unwrap();
    assert_eq!(it.report(one(2_000)).await, 2);
    // Whoever has ended or is lost makes room, and comes back only if there is any.
    for instance in [there[0], there[1]] {
        let last = Batch { last: true, ..batch(NODE, instance, 3, vec![]) };
        it.report(last).await;
    }
    assert_eq!(it.report(one(1_000)).await, 2);
    assert!(is_one_too_many(&by(&it, "fleet", one(1_001)).await));
    let again = batch(NODE, there[0], 3, vec![ended(1)]);
    assert!(is_one_too_many(&by(&it, "fleet", again.clone()).await));
    it.clock.set(1_100);
    lose(&it, 1_090).await;
    assert_eq!(it.report(again).await, 4);
    assert_eq!(it.report(one(1_001)).await, 2);
}

pub async fn nobody_has_applied_what_was_not_done_yet<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    let at = it.registry.head().await.unwrap().position;
    assert_eq!(it.report(batch("web", 9, 1, vec![applied(at, 0)])).await, 2);
    let next = Position { revision: Revision(at.revision.0 + 1), ..at };
    let epoch = Position { epoch: at.epoch + 1, revision: Revision(1) };
    for event in [
        applied(next, 0),
        applied(epoch, 0),
        applied(Position { epoch: u64::MAX, revision: Revision(u64::MAX) }, 0),
        concerned(next, 1, InFlight::Abort),
    ] {
        let refused = by(&it, "fleet", batch("web", 9, 2, vec![ended(1), event])).await;
        let Err(error @ NotTaken::Ahead { .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().starts_with("event 3: position "), "{error}");
    }
    // A server that has not heard of a change takes the word of whoever has, once it looked.
    let other = if F::SHARED { Some(open(&fixture).await) } else { None };
    let at = revoke(other.as_ref().unwrap_or(&it), 1).await;
    assert!(at >= next);
    assert_eq!(it.report(batch("web", 9, 2, vec![applied(at, 0)])).await, 3);
}

pub async fn a_worker_reports_by_the_registration_that_began_it<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    assert_eq!(by(&it, "web-node", one(9)).await, Ok(2));
    let last = Batch { last: true, ..batch(NODE, 9, 2, vec![]) };
    for stolen in [one(9), batch(NODE, 9, 2, vec![ended(2)]), batch(NODE, 9, 1, vec![]), last] {
        let refused = by(&it, "api-node", stolen).await;
        let registration = "api-node".to_owned();
        assert_eq!(refused, Err(NotTaken::OtherRegistration { registration }));
    }
    assert_eq!(by(&it, "web-node", batch(NODE, 9, 2, vec![ended(1)])).await, Ok(3));
    assert_eq!(it.records().await.len(), 3, "the key, and two decisions");
}

fn conflicts(entries: &[Entry]) -> Vec<(u64, String)> {
    let conflict = |entry: &Entry| match entry {
        Entry::Conflict(it) => Some((it.source.number, it.registration.clone())),
        _ => None,
    };
    entries.iter().filter_map(conflict).collect()
}

pub async fn a_number_that_was_taken_with_something_else_is_refused_and_said<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1), ended(2)])).await;
    it.report(batch("web", 9, 3, vec![ended(1)])).await;
    // The same again, with more, by a slot that it did not have, is what honest workers do.
    let more = vec![goes_on(1), ended(2), ended(1), ended(3)];
    let again = Batch { slot: 4, service: None, ..batch("web", 9, 1, more) };
    assert_eq!(it.report(again.clone()).await, 5);
    assert_eq!(it.report(again).await, 5);
    assert_eq!(it.report(batch("web", 9, 2, vec![ended(2)])).await, 5);
    assert_eq!(conflicts(&it.entries().await), []);
    let size = it.records().await.len();
    // Somebody else has been there: in an old batch, in the newest, and with more after it.
    for (first, events, number) in [
        (2, vec![ended(2), ended(9)], 3),
        (1, vec![ended(9)], 1),
        (4, vec![ended(9), ended(1)], 4),
        (3, vec![ended(1), ended(9), ended(1)], 4),
    ] {
        let refused = by(&it, "fleet", batch("web", 9, first, events)).await;
        assert_eq!(refused, Err(NotTaken::Conflict { number }));
    }
    let mut later = batch("web", 9, 3, vec![ended(1)]);
    later.events[0].time.0 += 1;
    assert_eq!(by(&it, "fleet", later).await, Err(NotTaken::Conflict { number: 3 }));
    assert_eq!(conflicts(&it.entries().await), [(3, "fleet".to_owned())], "said once");
    assert_eq!(it.records().await.len(), size + 1, "nothing else of it is there");
    // Of another worker it says nothing.
    assert_eq!(it.report(batch("web", 8, 1, vec![ended(9)])).await, 2);
}

pub async fn of_two_that_report_as_one_worker_at_once_one_is_refused<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let other = if F::SHARED { Some(open(&fixture).await) } else { None };
    let other = other.as_ref().unwrap_or(&it);
    let first = by(&it, "fleet", batch("web", 9, 1, vec![ended(1); 5]));
    let second = by(other, "fleet", batch("web", 9, 1, vec![ended(2); 5]));
    let (first, second) = tokio::join!(first, second);
    let both = [first.is_ok(), second.is_ok()];
    assert!(both == [true, false] || both == [false, true], "{first:?} {second:?}");
    assert_eq!(conflicts(&it.entries().await), [(1, "fleet".to_owned())]);
    assert_eq!(it.records().await.len(), 7);
}

pub async fn whoever_jumps_ahead_as_another_is_found_when_that_one_comes<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web", 9, 1, vec![ended(1)])).await;
    it.report(batch("web", 9, (1 << 53) - 9, vec![ended(9)])).await;
    let honest = by(&it, "fleet", batch("web", 9, 1, vec![ended(1), ended(1)])).await;
    assert_eq!(honest, Err(NotTaken::Conflict { number: 2 }));
    assert_eq!(conflicts(&it.entries().await), [(2, "fleet".to_owned())]);
}

pub async fn a_worker_of_which_two_report_completes_no_kill<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    let at = revoke(&it, 1).await;
    // It did not apply it; somebody says so in its name, and then it speaks for itself.
    it.report(batch("web", 9, 2, vec![applied(at, 0)])).await;
    let honest = by(&it, "fleet", batch("web", 9, 2, vec![goes_on(1)])).await;
    assert_eq!(honest, Err(NotTaken::Conflict { number: 2 }));
    close(&it).await;
    assert!(rows(&it).await.2.is_empty());
    it.clock.set(1_061);
    close(&it).await;
    let row = rows(&it).await.2.remove(0);
    assert!(row.timed_out, "{row:?}");
    assert_eq!(row.unknown, ["web/0000000000000009"]);
}

/// A kill is open until its time is over, and then says that not all of it is there.
async fn is_never_complete(it: &Opened) -> kya_core::audit::Completed {
    close(it).await;
    assert!(rows(it).await.2.is_empty(), "complete");
    it.clock.set(1_061);
    close(it).await;
    let row = rows(it).await.2.remove(0);
    assert!(row.timed_out && row.cut_off, "{row:?}");
    row
}

pub async fn more_workers_than_are_looked_at_leave_a_kill_incomplete<F: Fixture>() {
    const LOOKED_AT: u64 = 20_000;
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    let new = |n: u64| (SourceKey { node: format!("n-{n}"), instance: n }, 0);
    let all: Vec<_> = (0..=LOOKED_AT).map(new).collect();
    for some in all.chunks(1000) {
        it.trail.store().seen(some, UnixMicros(900_000_000)).await.unwrap();
    }
    let at = revoke(&it, 1).await;
    // Those that are looked at are gone, and would hold nothing up.
    lose_all(&it, LOOKED_AT - 1).await;
    it.clock.set(1_000);
    it.report(batch("n-1", 1, 1, vec![applied(at, 0)])).await;
    let row = is_never_complete(&it).await;
    assert_eq!(row.workers, LOOKED_AT);
}

/// Loses so many workers, some at a time.
async fn lose_all(it: &Opened, at_least: u64) {
    let lost = async || {
        let filter =
            RecordFilter { kind: Some("worker_lost".to_owned()), ..RecordFilter::all(1, u64::MAX) };
        it.trail.store().lines(&filter, 100_000).await.unwrap().lines.len() as u64
    };
    while lost().await < at_least {
        lose(it, 950).await;
    }
}

pub async fn more_requests_than_are_counted_leave_a_kill_incomplete<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    let at = revoke(&it, 1).await;
    let mut next = it.report(batch("web", 9, 2, vec![applied(at, 1)])).await;
    for some in (1..=4097).collect::<Vec<u64>>().chunks(1024) {
        let of = |n: &u64| concerned(at, *n, InFlight::Abort);
        next = it.report(batch("web", 9, next, some.iter().map(of).collect())).await;
    }
    let last = Batch { last: true, ..batch("web", 9, next, vec![]) };
    it.report(last).await;
    let row = is_never_complete(&it).await;
    assert_eq!(row.escalated, 4097);
}

pub async fn requests_that_were_not_remembered_leave_a_kill_incomplete<F: Fixture>() {
    const REMEMBERED: usize = 65_536;
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    let mut next = 1;
    for some in [1024; REMEMBERED / 1024].into_iter().chain([2]) {
        next = it.report(batch("web", 9, next, vec![goes_on(1); some])).await;
    }
    // One of the two that were too many ends, and is not missed.
    next = it.report(batch("web", 9, next, vec![ends_well(next - 1)])).await;
    let at = revoke(&it, 1).await;
    it.report(batch("web", 9, next, vec![applied(at, 0)])).await;
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    let row = is_never_complete(&it).await;
    assert_eq!((row.escalated, row.unknown.len()), (65_536, 1));
}

fn ends_well(decision: u64) -> Happened {
    ends(decision, kya_core::audit::Disposition::Committed)
}

pub async fn requests_are_counted_by_the_database_as_they_were_one_by_one<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    for n in 1..=3 {
        register(&it, n, None).await;
    }
    it.report(batch("web", 9, 1, vec![goes_on(1), goes_on(2), goes_on(1), goes_on(1)])).await;
    let at = revoke(&it, 1).await;
    let of = |n| concerned(at, n, InFlight::Abort);
    // One of another agent, one that nobody knows of, one that is reported twice.
    let events = vec![applied(at, 5), of(1), of(2), of(3), of(77), of(1), ends_well(1)];
    it.report(batch("web", 9, 5, events)).await;
    close(&it).await;
    assert!(rows(&it).await.2.is_empty(), "the fifth is missing, and three go on");
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    close(&it).await;
    let row = rows(&it).await.2.remove(0);
    assert_eq!((row.in_flight, row.committed, row.escalated), (4, 1, 3), "{row:?}");
    assert!(!row.cut_off && !row.timed_out, "{row:?}");
}

pub async fn of_a_worker_that_has_ended_no_request_is_remembered<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    let last = Batch { last: true, ..batch("web", 9, 2, vec![goes_on(1)]) };
    assert_eq!(it.report(last).await, 3);
    it.report(batch("web", 9, 3, vec![ends_well(1), ends_well(2)])).await;
    let whose = it.entries().await.into_iter().filter_map(|entry| match entry {
        Entry::Ended(it) => Some(it.agent_id),
        _ => None,
    });
    assert_eq!(whose.collect::<Vec<_>>(), [None, None]);
}

pub async fn many_invented_workers_are_lost_at_one_look<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let new = |n: u64| (SourceKey { node: format!("n-{}", n / 100), instance: n }, 0);
    let all: Vec<_> = (0..700).map(new).collect();
    it.trail.store().seen(&all, UnixMicros(900_000_000)).await.unwrap();
    lose(&it, 950).await;
    let lost = it.entries().await;
    let lost = lost.iter().filter(|entry| matches!(entry, Entry::WorkerLost(_))).count();
    assert_eq!(lost, 700);
}

pub async fn a_page_looks_at_so_much_and_says_where_the_next_one_begins<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let deny = Decision { verdict: Verdict::Deny, reason: Some("x".to_owned()), ..decision(1) };
    let (mut next, most) = (1, u64::from(LED_TO_A_PAGE));
    while next <= most + 500 {
        next = it.report(batch("web", 9, next, vec![ended(1); 1000])).await;
    }
    it.report(batch("web", 9, next, vec![Happened::Decision(Box::new(deny))])).await;
    let rare = RecordFilter {
        agent_id: Some(agent(1).to_string()),
        decision: Some("deny".to_owned()),
        ..RecordFilter::all(1, u64::MAX)
    };
    let store = it.trail.store();
    let page = store.lines(&rare, 10).await.unwrap();
    // The first record is the key.
    assert_eq!((page.lines.len(), page.next), (0, Some(most + 2)));
    let rest = RecordFilter { first: most + 2, ..rare.clone() };
    let page = store.lines(&rest, 10).await.unwrap();
    assert_eq!((page.lines.len(), page.next), (1, None));
    let allowed = RecordFilter {
        decision: Some("deny".to_owned()),
        order: kya_control_plane::store::audit::Order::NewestFirst,
        ..rare
    };
    let page = store.lines(&allowed, 10).await.unwrap();
    let (from, size) = (page.next.unwrap(), store.head().await.unwrap().size);
    assert_eq!((page.lines.len(), size - from), (1, most));
    let page = store.lines(&RecordFilter { last: from, ..allowed }, 10).await.unwrap();
    assert_eq!((page.lines.len(), page.next), (0, None));
}
