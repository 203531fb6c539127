//! What a token is for, where that is less than what its holder may do.

use std::fmt;

use kya_core::{
    ActionName, AgentId, GrantIndex, MAX_GRANT_ACTIONS, MAX_GRANT_SERVICES, MAX_SERVICE_BYTES, wire,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most grants of one agent: as many different sets of services and actions may its
/// tokens be for, over all its life. Each proxy keeps every grant, for ever.
pub const MAX_GRANTS: usize = 256;

/// What proxies call a service (`service` in the filter's configuration): 1 to 256
/// lower-case letters, digits and `_.:/-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ServiceName(String);

/// The only services and actions that a token is for. No services are all services,
/// and no actions all actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenLimits {
    /// In order, each once.
    services: Vec<ServiceName>,
    actions: Vec<ActionName>,
}

/// Why a token cannot be for these.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitsError {
    /// It is not the name of a service.
    #[error(
        "is not the name of a service: 1 to {MAX_SERVICE_BYTES} lower-case letters, digits and `_.:/-`"
    )]
    ServiceName,
    /// Nothing is named.
    #[error("`{0}`: is empty; leave it out for a token that is for all of them")]
    Empty(&'static str),
    /// Too many are named.
    #[error("`{what}`: a token is for at most {most}, these are {count}")]
    TooMany {
        /// Services, or actions.
        what: &'static str,
        /// How many a token may be for.
        most: usize,
        /// How many there are.
        count: usize,
    },
}

impl TryFrom<String> for ServiceName {
    type Error = LimitsError;

    fn try_from(text: String) -> Result<Self, LimitsError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.:/-".contains(&b);
        match (1..=MAX_SERVICE_BYTES).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(LimitsError::ServiceName),
        }
    }
}

impl ServiceName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TokenLimits {
    /// For these alone; `None` is all. Order and repetition do not matter. That none is
    /// named is refused: whoever leaves an empty list means no token for everything.
    pub fn new(
        services: Option<Vec<ServiceName>>,
        actions: Option<Vec<ActionName>>,
    ) -> Result<Self, LimitsError> {
        Ok(Self {
            services: canonical("services", services, MAX_GRANT_SERVICES)?,
            actions: canonical("actions", actions, MAX_GRANT_ACTIONS)?,
        })
    }

    /// The services, in order; none, if it is for all.
    pub fn services(&self) -> &[ServiceName] {
        &self.services
    }

    /// The actions, in order; none, if it is for all.
    pub fn actions(&self) -> &[ActionName] {
        &self.actions
    }

    /// Whether a token of these limits is good for this service and this action, where
    /// they are named. One that is for all is good for each.
    pub fn is_for(&self, service: Option<&ServiceName>, action: Option<&ActionName>) -> bool {
        let at = service.is_none_or(|it| self.services.is_empty() || self.services.contains(it));
        at && action.is_none_or(|it| self.actions.is_empty() || self.actions.contains(it))
    }

    /// As they are stored: in order, with line breaks between.
    pub(super) fn stored(&self) -> (String, String) {
        let services: Vec<_> = self.services.iter().map(ServiceName::as_str).collect();
        let actions: Vec<_> = self.actions.iter().map(ActionName::as_str).collect();
        (services.join("\n"), actions.join("\n"))
    }

    /// What was stored; `None` if that cannot be.
    pub(super) fn from_stored(services: &str, actions: &str) -> Option<Self> {
        let services = services.lines().map(|name| ServiceName::try_from(name.to_owned()));
        let actions = actions.lines().map(|name| name.parse::<ActionName>());
        let services = services.collect::<Result<_, _>>().ok()?;
        Some(Self { services, actions: actions.collect::<Result<_, _>>().ok()? })
    }

    /// A grant of these limits as the protocol carries it.
    pub(super) fn to_wire(&self, index: GrantIndex, holder: AgentId) -> wire::change::Change {
        wire::change::Change::Grant(wire::Grant {
            index: index.get(),
            agent_id: holder.to_bytes().to_vec(),
            services: self.services.iter().map(ToString::to_string).collect(),
            actions: self.actions.iter().map(ToString::to_string).collect(),
        })
    }
}

