use super::*;
use crate::audit::record::*;
use crate::ids::Id;
use crate::ids::{AgentId, CapabilityId, TokenId};

const SECOND: u64 = 1_000_000;
const BOUND: Option<u64> = Some(SECOND);

fn agent(n: u8) -> String {
    AgentId::from_bytes([n; 16]).to_string()
}

fn source(instance: &str, number: u64) -> Source {
    Source { proxy: "edge".to_owned(), worker: 0, instance: instance.to_owned(), number }
}

fn record(time: u64, entry: Entry) -> Record {
    Record { seq: 7, time: Timestamp(time), recorded: Timestamp(time), entry }
}

fn kill(act: &str, subject: &str, revision: u64, time: u64) -> Record {
    let activated = Activated {
        kill_id: format!("kil_{revision}"),
        epoch: 1,
        revision,
        act: act.to_owned(),
        subject: subject.to_owned(),
        actor: "operator:ada".to_owned(),
        role: None,
        address: None,
        reason: None,
        incident_id: None,
        in_flight: "abort".to_owned(),
    };
    record(time, Entry::KillActivated(activated))
}

fn scope(revision: u64, agents: u64, ids: &[String], actions: &[&str]) -> Record {
    let scope = Scope {
        kill_id: format!("kil_{revision}"),
        agents,
        tokens: 0,
        capability_tokens: 0,
        actions: actions.iter().map(|it| (*it).to_owned()).collect(),
        agent_ids: ids.to_vec(),
    };
    record(0, Entry::KillScope(scope))
}

fn applied(instance: &str, number: u64, revision: u64) -> Record {
    let source = source(instance, number);
    record(0, Entry::Applied(Applied { source, epoch: 1, revision, in_flight: 0, untracked: 0 }))
}

fn admin(act: &str, subject: &str, revision: u64) -> Record {
    let it = Administered {
        event: revision,
        epoch: 1,
        revision,
        actor: "operator:ada".to_owned(),
        address: None,
        act: act.to_owned(),
        subject: subject.to_owned(),
        reason: None,
        incident_id: None,
        before: None,
        after: None,
    };
    record(0, Entry::Admin(Box::new(it)))
}

fn decided(instance: &str, number: u64, revision: u64) -> Decided {
    Decided {
        source: source(instance, number),
        decision: Verdict::Allow,
        reason: None,
        agent_id: Some(agent(1)),
        principal_id: None,
        token_id: None,
        service: None,
        action: None,
        method: None,
        path_template: None,
        policy_id: None,
        policy_version: None,
        epoch: Some(1),
        revision: Some(revision),
        state_age_ms: Some(0),
        request_id: None,
        trace_id: None,
        parent_span_id: None,
        end: None,
    }
}

fn collected(records: &[Record]) -> Kills {
    let mut kills = Kills::default();
    records.iter().for_each(|record| kills.collect(record));
    kills
}

/// What is wrong with this request, decided at this time.
fn judged(kills: &mut Kills, decided: Decided, time: u64) -> Vec<Why> {
    let record = record(time, Entry::Decision(Box::new(decided)));
    kills.judge(&record, BOUND).into_iter().map(|it| it.why).collect()
}

fn killed() -> Kills {
    let subject = agent(1);
    collected(&[
        applied("a", 10, 20),
        kill("agent.revoked", &subject, 20, SECOND),
        scope(20, 1, &[subject], &[]),
    ])
}

#[test]
fn a_request_before_the_kill_is_no_matter() {
    assert_eq!(judged(&mut killed(), decided("a", 9, 19), SECOND), []);
    // Of a worker that had not heard of it yet, within the bound.
    assert_eq!(judged(&mut killed(), decided("b", 900, 19), 2 * SECOND), []);
}

#[test]
fn a_request_that_got_past_a_kill_is_found() {
    assert_eq!(judged(&mut killed(), decided("a", 11, 20), SECOND), [Why::DecidedByTheKill]);
    assert_eq!(judged(&mut killed(), decided("b", 1, 21), SECOND), [Why::DecidedByTheKill]);
    assert_eq!(judged(&mut killed(), decided("a", 11, 19), SECOND), [Why::AfterAcknowledgement]);
    assert_eq!(judged(&mut killed(), decided("b", 11, 19), 2 * SECOND + 1), [Why::AfterBound]);
    let record = record(9 * SECOND, Entry::Decision(Box::new(decided("b", 11, 19))));
    assert_eq!(killed().judge(&record, None), []);
}

