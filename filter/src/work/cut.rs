//! Which requests in flight a change ends.

use std::collections::BTreeSet;

use kya_core::{AgentId, Change, Fingerprint, InFlight as Ending, TokenEntry, Unreadable};

use super::in_flight::{Answer, Cut, InFlight};
use super::{News, Worker};
use crate::config::ActionIndex;
use crate::host::{ContextId, Host};
use crate::plugin::Plugin;
use crate::request::{self, Denial};

/// By what a request was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The token that it presented.
    pub fingerprint: Fingerprint,
    /// What was known of that token.
    pub token: TokenEntry,
    /// What it does, where that is known.
    pub action: Option<ActionIndex>,
}

/// The live requests of one worker.
pub type Live = InFlight<AgentId, Subject>;

/// Condemns every live request that the news may concern.
pub fn condemn(live: &mut Live, news: &News) {
    for context in touched(live, news) {
        live.condemn(context);
    }
}

/// Ends as many of the condemned requests as one callback may, unless what denies
/// them says that they may end by themselves, or nothing denies them. One of which
/// that cannot be told now is looked at again at a later tick. Returns how many were
/// ended.
pub fn cut<H: Host>(plugin: &Plugin<H>, worker: &mut Worker, live: &mut Live) -> u64 {
    let mut done = 0u64;
    for (context, request) in live.due() {
        match worker.stop(plugin, &request.subject) {
            Ok(Some(stop)) if stop.in_flight == Ending::Abort => {
                let (reason, agent_id) = (stop.reason, stop.agent_id);
                let denial = Denial { reason, agent_id, position: worker.position() };
                let outcome = answer(plugin, live, context, &denial);
                plugin.metrics.cut(&plugin.host, outcome);
                done = done.saturating_add(u64::from(outcome != Cut::Failed));
            }
            Ok(_) => live.pardon(context),
            Err(Unreadable) => live.postpone(context),
        }
    }
    done
}

fn answer<H: Host>(
    plugin: &Plugin<H>,
    live: &mut Live,
    context: ContextId,
    denial: &Denial,
) -> Cut {
    let body = denial.body();
    let details = request::details(denial.reason);
    let challenge = denial.challenge(&plugin.config.realm);
    let headers = request::headers(challenge.as_deref());
    let answer = Answer {
        status: denial.status(),
        headers: &headers,
        body: body.as_bytes(),
        details: &details,
    };
    live.cut(&plugin.host, context, &answer).map_or(Cut::Failed, |(_, cut)| cut)
}

/// The live requests that the news may concern.
fn touched(live: &Live, news: &News) -> BTreeSet<ContextId> {
    let all = || live.iter().map(|(context, _)| context).collect();
    let changes = match news {
        News::None => return BTreeSet::new(),
        News::Everything => return all(),
        News::Changes(changes) => changes,
    };
    let mut touched = BTreeSet::new();
    let mut revoked = BTreeSet::new();
    for change in changes {
        match change {
            Change::Fleet(_) | Change::Principal(..) => return all(),
            Change::Agent(id, _) | Change::Capability(id, ..) => {
                touched.extend(live.of(*id).map(|(context, _)| context));
            }
            Change::Token(fingerprint, entry) => {
                if entry.revoked {
                    revoked.insert(*fingerprint);
                }
            }
            // What a policy permits is decided when a request begins.
            Change::Grant(..) | Change::Policy(..) => {}
        }
    }
    // One pass over what is in flight, however many tokens there are.
    if !revoked.is_empty() {
        let by_them = live.iter().filter(|(_, it)| revoked.contains(&it.subject.fingerprint));
        touched.extend(by_them.map(|(context, _)| context));
    }
    touched
}
