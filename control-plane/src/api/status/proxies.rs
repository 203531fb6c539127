//! The proxies of this server, and those of them that are not armed.

use serde::Serialize;

use super::{Look, problems};
use crate::push::{State, Transport, behind};

/// Most proxies that are named.
const NAMED: usize = 20;

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ProxiesStatus")]
pub(super) struct Proxies {
    pub(super) armed: usize,
    pub(super) stale: usize,
    /// Those that were connected within a day, are not, and should be or may run unheard.
    pub(super) unknown: usize,
    /// Those that were connected within a day and have left in order.
    left: usize,
    /// Those that are connected, by how they are told what is new.
    streams: usize,
    pulls: usize,
    workers: usize,
    /// Most revisions that a worker has not applied.
    most_behind: u64,
    /// A proxy that lacks so many; `None` if none lacks any.
    slowest: Option<String>,
    /// The first of those that are not armed.
    pub(super) not_armed: Vec<NotArmed>,
    /// How many more there are.
    more: usize,
}

/// A proxy that would not be known to apply a kill.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct NotArmed {
    pub(super) node_id: String,
    state: &'static str,
    pub(super) why: String,
    /// When it left; of one that is connected, when every worker had last answered a
    /// challenge, if all have.
    since: Option<String>,
}

impl Proxies {
    pub(super) fn look(look: &mut Look<'_>) -> Self {
        let newest = look.api.push.published();
        let (connected, departed) = look.api.push.verdicts();
        let mut found = Self {
            armed: 0,
            stale: 0,
            unknown: 0,
            left: 0,
            streams: 0,
            pulls: 0,
            workers: 0,
            most_behind: 0,
            slowest: None,
            not_armed: Vec::new(),
            more: 0,
        };
        for (node, verdict) in connected {
            let one_more = |count: &mut usize| *count = count.saturating_add(1);
            match node.proxy.transport {
                Transport::Stream => one_more(&mut found.streams),
                Transport::Pull => one_more(&mut found.pulls),
            }
            found.workers = found.workers.saturating_add(node.workers.len());
            let positions = node.workers.values().map(|worker| {
                worker.newest().map_or_else(Default::default, |applied| applied.position)
            });
            let lag = positions.map(|position| behind(position, newest)).max().unwrap_or(0);
            if lag > found.most_behind {
                found.most_behind = lag;
                found.slowest = Some(node.proxy.node_id.clone());
            }
            match verdict.state {
                State::Armed => {
                    one_more(&mut found.armed);
                    continue;
                }
                State::Stale => one_more(&mut found.stale),
                State::Unknown => one_more(&mut found.unknown),
            }
            found.name(NotArmed {
                node_id: node.proxy.node_id,
                state: verdict.state.as_str(),
                why: verdict.why.unwrap_or_else(|| "nothing is known of it".to_owned()),
                since: verdict.answered_at.map(|at| at.to_rfc3339()),
            });
        }
        for gone in departed {
            let of = if gone.missing { &mut found.unknown } else { &mut found.left };
            *of = of.saturating_add(1);
            if !gone.missing {
                continue;
            }
            found.name(NotArmed {
                node_id: gone.node_id,
                state: State::Unknown.as_str(),
                why: gone.how.in_words().to_owned(),
                since: Some(gone.since.to_rfc3339()),
            });
        }
        look.problems.extend(problems::of_proxies(&found));
        found
    }

    fn name(&mut self, proxy: NotArmed) {
        match self.not_armed.len() < NAMED {
            true => self.not_armed.push(proxy),
            false => self.more = self.more.saturating_add(1),
        }
    }
}
