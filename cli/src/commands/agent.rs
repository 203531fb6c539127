//! `kya agent …`

use std::time::Duration;

use kya_core::AgentId;

use super::print_page;
use crate::acknowledgement::{self, Wording};
use crate::api::{Agent, Agents, NewAgent, Why};
use crate::args::{AgentCommand, AgentStatus, Page};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, record, table};

const REVOKE: Change = Change {
    action: "revoke",
    status: "revoked",
    wording: Wording {
        done: "Revoked",
        effect: "All verify calls will now return DENY",
        noun: "revocation",
        title: "Revocation",
        already: "already revoked",
        risk: "may still allow the agent",
    },
};

const SUSPEND: Change = Change {
    action: "suspend",
    status: "suspended",
    wording: Wording {
        done: "Suspended",
        effect: "All verify calls will now return DENY, until the agent is restored",
        noun: "suspension",
        title: "Suspension",
        already: "already suspended",
        risk: "may still allow the agent",
    },
};

const RESTORE: Change = Change {
    action: "restore",
    status: "active",
    wording: Wording {
        done: "Restored",
        effect: "Verify calls with its valid tokens will now return ALLOW",
        noun: "restoration",
        title: "Restoration",
        already: "already active",
        risk: "may still deny the agent",
    },
};

/// A change of an agent's status.
struct Change {
    /// Last segment of the path.
    action: &'static str,
    /// The status that it leaves.
    status: &'static str,
    wording: Wording,
}

pub(super) async fn run(
    command: AgentCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        AgentCommand::Register { name, pubkey } => {
            let agent = NewAgent { name: &name, public_key: pubkey };
            print_agent(output, client.register(&agent).await?)
        }
        AgentCommand::List { status, page } => list(client, output, status, &page).await,
        AgentCommand::Show { id } => print_agent(output, client.agent(id).await?),
        AgentCommand::Revoke { id, why, wait } => {
            change(client, output, &REVOKE, id, &Why::from(&why), wait.wait).await
        }
        AgentCommand::Suspend { id, why, wait } => {
            change(client, output, &SUSPEND, id, &Why::from(&why), wait.wait).await
        }
        AgentCommand::Restore { id, reason, incident_id, wait } => {
            let why = Why { reason: reason.as_deref(), incident_id: incident_id.as_deref() };
            change(client, output, &RESTORE, id, &why, wait.wait).await
        }
    }
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    status: Option<AgentStatus>,
    page: &Page<AgentId>,
) -> Result<(), Error> {
    let query = [
        ("status", status.map(|status| status.as_str().to_owned())),
        ("after", page.after.map(|id| id.to_string())),
        ("limit", Some(page.limit.to_string())),
    ];
    let Answer { value: Agents { agents, next }, json } = client.agents(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = agents
        .into_iter()
        .map(|agent| {
            let Agent { agent_id, name, status, created_at, revoked_at, .. } = agent;
            [agent_id.to_string(), name, status, created_at, or_dash(revoked_at)]
        })
        .collect();
    let agents = (!rows.is_empty())
        .then(|| table(["AGENT ID", "NAME", "STATUS", "CREATED AT", "REVOKED AT"], rows));
    print_page(output, agents, "No agents.", next.map(|id| id.to_string()))
}

async fn change(
    client: &Client,
    output: &mut Output<'_>,
    change: &Change,
    id: AgentId,
    why: &Why<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value, json } = client.change_agent(id, change.action, why).await?;
    // "Revoked" is said only when the server says so, and of this agent.
    if value.agent.agent_id != id || value.agent.status != change.status {
        let Agent { agent_id, status, .. } = value.agent;
        return Err(client.unexpected(format!(
            "asked to {} {id}, it says that {agent_id} is {status}",
            change.action
        )));
    }
    let (wording, commit) = (&change.wording, &value.commit);
    acknowledgement::report(client, output, wording, &id.to_string(), commit, json, wait).await
}

fn print_agent(output: &mut Output<'_>, answer: Answer<Agent>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let agent = answer.value;
    output.lines(record([
        ("Agent id", agent.agent_id.to_string()),
        ("Name", agent.name),
        ("Status", agent.status),
        ("Public key", or_dash(agent.public_key)),
        ("Policy id", or_dash(agent.policy_id)),
        ("Created at", agent.created_at),
        ("Revoked at", or_dash(agent.revoked_at)),
        ("Status changed at", agent.status_changed_at),
        ("Status by", or_dash(agent.status_actor)),
        ("Status reason", or_dash(agent.status_reason)),
        ("Incident id", or_dash(agent.incident_id)),
        ("Revision", agent.revision.to_string()),
    ]))
}
