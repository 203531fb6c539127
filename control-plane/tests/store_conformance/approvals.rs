//! Restorations that wait for a second operator, in every store.

use std::sync::Arc;

use kya_control_plane::principals::PrincipalKey;
use kya_control_plane::store::{
    APPROVAL_TTL, Approval, ApprovalError, Cause, FleetAction, MAX_PENDING_APPROVALS,
    MAX_PENDING_OF_AN_OPERATOR, NewPrincipal, Outcome, Restorable, Restoration, Restored,
    StatusAction, Store, StoreError, Verdict,
};
use kya_control_plane::time::UnixMicros;
use kya_core::{ActionName, ApprovalId, InFlight, PrincipalId, Status};

use super::{
    Fixture, REVOKE, SUSPEND, add_operator, agent_id, decide, everything, register, register_as,
};
use crate::support::TestClock;

fn approval_id(n: u8) -> ApprovalId {
    ApprovalId::from_bytes([n; 16])
}

fn by(actor: &str, reason: &str) -> Cause {
    let actor = actor.to_owned();
    Cause {
        actor,
        reason: Some(reason.to_owned()),
        incident_id: Some("INC-1".to_owned()),
        ..Cause::default()
    }
}

async fn ask(store: &dyn Store, n: u8, of: Restorable, who: &str) -> Approval {
    match store.ask_to_restore(approval_id(n), of, by(who, "false alarm")).await.unwrap() {
        Restoration::Pending(approval) => approval,
        done @ Restoration::Done(_) => panic!("nobody was asked: {done:?}"),
    }
}

async fn approve(store: &dyn Store, n: u8, who: &str) -> Result<Outcome<Approval>, StoreError> {
    store.approve(approval_id(n), by(who, "looked at it")).await
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> ApprovalError {
    match answer.unwrap_err() {
        StoreError::Approval(error) => error,
        other => panic!("{other:?}"),
    }
}

pub async fn a_restoration_is_asked_for_by_one_and_carried_out_by_another(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    let suspended = decide(&*store, agent, SUSPEND).await.unwrap();
    let head = store.head().await.unwrap();
    let of = Restorable::Agent(agent);
    let asked = ask(&*store, 1, of.clone(), "anna").await;
    assert_eq!((&asked.of, &*asked.asked_by), (&of, "anna"));
    assert_eq!(asked.target_revision, suspended.record.revision);
    let until = 100_000_000 + u64::try_from(APPROVAL_TTL.as_micros()).unwrap();
    assert_eq!(asked.expires_at, UnixMicros(until));
    // Nothing has changed, and whoever asks again gets the same.
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Suspended);
    assert_eq!(ask(&*store, 2, of.clone(), "anna").await, asked);
    let before = everything(&*store).await;
    let own = refused(approve(&*store, 1, "anna").await);
    assert!(matches!(own, ApprovalError::Own { .. }), "{own}");
    let nobody = refused(approve(&*store, 9, "boss").await);
    assert!(matches!(nobody, ApprovalError::NoSuch(id) if id == approval_id(9)), "{nobody}");
    assert!(everything(&*store).await == before, "what was refused left a trace");
    let reopened = fixture.open(clock.clone()).await;
    assert_eq!(reopened.approvals(false, None, 10).await.unwrap(), [asked]);

    clock.set(200);
    let store = reopened;
    let approved = approve(&*store, 1, "boss").await.unwrap();
    assert!(approved.changed);
    assert_eq!(approved.committed.position.revision, head.position.revision.next());
    let events = store.events_after(0, 100).await.unwrap();
    let event = |action: &str| events.iter().find(|it| it.action == action).unwrap();
    let status = |of: &Option<serde_json::Value>| of.as_ref().map(|it| it["status"].clone());
    let (asking, approving) = (event("approval.requested"), event("approval.approved"));
    assert_eq!((status(&asking.before), status(&asking.after)), (None, Some("pending".into())));
    assert_eq!(status(&approving.before), Some("pending".into()));
    assert_eq!(status(&approving.after), Some("approved".into()));
    let settled = approved.record.settled.clone().unwrap();
    assert_eq!((settled.verdict, &*settled.by), (Verdict::Approved, "boss"));
    assert_eq!(settled.revision, Some(approved.committed.position.revision));
    let restored = store.agent(agent).await.unwrap();
    assert_eq!((restored.status, &*restored.status_actor), (Status::Active, "boss"));
    assert_eq!(restored.status_reason.as_deref(), Some("false alarm"));
    assert_eq!(store.approvals(false, None, 10).await.unwrap(), []);
    assert_eq!(
        store.approvals(true, None, 10).await.unwrap(),
        std::slice::from_ref(&approved.record)
    );
    // Once more is no second effect, even when it is stopped again meanwhile.
    let stopped = decide(&*store, agent, SUSPEND).await.unwrap().committed;
    let again = approve(&*store, 1, "carl").await.unwrap();
    assert_eq!((again.changed, again.committed), (false, approved.committed));
    assert_eq!(store.head().await.unwrap().position, stopped.position);
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Suspended);

    let events = store.events_after(2, 10).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (&*event.action, &*event.cause.actor, event.cause.reason.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("approval.requested", "anna", Some("false alarm")),
            ("approval.approved", "boss", Some("looked at it")),
            ("agent.restored", "boss", Some("false alarm")),
            ("agent.suspended", "admin", Some("because")),
        ]
    );
    assert!(events[..2].iter().all(|it| it.subject == format!("{} {agent}", approval_id(1))));
}

