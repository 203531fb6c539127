//! What becomes of kills in the trail.

use std::time::Duration;

use kya_control_plane::store::audit::{KillAsked, KillWorker, SourceKey, SourceState};
use kya_control_plane::store::{Cause, NewAgent, NewToken, StatusAction, TokenLimits};
use kya_control_plane::time::{Clock, UnixMicros};
use kya_core::audit::event::{Applied, End, Happened};
use kya_core::audit::{Activated, Completed, Disposition, Entry, Scope};
use kya_core::{InFlight, OpaqueToken, Position, TokenId};

use super::{Fixture, Opened, agent, batch, decision, end, ended, open};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn register(it: &Opened, n: u8, parent: Option<u8>) {
    let new = NewAgent { parent: parent.map(agent), ..NewAgent::named(agent(n), "payer") };
    it.registry.register_agent(new, Cause::default()).await.unwrap();
}

async fn token(it: &Opened, n: u8, holder: u8) {
    let digest = OpaqueToken::from_random([n; 32]).digest();
    let id = TokenId::from_bytes([n; 16]);
    let limits = TokenLimits::default();
    let new = NewToken { id, digest, agent_id: agent(holder), limits, ttl_seconds: 600 };
    it.registry.issue_token(new, Cause::default()).await.unwrap();
}

/// Stops an agent, has that in the trail, and says where it is.
async fn stop(it: &Opened, n: u8, action: StatusAction) -> Position {
    let cause = Cause {
        actor: "bob".to_owned(),
        role: Some("operator".to_owned()),
        reason: Some("leak".to_owned()),
        ..Cause::default()
    };
    let outcome = it.registry.decide_agent(agent(n), action, cause).await.unwrap();
    it.trail.finish().await;
    outcome.committed.position
}

pub(super) async fn revoke(it: &Opened, n: u8) -> Position {
    stop(it, n, StatusAction::Revoke(InFlight::Abort)).await
}

/// As every server does all the time.
pub(super) async fn close(it: &Opened) {
    it.trail.close_kills(MINUTE).await.unwrap();
}

pub(super) fn goes_on(n: u8) -> Happened {
    Happened::Decision(Box::new(decision(n)))
}

pub(super) fn applied(position: Position, in_flight: u32) -> Happened {
    Happened::Applied(Applied { position, in_flight, untracked: 0 })
}

pub(super) fn concerned(position: Position, decision: u64, ending: InFlight) -> Happened {
    Happened::InFlight { position, decision, ending }
}

pub(super) fn ends(decision: u64, disposition: Disposition) -> Happened {
    Happened::End { decision, end: End { disposition, ..end() } }
}

/// The rows of all kills.
pub(super) async fn rows(it: &Opened) -> (Vec<Activated>, Vec<Scope>, Vec<Completed>) {
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for entry in it.entries().await {
        match entry {
            Entry::KillActivated(row) => rows.0.push(row),
            Entry::KillScope(row) => rows.1.push(row),
            Entry::KillCompleted(row) => rows.2.push(row),
            _ => {}
        }
    }
    rows
}

pub async fn a_kill_has_three_rows_each_of_them_once<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    register(&it, 2, Some(1)).await;
    register(&it, 3, None).await;
    for (n, holder) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        token(&it, n, holder).await;
    }
    it.report(batch("web", 9, 1, vec![goes_on(1), goes_on(1), goes_on(3)])).await;
    let at = revoke(&it, 1).await;
    let other = if F::SHARED { Some(open(&fixture).await) } else { None };
    let other = other.as_ref().unwrap_or(&it);
    tokio::join!(close(&it), close(other));
    let (activated, scope, completed) = rows(&it).await;
    assert_eq!((activated.len(), scope.len(), completed.len()), (1, 1, 0));
    let Activated { kill_id, act, subject, actor, role, reason, in_flight, .. } = &activated[0];
    assert!(kill_id.starts_with("kil_"), "{kill_id}");
    assert_eq!((act.as_str(), subject), ("agent.revoked", &agent(1).to_string()));
    assert_eq!((actor.as_str(), role.as_deref()), ("bob", Some("operator")));
    assert_eq!((reason.as_deref(), in_flight.as_str()), (Some("leak"), "abort"));
    assert_eq!((activated[0].epoch, activated[0].revision), (at.epoch, at.revision.0));
    assert_eq!((scope[0].agents, scope[0].tokens, scope[0].capability_tokens), (2, 3, 0));
    assert_eq!(scope[0].agent_ids, [agent(1).to_string(), agent(2).to_string()]);
    // Its worker applies it, and one of its two requests goes on for a while.
    let events = vec![
        applied(at, 2),
        concerned(at, 1, InFlight::Abort),
        concerned(at, 2, InFlight::Abort),
        ends(1, Disposition::Escalated),
    ];
    it.report(batch("web", 9, 4, events)).await;
    close(&it).await;
    assert!(rows(&it).await.2.is_empty(), "a request is in flight");
    it.report(batch("web", 9, 8, vec![ends(2, Disposition::Committed)])).await;
    tokio::join!(close(&it), close(other), close(&it));
    close(other).await;
    let (activated, scope, completed) = rows(&it).await;
    assert_eq!((activated.len(), scope.len(), completed.len()), (1, 1, 1));
    let row = &completed[0];
    assert_eq!((row.workers, row.applied, row.in_flight), (1, 1, 2));
    assert_eq!((row.committed, row.rolled_back, row.escalated, row.open), (1, 0, 1, 0));
    assert!(!row.timed_out && row.unknown.is_empty(), "{row:?}");
}

