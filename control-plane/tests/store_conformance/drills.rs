//! Drills in every store.

use kya_control_plane::store::{Canary, DrillState, EndedDrill, NewDrill};
use kya_core::{DrillId, TokenId};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

fn new(n: u8) -> NewDrill {
    let request = json!({ "samples": n });
    NewDrill { id: DrillId::from_bytes([n; 16]), server: "here".to_owned(), request }
}

/// A sample, not spelled as it is hashed.
const SAMPLES: &str = r#"[ { "parties": [], "kill_id": null, "acknowledged_us": 12 } ]"#;

fn ended(state: DrillState) -> EndedDrill {
    EndedDrill { state, result: json!({ "passed": true }), samples: SAMPLES.to_owned() }
}

pub async fn a_drill_is_the_only_open_one_and_ends_once(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let head = store.head().await.unwrap();
    let first = new(1).id;
    assert_eq!(store.open_drill().await.unwrap(), None);
    assert_eq!(store.drill(first).await.unwrap(), None);
    let begun = store.begin_drill(new(1), cause("x")).await.unwrap();
    assert_eq!((begun.state, begun.done, begun.canary), (DrillState::Running, 0, None));
    assert_eq!((&*begun.server, &*begun.cause.actor), ("here", "admin"));
    assert_eq!((begun.started_at, begun.started_at.0), (begun.alive_at, 1_000_000_000));
    let refused = store.begin_drill(new(2), cause("x")).await.unwrap_err();
    assert!(matches!(refused, StoreError::DrillRunning(open) if open == first), "{refused}");

    let agent = agent_id(1);
    store.note_canary(first, Canary { agent, token: None }).await.unwrap();
    let canary = Canary { agent, token: Some(TokenId::from_bytes([5; 16])) };
    store.note_canary(first, canary).await.unwrap();
    clock.set(1_001);
    let state = store.drill_goes_on(first, 3).await.unwrap();
    assert_eq!(state, Some(DrillState::Running));
    let open = store.open_drill().await.unwrap().unwrap();
    assert_eq!((open.canary, open.done, open.alive_at.0), (Some(canary), 3, 1_001_000_000));
    let stopping = store.ask_drill_to_stop(first, cause("x")).await.unwrap().unwrap();
    assert_eq!(store.ask_drill_to_stop(first, cause("y")).await.unwrap().as_ref(), Some(&stopping));
    assert_eq!((stopping.state, stopping.ended_at), (DrillState::Stopping, None));
    assert_eq!(store.drill_goes_on(first, 4).await.unwrap(), Some(DrillState::Stopping));
    assert_eq!(store.drill_samples(first).await.unwrap(), None);

    clock.set(1_002);
    // Samples that could not be bound are not put away.
    let unreadable = EndedDrill { samples: "[1]".to_owned(), ..ended(DrillState::Passed) };
    assert!(store.end_drill(first, unreadable, cause("x")).await.is_err());
    assert!(store.end_drill(first, ended(DrillState::Interrupted), cause("x")).await.unwrap());
    assert!(!store.end_drill(first, ended(DrillState::Passed), cause("x")).await.unwrap());
    store.drill_goes_on(first, 9).await.unwrap();
    // Nobody would take that back.
    let late = store.note_canary(first, Canary { agent, token: None }).await.unwrap_err();
    assert!(matches!(late, StoreError::DrillOver(drill) if drill == first), "{late}");
    let over = store.ask_drill_to_stop(first, cause("x")).await.unwrap().unwrap();
    assert_eq!((over.state, over.done, over.canary), (DrillState::Interrupted, 4, Some(canary)));
    assert_eq!(over.ended_at.map(|at| at.0), Some(1_002_000_000));
    assert_eq!(over.result, Some(json!({ "passed": true })));
    assert_eq!(store.drill_samples(first).await.unwrap().as_deref(), Some(SAMPLES));
    assert_eq!(store.open_drill().await.unwrap(), None);

    store.begin_drill(new(2), cause("x")).await.unwrap();
    let ids = async |before, limit| {
        let found = store.drills(before, limit).await.unwrap();
        found.into_iter().map(|drill| drill.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10).await, [new(2).id, first]);
    assert_eq!(ids(None, 1).await, [new(2).id]);
    assert_eq!(ids(Some(new(2).id), 10).await, [first]);
    assert_eq!(ids(Some(first), 10).await, []);
    let missing = new(9).id;
    assert_eq!(store.ask_drill_to_stop(missing, cause("x")).await.unwrap(), None);
    assert_eq!(store.drill_goes_on(missing, 1).await.unwrap(), None);
    assert!(!store.end_drill(missing, ended(DrillState::Passed), cause("x")).await.unwrap());

    // Each has its events, and none has a revision.
    let events = store.events_after(0, 10).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| &*event.action).collect();
    let expected = ["drill.started", "drill.stop_asked", "drill.ended", "drill.started"];
    assert_eq!(actions, expected);
    assert_eq!(events[1].subject, first.to_string());
    // What goes into the trail binds each sample.
    let after = events[2].after.as_ref().unwrap();
    let canonical = r#"{"acknowledged_us":12,"kill_id":null,"parties":[]}"#;
    let digest: String =
        Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(after["samples_sha256"], json!([digest]));
    assert_eq!(after["result"], json!({ "passed": true }));
    assert_eq!(store.head().await.unwrap().position, head.position);
}

