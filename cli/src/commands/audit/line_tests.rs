use serde_json::{Value, json};

use super::*;

const TIME: &str = "2026-02-05T14:47:03.123456Z";

fn shown(kind: &str, members: &Value, colours: bool) -> String {
    let mut record = json!({ "seq": 1042, "time": TIME, "recorded": TIME, "type": kind });
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    line(&serde_json::from_value(record).unwrap(), colours)
}

fn from(members: Value) -> Value {
    let mut source = json!({ "proxy": "edge", "worker": 1, "instance": "00", "number": 9 });
    source.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    source
}

/// Each type of record, and what is said of it.
fn each() -> Vec<(&'static str, Value, &'static str)> {
    let end = json!({
        "disposition": "committed", "upstream_status": 201, "duration_us": 12_900,
    });
    let escalated =
        json!({ "disposition": "escalated", "duration_us": 7000, "cut_by_revision": 43 });
    vec![
        (
            "decision",
            from(json!({
                "decision": "allow", "agent_id": "agt_1", "action": "pay", "method": "POST",
                "path_template": "/v1/charges", "revision": 42, "end": end,
            })),
            "ALLOW     agt_1  pay  POST /v1/charges  edge/1  r42  committed  201  12 ms",
        ),
        (
            "decision",
            from(json!({ "decision": "deny", "reason": "agent_revoked", "agent_id": "agt_1" })),
            "DENY      agt_1  agent_revoked  edge/1",
        ),
        (
            "decision",
            from(json!({ "decision": "pass", "reason": "exempt" })),
            "PASS      exempt  edge/1",
        ),
        (
            "ended",
            from(json!({ "decision_number": 4, "end": escalated, "agent_id": "agt_1" })),
            "ENDED     request 4 of edge/1  agt_1  ESCALATED: a person must look  7 ms  cut by r43",
        ),
        (
            "applied",
            from(json!({ "epoch": 1, "revision": 43, "in_flight": 2, "untracked": 1 })),
            "APPLIED   edge/1 decides by revision 43, 2 in flight, and 1 not kept track of",
        ),
        (
            "in_flight",
            from(json!({ "epoch": 1, "revision": 43, "decision_number": 4, "ending": "abort" })),
            "INFLIGHT  request 4 of edge/1 is ended  r43",
        ),
        ("dropped", from(json!({ "events": 3 })), "DROPPED   edge/1: 3 events had no room"),
        (
            "gap",
            from(json!({ "events": 3 })),
            "GAP       edge/1: 3 events from number 9 never came",
        ),
        (
            "conflict",
            from(json!({ "registration": "edge" })),
            "CONFLICT  two report as edge/1: number 9 came again and says something else; refused, by edge",
        ),
        (
            "worker_lost",
            from(json!({ "unended": 2 })),
            "LOST      edge/1 is gone; what it had not sent, from number 9 on, is lost; 2 requests had not ended",
        ),
        ("worker_closed", from(json!({})), "CLOSED    edge/1 has ended, and all of it is here"),
        (
            "admin",
            json!({
                "event": 1, "epoch": 1, "revision": 42, "actor": "operator:ada",
                "address": "10.0.0.7", "act": "agent.revoked", "subject": "agt_1", "reason": "loop",
            }),
            "ADMIN     agent.revoked  agt_1  by operator:ada  from 10.0.0.7  loop",
        ),
        (
            "kill_activated",
            json!({
                "kill_id": "kil_1", "epoch": 1, "revision": 43, "actor": "operator:ada",
                "role": "operator", "act": "agent.revoked", "subject": "agt_1",
                "incident_id": "INC-7", "in_flight": "abort",
            }),
            "KILL      kil_1  agent.revoked  agt_1  by operator:ada (operator)  INC-7  r43",
        ),
        (
            "kill_scope",
            json!({
                "kill_id": "kil_1", "agents": 1, "tokens": 2, "capability_tokens": 3,
                "actions": ["pay"],
            }),
            "SCOPE     kil_1  1 agents, 2 tokens, 3 capability tokens, only pay",
        ),
        (
            "kill_completed",
            json!({
                "kill_id": "kil_1", "workers": 4, "applied": 3, "in_flight": 3, "committed": 1,
                "rolled_back": 1, "escalated": 1, "open": 0, "timed_out": true, "unknown": ["b/00"],
            }),
            "KILLED    kil_1  applied by 3 of 4 workers; 3 in flight: 1 committed, 1 rolled back, 1 escalated, 0 going on; the time was over; not known of b/00",
        ),
        ("key", json!({ "key": "k+0+A" }), "KEY       k+0+A signs checkpoints from here on"),
        (
            "key",
            json!({ "key": "k+0+A", "previous": "k+1+B", "recovered": true, "actor": "ada", "reason": "r" }),
            "KEY       k+0+A signs checkpoints from here on  nobody vouches for it: the key before is lost  by ada  r",
        ),
        (
            "key_announced",
            json!({ "key": "k+0+A", "actor": "ada", "reason": "r" }),
            "KEY       k+0+A is to sign checkpoints later  by ada  r",
        ),
        (
            "archived",
            json!({ "first": 1, "last": 9, "sha256": "ab", "actor": "operator:ada" }),
            "ARCHIVED  records 1 to 9 are in an archive, by operator:ada",
        ),
        (
            "restored",
            json!({ "event": 9, "known": 7, "epoch": 3 }),
            "RESTORED  the registry was put back: it knew act 7, the trail has act 9; epoch 3",
        ),
        (
            "restored",
            json!({ "event": 9, "known": 9, "epoch": 3, "trail_size": 40, "replaced_size": 50 }),
            "RESTORED  the trail was put back: it had 40 records, in the place of one of 50; what came after is gone",
        ),
    ]
}

#[test]
fn every_type_of_record_is_one_line() {
    let all = each();
    for name in kya_core::audit::RECORD_TYPES {
        assert!(all.iter().any(|(kind, ..)| *kind == name), "{name}");
    }
    for (kind, members, says) in all {
        let line = shown(kind, &members, false);
        assert_eq!(line, format!("2026-02-05 14:47:03.123     1042  {says}"));
    }
}

#[test]
fn colours_say_how_something_is_meant_and_nothing_else_does() {
    let of = |n: usize| {
        let (kind, members, _) = each().swap_remove(n);
        shown(kind, &members, true)
    };
    assert!(of(0).contains("\u{1b}[32mALLOW   \u{1b}[0m"), "{}", of(0));
    assert!(of(1).contains("\u{1b}[31mDENY"));
    assert!(of(3).contains("\u{1b}[33mENDED"));
    let kill = each().iter().position(|(kind, ..)| *kind == "kill_activated").unwrap();
    assert!(of(kill).contains("\u{1b}[1;31mKILL "));
    // What somebody wrote into a record has no colours.
    let members = json!({
        "event": 1, "epoch": 1, "revision": 42, "actor": "a", "act": "agent.revoked",
        "subject": "agt_1", "reason": "\u{1b}[32mALLOW\u{1b}[0m\r\nALLOW \u{202e}x",
    });
    let line = shown("admin", &members, true);
    assert_eq!(line.matches('\u{1b}').count(), 2, "{line}");
    assert!(!line.contains(['\r', '\n', '\u{202e}']), "{line}");
}
