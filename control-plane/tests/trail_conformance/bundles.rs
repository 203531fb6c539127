//! Records in bundles: where pages end, what goes of them and what stays.

use std::sync::Arc;

use kya_control_plane::store::StoreError;
use kya_control_plane::store::audit::{
    Additions, AuditStore, Author, Locked, NewLine, Order, RecordFilter, SourceKey, StoredLine,
};
use kya_control_plane::time::UnixMicros;
use kya_core::audit::event::Happened;
use kya_core::audit::{Archived, Entry, Record, Timestamp, Verdict};
use serde_json::{Value, json};

use super::{Decision, Fixture, Opened, agent, batch, check_chain, decision, ended, open};

/// Appends these records, which need not make sense, in one transaction.
#[derive(Debug)]
pub struct Made(pub Vec<Value>);

impl Author for Made {
    fn sources(&self) -> Vec<SourceKey> {
        Vec::new()
    }

    fn unended(&self) -> Vec<(usize, u64)> {
        Vec::new()
    }

    fn write(&self, locked: Locked) -> Result<Additions, StoreError> {
        let mut to = Additions::none(locked.head, 0);
        for made in &self.0 {
            to.head.size += 1;
            let mut made = made.clone();
            made["seq"] = json!(to.head.size);
            let kind = made["type"].as_str().unwrap();
            let kinds = ["decision", "ended", "admin", "kill_scope", "applied"];
            let text = |name: &str| made[name].as_str().map(str::to_owned);
            let time: Timestamp = serde_json::from_value(made["time"].clone()).unwrap();
            let record = made.to_string();
            to.head.hash = to.head.hash.next(record.as_bytes());
            to.lines.push(NewLine {
                seq: to.head.size,
                kind: kinds.into_iter().find(|it| *it == kind).unwrap(),
                time: UnixMicros(time.0),
                agent_id: text("agent_id").or_else(|| text("subject")),
                act: text("act"),
                kill_id: text("kill_id"),
                record,
                hash: to.head.hash,
            });
        }
        Ok(to)
    }
}

pub fn made(kind: &str, micros: u64, members: Value) -> Value {
    let (time, recorded) = (Timestamp(1_000_000_000 + micros), Timestamp(2_000_000_000));
    let mut made = json!({"type": kind, "time": time, "recorded": recorded});
    made.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    made
}

/// All that fit, page by page.
pub async fn paged(store: &dyn AuditStore, filter: &RecordFilter, limit: u32) -> Vec<StoredLine> {
    let (mut filter, mut found) = (filter.clone(), Vec::new());
    for _ in 0..10_000 {
        let page = store.lines(&filter, limit).await.unwrap();
        assert!(page.lines.len() <= limit as usize);
        assert!(page.lines.len() == limit as usize || page.next.is_none(), "{filter:?}");
        let next = page.next;
        found.extend(page.lines);
        match (next, filter.order) {
            (None, _) => return found,
            (Some(next), Order::OldestFirst) => filter.first = next,
            (Some(next), Order::NewestFirst) => filter.last = next,
        }
    }
    panic!("no end of {filter:?}");
}

/// The pages of whatever is asked for, in either order and of any length, are what fits among
/// these records.
pub async fn check_pages(
    store: &dyn AuditStore,
    all: &[StoredLine],
    filter: &RecordFilter,
    fits: impl Fn(&Value) -> bool,
) -> usize {
    let is_in = |line: &&StoredLine| {
        (filter.first..=filter.last).contains(&line.seq)
            && fits(&serde_json::from_str(&line.record).unwrap())
    };
    let mut expected: Vec<_> = all.iter().filter(is_in).cloned().collect();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let filter = RecordFilter { order, ..filter.clone() };
        for limit in [7, 100, 256, 257, 1000] {
            let found = paged(store, &filter, limit).await;
            assert!(found == expected, "{filter:?} by {limit}: {} records", found.len());
        }
        expected.reverse();
    }
    expected.len()
}

pub async fn many_kinds(store: &dyn AuditStore, from: u64, count: u64) {
    let of = |n: u64| match n % 5 {
        0 => made("decision", n, json!({"agent_id": format!("agt_{}", n % 3), "decision": "deny"})),
        1 => {
            made("decision", n, json!({"agent_id": "agt_1", "decision": "allow", "action": "a.b"}))
        }
        2 => made("applied", n, json!({"agents": 3})),
        3 if n % 50 == 3 => made("admin", n, json!({"act": "x.y", "subject": "agt_2"})),
        3 => made("ended", n, json!({"agent_id": format!("agt_{}", n % 7)})),
        _ if n % 100 == 4 => {
            let listed = json!(["agt_1", "agt_2"]);
            made("kill_scope", n, json!({"kill_id": "kil_a", "agents": 2, "agent_ids": listed}))
        }
        // Their bytes look as if they were what is asked for.
        _ => made("ended", n, json!({"x": {"agent_id": "agt_1", "type": "admin", "act": "x.y"}})),
    };
    store.append(Arc::new(Made((from..from + count).map(of).collect()))).await.unwrap();
}

