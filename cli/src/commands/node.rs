//! `kya node …`

use super::secrets::{self, Added, Revoked};
use super::{fleet, print_page};
use crate::api::{NewNode, NodeChange, Nodes, RegisteredNode, Registration, Why};
use crate::args::{NodeCommand, Page};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash};
use crate::values::PlainName;

const REGISTRATION_COLUMNS: [&str; 7] =
    ["REGISTRATION", "MATCH", "STATUS", "CONNECTED", "CREATED AT", "EXPIRES AT", "REVOKED AT"];

pub(super) async fn run(
    command: NodeCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        NodeCommand::Add { name, node_id, expires_in, quiet } => {
            let ttl_seconds = expires_in.map(|time| time.as_secs());
            let node = NewNode { name: &name, node_id: node_id.as_deref(), ttl_seconds };
            print_added(output, &client.register_node(&node).await?, quiet)
        }
        NodeCommand::List { page } => list(client, output, &page).await,
        NodeCommand::Challenge { node_id, wait } => {
            let answer = client.challenge(node_id.as_deref(), wait).await?;
            fleet::print_proof(output, answer)
        }
        NodeCommand::Revoke { name, why } => {
            let answer = client.revoke_node(&name, &Why::from(&why)).await?;
            print_revoked(client, output, &name, &answer)
        }
    }
}

fn print_added(
    output: &mut Output<'_>,
    answer: &Answer<RegisteredNode>,
    quiet: bool,
) -> Result<(), Error> {
    let RegisteredNode { credential, registration } = &answer.value;
    let Registration { name, node_id, expires_at, .. } = registration;
    let added = Added {
        secret: credential,
        of: format!("{name} for node.id {node_id}"),
        expires_at: expires_at.as_deref(),
        note: "The credential is shown this once",
    };
    secrets::print_added(output, &answer.json, quiet, added)
}

fn print_revoked(
    client: &Client,
    output: &mut Output<'_>,
    name: &str,
    answer: &Answer<NodeChange>,
) -> Result<(), Error> {
    let NodeChange { node, changed } = &answer.value;
    let revoked = Revoked {
        name: &node.name,
        status: &node.status,
        revoked_at: node.revoked_at.as_deref(),
        changed: *changed,
        effect: "No proxy is let in with its credential, and the streams that it opened are ended",
    };
    secrets::print_revoked(client, output, name, &answer.json, revoked)
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    page: &Page<PlainName>,
) -> Result<(), Error> {
    let Answer { value, json } = client.nodes(&page.query()).await?;
    let Nodes { revision, epoch, nodes, disconnected, registrations, next } = value;
    if output.is_json() {
        return output.document(&json);
    }
    if nodes.is_empty() {
        output.lines("No proxy is connected.")?;
    }
    if let Some(proxies) = fleet::proxies(nodes, disconnected, &registrations) {
        output.lines(proxies)?;
    }
    output.lines(format_args!("\nNewest revision: {revision} (epoch {epoch})\n"))?;
    let rows = registrations.into_iter().map(registration).collect();
    let none = "No registrations: `kya node add` lets a proxy connect.";
    print_page(output, REGISTRATION_COLUMNS, rows, none, next)
}

fn registration(registration: Registration) -> [String; 7] {
    let Registration {
        name, node_id, status, created_at, expires_at, revoked_at, connected, ..
    } = registration;
    let connected = connected.to_string();
    [name, node_id, status, connected, created_at, or_dash(expires_at), or_dash(revoked_at)]
}
