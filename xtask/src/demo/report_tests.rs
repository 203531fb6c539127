use kya_envoy::Acknowledgement;

use super::*;

const COMMIT: f64 = 1_770_000_000_000.0;

fn ack(node: &str, slot: u32, applied_ms: f64) -> Acknowledgement {
    Acknowledgement {
        node_id: node.into(),
        slot,
        applied_unix_ms: COMMIT + applied_ms,
        after_ms: applied_ms + 1.0,
    }
}

fn sample(lane: usize, sent_ms: f64, outcome: Outcome) -> Sample {
    Sample {
        lane,
        sent_unix_ms: COMMIT + sent_ms,
        answered_unix_ms: COMMIT + sent_ms + 0.5,
        status: None,
        outcome,
    }
}

/// Two sidecars of one worker each; the second applies the revocation at 3 ms.
fn facts(samples: Vec<Sample>) -> Facts {
    Facts {
        nodes: vec!["a".into(), "b".into()],
        workers: 2,
        lanes: vec!["a".into(), "b".into()],
        samples,
        acks: Acknowledgements {
            revision: 5,
            committed_unix_ms: COMMIT,
            complete: true,
            proxies: 2,
            workers: 2,
            workers_acknowledged: 2,
            acknowledgements: vec![ack("b", 0, 3.0), ack("a", 0, 1.0)],
        },
    }
}

#[test]
fn a_kill_that_held_has_no_failures() {
    let facts = facts(vec![
        sample(0, -10.0, Outcome::Allowed),
        sample(1, -9.0, Outcome::Allowed),
        sample(1, 1.5, Outcome::Allowed), // the second worker did not know yet
        sample(0, 1.5, Outcome::Denied),
        sample(1, 4.0, Outcome::Denied),
        sample(0, 5.0, Outcome::Denied),
    ]);
    let report = Report::new(&facts);
    assert_eq!(report.failures(), Vec::<String>::new());
    assert_eq!(report.requests_allowed_before, 2);
    assert_eq!(report.first_denial_ms, Some(2.0));
    assert_eq!(report.last_denial_ms, Some(4.5));
    assert_eq!(report.allowed_after_last_ack, Some(0));
    assert_eq!(report.denied_after_last_ack, Some(2));
    let rows: Vec<_> =
        report.acks.iter().map(|ack| (ack.node_id.as_str(), ack.applied_ms)).collect();
    assert_eq!(rows, [("a", 1.0), ("b", 3.0)]);
}

#[test]
fn an_allow_that_was_sent_after_the_last_worker_knew_is_a_failure() {
    let facts = facts(vec![
        sample(0, -10.0, Outcome::Allowed),
        sample(0, 1.5, Outcome::Denied),
        sample(1, 4.0, Outcome::Denied),
        sample(1, 3.1, Outcome::Allowed),
    ]);
    let report = Report::new(&facts);
    assert_eq!(report.allowed_after_last_ack, Some(1));
    assert!(report.failures()[0].contains("1 requests were allowed"));
}

#[test]
fn a_sidecar_that_never_denied_is_a_failure() {
    let facts = facts(vec![sample(0, -10.0, Outcome::Allowed), sample(0, 4.0, Outcome::Denied)]);
    let report = Report::new(&facts);
    assert_eq!(report.last_denial_ms, None);
    assert_eq!(report.failures(), ["a sidecar denied nothing"]);
}

#[test]
fn a_missing_acknowledgement_is_a_failure_and_not_a_zero() {
    let mut facts = facts(vec![
        sample(0, -10.0, Outcome::Allowed),
        sample(0, 4.0, Outcome::Denied),
        sample(1, 4.0, Outcome::Denied),
    ]);
    facts.acks.complete = false;
    facts.acks.acknowledgements.pop();
    let report = Report::new(&facts);
    assert_eq!(report.allowed_after_last_ack, None);
    assert_eq!(report.failures(), ["only 1 of 2 workers have acknowledged"]);
}

#[test]
fn a_demo_without_a_single_allow_shows_nothing() {
    let facts = facts(vec![
        sample(0, -1.0, Outcome::Failed),
        sample(0, 4.0, Outcome::Denied),
        sample(1, 4.0, Outcome::Denied),
    ]);
    let report = Report::new(&facts);
    assert_eq!(report.failures(), ["nothing was allowed before the revocation"]);
    assert_eq!(report.failed, 1);
}
