//! Whether one policy gives no more authority than another: who passes some of
//! theirs on may not pass on more.

use std::fmt;

use super::compiled::Policy;
use super::pattern::Pattern;
use super::set::PatternSet;
use crate::standing::InFlight;

/// In which field a policy gives, or may give, more than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The field.
    pub field: &'static str,
    /// What it would have to be.
    pub rule: &'static str,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.rule)
    }
}

/// Whether everything that the child permits, the parent permits, and no limit of
/// the child is wider. It never says so wrongly. It may deny it wrongly, where
/// several patterns cover one only together.
pub fn is_within(child: &Policy, parent: &Policy) -> bool {
    excess(child, parent).is_none()
}

/// The first field in which the child is not, or not surely, within the parent.
pub fn excess(child: &Policy, parent: &Policy) -> Option<Excess> {
    let rules: [(&'static str, &'static str, bool); 10] = [
        (
            "allow",
            "must hold only patterns that one of the parent's covers",
            child.allow.iter().all(|pattern| parent.allow.covers(pattern)),
        ),
        ("deny", "must deny what the parent denies, where it is allowed", denies(child, parent)),
        (
            "allow",
            "must not permit requests whose action is unknown, since the parent does not",
            child.permits_action(None).is_err() || parent.permits_action(None).is_ok(),
        ),
        (
            "services",
            "must hold only patterns that one of the parent's covers",
            services(child.services.as_ref(), parent.services.as_ref()),
        ),
        ("max_ttl", "must be no longer than the parent's", no_more(child.max_ttl, parent.max_ttl)),
        (
            "daily_limit",
            "must be no more than the parent's, in its currency",
            parent.daily_limit.is_none_or(|parent| {
                child.daily_limit.is_some_and(|child| {
                    child.currency == parent.currency && child.minor_units <= parent.minor_units
                })
            }),
        ),
        (
            "auto_suspend",
            "must have the parent's window, and no higher threshold",
            parent.auto_suspend.is_none_or(|parent| {
                child.auto_suspend.is_some_and(|child| {
                    child.window == parent.window && child.threshold <= parent.threshold
                })
            }),
        ),
        (
            "in_flight",
            "must be `abort` like the parent's",
            parent.in_flight == InFlight::Drain || child.in_flight == InFlight::Abort,
        ),
        (
            "drain_window",
            "must be no longer than the parent's",
            child.drain_window <= parent.drain_window,
        ),
        (
            "max_staleness",
            "must be no longer than the parent's for what is allowed",
            is_as_fresh(child, parent),
        ),
    ];
    let broken = rules.into_iter().find(|(_, _, holds)| !holds);
    broken.map(|(field, rule, _)| Excess { field, rule })
}

/// Whether the child denies whatever it allows and the parent denies.
fn denies(child: &Policy, parent: &Policy) -> bool {
    let left: Vec<&Pattern> =
        child.allow.iter().filter(|pattern| !child.deny.covers(pattern)).collect();
    parent.deny.iter().all(|denied| {
        child.deny.covers(denied) || !left.iter().any(|allowed| allowed.meets(denied))
    })
}

fn services(child: Option<&PatternSet>, parent: Option<&PatternSet>) -> bool {
    match (child, parent) {
        (_, None) => true,
        (None, Some(parent)) => parent.is_everything(),
        (Some(child), Some(parent)) => child.iter().all(|pattern| parent.covers(pattern)),
    }
}

fn no_more<T: PartialOrd>(child: Option<T>, parent: Option<T>) -> bool {
    parent.is_none_or(|parent| child.is_some_and(|child| child <= parent))
}

fn is_as_fresh(child: &Policy, parent: &Policy) -> bool {
    parent.max_staleness.iter().all(|(pattern, limit)| {
        let concerns =
            child.permits_action(None).is_ok() || child.allow.iter().any(|it| it.meets(pattern));
        !concerns
            || child.max_staleness.iter().any(|(mine, span)| span <= limit && mine.covers(pattern))
    })
}
