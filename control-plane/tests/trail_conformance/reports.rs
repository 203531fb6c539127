//! What workers report.

use std::sync::Arc;

use kya_control_plane::store::{Cause, NewToken, TokenLimits};
use kya_control_plane::time::UnixMicros;
use kya_core::audit::event::{Applied, Decision, Happened, Token};
use kya_core::audit::{Entry, Verdict};
use kya_core::{InFlight, OpaqueToken, Position, Revision, TokenId};

use super::{Fixture, Opened, agent, batch, decision, end, ended, numbers, open, open_at};

pub async fn every_report_is_there_once_and_in_order<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    assert_eq!(it.report(batch("web-1", 9, 1, vec![])).await, 1, "nothing is there yet");
    assert_eq!(it.report(batch("web-1", 9, 1, vec![ended(1), ended(2)])).await, 3);
    let denied =
        Decision { verdict: Verdict::Deny, reason: Some("revoked".to_owned()), ..decision(3) };
    let applied = Applied {
        position: Position { epoch: 7, revision: Revision(4) },
        in_flight: 0,
        untracked: 1,
    };
    let rest = vec![
        Happened::Decision(Box::new(denied)),
        Happened::Applied(applied),
        Happened::Dropped(12),
    ];
    assert_eq!(it.report(batch("web-1", 9, 3, rest)).await, 6);
    assert_eq!(it.report(batch("web-1", 9, 6, vec![])).await, 6);
    let records = it.records().await;
    let decisions: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Decision(decided) => Some(decided),
            _ => None,
        })
        .collect();
    assert_eq!(numbers(&records)["0000000000000009"], [1, 2, 3]);
    let first = decisions[0];
    assert_eq!(first.agent_id, Some(agent(1).to_string()));
    assert_eq!(first.source.proxy, "web-1");
    assert_eq!(first.service.as_deref(), Some("payments"));
    assert_eq!(first.end.as_ref().unwrap().upstream_status, Some(200));
    assert_eq!(decisions[2].decision, Verdict::Deny);
    let Entry::Dropped(dropped) = &records.last().unwrap().entry else { panic!("{records:?}") };
    assert_eq!((dropped.events, dropped.source.number), (12, 5));
}

pub async fn what_is_missing_is_named_and_what_came_twice_is_not_there_twice<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let some = |first: u64, count: usize| batch("web-1", 9, first, vec![ended(1); count]);
    assert_eq!(it.report(some(1, 4)).await, 5);
    // The same again, and one that reaches further.
    assert_eq!(it.report(some(1, 4)).await, 5);
    assert_eq!(it.report(some(3, 4)).await, 7);
    // One in the future that says nothing is no gap.
    assert_eq!(it.report(some(20, 0)).await, 7);
    // Three are missing. No worker sends them later, when it was said that they are.
    assert_eq!(it.report(some(10, 2)).await, 12);
    let late = it.trail.report("fleet", some(7, 3)).await;
    assert_eq!(late, Err(kya_control_plane::audit::NotTaken::Conflict { number: 7 }));
    // Another VM of the same proxy, and the same VM of another, have their own numbers.
    assert_eq!(it.report(batch("web-1", 10, 1, vec![ended(1)])).await, 2);
    assert_eq!(it.report(batch("web-2", 9, 1, vec![ended(1)])).await, 2);
    let records = it.records().await;
    let of_web_1 = |record: &&_| match &kya_entry(record) {
        Entry::Decision(it) => it.source.proxy == "web-1" && it.source.instance.ends_with("9"),
        _ => false,
    };
    let mine: Vec<_> = records.iter().filter(of_web_1).cloned().collect();
    assert_eq!(numbers(&mine)["0000000000000009"], [1, 2, 3, 4, 5, 6, 10, 11]);
    let gaps: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Gap(gap) => Some((gap.source.number, gap.events)),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(7, 3)]);
}

fn kya_entry(record: &kya_core::audit::Record) -> Entry {
    record.entry.clone()
}

