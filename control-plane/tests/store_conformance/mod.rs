//! The tests that every store must pass.

#![allow(unreachable_pub, reason = "reached from nowhere but the tests beside it")]

mod approvals;
mod delegation;
mod drills;
mod idempotency;
mod issuer;
mod keys;
mod kills;
mod listing;
mod nodes;
mod operators;
mod policies;
mod selections;
mod servers;
mod stops;

use std::sync::Arc;

use async_trait::async_trait;
use kya_control_plane::store::StatusAction::Restore;
use kya_control_plane::store::{
    Agent, AgentFilter, Cause, NewAgent, NewToken, Outcome, RECORDS_A_PAGE, ShownStatus,
    StatusAction, Store, StoreError, Token, TokenLimits,
};
use kya_control_plane::time::{Clock, UnixMicros};
use kya_core::{
    AgentId, InFlight, OpaqueToken, Position, Revision, Status, TokenId, UnixSeconds, wire,
};
use tokio::sync::mpsc;

use crate::support::TestClock;
use crate::support::state::Known;
pub use approvals::*;
pub use delegation::*;
pub use drills::*;
pub use idempotency::*;
pub use issuer::*;
pub use keys::*;
pub use kills::*;
pub use listing::*;
pub use nodes::*;
pub use operators::*;
pub use policies::*;
pub use selections::*;
pub use servers::*;
pub use stops::*;

pub const REVOKE: StatusAction = StatusAction::Revoke(InFlight::Abort);
pub const SUSPEND: StatusAction = StatusAction::Suspend(InFlight::Drain);

/// A place where a store can be opened again and again.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    async fn new() -> Self;
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store>;
    /// Waits until every store that was closed is.
    async fn closed(&self) {}
    /// Keeps a copy of what is stored now. No store is open.
    async fn back_up(&self);
    /// Puts the copy in place of what is stored now. No store is open.
    async fn put_back(&self);
}

