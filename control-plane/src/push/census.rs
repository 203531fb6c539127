//! How many proxies there are, and how far they are: what is counted of them, and of no
//! one in particular.

use std::collections::BTreeMap;

use kya_core::Position;

use super::Push;
use super::armed::State;
use super::nodes::Transport;

/// The proxies of this server, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Census {
    /// Those that are connected.
    pub(crate) proxies: usize,
    /// Their workers.
    pub(crate) workers: usize,
    /// By what is proved of them and how they are told; each combination is there. Those
    /// that are missing are unknown.
    pub(crate) nodes: BTreeMap<(State, Transport), usize>,
    /// Those that were connected within a day and have left in order.
    pub(crate) left: usize,
    /// Workers that lack a revision, as far as they have said.
    pub(crate) workers_behind: usize,
    /// Most revisions that one of them lacks.
    pub(crate) most_behind: u64,
}

impl Census {
    fn nobody() -> Self {
        let every = State::ALL.into_iter().flat_map(|state| Transport::ALL.map(|by| (state, by)));
        Self {
            proxies: 0,
            workers: 0,
            nodes: every.map(|it| (it, 0)).collect(),
            left: 0,
            workers_behind: 0,
            most_behind: 0,
        }
    }

    fn one_more(&mut self, state: State, transport: Transport) {
        let count = self.nodes.entry((state, transport)).or_default();
        *count = count.saturating_add(1);
    }
}

impl Push {
    /// Counts the proxies.
    pub(crate) fn census(&self) -> Census {
        let yardstick = self.yardstick();
        let mut census = Census::nobody();
        self.nodes.inspect(|nodes, departed| {
            for node in nodes {
                census.proxies = census.proxies.saturating_add(1);
                census.one_more(yardstick.judge(node, None).state, node.proxy.transport);
                for worker in node.workers.values() {
                    let at = worker.newest().map_or_else(Position::default, |it| it.position);
                    let lacks = behind(at, yardstick.newest);
                    census.workers = census.workers.saturating_add(1);
                    census.workers_behind =
                        census.workers_behind.saturating_add(usize::from(lacks > 0));
                    census.most_behind = census.most_behind.max(lacks);
                }
            }
            for gone in departed {
                match gone.missing {
                    true => census.one_more(State::Unknown, gone.transport),
                    false => census.left = census.left.saturating_add(1),
                }
            }
        });
        census
    }
}

/// How many revisions somebody lacks: at least one in an earlier epoch, whose revisions may
/// be others.
pub(crate) fn behind(position: Position, newest: Position) -> u64 {
    match position >= newest {
        true => 0,
        false => newest.revision.0.saturating_sub(position.revision.0).max(1),
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Revision;

    use super::*;

    #[test]
    fn a_worker_of_an_earlier_epoch_is_behind_whatever_its_revision() {
        let at = |epoch, revision| Position { epoch, revision: Revision(revision) };
        assert_eq!(behind(at(2, 5), at(2, 9)), 4);
        assert_eq!(behind(at(2, 9), at(2, 9)), 0);
        assert_eq!(behind(at(2, 10), at(2, 9)), 0, "the head was read a moment earlier");
        assert_eq!(behind(at(1, 5), at(2, 9)), 4);
        assert_eq!(behind(at(1, 9), at(2, 9)), 1);
        assert_eq!(behind(at(1, 70), at(2, 9)), 1);
    }
}