#[test]
fn what_was_denied_or_is_somebody_elses_got_past_nothing() {
    let denied = Decided { decision: Verdict::Deny, ..decided("a", 11, 20) };
    assert_eq!(judged(&mut killed(), denied, SECOND), []);
    let other = Decided { agent_id: Some(agent(2)), ..decided("a", 11, 20) };
    assert_eq!(judged(&mut killed(), other, SECOND), []);
}

#[test]
fn what_was_put_back_may_be_allowed_again_from_there_on() {
    let subject = agent(1);
    let mut kills = collected(&[
        kill("agent.suspended", &subject, 20, SECOND),
        admin("agent.restored", &subject, 25),
        admin("agent.restored", &subject, 15),
        admin("agent.restored", &agent(2), 21),
        applied("a", 10, 20),
    ]);
    assert_eq!(judged(&mut kills, decided("a", 11, 25), 9 * SECOND), []);
    assert_eq!(judged(&mut kills, decided("a", 11, 24), SECOND), [Why::DecidedByTheKill]);
    assert_eq!(judged(&mut kills, decided("a", 11, 19), SECOND), [Why::AfterAcknowledgement]);
}

#[test]
fn a_restoration_brings_back_no_token_that_was_revoked() {
    let subject = agent(1);
    let token = CapabilityId::from_bytes([0; 16]).to_string();
    let by = Decided { token_id: Some(token), ..decided("a", 11, 25) };
    let mut kills = collected(&[
        kill("agent.tokens_revoked", &subject, 20, SECOND),
        admin("agent.suspended", &subject, 21),
        admin("agent.restored", &subject, 22),
    ]);
    assert_eq!(judged(&mut kills, by, 9 * SECOND), [Why::DecidedByTheKill]);
}

#[test]
fn each_kind_of_kill_stops_its_own() {
    let cap = CapabilityId::from_bytes([3; 16]).to_string();
    let action = |name: &str| Decided { action: Some(name.to_owned()), ..decided("a", 1, 20) };
    let by = |token: &str| Decided { token_id: Some(token.to_owned()), ..decided("a", 1, 20) };
    let principal = Decided { principal_id: Some("prn_x".to_owned()), ..decided("a", 1, 20) };
    let policy = Decided { policy_id: Some("pol_x".to_owned()), ..decided("a", 1, 20) };
    let capability = format!("{} issue_refund", agent(1));
    for (act, subject, stopped, other) in [
        ("fleet.halted", "fleet", decided("a", 1, 20), None),
        ("principal.revoked", "prn_x", principal, Some(decided("a", 1, 20))),
        ("policy.revoked", "pol_x@3", policy, Some(decided("a", 1, 20))),
        ("token.revoked", "tok_x", by("tok_x"), Some(by("tok_y"))),
        ("capability_token.revoked", &cap, by(&cap), Some(by("cap_y"))),
        ("capability.revoked", &capability, action("issue_refund"), Some(action("create_charge"))),
    ] {
        let mut kills = collected(&[kill(act, subject, 20, SECOND)]);
        assert_eq!(judged(&mut kills, stopped, SECOND), [Why::DecidedByTheKill], "{act}");
        if let Some(other) = other {
            assert_eq!(judged(&mut kills, other, SECOND), [], "{act}");
        }
    }
}

#[test]
fn of_a_selection_the_second_row_says_whom_it_stops() {
    let records =
        [kill("selection.suspended", "env=staging", 20, SECOND), scope(20, 2, &[agent(1)], &[])];
    let mut kills = collected(&records);
    assert_eq!(judged(&mut kills, decided("a", 1, 20), SECOND), [Why::DecidedByTheKill]);
    // Only one of two is listed.
    let unknown: Vec<_> = kills.not_known().into_iter().map(|it| it.why).collect();
    assert_eq!(unknown, [Unknown::NotListed]);
}

#[test]
fn all_tokens_of_an_agent_are_those_that_were_issued_until_then() {
    let at = 1_770_302_823;
    let token = |seconds: u64| {
        let mut bytes = [9u8; 16];
        let millis = (seconds * 1000).to_be_bytes();
        bytes.get_mut(..6).unwrap().copy_from_slice(millis.get(2..).unwrap());
        Decided { token_id: Some(TokenId::from_bytes(bytes).to_string()), ..decided("a", 1, 20) }
    };
    let mut kills = collected(&[kill("agent.tokens_revoked", &agent(1), 20, at * SECOND)]);
    assert_eq!(judged(&mut kills, token(at), at * SECOND), [Why::DecidedByTheKill]);
    assert_eq!(judged(&mut kills, token(at + 1), at * SECOND), []);
}

