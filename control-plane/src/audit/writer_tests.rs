use super::*;
use crate::audit::report::{Flight, Report, Reported};
use crate::store::audit::SourceKey;
use kya_core::audit::{Dropped, Entry, Source, Timestamp};

fn report(registration: &str, node: &str, events: u64) -> Work {
    let source =
        |number| Source { proxy: node.to_owned(), worker: 0, instance: "9".to_owned(), number };
    let event = |number| Reported {
        time: Timestamp(number),
        entry: Entry::Dropped(Dropped { source: source(number), events: 1 }),
        flight: Flight::None,
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
    let (queue, mut jobs) = queue(Arc::new(Metrics::new().unwrap()));
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
