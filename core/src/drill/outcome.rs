//! What a relying party answered to a probe.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::DenyReason;

/// What the type of a problem begins with that kya answers.
const PROBLEM: &str = "urn:kya:problem:";
/// The media type of a denial.
const PROBLEM_JSON: &str = "application/problem+json";

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The request went through: a status of 200 to 299.
    Allowed,
    /// A filter of kya denied it, and says why.
    Denied(DenyReason),
    /// Another status, of whoever answers there.
    Other(u16),
    /// No answer, or none in time.
    NoAnswer,
    /// It could not be sent when it was due.
    Missed,
}

impl Outcome {
    /// What an answer means. `body` is looked at only where the head may be that of a
    /// denial.
    pub fn of(status: u16, media_type: Option<&str>, body: &[u8]) -> Self {
        if (200..300).contains(&status) {
            return Self::Allowed;
        }
        match may_deny(status, media_type).then(|| reason(body)).flatten() {
            Some(reason) => Self::Denied(reason),
            None => Self::Other(status),
        }
    }

    /// Whether it is what a stop of an agent makes of a request that was allowed before.
    /// Whoever denies for another reason has not heard of the stop by that.
    pub const fn rejects(self) -> bool {
        matches!(self, Self::Denied(DenyReason::AgentSuspended | DenyReason::AgentRevoked))
    }
}

/// Whether an answer with this head may be a denial of kya.
pub fn may_deny(status: u16, media_type: Option<&str>) -> bool {
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    matches!(status, 401 | 403 | 503) && media_type.trim().eq_ignore_ascii_case(PROBLEM_JSON)
}

fn reason(body: &[u8]) -> Option<DenyReason> {
    #[derive(serde::Deserialize)]
    struct Problem {
        r#type: String,
    }
    let problem: Problem = serde_json::from_slice(body).ok()?;
    let name = problem.r#type.strip_prefix(PROBLEM)?;
    DenyReason::ALL.into_iter().find(|reason| reason.name() == name)
}

/// As samples have it: `allowed`, `denied:agent_suspended`, `status:404`, `no_answer` or
/// `missed`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied(reason) => write!(f, "denied:{}", reason.name()),
            Self::Other(status) => write!(f, "status:{status}"),
            Self::NoAnswer => f.write_str("no_answer"),
            Self::Missed => f.write_str("missed"),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = match (&*text, text.split_once(':')) {
            ("allowed", _) => Some(Self::Allowed),
            ("no_answer", _) => Some(Self::NoAnswer),
            ("missed", _) => Some(Self::Missed),
            (_, Some(("denied", name))) => {
                DenyReason::ALL.into_iter().find(|it| it.name() == name).map(Self::Denied)
            }
            (_, Some(("status", status))) => status.parse().ok().map(Self::Other),
            _ => None,
        };
        read.ok_or_else(|| de::Error::custom("no outcome of a probe"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut all = vec![Outcome::Allowed, Outcome::NoAnswer, Outcome::Missed];
        all.extend(DenyReason::ALL.map(Outcome::Denied));
        all.push(Outcome::Other(418));
        for outcome in all {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome, "{text}");
        }
        for other in ["\"denied:nobody\"", "\"status:x\"", "\"\"", "1"] {
            assert!(serde_json::from_str::<Outcome>(other).is_err(), "{other}");
        }
    }

    #[test]
    fn only_what_kya_says_is_a_denial_of_kya() {
        let denial = br#"{"type":"urn:kya:problem:agent_suspended","status":403}"#;
        let json = Some(PROBLEM_JSON);
        let denied = Outcome::Denied(DenyReason::AgentSuspended);
        assert_eq!(Outcome::of(403, json, denial), denied);
        let with_charset = Some("Application/Problem+JSON; charset=utf-8");
        assert_eq!(Outcome::of(403, with_charset, denial), denied);
        assert_eq!(Outcome::of(204, None, b""), Outcome::Allowed);
        for (status, media_type, body) in [
            (403, None, &denial[..]),
            (403, Some("application/json"), &denial[..]),
            (400, json, &denial[..]),
            (403, json, br#"{"type":"urn:kya:problem:no_such_reason"}"#),
            (403, json, br#"{"type":"about:blank"}"#),
            (403, json, b"not JSON"),
            (302, json, &denial[..]),
            (500, None, b""),
        ] {
            assert_eq!(Outcome::of(status, media_type, body), Outcome::Other(status), "{status}");
        }
    }

    #[test]
    fn only_who_says_that_the_agent_is_stopped_has_heard_of_the_stop() {
        for reason in DenyReason::ALL {
            let stopped = matches!(reason.name(), "agent_suspended" | "agent_revoked");
            assert_eq!(Outcome::Denied(reason).rejects(), stopped, "{reason:?}");
        }
        for other in [Outcome::Allowed, Outcome::Other(403), Outcome::NoAnswer, Outcome::Missed] {
            assert!(!other.rejects(), "{other}");
        }
    }
}
