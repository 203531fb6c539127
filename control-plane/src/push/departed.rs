//! Proxies that were connected and are not: each may still decide by the last
//! state that it received.
//!
//! One that fell silent is missing: it may run, and not hear. One that closed its connection
//! itself ran until then, and whatever ended it, or took it away, did so where it runs: it has
//! left, unless its registration is for it alone and says that it is to be there.
//!
//! This is kept in memory: who was cut off when the control plane ended, and is
//! not back since, is not in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::nodes::{Proxy, Transport};
use crate::nodes::NodeName;
use crate::time::UnixMicros;

/// The newest so many are remembered.
const REMEMBERED: usize = 1024;
/// And for so long: by then a proxy that is not back was taken down.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How the last stream of a proxy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaving {
    /// It said nothing more, or was cut off because it did not read or broke the protocol;
    /// one that pulls says nothing when it ends.
    #[default]
    Silent,
    /// It ended the stream, or closed the connection below it.
    Closed,
    /// Its registration was revoked or has expired.
    NotAdmitted,
}

/// A proxy whose last stream has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// The node registration by which it was let in.
    pub registration: NodeName,
    /// How it was told what is new.
    pub transport: Transport,
    /// When its last stream ended.
    pub since: UnixMicros,
    /// How.
    pub how: Leaving,
    /// Whether it should be there, or may be: see the [module](self).
    pub missing: bool,
}

/// One that has left.
#[derive(Debug)]
struct Left {
    at: Instant,
    since: UnixMicros,
    proxy: Proxy,
    how: Leaving,
}

/// Whoever left, each once, oldest first.
#[derive(Debug, Default)]
pub(super) struct DepartedList(VecDeque<Left>);

impl Leaving {
    /// In words, of a proxy that is not connected.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Silent => {
                "it fell silent, and may still decide by the last state that it received"
            }
            Self::Closed => "it closed its connection, and is not back",
            Self::NotAdmitted => {
                "its registration counts no more, and it may decide by the last state that it received until that is stale"
            }
        }
    }
}

impl DepartedList {
    /// The last stream of a proxy has ended.
    pub(super) fn left(&mut self, proxy: Proxy, how: Leaving, (at, since): (Instant, UnixMicros)) {
        self.is_back(&proxy.node_id);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Left { at, since, proxy, how });
    }

    /// A proxy has opened a stream.
    pub(super) fn is_back(&mut self, node_id: &str) {
        self.0.retain(|left| left.proxy.node_id != node_id);
    }

    /// Nobody can come back by this registration.
    pub(super) fn end_registration(&mut self, name: &NodeName) {
        for left in self.0.iter_mut().filter(|left| left.proxy.registration == *name) {
            left.how = Leaving::NotAdmitted;
        }
    }

    /// Those that are not forgotten. Whoever only lost its connection is back within this time.
    pub(super) fn list(&self, now: Instant, back_within: Duration) -> Vec<Departed> {
        let gone = |left: &Left| now.saturating_duration_since(left.at);
        let remembered = self.0.iter().filter(|left| gone(left) < FORGOTTEN_AFTER);
        let shown = remembered.map(|left| Departed {
            node_id: left.proxy.node_id.clone(),
            registration: left.proxy.registration.clone(),
            transport: left.proxy.transport,
            since: left.since,
            how: left.how,
            missing: gone(left) < back_within || left.is_missing(),
        });
        shown.collect()
    }
}

impl Left {
    fn is_missing(&self) -> bool {
        match self.how {
            Leaving::Silent => true,
            Leaving::Closed => self.proxy.is_named,
            Leaving::NotAdmitted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(node_id: &str, is_named: bool) -> Proxy {
        Proxy {
            node_id: node_id.to_owned(),
            cluster: String::new(),
            filter_version: String::new(),
            registration: "fleet".parse().unwrap(),
            is_named,
            configuration_hash: None,
            transport: Transport::Stream,
            peer: "127.0.0.1:1".parse().unwrap(),
            connected_at: UnixMicros(0),
        }
    }

    fn left(list: &mut DepartedList, node_id: &str, at: (Instant, UnixMicros)) {
        list.left(proxy(node_id, false), Leaving::Silent, at);
    }

    fn names(list: &DepartedList, now: Instant) -> Vec<String> {
        let minute = Duration::from_secs(60);
        list.list(now, minute).into_iter().map(|departed| departed.node_id).collect()
    }

    #[test]
    fn a_proxy_is_listed_once_from_when_it_left_until_it_is_back() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        left(&mut list, "a", (now, UnixMicros(1)));
        left(&mut list, "b", (now, UnixMicros(2)));
        left(&mut list, "a", (now, UnixMicros(3)));
        let listed = list.list(now, Duration::ZERO);
        assert_eq!((&*listed[1].node_id, listed[1].since), ("a", UnixMicros(3)));
        assert_eq!(names(&list, now), ["b", "a"]);
        list.is_back("b");
        assert_eq!(names(&list, now), ["a"]);
    }

    #[test]
    fn a_day_later_it_is_forgotten() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        left(&mut list, "a", (now, UnixMicros(1)));
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(names(&list, now + day - Duration::from_secs(1)), ["a"]);
        assert_eq!(names(&list, now + day), [""; 0]);
    }

    #[test]
    fn the_newest_are_remembered_when_there_are_too_many() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        for name in 0..=REMEMBERED {
            left(&mut list, &name.to_string(), (now, UnixMicros(0)));
        }
        let listed = names(&list, now);
        assert_eq!((listed.len(), listed[0].as_str()), (REMEMBERED, "1"));
    }

    /// Who is missing so many seconds later.
    fn missing(list: &DepartedList, now: Instant, later: u64) -> Vec<String> {
        let found = list.list(now + Duration::from_secs(later), Duration::from_secs(60));
        found.into_iter().filter(|it| it.missing).map(|it| it.node_id).collect()
    }

    #[test]
    fn who_closed_its_connection_has_left_after_a_minute_and_who_fell_silent_is_missing() {
        let (mut list, now) = (DepartedList::default(), Instant::now());
        let at = (now, UnixMicros(1));
        list.left(proxy("silent", false), Leaving::Silent, at);
        list.left(proxy("closed", false), Leaving::Closed, at);
        list.left(proxy("named", true), Leaving::Closed, at);
        list.left(proxy("revoked", true), Leaving::NotAdmitted, at);
        assert_eq!(missing(&list, now, 59), ["silent", "closed", "named", "revoked"]);
        assert_eq!(missing(&list, now, 60), ["silent", "named"]);
        assert_eq!(names(&list, now).len(), 4, "each is listed all the same");
        // Its registration is revoked: whoever did that does not wait for it.
        list.end_registration(&"other".parse().unwrap());
        assert_eq!(missing(&list, now, 60), ["silent", "named"]);
        list.end_registration(&"fleet".parse().unwrap());
        assert_eq!(missing(&list, now, 60), [""; 0]);
    }
}
