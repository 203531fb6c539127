use super::*;
use crate::push::acknowledgements::Acknowledgements;
use crate::push::timeline::Timeline;
use crate::store::Committed;
use crate::time::SystemClock;

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn nodes() -> Arc<Nodes> {
    Arc::new(Nodes::new(Arc::new(SystemClock), &Limits::default()))
}

fn connect(nodes: &Arc<Nodes>) -> Connected {
    connect_as(nodes, "sidecar")
}

fn connect_as(nodes: &Arc<Nodes>, node_id: &str) -> Connected {
    nodes.connect(proxy(node_id, Transport::Stream), StreamEnd::unknown())
}

fn proxy(node_id: &str, transport: Transport) -> Proxy {
    Proxy {
        node_id: node_id.to_owned(),
        cluster: String::new(),
        filter_version: String::new(),
        registration: "fleet".parse().unwrap(),
        is_named: false,
        configuration_hash: None,
        transport,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        connected_at: UnixMicros(0),
    }
}

fn state(slot: u32, instance: u64, revision: u64) -> wire::WorkerState {
    wire::WorkerState { slot, instance, epoch: 1, revision, ..Default::default() }
}

fn say(
    connected: &Connected,
    workers: Vec<wire::WorkerState>,
    complete: bool,
) -> Result<Taken, ReportError> {
    let report = wire::WorkerReport { workers, complete, clock_ahead_millis: 0 };
    connected.nodes.report(connected.key, &report, position(1000), (Instant::now(), UnixMicros(0)))
}

/// Slot, instance and revision of every worker that has one.
fn workers(nodes: &Nodes) -> Vec<(u32, u64, u64)> {
    let (all, _) = nodes.list();
    let each = all.iter().flat_map(|node| &node.workers);
    each.filter_map(|(slot, worker)| {
        Some((*slot, worker.instance, worker.newest()?.position.revision.0))
    })
    .collect()
}

fn look(nodes: &Nodes, revision: u64) -> Acknowledgements {
    let committed = Committed { position: position(revision), at: UnixMicros(0) };
    Acknowledgements::look(committed, nodes, &Timeline::default())
}

#[test]
fn a_report_adds_to_the_list_and_a_complete_one_replaces_it() {
    let nodes = nodes();
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
    let nodes = nodes();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 5)], true).unwrap();
    assert!(look(&nodes, 5).complete());
    say(&connected, vec![state(0, 9, 3)], false).unwrap();
    assert_eq!(workers(&nodes), [(0, 9, 3)]);
    assert!(!look(&nodes, 5).complete());
}

#[test]
fn a_worker_that_went_back_no_longer_counts() {
    let nodes = nodes();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 5)], true).unwrap();
    say(&connected, vec![state(0, 7, 4)], true).unwrap();
    assert!(!look(&nodes, 5).complete());
    assert!(look(&nodes, 4).complete());
}

#[test]
fn an_acknowledgement_is_the_first_report_that_reached_the_revision() {
    let nodes = nodes();
    let connected = connect(&nodes);
    let moved: Vec<_> = [1, 4, 4, 6]
        .map(|revision| say(&connected, vec![state(0, 7, revision)], true).unwrap().moved)
        .concat();
    assert_eq!(moved, [Revision(4), Revision(6)], "the first report is no move, a repeat neither");
    let found = look(&nodes, 3);
    assert_eq!(found.acknowledged[0].revision, Revision(4));
    assert!(found.complete());
    assert_eq!(look(&nodes, 7).pending.len(), 1);
}

#[test]
fn an_earlier_epoch_proves_nothing_whatever_the_revision() {
    let nodes = nodes();
    let connected = connect(&nodes);
    let old = wire::WorkerState { epoch: 0, ..state(0, 7, 5000) };
    say(&connected, vec![old], true).unwrap();
    assert_eq!(workers(&nodes), [(0, 7, 5000)]);
    assert!(!look(&nodes, 5).complete());
}

