use super::*;
use crate::audit::report::{Flight, Report, Reported};
use crate::store::audit::{SourceKey, SqliteAuditStore};
use crate::time::SystemClock;
use kya_core::audit::{Dropped, Entry, Restored, Source, Timestamp};

fn report(registration: &str, node: &str, events: u64) -> Work {
    let source =
        |number| Source { proxy: node.to_owned(), worker: 0, instance: "9".to_owned(), number };
    let event = |number| Reported {
        time: Timestamp(number),
        entry: Entry::Dropped(Dropped { source: source(number), events: 1 }),
        flight: Flight::None,
        draft: None,
        digest: [0; 16],
    };
    Work::Report(Arc::new(Report {
        source: SourceKey { node: node.to_owned(), instance: 9 },
        registration: registration.to_owned(),
        slot: 0,
        first: 1,
        events: (1..=events).map(event).collect(),
        last: false,
    }))
}

/// Hands it to the queue, and returns only if it is refused at once.
async fn refused(queue: &Queue, work: Work) -> Option<NotAppended> {
    let queue = queue.clone();
    let waits = tokio::spawn(async move { queue.append(work).await });
    tokio::task::yield_now().await;
    match waits.is_finished() {
        true => waits.await.unwrap().err(),
        false => None,
    }
}

#[tokio::test]
async fn no_proxy_and_no_registration_fills_the_queue_and_none_keeps_acts_out() {
    // Nobody appends: the database does not answer.
    let (queue, mut jobs) = queue();
    let full = || report("fleet", "web-1", 1024);
    for _ in 0..8 {
        assert_eq!(refused(&queue, full()).await, None);
    }
    assert_eq!(refused(&queue, full()).await, Some(NotAppended::Share));
    // By as many names as a credential is good for.
    for node in 0..24 {
        assert_eq!(refused(&queue, report("fleet", &format!("n-{node}"), 1024)).await, None);
    }
    let one_more = report("fleet", "another", 1);
    assert_eq!(refused(&queue, one_more).await, Some(NotAppended::Share));
    // Half of it is left for others; and when all of it is taken, too, acts are.
    for node in 0..32 {
        let other = report("other", &format!("o-{node}"), 1024);
        assert_eq!(refused(&queue, other).await, None);
    }
    let third = report("third", "db-1", 1);
    assert_eq!(refused(&queue, third).await, Some(NotAppended::Share));
    assert_eq!(refused(&queue, Work::Checkpoint).await, None);
    // What is the control plane's own comes first.
    assert!(matches!(jobs.own.try_recv().unwrap().work, Work::Checkpoint));
    assert!(matches!(jobs.reports.try_recv().unwrap().work, Work::Report(_)));
}

/// Of so many records.
fn work(records: usize) -> Work {
    let restored = Entry::Restored(Restored {
        event: 1,
        known: 2,
        epoch: 3,
        replaced_size: None,
        trail_size: None,
    });
    Work::Entries(Arc::new(vec![(Timestamp(5), restored); records]))
}

#[tokio::test]
async fn what_has_failed_together_is_tried_in_parts() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteAuditStore::open(&temp.path().join("audit.db")).await.unwrap());
    let metrics = Arc::new(Metrics::new().unwrap());
    let (queue, jobs) = queue();
    let (grown, _) = watch::channel(0);
    let (clock, signing) = (Arc::new(SystemClock), Arc::default());
    let pace = Pace::default();
    let mut writer =
        Writer { store: Arc::clone(&store) as _, clock, metrics, signing, grown, jobs, pace };
    let mut waiting = Vec::new();
    for _ in 0..24 {
        let queue = queue.clone();
        waiting.push(tokio::spawn(async move { queue.append(work(1024)).await }));
    }
    tokio::task::yield_now().await;
    let first = writer.jobs.own.recv().await.unwrap();
    let group = writer.together(first);
    assert_eq!(group.len(), 4);
    // Nothing is written to a store that is closed.
    store.close().await;
    let mut sizes = Vec::new();
    let mut group = Some(group);
    for _ in 0..5 {
        let Some(now) = group.take() else { break };
        sizes.push(now.len());
        assert!(writer.append(now).await);
        group = writer.jobs.own.try_recv().ok().map(|first| writer.together(first));
    }
    assert_eq!(sizes, [4, 2, 1, 1, 1]);
    for _ in 0..20 {
        writer.pace.note(true);
    }
    assert_eq!(writer.pace.0, TOGETHER);
    drop(queue);
}