pub async fn all_lines(store: &dyn AuditStore) -> Vec<StoredLine> {
    paged(store, &RecordFilter::all(1, u64::MAX), 10_000).await
}

pub async fn check_every_filter(store: &dyn AuditStore) {
    let all = all_lines(store).await;
    let size = all.last().unwrap().seq;
    let text = |text: &str| Some(text.to_owned());
    let at = |micros: u64| Some(UnixMicros(1_000_000_000 + micros));
    let whole = RecordFilter::all(1, u64::MAX);
    let filter = |filter: RecordFilter| filter;
    let time = |it: &Value| serde_json::from_value::<Timestamp>(it["time"].clone()).unwrap().0;
    let whose = |it: &Value| it["agent_id"].as_str().or(it["subject"].as_str()).map(str::to_owned);
    let mut found = vec![
        check_pages(store, &all, &whole, |_| true).await,
        check_pages(store, &all, &RecordFilter::all(size / 3, size / 2), |_| true).await,
    ];
    for id in ["agt_0", "agt_1", "agt_2", "agt_9"] {
        let of = filter(RecordFilter { agent_id: text(id), ..whole.clone() });
        found.push(check_pages(store, &all, &of, |it| whose(it).as_deref() == Some(id)).await);
    }
    assert_eq!(found.pop(), Some(0));
    let denied = filter(RecordFilter { decision: text("deny"), ..whole.clone() });
    found.push(check_pages(store, &all, &denied, |it| it["decision"] == "deny").await);
    let both = filter(RecordFilter { agent_id: text("agt_1"), ..denied });
    let fits = |it: &Value| it["decision"] == "deny" && it["agent_id"] == "agt_1";
    found.push(check_pages(store, &all, &both, fits).await);
    let action = filter(RecordFilter { action: text("a.b"), ..whole.clone() });
    found.push(check_pages(store, &all, &action, |it| it["action"] == "a.b").await);
    let kind = filter(RecordFilter { kind: text("admin"), ..whole.clone() });
    found.push(check_pages(store, &all, &kind, |it| it["type"] == "admin").await);
    let act = filter(RecordFilter { act: text("x.y"), ..whole.clone() });
    found.push(check_pages(store, &all, &act, |it| it["act"] == "x.y").await);
    let kill = filter(RecordFilter { kill_id: text("kil_a"), ..whole.clone() });
    found.push(check_pages(store, &all, &kill, |it| it["kill_id"] == "kil_a").await);
    for (since, until) in [(at(100), at(400)), (at(300), None), (None, at(257))] {
        let within = filter(RecordFilter { since, until, ..whole.clone() });
        let fits = |it: &Value| {
            let time = UnixMicros(time(it));
            since.is_none_or(|at| time >= at) && until.is_none_or(|at| time < at)
        };
        found.push(check_pages(store, &all, &within, fits).await);
        let within = RecordFilter { agent_id: text("agt_1"), ..within };
        let fits = |it: &Value| fits(it) && whose(it).as_deref() == Some("agt_1");
        found.push(check_pages(store, &all, &within, fits).await);
    }
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
    // What must be shown in any case, and second rows of kills.
    let seams = RecordFilter { agent_id: text("agt_2"), with_seams: true, ..whole };
    let expected = all.iter().filter(|line| {
        let it: Value = serde_json::from_str(&line.record).unwrap();
        matches!(it["type"].as_str(), Some("key" | "archived" | "kill_scope"))
            || whose(&it).as_deref() == Some("agt_2")
    });
    assert_eq!(paged(store, &seams, 100).await, expected.cloned().collect::<Vec<_>>());
    for line in &all {
        assert_eq!(store.line(line.seq).await.unwrap().as_ref(), Some(line));
        assert_eq!(store.hash(line.seq).await.unwrap(), Some(line.hash));
    }
    for none in [0, size + 1] {
        assert_eq!(store.line(none).await.unwrap(), None);
        assert_eq!(store.hash(none).await.unwrap(), None);
    }
}

pub async fn a_page_ends_anywhere_in_a_bundle<F: Fixture>() {
    let fixture = F::new().await;
    let (_registry, store) = fixture.open(Arc::new(super::TestClock::at(1_000))).await;
    // One, full ones, and what is left; and many that are short.
    for (from, count) in [(0, 1), (1, 600), (601, 2), (603, 1), (604, 257)] {
        many_kinds(&*store, from, count).await;
    }
    for from in 861..1000 {
        many_kinds(&*store, from, 1).await;
    }
    let all = all_lines(&*store).await;
    assert_eq!(all.len(), 1000);
    check_chain(&all);
    check_every_filter(&*store).await;
}