macro_rules! conformance {
    ($fixture:ty) => {
        $crate::store_conformance::conformance!($fixture:
            an_empty_store_is_at_revision_zero,
            every_change_is_one_revision_one_update_and_one_event,
            deciding_again_changes_nothing_and_tells_of_the_first_time,
            revocation_is_final,
            a_suspended_agent_can_be_restored,
            a_revocation_wins_whatever_comes_at_the_same_time,
            revisions_are_gapless_under_concurrent_writers,
            tokens_are_issued_to_active_agents_only,
            a_token_is_revoked_once,
            what_does_not_exist_is_named,
            a_refused_change_leaves_no_trace,
            a_reopened_store_has_lost_nothing,
            every_opening_begins_a_later_epoch,
            a_store_put_back_from_a_backup_is_at_a_later_position,
            time_of_commits_never_decreases,
            a_token_lasts_from_now_and_not_from_a_commit_in_the_future,
            a_stricter_decision_is_a_change_and_a_milder_one_is_none,
            every_agent_has_one_grant_of_its_own,
            the_updates_lead_to_the_records,
            records_leave_out_tokens_past_the_horizon,
            pages_are_ordered_and_complete,
            a_node_is_registered_found_by_its_credential_and_revoked_once,
            a_node_registration_is_an_event_and_no_change_of_authority,
            a_name_and_a_credential_are_used_once,
            node_registrations_survive_a_reopening_and_are_paged_by_name,
            an_operator_is_added_found_by_its_key_and_revoked_once,
            an_operator_is_an_event_and_no_change_of_authority,
            an_operators_name_and_key_are_used_once,
            operators_survive_a_reopening_and_are_paged_by_name,
            a_decision_keeps_the_name_of_whoever_made_it,
            a_step_with_the_keys_is_one_revision_one_event_and_no_change_of_authority,
            of_two_steps_that_follow_the_same_one_is_taken,
            a_principal_is_added_once_and_decided_about_as_an_agent_is,
            offboarding_is_one_record_whatever_the_number_of_agents,
            who_was_offboarded_gets_no_agents_and_her_agents_no_tokens,
            one_action_is_stopped_and_the_others_go_on,
            a_revoked_capability_is_not_restored_and_a_suspended_one_is,
            an_agent_has_at_most_so_many_stopped_capabilities,
            of_restored_capabilities_the_oldest_is_forgotten,
            a_halt_is_one_record_and_is_resumed,
            the_strictest_of_two_stops_at_the_same_time_wins,
            every_kind_of_stop_survives_a_reopening_and_leads_to_the_same_records,
            an_expired_agent_is_shown_as_that_and_gets_no_tokens,
            agents_are_found_by_labels_owner_and_status,
            a_selection_is_stopped_in_one_revision_and_each_agent_has_an_event,
            a_selection_that_is_stopped_already_changes_nothing,
            a_selection_of_more_than_a_delta_holds_goes_on_in_the_next_revision,
            a_preview_says_what_a_stop_would_do_and_writes_nothing,
            a_policy_has_versions_that_count_up_and_stay,
            a_policy_is_changed_only_as_its_writer_has_seen_it,
            a_policy_is_rolled_back_by_a_new_version,
            a_revoked_policy_permits_nothing_until_it_is_rolled_back,
            an_agent_is_put_under_a_policy_that_there_is,
            a_policy_travels_before_the_agents_that_are_under_it,
            a_successor_takes_the_place_of_a_revoked_agent_once,
            a_sub_agent_acts_for_one_that_may_and_for_no_longer,
            a_chain_of_agents_has_an_end,
            a_sub_agent_has_the_owner_of_its_parent_and_no_wider_policy,
            a_suspension_that_drains_says_since_when,
            tokens_for_the_same_share_a_grant_and_others_have_their_own,
            all_tokens_of_an_agent_are_taken_back_by_one_record,
            an_expiry_is_noted_once_when_it_has_come,
            of_many_that_register_one_key_at_once_one_gets_it,
            an_agent_is_put_under_no_wider_policy_than_those_above_it,
            a_selection_reaches_also_those_who_act_for_its_agents,
            agents_are_listed_in_every_order_page_by_page,
            an_issuer_has_keys_that_are_published_then_sign_then_are_retired,
            a_capability_token_is_noted_and_only_its_revocation_is_pushed,
            an_assertion_is_used_once_and_forgotten_when_it_is_over,
            a_token_lives_no_longer_than_issuer_and_policies_say,
            capability_tokens_are_selected_as_opaque_ones_are,
            a_server_is_known_from_its_first_word_to_its_end_and_not_longer_than_asked_for,
            a_restoration_is_asked_for_by_one_and_carried_out_by_another,
            everything_that_can_be_restored_can_be_by_two,
            an_approval_is_void_when_something_else_was_decided_meanwhile,
            of_many_approvals_at_once_one_has_an_effect,
            an_approval_ends_by_its_time_or_by_whoever_rejects_it,
            at_most_so_many_restorations_wait,
            whoever_was_shut_out_meanwhile_neither_approves_nor_has_it_approved,
            a_stop_that_changes_nothing_ends_what_waits_to_undo_it,
            nobody_fills_the_list_of_what_waits_alone,
            a_keyed_request_is_begun_once_and_what_came_of_it_is_kept_a_day,
            of_one_keyed_request_that_comes_many_times_at_once_one_is_begun,
            every_kind_of_stop_is_a_kill_and_nothing_else_is,
            a_policy_that_is_revoked_is_a_kill,
            a_kill_reaches_what_counted_at_its_instant,
            kills_are_listed_the_newest_first_page_by_page,
            a_drill_is_the_only_open_one_and_ends_once,
        );
    };
    ($fixture:ty: $($test:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let fixture = <$fixture as $crate::store_conformance::Fixture>::new().await;
            $crate::store_conformance::$test(fixture).await;
        })*
    };
}
pub(crate) use conformance;

fn agent_id(n: u64) -> AgentId {
    AgentId::from_parts(1, n.to_be_bytes().repeat(2)[..10].try_into().unwrap())
}