pub async fn everything_that_can_be_restored_can_be_by_two(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register(&*store).await;
    let name: ActionName = "pay".parse().unwrap();
    let id = PrincipalId::from_bytes([7; 16]);
    let new = NewPrincipal { id, name: "alice".parse().unwrap() };
    store.add_principal(new, Cause::default()).await.unwrap();
    let all = [
        Restorable::Agent(agent),
        Restorable::Capability(agent, name.clone()),
        Restorable::Principal("alice".parse().unwrap()),
        Restorable::Fleet,
    ];
    // Where nothing is stopped nobody else is needed, and nothing is written.
    let before = everything(&*store).await;
    for of in all.clone() {
        let done = store.ask_to_restore(approval_id(9), of, by("anna", "why")).await.unwrap();
        let changed = match done {
            Restoration::Done(Restored::Agent(outcome)) => outcome.changed,
            Restoration::Done(Restored::Capability(outcome)) => outcome.changed,
            Restoration::Done(Restored::Principal(outcome)) => outcome.changed,
            Restoration::Done(Restored::Fleet(outcome)) => outcome.changed,
            pending @ Restoration::Pending(_) => panic!("{pending:?}"),
        };
        assert!(!changed);
    }
    assert!(everything(&*store).await == before);

    decide(&*store, agent, SUSPEND).await.unwrap();
    let cause = || by("admin", "stop");
    store.decide_capability(agent, name, SUSPEND, cause()).await.unwrap();
    store.decide_principal("alice".parse().unwrap(), SUSPEND, cause()).await.unwrap();
    store.decide_fleet(FleetAction::Halt(InFlight::Abort), cause()).await.unwrap();
    for (n, of) in (1..).zip(all) {
        let asked = ask(&*store, n, of, "anna").await;
        assert!(approve(&*store, n, "boss").await.unwrap().changed, "{}", asked.of);
    }
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Active);
    let capability = &store.capabilities(agent).await.unwrap()[0];
    assert_eq!(capability.decided.status, Status::Active);
    let alice = store.principal("alice".parse().unwrap()).await.unwrap();
    assert_eq!(alice.decided.status, Status::Active);
    assert_eq!(store.fleet().await.unwrap().status(), Status::Active);
    // What is revoked waits for nobody: it stays so.
    decide(&*store, agent, REVOKE).await.unwrap();
    let of = Restorable::Agent(agent);
    let refused = store.ask_to_restore(approval_id(9), of, by("anna", "why")).await;
    assert!(matches!(refused, Err(StoreError::RevokedIsFinal(_))), "{refused:?}");
}

