//! Schedules of drills in every store.

use kya_control_plane::store::schedules::{
    Claim, Due, MAX_SCHEDULES, NewSchedule, PROBES_KEPT, RUNS_KEPT, RunOutcome, Schedule,
    ScheduleError, ScheduleName, When,
};
use kya_control_plane::store::{DrillState, EndedDrill, NewDrill};
use kya_core::DrillId;
use serde_json::json;

use super::*;

const HERE: &str = "here";

fn at(second: u64) -> UnixMicros {
    UnixMicros(second * 1_000_000)
}

fn name(text: &str) -> ScheduleName {
    text.parse().unwrap()
}

fn new(name: &str) -> NewSchedule {
    NewSchedule {
        name: self::name(name),
        when: When::Every { seconds: 60 },
        window_s: 600,
        request: json!({ "samples": 1 }),
        created_at: at(1_000),
        next: at(1_060),
    }
}

fn due(name: &str, second: u64) -> Due {
    let server = HERE.to_owned();
    Due { name: self::name(name), at: at(second), next: at(second + 60), server }
}

fn drill(n: u16) -> NewDrill {
    let mut id = [0; 16];
    id[14..].copy_from_slice(&n.to_be_bytes());
    NewDrill { id: DrillId::from_bytes(id), server: HERE.to_owned(), request: json!({}) }
}

fn ended(state: DrillState) -> EndedDrill {
    EndedDrill { state, result: json!({}), samples: "[]".to_owned() }
}

async fn get(store: &dyn Store, name: &str) -> Schedule {
    store.schedule(self::name(name)).await.unwrap().unwrap()
}

pub async fn a_schedule_is_made_paused_resumed_and_removed_and_each_is_an_event(
    fixture: impl Fixture,
) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let head = store.head().await.unwrap();
    assert_eq!(store.schedule(name("a")).await.unwrap(), None);
    let by = Cause { address: Some("10.0.0.9".to_owned()), ..cause("x") };
    let made = store.add_schedule(new("a"), by).await.unwrap();
    assert_eq!((made.next, made.owed_since, made.created_at), (at(1_060), at(1_000), at(1_000)));
    assert_eq!((&*made.cause.actor, made.cause.address.as_deref()), ("admin", Some("10.0.0.9")));
    assert_eq!((made.paused, made.passed_at, made.last), (None, None, None));
    let taken = store.add_schedule(new("a"), cause("x")).await.unwrap_err();
    let expected = ScheduleError::Taken(name("a"));
    assert!(matches!(taken, StoreError::Schedule(error) if error == expected));

    clock.set(1_010);
    let (paused, changed) = store.pause_schedule(name("a"), cause("noise")).await.unwrap().unwrap();
    assert_eq!((paused.paused, changed), (Some((at(1_010), "admin".to_owned())), true));
    assert!(!store.pause_schedule(name("a"), cause("x")).await.unwrap().unwrap().1);
    // What is paused is not begun, nor passed over.
    let claim = store.begin_due(due("a", 1_060), drill(1), cause("x")).await.unwrap();
    assert_eq!(claim, Claim::Lost);
    let missed = RunOutcome::Missed;
    assert!(!store.pass_over(due("a", 1_060), missed, "w".into(), cause("x")).await.unwrap());
    clock.set(2_000);
    let (resumed, changed) =
        store.resume_schedule(name("a"), at(2_040), cause("x")).await.unwrap().unwrap();
    assert!(changed && resumed.paused.is_none());
    assert_eq!((resumed.next, resumed.owed_since), (at(2_040), at(2_000)));
    let again = store.resume_schedule(name("a"), at(9_000), cause("x")).await.unwrap().unwrap();
    assert_eq!((again.0.next, again.1), (at(2_040), false));
    store.move_due(Due { next: at(2_100), ..due("a", 2_040) }).await.unwrap();
    store.move_due(Due { next: at(9_000), ..due("a", 2_040) }).await.unwrap();
    assert_eq!(get(&*store, "a").await.next, at(2_100));
    let removed = store.remove_schedule(name("a"), cause("x")).await.unwrap().unwrap();
    assert_eq!(removed.name, name("a"));
    assert_eq!(store.schedule(name("a")).await.unwrap(), None);
    assert_eq!(store.remove_schedule(name("a"), cause("x")).await.unwrap(), None);
    assert_eq!(store.pause_schedule(name("a"), cause("x")).await.unwrap(), None);
    assert_eq!(store.resume_schedule(name("a"), at(1), cause("x")).await.unwrap(), None);

    let events = store.events_after(0, 10).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| &*event.action).collect();
    let acts = ["added", "paused", "resumed", "removed"].map(|it| format!("drill_schedule.{it}"));
    assert_eq!(actions, acts);
    assert!(events.iter().all(|event| event.subject == "a"));
    assert_eq!(events[0].cause.address.as_deref(), Some("10.0.0.9"));
    assert_eq!((&events[0].before, &events[3].after), (&None, &None));
    let paused_at =
        |value: &Option<serde_json::Value>| value.as_ref().unwrap()["paused_at"].clone();
    assert!(paused_at(&events[1].before).is_null() && paused_at(&events[1].after).is_string());
    assert_eq!(events[0].after.as_ref().unwrap()["every_s"], 60);
    assert_eq!(store.head().await.unwrap().position, head.position);

    for n in (0..MAX_SCHEDULES).rev() {
        store.add_schedule(new(&format!("s{n:02}")), cause("x")).await.unwrap();
    }
    let many = store.add_schedule(new("one-more"), cause("x")).await.unwrap_err();
    assert!(matches!(many, StoreError::Schedule(ScheduleError::TooMany)), "{many}");
    let names = store.schedules().await.unwrap();
    assert_eq!((&names[0].name, &names[31].name), (&name("s00"), &name("s31")));
}

