//! Which action a request stands for, as it is configured.

use kya_core::action::{MAX_ACTION_RULES, Route, RuleIndex};
use kya_core::{ActionMap, ActionName};

use super::document::ActionRule;
use super::error::ConfigError;
use super::json::Object;

/// The rules of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions {
    map: ActionMap,
    /// The rules as they are written, sorted: their order means nothing.
    rules: Vec<String>,
}

impl Actions {
    /// Checks the rules, each by itself and then all together.
    pub(super) fn new(written: Vec<Object<ActionRule>>) -> Result<Self, ConfigError> {
        if written.len() > MAX_ACTION_RULES {
            return Err(ConfigError::at("actions", "must hold at most 1024 rules"));
        }
        let (mut rules, mut texts) = (Vec::new(), Vec::new());
        for (index, Object(ActionRule { route, action })) in written.into_iter().enumerate() {
            let at = |part: &str| format!("actions[{index}].{part}");
            let missing = |part: &str, example: &str| {
                ConfigError::at(at(part), format!("is missing: write one, such as `{example}`"))
            };
            let route = route.ok_or_else(|| missing("route", "POST /v1/refunds"))?;
            let action = action.ok_or_else(|| missing("action", "issue_refund"))?;
            let route: Route =
                route.parse().map_err(|error| ConfigError::at(at("route"), error))?;
            let action = ActionName::try_from(action)
                .map_err(|error| ConfigError::at(at("action"), error))?;
            texts.push(format!("{route} {action}"));
            rules.push((route, action));
        }
        texts.sort_unstable();
        let map = ActionMap::new(rules).map_err(|error| ConfigError::at("actions", error))?;
        Ok(Self { map, rules: texts })
    }

    /// The rule about a request with this method and target; see [`ActionMap::rule`].
    pub fn find(&self, method: &[u8], target: &[u8]) -> Option<RuleIndex> {
        self.map.rule(method, target)
    }

    /// The action of a rule.
    pub fn name(&self, rule: RuleIndex) -> Option<&ActionName> {
        self.map.action_of(rule)
    }

    /// The path template of a rule.
    pub fn template(&self, rule: RuleIndex) -> Option<&str> {
        self.map.template_of(rule)
    }

    /// Whether there is no rule, so that nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Every rule in one form, sorted.
    pub(super) fn rules(&self) -> &[String] {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(rules: &[(&str, &str)]) -> Result<Actions, ConfigError> {
        let rule = |(route, action): &(&str, &str)| {
            Object(ActionRule {
                route: Some((*route).to_owned()),
                action: Some((*action).to_owned()),
            })
        };
        Actions::new(rules.iter().map(rule).collect())
    }

    #[test]
    fn several_routes_can_be_one_action() {
        let actions = actions(&[
            ("POST /v1/refunds", "issue_refund"),
            ("POST /v2/refunds/{id}", "issue_refund"),
            ("GET /v1/charges", "list_charges"),
        ])
        .unwrap();
        let name = |method: &str, target: &str| {
            let index = actions.find(method.as_bytes(), target.as_bytes())?;
            actions.name(index).map(ActionName::as_str)
        };
        assert_eq!(name("POST", "/v1/refunds"), Some("issue_refund"));
        assert_eq!(name("POST", "/v2/refunds/7?a=b"), Some("issue_refund"));
        assert_eq!(name("GET", "/v1/charges"), Some("list_charges"));
        assert_eq!(name("GET", "/v1/refunds"), None);
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_its_place() {
        let wrong = |rules: &[(&str, &str)]| actions(rules).unwrap_err().to_string();
        assert!(wrong(&[("POST /a", "a"), ("post /b", "b")]).contains("actions[1].route"));
        assert!(wrong(&[("POST /a", "Refund")]).contains("actions[0].action"));
        assert!(wrong(&[("POST /a", "a"), ("POST /a", "b")]).contains("`POST /a` and `POST /a`"));
        let nothing = Object(ActionRule { route: None, action: Some("a".to_owned()) });
        let said = Actions::new(vec![nothing]).unwrap_err().to_string();
        assert!(said.contains("actions[0].route") && said.contains("is missing"), "{said}");
    }
}
