//! One request: what it presents, what is decided, what it is answered.

use kya_core::{AgentId, Authority, Decision, DenyReason, Position, Request, UnixMillis, decide};

use crate::headers::Headers;
use crate::host::{Host, LogLevel, Refused};
use crate::vm::Plugin;

const NANOS_PER_MILLI: u64 = 1_000_000;

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

/// Decides the current request by its headers and carries the decision out.
pub fn handle<H: Host>(plugin: &Plugin<H>, authority: &Authority) -> Flow {
    let host = &plugin.host;
    let sources = &plugin.config.token_sources;
    let outcome = Headers::read(host).and_then(|headers| {
        if is_exempt(plugin, &headers) {
            headers.forward(host, sources, None)?;
            plugin.metrics.exempted(host);
            return Ok(Flow::Continue);
        }
        let now = now(host)?;
        let request = Request { credential: headers.credential(sources) };
        match decide(authority, &request, now) {
            Decision::Allow { agent_id, .. } => {
                headers.forward(host, sources, Some(agent_id))?;
                plugin.metrics.allowed(host);
                Ok(Flow::Continue)
            }
            Decision::Deny { reason, agent_id, position } => {
                plugin.metrics.denied(host, reason);
                respond(plugin, &Denial { reason, agent_id, position })
            }
        }
    });
    outcome.unwrap_or_else(|refused| {
        host.log(LogLevel::Error, &format!("a request could not be decided: {refused}"));
        plugin.metrics.denied(host, DenyReason::Internal);
        let denial = Denial { reason: DenyReason::Internal, agent_id: None, position: None };
        // If not even this is sent, the request waits and ends with its
        // connection: it never reaches the upstream.
        respond(plugin, &denial).unwrap_or(Flow::Stop)
    })
}

/// The time to decide at. A proxy without a clock cannot tell what has expired.
fn now(host: &impl Host) -> Result<UnixMillis, Refused> {
    match host.now_nanos() {
        0 => Err(Refused(0)),
        nanos => Ok(UnixMillis(nanos / NANOS_PER_MILLI)),
    }
}

/// Whether the request is forwarded undecided, by its path.
fn is_exempt<H>(plugin: &Plugin<H>, headers: &Headers) -> bool {
    !plugin.config.exempt_paths.is_empty()
        && headers.target().is_some_and(|target| plugin.config.exempts(target))
}

fn respond<H: Host>(plugin: &Plugin<H>, denial: &Denial) -> Result<Flow, Refused> {
    let challenge = denial.challenge(&plugin.config.realm);
    let mut headers =
        vec![("content-type", "application/problem+json"), ("cache-control", "no-store")];
    match &challenge {
        Some(challenge) => headers.push(("www-authenticate", challenge)),
        None => headers.push(("retry-after", "1")),
    }
    let details = format!("kya_{}", denial.reason.name());
    plugin.host.respond(denial.status(), &headers, denial.body().as_bytes(), &details)?;
    Ok(Flow::Stop)
}

/// The answer to a denied request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: DenyReason,
    /// Whose request it was, where a genuine token showed it.
    pub agent_id: Option<AgentId>,
    /// The state that said so.
    pub position: Option<Position>,
}

impl Denial {
    /// 401 for what is wrong with the credential, 403 for what was decided
    /// about its holder (RFC 6750 section 3.1), 503 where nothing could be
    /// decided.
    pub fn status(&self) -> u32 {
        match self.reason {
            DenyReason::Internal | DenyReason::Unsynced => 503,
            DenyReason::TokenMissing
            | DenyReason::MultipleCredentials
            | DenyReason::TokenMalformed
            | DenyReason::TokenUnknown
            | DenyReason::TokenRevoked
            | DenyReason::TokenExpired => 401,
            DenyReason::AgentRevoked | DenyReason::AgentSuspended => 403,
        }
    }

    /// The `WWW-Authenticate` of the answer (RFC 6750 section 3). A request
    /// without a credential is told the scheme and no error, as that section
    /// asks.
    pub fn challenge(&self, realm: &str) -> Option<String> {
        let error = match self.reason {
            DenyReason::Internal | DenyReason::Unsynced => return None,
            DenyReason::TokenMissing => return Some(format!("Bearer realm=\"{realm}\"")),
            DenyReason::MultipleCredentials => "invalid_request",
            DenyReason::TokenMalformed
            | DenyReason::TokenUnknown
            | DenyReason::TokenRevoked
            | DenyReason::TokenExpired => "invalid_token",
            DenyReason::AgentRevoked | DenyReason::AgentSuspended => "insufficient_scope",
        };
        Some(format!("Bearer realm=\"{realm}\", error=\"{error}\""))
    }

    /// The answer as `application/problem+json` (RFC 9457). Every part of it is
    /// an id, a number or a fixed text, so nothing needs escaping.
    pub fn body(&self) -> String {
        let (title, detail) = self.words();
        let reason = self.reason.name();
        let mut body = format!(
            r#"{{"type":"urn:kya:problem:{reason}","title":"{title}","status":{},"detail":"{detail}","reason":"{reason}""#,
            self.status()
        );
        if let Some(agent_id) = self.agent_id {
            body.push_str(&format!(r#","agent_id":"{agent_id}""#));
        }
        if let Some(position) = self.position {
            body.push_str(&format!(r#","revision":{}"#, position.revision));
        }
        body.push('}');
        body
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self.reason {
            DenyReason::Internal => {
                ("Not decided", "The gate failed to read the request. It was not forwarded.")
            }
            DenyReason::Unsynced => (
                "Not ready",
                "This proxy has no verified authority from its control plane yet. Try again shortly.",
            ),
            DenyReason::TokenMissing => (
                "Credential missing",
                "Send the agent's token, as `Authorization: Bearer at_...` where nothing else was agreed.",
            ),
            DenyReason::MultipleCredentials => {
                ("Several credentials", "Send one credential, in one place.")
            }
            DenyReason::TokenMalformed => (
                "Token malformed",
                "The credential is not one whole token, or not in the form asked for: it may be mistyped or cut off.",
            ),
            DenyReason::TokenUnknown => ("Token not accepted", "The token is not known here."),
            DenyReason::AgentRevoked => {
                ("Agent revoked", "The agent was revoked. None of its tokens will work again.")
            }
            DenyReason::AgentSuspended => (
                "Agent suspended",
                "The agent is suspended. Its tokens work again if an operator restores it.",
            ),
            DenyReason::TokenRevoked => ("Token revoked", "The token was revoked."),
            DenyReason::TokenExpired => ("Token expired", "The token has expired."),
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
