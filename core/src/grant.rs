//! Grants: what an opaque token stands for.

use crate::action::ActionName;
use crate::ids::AgentId;

/// Most services that one grant is for.
pub const MAX_GRANT_SERVICES: usize = 16;
/// Most actions that one grant is for.
pub const MAX_GRANT_ACTIONS: usize = 64;
/// Longest name of a service, in bytes.
pub const MAX_SERVICE_BYTES: usize = 256;

/// Who holds the tokens of a grant, and what for. It makes its holder's authority
/// smaller and never greater.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    agent: AgentId,
    services: Box<[Box<str>]>,
    actions: Box<[ActionName]>,
}

impl Grant {
    /// A grant of everything that its holder may do.
    pub fn unlimited(agent: AgentId) -> Self {
        Self { agent, services: Box::default(), actions: Box::default() }
    }

    /// A grant for these services and these actions alone; where none is named, for
    /// all. `None` if there are too many, or one has no name that there can be.
    pub fn new(agent: AgentId, services: &[String], actions: &[String]) -> Option<Self> {
        let is_name = |name: &String| (1..=MAX_SERVICE_BYTES).contains(&name.len());
        if services.len() > MAX_GRANT_SERVICES
            || actions.len() > MAX_GRANT_ACTIONS
            || !services.iter().all(is_name)
        {
            return None;
        }
        let services = services.iter().map(|name| name.as_str().into()).collect();
        let actions: Result<_, _> = actions.iter().map(|name| name.parse()).collect();
        Some(Self { agent, services, actions: actions.ok()? })
    }

    /// Who holds its tokens.
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// The only services that it is for; none, if it is for all.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(AsRef::as_ref)
    }

    /// The only actions that it is for; none, if it is for all.
    pub fn actions(&self) -> &[ActionName] {
        &self.actions
    }

    /// Whether it is for this service; `None` is one that is not known.
    pub fn is_for_service(&self, service: Option<&str>) -> bool {
        self.services.is_empty() || self.services().any(|it| Some(it) == service)
    }

    /// Whether it is for this action; `None` is one that is not known.
    pub fn is_for_action(&self, action: Option<&ActionName>) -> bool {
        self.actions.is_empty() || self.actions.iter().any(|it| Some(it) == action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(services: &[&str], actions: &[&str]) -> Option<Grant> {
        let texts = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        Grant::new(AgentId::from_bytes([1; 16]), &texts(services), &texts(actions))
    }

    #[test]
    fn what_a_grant_does_not_name_it_does_not_limit() {
        let all = grant(&[], &[]).unwrap();
        assert!(all.is_for_service(None) && all.is_for_service(Some("payments")));
        assert!(all.is_for_action(None) && all.is_for_action(Some(&"pay".parse().unwrap())));
    }

    #[test]
    fn what_it_names_it_is_for_and_nothing_else() {
        let some = grant(&["payments", "mail"], &["pay"]).unwrap();
        assert!(some.is_for_service(Some("mail")) && !some.is_for_service(Some("mai")));
        assert!(!some.is_for_service(None), "a service that is not known may be any");
        assert!(some.is_for_action(Some(&"pay".parse().unwrap())));
        assert!(!some.is_for_action(Some(&"refund".parse().unwrap())));
        assert!(!some.is_for_action(None), "an action that is not known may be any");
    }

    #[test]
    fn names_and_their_number_are_bounded() {
        let names: Vec<_> = (0..65).map(|n| format!("n{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let long = "a".repeat(257);
        assert!(grant(&names[..16], &names[..64]).is_some());
        assert!(grant(&names[..17], &[]).is_none() && grant(&[], &names).is_none());
        assert!(grant(&[&long], &[]).is_none() && grant(&[""], &[]).is_none());
        assert!(grant(&[], &["issue_*"]).is_none() && grant(&[], &[""]).is_none());
    }
}
