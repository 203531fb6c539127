use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::wire::{self, audit_event::Event as Wire};

fn decision() -> wire::AuditDecision {
    wire::AuditDecision {
        verdict: wire::Verdict::Allow.into(),
        agent_id: vec![1; 16],
        principal_id: vec![2; 16],
        token_fingerprint: vec![3; 16],
        action: "issue_refund".into(),
        method: "POST".into(),
        template: "/v1/refunds/{id}".into(),
        policy_id: vec![4; 16],
        policy_version: 7,
        epoch: 5,
        revision: 6,
        state_age_millis: 120,
        request_id: "7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a".into(),
        trace_id: vec![5; 16],
        parent_span_id: vec![6; 8],
        end: Some(wire::AuditEnd { decision: 0, ..end() }),
        ..Default::default()
    }
}

fn end() -> wire::AuditEnd {
    wire::AuditEnd {
        decision: 10,
        disposition: wire::Disposition::Committed.into(),
        status: 201,
        duration_micros: 1_500,
        body: wire::BodyHash::Whole.into(),
        body_sha256: vec![7; 32],
        body_bytes: 44,
        ..Default::default()
    }
}

fn event(event: Wire) -> wire::AuditEvent {
    wire::AuditEvent { unix_nanos: 1_770_302_823_000_250_999, event: Some(event) }
}

fn batch(events: impl IntoIterator<Item = Wire>) -> wire::AuditBatch {
    wire::AuditBatch {
        protocol_version: 1,
        node_id: "payments-1".into(),
        slot: 1,
        instance: 0xabc,
        service: "payments".into(),
        first: 11,
        events: events.into_iter().map(event).collect(),
        clock_ahead_millis: -3,
        last: false,
    }
}

fn read(events: impl IntoIterator<Item = Wire>) -> Result<Batch, BatchError> {
    Batch::read(&batch(events).encode_to_vec())
}

fn only(wire: Wire) -> Happened {
    read([wire]).unwrap().events.remove(0).happened
}

#[test]
fn a_batch_says_who_reports_and_numbers_what_happened() {
    let applied =
        Wire::Applied(wire::AuditApplied { epoch: 5, revision: 8, in_flight: 1, untracked: 2 });
    let in_flight =
        wire::AuditInFlight { epoch: 5, revision: 8, decision: 11, ..Default::default() };
    let read = read([
        Wire::Decision(decision()),
        applied,
        Wire::InFlight(in_flight),
        Wire::Dropped(wire::AuditDropped { events: 9 }),
    ])
    .unwrap();
    assert_eq!((read.node.as_str(), read.slot, read.instance), ("payments-1", 1, 0xabc));
    assert_eq!((read.service.as_deref(), read.clock_ahead_millis), (Some("payments"), -3));
    assert_eq!((read.first, read.next(), read.last), (11, 15, false));
    let numbers: Vec<_> = read.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [11, 12, 13, 14]);
    assert_eq!(read.events[0].time, Timestamp(1_770_302_823_000_250));
    let position = Position { epoch: 5, revision: crate::Revision(8) };
    let happened: Vec<_> = read.events.into_iter().map(|event| event.happened).skip(1).collect();
    assert_eq!(
        happened,
        [
            Happened::Applied(Applied { position, in_flight: 1, untracked: 2 }),
            Happened::InFlight { position, decision: 11, ending: InFlight::Abort },
            Happened::Dropped(9),
        ]
    );
}

