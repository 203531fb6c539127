//! Figures of samples, by hand and by another way of finding them.

use proptest::prelude::*;

use super::*;
use crate::DenyReason;

const REJECTED: Outcome = Outcome::Denied(DenyReason::AgentSuspended);
const UNDECIDED: Outcome = Outcome::Denied(DenyReason::Stale);

fn probe(sent: Micros, answered: Micros, outcome: Outcome) -> Probe {
    let ended = Some((answered, Ending::Whole));
    Probe { due: sent, sent: Some(sent), answered: Some(answered), ended, outcome }
}

fn lost(sent: Micros) -> Probe {
    let ended = Some((sent + 2_000_000, Ending::Late));
    Probe { due: sent, sent: Some(sent), answered: None, ended, outcome: Outcome::NoAnswer }
}

#[test]
fn a_party_settles_when_it_rejects_what_was_sent_after_the_last_allow() {
    let probes = [
        probe(-900, -700, REJECTED),
        probe(-500, -300, Outcome::Allowed),
        probe(100, 300, Outcome::Allowed),
        probe(200, 350, REJECTED),
        probe(400, 900, Outcome::Allowed),
        probe(500, 800, REJECTED),
        probe(600, 700, REJECTED),
    ];
    let found = measure(&probes, Some(450));
    assert!(found.worked);
    assert_eq!(found.first_rejection_us, Some(350));
    assert_eq!(found.last_allow_us, Some(400));
    assert_eq!(found.settled_us, Some(700));
    assert_eq!(found.allowed_after_ack, 0, "the last allow was sent before");
    assert_eq!(measure(&probes, Some(399)).allowed_after_ack, 1);
    assert_eq!(measure(&probes, Some(400)).allowed_after_ack, 0, "sent at that very instant");
    assert_eq!(measure(&probes, None).allowed_after_ack, 0, "nobody says so");
}

#[test]
fn silence_and_a_gate_that_cannot_decide_are_no_rejection() {
    let missed =
        Probe { due: 5, sent: None, answered: None, ended: None, outcome: Outcome::Missed };
    let probes = [
        probe(-500, -300, Outcome::Allowed),
        lost(100),
        probe(200, 300, UNDECIDED),
        probe(300, 400, Outcome::Other(503)),
        missed,
    ];
    let found = measure(&probes, Some(0));
    assert!(found.worked && found.first_rejection_us.is_none() && found.settled_us.is_none());
    let counted = (found.probes, found.missed, found.unanswered, found.other);
    assert_eq!(counted, (5, 1, 1, 2));
}

#[test]
fn where_the_canary_never_worked_there_is_nothing_to_measure() {
    let rejected = [probe(-500, -300, REJECTED), probe(100, 200, REJECTED)];
    let found = measure(&rejected, Some(50));
    assert!(!found.worked && found.first_rejection_us.is_none() && found.settled_us.is_none());
    // Allowed only after the stop: that is no work before it, but it counts as what it is.
    let late = [probe(100, 200, Outcome::Allowed), probe(300, 400, REJECTED)];
    let found = measure(&late, Some(50));
    assert!(!found.worked && found.settled_us.is_none());
    assert_eq!(found.allowed_after_ack, 1);
    assert_eq!(measure(&[], None), Measured::default());
}

#[test]
fn where_the_last_answer_before_the_stop_is_a_denial_nothing_is_measured() {
    let other = Outcome::Denied(DenyReason::TokenUnknown);
    for denial in [REJECTED, other] {
        // Whoever denies already denies later too, and has heard nothing by that.
        let probes = [
            probe(-900, -800, Outcome::Allowed),
            probe(-500, -300, denial),
            probe(1, 2, denial),
            probe(100, 200, REJECTED),
        ];
        let found = measure(&probes, Some(50));
        assert!(!found.worked && found.settled_us.is_none(), "{denial}");
    }
    // In between it may have been another gate, or one that had not heard of a restoration.
    let probes = [
        probe(-900, -800, other),
        probe(-500, -300, Outcome::Allowed),
        probe(1, 2, other),
        probe(100, 200, REJECTED),
    ];
    let found = measure(&probes, Some(50));
    assert!(found.worked);
    assert_eq!((found.first_rejection_us, found.settled_us), (Some(200), Some(200)));
    assert_eq!(found.other, 2, "to know no token is not to have heard of the stop");
}