pub async fn a_record_may_be_longer_than_a_bundle<F: Fixture>() {
    let fixture = F::new().await;
    let (_registry, store) = fixture.open(Arc::new(super::TestClock::at(1_000))).await;
    let long = |bytes: usize| made("ended", 1, json!({"x": "é\n\"".repeat(bytes / 4)}));
    let short = || made("ended", 1, json!({}));
    let lengths = [300 << 10, 10, 256 << 10, 200 << 10, 100 << 10, 10, 3 << 20, 10];
    let records = lengths.map(|bytes| if bytes == 10 { short() } else { long(bytes) });
    store.append(Arc::new(Made(records.to_vec()))).await.unwrap();
    let all = all_lines(&*store).await;
    check_chain(&all);
    let lengths: Vec<_> = all.iter().map(|line| line.record.len() >> 10).collect();
    assert_eq!(all.len(), 8, "{lengths:?}");
    for limit in [1, 2, 3, 8] {
        assert!(paged(&*store, &RecordFilter::all(1, 8), limit).await == all);
    }
    assert!(store.line(7).await.unwrap().as_ref() == Some(&all[6]));
}

pub async fn archive(it: &Opened, first: u64, last: u64) -> u64 {
    it.trail.finish().await;
    let archived = Archived { first, last, sha256: "00".repeat(32), actor: "ada".to_owned() };
    let seq = it.trail.archive(archived).await.unwrap();
    let store = it.trail.store();
    let mut removed = 0;
    for _ in 0..100 {
        match store.remove_archived(100).await.unwrap() {
            0 => return removed,
            records => removed += records,
        }
    }
    panic!("no end of what is archived by {seq}");
}

pub async fn of_a_bundle_that_is_archived_what_is_kept_stays<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let deny = |n: u8| Decision { verdict: Verdict::Deny, reason: Some("x".into()), ..decision(n) };
    let some = (0..400u32).map(|n| match n % 4 {
        0 => Happened::Decision(Box::new(deny(2))),
        _ => ended(1),
    });
    it.report(batch("web-1", 9, 1, some.collect())).await;
    it.report(batch("web-1", 9, 401, vec![ended(1); 300])).await;
    let before = it.records().await;
    let store = Arc::clone(it.trail.store());
    let all = all_lines(&*store).await;
    assert_eq!(all.len(), 701);
    assert_eq!(store.remove_archived(100).await.unwrap(), 0, "nothing is archived yet");

    // In the middle of a bundle. The key stays, and the last one.
    let background = "what is removed is removed by this test or by the server itself";
    let removed = archive(&it, 1, 300).await;
    assert!(removed <= 298, "{background}: {removed}");
    let left = all_lines(&*store).await;
    let seqs: Vec<_> = left.iter().map(|line| line.seq).collect();
    let expected: Vec<_> = [1, 300].into_iter().chain(301..=702).collect();
    assert_eq!(seqs, expected);
    assert_eq!(left[..], [&all[..1], &all[299..], &left[403..]].concat()[..]);
    for gone in [2, 255, 256, 257, 299] {
        assert_eq!(store.line(gone).await.unwrap(), None, "{gone}");
        assert_eq!(store.hash(gone).await.unwrap(), None, "{gone}");
    }
    let of = |n: u8| RecordFilter {
        agent_id: Some(agent(n).to_string()),
        ..RecordFilter::all(1, u64::MAX)
    };
    let is_of = |n: u8| move |record: &Value| record["agent_id"] == json!(agent(n).to_string());
    let denied = check_pages(&*store, &left, &of(2), is_of(2)).await;
    assert_eq!(denied, 25, "of 301 to 401");
    check_pages(&*store, &left, &of(1), is_of(1)).await;
    let reasons = RecordFilter { decision: Some("deny".into()), ..RecordFilter::all(1, u64::MAX) };
    check_pages(&*store, &left, &reasons, |it| it["decision"] == "deny").await;

    // It goes on, and what stayed the first time may go the next time, but for what is needed.
    it.report(batch("web-1", 9, 701, vec![ended(3); 10])).await;
    archive(&it, 301, 705).await;
    let left = all_lines(&*store).await;
    let seqs: Vec<_> = left.iter().map(|line| line.seq).collect();
    // The record that names the first archive is 702.
    assert_eq!(seqs, [1, 300, 701, 702, 705, 706, 707, 708, 709, 710, 711, 712, 713]);
    let mut hash = left[4].hash;
    for line in &left[5..] {
        hash = hash.next(line.record.as_bytes());
        assert_eq!(hash, line.hash);
    }
    let record: Record = serde_json::from_str(&left[3].record).unwrap();
    assert!(matches!(record.entry, Entry::Archived(it) if (it.first, it.last) == (1, 300)));
    assert_eq!(store.remove_archived(100).await.unwrap(), 0);
    assert_eq!(before[0].seq, 1);
}
