//! The tests that the audit trail must pass on every store.

#![allow(unreachable_pub, reason = "reached from nowhere but the tests beside it")]

mod acts;
mod attacks;
mod before_bundles;
mod bundles;
mod keys;
mod kills;
mod reports;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kya_control_plane::audit::{AuditKeys, Trail};
use kya_control_plane::data_dir::DataDir;
use kya_control_plane::store::Store;
use kya_control_plane::store::audit::{AuditStore, RecordFilter, StoredLine};
use kya_control_plane::telemetry::Metrics;
use kya_core::audit::event::{Batch, Body, Decision, End, Event, Happened};
use kya_core::audit::merkle::{Frontier, NodeHash};
use kya_core::audit::{
    Canonical, ChainHash, Disposition, Entry, Record, SignedCheckpoint, Timestamp, Verdict,
    VerifierKey,
};
use kya_core::{AgentId, Position, Revision};

use crate::support::TestClock;
pub use acts::*;
pub use attacks::*;
pub use before_bundles::*;
pub use bundles::*;
pub use keys::*;
pub use kills::*;
pub use reports::*;

/// A place where a registry and a trail can be opened again and again.
#[async_trait]
pub trait Fixture: Send + Sync + Sized + 'static {
    async fn new() -> Self;
    async fn open(&self, clock: Arc<TestClock>) -> (Arc<dyn Store>, Arc<dyn AuditStore>);
    /// A directory for keys.
    fn dir(&self) -> &Path;
    /// Whether several servers can use it at once.
    const SHARED: bool;
}

macro_rules! conformance {
    ($fixture:ty) => {
        $crate::trail_conformance::conformance!($fixture:
            a_new_trail_begins_with_its_key,
            every_report_is_there_once_and_in_order,
            what_is_missing_is_named_and_what_came_twice_is_not_there_twice,
            many_workers_at_once_make_one_chain,
            an_end_says_whose_request_it_was,
            very_many_requests_of_many_workers_end_at_once,
            a_worker_that_ends_is_closed_and_one_that_is_gone_is_lost_once,
            whoever_comes_back_goes_on,
            tokens_are_called_by_their_names_where_they_are_known,
            what_is_done_is_in_the_trail_once_and_in_order,
            a_stop_is_followed_by_a_checkpoint,
            a_reopened_trail_goes_on,
            every_proof_proves_it,
            a_key_is_followed_by_the_next_and_both_verify,
            nothing_is_signed_by_a_key_that_another_has_followed,
            a_server_without_the_key_appends_and_does_not_sign,
            a_key_is_announced_and_signs_once_it_is_activated,
            a_lost_key_is_recovered_by_whoever_says_which_and_why,
            records_are_found_by_what_they_say_page_by_page,
            a_kill_has_three_rows_each_of_them_once,
            a_kill_is_closed_by_whichever_server_comes_after,
            of_a_kill_that_nobody_was_there_for_nothing_is_claimed,
            what_a_lost_worker_had_in_flight_is_escalated,
            whoever_takes_the_place_of_a_lost_worker_acknowledges_for_it,
            a_lost_worker_that_is_seen_again_is_waited_for,
            a_kill_is_closed_in_time_whatever_is_not_known,
            each_kill_has_the_requests_of_its_own_agents,
            a_node_has_so_many_workers_at_a_time_and_no_more,
            nobody_has_applied_what_was_not_done_yet,
            a_worker_reports_by_the_registration_that_began_it,
            a_number_that_was_taken_with_something_else_is_refused_and_said,
            of_two_that_report_as_one_worker_at_once_one_is_refused,
            whoever_jumps_ahead_as_another_is_found_when_that_one_comes,
            a_worker_of_which_two_report_completes_no_kill,
            more_workers_than_are_looked_at_leave_a_kill_incomplete,
            more_requests_than_are_counted_leave_a_kill_incomplete,
            requests_that_were_not_remembered_leave_a_kill_incomplete,
            requests_are_counted_by_the_database_as_they_were_one_by_one,
            of_a_worker_that_has_ended_no_request_is_remembered,
            many_invented_workers_are_lost_at_one_look,
            a_page_looks_at_so_much_and_says_where_the_next_one_begins,
            a_page_ends_anywhere_in_a_bundle,
            a_record_may_be_longer_than_a_bundle,
            of_a_bundle_that_is_archived_what_is_kept_stays,
        );
    };
    ($fixture:ty: $($case:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::trail_conformance::$case::<$fixture>().await;
        })*
    };
}
pub(crate) use conformance;

/// A trail that is open, and what it is made on.
pub struct Opened {
    pub trail: Arc<Trail>,
    pub registry: Arc<dyn Store>,
    pub clock: Arc<TestClock>,
}

pub async fn open<F: Fixture>(fixture: &F) -> Opened {
    open_at(fixture, fixture.dir(), 1_000).await
}