pub async fn a_kill_is_closed_by_whichever_server_comes_after<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    let at = revoke(&it, 1).await;
    it.report(batch("web", 9, 2, vec![applied(at, 1)])).await;
    close(&it).await;
    it.close().await;
    let it = open(&fixture).await;
    let events = vec![concerned(at, 1, InFlight::Abort), ends(1, Disposition::RolledBack)];
    it.report(batch("web", 9, 3, events)).await;
    close(&it).await;
    it.close().await;
    let it = open(&fixture).await;
    close(&it).await;
    let (activated, scope, completed) = rows(&it).await;
    assert_eq!((activated.len(), scope.len(), completed.len()), (1, 1, 1));
    assert_eq!((completed[0].in_flight, completed[0].rolled_back), (1, 1));
}

pub async fn of_a_kill_that_nobody_was_there_for_nothing_is_claimed<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    // One that has ended, and one that comes later.
    let last = kya_core::audit::event::Batch { last: true, ..batch("web", 8, 1, vec![ended(1)]) };
    it.report(last).await;
    revoke(&it, 1).await;
    it.report(batch("web", 9, 1, vec![ended(2)])).await;
    close(&it).await;
    let completed = rows(&it).await.2;
    assert_eq!(completed.len(), 1);
    assert_eq!((completed[0].workers, completed[0].applied), (0, 0));
    assert!(!completed[0].timed_out);
}

pub async fn what_a_lost_worker_had_in_flight_is_escalated<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    register(&it, 2, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1), goes_on(2), goes_on(1)])).await;
    let at = revoke(&it, 1).await;
    // Of one of its requests it was heard, and of nothing else.
    let events = vec![applied(at, 2), concerned(at, 1, InFlight::Abort)];
    it.report(batch("web", 9, 4, events)).await;
    it.report(batch("api", 7, 1, vec![goes_on(1)])).await;
    close(&it).await;
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    close(&it).await;
    let completed = rows(&it).await.2;
    assert_eq!(completed.len(), 1);
    let row = &completed[0];
    assert_eq!((row.workers, row.applied), (1, 1), "the other one came later");
    assert_eq!((row.in_flight, row.escalated, row.open), (2, 2, 0), "two are of the agent");
    assert!(!row.timed_out, "{row:?}");
}

pub async fn whoever_takes_the_place_of_a_lost_worker_acknowledges_for_it<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    let at_slot = |slot, batch| kya_core::audit::event::Batch { slot, ..batch };
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    it.report(at_slot(1, batch("web", 8, 1, vec![goes_on(1)]))).await;
    let at = revoke(&it, 1).await;
    let before = Position { revision: kya_core::Revision(at.revision.0 - 1), ..at };
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    let id = rows(&it).await.0[0].kill_id.clone();
    let followed = async || {
        let store = it.trail.store();
        let kill = store.kill(&id).await.unwrap().unwrap();
        let workers = store.kill_workers(&kill, &KillAsked::default()).await.unwrap().workers;
        let of = |worker: &KillWorker| (worker.key.instance, worker.followed.is_some());
        workers.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(followed().await, [(9, false), (8, false)]);
    // Another proxy, and one that decides without the kill, stand for nobody.
    it.report(batch("api", 7, 1, vec![applied(at, 0)])).await;
    it.report(batch("web", 6, 1, vec![applied(before, 0)])).await;
    assert_eq!(followed().await, [(9, false), (8, false)]);
    it.report(batch("web", 6, 2, vec![applied(at, 0)])).await;
    assert_eq!(followed().await, [(9, true), (8, false)], "each for its own slot");
    it.report(at_slot(1, batch("web", 5, 1, vec![applied(at, 0)]))).await;
    assert_eq!(followed().await, [(9, true), (8, true)]);
    // One that was only away speaks for itself.
    it.report(batch("web", 9, 2, vec![applied(at, 0)])).await;
    assert_eq!(followed().await, [(9, false), (8, true)]);
}

