//! What a change of a policy changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compiled::Policy;
use super::document::PolicyDocument;
use crate::action::ActionName;

/// What differs between two policies. What means the same is no difference,
/// however it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyDiff {
    /// The fields that differ, by their names.
    pub fields: Vec<FieldChange>,
    /// Known actions that were permitted and are not any more, sorted.
    pub now_denied: Vec<ActionName>,
    /// Known actions that were not permitted and now are, sorted.
    pub now_permitted: Vec<ActionName>,
    /// What becomes of requests whose action is unknown, if that changes.
    pub unmapped: Option<Verdict>,
}

/// How one field differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum FieldChange {
    /// It was not there.
    Added {
        /// Path of the field, such as `auto_suspend.window`.
        field: String,
        /// What it is.
        value: String,
    },
    /// It is not there any more.
    Removed {
        /// Path of the field.
        field: String,
        /// What it was.
        value: String,
    },
    /// It has another value.
    Changed {
        /// Path of the field.
        field: String,
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
    /// It is a list, and holds other patterns.
    Items {
        /// Path of the field.
        field: String,
        /// What is new in it, sorted.
        added: Vec<String>,
        /// What is gone from it, sorted.
        removed: Vec<String>,
    },
}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is permitted.
    Permitted,
    /// It is denied.
    Denied,
}

impl PolicyDiff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the later policy changes, also for each of these actions. Services are put
/// aside there: an action counts as permitted if it is for some service.
pub fn diff(earlier: &Policy, later: &Policy, known: &[ActionName]) -> PolicyDiff {
    let (before, after) = (earlier.to_document(), later.to_document());
    let (scalars_before, scalars_after) = (scalars(&before), scalars(&after));
    let all: BTreeSet<&String> = scalars_before.keys().chain(scalars_after.keys()).collect();
    let changed = all.into_iter().filter_map(|field| {
        let named = field.clone();
        match (scalars_before.get(field).cloned(), scalars_after.get(field).cloned()) {
            (None, None) => None,
            (None, Some(value)) => Some(FieldChange::Added { field: named, value }),
            (Some(value), None) => Some(FieldChange::Removed { field: named, value }),
            (Some(from), Some(to)) => {
                (from != to).then_some(FieldChange::Changed { field: named, from, to })
            }
        }
    });
    let lists = lists(&before).into_iter().zip(lists(&after));
    let items = lists.filter_map(|((field, before), (_, after))| {
        let gone = |from: &BTreeSet<String>, than: &BTreeSet<String>| -> Vec<String> {
            from.difference(than).cloned().collect()
        };
        let (added, removed) = (gone(&after, &before), gone(&before, &after));
        let is_same = added.is_empty() && removed.is_empty();
        (!is_same).then(|| FieldChange::Items { field: field.to_owned(), added, removed })
    });
    let turned = |from: &Policy, to: &Policy| -> Vec<ActionName> {
        let known: BTreeSet<&ActionName> = known.iter().collect();
        let permits = |policy: &Policy, action| policy.permits_action(Some(action)).is_ok();
        known
            .into_iter()
            .filter(|action| permits(from, action) && !permits(to, action))
            .cloned()
            .collect()
    };
    let unmapped = later.permits_action(None).is_ok();
    PolicyDiff {
        fields: items.chain(changed).collect(),
        now_denied: turned(earlier, later),
        now_permitted: turned(later, earlier),
        unmapped: (unmapped != earlier.permits_action(None).is_ok()).then_some(if unmapped {
            Verdict::Permitted
        } else {
            Verdict::Denied
        }),
    }
}

fn lists(document: &PolicyDocument) -> [(&'static str, BTreeSet<String>); 3] {
    let set = |list: &[String]| list.iter().cloned().collect();
    // Without services it is for all of them.
    let all = ["*".to_owned()];
    [
        ("allow", set(&document.allow)),
        ("deny", set(&document.deny)),
        ("services", set(document.services.as_deref().unwrap_or(&all))),
    ]
}

/// Every field with one value, by its path.
fn scalars(document: &PolicyDocument) -> BTreeMap<String, String> {
    let suspend = document.auto_suspend.as_ref();
    let fixed = [
        ("name", Some(&document.name)),
        ("description", document.description.as_ref()),
        ("max_ttl", document.max_ttl.as_ref()),
        ("daily_limit", document.daily_limit.as_ref()),
        ("currency", document.currency.as_ref()),
        ("auto_suspend.condition", suspend.map(|it| &it.condition)),
        ("auto_suspend.threshold", suspend.map(|it| &it.threshold)),
        ("auto_suspend.window", suspend.map(|it| &it.window)),
        ("auto_suspend.action", suspend.map(|it| &it.action)),
        ("in_flight", document.in_flight.as_ref()),
        ("drain_window", document.drain_window.as_ref()),
    ];
    let fixed =
        fixed.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.clone())));
    let staleness = document
        .max_staleness
        .iter()
        .map(|(pattern, span)| (format!("max_staleness[{pattern:?}]"), span.clone()));
    fixed.chain(staleness).collect()
}
