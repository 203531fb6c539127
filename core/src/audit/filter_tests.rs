use serde_json::{Value, json};

use super::*;
use crate::audit::record::Scope;

const AGENT: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";

/// A record at this second with these members.
fn record(second: u64, members: Value) -> Record {
    let mut all = json!({
        "seq": 7, "time": Timestamp(second * 1_000_000), "recorded": Timestamp(9_000_000),
    });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn decision(agent: Option<&str>, decision: &str, action: &str) -> Record {
    let members = json!({
        "type": "decision", "proxy": "edge", "worker": 0, "instance": "0", "number": 1,
        "decision": decision, "action": action, "agent_id": agent,
    });
    record(5, members)
}

fn admin(act: &str, subject: &str) -> Record {
    let members = json!({
        "type": "admin", "event": 1, "epoch": 1, "revision": 1, "actor": "system",
        "act": act, "subject": subject,
    });
    record(5, members)
}

fn scope(agents: &[&str], actions: &[&str]) -> Record {
    let members = json!({
        "type": "kill_scope", "kill_id": "kil_1", "agents": agents.len(), "tokens": 0,
        "capability_tokens": 0, "agent_ids": agents, "actions": actions,
    });
    record(5, members)
}

fn filter(members: Value) -> Filter {
    serde_json::from_value(members).unwrap()
}

#[test]
fn an_agents_requests_and_what_was_done_to_it_are_meant() {
    let of = filter(json!({ "agent": AGENT }));
    for (record, meant) in [
        (decision(Some(AGENT), "allow", "pay"), true),
        (decision(Some("agt_other"), "allow", "pay"), false),
        (decision(None, "deny", "pay"), false),
        (admin("agent.revoked", AGENT), true),
        (admin("capability.revoked", &format!("{AGENT} pay")), true),
        (admin("agent.revoked", &format!("{AGENT}x")), false),
        (admin("principal.revoked", "alice"), false),
        (scope(&["agt_other", AGENT], &[]), true),
        (scope(&["agt_other"], &[]), false),
    ] {
        assert_eq!(of.matches(&record), meant, "{record:?}");
    }
}

#[test]
fn each_condition_counts_and_all_of_them_together() {
    let pay = decision(Some(AGENT), "deny", "pay");
    for (members, meant) in [
        (json!({}), true),
        (json!({ "decision": "deny" }), true),
        (json!({ "decision": "allow" }), false),
        (json!({ "action": "pay" }), true),
        (json!({ "action": "payout" }), false),
        (json!({ "types": ["decision", "admin"] }), true),
        (json!({ "types": ["admin"] }), false),
        (json!({ "act": "agent.revoked" }), false),
        (json!({ "since": Timestamp(5_000_000) }), true),
        (json!({ "since": Timestamp(5_000_001) }), false),
        (json!({ "until": Timestamp(5_000_001) }), true),
        (json!({ "until": Timestamp(5_000_000) }), false),
        (json!({ "agent": AGENT, "decision": "deny", "action": "pay" }), true),
        (json!({ "agent": AGENT, "decision": "allow", "action": "pay" }), false),
    ] {
        assert_eq!(filter(members.clone()).matches(&pay), meant, "{members}");
    }
    let rows = filter(json!({ "kill": "kil_1" }));
    assert!(rows.matches(&scope(&[AGENT], &[])) && !rows.matches(&pay));
    assert!(!filter(json!({ "kill": "kil_2" })).matches(&scope(&[AGENT], &[])));
    // Of more agents than are listed any may be this one.
    let mut many = scope(&["agt_other"], &[]);
    if let Entry::KillScope(it) = &mut many.entry {
        it.agents = 2000;
    }
    assert!(filter(json!({ "agent": AGENT })).matches(&many));
    let revoked = admin("capability.revoked", &format!("{AGENT} pay"));
    assert!(filter(json!({ "act": "capability.revoked", "action": "pay" })).matches(&revoked));
    assert!(!filter(json!({ "decision": "deny" })).matches(&revoked));
    assert!(filter(json!({ "action": "pay" })).matches(&scope(&[], &["pay"])));
}

#[test]
fn only_what_is_known_can_be_asked_about() {
    assert!(serde_json::from_value::<Filter>(json!({ "agents": AGENT })).is_err());
    let of = filter(json!({ "agent": AGENT, "types": ["decision"] }));
    assert_eq!(
        serde_json::to_value(&of).unwrap(),
        json!({ "agent": AGENT, "types": ["decision"] })
    );
    assert!(Filter::default().is_empty());
    assert!(!of.is_empty());
}

#[test]
fn the_one_agent_of_a_kill_is_the_agent_of_its_scope() {
    assert_eq!(scope(&[AGENT], &[]).entry.agent_id(), Some(AGENT));
    let more = Scope {
        kill_id: "kil_1".to_owned(),
        agents: 200,
        tokens: 0,
        capability_tokens: 0,
        actions: Vec::new(),
        agent_ids: vec![AGENT.to_owned()],
    };
    assert_eq!(Entry::KillScope(more).agent_id(), None);
}

#[test]
fn every_type_has_the_name_that_is_written() {
    for record in [decision(None, "allow", "pay"), admin("a", "b"), scope(&[], &[])] {
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["type"], record.entry.type_name());
        assert!(RECORD_TYPES.contains(&record.entry.type_name()));
    }
    // What serde knows and what is listed is the same.
    let error = serde_json::from_value::<Record>(json!({
        "seq": 1, "time": Timestamp(0), "recorded": Timestamp(0), "type": "none",
    }))
    .unwrap_err();
    let listed = RECORD_TYPES.map(|it| format!("`{it}`")).join(", ");
    assert!(error.to_string().ends_with(&listed), "{error}");
}