fn canonical<T: Ord>(
    what: &'static str,
    named: Option<Vec<T>>,
    most: usize,
) -> Result<Vec<T>, LimitsError> {
    let Some(mut named) = named else { return Ok(Vec::new()) };
    if named.is_empty() {
        return Err(LimitsError::Empty(what));
    }
    named.sort();
    named.dedup();
    match named.len() {
        count if count > most => Err(LimitsError::TooMany { what, most, count }),
        _ => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Grant;

    use super::*;

    fn limits(services: &[&str], actions: &[&str]) -> Result<TokenLimits, LimitsError> {
        let services = services.iter().map(|&it| ServiceName::try_from(it.to_owned()));
        let services: Vec<_> = services.collect::<Result<_, _>>()?;
        let actions: Vec<_> = actions.iter().map(|it| it.parse().unwrap()).collect();
        TokenLimits::new(
            (!services.is_empty()).then_some(services),
            (!actions.is_empty()).then_some(actions),
        )
    }

    #[test]
    fn order_and_repetition_make_no_other_limits_and_they_survive_the_store() {
        let one = limits(&["pay", "mail", "pay"], &["b", "a"]).unwrap();
        assert_eq!(one, limits(&["mail", "pay"], &["a", "b", "b"]).unwrap());
        assert_eq!(one.stored(), ("mail\npay".to_owned(), "a\nb".to_owned()));
        assert_eq!(TokenLimits::from_stored("mail\npay", "a\nb"), Some(one));
        assert_eq!(TokenLimits::from_stored("", ""), Some(TokenLimits::default()));
        assert_eq!(TokenLimits::from_stored("Mail", ""), None);
    }

    #[test]
    fn what_the_protocol_would_not_carry_is_refused() {
        for bad in ["", "Pay", "p\u{430}y", "a b", "a\nb", &"a".repeat(257)] {
            let bad = ServiceName::try_from(bad.to_owned());
            assert_eq!(bad, Err(LimitsError::ServiceName));
        }
        let names: Vec<_> = (0..65).map(|n| format!("n{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let most = limits(&names[..16], &names[..64]).unwrap();
        let wire::change::Change::Grant(grant) =
            most.to_wire(GrantIndex::new(1).unwrap(), AgentId::from_bytes([1; 16]))
        else {
            panic!()
        };
        let read = Grant::new(AgentId::from_bytes([1; 16]), &grant.services, &grant.actions);
        assert_eq!(read.unwrap().actions().len(), 64);
        let count = |error: LimitsError| match error {
            LimitsError::TooMany { count, .. } => count,
            other => panic!("{other}"),
        };
        assert_eq!(count(limits(&names[..17], &[]).unwrap_err()), 17);
        assert_eq!(count(limits(&[], &names).unwrap_err()), 65);
        assert_eq!(TokenLimits::new(Some(vec![]), None), Err(LimitsError::Empty("services")));
        assert_eq!(TokenLimits::new(None, Some(vec![])), Err(LimitsError::Empty("actions")));
    }

    #[test]
    fn what_is_for_all_is_good_for_each() {
        let (service, action) = (ServiceName("pay".to_owned()), "refund".parse().unwrap());
        for (limits, good) in [
            (TokenLimits::default(), true),
            (limits(&["pay"], &[]).unwrap(), true),
            (limits(&["pay"], &["refund", "charge"]).unwrap(), true),
            (limits(&["mail"], &[]).unwrap(), false),
            (limits(&["pay"], &["charge"]).unwrap(), false),
        ] {
            assert_eq!(limits.is_for(Some(&service), Some(&action)), good, "{limits:?}");
        }
        assert!(limits(&["mail"], &["charge"]).unwrap().is_for(None, None));
    }
}
