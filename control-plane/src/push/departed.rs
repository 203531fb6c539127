//! Proxies that were connected and are not: each may still decide by the last
//! state that it received.
//!
//! This is kept in memory: who was cut off when the control plane ended, and is
//! not back since, is not in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::nodes::NodeName;
use crate::time::UnixMicros;

/// The newest so many are remembered.
const REMEMBERED: usize = 1024;
/// And for so long: by then a proxy that is not back was taken down.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A proxy whose last stream has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// The node registration by which it was let in.
    pub registration: NodeName,
    /// When its last stream ended.
    pub since: UnixMicros,
}

/// Whoever left, each once, oldest first.
#[derive(Debug, Default)]
pub(super) struct DepartedList(VecDeque<(Instant, Departed)>);

impl DepartedList {
    /// The last stream of a proxy has ended.
    pub(super) fn left(
        &mut self,
        node_id: String,
        registration: NodeName,
        (now, since): (Instant, UnixMicros),
    ) {
        self.is_back(&node_id);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((now, Departed { node_id, registration, since }));
    }

    /// A proxy has opened a stream.
    pub(super) fn is_back(&mut self, node_id: &str) {
        self.0.retain(|(_, departed)| departed.node_id != node_id);
    }

    /// Those that are not forgotten.
    pub(super) fn list(&self, now: Instant) -> Vec<Departed> {
        let remembered = |left: Instant| now.saturating_duration_since(left) < FORGOTTEN_AFTER;
        self.0
            .iter()
            .filter(|(left, _)| remembered(*left))
            .map(|(_, departed)| departed.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> NodeName {
        "fleet".parse().unwrap()
    }

    fn names(list: &DepartedList, now: Instant) -> Vec<String> {
        list.list(now).into_iter().map(|departed| departed.node_id).collect()
    }

    #[test]
    fn a_proxy_is_listed_once_from_when_it_left_until_it_is_back() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        list.left("a".to_owned(), fleet(), (now, UnixMicros(1)));
        list.left("b".to_owned(), fleet(), (now, UnixMicros(2)));
        list.left("a".to_owned(), fleet(), (now, UnixMicros(3)));
        let listed = list.list(now);
        let last =
            Departed { node_id: "a".to_owned(), registration: fleet(), since: UnixMicros(3) };
        assert_eq!(listed[1], last);
        assert_eq!(names(&list, now), ["b", "a"]);
        list.is_back("b");
        assert_eq!(names(&list, now), ["a"]);
    }

    #[test]
    fn a_day_later_it_is_forgotten() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        list.left("a".to_owned(), fleet(), (now, UnixMicros(1)));
        assert_eq!(names(&list, now + FORGOTTEN_AFTER - Duration::from_secs(1)), ["a"]);
        assert!(names(&list, now + FORGOTTEN_AFTER).is_empty());
    }

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        for n in 0..REMEMBERED + 5 {
            list.left(n.to_string(), fleet(), (now, UnixMicros(0)));
        }
        let listed = names(&list, now);
        assert_eq!((listed.len(), &*listed[0]), (REMEMBERED, "5"));
    }
}