#[test]
fn a_later_epoch_acknowledges_everything_before_it() {
    let nodes = nodes();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 5)], true).unwrap();
    let before = Position { epoch: 0, revision: Revision(5000) };
    let committed = Committed { position: before, at: UnixMicros(0) };
    assert!(Acknowledgements::look(committed, &nodes, &Timeline::default()).complete());
}

#[test]
fn a_proxy_that_left_is_named_until_it_is_back() {
    let nodes = nodes();
    let gone = |nodes: &Nodes| -> Vec<String> {
        look(nodes, 5).disconnected.into_iter().map(|departed| departed.node_id).collect()
    };
    let here = connect_as(&nodes, "here");
    say(&here, vec![state(0, 7, 5)], true).unwrap();
    let (first, second) = (connect_as(&nodes, "twice"), connect_as(&nodes, "twice"));
    drop(first);
    assert!(gone(&nodes).is_empty(), "its other stream is open");
    drop(second);
    assert_eq!(gone(&nodes), ["twice"]);
    assert!(look(&nodes, 5).complete(), "every connected proxy has acknowledged");
    let back = connect_as(&nodes, "twice");
    assert!(gone(&nodes).is_empty());
    drop(back);
    assert_eq!(nodes.list().1, look(&nodes, 5).disconnected);
}

#[test]
fn a_pull_that_overtakes_the_first_report_of_a_stream_does_not_make_two_of_a_proxy() {
    let nodes = nodes();
    let stream = connect(&nodes);
    let report = wire::WorkerReport { workers: vec![state(0, 7, 5)], ..Default::default() };
    let pulled = nodes.pulled(proxy("sidecar", Transport::Pull), &report).unwrap();
    assert_ne!(pulled, stream.key());
    assert_eq!(nodes.count().0, 2);
    say(&stream, vec![state(0, 7, 5)], true).unwrap();
    assert_eq!(nodes.count(), (1, 1));
    assert_eq!(nodes.pulled(proxy("sidecar", Transport::Pull), &report), Ok(stream.key()));
}

#[test]
fn a_proxy_that_has_named_no_worker_keeps_a_kill_incomplete() {
    let nodes = nodes();
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
    let nodes = nodes();
    let connected = connect(&nodes);
    let many = |count: u32| (0..count).map(|slot| state(slot, 7, 1)).collect::<Vec<_>>();
    say(&connected, many(128), true).unwrap();
    assert_eq!(say(&connected, many(129), true), Err(ReportError::TooManyWorkers(129)));
    let one_more = vec![state(500, 7, 1)];
    assert_eq!(say(&connected, one_more, false), Err(ReportError::TooManyWorkers(129)));
    let twice = vec![state(1, 7, 2), state(1, 8, 2)];
    assert_eq!(say(&connected, twice, false), Err(ReportError::SlotTwice(1)));
    assert!(workers(&nodes).iter().all(|worker| worker.2 == 1));
}

#[test]
fn a_worker_that_reports_what_cannot_be_is_pending_and_the_others_count() {
    let nodes = nodes();
    let connected = connect(&nodes);
    say(&connected, vec![state(0, 7, 2), state(1, 7, 2)], true).unwrap();
    let ahead = Position { epoch: 1, revision: Revision(1001) };
    let later_epoch = wire::WorkerState { epoch: 2, ..state(2, 7, 1) };
    let report = vec![state(0, 7, 5), state(1, 7, 1001), later_epoch];
    let taken = say(&connected, report, true).unwrap();
    assert_eq!(taken.moved, [Revision(5)]);
    let never_sent = Position { epoch: 2, revision: Revision(1) };
    assert_eq!(taken.impossible, [(1, ahead), (2, never_sent)]);
    assert_eq!(workers(&nodes), [(0, 7, 5), (1, 7, 2)], "its last good word stays");
    let pending = |revision| -> Vec<u32> {
        look(&nodes, revision).pending.iter().map(|worker| worker.slot).collect()
    };
    assert_eq!((pending(2), pending(5)), (vec![2], vec![1, 2]));

    // A VM that replaces it begins with nothing.
    say(&connected, vec![state(1, 8, 1001)], false).unwrap();
    assert_eq!(pending(1), [1, 2]);
    say(&connected, vec![state(1, 8, 5), state(2, 7, 5)], false).unwrap();
    assert!(look(&nodes, 5).complete());
}