pub async fn many_workers_at_once_make_one_chain<F: Fixture>() {
    let fixture = F::new().await;
    let one = open(&fixture).await;
    // Two servers where there can be two.
    let other = if F::SHARED { Some(open(&fixture).await) } else { None };
    let trails = [Some(&one), other.as_ref()].into_iter().flatten();
    let trails: Vec<_> = trails.map(|it| Arc::clone(&it.trail)).collect();
    let mut workers = Vec::new();
    for worker in 0..8u64 {
        let trails = trails.clone();
        workers.push(tokio::spawn(async move {
            let mut next = 1;
            for round in 0..10usize {
                // Each is sent to a server, and sometimes to another one once more.
                let trail = &trails[(round + usize::try_from(worker).unwrap()) % trails.len()];
                let some = batch("web", 100 + worker, next, vec![ended(1); 13]);
                let again = batch("web", 100 + worker, next, vec![ended(1); 13]);
                next = trail.report("fleet", some).await.unwrap();
                if round % 3 == 0 {
                    assert_eq!(trails[0].report("fleet", again).await.unwrap(), next);
                }
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let records = one.records().await;
    let numbers = numbers(&records);
    assert_eq!(numbers.len(), 8);
    for of_one in numbers.values() {
        assert_eq!(*of_one, (1..=130).collect::<Vec<_>>());
    }
    assert_eq!(records.len(), 1 + 8 * 130);
}

pub async fn an_end_says_whose_request_it_was<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let begun = || Happened::Decision(Box::new(decision(5)));
    let ends = |decision| Happened::End { decision, end: end() };
    let concerned = Happened::InFlight {
        position: Position { epoch: 7, revision: Revision(4) },
        decision: 1,
        ending: InFlight::Drain,
    };
    // Two begin; one of them ends in the same batch.
    it.report(batch("web-1", 9, 1, vec![begun(), begun(), ends(2)])).await;
    it.report(batch("web-1", 9, 4, vec![concerned, ends(1), ends(1), ends(77)])).await;
    let whose: Vec<_> = it
        .entries()
        .await
        .iter()
        .filter_map(|entry| match entry {
            Entry::Ended(ended) => Some((ended.decision_number, ended.agent_id.clone())),
            Entry::InFlight(it) => Some((it.decision_number, it.agent_id.clone())),
            _ => None,
        })
        .collect();
    let five = Some(agent(5).to_string());
    let expected = [(2, five.clone()), (1, five.clone()), (1, five), (1, None), (77, None)];
    assert_eq!(whose, expected);
}

pub async fn very_many_requests_of_many_workers_end_at_once<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let (workers, each) = (8, 500);
    let begun = |n: u64| Happened::Decision(Box::new(decision(u8::try_from(n % 7).unwrap())));
    for instance in 1..=workers {
        it.report(batch("web", instance, 1, (0..each).map(begun).collect())).await;
    }
    let at = Position { epoch: 7, revision: Revision(4) };
    // Every second one is concerned by a state first; some end twice.
    let about = |n: u64| {
        let ends = Happened::End { decision: n + 1, end: end() };
        match n % 2 {
            0 => vec![
                Happened::InFlight { position: at, decision: n + 1, ending: InFlight::Drain },
                ends,
            ],
            _ if n.is_multiple_of(5) => vec![ends.clone(), ends],
            _ => vec![ends],
        }
    };
    let waiting = (1..=workers).map(|instance| {
        let trail = Arc::clone(&it.trail);
        let events: Vec<_> = (0..each).flat_map(about).collect();
        tokio::spawn(async move {
            trail.report("fleet", batch("web", instance, each + 1, events)).await
        })
    });
    for done in waiting.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    let (mut known, mut unknown, mut concerned) = (0, 0, 0);
    for entry in it.entries().await {
        let (number, whose) = match entry {
            Entry::Ended(ended) => (ended.decision_number, ended.agent_id),
            Entry::InFlight(it) => {
                concerned += 1;
                (it.decision_number, it.agent_id)
            }
            _ => continue,
        };
        let expected = agent(u8::try_from((number - 1) % 7).unwrap()).to_string();
        match whose {
            Some(whose) => {
                assert_eq!(whose, expected);
                known += 1;
            }
            None => unknown += 1,
        }
    }
    // What has ended is known no more, so that the second end of it is nobody's.
    let twice = (0..each).filter(|n| n % 2 == 1 && n % 5 == 0).count() as u64;
    assert_eq!(concerned, workers * each / 2);
    assert_eq!(known, workers * each + concerned);
    assert_eq!(unknown, workers * twice);
}

pub async fn a_worker_that_ends_is_closed_and_one_that_is_gone_is_lost_once<F: Fixture>() {
    let fixture = F::new().await;
    let it = open_at(&fixture, fixture.dir(), 1_000).await;
    let mut last = batch("web-1", 1, 1, vec![ended(1)]);
    last.last = true;
    assert_eq!(it.report(last.clone()).await, 2);
    assert_eq!(it.report(last).await, 2, "said twice, it is written once");
    let begun = Happened::Decision(Box::new(decision(5)));
    it.report(batch("web-1", 2, 1, vec![begun.clone(), begun, ended(1)])).await;
    it.clock.set(1_050);
    it.report(batch("web-1", 3, 1, vec![ended(1)])).await;
    let since = |second: u64| UnixMicros(second * 1_000_000);
    it.trail.lose_silent(since(1_040)).await.unwrap();
    it.trail.lose_silent(since(1_040)).await.unwrap();
    let ends: Vec<_> = it
        .entries()
        .await
        .iter()
        .filter_map(|entry| match entry {
            Entry::WorkerClosed(it) => Some(("closed", it.source.instance.clone(), 2, 0)),
            Entry::WorkerLost(it) => {
                Some(("lost", it.source.instance.clone(), it.source.number, it.unended))
            }
            _ => None,
        })
        .collect();
    let instance = |n: u64| format!("{n:016x}");
    assert_eq!(ends, [("closed", instance(1), 2, 0), ("lost", instance(2), 4, 2)]);
    // One that is seen, by whatever server, is not lost.
    let there = kya_control_plane::store::audit::SourceKey { node: "web-1".into(), instance: 3 };
    it.trail.store().seen(&[(there, 0)], since(1_100)).await.unwrap();
    it.trail.lose_silent(since(1_090)).await.unwrap();
    let lost = it.entries().await;
    let lost = lost.iter().filter(|entry| matches!(entry, Entry::WorkerLost(_))).count();
    assert_eq!(lost, 1);
}

pub async fn whoever_comes_back_goes_on<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 2, 1, vec![ended(1)])).await;
    it.clock.set(2_000);
    it.trail.lose_silent(UnixMicros(1_900_000_000)).await.unwrap();
    assert_eq!(it.report(batch("web-1", 2, 2, vec![ended(1)])).await, 3);
    it.clock.set(3_000);
    it.trail.lose_silent(UnixMicros(2_900_000_000)).await.unwrap();
    let records = it.records().await;
    assert_eq!(numbers(&records)["0000000000000002"], [1, 2]);
    let lost: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::WorkerLost(it) => Some(it.source.number),
            _ => None,
        })
        .collect();
    assert_eq!(lost, [2, 3]);
}

