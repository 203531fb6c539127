use kya_core::DrillId;
use serde_json::{Value, json};

use super::*;
use crate::store::schedules::{RunOutcome, ScheduledRun};
use crate::store::{Cause, DrillState};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

fn at(second: u64) -> UnixMicros {
    UnixMicros(second * 1_000_000)
}

/// Every hour from second 0 on, with a window of ten minutes.
fn hourly(next: u64) -> Schedule {
    Schedule {
        name: "hourly".parse().unwrap(),
        created_at: at(0),
        cause: Cause::default(),
        when: When::Every { seconds: HOUR },
        window_s: 10 * MINUTE,
        request: json!({}),
        paused: None,
        next: at(next),
        owed_since: at(0),
        passed_at: None,
        last: None,
    }
}

fn step(schedule: &Schedule, now: u64) -> Step {
    plan(schedule, &Timing::read(&schedule.when, schedule.created_at).unwrap(), at(now))
}

#[test]
fn a_drill_begins_when_it_is_due_or_within_its_window_and_never_later() {
    let schedule = hourly(HOUR);
    let begin = Step::Begin { next: at(2 * HOUR) };
    assert_eq!(step(&schedule, HOUR - 1), Step::Wait);
    assert_eq!(step(&schedule, HOUR), begin);
    assert_eq!(step(&schedule, HOUR + 10 * MINUTE), begin);
    let missed = Step::PassOver { next: at(2 * HOUR), until: None };
    assert_eq!(step(&schedule, HOUR + 10 * MINUTE + 1), missed);
    assert_eq!(step(&schedule, 2 * HOUR - 1), missed);
    let paused = Schedule { paused: Some((at(1), "anna".to_owned())), ..schedule };
    assert_eq!(step(&paused, HOUR), Step::Wait);
}

#[test]
fn of_many_that_were_missed_the_newest_is_left_to_be_begun() {
    let schedule = hourly(HOUR);
    assert_eq!(step(&schedule, 2 * HOUR), Step::PassOver { next: at(2 * HOUR), until: None });
    let many = Step::PassOver { next: at(9 * HOUR), until: Some(at(8 * HOUR)) };
    assert_eq!(step(&schedule, 9 * HOUR + 1), many);
    assert_eq!(step(&hourly(9 * HOUR), 9 * HOUR + 1), Step::Begin { next: at(10 * HOUR) });
}

#[test]
fn a_clock_that_was_far_ahead_does_not_hold_a_schedule_up() {
    // It was in year 2100 for a moment.
    let schedule = hourly(4_102_444_800);
    assert_eq!(step(&schedule, HOUR + 1), Step::Move(at(2 * HOUR)));
    // Set back a little behind what has been done: it is looked at again, and its record says so.
    assert_eq!(step(&hourly(2 * HOUR), HOUR - 5), Step::Move(at(HOUR)));
    assert_eq!(step(&hourly(2 * HOUR), HOUR + 5), Step::Wait);
}

#[test]
fn it_is_overdue_when_the_window_of_what_is_owed_is_over() {
    let schedule = hourly(2 * HOUR);
    let late = HOUR + 10 * MINUTE;
    assert_eq!(overdue_since(&schedule, at(late)), None);
    assert_eq!(overdue_since(&schedule, at(late + 1)), Some(at(late)));
    let run = |due: u64, state| ScheduledRun {
        due: at(due),
        at: at(due),
        outcome: RunOutcome::Started,
        drill: Some((DrillId::from_bytes([1; 16]), state)),
        why: None,
        server: String::new(),
    };
    let of = |last, owed_since: u64, now: u64| {
        let schedule =
            Schedule { last: Some(last), owed_since: at(owed_since), ..hourly(3 * HOUR) };
        overdue_since(&schedule, at(now))
    };
    // The one that is owed goes on; one that is too late does not help before it passes.
    assert_eq!(of(run(HOUR, DrillState::Running), 0, late + 1), None);
    assert_eq!(of(run(HOUR, DrillState::Failed), 0, late + 1), Some(at(late)));
    assert_eq!(of(run(2 * HOUR, DrillState::Running), 0, 2 * HOUR), Some(at(late)));
    // One that passed counts from when it was due.
    assert_eq!(of(run(2 * HOUR, DrillState::Passed), 2 * HOUR, 3 * HOUR + 10 * MINUTE), None);
    let late = 3 * HOUR + 10 * MINUTE;
    assert_eq!(of(run(2 * HOUR, DrillState::Passed), 2 * HOUR, late + 1), Some(at(late)));
    let paused = Schedule { paused: Some((at(1), "anna".to_owned())), ..hourly(2 * HOUR) };
    assert_eq!(overdue_since(&paused, at(9 * HOUR)), None);
    assert_eq!(upcoming(&paused, 3), []);
    assert_eq!(upcoming(&hourly(2 * HOUR), 2), [at(2 * HOUR), at(3 * HOUR)]);
}

fn request(members: Value) -> ScheduleRequest {
    let parties = json!([{ "name": "a", "url": "http://a.example/x" }]);
    let mut whole = json!({ "name": "x", "drill": { "parties": parties } });
    whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

#[test]
fn what_a_schedule_is_asked_to_be_is_checked() {
    // 2026-11-27T00:00:00Z.
    let now = at(1_795_737_600);
    let quarterly = request(json!({ "cron": "0 9 1 1,4,7,10 *", "time_zone": "Europe/Berlin" }));
    let (when, window, next) = quarterly.check(now).unwrap();
    assert!(matches!(when, When::Cron { .. }));
    assert_eq!((window, &*next.to_rfc3339()), (3600, "2027-01-01T08:00:00.000Z"));
    let one = json!({ "parties": [], "samples": 1 });
    let (when, window, next) = request(json!({ "every_s": 300, "drill": one })).check(now).unwrap();
    assert_eq!((when, window), (When::Every { seconds: 300 }, 300));
    assert_eq!(next, at(1_795_737_900));
    for (members, part) in [
        (json!({}), "`cron`: say when"),
        (json!({ "cron": "0 9 * * *", "every_s": 300 }), "`cron`: say when"),
        (json!({ "cron": "61 9 * * *" }), "`cron`: minute: `61` is not within 0 to 59"),
        (json!({ "cron": "0 9 31 2 *" }), "`cron`: there is no such day"),
        (json!({ "cron": "0 9 * * *", "time_zone": "Berlin" }), "`time_zone`: `Berlin` is no name"),
        (json!({ "cron": "0 9 * * *", "window_s": 59 }), "`window_s`: must be between 60"),
        (json!({ "cron": "0 9 * * *", "window_s": 86_401 }), "`window_s`: must be between 60"),
        (json!({ "every_s": 59, "drill": one }), "`every_s`: must be between 60 and 86400, not 59"),
        (json!({ "every_s": 300 }), "`drill.samples`: a canary has 1, not 20"),
        (json!({ "every_s": 300, "time_zone": "UTC", "drill": one }), "`time_zone`: belongs"),
        (
            json!({ "every_s": 300, "drill": { "parties": [], "samples": 1, "act": "revoke" } }),
            "`drill.act`: a canary is suspended",
        ),
    ] {
        let refused = request(members).check(now).unwrap_err();
        assert!(refused.starts_with(part), "{part}: {refused}");
    }
}
