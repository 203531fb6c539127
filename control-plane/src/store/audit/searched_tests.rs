use kya_core::audit::Entry;
use serde_json::{Value, json};

use super::*;

/// One record of each type that says something that is searched for, and of one that has
/// members of the same names that mean something else.
fn records() -> Vec<Value> {
    let worker = json!({"proxy": "p", "worker": 0, "instance": "00", "number": 1});
    let mut records = vec![
        json!({"type": "decision", "decision": "deny", "agent_id": "agt_a", "action": "a.b"}),
        json!({"type": "decision", "decision": "allow"}),
        json!({"type": "ended", "decision_number": 1, "agent_id": "agt_a",
               "end": {"disposition": "committed", "duration_us": 1}}),
        json!({"type": "applied", "epoch": 1, "revision": 2, "in_flight": 0, "untracked": 0}),
        json!({"type": "in_flight", "epoch": 1, "revision": 2, "decision_number": 1,
               "ending": "abort", "agent_id": "agt_a"}),
    ];
    for record in &mut records {
        let members = record.as_object_mut().unwrap();
        members.extend(worker.as_object().unwrap().clone());
    }
    let admin = |subject: &str| {
        json!({"type": "admin", "event": 1, "epoch": 1, "revision": 1, "actor": "ada",
               "act": "agent.revoked", "subject": subject, "after": {"agent_id": "agt_z"}})
    };
    let activated = |subject: &str| {
        json!({"type": "kill_activated", "kill_id": "kil_a", "epoch": 1, "revision": 1,
               "act": "agent.revoked", "subject": subject, "actor": "ada", "in_flight": "abort"})
    };
    let scope = |agents: u64, listed: &[&str]| {
        json!({"type": "kill_scope", "kill_id": "kil_a", "agents": agents, "tokens": 0,
               "capability_tokens": 0, "actions": ["a.b"], "agent_ids": listed})
    };
    for subject in ["agt_a", "agt_a a.b", "ada", "ada x", "a\"b c\n", ""] {
        records.extend([admin(subject), activated(subject)]);
    }
    records.extend([scope(1, &["agt_a"]), scope(2, &["agt_a"]), scope(2, &["agt_a", "agt_b"])]);
    records.extend([
        json!({"type": "kill_completed", "kill_id": "kil_a", "workers": 0, "applied": 0,
               "in_flight": 0, "committed": 0, "rolled_back": 0, "escalated": 0, "open": 0,
               "timed_out": false}),
        json!({"type": "key", "key": "k"}),
        json!({"type": "key_announced", "key": "k"}),
        json!({"type": "archived", "first": 1, "last": 2, "sha256": "00", "actor": "ada"}),
        json!({"type": "restored", "event": 1, "known": 1, "epoch": 1}),
    ]);
    for (seq, record) in (1..).zip(&mut records) {
        record["seq"] = json!(seq);
        record["time"] = json!(Timestamp(1_000_000 * seq));
        record["recorded"] = json!(Timestamp(9_000_000));
    }
    records
}

#[test]
fn what_is_searched_for_is_what_the_record_says() {
    for record in records() {
        let text = record.to_string();
        let known: kya_core::audit::Record = serde_json::from_str(&text).unwrap();
        let it = Searched::of(&text).unwrap();
        assert_eq!(it.kind, known.entry.type_name());
        assert_eq!((it.time, it.recorded), (known.time, known.recorded));
        assert_eq!(it.agent_id(), known.entry.agent_id(), "{text}");
        assert_eq!(it.act(), known.entry.act(), "{text}");
        assert_eq!(it.kill_id(), known.entry.kill_id(), "{text}");
        let decided = match &known.entry {
            Entry::Decision(it) => Some(serde_json::to_value(it.decision).unwrap()),
            _ => None,
        };
        assert_eq!(it.decision(), decided.as_ref().and_then(Value::as_str), "{text}");
        let action = match &known.entry {
            Entry::Decision(it) => it.action.as_deref(),
            Entry::Admin(it) => it.subject.split_once(' ').map(|(_, it)| it),
            Entry::KillActivated(it) => it.subject.split_once(' ').map(|(_, it)| it),
            _ => None,
        };
        assert_eq!(it.action(), action, "{text}");
    }
}

/// A look at the bytes leaves out nothing that fits, and what it lets through is looked at.
#[test]
fn a_look_at_the_bytes_leaves_nothing_out() {
    let text = |text: &str| Some(text.to_owned());
    let all = RecordFilter::all(1, 100);
    let filters = [
        all.clone(),
        RecordFilter { agent_id: text("agt_a"), ..all.clone() },
        RecordFilter { agent_id: text("agt_z"), ..all.clone() },
        RecordFilter { action: text("a.b"), ..all.clone() },
        RecordFilter { action: text("c\n"), ..all.clone() },
        RecordFilter { decision: text("deny"), ..all.clone() },
        RecordFilter { kind: text("kill_scope"), ..all.clone() },
        RecordFilter { kind: text("kill"), ..all.clone() },
        RecordFilter { act: text("agent.revoked"), ..all.clone() },
        RecordFilter { kill_id: text("kil_a"), ..all.clone() },
        RecordFilter { since: Some(UnixMicros(3_000_000)), ..all.clone() },
        RecordFilter { until: Some(UnixMicros(3_000_000)), ..all.clone() },
        RecordFilter { agent_id: text("agt_a"), action: text("a.b"), ..all.clone() },
        RecordFilter { agent_id: text("agt_a"), act: text("agent.revoked"), ..all.clone() },
    ];
    let mut found = Vec::new();
    for filter in filters {
        for with_seams in [false, true] {
            let filter = RecordFilter { with_seams, ..filter.clone() };
            let asked = Asked::of(&filter);
            let mut count = 0;
            for record in records() {
                let record = record.to_string();
                let it = Searched::of(&record).unwrap();
                let is_seam = with_seams && matches!(&*it.kind, "key" | "archived");
                let fits = is_seam || asked.fits(&it);
                let meant = asked.meant(&record).unwrap();
                assert_eq!(meant.fits, fits, "{filter:?} {record}");
                let led = asked.lead().is_some_and(|(what, value)| it.value(what) == Some(value));
                assert_eq!(meant.led, led, "{filter:?} {record}");
                assert!(!filter.leads() || !fits || led, "the index leads to {record}");
                count += usize::from(fits);
            }
            found.push(count);
        }
    }
    let all = records().len();
    assert_eq!(
        found,
        [
            all,
            all,
            8,
            12,
            0,
            5,
            3,
            5,
            2,
            4,
            1,
            3,
            3,
            5,
            0,
            2,
            12,
            14,
            10,
            12,
            all - 2,
            all - 2,
            2,
            4,
            3,
            5,
            4,
            6
        ]
    );
}