fn cause(reason: &str) -> Cause {
    Cause {
        actor: "admin".to_owned(),
        reason: Some(reason.to_owned()),
        incident_id: Some("INC-1".to_owned()),
        ..Cause::default()
    }
}

async fn register_as(store: &dyn Store, n: u64) -> AgentId {
    let new = NewAgent::named(agent_id(n), format!("agent {n}"));
    store.register_agent(new, Cause::default()).await.unwrap().record.id
}

pub async fn register(store: &dyn Store) -> AgentId {
    register_as(store, 1).await
}

pub async fn decide(
    store: &dyn Store,
    agent: AgentId,
    action: StatusAction,
) -> Result<Outcome<Agent>, StoreError> {
    store.decide_agent(agent, action, cause("because")).await
}

async fn issue(
    store: &dyn Store,
    agent: AgentId,
    n: u8,
    ttl_seconds: u64,
) -> Result<Outcome<Token>, StoreError> {
    let digest = OpaqueToken::from_random([n; 32]).digest();
    let id = TokenId::from_bytes([n; 16]);
    let limits = TokenLimits::default();
    let new = NewToken { id, digest, agent_id: agent, limits, ttl_seconds };
    store.issue_token(new, Cause::default()).await
}

/// All authority, and its position.
pub async fn records(store: &dyn Store, horizon: u64) -> (Position, Vec<wire::Change>) {
    let (pages, mut read) = mpsc::channel::<Vec<wire::Change>>(1);
    let take = async {
        let mut all = Vec::new();
        while let Some(page) = read.recv().await {
            assert!((1..=RECORDS_A_PAGE).contains(&page.len()));
            all.extend(page);
        }
        all
    };
    let (position, all) = tokio::join!(store.records(UnixSeconds(horizon), pages), take);
    (position.unwrap(), all)
}

async fn revision(store: &dyn Store) -> u64 {
    store.head().await.unwrap().position.revision.0
}

/// All that a store says, but for the epoch of its opening.
async fn everything(store: &dyn Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let head = store.head().await.unwrap();
    (
        (head.position.revision, head.at),
        store.agents(AgentFilter::default(), None, 1000).await.unwrap(),
        store.tokens(None, None, 1000).await.unwrap(),
        store.updates_after(Revision(0), 1000).await.unwrap(),
        store.nodes(None, 1000).await.unwrap(),
        store.operators(None, 1000).await.unwrap(),
        store.events_after(0, 1000).await.unwrap(),
    )
}

pub async fn an_empty_store_is_at_revision_zero(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(7))).await;
    let head = store.head().await.unwrap();
    assert_eq!(head.position.revision, Revision(0));
    assert_eq!(head.position.epoch, 7_000);
    assert!(store.updates_after(Revision(0), 10).await.unwrap().is_empty());
    assert_eq!(store.committed(Revision(0)).await.unwrap(), None);
    assert_eq!(records(&*store, 0).await.0, head.position);
}

pub async fn every_change_is_one_revision_one_update_and_one_event(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(7))).await;
    let agent = register(&*store).await;
    let token = issue(&*store, agent, 1, 60).await.unwrap().record.id;
    for action in [SUSPEND, Restore, REVOKE] {
        assert!(decide(&*store, agent, action).await.unwrap().changed);
    }
    assert!(store.revoke_token(token, cause("leaked")).await.unwrap().changed);

    let updates = store.updates_after(Revision(0), 100).await.unwrap();
    let revisions: Vec<_> = updates.iter().map(|u| u.committed.position.revision.0).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    let events = store.events_after(0, 100).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    let all = ["agent.registered", "token.issued", "agent.suspended", "agent.restored"];
    assert_eq!(actions, [&all[..], &["agent.revoked", "token.revoked"]].concat());
    for (event, update) in events.iter().zip(&updates) {
        assert_eq!(event.committed, update.committed);
        let revision = update.committed.position.revision;
        assert_eq!(store.committed(revision).await.unwrap(), Some(update.committed));
    }
    assert_eq!(events[4].subject, agent.to_string());
    assert_eq!(events[4].cause, cause("because"));
    assert_eq!(events[5].subject, token.to_string());
    assert_eq!(store.updates_after(Revision(4), 1).await.unwrap(), updates[4..5]);
    assert_eq!(store.events_after(events[3].sequence, 1).await.unwrap(), events[4..5]);
}

