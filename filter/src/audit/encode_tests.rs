use kya_core::audit::event as read;
use kya_core::wire::{BodyHash, Disposition, Verdict};
use kya_core::{
    AgentId, CapabilityId, Fingerprint, PolicyId, PolicyVersion, PrincipalId, Revision,
};

use super::super::short::Short;
use super::super::trace::Trace;
use super::*;
use crate::testing::configured;

const POSITION: Position = Position { epoch: 5, revision: Revision(6) };

fn head() -> Head<'static> {
    Head {
        node_id: "payments-1",
        slot: 3,
        instance: 0xabc,
        service: "payments",
        first: 11,
        clock_ahead_millis: -3,
    }
}

fn actions() -> Actions {
    let rules = serde_json::json!([
        { "route": "POST /v1/refunds/{id}", "action": "issue_refund" },
    ]);
    configured(|json| json["actions"] = rules).actions
}

fn body(hashed: BodyHash) -> Body {
    Body { hashed, sha256: [7; 32], bytes: 44 }
}

fn end(hashed: BodyHash) -> End {
    End {
        disposition: Disposition::Committed,
        status: 201,
        duration_micros: 1_500,
        cut: None,
        body: body(hashed),
    }
}

fn full() -> Decision {
    Decision {
        verdict: Verdict::Allow,
        reason: "",
        agent: Some([1; 16]),
        principal: Some([2; 16]),
        token: Token::Opaque([3; 16]),
        rule: actions().find(b"POST", b"/v1/refunds/7"),
        method: Short::method(b"POST"),
        policy: Some(([4; 16], 7)),
        position: Some(POSITION),
        state_age_millis: 120,
        request_id: Short::request_id(b"req-1"),
        trace: Some(Trace { id: [5; 16], parent: [6; 8] }),
        end: Some(end(BodyHash::Whole)),
    }
}

fn batch(events: &[Happened], last: bool) -> read::Batch {
    let mut writer = Writer::new(&head());
    for happened in events {
        let event = Event { unix_nanos: 1_770_302_823_000_250_000, happened: happened.clone() };
        assert!(writer.add(&event, &actions()));
    }
    assert_eq!(writer.count(), events.len() as u64);
    read::Batch::read(&writer.finish(last)).unwrap()
}

fn one(happened: Happened) -> read::Happened {
    batch(&[happened], false).events.remove(0).happened
}

#[test]
fn a_batch_is_read_as_it_was_written() {
    let read = batch(&[Happened::Dropped(9)], true);
    assert_eq!((read.node.as_str(), read.slot, read.instance), ("payments-1", 3, 0xabc));
    assert_eq!((read.service.as_deref(), read.clock_ahead_millis), (Some("payments"), -3));
    assert_eq!((read.first, read.last, read.next()), (11, true, 12));
    assert_eq!(read.events[0].time.0, 1_770_302_823_000_250);
    assert_eq!(read.events[0].happened, read::Happened::Dropped(9));
    assert_eq!(batch(&[], false).next(), 11);
}