#[test]
fn a_kill_that_drains_lets_capability_tokens_be_used_up() {
    let mut drains = kill("agent.suspended", &agent(1), 20, SECOND);
    if let Entry::KillActivated(it) = &mut drains.entry {
        it.in_flight = "drain".to_owned();
    }
    let mut kills = collected(&[drains]);
    let cap = CapabilityId::from_bytes([3; 16]).to_string();
    let by = |token: String| Decided { token_id: Some(token), ..decided("a", 1, 20) };
    assert_eq!(judged(&mut kills, by(cap), SECOND), []);
    let tok = Id::<crate::ids::TokenKind>::from_bytes([3; 16]).to_string();
    assert_eq!(judged(&mut kills, by(tok), SECOND), [Why::DecidedByTheKill]);
}

#[test]
fn what_cannot_be_known_is_said() {
    let lost = |instance: &str, number, time| {
        let source = source(instance, number);
        record(time, Entry::WorkerLost(Lost { source, unended: 0 }))
    };
    let dropped = |instance: &str, number| {
        record(0, Entry::Dropped(Dropped { source: source(instance, number), events: 3 }))
    };
    let conflict = |instance: &str, number| {
        let source = source(instance, number);
        record(0, Entry::Conflict(Conflict { source, registration: "edge".to_owned() }))
    };
    let seen = |instance: &str| record(0, Entry::Decision(Box::new(decided(instance, 1, 1))));
    let closed =
        |instance: &str| record(0, Entry::WorkerClosed(Closed { source: source(instance, 5) }));
    let kills = collected(&[
        kill("agent.revoked", &agent(1), 20, 5 * SECOND),
        scope(20, 1, &[agent(1)], &[]),
        // Applied it, and lost nothing after that.
        applied("fine", 10, 20),
        dropped("fine", 9),
        // Applied it, and lost something after that.
        applied("tail", 10, 21),
        lost("tail", 30, 6 * SECOND),
        // Two say what it did, and one of them that it applied it.
        applied("two", 10, 20),
        conflict("two", 3),
        // Never said that it did.
        seen("silent"),
        // Was gone before the kill, or ended in order.
        lost("gone", 3, 4 * SECOND),
        closed("closed"),
    ]);
    let found: Vec<_> = kills
        .not_known()
        .into_iter()
        .map(|it| (it.instance.unwrap(), it.from_number, it.why))
        .collect();
    assert_eq!(
        found,
        [
            ("silent".to_owned(), None, Unknown::NotApplied),
            ("tail".to_owned(), Some(30), Unknown::WorkerLost),
            ("two".to_owned(), Some(3), Unknown::Conflict),
        ]
    );
}

#[test]
fn a_token_without_an_id_is_not_passed_over() {
    let by = |token: Option<&str>, revision| {
        let token_id = token.map(str::to_owned);
        Decided { token_id, ..decided("a", 30, revision) }
    };
    let (hash, cap) = ("sha256:00112233445566778899aabbccddeeff", Some("cap_x"));
    let subject = CapabilityId::from_bytes([3; 16]).to_string();
    for (act, subject, known) in [
        ("agent.tokens_revoked", agent(1), false),
        ("token.revoked", "tok_x".to_owned(), false),
        // A capability token always has an id.
        ("capability_token.revoked", subject, true),
    ] {
        let mut kills = collected(&[kill(act, &subject, 20, SECOND), scope(20, 0, &[], &[])]);
        assert_eq!(judged(&mut kills, by(Some(hash), 20), SECOND), [], "{act}");
        // What was decided before the kill cannot have got past it.
        assert_eq!(judged(&mut kills, by(Some(hash), 19), SECOND), [], "{act}");
        let unnamed = |it: &NotKnown| it.why == Unknown::TokenNotNamed;
        let found: Vec<_> = kills.not_known().into_iter().filter(unnamed).collect();
        assert_eq!(found.len(), usize::from(!known), "{act}: {found:?}");
        if let [it] = found.as_slice() {
            assert_eq!((it.from_number, it.instance.as_deref()), (Some(30), Some("a")), "{act}");
        }
    }
    // Another agent's request is none of it, whatever its token.
    let mut kills = collected(&[kill("agent.tokens_revoked", &agent(1), 20, SECOND)]);
    let other = Decided { agent_id: Some(agent(2)), ..by(Some(hash), 20) };
    assert_eq!(judged(&mut kills, other, SECOND), []);
    assert_eq!(judged(&mut kills, by(cap, 20), SECOND), []);
    assert_eq!(kills.not_known().iter().filter(|it| it.why == Unknown::TokenNotNamed).count(), 1);
}