pub async fn deciding_again_changes_nothing_and_tells_of_the_first_time(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    let fresh = decide(&*store, agent, Restore).await.unwrap();
    assert!(!fresh.changed, "a registered agent is active");
    assert_eq!(fresh.committed.position.revision, Revision(1));
    for action in [SUSPEND, REVOKE] {
        clock.set(20);
        let first = decide(&*store, agent, action).await.unwrap();
        clock.set(30);
        let second = decide(&*store, agent, action).await.unwrap();
        assert!(first.changed && !second.changed);
        assert_eq!((first.record, first.committed), (second.record, second.committed));
    }
    assert_eq!(revision(&*store).await, 3);
    assert_eq!(store.events_after(0, 100).await.unwrap().len(), 3);
}

pub async fn revocation_is_final(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    let revoked = decide(&*store, agent, REVOKE).await.unwrap().record;
    assert_eq!(revoked.revoked_at, Some(UnixMicros(1_000_000)));
    for action in [SUSPEND, Restore] {
        let refused = decide(&*store, agent, action).await.unwrap_err();
        assert!(matches!(refused, StoreError::RevokedIsFinal(id) if id == agent), "{refused}");
    }
    assert_eq!(store.agent(agent).await.unwrap(), revoked);
}

pub async fn a_suspended_agent_can_be_restored(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    let suspended = decide(&*store, agent, SUSPEND).await.unwrap().record;
    assert_eq!(suspended.status, Status::Suspended);
    assert_eq!(suspended.status_reason.as_deref(), Some("because"));
    assert_eq!(suspended.incident_id.as_deref(), Some("INC-1"));
    let restore = store.decide_agent(agent, Restore, Cause::default());
    let restored = restore.await.unwrap().record;
    assert_eq!(restored.status, Status::Active);
    assert_eq!((restored.revoked_at, restored.status_reason), (None, None));
}

pub async fn a_revocation_wins_whatever_comes_at_the_same_time(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    for n in 0..20 {
        let agent = register_as(&*store, n).await;
        decide(&*store, agent, SUSPEND).await.unwrap();
        let (revoked, _) =
            tokio::join!(decide(&*store, agent, REVOKE), decide(&*store, agent, Restore),);
        assert!(revoked.unwrap().changed);
        assert_eq!(store.agent(agent).await.unwrap().status, Status::Revoked);
    }
}

pub async fn revisions_are_gapless_under_concurrent_writers(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let writers: Vec<_> = (0..8u64)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..25 {
                    register_as(&*store, writer * 1000 + n).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let updates = store.updates_after(Revision(0), 1000).await.unwrap();
    let revisions: Vec<_> = updates.iter().map(|u| u.committed.position.revision.0).collect();
    assert_eq!(revisions, (1..=200).collect::<Vec<_>>());
}

pub async fn tokens_are_issued_to_active_agents_only(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register(&*store).await;
    let token = issue(&*store, agent, 1, 60).await.unwrap().record;
    assert_eq!((token.expires, token.issued_at), (UnixSeconds(160), UnixMicros(100_000_000)));
    for action in [SUSPEND, REVOKE] {
        decide(&*store, agent, action).await.unwrap();
        let refused = issue(&*store, agent, 2, 60).await.unwrap_err();
        assert!(matches!(refused, StoreError::AgentNotActive { .. }), "{refused}");
    }
    assert_eq!(store.tokens(Some(agent), None, 10).await.unwrap(), [token]);
}

pub async fn a_token_is_revoked_once(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    let (kept, revoked) = (issue(&*store, agent, 1, 60).await, issue(&*store, agent, 2, 60).await);
    let (kept, revoked) = (kept.unwrap().record, revoked.unwrap().record.id);
    clock.set(5);
    let first = store.revoke_token(revoked, cause("leaked")).await.unwrap();
    clock.set(9);
    let second = store.revoke_token(revoked, cause("again")).await.unwrap();
    assert!(first.changed && !second.changed);
    assert_eq!(first.record.revoked_at, Some(UnixMicros(5_000_000)));
    assert_eq!((first.record.clone(), first.committed), (second.record, second.committed));
    assert_eq!(store.tokens(None, None, 10).await.unwrap(), [kept, first.record]);
}

pub async fn what_does_not_exist_is_named(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let (agent, token) = (agent_id(1), TokenId::from_bytes([1; 16]));
    for error in [
        store.agent(agent).await.unwrap_err(),
        decide(&*store, agent, REVOKE).await.unwrap_err(),
        issue(&*store, agent, 1, 60).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), format!("there is no agent {agent}"));
    }
    let error = store.revoke_token(token, Cause::default()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no token {token}"));
}