#[test]
fn a_decision_is_read_as_it_was_written() {
    let read::Happened::Decision(it) = one(Happened::Decision(full())) else { panic!() };
    let hashed = read::Hashed { sha256: [7; 32], bytes: 44 };
    assert_eq!(it.verdict, kya_core::audit::Verdict::Allow);
    assert_eq!((it.agent, it.reason), (Some(AgentId::from_bytes([1; 16])), None));
    assert_eq!(it.principal, Some(PrincipalId::from_bytes([2; 16])));
    assert_eq!(it.token, Some(read::Token::Opaque(Fingerprint([3; 16]))));
    assert_eq!(it.action.unwrap().as_str(), "issue_refund");
    assert_eq!(
        (it.method.as_deref(), it.template.as_deref()),
        (Some("POST"), Some("/v1/refunds/{id}"))
    );
    let policy = it.policy.unwrap();
    assert_eq!(policy.id, PolicyId::from_bytes([4; 16]));
    assert_eq!(Some(policy.version), PolicyVersion::new(7));
    assert_eq!((it.position, it.state_age_millis), (Some(POSITION), Some(120)));
    assert_eq!(it.request_id.as_deref(), Some("req-1"));
    assert_eq!(it.trace, Some(read::Trace { id: [5; 16], parent: [6; 8] }));
    let end = it.end.unwrap();
    assert_eq!((end.status, end.duration_micros, end.cut), (Some(201), 1_500, None));
    assert_eq!(end.disposition, kya_core::audit::Disposition::Committed);
    assert_eq!(end.body, read::Body::Whole(hashed));
    let capability = Decision { token: Token::Capability([8; 16]), ..full() };
    let read::Happened::Decision(it) = one(Happened::Decision(capability)) else { panic!() };
    assert_eq!(it.token, Some(read::Token::Capability(CapabilityId::from_bytes([8; 16]))));
}

#[test]
fn what_is_not_known_is_not_written() {
    let bare = Decision::bare(Verdict::Deny, "internal");
    let read::Happened::Decision(it) = one(Happened::Decision(bare)) else { panic!() };
    assert_eq!(
        (it.verdict, it.reason.as_deref()),
        (kya_core::audit::Verdict::Deny, Some("internal"))
    );
    assert_eq!((it.agent, it.token, it.action, it.position), (None, None, None, None));
    assert_eq!((it.state_age_millis, it.end), (None, None));
}

#[test]
fn other_events_are_read_as_they_were_written() {
    for (hashed, expected) in [
        (BodyHash::Unspecified, read::Body::NotHashed),
        (BodyHash::None, read::Body::None),
        (BodyHash::Truncated, read::Body::Truncated(read::Hashed { sha256: [7; 32], bytes: 44 })),
    ] {
        let end = End { cut: Some(POSITION), status: 0, ..end(hashed) };
        let read::Happened::End { decision, end } = one(Happened::End { decision: 10, end }) else {
            panic!()
        };
        assert_eq!((decision, end.body, end.cut, end.status), (10, expected, Some(POSITION), None));
    }
    let applied = Happened::Applied { position: POSITION, in_flight: 2, untracked: 3 };
    let expected = read::Applied { position: POSITION, in_flight: 2, untracked: 3 };
    assert_eq!(one(applied), read::Happened::Applied(expected));
    for ending in [InFlight::Abort, InFlight::Drain] {
        let written = Happened::InFlight { position: POSITION, decision: 9, ending };
        let expected = read::Happened::InFlight { position: POSITION, decision: 9, ending };
        assert_eq!(one(written), expected);
    }
}

#[test]
fn a_batch_has_no_more_than_it_may() {
    let mut writer = Writer::new(&head());
    let event = Event { unix_nanos: 1, happened: Happened::Decision(full()) };
    let actions = actions();
    let mut count = 0u64;
    while writer.add(&event, &actions) {
        count += 1;
    }
    assert_eq!(count, MAX_EVENTS as u64);
    assert_eq!(read::Batch::read(&writer.finish(false)).unwrap().events.len(), MAX_EVENTS);
    // As long as events can be.
    let route = format!("POST /{}", "a".repeat(1_000));
    let rules = serde_json::json!([{ "route": route, "action": "a".repeat(256) }]);
    let actions = configured(|json| json["actions"] = rules).actions;
    let target = format!("/{}", "a".repeat(1_000));
    let rule = actions.find(b"POST", target.as_bytes());
    let event = Event { unix_nanos: 1, happened: Happened::Decision(Decision { rule, ..full() }) };
    let mut writer = Writer::new(&head());
    while writer.add(&event, &actions) {}
    assert!(writer.count() < MAX_EVENTS as u64 && writer.count() > 200);
    read::Batch::read(&writer.finish(true)).unwrap();
}
