//! The answer to a request that is denied.

use kya_core::{AgentId, DenyReason, Position};

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

/// What a denial is about, as far as HTTP tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The gate: try again shortly.
    Gate,
    /// There is no credential.
    NoCredential,
    /// The request as it is written.
    Request,
    /// The token.
    Token,
    /// What was decided above the token.
    Holder,
}

impl Denial {
    /// 401 for what is wrong with the credential, 403 for what was decided
    /// about its holder (RFC 6750 section 3.1), 503 where nothing could be
    /// decided.
    pub fn status(&self) -> u32 {
        match self.about() {
            About::Gate => 503,
            About::NoCredential | About::Request | About::Token => 401,
            About::Holder => 403,
        }
    }

    /// The `WWW-Authenticate` of the answer (RFC 6750 section 3). A request
    /// without a credential is told the scheme and no error, as that section
    /// asks.
    pub fn challenge(&self, realm: &str) -> Option<String> {
        let error = match self.about() {
            About::Gate => return None,
            About::NoCredential => return Some(format!("Bearer realm=\"{realm}\"")),
            About::Request => "invalid_request",
            About::Token => "invalid_token",
            About::Holder => "insufficient_scope",
        };
        Some(format!("Bearer realm=\"{realm}\", error=\"{error}\""))
    }

    /// The answer as `application/problem+json` (RFC 9457). Every part of it is
    /// an id, a number or a fixed text, so nothing needs escaping.
    pub fn body(&self) -> String {
        let (_, title, detail) = self.words();
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

    fn about(&self) -> About {
        self.words().0
    }

    fn words(&self) -> (About, &'static str, &'static str) {
        match self.reason {
            DenyReason::Internal => (
                About::Gate,
                "Not decided",
                "The gate failed to read the request. It was not forwarded.",
            ),
            DenyReason::AuditFull => (
                About::Gate,
                "Not recorded",
                "This proxy has no room left to record what it decides, and allows nothing that it cannot record. Try again shortly.",
            ),
            DenyReason::Unsynced => (
                About::Gate,
                "Not ready",
                "This proxy has no verified authority from its control plane yet. Try again shortly.",
            ),
            DenyReason::Stale => (
                About::Gate,
                "State too old",
                "This proxy has not heard from its control plane for too long to allow anything. Try again shortly.",
            ),
            DenyReason::TokenMissing => (
                About::NoCredential,
                "Credential missing",
                "Send the agent's token, as `Authorization: Bearer at_...` where nothing else was agreed.",
            ),
            DenyReason::MultipleCredentials => {
                (About::Request, "Several credentials", "Send one credential, in one place.")
            }
            DenyReason::TokenMalformed => (
                About::Token,
                "Token malformed",
                "The credential is not one whole token, or not in the form asked for: it may be mistyped or cut off.",
            ),
            DenyReason::TokenUnknown => {
                (About::Token, "Token not accepted", "The token is not known here.")
            }
            DenyReason::TokenRevoked => (About::Token, "Token revoked", "The token was revoked."),
            DenyReason::TokenSuperseded => (
                About::Token,
                "Token superseded",
                "The token was issued before all tokens of its holder were ended. Get a new one.",
            ),
            DenyReason::TokenExpired => (About::Token, "Token expired", "The token has expired."),
            DenyReason::TokenNotYet => (
                About::Token,
                "Token not valid yet",
                "The token begins to count later, by the clock of this proxy.",
            ),
            DenyReason::WrongAudience => (
                About::Token,
                "Token for another service",
                "The token is not for this service. Get one that names it.",
            ),
            DenyReason::InsufficientScope => (
                About::Holder,
                "Action not in the token",
                "The token is not for this action. Get one that names it.",
            ),
            DenyReason::DelegatorStopped => (
                About::Holder,
                "Delegation stopped",
                "An agent, or somebody else, for whom this agent acts may not do this any more.",
            ),
            DenyReason::FleetHalted => {
                (About::Holder, "Everything is halted", "All agents are halted for now.")
            }
            DenyReason::PrincipalSuspended => (
                About::Holder,
                "Principal suspended",
                "Whom the agent acts for is suspended, and it with them.",
            ),
            DenyReason::PrincipalRevoked => (
                About::Holder,
                "Principal revoked",
                "Whom the agent acts for was offboarded. Nothing they delegated works again.",
            ),
            DenyReason::AgentSuspended => (
                About::Holder,
                "Agent suspended",
                "The agent is suspended. Its tokens work again if an operator restores it.",
            ),
            DenyReason::AgentRevoked => (
                About::Holder,
                "Agent revoked",
                "The agent was revoked. None of its tokens will work again.",
            ),
            DenyReason::AgentExpired => (
                About::Holder,
                "Agent expired",
                "The agent was registered for a time that is over. None of its tokens will work again.",
            ),
            DenyReason::ActionDenied => (
                About::Holder,
                "Action not permitted",
                "The agent's policy does not permit this action.",
            ),
            DenyReason::ActionUnknown => (
                About::Holder,
                "Action not known",
                "Nobody has said which action this request stands for, and the agent's policy permits only known ones.",
            ),
            DenyReason::ServiceDenied => (
                About::Holder,
                "Service not permitted",
                "The agent's policy is not for this service.",
            ),
            DenyReason::CapabilityRevoked => {
                (About::Holder, "Action revoked", "The agent may not do this any more.")
            }
        }
    }
}
