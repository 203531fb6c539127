//! `kya agent tree`

use std::collections::HashMap;

use kya_core::AgentId;

use crate::api::{Agent, Tree};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, table};

const COLUMNS: [&str; 5] = ["AGENT ID", "NAME", "STATUS", "POLICY", "EXPIRES AT"];

/// Prints an agent and all that act for it, each below the one that it acts for.
pub(super) async fn print(
    client: &Client,
    output: &mut Output<'_>,
    top: AgentId,
) -> Result<(), Error> {
    let Answer { value: Tree { agents, truncated }, json } = client.tree(top).await?;
    let count = agents.len();
    let agents = agents.into_iter().map(|branch| branch.agent).collect();
    let rows = rows(top, agents);
    if rows.len() != count || rows.is_empty() {
        let missing = count.saturating_sub(rows.len());
        return Err(client.unexpected(format!(
            "asked for all that act for {top}, it names {count} agents, and {missing} of them do not"
        )));
    }
    if output.is_json() {
        return output.document(&json);
    }
    output.lines(table(COLUMNS, rows))?;
    if truncated {
        output.note(format_args!("There are more: {count} are shown. Ask for one of them"));
    }
    Ok(())
}

/// A row for each agent below `top`, in the order of a tree. No agent is in it twice, and
/// those that are not below are left out.
fn rows(top: AgentId, agents: Vec<Agent>) -> Vec<[String; 5]> {
    let mut below: HashMap<AgentId, Vec<Agent>> = HashMap::new();
    let mut next = Vec::new();
    for agent in agents {
        match agent.parent_id {
            // Whom the one at the top acts for does not matter.
            _ if agent.agent_id == top && next.is_empty() => next.push((0, agent)),
            Some(parent) => below.entry(parent).or_default().push(agent),
            None => {}
        }
    }
    let mut rows = Vec::new();
    while let Some((depth, agent)) = next.pop() {
        let under = below.remove(&agent.agent_id).unwrap_or_default();
        // The last is taken first.
        next.extend(under.into_iter().rev().map(|agent| (depth + 1, agent)));
        let Agent { agent_id, name, status, policy, expires_at, .. } = agent;
        let indented = format!("{}{agent_id}", "  ".repeat(depth));
        rows.push([indented, name, status, or_dash(policy), or_dash(expires_at)]);
    }
    rows
}
