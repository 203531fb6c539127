//! One request: what it presents, what is decided, what it is answered.

pub mod denial;
pub mod headers;

use kya_core::action::RuleIndex;
use kya_core::audit::event::EXEMPT;
use kya_core::wire::Verdict;
use kya_core::{AgentId, Credential, Decision, DenyReason, Position, Request, TokenDigest};

use crate::audit::{self, Room, When};
use crate::config::{FailMode, FailModes, UnknownTokenMode};
use crate::host::{Host, LogLevel, Refused};
use crate::plugin::Plugin;
use crate::work::Worker;
use crate::work::cut::Subject;
pub use denial::Denial;
use headers::Headers;

/// What becomes of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on to the upstream.
    Continue,
    /// It was answered here and ends.
    Stop,
    /// It waits until it is resumed or answered.
    Pause,
}

/// What was done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// It is to go on, as this agent's.
    Allowed(AgentId, Subject),
    /// It is to go on, and nobody is named.
    Passed,
    /// It was answered.
    Denied(DenyReason),
    /// Nothing was done: the control plane may know its token.
    Unknown(TokenDigest),
}

/// What there is to record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// When it was decided.
    pub when: When,
    /// What was decided, by what.
    pub decision: audit::event::Decision,
}

/// What the handling of a request needs to know of the audit trail.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// Whether anything is recorded.
    pub on: bool,
    /// Whether there is room.
    pub room: Room,
    /// What the trail calls this worker.
    pub instance: &'a str,
}

/// Whether a token that is not known here may be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The caller will.
    Ask,
    /// It has been, or cannot be.
    Deny,
}

/// Decides the current request by its headers and carries the decision out. Says, too,
/// what there is to record of it.
pub fn handle<H: Host>(
    plugin: &Plugin<H>,
    worker: &mut Worker,
    trail: Trail<'_>,
    unknown: Unknown,
) -> (Handled, Noted) {
    let mut noted = Noted {
        when: When::default(),
        decision: audit::event::Decision::bare(Verdict::Deny, DenyReason::Internal.name()),
    };
    let handled = decided(plugin, worker, trail, unknown, &mut noted);
    let handled = handled.unwrap_or_else(|refused| failed(plugin, trail, refused, &mut noted));
    if noted.when == When::default() && trail.on {
        noted.when = When::now(&plugin.host);
    }
    (handled, noted)
}

fn failed<H: Host>(
    plugin: &Plugin<H>,
    trail: Trail<'_>,
    refused: Refused,
    noted: &mut Noted,
) -> Handled {
    let line = format!("a request could not be decided: {refused}");
    plugin.host.log(LogLevel::Error, &line);
    // A client's own name of an agent must not reach the upstream.
    if plugin.config.fail_modes.internal == FailMode::Allow
        && !is_refused_room(plugin, trail, None)
        && headers::remove_agent(&plugin.host).is_ok()
    {
        noted.decision.set_passed(DenyReason::Internal.name());
        plugin.metrics.passed(&plugin.host, DenyReason::Internal);
        return Handled::Passed;
    }
    noted.decision.set_denied(DenyReason::Internal);
    plugin.metrics.denied(&plugin.host, DenyReason::Internal);
    let denial = Denial { reason: DenyReason::Internal, agent_id: None, position: None };
    // If not even this is sent, the request waits and ends with its
    // connection: it never reaches the upstream.
    respond(plugin, &denial).unwrap_or(Handled::Denied(DenyReason::Internal))
}