pub async fn an_approval_is_void_when_something_else_was_decided_meanwhile(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let stricter = StatusAction::Suspend(InFlight::Abort);
    for (n, meanwhile) in
        [(1, &[stricter][..]), (2, &[REVOKE]), (3, &[StatusAction::Restore, SUSPEND])]
    {
        let agent = register_as(&*store, n.into()).await;
        decide(&*store, agent, SUSPEND).await.unwrap();
        ask(&*store, n, Restorable::Agent(agent), "anna").await;
        for action in meanwhile {
            // A stop never waits for what is pending.
            assert!(decide(&*store, agent, *action).await.unwrap().changed);
        }
        let stopped = store.agent(agent).await.unwrap();
        let head = store.head().await.unwrap();
        let void = refused(approve(&*store, n, "boss").await);
        let ApprovalError::Void { why, .. } = &void else { panic!("{void}") };
        assert!(why.contains(&format!("decided about {agent} since")), "{void}");
        assert_eq!(store.agent(agent).await.unwrap(), stopped);
        assert_eq!(store.head().await.unwrap(), head);
        let again = refused(approve(&*store, n, "boss").await);
        assert!(matches!(&again, ApprovalError::Settled { verdict: Verdict::Void, .. }), "{again}");
        let event = store.events_after(0, 100).await.unwrap().pop().unwrap();
        assert_eq!((&*event.action, &*event.cause.actor), ("approval.voided", "boss"));
        assert_eq!(event.cause.reason.as_deref(), Some(&**why));
    }
    // Nor does one count of whoever was shut out since.
    let agent = register_as(&*store, 4).await;
    decide(&*store, agent, SUSPEND).await.unwrap();
    add_operator(&*store, "anna", 1, None).await.unwrap();
    ask(&*store, 4, Restorable::Agent(agent), "anna").await;
    store.revoke_operator("anna".parse().unwrap(), by("boss", "laptop lost")).await.unwrap();
    let void = refused(approve(&*store, 4, "boss").await).to_string();
    assert!(void.contains("the operator anna, who asked, was revoked since"), "{void}");
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Suspended);
}

pub async fn of_many_approvals_at_once_one_has_an_effect(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register(&*store).await;
    decide(&*store, agent, SUSPEND).await.unwrap();
    ask(&*store, 1, Restorable::Agent(agent), "anna").await;
    let before = store.head().await.unwrap().position.revision;
    let all = (0..8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { approve(&*store, 1, &format!("boss-{n}")).await.unwrap() })
    });
    let all: Vec<_> = all.collect();
    let mut changed = 0;
    for approval in all {
        let outcome = approval.await.unwrap();
        assert_eq!(outcome.committed.position.revision, before.next());
        changed += u32::from(outcome.changed);
    }
    assert_eq!(changed, 1);
    assert_eq!(store.head().await.unwrap().position.revision, before.next());
}

