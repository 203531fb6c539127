use super::*;
use crate::push::acknowledgements::Acknowledgements;
use crate::push::timeline::Timeline;
use crate::store::Committed;

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn connect(nodes: &Arc<Nodes>) -> Connected {
    nodes.connect(Proxy {
        node_id: "sidecar".to_owned(),
        cluster: String::new(),
        filter_version: String::new(),
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        connected_at: UnixMicros(0),
    })
}

fn state(slot: u32, instance: u64, revision: u64) -> wire::WorkerState {
    wire::WorkerState { slot, instance, epoch: 1, revision, applied_unix_nanos: 0 }
}

fn say(
    connected: &Connected,
    workers: Vec<wire::WorkerState>,
    complete: bool,
) -> Result<Vec<Revision>, ReportError> {
    let report = wire::WorkerReport { workers, complete };
    connected.report(&report, position(1000), (Instant::now(), UnixMicros(0)))
}

/// Slot, instance and revision of every worker.
fn workers(nodes: &Nodes) -> Vec<(u32, u64, u64)> {
    let all = nodes.list();
    let each = all.iter().flat_map(|node| &node.workers);
    each.map(|(slot, worker)| {
        (*slot, worker.instance, worker.newest().unwrap().position.revision.0)
    })
    .collect()
}

fn look(nodes: &Nodes, revision: u64) -> Acknowledgements {
    let committed = Committed { position: position(revision), at: UnixMicros(0) };
    Acknowledgements::look(committed, nodes, &Timeline::default())
}

#[test]
fn a_report_adds_to_the_list_and_a_complete_one_replaces_it() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 1)], false).unwrap();
    say(&connected, vec![state(1, 8, 1)], false).unwrap();
    assert_eq!(workers(&nodes), [(0, 7, 1), (1, 8, 1)]);
    say(&connected, vec![state(1, 8, 2)], true).unwrap();
    assert_eq!(workers(&nodes), [(1, 8, 2)]);
    say(&connected, vec![], true).unwrap();
    assert!(workers(&nodes).is_empty());
}

#[test]
fn a_new_vm_in_a_slot_has_acknowledged_nothing_that_the_old_one_had() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 5)], true).unwrap();
    assert!(look(&nodes, 5).complete());
    say(&connected, vec![state(0, 9, 3)], false).unwrap();
    assert_eq!(workers(&nodes), [(0, 9, 3)]);
    assert!(!look(&nodes, 5).complete());
}

#[test]
fn a_worker_that_went_back_no_longer_counts() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 5)], true).unwrap();
    say(&connected, vec![state(0, 7, 4)], true).unwrap();
    assert!(!look(&nodes, 5).complete());
    assert!(look(&nodes, 4).complete());
}

#[test]
fn an_acknowledgement_is_the_first_report_that_reached_the_revision() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    let moved: Vec<_> = [1, 4, 4, 6]
        .map(|revision| say(&connected, vec![state(0, 7, revision)], true).unwrap())
        .concat();
    assert_eq!(moved, [Revision(4), Revision(6)], "the first report is no move, a repeat neither");
    let found = look(&nodes, 3);
    assert_eq!(found.acknowledged[0].revision, Revision(4));
    assert!(found.complete());
    assert_eq!(look(&nodes, 7).pending.len(), 1);
}

#[test]
fn another_epoch_proves_nothing() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    let old = wire::WorkerState { epoch: 0, ..state(0, 7, 5000) };
    say(&connected, vec![old], true).unwrap();
    assert!(!look(&nodes, 5).complete());
}

#[test]
fn a_proxy_that_has_named_no_worker_keeps_a_kill_incomplete() {
    let nodes = Arc::default();
    let reporting = connect(&nodes);
    say(&reporting, vec![state(0, 7, 5)], true).unwrap();
    let silent = connect(&nodes);
    let found = look(&nodes, 5);
    assert_eq!((found.proxies, found.proxies_acknowledged), (2, 1));
    assert!(!found.complete() && found.pending.is_empty());
    drop(silent);
    assert!(look(&nodes, 5).complete());
    drop(reporting);
    assert!(!look(&nodes, 5).complete(), "nobody connected is no proof");
}

#[test]
fn a_report_that_cannot_be_is_refused_whole() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    let many = |count: u32| (0..count).map(|slot| state(slot, 7, 1)).collect::<Vec<_>>();
    say(&connected, many(128), true).unwrap();
    assert_eq!(say(&connected, many(129), true), Err(ReportError::TooManyWorkers(129)));
    let one_more = vec![state(500, 7, 1)];
    assert_eq!(say(&connected, one_more, false), Err(ReportError::TooManyWorkers(129)));
    let twice = vec![state(1, 7, 2), state(1, 8, 2)];
    assert_eq!(say(&connected, twice, false), Err(ReportError::SlotTwice(1)));
    let ahead = vec![state(0, 7, 2), state(1, 7, 1001)];
    let refused = say(&connected, ahead, false).unwrap_err().to_string();
    assert_eq!(refused, "the worker in slot 1 reports revision 1001, but the newest is 1000");
    assert!(workers(&nodes).iter().all(|worker| worker.2 == 1));
}

#[test]
fn what_is_remembered_of_a_worker_is_bounded() {
    let nodes = Arc::default();
    let connected = connect(&nodes);
    for revision in 1..=200 {
        say(&connected, vec![state(0, 7, revision)], true).unwrap();
    }
    assert_eq!(nodes.list()[0].workers[&0].history.len(), HISTORY);
    assert!(look(&nodes, 1).complete());
}
