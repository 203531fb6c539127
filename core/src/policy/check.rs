//! From what is written to what is meant. Every problem is found, not only the
//! first.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::amount::{Currency, Money};
use super::compiled::{AutoSuspend, Policy};
use super::document::{AutoSuspendDocument, PolicyDocument};
use super::name::PolicyName;
use super::pattern::Pattern;
use super::set::PatternSet;
use super::span::Span;
use crate::standing::InFlight;

/// Most patterns of a list.
pub const MAX_PATTERNS: usize = 256;
/// Most patterns of services.
pub const MAX_SERVICES: usize = 64;
/// Most entries of `max_staleness`.
pub const MAX_STALENESS_ENTRIES: usize = 64;
/// Longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Largest document that is to be read at all, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How much of a wrong key is shown.
const SHOWN: usize = 64;

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Path of the field, such as `allow[3]` or `auto_suspend.window`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// Why a document is no policy: all that is wrong with it, in the order of its
/// fields.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct PolicyProblems(pub Vec<PolicyProblem>);

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.problem)
    }
}

impl fmt::Display for PolicyProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy is not valid: ")?;
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl PolicyDocument {
    /// The policy that this document stands for.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn check(&self) -> Result<Policy, PolicyProblems> {
        let mut problems = Problems::default();
        let policy = problems.policy(self);
        match policy {
            Some(policy) if problems.0.is_empty() => Ok(policy),
            _ => Err(PolicyProblems(problems.0)),
        }
    }
}

#[derive(Default)]
struct Problems(Vec<PolicyProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(PolicyProblem { field: field.into(), problem: problem.to_string() });
    }

    /// What was read, or a note that it could not be.
    fn note<T, E: fmt::Display>(&mut self, field: &str, read: Result<T, E>) -> Option<T> {
        read.map_err(|problem| self.add(field, problem)).ok()
    }

    /// `None` only where a problem was noted.
    fn policy(&mut self, document: &PolicyDocument) -> Option<Policy> {
        let name = self.note("name", document.name.parse::<PolicyName>());
        let description = document.description.as_deref().map(|text| self.description(text));
        let allow = self.patterns("allow", &document.allow, 0..=MAX_PATTERNS);
        let deny = self.patterns("deny", &document.deny, 0..=MAX_PATTERNS);
        let services = document
            .services
            .as_deref()
            .map(|services| self.patterns("services", services, 1..=MAX_SERVICES));
        let max_ttl = document
            .max_ttl
            .as_deref()
            .and_then(|text| self.span("max_ttl", text, 1..=365 * DAY, "`1s` to `365d`"));
        let daily_limit = self.money(document.daily_limit.as_deref(), document.currency.as_deref());
        let auto_suspend = document.auto_suspend.as_ref().and_then(|it| self.auto_suspend(it));
        let in_flight = self.in_flight(document.in_flight.as_deref());
        let drain_window = match document.drain_window.as_deref() {
            Some(text) => self.span("drain_window", text, 1..=HOUR, "`1s` to `1h`"),
            None => Span::from_seconds(MINUTE),
        };
        let max_staleness = self.max_staleness(&document.max_staleness);
        Some(Policy {
            name: name?,
            description,
            allow,
            deny,
            services,
            max_ttl,
            daily_limit,
            auto_suspend,
            in_flight: in_flight?,
            drain_window: drain_window?,
            max_staleness,
        })
    }

    fn description(&mut self, text: &str) -> String {
        let is_plain = !text.chars().any(|it| it.is_control() && it != '\n');
        if !is_plain || text.is_empty() || text.len() > MAX_DESCRIPTION_BYTES {
            self.add(
                "description",
                "must have 1 to 1024 bytes without control characters other than line breaks",
            );
        }
        text.to_owned()
    }

    fn patterns(
        &mut self,
        field: &str,
        written: &[String],
        count: RangeInclusive<usize>,
    ) -> PatternSet {
        if !count.contains(&written.len()) {
            let (least, most) = count.into_inner();
            let hint = if least == 0 { "" } else { "; leave it out for all" };
            self.add(
                field,
                format!("has {} entries: {least} to {most} are possible{hint}", written.len()),
            );
            return PatternSet::default();
        }
        let mut known = BTreeMap::new();
        for (index, text) in written.iter().enumerate() {
            let place = format!("{field}[{index}]");
            let Some(pattern) = self.note(&place, text.parse::<Pattern>()) else { continue };
            match known.get(&pattern) {
                Some(first) => {
                    self.add(place, format!("is the same as `{field}[{first}]`: name each once"));
                }
                None => {
                    known.insert(pattern, index);
                }
            }
        }
        known.into_keys().collect()
    }

    fn span(
        &mut self,
        field: &str,
        text: &str,
        seconds: RangeInclusive<u64>,
        range: &str,
    ) -> Option<Span> {
        let span = self.note(field, text.parse::<Span>())?;
        if !seconds.contains(&span.seconds()) {
            self.add(field, format!("is {span}: {range} are possible"));
            return None;
        }
        Some(span)
    }

    fn money(&mut self, limit: Option<&str>, currency: Option<&str>) -> Option<Money> {
        let code = currency.map(|text| self.note("currency", text.parse::<Currency>()));
        match (limit, code) {
            (None, None) => None,
            (Some(_), None) => {
                self.add(
                    "currency",
                    "is missing, but there is a `daily_limit`: write one, such as `EUR`",
                );
                None
            }
            (None, Some(_)) => {
                self.add("daily_limit", "is missing, but there is a `currency`: write one, such as `500.00`, or leave both out");
                None
            }
            // The currency has been found wrong; the amount still can be looked at.
            (Some(text), Some(None)) => {
                let any = "CLF".parse().ok()?;
                self.note("daily_limit", Money::parse(text, any))?;
                None
            }
            (Some(text), Some(Some(currency))) => {
                self.note("daily_limit", Money::parse(text, currency))
            }
        }
    }

    fn auto_suspend(&mut self, written: &AutoSuspendDocument) -> Option<AutoSuspend> {
        if written.condition != AutoSuspend::CONDITION {
            self.add("auto_suspend.condition", "must be `deny_rate_exceeds`");
        }
        let threshold = self.note("auto_suspend.threshold", written.threshold.parse());
        let window =
            self.span("auto_suspend.window", &written.window, MINUTE..=DAY, "`1min` to `24h`");
        if written.action != AutoSuspend::ACTION {
            self.add("auto_suspend.action", "must be `suspend_pending_review`");
        }
        Some(AutoSuspend { threshold: threshold?, window: window? })
    }

    fn in_flight(&mut self, written: Option<&str>) -> Option<InFlight> {
        match written {
            None | Some("abort") => Some(InFlight::Abort),
            Some("drain") => Some(InFlight::Drain),
            Some(_) => {
                self.add("in_flight", "must be `drain` or `abort`");
                None
            }
        }
    }

    fn max_staleness(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<Pattern, Span> {
        if written.len() > MAX_STALENESS_ENTRIES {
            self.add(
                "max_staleness",
                format!("has {} entries: at most 64 are possible", written.len()),
            );
            return BTreeMap::new();
        }
        let mut spans = BTreeMap::new();
        for (key, text) in written {
            let shown: String = key.chars().take(SHOWN).collect();
            let place = format!("max_staleness[{shown:?}]");
            let pattern = self.note(&place, key.parse::<Pattern>());
            let span = self.span(&place, text, 1..=DAY, "`1s` to `24h`");
            if let (Some(pattern), Some(span)) = (pattern, span) {
                spans.insert(pattern, span);
            }
        }
        spans
    }
}