fn decided<H: Host>(
    plugin: &Plugin<H>,
    worker: &mut Worker,
    trail: Trail<'_>,
    unknown: Unknown,
    noted: &mut Noted,
) -> Result<Handled, Refused> {
    let (host, config, metrics) = (&plugin.host, &plugin.config, &plugin.metrics);
    let headers = Headers::read(host)?;
    if trail.on {
        headers.note(&mut noted.decision);
    }
    if !config.exempt_paths.is_empty()
        && headers.target().is_some_and(|target| config.exempts(target))
    {
        noted.decision.set_passed(EXEMPT);
        headers.forward(host, &config.token_sources, None)?;
        show(plugin, trail, noted, None);
        metrics.exempted(host);
        return Ok(Handled::Passed);
    }
    let action = headers.action(&config.actions);
    let request = Request {
        credential: headers.credential(&config.token_sources),
        action: action.and_then(|index| config.actions.name(index)),
        service: config.service.as_deref(),
    };
    let decided = worker.decide(plugin, &request)?;
    noted.when = decided.when;
    noted.decision.rule = action;
    noted.decision.state_age_millis = decided.state_age;
    noted.decision.set_answer(&decided.decision, &request.credential);
    let (agent_id, position) = match decided.decision {
        Decision::Allow { agent_id, bearer, position, .. } => {
            if !is_refused_room(plugin, trail, action) {
                let name = agent_id.written();
                headers.forward(host, &config.token_sources, Some(&name))?;
                show(plugin, trail, noted, Some(&name));
                metrics.allowed(host);
                return Ok(Handled::Allowed(agent_id, Subject { bearer, action }));
            }
            (Some(agent_id), Some(position))
        }
        Decision::Deny { reason, agent_id, position, .. } => {
            if let (DenyReason::TokenUnknown, Unknown::Ask, Credential::Opaque(digest)) =
                (reason, unknown, request.credential)
                && config.fail_modes.unknown_token == UnknownTokenMode::Introspect
            {
                return Ok(Handled::Unknown(digest));
            }
            if !passes(&config.fail_modes, reason, position) {
                return deny(plugin, trail, noted, Denial { reason, agent_id, position });
            }
            if !is_refused_room(plugin, trail, action) {
                noted.decision.set_passed(reason.name());
                headers.forward(host, &config.token_sources, None)?;
                show(plugin, trail, noted, None);
                metrics.passed(host, reason);
                return Ok(Handled::Passed);
            }
            (agent_id, position)
        }
    };
    let reason = DenyReason::AuditFull;
    noted.decision.set_denied(reason);
    deny(plugin, trail, noted, Denial { reason, agent_id, position })
}

fn deny<H: Host>(
    plugin: &Plugin<H>,
    trail: Trail<'_>,
    noted: &Noted,
    denial: Denial,
) -> Result<Handled, Refused> {
    let agent = denial.agent_id.map(AgentId::written);
    show(plugin, trail, noted, agent.as_deref());
    plugin.metrics.denied(&plugin.host, denial.reason);
    respond(plugin, &denial)
}

/// Whether a request that could go on may not, because it could not be recorded.
fn is_refused_room<H: Host>(
    plugin: &Plugin<H>,
    trail: Trail<'_>,
    action: Option<RuleIndex>,
) -> bool {
    trail.room.full && plugin.config.audit.denies_unrecorded(action, &plugin.config.actions)
}

/// Shows the decision to the proxy's access log.
fn show<H: Host>(plugin: &Plugin<H>, trail: Trail<'_>, noted: &Noted, agent: Option<&str>) {
    if plugin.config.audit.filter_state {
        let line = audit::describe(&noted.decision, agent, trail.instance, trail.room);
        // A proxy that has no such thing has no such log.
        let _ = plugin.host.set_property(audit::FILTER_STATE, line.as_bytes());
    }
}

/// Whether the operator wants requests to pass that cannot be decided. A state
/// that is too old is not asked about here: where it may be used, it decides. Nor
/// is a part of a state that cannot be read: it may hold a denial.
fn passes(modes: &FailModes, reason: DenyReason, position: Option<Position>) -> bool {
    match reason {
        DenyReason::Unsynced => modes.unsynced == FailMode::Allow && position.is_none(),
        DenyReason::TokenUnknown => modes.unknown_token == UnknownTokenMode::Allow,
        _ => false,
    }
}

fn respond<H: Host>(plugin: &Plugin<H>, denial: &Denial) -> Result<Handled, Refused> {
    let challenge = denial.challenge(&plugin.config.realm);
    let headers = headers(challenge.as_deref());
    let details = details(denial.reason);
    plugin.host.respond(denial.status(), &headers, denial.body().as_bytes(), &details)?;
    Ok(Handled::Denied(denial.reason))
}

/// The headers of a denial.
pub fn headers(challenge: Option<&str>) -> [(&'static str, &str); 3] {
    let last = match challenge {
        Some(challenge) => ("www-authenticate", challenge),
        None => ("retry-after", "1"),
    };
    [("content-type", "application/problem+json"), ("cache-control", "no-store"), last]
}

/// What the proxy's access log says about a denial.
pub fn details(reason: DenyReason) -> String {
    format!("kya_{}", reason.name())
}

#[cfg(test)]
mod tests;