#[test]
fn a_decision_says_all_that_it_was_made_of() {
    let Happened::Decision(read) = only(Wire::Decision(decision())) else { panic!() };
    let hashed = Hashed { sha256: [7; 32], bytes: 44 };
    assert_eq!(
        *read,
        Decision {
            verdict: Verdict::Allow,
            reason: None,
            agent: Some(AgentId::from_bytes([1; 16])),
            principal: Some(PrincipalId::from_bytes([2; 16])),
            token: Some(Token::Opaque(Fingerprint([3; 16]))),
            action: Some("issue_refund".parse().unwrap()),
            method: Some("POST".into()),
            template: Some("/v1/refunds/{id}".into()),
            policy: Some(PolicyUsed {
                id: crate::PolicyId::from_bytes([4; 16]),
                version: crate::PolicyVersion::new(7).unwrap(),
            }),
            position: Some(Position { epoch: 5, revision: crate::Revision(6) }),
            state_age_millis: Some(120),
            request_id: Some("7d4a1f0e-0c2b-9f55-8b1e-1f2e3d4c5b6a".into()),
            trace: Some(Trace { id: [5; 16], parent: [6; 8] }),
            end: Some(End {
                disposition: Disposition::Committed,
                status: Some(201),
                duration_micros: 1_500,
                cut: None,
                body: Body::Whole(hashed),
            }),
        }
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let denied = wire::AuditDecision {
        verdict: wire::Verdict::Deny.into(),
        reason: "unsynced".into(),
        state_age_millis: u64::MAX,
        ..Default::default()
    };
    let Happened::Decision(read) = only(Wire::Decision(denied)) else { panic!() };
    assert_eq!((read.verdict, read.reason.as_deref()), (Verdict::Deny, Some("unsynced")));
    assert_eq!(
        (read.agent, read.token, read.position, read.state_age_millis),
        (None, None, None, None)
    );
    assert_eq!(
        (read.action, read.method, read.policy, read.trace, read.end),
        (None, None, None, None, None)
    );
    let nameless =
        Batch::from_wire(wire::AuditBatch { service: String::new(), ..batch([]) }).unwrap();
    assert_eq!((nameless.service.clone(), nameless.next()), (None, 11));
}

#[test]
fn an_end_that_nobody_explained_is_escalated() {
    let read = |end| match only(Wire::End(end)) {
        Happened::End { decision, end } => (decision, end),
        other => panic!("{other:?}"),
    };
    let bare = wire::AuditEnd { decision: 10, ..Default::default() };
    let (decision, end) = read(bare.clone());
    assert_eq!((decision, end.disposition, end.status), (10, Disposition::Escalated, None));
    assert_eq!((end.body, end.cut), (Body::NotHashed, None));
    let cut = wire::AuditEnd { cut: true, cut_epoch: 5, cut_revision: 8, ..bare.clone() };
    let position = Position { epoch: 5, revision: crate::Revision(8) };
    assert_eq!(read(cut).1.cut, Some(position));
    let none = wire::AuditEnd { body: wire::BodyHash::None.into(), ..bare.clone() };
    assert_eq!(read(none).1.body, Body::None);
    let part = wire::AuditEnd { body: wire::BodyHash::Truncated.into(), ..super::tests::end() };
    let hashed = Hashed { sha256: [7; 32], bytes: 44 };
    assert_eq!(read(part).1.body, Body::Truncated(hashed));
}

/// What is said of a batch with this one event.
fn refused(event: Wire) -> String {
    read([event]).expect_err("it was read").to_string()
}

#[test]
fn every_field_of_a_decision_has_its_bounds() {
    type Change = fn(&mut wire::AuditDecision);
    let table: &[(Change, &str)] = &[
        (|it| it.verdict = 0, "event 11: decision.verdict is 0, which is not known"),
        (|it| it.verdict = 4, "event 11: decision.verdict is 4, which is not known"),
        (|it| it.reason = "stale".into(), "event 11: decision.reason is there, and must not be"),
        (|it| it.verdict = 3, "event 11: decision.reason is missing"),
        (|it| it.agent_id = vec![1; 15], "event 11: decision.agent_id has 15 bytes instead of 16"),
        (|it| it.agent_id = vec![], "event 11: decision.agent_id is missing"),
        (
            |it| it.principal_id = vec![0],
            "event 11: decision.principal_id has 1 bytes instead of 16",
        ),
        (
            |it| it.token_fingerprint = vec![0; 32],
            "event 11: decision.token_fingerprint has 32 bytes instead of 16",
        ),
        (
            |it| it.capability_id = vec![0; 16],
            "event 11: decision.capability_id is there, and must not be",
        ),
        (
            |it| it.action = "A".into(),
            "event 11: decision.action has a character that it cannot have",
        ),
        (
            |it| it.action = "a".repeat(257),
            "event 11: decision.action has 257: at most 256 are possible",
        ),
        (
            |it| it.method = "a".repeat(33),
            "event 11: decision.method has 33: at most 32 are possible",
        ),
        (
            |it| it.method = "GE T".into(),
            "event 11: decision.method has a character that it cannot have",
        ),
        (
            |it| it.template = "/".repeat(1025),
            "event 11: decision.template has 1025: at most 1024 are possible",
        ),
        (
            |it| it.template = "/\u{e9}".into(),
            "event 11: decision.template has a character that it cannot have",
        ),
        (|it| it.policy_id = vec![], "event 11: decision.policy_version is there, and must not be"),
        (|it| it.policy_version = 0, "event 11: decision.policy_version is missing"),
        (
            |it| it.epoch = 0,
            "event 11: decision.epoch is 0: from 1 to 9007199254740991 are possible",
        ),
        (
            |it| it.revision = 1 << 53,
            "event 11: revision is 9007199254740992: from 0 to 9007199254740991 are possible",
        ),
        (|it| (it.epoch, it.revision) = (0, 0), "event 11: decision.epoch is missing"),
        (
            |it| it.state_age_millis = u64::MAX - 1,
            "event 11: decision.state_age_millis is 18446744073709551614: from 0 to 9007199254740991 are possible",
        ),
        (
            |it| it.request_id = "r".repeat(65),
            "event 11: decision.request_id has 65: at most 64 are possible",
        ),
        (
            |it| it.request_id = "a\nb".into(),
            "event 11: decision.request_id has a character that it cannot have",
        ),
        (|it| it.trace_id = vec![], "event 11: decision.trace_id has 0 bytes instead of 16"),
        (|it| it.trace_id = vec![0; 16], "event 11: decision.trace_id is all zeros"),
        (|it| it.parent_span_id = vec![0; 8], "event 11: decision.parent_span_id is all zeros"),
        (|it| it.end = Some(end()), "event 11: decision.end.decision is there, and must not be"),
        (
            |it| (it.verdict, it.reason) = (2, "stale".into()),
            "event 11: decision.end is there, and must not be",
        ),
    ];
    for (change, said) in table {
        let mut it = decision();
        change(&mut it);
        assert_eq!(refused(Wire::Decision(it)), *said);
    }
}

#[test]
fn every_field_of_an_end_has_its_bounds() {
    type Change = fn(&mut wire::AuditEnd);
    let table: &[(Change, &str)] = &[
        (|it| it.decision = 0, "event 11: end.decision is 0: from 1 to 10 are possible"),
        (|it| it.decision = 11, "event 11: end.decision is 11: from 1 to 10 are possible"),
        (|it| it.disposition = 9, "event 11: end.disposition is 9, which is not known"),
        (|it| it.status = 99, "event 11: end.status is 99: from 100 to 999 are possible"),
        (
            |it| it.duration_micros = 1 << 53,
            "event 11: end.duration_micros is 9007199254740992: from 0 to 9007199254740991 are possible",
        ),
        (|it| it.cut_revision = 1, "event 11: end.cut_epoch is there, and must not be"),
        (
            |it| it.cut = true,
            "event 11: end.cut_epoch is 0: from 1 to 9007199254740991 are possible",
        ),
        (|it| it.body = 4, "event 11: end.body is 4, which is not known"),
        (|it| it.body = 1, "event 11: end.body_sha256 is there, and must not be"),
        (|it| it.body_sha256 = vec![7; 31], "event 11: end.body_sha256 has 31 bytes instead of 32"),
        (
            |it| (it.body, it.body_sha256) = (0, vec![]),
            "event 11: end.body_bytes is there, and must not be",
        ),
        (
            |it| it.body_bytes = u64::MAX,
            "event 11: end.body_bytes is 18446744073709551615: from 0 to 9007199254740991 are possible",
        ),
    ];
    for (change, said) in table {
        let mut it = end();
        change(&mut it);
        assert_eq!(refused(Wire::End(it)), *said);
    }
}

#[test]
fn other_events_have_bounds_too() {
    let table = [
        (
            Wire::Applied(wire::AuditApplied::default()),
            "event 11: applied.epoch is 0: from 1 to 9007199254740991 are possible",
        ),
        (
            Wire::Applied(wire::AuditApplied {
                epoch: 1,
                untracked: u64::MAX,
                ..Default::default()
            }),
            "event 11: applied.untracked is 18446744073709551615: from 0 to 9007199254740991 are possible",
        ),
        (
            Wire::InFlight(wire::AuditInFlight { epoch: 1, decision: 11, ..Default::default() }),
            "event 11: in_flight.decision is 11: from 1 to 10 are possible",
        ),
        (
            Wire::InFlight(wire::AuditInFlight { epoch: 1, decision: 1, ending: 3, revision: 1 }),
            "event 11: in_flight.ending is 3, which is not known",
        ),
        (
            Wire::Dropped(wire::AuditDropped { events: 0 }),
            "event 11: dropped.events is 0: from 1 to 9007199254740991 are possible",
        ),
    ];
    for (event, said) in table {
        assert_eq!(refused(event), said);
    }
    let nothing = wire::AuditEvent { unix_nanos: 1, event: None };
    let two =
        wire::AuditBatch { events: vec![event(Wire::Decision(decision())), nothing], ..batch([]) };
    assert_eq!(Batch::from_wire(two).unwrap_err().to_string(), "event 12: event is missing");
}

#[test]
fn every_field_of_a_batch_has_its_bounds() {
    type Change = fn(&mut wire::AuditBatch);
    let table: &[(Change, &str)] = &[
        (|it| it.protocol_version = 2, "of version 2 of the protocol, not 1"),
        (|it| it.node_id = String::new(), "node_id is missing"),
        (|it| it.node_id = "n".repeat(257), "node_id has 257: at most 256 are possible"),
        (|it| it.node_id = "a\u{7f}".into(), "node_id has a character that it cannot have"),
        (|it| it.service = "Payments".into(), "service has a character that it cannot have"),
        (|it| it.service = "p".repeat(257), "service has 257: at most 256 are possible"),
        (|it| it.first = 0, "first is 0: from 1 to 9007199254740990 are possible"),
        (
            |it| it.first = NUMBER_END - 1,
            "first is 9007199254740991: from 1 to 9007199254740990 are possible",
        ),
        (
            |it| it.events = vec![event(Wire::Decision(decision())); 1025],
            "events has 1025: at most 1024 are possible",
        ),
    ];
    for (change, said) in table {
        let mut it = batch([Wire::Decision(decision())]);
        change(&mut it);
        assert_eq!(Batch::from_wire(it).unwrap_err().to_string(), *said);
    }
    let encoded = vec![0; MAX_BATCH_BYTES + 1];
    assert_eq!(Batch::read(&encoded), Err(BatchError::TooLong(MAX_BATCH_BYTES + 1)));
    assert!(Batch::read(b"\x08").unwrap_err().to_string().starts_with("not an AuditBatch: "));
}

#[test]
fn the_longest_events_fit_a_batch() {
    let longest = wire::AuditDecision {
        verdict: wire::Verdict::Pass.into(),
        reason: "r".repeat(MAX_REASON_BYTES),
        action: "a".repeat(256),
        method: "M".repeat(MAX_METHOD_BYTES),
        template: "/".repeat(MAX_TEMPLATE_BYTES),
        request_id: "r".repeat(MAX_REQUEST_ID_BYTES),
        ..decision()
    };
    // So a sender need not look at what an event is made of, only at its length.
    let length = event(Wire::Decision(longest)).encoded_len();
    assert!(length < 2_048, "{length}");
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Batch::read(&bytes);
    }

    #[test]
    fn a_byte_that_is_changed_is_read_or_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut encoded = batch([Wire::Decision(decision()), Wire::End(end())]).encode_to_vec();
        let at = at.index(encoded.len());
        encoded[at] = to;
        let _ = Batch::read(&encoded);
    }
}
