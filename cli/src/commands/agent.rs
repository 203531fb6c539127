//! `kya agent …`

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use kya_core::AgentId;

use super::{dry, print_page, selection, suspension, tree};
use crate::acknowledgement::{self, Wording};
use crate::api::{Agent, AgentChange, Agents, NewAgent, NewSuccessor, Stop, Why};
use crate::args::{AgentCommand, InFlight, Targets};
use crate::client::{Answer, Client, Place, Query};
use crate::error::Error;
use crate::output::{Output, or_dash, record};

const MAX_LABELS: usize = 32;

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

impl Change {
    /// What it means from now on, if what is in flight is aborted or not; `until` when it
    /// may go on.
    fn effect(&self, aborts: bool, until: Option<&str>) -> Cow<'static, str> {
        match self.action {
            "suspend" if !aborts => suspension::drains(until).into(),
            _ => self.wording.effect.into(),
        }
    }
}

pub(super) async fn run(
    command: AgentCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        AgentCommand::Register { name, pubkey, owner, parent, labels, policy, expires_at } => {
            let agent = NewAgent {
                name: &name,
                public_key: pubkey,
                owner: owner.as_deref(),
                parent_id: parent,
                labels: each_once(labels)?,
                policy: policy.as_deref(),
                expires_at: expires_at.as_deref(),
            };
            print_agent(output, client.register(&agent).await?)
        }
        AgentCommand::Replace { id, pubkey, name, revoke, reason, incident_id } => {
            let why = Why { reason: reason.as_deref(), incident_id: incident_id.as_deref() };
            let name = name.as_deref();
            let successor = NewSuccessor { public_key: pubkey, name, revoke, why };
            let answer = client.replace_agent(id, &successor).await?;
            if answer.value.replaces != Some(id) {
                return Err(client.unexpected(format!(
                    "asked to replace {id}, it does not say that {} does",
                    answer.value.agent_id
                )));
            }
            print_agent(output, answer)
        }
        AgentCommand::List { status, selector, owner, policy, sort, page } => {
            let [after, limit] = page.query();
            let query = [
                ("status", status.map(|status| status.as_str().to_owned())),
                ("selector", selector),
                ("owner", owner),
                ("policy", policy),
                ("sort", sort),
                after,
                limit,
            ];
            list(client, output, &query).await
        }
        AgentCommand::Show { id } => print_agent(output, client.agent(id).await?),
        AgentCommand::Tree { id } => tree::print(client, output, id).await,
        AgentCommand::Revoke { targets, stop } => {
            stop_them(client, output, &REVOKE, &targets, (&stop).into(), stop.wait.wait).await
        }
        AgentCommand::Suspend { targets, in_flight, stop } => {
            let how = Stop { in_flight, ..(&stop).into() };
            stop_them(client, output, &SUSPEND, &targets, how, stop.wait.wait).await
        }
        AgentCommand::Restore { id, maybe, wait } => {
            change(client, output, &RESTORE, id, &Why::from(&maybe).into(), wait.wait).await
        }
    }
}

/// The labels of a command line, none of them twice.
fn each_once(labels: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    for (key, value) in labels {
        if all.insert(key.clone(), value).is_some() {
            return Err(Error::Usage(format!("there are two --label {key}")));
        }
    }
    match all.len() {
        0..=MAX_LABELS => Ok(all),
        count => Err(Error::Usage(format!("{count} labels, and {MAX_LABELS} are allowed"))),
    }
}

