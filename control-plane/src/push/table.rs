//! The table of connected proxies, as it is while nobody else looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::departed::{DepartedList, Leaving};
use super::nodes::{Node, Proxy, Transport};
use crate::time::UnixMicros;

/// A place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

/// Who is connected, and who was.
#[derive(Debug, Default)]
pub(super) struct Open {
    next: u64,
    pub(super) nodes: BTreeMap<Key, Node>,
    pub(super) departed: DepartedList,
}

impl Open {
    /// A pull that was under way while the stream opened has entered the proxy a
    /// second time: on the stream nobody had named a worker yet.
    pub(super) fn forget_pulls_of(&mut self, stream: Key) {
        let Some(node) = self.nodes.get(&stream) else { return };
        if node.proxy.transport == Transport::Stream {
            let node_id = node.proxy.node_id.clone();
            self.nodes.retain(|_, other| {
                other.proxy.transport == Transport::Stream || other.proxy.node_id != node_id
            });
        }
    }

    pub(super) fn enter(&mut self, proxy: Proxy, last_seen: (Instant, UnixMicros)) -> Key {
        let key = Key(self.next);
        self.next = self.next.wrapping_add(1);
        self.departed.is_back(&proxy.node_id);
        let (workers, clock_ahead_millis, asked) = Default::default();
        self.nodes.insert(key, Node { proxy, workers, last_seen, clock_ahead_millis, asked });
        key
    }

    /// Takes out the proxies that have not pulled for so long.
    pub(super) fn expire(&mut self, now: (Instant, UnixMicros), patience: Duration) {
        let gone = |_: &Key, node: &mut Node| {
            node.proxy.transport == Transport::Pull
                && now.0.saturating_duration_since(node.last_seen.0) > patience
        };
        let gone: Vec<_> = self.nodes.extract_if(.., gone).collect();
        for (_, node) in gone {
            self.leave(node.proxy, Leaving::Silent, node.last_seen);
        }
    }

    /// A proxy has left, unless it is connected otherwise.
    pub(super) fn leave(&mut self, proxy: Proxy, how: Leaving, at: (Instant, UnixMicros)) {
        if !self.nodes.values().any(|node| node.proxy.node_id == proxy.node_id) {
            self.departed.left(proxy, how, at);
        }
    }
}