pub async fn a_time_at_which_a_drill_is_due_is_claimed_once(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    store.add_schedule(new("a"), cause("x")).await.unwrap();
    let cron = When::Cron { expression: "0 9 * * *".into(), time_zone: "Europe/Berlin".into() };
    let quarterly = NewSchedule { when: cron.clone(), ..new("b") };
    assert_eq!(store.add_schedule(quarterly, cause("x")).await.unwrap().when, cron);

    clock.set(1_061);
    // All at once, and one of them begins it.
    let mut tasks = Vec::new();
    for n in 1..=8 {
        let store = Arc::clone(&store);
        let claim = async move { store.begin_due(due("a", 1_060), drill(n), cause("x")).await };
        tasks.push(tokio::spawn(claim));
    }
    let mut begun = Vec::new();
    for task in tasks {
        match task.await.unwrap().unwrap() {
            Claim::Begun(drill) => begun.push(drill.id),
            other => assert_eq!(other, Claim::Lost),
        }
    }
    let [first] = *begun else { panic!("{begun:?}") };
    assert_eq!(store.open_drill().await.unwrap().unwrap().id, first);
    let known = get(&*store, "a").await;
    let last = known.last.unwrap();
    assert_eq!((known.next, last.due, last.at), (at(1_120), at(1_060), at(1_061)));
    assert_eq!((last.outcome, &*last.server), (RunOutcome::Started, HERE));
    assert_eq!(last.drill, Some((first, DrillState::Running)));

    // While it goes on, its next one is skipped, and that of another schedule waits.
    let busy = store.begin_due(due("b", 1_060), drill(20), cause("x")).await.unwrap();
    assert_eq!(busy, Claim::Busy(first));
    assert_eq!(get(&*store, "b").await.next, at(1_060));
    let skipped = store.begin_due(due("a", 1_120), drill(20), cause("x")).await.unwrap();
    assert_eq!(skipped, Claim::Skipped);
    let last = get(&*store, "a").await.last.unwrap();
    assert_eq!((last.outcome, last.drill), (RunOutcome::Skipped, None));
    assert!(last.why.unwrap().contains(&first.to_string()));

    // One that passes is owed no more, from when it was due on.
    clock.set(1_130);
    store.end_drill(first, ended(DrillState::Passed), cause("x")).await.unwrap();
    let known = get(&*store, "a").await;
    assert_eq!((known.owed_since, known.passed_at), (at(1_060), Some(at(1_130))));
    // A time that has a record is not claimed again, whatever the clock says.
    let back = Due { next: at(1_060), ..due("a", 1_180) };
    store.move_due(back).await.unwrap();
    let lost = store.begin_due(due("a", 1_060), drill(20), cause("x")).await.unwrap();
    assert_eq!(lost, Claim::Lost);
    assert_eq!(get(&*store, "a").await.next, at(1_120));
    let (missed, why) = (RunOutcome::Missed, "nobody".to_owned());
    assert!(!store.pass_over(due("a", 1_120), missed, why.clone(), cause("x")).await.unwrap());
    assert!(store.pass_over(due("a", 1_180), missed, why.clone(), cause("x")).await.unwrap());
    assert!(!store.pass_over(due("a", 1_180), missed, why, cause("x")).await.unwrap());
    let runs = store.schedule_runs(name("a"), None, 10).await.unwrap();
    let seen: Vec<_> = runs.iter().map(|run| (run.due, run.outcome)).collect();
    let expected = [
        (at(1_180), RunOutcome::Missed),
        (at(1_120), RunOutcome::Skipped),
        (at(1_060), RunOutcome::Started),
    ];
    assert_eq!(seen, expected);
    assert_eq!(runs[2].drill, Some((first, DrillState::Passed)));
    let page = store.schedule_runs(name("a"), Some(at(1_180)), 1).await.unwrap();
    assert_eq!(page[0].due, at(1_120));

    // One that does not pass is still owed.
    let Claim::Begun(second) =
        store.begin_due(due("a", 1_240), drill(21), cause("x")).await.unwrap()
    else {
        panic!("nothing stands against it")
    };
    store.end_drill(second.id, ended(DrillState::Failed), cause("x")).await.unwrap();
    assert_eq!(get(&*store, "a").await.owed_since, at(1_060));
    // What is removed leaves its drills.
    store.remove_schedule(name("a"), cause("x")).await.unwrap();
    assert_eq!(store.drill(first).await.unwrap().unwrap().state, DrillState::Passed);
    assert_eq!(store.schedule_runs(name("a"), None, 10).await.unwrap(), []);
    let events = store.events_after(0, 20).await.unwrap();
    let of = |action: &str| events.iter().filter(|event| event.action == action).count();
    assert_eq!((of("drill.started"), of("drill.ended")), (2, 2));
    assert_eq!((of("drill_schedule.skipped"), of("drill_schedule.missed")), (1, 1));
}