pub async fn an_approval_ends_by_its_time_or_by_whoever_rejects_it(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    decide(&*store, agent, SUSPEND).await.unwrap();
    let of = Restorable::Agent(agent);
    ask(&*store, 1, of.clone(), "anna").await;
    let rejected = store.reject(approval_id(1), by("boss", "not yet")).await.unwrap();
    assert_eq!(rejected.settled.as_ref().unwrap().verdict, Verdict::Rejected);
    let again = store.reject(approval_id(1), by("carl", "nor I")).await.unwrap();
    assert_eq!(again, rejected);
    let late = refused(approve(&*store, 1, "boss").await);
    assert!(late.to_string().contains("is rejected by boss already"), "{late}");

    ask(&*store, 2, of.clone(), "anna").await;
    clock.set(1_000 + APPROVAL_TTL.as_secs());
    let late = refused(approve(&*store, 2, "boss").await);
    assert!(matches!(late, ApprovalError::Expired { .. }), "{late}");
    let late = refused(store.reject(approval_id(2), by("boss", "no")).await);
    assert!(matches!(late, ApprovalError::Expired { .. }), "{late}");
    assert_eq!(store.approvals(false, None, 10).await.unwrap(), []);
    assert_eq!(store.approvals(true, None, 10).await.unwrap().len(), 2);
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Suspended);
    // It is asked for anew, and what is long over is forgotten then.
    clock.set(1_000 + APPROVAL_TTL.as_secs() + 24 * 60 * 60);
    let third = ask(&*store, 3, of, "anna").await;
    assert_eq!(store.approvals(true, None, 10).await.unwrap(), [third]);
    assert!(approve(&*store, 3, "boss").await.unwrap().changed);
}

pub async fn at_most_so_many_restorations_wait(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    decide(&*store, agent, SUSPEND).await.unwrap();
    let of = Restorable::Agent(agent);
    let most = u8::try_from(MAX_PENDING_APPROVALS).unwrap();
    for n in 1..=most {
        ask(&*store, n, of.clone(), &format!("anna-{n}")).await;
    }
    let before = everything(&*store).await;
    let more = store.ask_to_restore(approval_id(200), of.clone(), by("boss", "more")).await;
    assert!(matches!(refused(more), ApprovalError::TooMany));
    assert_eq!(ask(&*store, 200, of.clone(), "anna-7").await.id, approval_id(7), "the same");
    assert!(everything(&*store).await == before, "what was refused left a trace");
    let page = store.approvals(false, Some(approval_id(2)), 2).await.unwrap();
    let ids: Vec<_> = page.iter().map(|approval| approval.id).collect();
    assert_eq!(ids, [approval_id(3), approval_id(4)]);
    // What has ended makes room, and so does what has expired.
    store.reject(approval_id(1), by("boss", "too many")).await.unwrap();
    ask(&*store, 200, of.clone(), "boss").await;
    clock.set(1_000 + APPROVAL_TTL.as_secs());
    ask(&*store, 201, of, "boss").await;
}

pub async fn whoever_was_shut_out_meanwhile_neither_approves_nor_has_it_approved(
    fixture: impl Fixture,
) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    for (n, (name, ttl)) in (1..).zip([("anna", None), ("boss", None), ("carl", Some(60))]) {
        add_operator(&*store, name, n, ttl).await.unwrap();
    }
    let agent = register(&*store).await;
    decide(&*store, agent, SUSPEND).await.unwrap();
    let of = Restorable::Agent(agent);
    ask(&*store, 1, of.clone(), "anna").await;
    let name = "boss".parse().unwrap();
    store.revoke_operator(name, by("admin", "laptop lost")).await.unwrap();
    clock.set(1_060);
    let before = everything(&*store).await;
    for (who, told) in [("boss", "boss was revoked meanwhile"), ("carl", "carl has expired")] {
        let shut_out = refused(approve(&*store, 1, who).await);
        assert!(matches!(shut_out, ApprovalError::ShutOut { .. }), "{shut_out}");
        assert!(shut_out.to_string().contains(told), "{shut_out}");
    }
    assert!(everything(&*store).await == before, "what was refused left a trace");
    // What somebody asked for whose key has expired since counts no more.
    ask(&*store, 2, of, "carl").await;
    let void = refused(approve(&*store, 2, "anna").await).to_string();
    assert!(void.contains("the operator carl, who asked, has expired since"), "{void}");
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Suspended);
    // The built-in operator and those of OpenID Connect have no record.
    assert!(approve(&*store, 1, "oidc:dora").await.unwrap().changed);
}

