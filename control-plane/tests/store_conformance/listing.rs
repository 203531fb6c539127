//! Orders of agents, in every store.

use kya_control_plane::store::{AgentKey, AgentSort, NewAgent};

use super::*;

/// The agents by the last digits of their ids, in pages of so many.
async fn listed(store: &dyn Store, filter: &AgentFilter, size: u32) -> Vec<u64> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.agents(filter.clone(), after, size).await.unwrap();
        let number = |agent: &Agent| (1..=9).find(|n| agent_id(*n) == agent.id).unwrap();
        seen.extend(page.iter().map(number));
        assert!(seen.len() < 100, "the pages go on and on: {seen:?}");
        after = page.last().map(|agent| agent.id);
        if page.len() < usize::try_from(size).unwrap() {
            return seen;
        }
    }
}

pub async fn agents_are_listed_in_every_order_page_by_page(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    // Ids are not in the order of the registrations, and names differ in bytes alone.
    for (at, n, name, expires, labels) in [
        (10, 4, "banana", Some(500), "env=prod"),
        (11, 2, "Zebra", None, ""),
        (11, 5, "apple", Some(400), "env=prod"),
        (12, 1, "banana", None, "env=prod"),
        (13, 3, "\u{e9}clair", Some(500), "env=prod"),
        (14, 6, "\u{10ffff}", Some(600), ""),
    ] {
        clock.set(at);
        let new = NewAgent {
            expires: expires.map(UnixSeconds),
            labels: labels.parse().unwrap(),
            ..NewAgent::named(agent_id(n), name)
        };
        store.register_agent(new, Cause::default()).await.unwrap();
    }
    for (by, expected) in [
        (AgentKey::Id, [1, 2, 3, 4, 5, 6]),
        (AgentKey::Name, [2, 5, 1, 4, 3, 6]),
        (AgentKey::Created, [4, 2, 5, 1, 3, 6]),
        (AgentKey::Expires, [5, 3, 4, 6, 1, 2]),
    ] {
        let mut backwards = expected;
        backwards.reverse();
        for (descending, expected) in [(false, expected), (true, backwards)] {
            let sort = AgentSort { by, descending };
            let all = AgentFilter { sort, ..AgentFilter::default() };
            let some = AgentFilter { selector: Some("env=prod".parse().unwrap()), ..all.clone() };
            for size in [1, 2, 3, 100] {
                assert_eq!(listed(&*store, &all, size).await, expected, "{sort:?} by {size}");
                let prod: Vec<_> =
                    expected.iter().copied().filter(|n| [1, 3, 4, 5].contains(n)).collect();
                assert_eq!(listed(&*store, &some, size).await, prod, "{sort:?} by {size}");
            }
        }
    }
    // There is no place after an agent that there is not, but in the order of ids.
    let by_name = AgentSort { by: AgentKey::Name, descending: false };
    let filter = AgentFilter { sort: by_name, ..AgentFilter::default() };
    let refused = store.agents(filter, Some(agent_id(9)), 10).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoSuchAgent(_)), "{refused}");
    let none = store.agents(AgentFilter::default(), Some(agent_id(9)), 10).await.unwrap();
    assert_eq!(none, []);
}
