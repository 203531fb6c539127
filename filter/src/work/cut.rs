//! Which requests in flight a change ends.

use std::collections::BTreeSet;

use kya_core::action::RuleIndex;
use kya_core::{
    AgentId, Authority, Bearer, CapabilityId, Change, Fingerprint, InFlight as Ending, PolicyId,
    Unreadable,
};

use super::in_flight::{Answer, Cut, InFlight};
use super::{News, Worker};
use crate::host::{ContextId, Host};
use crate::plugin::Plugin;
use crate::request::{self, Denial};

/// By what a request was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The token that it presented.
    pub bearer: Bearer,
    /// The rule that says what it does, if one does.
    pub action: Option<RuleIndex>,
}

/// The live requests of one worker.
pub type Live = InFlight<AgentId, Subject>;

/// Condemns every live request that the news may concern. These are they.
pub fn condemn(live: &mut Live, authority: &Authority, news: &News) -> BTreeSet<ContextId> {
    let touched = touched(live, authority, news);
    for context in &touched {
        live.condemn(*context);
    }
    touched
}

/// Whether the newest state concerns a live request, and if so whether it is ended or may
/// end by itself. Where that cannot be told now, it may be ended.
pub fn ending<H: Host>(
    plugin: &Plugin<H>,
    worker: &mut Worker,
    live: &Live,
    context: ContextId,
) -> Option<Ending> {
    let request = live.get(context)?;
    match worker.stop(plugin, &request.subject) {
        Ok(stop) => stop.map(|stop| stop.in_flight),
        Err(Unreadable) => Some(Ending::Abort),
    }
}

/// Ends as many of the condemned requests as one callback may, unless what denies
/// them says that they may end by themselves, or nothing denies them. One of which
/// that cannot be told now is looked at again at a later tick. Returns those that were
/// ended.
pub fn cut<H: Host>(plugin: &Plugin<H>, worker: &mut Worker, live: &mut Live) -> Vec<ContextId> {
    let mut done = Vec::new();
    for (context, request) in live.due() {
        match worker.stop(plugin, &request.subject) {
            Ok(Some(stop)) if stop.in_flight == Ending::Abort => {
                let (reason, agent_id) = (stop.reason, stop.agent_id);
                let denial = Denial { reason, agent_id, position: worker.position() };
                let outcome = answer(plugin, live, context, &denial);
                plugin.metrics.cut(&plugin.host, outcome);
                if outcome != Cut::Failed {
                    done.push(context);
                }
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
fn touched(live: &Live, authority: &Authority, news: &News) -> BTreeSet<ContextId> {
    let all = || live.iter().map(|(context, _)| context).collect();
    let changes = match news {
        News::None => return BTreeSet::new(),
        News::Everything => return all(),
        News::Changes(changes) => changes,
    };
    let mut touched = BTreeSet::new();
    let mut changed = Changed::default();
    for change in changes {
        match change {
            Change::Fleet(_) | Change::Principal(..) => return all(),
            Change::Agent(id, _) | Change::Capability(id, ..) => {
                touched.extend(live.of(*id).map(|(context, _)| context));
            }
            Change::Policy(id, ..) => {
                changed.policies.insert(*id);
            }
            Change::Token(fingerprint, entry) => {
                if entry.revoked {
                    changed.tokens.insert(*fingerprint);
                }
            }
            Change::RevokedCapability(id, _) => {
                changed.capabilities.insert(*id);
            }
            // Whose signatures count is asked when a request begins.
            Change::Grant(..) | Change::Issuer(_) => {}
        }
    }
    // One pass over what is in flight, however much has changed.
    if changed != Changed::default() {
        let of_them = live.iter().filter(|(_, it)| changed.touches(authority, it.key, &it.subject));
        touched.extend(of_them.map(|(context, _)| context));
    }
    touched
}

/// What has changed by which requests in flight are not found at once.
#[derive(Default, PartialEq)]
struct Changed {
    policies: BTreeSet<PolicyId>,
    tokens: BTreeSet<Fingerprint>,
    capabilities: BTreeSet<CapabilityId>,
}

impl Changed {
    fn touches(&self, authority: &Authority, agent: AgentId, subject: &Subject) -> bool {
        let taken_back = match &subject.bearer {
            Bearer::Opaque { fingerprint, .. } => self.tokens.contains(fingerprint),
            Bearer::Capability(it) => self.capabilities.contains(&it.claims().id),
        };
        taken_back
            || (!self.policies.is_empty()
                && authority.is_under(agent, |policy| self.policies.contains(&policy)))
    }
}