/// Also in the moment between its look and its restoration, or after its server has died.
pub async fn a_drill_undoes_only_what_it_did_itself(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    let agent = register(&*store).await;
    let reason = format!("drill {}", new(1).id);
    let by_it = || cause(&reason);
    let by = |who: &str| Cause { actor: who.to_owned(), ..cause("incident 7") };
    let suspend = StatusAction::Suspend(InFlight::Abort);
    let decide = async |action, cause| store.decide_agent(agent, action, cause).await.unwrap();

    // What nobody else has stopped meanwhile is put back.
    assert!(decide(suspend, by_it()).await.changed);
    assert!(!decide(suspend, by_it()).await.changed);
    let restored = decide(StatusAction::Restore, by_it()).await;
    assert_eq!((restored.changed, restored.record.status), (true, Status::Active));

    // Whoever stops it meanwhile, less strictly too, has stopped it.
    for action in [suspend, StatusAction::Suspend(InFlight::Drain)] {
        assert!(decide(suspend, by_it()).await.changed);
        let stopped = decide(action, by("ann")).await;
        assert!(stopped.changed);
        let record = &stopped.record;
        assert_eq!((record.status, record.in_flight), (Status::Suspended, InFlight::Abort));
        assert_eq!(record.status_reason.as_deref(), Some("incident 7"));
        assert!(!decide(suspend, by_it()).await.changed);
        let left = decide(StatusAction::Restore, by_it()).await;
        assert_eq!((left.changed, left.record.status), (false, Status::Suspended));
        let (_, kills) = (store.head().await, store.kills(Default::default(), None, 10).await);
        let newest = &kills.unwrap()[0];
        assert_eq!((&*newest.act, &*newest.cause.actor), ("agent.suspended", "ann"));
        assert!(decide(StatusAction::Restore, by("ann")).await.changed);
    }

    // It does not take over what somebody has stopped less strictly before it.
    assert!(decide(StatusAction::Suspend(InFlight::Drain), by("ann")).await.changed);
    assert!(!decide(suspend, by_it()).await.changed);
    assert!(!decide(StatusAction::Restore, by_it()).await.changed);
    let left = store.agent(agent).await.unwrap();
    assert_eq!((left.status, left.status_actor.as_str()), (Status::Suspended, "ann"));
    assert!(decide(StatusAction::Restore, by("ann")).await.changed);

    // The same of a selection.
    assert!(decide(suspend, by_it()).await.changed);
    let all = "env!=prod".parse().unwrap();
    let batch = store.decide_agents(all, None, suspend, by("bob")).await.unwrap();
    assert_eq!((batch.changed, batch.unchanged), (1, 0));
    assert!(!decide(StatusAction::Restore, by_it()).await.changed);
    assert_eq!(store.agent(agent).await.unwrap().status_actor, "bob");
    // And nothing is put back that has gone back already.
    assert!(decide(StatusAction::Restore, by("bob")).await.changed);
    assert!(!decide(StatusAction::Restore, by_it()).await.changed);
}
