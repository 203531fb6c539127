//! Events as they wait: all of one size, with nothing on the heap.

use kya_core::action::RuleIndex;
use kya_core::wire;
use kya_core::{Bearer, Credential, Decision as Answer, DenyReason, Position};

use super::short::{METHOD, REQUEST_ID, Short};
use super::trace::Trace;
pub use kya_core::InFlight;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// By the proxy's wall clock.
    pub unix_nanos: u64,
    /// What happened.
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub enum Happened {
    /// A request was decided.
    Decision(Decision),
    /// A request ended whose decision has been sent.
    End {
        /// Number of the decision.
        decision: u64,
        /// How it ended.
        end: End,
    },
    /// A state was applied that may stop somebody.
    Applied {
        /// The state.
        position: Position,
        /// Requests that it concerns; each follows.
        in_flight: u32,
        /// Requests that it may concern besides, at most: they are not kept track of, or
        /// there is no room to say it.
        untracked: u64,
    },
    /// A request that it concerns.
    InFlight {
        /// The state.
        position: Position,
        /// Number of the decision.
        decision: u64,
        /// Whether it is ended or may end by itself.
        ending: InFlight,
    },
    /// So many events had no room.
    Dropped(u64),
}

/// One request, when it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was answered.
    pub verdict: wire::Verdict,
    /// Name of the reason; empty if there is none.
    pub reason: &'static str,
    /// Whose request it was.
    pub agent: Option<[u8; 16]>,
    /// On whose behalf the agent acts.
    pub principal: Option<[u8; 16]>,
    /// What it presented.
    pub token: Token,
    /// The rule that says what it does.
    pub rule: Option<RuleIndex>,
    /// Its method.
    pub method: Short<METHOD>,
    /// The policy of the agent, and its version.
    pub policy: Option<([u8; 16], u32)>,
    /// The state.
    pub position: Option<Position>,
    /// How old that was, in milliseconds; the greatest number if it was none.
    pub state_age_millis: u64,
    /// `x-request-id`.
    pub request_id: Short<REQUEST_ID>,
    /// `traceparent`.
    pub trace: Option<Trace>,
    /// How it ended.
    pub end: Option<End>,
}

/// Which token a request presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Token {
    /// None, or one that cannot be read.
    #[default]
    None,
    /// An opaque one, by its fingerprint.
    Opaque([u8; 16]),
    /// A capability token, by its `jti`. One that was not verified may say anything,
    /// and is none.
    Capability([u8; 16]),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What became of it.
    pub disposition: wire::Disposition,
    /// Status of the upstream's response; 0 if none was seen.
    pub status: u16,
    /// Since its decision.
    pub duration_micros: u64,
    /// By which state the gate ended it.
    pub cut: Option<Position>,
    /// Its body.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// How much of it is hashed.
    pub hashed: wire::BodyHash,
    /// SHA-256; nothing where none of it is hashed.
    pub sha256: [u8; 32],
    /// How many bytes that is of.
    pub bytes: u64,
}

impl Decision {
    /// A request of which nothing is known but this.
    pub const fn bare(verdict: wire::Verdict, reason: &'static str) -> Self {
        Self {
            verdict,
            reason,
            agent: None,
            principal: None,
            token: Token::None,
            rule: None,
            method: Short::NONE,
            policy: None,
            position: None,
            state_age_millis: u64::MAX,
            request_id: Short::NONE,
            trace: None,
            end: None,
        }
    }

    /// Takes over what was decided, and by what.
    pub fn set_answer(&mut self, answer: &Answer, credential: &Credential<'_>) {
        let (agent, bearer, principal, policy) = match answer {
            Answer::Allow { agent_id, bearer, principal, policy, position } => {
                self.verdict = wire::Verdict::Allow;
                self.reason = "";
                self.position = Some(*position);
                (Some(agent_id), Some(bearer), principal, policy)
            }
            Answer::Deny { reason, agent_id, bearer, principal, policy, position } => {
                self.verdict = wire::Verdict::Deny;
                self.reason = reason.name();
                self.position = *position;
                (agent_id.as_ref(), bearer.as_ref(), principal, policy)
            }
        };
        self.agent = agent.map(|id| id.to_bytes());
        self.principal = principal.map(|id| id.to_bytes());
        self.policy = policy.map(|used| (used.id.to_bytes(), used.version.get()));
        self.token = match (bearer, credential) {
            (Some(Bearer::Opaque { fingerprint, .. }), _) => Token::Opaque(fingerprint.0),
            (Some(Bearer::Capability(token)), _) => Token::Capability(token.claims().id.to_bytes()),
            (None, Credential::Opaque(digest)) => Token::Opaque(digest.fingerprint().0),
            (None, _) => Token::None,
        };
    }

    /// It was answered by the gate for another reason than was decided.
    pub fn set_denied(&mut self, reason: DenyReason) {
        self.verdict = wire::Verdict::Deny;
        self.reason = reason.name();
    }

    /// It passed in spite of this.
    pub fn set_passed(&mut self, reason: &'static str) {
        self.verdict = wire::Verdict::Pass;
        self.reason = reason;
    }
}

impl Body {
    /// Nobody looked.
    pub const NOT_HASHED: Self =
        Self { hashed: wire::BodyHash::Unspecified, sha256: [0; 32], bytes: 0 };
    /// There was none.
    pub const NONE: Self = Self { hashed: wire::BodyHash::None, sha256: [0; 32], bytes: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_takes_no_more_memory_than_is_said_of_it() {
        // docs/configuration.md says half a KiB.
        assert!(size_of::<Event>() <= 512, "{}", size_of::<Event>());
    }
}
