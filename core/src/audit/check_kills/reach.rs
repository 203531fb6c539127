//! Whose requests a kill stops, as far as the trail says.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::audit::Timestamp;
use crate::audit::record::{Activated, Decided, Scope};
use crate::ids::{CapabilityId, TokenId};

/// How a token is written whose id is not known: this, and a part of its hash.
const THUMBPRINT: &str = "sha256:";

/// Whose requests a kill stops.
#[derive(Debug, Default)]
pub(super) struct Reach {
    who: Who,
    /// The agents that are listed.
    agents: BTreeSet<String>,
    /// Only these actions; all if there are none.
    actions: BTreeSet<String>,
    /// Whether every agent is listed, or none needs to be.
    listed: bool,
    /// Only tokens that were issued up to the kill.
    issued_before: bool,
    /// Whether capability tokens may be used up.
    drains: bool,
}

#[derive(Debug, Default)]
enum Who {
    /// Everyone.
    Fleet,
    /// Whoever acts for this principal, and the agents that are listed.
    Principal(String),
    /// One token.
    Token(String),
    /// Whoever is under this policy, and the agents that are listed.
    Policy(String),
    /// The agents that are listed.
    #[default]
    Agents,
    /// Nobody can tell.
    Unknown,
}

impl Reach {
    pub(super) fn of(kill: &Activated) -> Self {
        let subject = kill.subject.clone();
        let whose = kill.act.split('.').next().unwrap_or_default();
        let mut reach = Self { drains: kill.in_flight == "drain", ..Self::default() };
        match whose {
            "fleet" => reach.all_listed(Who::Fleet),
            "principal" => reach.who = Who::Principal(subject),
            "policy" => {
                let id = subject.split('@').next().unwrap_or_default();
                reach.all_listed(Who::Policy(id.to_owned()));
            }
            "token" | "capability_token" => reach.all_listed(Who::Token(subject)),
            // Several agents: the second row lists them.
            "selection" => {}
            // Who holds them is not in the trail.
            "tokens" | "capability_tokens" => reach.who = Who::Unknown,
            "agent" => {
                reach.issued_before = kill.act == "agent.tokens_revoked";
                reach.agents.insert(subject);
            }
            "capability" => match subject.split_once(' ') {
                Some((agent, action)) => {
                    reach.agents.insert(agent.to_owned());
                    reach.actions.insert(action.to_owned());
                }
                None => reach.who = Who::Unknown,
            },
            _ => reach.who = Who::Unknown,
        }
        reach
    }

    fn all_listed(&mut self, who: Who) {
        self.who = who;
        self.listed = true;
    }

    /// Takes the second row of the kill.
    pub(super) fn widen(&mut self, scope: &Scope) {
        self.agents.extend(scope.agent_ids.iter().cloned());
        self.actions.extend(scope.actions.iter().cloned());
        let listed = u64::try_from(scope.agent_ids.len()).unwrap_or(u64::MAX);
        self.listed |= listed >= scope.agents;
    }

    /// Whether the trail says in full whom it stops.
    pub(super) fn is_listed(&self) -> bool {
        self.listed && !matches!(self.who, Who::Unknown)
    }

    /// Whether it stops a request like this; `None` where only the id of its token would
    /// tell, and the trail has none.
    pub(super) fn meets(&self, decided: &Decided, killed: Timestamp) -> Option<bool> {
        let token = decided.token_id.as_deref();
        if self.drains && token.is_some_and(|it| it.parse::<CapabilityId>().is_ok()) {
            return Some(false);
        }
        let action = decided.action.as_ref();
        if !self.actions.is_empty() && !action.is_some_and(|it| self.actions.contains(it)) {
            return Some(false);
        }
        let agent = decided.agent_id.as_ref();
        if agent.is_some_and(|it| self.agents.contains(it)) {
            return match self.issued_before {
                true => token.and_then(|it| issued_by(it, killed)),
                false => Some(true),
            };
        }
        let is = |known: Option<&String>, whose: &String| known == Some(whose);
        match &self.who {
            Who::Fleet => Some(true),
            Who::Principal(id) => Some(is(decided.principal_id.as_ref(), id)),
            Who::Token(id) => match token {
                // That there is no id is so of opaque tokens alone.
                Some(hash) if hash.starts_with(THUMBPRINT) => {
                    id.parse::<CapabilityId>().is_ok().then_some(false)
                }
                Some(token) => Some(token == id),
                None => None,
            },
            Who::Policy(id) => Some(is(decided.policy_id.as_ref(), id)),
            Who::Agents | Who::Unknown => Some(false),
        }
    }
}

/// The bytes of a token's id. Of one that is not known there is only a part of its hash.
fn id(token: &str) -> Option<[u8; 16]> {
    let opaque = TokenId::from_str(token).map(|id| id.to_bytes());
    opaque.or_else(|_| CapabilityId::from_str(token).map(|id| id.to_bytes())).ok()
}

/// Whether a token was issued in the second of `at`, or before: its id says so, to the
/// millisecond. Of one that has no id here that cannot be told.
fn issued_by(token: &str, at: Timestamp) -> Option<bool> {
    let bytes = id(token)?;
    let millis = bytes.iter().take(6).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    Some(millis.checked_div(1000) <= at.0.checked_div(1_000_000))
}