pub async fn a_refused_change_leaves_no_trace(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    issue(&*store, agent, 1, 60).await.unwrap();
    decide(&*store, agent, REVOKE).await.unwrap();
    let before = everything(&*store).await;
    assert!(decide(&*store, agent, Restore).await.is_err());
    assert!(issue(&*store, agent, 2, 60).await.is_err());
    // The same id again, and the same digest again.
    let twice = NewAgent::named(agent, "twin");
    assert!(store.register_agent(twice, Cause::default()).await.is_err());
    let other = register_as(&*store, 2).await;
    let after_other = everything(&*store).await;
    assert!(issue(&*store, other, 1, 60).await.is_err());
    assert!(everything(&*store).await == after_other, "a refused token left a trace");
    assert!(before != after_other);
}

pub async fn a_reopened_store_has_lost_nothing(fixture: impl Fixture) {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::at(50));
    let agent = agent_id(1);
    let token = TokenId::from_bytes([1; 16]);
    for step in 0..6 {
        // Not closed: the old one is simply left, as by a crash.
        let store = fixture.open(clock.clone()).await;
        match step {
            0 => drop(register(&*store).await),
            1 => drop(issue(&*store, agent, 1, 60).await.unwrap()),
            2 => drop(decide(&*store, agent, SUSPEND).await.unwrap()),
            3 => drop(decide(&*store, agent, Restore).await.unwrap()),
            4 => drop(store.revoke_token(token, cause("leaked")).await.unwrap()),
            _ => drop(decide(&*store, agent, REVOKE).await.unwrap()),
        }
        let before = everything(&*store).await;
        let reopened = fixture.open(Arc::new(TestClock::at(99))).await;
        assert!(everything(&*reopened).await == before, "something was lost after step {step}");
        assert_eq!(revision(&*reopened).await, step + 1);
    }
}

pub async fn every_opening_begins_a_later_epoch(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    let first = decide(&*store, agent, REVOKE).await.unwrap().committed;
    assert_eq!((first.position.epoch, first.position.revision), (50_000, Revision(2)));
    store.close().await;
    fixture.closed().await;
    // Later, at the same time, and with a clock that was set back.
    for (second, epoch) in [(60, 60_000), (60, 60_001), (40, 60_002)] {
        clock.set(second);
        let store = fixture.open(clock.clone()).await;
        let head = store.head().await.unwrap();
        assert_eq!(head.position, Position { epoch, revision: Revision(2) });
        assert_eq!(head.at, first.at, "opening is no commit");
        assert_eq!(records(&*store, 0).await.0, head.position);
        // What was committed before keeps its epoch.
        assert_eq!(store.committed(Revision(2)).await.unwrap(), Some(first));
        assert_eq!(decide(&*store, agent, REVOKE).await.unwrap().committed, first);
        store.close().await;
        fixture.closed().await;
    }
    let store = fixture.open(clock).await;
    register_as(&*store, 2).await;
    let updates = store.updates_after(Revision(0), 10).await.unwrap();
    let positions: Vec<_> = updates.iter().map(|update| update.committed.position).collect();
    let at = |epoch, revision| Position { epoch, revision: Revision(revision) };
    assert_eq!(positions, [at(50_000, 1), at(50_000, 2), at(60_003, 3)]);
    assert_eq!(store.head().await.unwrap().position, at(60_003, 3));
}