pub async fn of_a_schedule_so_many_records_and_drills_are_kept(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    store.add_schedule(new("a"), cause("x")).await.unwrap();
    let first = drill(1);
    store.begin_due(due("a", 1_060), first.clone(), cause("x")).await.unwrap();
    store.end_drill(first.id, ended(DrillState::Passed), cause("x")).await.unwrap();
    let mut second = 1_120;
    let mut pass = async |count: u32| {
        for _ in 0..count {
            let (missed, why) = (RunOutcome::Missed, "nobody".to_owned());
            assert!(store.pass_over(due("a", second), missed, why, cause("x")).await.unwrap());
            second += 60;
        }
    };
    pass(PROBES_KEPT - 1).await;
    assert_eq!(store.drill_samples(first.id).await.unwrap().as_deref(), Some("[]"));
    pass(1).await;
    assert_eq!(store.drill_samples(first.id).await.unwrap(), None);
    pass(RUNS_KEPT - 1 - PROBES_KEPT).await;
    let count = async || store.schedule_runs(name("a"), None, 2_000).await.unwrap().len();
    assert_eq!(count().await, RUNS_KEPT as usize);
    assert!(store.drill(first.id).await.unwrap().is_some());
    pass(1).await;
    assert_eq!(count().await, RUNS_KEPT as usize);
    assert_eq!(store.drill(first.id).await.unwrap(), None);
    // That it passed is known all the same.
    assert_eq!(get(&*store, "a").await.passed_at, Some(at(1_000)));
}