#[test]
fn a_stream_finds_an_older_one_of_its_name_for_as_long_as_that_is_open() {
    let nodes = nodes();
    let (first, _other) = (connect_as(&nodes, "sidecar"), connect_as(&nodes, "another"));
    assert_eq!(first.older_namesake(), None);
    let second = connect_as(&nodes, "sidecar");
    assert!(second.older_namesake().is_some());
    assert_eq!(first.older_namesake(), None, "only the newer one is to say so");
    drop(first);
    assert_eq!(second.older_namesake(), None);
}

fn report(instance: u64) -> wire::WorkerReport {
    wire::WorkerReport {
        workers: vec![state(0, instance, 5)],
        complete: true,
        clock_ahead_millis: 0,
    }
}

fn pull(nodes: &Nodes, node_id: &str, instance: u64) -> Key {
    let key = nodes.pulled(proxy(node_id, Transport::Pull), &report(instance)).unwrap();
    nodes.report(key, &report(instance), position(1000), nodes.now()).unwrap();
    key
}

/// Name and transport of every connected proxy.
fn transports(nodes: &Nodes) -> Vec<(String, Transport)> {
    let (all, _) = nodes.list();
    all.into_iter().map(|node| (node.proxy.node_id, node.proxy.transport)).collect()
}

#[test]
fn a_proxy_that_pulls_is_connected_for_a_while_and_then_named_as_gone() {
    let nodes = nodes();
    let key = pull(&nodes, "puller", 7);
    assert_eq!(pull(&nodes, "puller", 8), key, "it is one, whatever its workers are");
    assert!(look(&nodes, 5).complete());
    let (now, wall) = nodes.list().0[0].last_seen;
    nodes.open().expire((now + nodes.patience, wall), nodes.patience);
    assert_eq!(transports(&nodes), [("puller".to_owned(), Transport::Pull)]);
    let later = (now + nodes.patience + Duration::from_millis(1), wall);
    nodes.open().expire(later, nodes.patience);
    assert!(transports(&nodes).is_empty());
    assert_eq!(look(&nodes, 5).disconnected[0].node_id, "puller");
    assert!(!look(&nodes, 5).complete(), "nobody connected is no proof");
    pull(&nodes, "puller", 7);
    assert!(look(&nodes, 5).disconnected.is_empty());
}

#[test]
fn a_proxy_is_not_there_twice_because_it_pulls_beside_its_stream() {
    let nodes = nodes();
    pull(&nodes, "sidecar", 7);
    pull(&nodes, "other", 9);
    let stream = connect(&nodes);
    let (other, own) = (("other".to_owned(), Transport::Pull), "sidecar".to_owned());
    assert_eq!(transports(&nodes), [other.clone(), (own.clone(), Transport::Stream)]);
    say(&stream, vec![state(0, 7, 1)], true).unwrap();
    assert_eq!(pull(&nodes, "sidecar", 7), stream.key, "the same worker");
    assert_eq!(workers(&nodes), [(0, 9, 5), (0, 7, 5)]);
    // Other workers, of the same name: until it is clear whose they are, both count.
    assert_ne!(pull(&nodes, "sidecar", 8), stream.key);
    let both = [other.clone(), (own.clone(), Transport::Stream), (own, Transport::Pull)];
    assert_eq!(transports(&nodes), both);
    drop(stream);
    assert!(look(&nodes, 5).disconnected.is_empty(), "it still pulls");
    let _stream = connect(&nodes);
    assert_eq!(nodes.count(), (2, 1));
}