pub async fn a_store_put_back_from_a_backup_is_at_a_later_position(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(50));
    let store = fixture.open(clock.clone()).await;
    let agents = [register_as(&*store, 1).await, register_as(&*store, 2).await];
    store.close().await;
    fixture.back_up().await;

    clock.set(60);
    let store = fixture.open(clock.clone()).await;
    let lost = decide(&*store, agents[0], REVOKE).await.unwrap().committed;
    store.close().await;
    fixture.put_back().await;

    clock.set(70);
    let store = fixture.open(clock.clone()).await;
    assert_eq!(store.agent(agents[0]).await.unwrap().status, Status::Active);
    assert!(store.head().await.unwrap().position > lost.position);
    let again = decide(&*store, agents[1], REVOKE).await.unwrap().committed;
    assert_eq!(again.position.revision, lost.position.revision);
    assert!(again.position > lost.position, "{again:?} after {lost:?}");
}

pub async fn a_token_lasts_from_now_and_not_from_a_commit_in_the_future(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    clock.set(900_000);
    let agent = register(&*store).await;
    clock.set(200);
    let token = issue(&*store, agent, 1, 60).await.unwrap();
    assert_eq!(token.record.expires, UnixSeconds(260));
    assert_eq!(token.committed.at, UnixMicros(900_000_000_000), "the order of time is kept");
}

pub async fn time_of_commits_never_decreases(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    clock.set(40);
    let back = decide(&*store, agent, SUSPEND).await.unwrap();
    assert_eq!(back.committed.at, UnixMicros(100_000_000));
    assert_eq!(back.record.status_changed_at, back.committed.at);
    let reopened = fixture.open(clock.clone()).await;
    let still = decide(&*reopened, agent, Restore).await.unwrap();
    assert_eq!(still.committed.at, UnixMicros(100_000_000));
    clock.set(101);
    let forth = decide(&*reopened, agent, REVOKE).await.unwrap();
    assert_eq!(forth.committed.at, UnixMicros(101_000_000));
}

pub async fn the_updates_lead_to_the_records(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    for n in 1..=9 {
        let agent = register_as(&*store, u64::from(n)).await;
        let token = issue(&*store, agent, n, 60).await.unwrap().record.id;
        match n % 3 {
            0 => drop(decide(&*store, agent, REVOKE).await.unwrap()),
            1 => drop(decide(&*store, agent, SUSPEND).await.unwrap()),
            _ => drop(store.revoke_token(token, cause("leaked")).await.unwrap()),
        }
    }
    let (position, records) = records(&*store, 0).await;
    assert_eq!(position.revision, Revision(27));
    let updates = store.updates_after(Revision(0), 100).await.unwrap();
    let replayed = Known::replay(updates.into_iter().flat_map(|update| update.delta.changes));
    assert_eq!((replayed.agents.len(), replayed.grants.len(), replayed.tokens.len()), (9, 9, 9));
    assert_eq!(Known::replay(records), replayed);
}

pub async fn records_leave_out_tokens_past_the_horizon(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register(&*store).await;
    for (n, ttl) in [(1, 10), (2, 20), (3, 30)] {
        issue(&*store, agent, n, ttl).await.unwrap();
    }
    store.revoke_token(TokenId::from_bytes([3; 16]), cause("leaked")).await.unwrap();
    let tokens = |horizon| {
        let store = Arc::clone(&store);
        async move { Known::replay(records(&*store, horizon).await.1).tokens }
    };
    assert_eq!(tokens(109).await.len(), 3);
    assert_eq!(tokens(110).await.len(), 2);
    let last = tokens(120).await;
    assert_eq!(last.len(), 1);
    let told = last.values().next().unwrap();
    assert!(told.revoked, "a revoked token is still told");
    assert_eq!((told.issued, told.expires), (UnixSeconds(100), UnixSeconds(130)));
    assert_eq!(tokens(130).await.len(), 0);
}

