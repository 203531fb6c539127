//! One request: what it presents, what is decided, what it is answered.

pub mod denial;
pub mod headers;

use kya_core::{AgentId, Credential, Decision, DenyReason, Position, Request, TokenDigest};

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

/// Whether a token that is not known here may be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The caller will.
    Ask,
    /// It has been, or cannot be.
    Deny,
}

/// Decides the current request by its headers and carries the decision out.
pub fn handle<H: Host>(plugin: &Plugin<H>, worker: &mut Worker, unknown: Unknown) -> Handled {
    decided(plugin, worker, unknown).unwrap_or_else(|refused| {
        let line = format!("a request could not be decided: {refused}");
        plugin.host.log(LogLevel::Error, &line);
        // A client's own name of an agent must not reach the upstream.
        if plugin.config.fail_modes.internal == FailMode::Allow
            && headers::remove_agent(&plugin.host).is_ok()
        {
            plugin.metrics.passed(&plugin.host, DenyReason::Internal);
            return Handled::Passed;
        }
        plugin.metrics.denied(&plugin.host, DenyReason::Internal);
        let denial = Denial { reason: DenyReason::Internal, agent_id: None, position: None };
        // If not even this is sent, the request waits and ends with its
        // connection: it never reaches the upstream.
        respond(plugin, &denial).unwrap_or(Handled::Denied(DenyReason::Internal))
    })
}

fn decided<H: Host>(
    plugin: &Plugin<H>,
    worker: &mut Worker,
    unknown: Unknown,
) -> Result<Handled, Refused> {
    let (host, config, metrics) = (&plugin.host, &plugin.config, &plugin.metrics);
    let headers = Headers::read(host)?;
    if !config.exempt_paths.is_empty()
        && headers.target().is_some_and(|target| config.exempts(target))
    {
        headers.forward(host, &config.token_sources, None)?;
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
    match decided.decision {
        Decision::Allow { agent_id, bearer, .. } => {
            headers.forward(host, &config.token_sources, Some(agent_id))?;
            metrics.allowed(host);
            Ok(Handled::Allowed(agent_id, Subject { bearer, action }))
        }
        Decision::Deny { reason, agent_id, position } => {
            if let (DenyReason::TokenUnknown, Unknown::Ask, Credential::Opaque(digest)) =
                (reason, unknown, request.credential)
                && config.fail_modes.unknown_token == UnknownTokenMode::Introspect
            {
                return Ok(Handled::Unknown(digest));
            }
            if passes(&config.fail_modes, reason, position) {
                headers.forward(host, &config.token_sources, None)?;
                metrics.passed(host, reason);
                return Ok(Handled::Passed);
            }
            metrics.denied(host, reason);
            respond(plugin, &Denial { reason, agent_id, position })
        }
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
