//! `kya capability …`

use std::time::Duration;

use kya_core::AgentId;

use super::dry;
use crate::acknowledgement::{self, Wording};
use crate::api::{Capabilities, Capability, CapabilityChange, Stop, Why};
use crate::args::{CapabilityCommand, CapabilityOf};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const REVOKE: Change = Change {
    action: "revoke",
    status: "revoked",
    wording: Wording {
        done: "Capability revoked",
        effect: "",
        noun: "revocation",
        title: "Revocation",
        already: "already revoked",
        risk: "may still allow the action",
    },
};

const SUSPEND: Change = Change {
    action: "suspend",
    status: "suspended",
    wording: Wording {
        done: "Capability suspended",
        effect: "",
        noun: "suspension",
        title: "Suspension",
        already: "already suspended",
        risk: "may still allow the action",
    },
};

const RESTORE: Change = Change {
    action: "restore",
    status: "active",
    wording: Wording {
        done: "Capability restored",
        effect: "",
        noun: "restoration",
        title: "Restoration",
        already: "already active",
        risk: "may still deny the action",
    },
};

/// A change of the standing of one action.
struct Change {
    /// Last segment of the path.
    action: &'static str,
    /// The status that it leaves.
    status: &'static str,
    wording: Wording,
}

pub(super) async fn run(
    command: CapabilityCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        CapabilityCommand::Revoke { of, stop } => {
            change(client, output, &REVOKE, &of, (&stop).into(), stop.wait.wait).await
        }
        CapabilityCommand::Suspend { of, stop } => {
            change(client, output, &SUSPEND, &of, (&stop).into(), stop.wait.wait).await
        }
        CapabilityCommand::Restore { of, maybe, wait } => {
            change(client, output, &RESTORE, &of, Why::from(&maybe).into(), wait.wait).await
        }
        CapabilityCommand::List { agent } => list(client, output, agent).await,
    }
}

async fn change(
    client: &Client,
    output: &mut Output<'_>,
    change: &Change,
    of: &CapabilityOf,
    stop: Stop<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let (agent, name) = (of.agent, &*of.action);
    let (place, stop) = (Place::Capabilities(agent), &Stop { action: Some(name), ..stop });
    if stop.dry_run {
        let answer = client.stop(place, change.action, stop).await?;
        return dry::print(
            client,
            output,
            &format!("{} {name} for {agent}", change.action),
            answer,
        );
    }
    let answer: Answer<CapabilityChange> = client.stop(place, change.action, stop).await?;
    let Answer { value: CapabilityChange { capability, commit, active }, json } = answer;
    // It is said only when the server says so, and of this action of this agent.
    let Capability { agent_id, action, status, .. } = capability;
    if agent_id != agent || action != name || status != change.status {
        return Err(client.unexpected(format!(
            "asked to {} {name} for {agent}, it says that {action} of {agent_id} is {status}",
            change.action
        )));
    }
    let mut lines = format!("{}: {name} for {agent}", change.wording.done);
    if active.is_empty() && change.status != "active" {
        lines.push_str("\nAll other actions remain active");
    }
    for other in &active {
        lines.push_str(&format!("\n{} remains active", printable(other)));
    }
    let lines = acknowledgement::unless_changed(lines, &change.wording, &commit);
    acknowledgement::report_lines(client, output, &change.wording, lines, &commit, json, wait).await
}

async fn list(client: &Client, output: &mut Output<'_>, agent: AgentId) -> Result<(), Error> {
    let Answer { value: Capabilities { capabilities }, json } = client.capabilities(agent).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = capabilities
        .into_iter()
        .map(|capability| {
            let Capability {
                action, status, status_changed_at, status_reason, incident_id, ..
            } = capability;
            let since = or_dash(status_changed_at);
            [action, status, since, or_dash(status_reason), or_dash(incident_id)]
        })
        .collect();
    match rows.is_empty() {
        true => output.lines("Nothing was decided about single actions of this agent."),
        false => output.lines(table(["ACTION", "STATUS", "SINCE", "REASON", "INCIDENT ID"], rows)),
    }
}