pub async fn every_agent_has_one_grant_of_its_own(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agents = [register_as(&*store, 1).await, register_as(&*store, 2).await];
    let tokens = [
        issue(&*store, agents[0], 1, 60).await.unwrap().record,
        issue(&*store, agents[0], 2, 60).await.unwrap().record,
        issue(&*store, agents[1], 3, 60).await.unwrap().record,
    ];
    assert_eq!(tokens[0].grant, tokens[1].grant);
    assert_ne!(tokens[0].grant, tokens[2].grant);
    let known = Known::replay(records(&*store, 0).await.1);
    let holders: Vec<_> = tokens.iter().map(|token| known.grants[&token.grant.get()]).collect();
    assert_eq!(holders, [agents[0], agents[0], agents[1]]);
    // The grant comes in the same revision as its agent.
    let updates = store.updates_after(Revision(0), 2).await.unwrap();
    assert!(updates.iter().all(|update| update.delta.changes.len() == 2));
    // A refused registration leaves none behind.
    let twice = NewAgent::named(agents[0], "twin");
    assert!(store.register_agent(twice, Cause::default()).await.is_err());
    assert_eq!(Known::replay(records(&*store, 0).await.1).grants.len(), 2);
}

pub async fn a_stricter_decision_is_a_change_and_a_milder_one_is_none(fixture: impl Fixture) {
    use InFlight::{Abort, Drain};
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    for action in [StatusAction::Suspend, StatusAction::Revoke] {
        clock.set(20);
        let drained = decide(&*store, agent, action(Drain)).await.unwrap();
        assert!(drained.changed && drained.record.in_flight == Drain);
        clock.set(30);
        let aborted = decide(&*store, agent, action(Abort)).await.unwrap();
        assert!(aborted.changed && aborted.record.in_flight == Abort);
        assert_eq!(aborted.record.revoked_at, drained.record.revoked_at, "revoked since then");
        let again = decide(&*store, agent, action(Drain)).await.unwrap();
        assert_eq!((again.changed, again.record), (false, aborted.record));
    }
    let known = Known::replay(records(&*store, 0).await.1);
    let standing = known.agents[&agent].standing;
    assert_eq!((standing.status, standing.in_flight), (Status::Revoked, Abort));
    assert_eq!(revision(&*store).await, 5);
}

pub async fn pages_are_ordered_and_complete(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    for n in [5, 3, 9, 1, 7] {
        let agent = register_as(&*store, n).await;
        if n > 4 {
            decide(&*store, agent, SUSPEND).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    loop {
        let page = store.agents(AgentFilter::default(), seen.last().copied(), 2).await.unwrap();
        seen.extend(page.iter().map(|agent| agent.id));
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(agent_id));
    let status = Some(ShownStatus::Decided(Status::Suspended));
    let filter = AgentFilter { status, ..AgentFilter::default() };
    let suspended = store.agents(filter, Some(agent_id(5)), 9).await.unwrap();
    assert_eq!(suspended.iter().map(|agent| agent.id).collect::<Vec<_>>(), [7, 9].map(agent_id));

    for (n, holder) in [(4, 1), (2, 3), (6, 1)] {
        issue(&*store, agent_id(holder), n, 60).await.unwrap();
    }
    let ids = |tokens: Vec<Token>| tokens.iter().map(|t| t.id.to_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(ids(store.tokens(None, None, 9).await.unwrap()), [2, 4, 6]);
    assert_eq!(ids(store.tokens(Some(agent_id(1)), None, 9).await.unwrap()), [4, 6]);
    let after = Some(TokenId::from_bytes([4; 16]));
    assert_eq!(ids(store.tokens(Some(agent_id(1)), after, 9).await.unwrap()), [6]);
}