/// With the keys in that directory.
pub async fn open_at<F: Fixture>(fixture: &F, dir: &Path, second: u64) -> Opened {
    let clock = Arc::new(TestClock::at(second));
    let (registry, store) = fixture.open(Arc::clone(&clock)).await;
    let keys = AuditKeys::new(DataDir::open(&dir.join("keys")).unwrap());
    let metrics = Arc::new(Metrics::new().unwrap());
    let (trail, _) =
        Trail::start(store, Arc::clone(&registry), keys, Arc::clone(&clock) as _, metrics)
            .await
            .unwrap();
    Opened { trail, registry, clock }
}

impl Opened {
    pub async fn close(self) {
        self.trail.store().close().await;
        self.registry.close().await;
    }

    /// All records, and with them that they are one chain and one tree.
    pub async fn records(&self) -> Vec<Record> {
        let store = self.trail.store();
        let (mut next, mut lines) = (Some(1), Vec::new());
        while let Some(first) = next {
            let page = store.lines(&RecordFilter::all(first, u64::MAX), 300).await.unwrap();
            lines.extend(page.lines);
            next = page.next;
        }
        check_chain(&lines);
        let records = lines.iter().map(|line| serde_json::from_str(&line.record).unwrap());
        let records: Vec<Record> = records.collect();
        for (place, record) in (1..).zip(&records) {
            assert_eq!(record.seq, place);
        }
        self.check_checkpoint(&lines).await;
        records
    }

    /// The newest checkpoint is signed by a key of the trail, and of these records.
    async fn check_checkpoint(&self, lines: &[StoredLine]) {
        let Some(row) = self.trail.store().checkpoint(None).await.unwrap() else { return };
        let signed = SignedCheckpoint::parse(&row.note).unwrap();
        let mut keys = Vec::new();
        for key in self.trail.store().keys().await.unwrap() {
            keys.push(key.verifier_key.parse::<VerifierKey>().unwrap());
        }
        let checkpoint = keys.iter().find_map(|key| signed.verified_by(key)).unwrap();
        let of = &lines[..usize::try_from(checkpoint.size).unwrap()];
        assert_eq!(checkpoint.chain, of.last().unwrap().hash);
        assert_eq!(checkpoint.root, root(of));
    }

    pub async fn entries(&self) -> Vec<Entry> {
        self.records().await.into_iter().map(|record| record.entry).collect()
    }

    pub async fn report(&self, batch: Batch) -> u64 {
        self.trail.report("fleet", batch).await.unwrap()
    }
}

pub fn root(lines: &[StoredLine]) -> NodeHash {
    let mut tree = Frontier::new();
    for line in lines {
        tree.push(NodeHash::leaf(line.record.as_bytes())).unwrap();
    }
    tree.root()
}

pub fn check_chain(lines: &[StoredLine]) {
    let mut hash = ChainHash::START;
    for line in lines {
        hash = hash.next(line.record.as_bytes());
        assert_eq!(line.hash, hash, "record {}", line.seq);
        assert!(Canonical::read(&line.record).is_ok(), "{}", line.record);
    }
}

pub fn agent(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub fn decision(n: u8) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        reason: None,
        agent: Some(agent(n)),
        principal: None,
        token: None,
        action: Some("payments.charge".parse().unwrap()),
        method: Some("POST".to_owned()),
        template: Some("/v1/charges".to_owned()),
        policy: None,
        position: Some(Position { epoch: 7, revision: Revision(3) }),
        state_age_millis: Some(12),
        request_id: Some("r-1".to_owned()),
        trace: None,
        end: None,
    }
}

pub fn end() -> End {
    End {
        disposition: Disposition::Committed,
        status: Some(200),
        duration_micros: 1500,
        cut: None,
        body: Body::None,
    }
}

/// A decision that had ended before it was reported.
pub fn ended(n: u8) -> Happened {
    Happened::Decision(Box::new(Decision { end: Some(end()), ..decision(n) }))
}

/// Events of the first worker of a proxy.
pub fn batch(node: &str, instance: u64, first: u64, happened: Vec<Happened>) -> Batch {
    let numbered = (first..).zip(happened);
    let events = numbered.map(|(number, happened)| Event {
        number,
        time: Timestamp(1_000_000_000 + number),
        happened,
    });
    Batch {
        node: node.to_owned(),
        slot: 0,
        instance,
        service: Some("payments".to_owned()),
        first,
        events: events.collect(),
        clock_ahead_millis: 0,
        last: false,
    }
}

/// The numbers of the decisions of each instance, in their order in the trail.
pub fn numbers(records: &[Record]) -> BTreeMap<String, Vec<u64>> {
    let mut numbers: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for record in records {
        if let Entry::Decision(it) = &record.entry {
            numbers.entry(it.source.instance.clone()).or_default().push(it.source.number);
        }
    }
    numbers
}
