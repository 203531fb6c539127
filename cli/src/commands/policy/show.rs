//! Policies and what differs between them, as people read them.

use crate::api::{
    Affected, FieldChange, Policy, PolicyComparison, PolicyDifference, PolicyPreview,
};
use crate::client::Answer;
use crate::commands::dry::reached;
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};

/// How a version came to be.
pub(super) fn step(policy: &Policy) -> String {
    match policy.rolled_back_to {
        Some(version) => format!("{} to {version}", policy.step),
        None => policy.step.clone(),
    }
}

pub(super) fn policy(output: &mut Output<'_>, answer: Answer<Policy>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let policy = answer.value;
    let document = serde_json::to_string_pretty(&policy.document)
        .map_err(|error| Error::Usage(error.to_string()))?;
    output.lines(record([
        ("Policy id", policy.policy_id.to_string()),
        ("Name", policy.name.clone()),
        ("Version", format!("{} of {}", policy.version, policy.newest_version)),
        ("Step", step(&policy)),
        ("Committed at", policy.committed_at),
        ("By", policy.actor),
        ("Reason", or_dash(policy.reason)),
        ("Incident id", or_dash(policy.incident_id)),
        ("Revision", policy.revision.to_string()),
    ]))?;
    let lines = document.lines().map(printable);
    output.lines(lines.collect::<Vec<_>>().join("\n"))
}

pub(super) fn comparison(
    output: &mut Output<'_>,
    answer: Answer<PolicyComparison>,
) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let PolicyComparison { name, from, to, difference } = answer.value;
    output.lines(format!("{} version {from} to {to}", printable(&name)))?;
    output.lines(differs(&difference))
}

/// What a change would do.
pub(super) fn preview(output: &mut Output<'_>, answer: Answer<PolicyPreview>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let PolicyPreview { changed, name, version, difference, reach, agents, .. } = answer.value;
    let name = printable(&name);
    match (version, changed) {
        (None, _) => output.lines(format!("{name} would be a new policy"))?,
        (Some(version), false) => {
            output.lines(format!("{name} says that already, in version {version}"))?;
        }
        (Some(version), true) => {
            output.lines(format!("{name} would get a version after {version}"))?;
            if let Some(difference) = difference {
                output.lines(differs(&difference))?;
            }
        }
    }
    output.lines(format!("Under it are {}", reached(reach)))?;
    if !agents.is_empty() {
        let rows = agents.into_iter().map(|agent| {
            let Affected { agent_id, name, status } = agent;
            [agent_id.to_string(), name, status]
        });
        output.lines(table(["AGENT ID", "NAME", "STATUS"], rows.collect()))?;
    }
    output.lines("Dry run: nothing was written")
}

fn differs(difference: &PolicyDifference) -> String {
    let mut lines = vec![match difference.tendency.as_str() {
        "same" => "It permits the same".to_owned(),
        "narrows" => "It permits less".to_owned(),
        "widens" => "It permits MORE".to_owned(),
        _ => "It permits something else, and maybe MORE".to_owned(),
    }];
    for change in &difference.fields {
        match change {
            FieldChange::Added { field, value } => lines.push(format!("+ {field}: {value}")),
            FieldChange::Removed { field, value } => lines.push(format!("- {field}: {value}")),
            FieldChange::Changed { field, from, to } => {
                lines.push(format!("- {field}: {from}"));
                lines.push(format!("+ {field}: {to}"));
            }
            FieldChange::Items { field, added, removed } => {
                lines.extend(removed.iter().map(|item| format!("- {field}: {item}")));
                lines.extend(added.iter().map(|item| format!("+ {field}: {item}")));
            }
        }
    }
    lines.extend(difference.now_denied.iter().map(|name| format!("now denied: {name}")));
    lines.extend(difference.now_permitted.iter().map(|name| format!("now permitted: {name}")));
    if let Some(verdict) = &difference.unmapped {
        lines.push(format!("now {verdict}: requests whose action is unknown"));
    }
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}