pub async fn a_stop_that_changes_nothing_ends_what_waits_to_undo_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let (agent, other) = (register_as(&*store, 1).await, register_as(&*store, 2).await);
    let name: ActionName = "pay".parse().unwrap();
    let alice: PrincipalKey = "alice".parse().unwrap();
    let new = NewPrincipal { id: PrincipalId::from_bytes([7; 16]), name: "alice".parse().unwrap() };
    store.add_principal(new, Cause::default()).await.unwrap();
    let stop = async |n: u8| {
        let cause = by("oncall", "I mean it");
        let halt = FleetAction::Halt(InFlight::Abort);
        match n {
            1 => store.decide_agent(agent, SUSPEND, cause).await.unwrap().changed,
            2 => {
                let stopped = store.decide_capability(agent, name.clone(), SUSPEND, cause);
                stopped.await.unwrap().changed
            }
            3 => store.decide_principal(alice.clone(), SUSPEND, cause).await.unwrap().changed,
            4 => store.decide_fleet(halt, cause).await.unwrap().changed,
            _ => {
                let all = "!env".parse().unwrap();
                store.decide_agents(all, None, SUSPEND, cause).await.unwrap().changed > 0
            }
        }
    };
    let all = [
        Restorable::Agent(agent),
        Restorable::Capability(agent, name.clone()),
        Restorable::Principal(alice.clone()),
        Restorable::Fleet,
        Restorable::Agent(other),
    ];
    assert!(decide(&*store, other, SUSPEND).await.unwrap().changed);
    for n in 1..5 {
        assert!(stop(n).await, "{n}");
    }
    for (n, of) in (1..).zip(all.clone()) {
        ask(&*store, n, of, "anna").await;
    }
    let head = store.head().await.unwrap();
    let waiting = async || {
        let waiting = store.approvals(false, None, 10).await.unwrap();
        waiting.iter().map(|it| it.id.to_bytes()[0]).collect::<Vec<_>>()
    };
    // Each ends what would undo it, and nothing else.
    for (n, left) in [(1, &[2, 3, 4, 5][..]), (2, &[3, 4, 5]), (3, &[4, 5]), (4, &[5]), (5, &[])] {
        assert!(!stop(n).await, "{n}");
        assert_eq!(waiting().await, left);
        let settled = refused(approve(&*store, n, "boss").await);
        assert!(settled.to_string().contains("is void by oncall already"), "{settled}");
        let event = store.events_after(0, 1_000).await.unwrap().pop().unwrap();
        assert_eq!((&*event.action, &event.cause), ("approval.voided", &by("oncall", "I mean it")));
    }
    assert_eq!(store.head().await.unwrap(), head, "no authority has changed");
    // A restoration that changes nothing ends nothing, and what is asked anew waits anew.
    ask(&*store, 6, all[0].clone(), "anna").await;
    assert_eq!(waiting().await, [6]);
    assert!(approve(&*store, 6, "boss").await.unwrap().changed);
}

pub async fn nobody_fills_the_list_of_what_waits_alone(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    let most = u8::try_from(MAX_PENDING_OF_AN_OPERATOR).unwrap();
    for n in 1..=most + 1 {
        let agent = register_as(&*store, n.into()).await;
        decide(&*store, agent, SUSPEND).await.unwrap();
        let of = Restorable::Agent(agent);
        if n <= most {
            ask(&*store, n, of, "anna").await;
            continue;
        }
        let more = store.ask_to_restore(approval_id(n), of.clone(), by("anna", "more")).await;
        let told = refused(more).to_string();
        assert!(told.contains("50 restorations that anna asked for wait"), "{told}");
        ask(&*store, n, of, "boss").await;
    }
    assert_eq!(ask(&*store, 99, Restorable::Agent(agent_id(3)), "anna").await.id, approval_id(3));
}
