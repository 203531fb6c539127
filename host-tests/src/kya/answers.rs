//! What the filter answers, in the words of the tests.

use kya_core::OpaqueToken;
use serde_json::Value;

use crate::http::Outcome;
use kya_core::testing::agent_id;

/// The `authorization` value that presents a token.
pub fn bearer(token: &OpaqueToken) -> Vec<u8> {
    format!("Bearer {}", token.reveal()).into_bytes()
}

/// A denial, read from its `application/problem+json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// HTTP status.
    pub status: u32,
    /// The body.
    pub problem: Value,
    /// `WWW-Authenticate`, if there is one.
    pub challenge: Option<String>,
}

impl Denial {
    /// Reads a denial.
    ///
    /// # Panics
    /// When the request was not answered, or the answer is not a problem of the
    /// form that the filter promises.
    #[track_caller]
    pub fn of(outcome: &Outcome) -> Self {
        let Some(response) = outcome.local_response() else {
            panic!("the request was not denied: {outcome:?}");
        };
        let header = |name| {
            let mut values = response.headers.get_all(name);
            let value = values.next().map(|value| String::from_utf8_lossy(value).into_owned());
            assert_eq!(values.next(), None, "{name} stands once at most");
            value
        };
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
        let problem: Value = serde_json::from_slice(&response.body).expect("the body is JSON");
        assert_eq!(problem["status"], response.status, "the body repeats the status");
        Self { status: response.status, problem, challenge: header("www-authenticate") }
    }

    /// The stable name of the reason.
    pub fn reason(&self) -> &str {
        self.problem["reason"].as_str().unwrap_or_default()
    }
}

/// Says that a request went to the upstream as this agent.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn assert_allowed(outcome: &Outcome, agent: u8) {
    let Some(headers) = outcome.forwarded() else {
        panic!("the request was not forwarded: {}", shown(outcome));
    };
    let named: Vec<_> = headers.get_all("x-kya-agent-id").collect();
    assert_eq!(named, [agent_id(agent).to_string().as_bytes()], "the upstream knows who acts");
}

/// Says that a request was denied with this status and reason.
///
/// # Panics
/// When it was not.
#[track_caller]
pub fn assert_denied(outcome: &Outcome, status: u32, reason: &str) {
    let denial = Denial::of(outcome);
    assert_eq!((denial.status, denial.reason()), (status, reason), "{}", shown(outcome));
}

/// An outcome with its body as text.
fn shown(outcome: &Outcome) -> String {
    match outcome.local_response() {
        Some(response) => {
            format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
        }
        None => format!("{outcome:?}"),
    }
}
