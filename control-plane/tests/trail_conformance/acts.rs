//! What operators do, and how records are found.

use kya_control_plane::store::audit::{Order, RecordFilter};
use kya_control_plane::store::{Cause, NewAgent, StatusAction};
use kya_core::InFlight;
use kya_core::audit::{Entry, SignedCheckpoint};

use super::{Fixture, Opened, agent, batch, ended, open};

async fn register(it: &Opened, n: u8) {
    let cause = Cause {
        actor: "ann".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        ..Cause::default()
    };
    it.registry.register_agent(NewAgent::named(agent(n), "payer"), cause).await.unwrap();
}

async fn revoke(it: &Opened, n: u8) {
    let cause = Cause {
        actor: "bob".to_owned(),
        reason: Some("leak".to_owned()),
        incident_id: Some("INC-1".to_owned()),
        ..Cause::default()
    };
    let revoke = StatusAction::Revoke(InFlight::Abort);
    it.registry.decide_agent(agent(n), revoke, cause).await.unwrap();
}

pub async fn what_is_done_is_in_the_trail_once_and_in_order<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1).await;
    it.trail.finish().await;
    let other = if F::SHARED { Some(open(&fixture).await) } else { None };
    for n in 2..40 {
        register(&it, n).await;
    }
    revoke(&it, 1).await;
    // Whoever else is there may append the same.
    let second = other.as_ref().unwrap_or(&it);
    tokio::join!(it.trail.finish(), second.trail.finish());
    it.trail.finish().await;
    let acts: Vec<_> = it
        .entries()
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Admin(act) => Some(*act),
            _ => None,
        })
        .collect();
    assert_eq!(acts.len(), 40);
    let events: Vec<_> = acts.iter().map(|act| act.event).collect();
    let mut sorted = events.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(events, sorted);
    assert_eq!((&*acts[0].act, &*acts[0].actor), ("agent.registered", "ann"));
    assert_eq!(acts[0].address.as_deref(), Some("192.0.2.7"));
    let last = acts.last().unwrap();
    assert_eq!((&*last.act, last.subject.clone()), ("agent.revoked", agent(1).to_string()));
    assert_eq!(last.reason.as_deref(), Some("leak"));
    assert_eq!(last.incident_id.as_deref(), Some("INC-1"));
}

pub async fn a_stop_is_followed_by_a_checkpoint<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1).await;
    it.trail.finish().await;
    let size = it.trail.store().head().await.unwrap().size;
    revoke(&it, 1).await;
    // The clock stands: a second is never over.
    it.trail.finish().await;
    let row = it.trail.store().checkpoint(None).await.unwrap().unwrap();
    assert_eq!(SignedCheckpoint::parse(&row.note).unwrap().unverified().size, row.size);
    assert_eq!(row.size, size + 2, "the act, and that it is a kill");
    it.records().await;
}

pub async fn records_are_found_by_what_they_say_page_by_page<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let some = |n: u8| std::iter::repeat_n(ended(n), 5);
    it.report(batch("web-1", 9, 1, some(1).chain(some(2)).chain(some(1)).collect())).await;
    revoke_one(&it).await;
    let store = it.trail.store();
    let of_one = RecordFilter {
        agent_id: Some(agent(1).to_string()),
        kind: Some("decision".to_owned()),
        ..RecordFilter::all(1, u64::MAX)
    };
    let (mut first, mut found, mut pages) = (Some(1), Vec::new(), 0);
    while let Some(from) = first {
        let page = store.lines(&RecordFilter { first: from, ..of_one.clone() }, 4).await.unwrap();
        found.extend(page.lines.into_iter().map(|line| line.seq));
        (first, pages) = (page.next, pages + 1);
    }
    assert_eq!(found, [2, 3, 4, 5, 6, 12, 13, 14, 15, 16]);
    assert_eq!(pages, 3);
    let newest = RecordFilter { order: Order::NewestFirst, ..of_one };
    let page = store.lines(&newest, 6).await.unwrap();
    let found: Vec<_> = page.lines.iter().map(|line| line.seq).collect();
    assert_eq!((found, page.next), (vec![16, 15, 14, 13, 12, 6], Some(5)));
    let count = async |filter: RecordFilter| {
        store.lines(&RecordFilter { last: u64::MAX, ..filter }, 100).await.unwrap().lines.len()
    };
    let text = |text: &str| Some(text.to_owned());
    let none = RecordFilter::default();
    assert_eq!(count(RecordFilter { decision: text("allow"), ..none.clone() }).await, 15);
    assert_eq!(count(RecordFilter { decision: text("deny"), ..none.clone() }).await, 0);
    assert_eq!(count(RecordFilter { action: text("payments.charge"), ..none.clone() }).await, 15);
    assert_eq!(count(RecordFilter { act: text("agent.revoked"), ..none.clone() }).await, 2);
    let at = |micros: u64| Some(kya_control_plane::time::UnixMicros(1_000_000_000 + micros));
    let (since, until) = (at(3), at(6));
    let window = RecordFilter { since, until, kind: text("decision"), ..none.clone() };
    assert_eq!(count(window).await, 3);
    let seams = RecordFilter { decision: text("deny"), with_seams: true, ..none };
    assert_eq!(count(seams).await, 1, "the key");
}

async fn revoke_one(it: &Opened) {
    register(it, 1).await;
    revoke(it, 1).await;
    it.trail.finish().await;
}