pub async fn tokens_are_called_by_their_names_where_they_are_known<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let holder = agent(5);
    let new = kya_control_plane::store::NewAgent::named(holder, "payer");
    it.registry.register_agent(new, Cause::default()).await.unwrap();
    let token = OpaqueToken::from_random([7; 32]);
    let id = TokenId::from_bytes([8; 16]);
    let new = NewToken {
        id,
        digest: token.digest(),
        agent_id: holder,
        limits: TokenLimits::default(),
        ttl_seconds: 60,
    };
    it.registry.issue_token(new, Cause::default()).await.unwrap();
    let by = |digest: kya_core::TokenDigest| {
        let token = Some(Token::Opaque(digest.fingerprint()));
        Happened::Decision(Box::new(Decision { token, end: Some(end()), ..decision(5) }))
    };
    let unknown = OpaqueToken::from_random([9; 32]).digest();
    it.report(batch("web-1", 9, 1, vec![by(token.digest()), by(unknown)])).await;
    // By what it remembers.
    it.report(batch("web-1", 9, 3, vec![by(token.digest())])).await;
    let names: Vec<_> = it
        .entries()
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Decision(decided) => decided.token_id,
            _ => None,
        })
        .collect();
    assert_eq!([&names[0], &names[2]], [&id.to_string(), &id.to_string()]);
    assert!(names[1].starts_with("sha256:") && names[1].len() == 39, "{}", names[1]);
}

pub async fn a_reopened_trail_goes_on<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 9, 1, vec![ended(1); 300])).await;
    let before = it.records().await;
    it.close().await;
    let it: Opened = open_at(&fixture, fixture.dir(), 500).await;
    assert_eq!(it.report(batch("web-1", 9, 1, vec![ended(1); 301])).await, 302);
    let after = it.records().await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1);
    let (last, first) = (after.last().unwrap(), &after[0]);
    assert!(last.recorded >= first.recorded, "a clock that was set back makes nothing earlier");
}