/// Stops one agent, or all that a selector means.
async fn stop_them(
    client: &Client,
    output: &mut Output<'_>,
    kind: &Change,
    targets: &Targets,
    stop: Stop<'_>,
    wait: Duration,
) -> Result<(), Error> {
    match (targets.id, targets.selector.as_deref()) {
        (Some(id), None) if stop.dry_run => {
            let answer = client.stop(Place::Agent(id), kind.action, &stop).await?;
            dry::print(client, output, &format!("{} {id}", kind.action), answer)
        }
        (Some(id), None) => change(client, output, kind, id, &stop, wait).await,
        (None, Some(selector)) => {
            let stop = Stop { selector: Some(selector), ..stop };
            if stop.dry_run {
                let answer = client.stop(Place::Agents, kind.action, &stop).await?;
                let what = format!("{} every agent matching {selector}", kind.action);
                return dry::print(client, output, &what, answer);
            }
            let answer = client.stop(Place::Agents, kind.action, &stop).await?;
            let effect = kind.effect(stop.in_flight == Some(InFlight::Abort), None);
            let said = (&kind.wording, &*effect, kind.status);
            selection::report(client, output, said, selector, answer, wait).await
        }
        // The parser has seen to it.
        _ => Err(Error::Usage("either an agent or a --selector".to_owned())),
    }
}

async fn list(client: &Client, output: &mut Output<'_>, query: &Query<'_>) -> Result<(), Error> {
    let Answer { value: Agents { agents, next }, json } = client.agents(query).await?;
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
    let columns = ["AGENT ID", "NAME", "STATUS", "CREATED AT", "REVOKED AT"];
    print_page(output, columns, rows, "No agents.", next)
}

async fn change(
    client: &Client,
    output: &mut Output<'_>,
    change: &Change,
    id: AgentId,
    stop: &Stop<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let answer: Answer<AgentChange> = client.stop(Place::Agent(id), change.action, stop).await?;
    let Answer { value, json } = answer;
    // "Revoked" is said only when the server says so, and of this agent.
    if value.agent.agent_id != id || value.agent.status != change.status {
        let Agent { agent_id, status, .. } = value.agent;
        return Err(client.unexpected(format!(
            "asked to {} {id}, it says that {agent_id} is {status}",
            change.action
        )));
    }
    let aborts = value.agent.in_flight.as_deref() == Some("abort");
    if stop.in_flight == Some(InFlight::Abort) && !aborts {
        return Err(client.unexpected(format!(
            "asked to abort what is in flight of {id}, it does not say that it does"
        )));
    }
    let (wording, commit) = (&change.wording, &value.commit);
    let effect = change.effect(aborts, value.drains_until.as_deref());
    let lines = acknowledgement::committed(wording, &id.to_string(), &effect, commit);
    acknowledgement::report_lines(client, output, wording, lines, commit, json, wait).await
}

fn print_agent(output: &mut Output<'_>, answer: Answer<Agent>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let agent = answer.value;
    let owner = match (agent.owner, agent.owner_status.as_deref()) {
        (Some(owner), Some("active") | None) => owner,
        // It is denied, whatever its own status says.
        (Some(owner), Some(status)) => format!("{owner} ({status})"),
        (None, _) => "-".to_owned(),
    };
    let kill = agent.kill_id;
    let labels: Vec<_> = agent.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = or_dash((!labels.is_empty()).then(|| labels.join(",")));
    output.lines(record([
        ("Agent id", agent.agent_id.to_string()),
        ("Name", agent.name),
        ("Status", agent.status),
        ("Public key", or_dash(agent.public_key)),
        ("Owner", owner),
        ("Labels", labels),
        ("Expires at", or_dash(agent.expires_at)),
        ("Policy id", or_dash(agent.policy_id)),
        ("Policy", or_dash(agent.policy)),
        ("Acts for", or_dash(agent.parent_id)),
        ("Replaces", or_dash(agent.replaces)),
        ("Replaced by", or_dash(agent.replaced_by)),
        ("Created at", agent.created_at),
        ("Revoked at", or_dash(agent.revoked_at)),
        ("Status changed at", agent.status_changed_at),
        ("Status by", or_dash(agent.status_actor)),
        ("Status reason", or_dash(agent.status_reason)),
        ("Incident id", or_dash(agent.incident_id)),
        ("Revision", agent.revision.to_string()),
    ]))?;
    kill.map_or(Ok(()), |kill| output.lines(format!("Kill: {kill}")))
}