/// What it reports may be held back by whoever is on the way, or come late.
pub async fn a_lost_worker_that_is_seen_again_is_waited_for<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    let mut last = batch("web", 8, 1, vec![goes_on(1)]);
    last.last = true;
    it.report(last).await;
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    let seen = |instance| (SourceKey { node: "web".to_owned(), instance }, 0);
    it.trail.store().seen(&[seen(9), seen(8)], it.clock.now()).await.unwrap();
    let at = revoke(&it, 1).await;
    let id = rows(&it).await.0[0].kill_id.clone();
    let waited_for = async || {
        let store = it.trail.store();
        let kill = store.kill(&id).await.unwrap().unwrap();
        let workers = store.kill_workers(&kill, &KillAsked::default()).await.unwrap().workers;
        let of = |it: &KillWorker| (it.key.instance, it.state, it.applied.is_some());
        workers.iter().map(of).collect::<Vec<_>>()
    };
    // The other one has said itself that it ended.
    assert_eq!(waited_for().await, [(9, SourceState::Alive, false)]);
    it.report(batch("web", 9, 2, vec![applied(at, 0)])).await;
    assert_eq!(waited_for().await, [(9, SourceState::Alive, true)]);
    // Gone once more, that is said once more.
    it.trail.lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    let lost = it.entries().await;
    let lost = lost.iter().filter(|entry| matches!(entry, Entry::WorkerLost(_))).count();
    assert_eq!(lost, 2);
}

pub async fn a_kill_is_closed_in_time_whatever_is_not_known<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1), goes_on(1)])).await;
    it.report(batch("api", 7, 1, vec![goes_on(1)])).await;
    it.report(batch("api", 6, 1, vec![goes_on(1)])).await;
    let at = stop(&it, 1, StatusAction::Suspend(InFlight::Drain)).await;
    // One drains, one says of only one of two what it was, one says nothing.
    let events =
        vec![applied(at, 2), concerned(at, 1, InFlight::Drain), concerned(at, 2, InFlight::Abort)];
    it.report(batch("web", 9, 3, events)).await;
    it.report(batch("api", 7, 2, vec![applied(at, 1)])).await;
    it.clock.set(1_059);
    close(&it).await;
    assert!(rows(&it).await.2.is_empty());
    it.clock.set(1_061);
    close(&it).await;
    close(&it).await;
    let completed = rows(&it).await.2;
    assert_eq!(completed.len(), 1);
    let row = &completed[0];
    assert_eq!((row.workers, row.applied, row.in_flight), (3, 2, 2));
    assert_eq!((row.open, row.escalated), (1, 1), "what was to be cut is not known");
    assert!(row.timed_out);
    assert_eq!(row.unknown, ["api/0000000000000006", "api/0000000000000007"]);
}

pub async fn each_kill_has_the_requests_of_its_own_agents<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    register(&it, 1, None).await;
    register(&it, 2, None).await;
    it.report(batch("web", 9, 1, vec![goes_on(1)])).await;
    revoke(&it, 1).await;
    let at = revoke(&it, 2).await;
    // The worker applies both at once. One request had ended when its decision was sent.
    let cut = Happened::Decision(Box::new(kya_core::audit::event::Decision {
        end: Some(End { disposition: Disposition::RolledBack, ..end() }),
        ..decision(2)
    }));
    let events = vec![
        cut,
        applied(at, 2),
        concerned(at, 1, InFlight::Abort),
        concerned(at, 2, InFlight::Abort),
        ends(1, Disposition::Escalated),
    ];
    it.report(batch("web", 9, 2, events)).await;
    close(&it).await;
    let completed = rows(&it).await.2;
    let counts: Vec<_> =
        completed.iter().map(|row| (row.in_flight, row.escalated, row.rolled_back)).collect();
    assert_eq!(counts, [(1, 1, 0), (1, 0, 1)]);
}
