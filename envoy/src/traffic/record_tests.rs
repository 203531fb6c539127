use super::*;
use crate::api::Acknowledgement;

const NODE: &str = "sidecar-1";

/// One sample: lane, when it was sent, the status.
fn record(workers: &[Option<u32>], samples: &[(usize, f64, u16)]) -> Record {
    Record {
        name: "victim".into(),
        lanes: workers.iter().map(|worker| Lane::for_tests(NODE, *worker)).collect(),
        samples: samples
            .iter()
            .map(|(lane, sent, status)| Sample {
                lane: *lane,
                sent_unix_ms: *sent,
                answered_unix_ms: sent + 1.0,
                status: Some(*status),
                outcome: Outcome::of(Some(*status)),
            })
            .collect(),
    }
}

fn acks(applied: &[f64]) -> Acknowledgements {
    let row = |(slot, applied): (usize, &f64)| Acknowledgement {
        node_id: NODE.into(),
        slot: slot as u32,
        applied_unix_ms: *applied,
        after_ms: 0.0,
    };
    Acknowledgements {
        revision: 1,
        committed_unix_ms: 0.0,
        complete: true,
        proxies: 1,
        workers: applied.len(),
        workers_acknowledged: applied.len(),
        acknowledgements: applied.iter().enumerate().map(row).collect(),
    }
}

const BOTH: [Option<u32>; 2] = [Some(0), Some(1)];
/// Worker 0 goes from allow to deny at 10, worker 1 at 20.
const GOOD: [(usize, f64, u16); 6] =
    [(0, 9.0, 201), (1, 9.0, 200), (0, 19.0, 403), (1, 19.0, 200), (0, 21.0, 403), (1, 21.0, 403)];

#[test]
fn a_good_kill_passes_whichever_acknowledgement_is_whose() {
    record(&BOTH, &GOOD).check_killed(&acks(&[10.0, 20.0]), &[]).unwrap();
    record(&BOTH, &GOOD).check_killed(&acks(&[20.0, 10.0]), &[]).unwrap();
}

#[test]
fn an_allow_after_the_last_acknowledgement_is_found() {
    let mut samples = GOOD.to_vec();
    samples.push((1, 20.1, 200));
    let said = record(&BOTH, &samples).check_killed(&acks(&[10.0, 20.0]), &[]).unwrap_err();
    assert!(said.to_string().contains("sidecar-1 worker 1 answered 0.1 ms after"), "{said}");
}

#[test]
fn an_allow_after_a_workers_own_acknowledgement_is_found() {
    let said = record(&BOTH, &GOOD).check_killed(&acks(&[10.0, 18.0]), &[]).unwrap_err();
    assert!(said.to_string().contains("after"), "{said}");
    // Both had acknowledged at 10 but for one that was late with something else.
    let mut samples = GOOD.to_vec();
    samples.push((0, 15.0, 200));
    let said = record(&BOTH, &samples).check_killed(&acks(&[10.0, 20.0]), &[]).unwrap_err();
    assert!(said.to_string().contains("sent 5.0 ms after it acknowledged"), "{said}");
    // Where it is not known which worker a lane meets, only the last one counts.
    record(&[None, None], &samples).check_killed(&acks(&[10.0, 20.0]), &[]).unwrap();
}

#[test]
fn a_kill_of_which_nothing_is_known_afterwards_proves_nothing() {
    let kill = |samples: &[_], applied: &[f64]| {
        record(&BOTH, samples).check_killed(&acks(applied), &[]).unwrap_err().to_string()
    };
    assert!(kill(&GOOD[..5], &[10.0, 20.0]).contains("nothing was asked of sidecar-1 worker 1"));
    assert!(kill(&GOOD, &[]).contains("has acknowledged nothing"));
    let incomplete = Acknowledgements { complete: false, ..acks(&[10.0, 20.0]) };
    assert!(record(&BOTH, &GOOD).check_killed(&incomplete, &[]).is_err());
}

#[test]
fn a_connection_that_was_closed_revives_nobody_and_an_allow_does() {
    record(&BOTH, &GOOD[..4]).check_not_revived(&acks(&[10.0, 20.0])).unwrap();
    record(&BOTH, &GOOD).check_not_revived(&acks(&[10.0, 18.0])).unwrap_err();
    record(&BOTH, &GOOD).check_not_revived(&acks(&[])).unwrap_err();
}

#[test]
fn another_answer_than_a_denial_has_to_be_expected() {
    let mut samples = GOOD.to_vec();
    samples.push((0, 30.0, 503));
    let record = record(&BOTH, &samples);
    assert!(record.check_killed(&acks(&[10.0, 20.0]), &[]).is_err());
    record.check_killed(&acks(&[10.0, 20.0]), &[503]).unwrap();
}

#[test]
fn who_was_never_denied_was_served_on_every_lane() {
    record(&BOTH, &[(0, 1.0, 200), (1, 1.0, 201)]).check_never_denied().unwrap();
    let said = record(&BOTH, &[(0, 1.0, 200)]).check_never_denied().unwrap_err().to_string();
    assert!(said.contains("a lane is empty"), "{said}");
    let unsynced = record(&BOTH, &[(0, 1.0, 200), (1, 1.0, 503)]);
    let said = unsynced.check_never_denied().unwrap_err().to_string();
    assert!(said.contains("not allowed") && said.contains("503"), "{said}");
}