#[test]
fn a_sample_is_written_as_times_and_an_outcome() {
    let written = serde_json::to_value([probe(-5, 7, REJECTED), lost(9)]).unwrap();
    let expected = serde_json::json!([
        [-5, -5, 7, "denied:agent_suspended", 7, "whole"],
        [9, 9, null, "no_answer", 2_000_009, "late"],
    ]);
    assert_eq!(written, expected);
}

fn any_probe() -> impl Strategy<Value = Probe> {
    let outcome = prop_oneof![
        Just(Outcome::Allowed),
        Just(REJECTED),
        Just(UNDECIDED),
        Just(Outcome::Other(500)),
        Just(Outcome::NoAnswer),
        Just(Outcome::Missed),
    ];
    (-60i64..60, 0i64..30, outcome).prop_map(|(sent, took, outcome)| match outcome {
        Outcome::Missed => Probe { due: sent, sent: None, answered: None, ended: None, outcome },
        Outcome::NoAnswer => lost(sent),
        outcome => probe(sent, sent + took, outcome),
    })
}

proptest! {
    /// The same, by going through the answers in the order in which they were sent.
    #[test]
    fn the_figures_are_those_of_another_way(
        mut probes in proptest::collection::vec(any_probe(), 0..40),
        acknowledged in proptest::option::of(-10i64..60),
    ) {
        let found = measure(&probes, acknowledged);
        probes.sort_by_key(|probe| probe.sent);
        let says = |it: &&Probe| matches!(it.outcome, Outcome::Allowed | Outcome::Denied(_));
        let before = probes.iter().filter(says).filter(|it| it.answered.is_some_and(|at| at < 0));
        let latest = before.clone().filter_map(|it| it.answered).max();
        let mut then = before.filter(|it| it.answered == latest);
        let worked = latest.is_some() && then.all(|it| it.outcome == Outcome::Allowed);
        let mut allowed_at_all = false;
        let (mut first, mut last, mut settled) = (None::<i64>, None::<i64>, None::<i64>);
        let mut after_ack = 0;
        let ends_at = |sent| probes.iter().any(|other: &Probe| {
            other.outcome == Outcome::Allowed && other.sent >= Some(sent)
        });
        for probe in &probes {
            let (Some(sent), Some(answered)) = (probe.sent, probe.answered) else { continue };
            // One that was sent at the same instant as the first allow counts as after it.
            let begun = allowed_at_all
                || probes.iter().any(|o| o.outcome == Outcome::Allowed && o.sent == Some(sent));
            if probe.outcome == Outcome::Allowed {
                allowed_at_all = true;
                last = Some(sent);
                after_ack += u64::from(acknowledged.is_some_and(|at| sent > at));
            }
            if probe.outcome == REJECTED && begun && answered >= 0 {
                first = Some(first.map_or(answered, |it| it.min(answered)));
                if !ends_at(sent) {
                    settled = Some(settled.map_or(answered, |it| it.min(answered)));
                }
            }
        }
        prop_assert_eq!(found.worked, worked);
        prop_assert_eq!(found.first_rejection_us, first.filter(|_| worked));
        prop_assert_eq!(found.last_allow_us, last);
        prop_assert_eq!(found.settled_us, settled.filter(|_| worked));
        prop_assert_eq!(found.allowed_after_ack, after_ack);
        if let (Some(first), Some(settled)) = (found.first_rejection_us, found.settled_us) {
            prop_assert!(first <= settled);
        }
    }

    /// What is kept of the probes says the same as all of them, but for how many there were.
    #[test]
    fn probes_that_were_over_before_the_stop_can_be_left_out_but_for_those_that_decide(
        mut probes in proptest::collection::vec(any_probe(), 0..40),
        acknowledged in proptest::option::of(-10i64..60),
        kept_from in -60i64..0,
    ) {
        let figures = |of: &[Probe]| {
            let found = measure(of, acknowledged);
            Measured { probes: 0, missed: 0, unanswered: 0, other: 0, ..found }
        };
        let all = figures(&probes);
        let decide = decisive(&probes);
        let mut places = 0..;
        probes.retain(|it| {
            let stays = it.due >= kept_from || it.ended.is_some_and(|(at, _)| at >= kept_from);
            decide.contains(&places.next()) || stays
        });
        prop_assert_eq!(figures(&probes), all);
    }
}
