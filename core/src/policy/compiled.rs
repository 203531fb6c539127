//! A policy that has been checked: what decides.

use std::collections::BTreeMap;

use thiserror::Error;

use super::amount::{Money, PerMille};
use super::document::{AutoSuspendDocument, PolicyDocument};
use super::name::PolicyName;
use super::pattern::Pattern;
use super::set::PatternSet;
use super::span::Span;
use crate::action::ActionName;
use crate::standing::InFlight;

/// A policy by which can be decided. Two of them are equal if they are the same
/// once order, spellings of spans and amounts, and defaults are put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) name: PolicyName,
    pub(super) description: Option<String>,
    pub(super) allow: PatternSet,
    pub(super) deny: PatternSet,
    pub(super) services: Option<PatternSet>,
    pub(super) max_ttl: Option<Span>,
    pub(super) daily_limit: Option<Money>,
    pub(super) auto_suspend: Option<AutoSuspend>,
    pub(super) in_flight: InFlight,
    pub(super) drain_window: Span,
    pub(super) max_staleness: BTreeMap<Pattern, Span>,
}

/// When an agent is suspended by itself, pending review: as soon as more than a
/// share of its requests within a window were denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoSuspend {
    /// The share of denied requests that is not too many yet.
    pub threshold: PerMille,
    /// Over which time they are counted.
    pub window: Span,
}

/// Why a policy does not permit a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PolicyDenied {
    /// Its action is denied, or not allowed.
    #[error("the policy does not permit this action")]
    Action,
    /// It has no action that is known, and the policy permits only such as are.
    #[error("the policy permits no request whose action is unknown")]
    Unmapped,
    /// It is for a service that the policy is not for.
    #[error("the policy does not permit this service")]
    Service,
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Whether a request for this action of this service is permitted; `None`
    /// where either is not known.
    ///
    /// A denied pattern beats every allowed one. What is unmapped may be anything,
    /// so it is permitted only where `*` is allowed and nothing is denied.
    pub fn permits(
        &self,
        action: Option<&ActionName>,
        service: Option<&str>,
    ) -> Result<(), PolicyDenied> {
        self.permits_action(action)?;
        match &self.services {
            Some(services) if !services.matches(service) => Err(PolicyDenied::Service),
            _ => Ok(()),
        }
    }

    pub(super) fn permits_action(&self, action: Option<&ActionName>) -> Result<(), PolicyDenied> {
        let Some(action) = action else {
            let is_open = self.allow.is_everything() && self.deny.is_empty();
            return if is_open { Ok(()) } else { Err(PolicyDenied::Unmapped) };
        };
        let name = Some(action.as_str());
        if self.deny.matches(name) || !self.allow.matches(name) {
            return Err(PolicyDenied::Action);
        }
        Ok(())
    }

    /// From which age on the state is too old for this action, in milliseconds:
    /// the shortest of all whose pattern stands for it; `None` if none does. What
    /// is unmapped may be anything, so the shortest of all counts.
    pub fn max_staleness(&self, action: Option<&ActionName>) -> Option<u64> {
        self.max_staleness
            .iter()
            .filter(|(pattern, _)| action.is_none_or(|action| pattern.matches(action.as_str())))
            .map(|(_, span)| span.millis())
            .min()
    }

    /// The longest life of a token.
    pub fn max_ttl(&self) -> Option<Span> {
        self.max_ttl
    }

    /// The most that may be spent in a day.
    pub fn daily_limit(&self) -> Option<Money> {
        self.daily_limit
    }

    /// When an agent is suspended by itself.
    pub fn auto_suspend(&self) -> Option<AutoSuspend> {
        self.auto_suspend
    }

    /// What becomes of requests in flight.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight
    }

    /// How long what drains may take.
    pub fn drain_window(&self) -> Span {
        self.drain_window
    }

    /// The one document of this policy: lists sorted, spans and amounts in one
    /// spelling, defaults written out. Its fields are serialised in one order, so
    /// its compact JSON is the form to hash. It is not for showing what somebody
    /// wrote, only what it means.
    pub fn to_document(&self) -> PolicyDocument {
        PolicyDocument {
            name: self.name.to_string(),
            description: self.description.clone(),
            allow: self.allow.texts(),
            deny: self.deny.texts(),
            services: self.services.as_ref().map(PatternSet::texts),
            max_ttl: self.max_ttl.map(|span| span.to_string()),
            daily_limit: self.daily_limit.map(|limit| limit.decimal()),
            currency: self.daily_limit.map(|limit| limit.currency.code().to_owned()),
            auto_suspend: self.auto_suspend.map(|it| AutoSuspendDocument {
                condition: AutoSuspend::CONDITION.to_owned(),
                threshold: it.threshold.to_string(),
                window: it.window.to_string(),
                action: AutoSuspend::ACTION.to_owned(),
            }),
            in_flight: Some(in_flight(self.in_flight).to_owned()),
            drain_window: Some(self.drain_window.to_string()),
            max_staleness: self
                .max_staleness
                .iter()
                .map(|(pattern, span)| (pattern.to_string(), span.to_string()))
                .collect(),
        }
    }
}

impl AutoSuspend {
    /// The one condition that there is.
    pub const CONDITION: &'static str = "deny_rate_exceeds";
    /// What is then done.
    pub const ACTION: &'static str = "suspend_pending_review";
}

fn in_flight(in_flight: InFlight) -> &'static str {
    match in_flight {
        InFlight::Drain => "drain",
        InFlight::Abort => "abort",
    }
}
