//! `kya node …`

use crate::api::{Node, Nodes, Worker};
use crate::args::NodeCommand;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, table};

const COLUMNS: [&str; 9] = [
    "NODE",
    "CLUSTER",
    "PEER",
    "FILTER",
    "CONNECTED AT",
    "WORKER",
    "REVISION",
    "BEHIND",
    "APPLIED AT",
];

pub(super) async fn run(
    command: NodeCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        NodeCommand::List => list(client, output).await,
    }
}

async fn list(client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let Answer { value: Nodes { revision, epoch, nodes }, json } = client.nodes().await?;
    if output.is_json() {
        return output.document(&json);
    }
    if nodes.is_empty() {
        output.lines("No proxy is connected.")?;
    } else {
        output.lines(table(COLUMNS, nodes.iter().flat_map(rows).collect()))?;
    }
    output.lines(format_args!("\nNewest revision: {revision} (epoch {epoch})"))
}

/// One row a worker; a proxy that has reported none has a row all the same.
fn rows(node: &Node) -> Vec<[String; 9]> {
    let row = |worker: [String; 4]| {
        let [slot, revision, behind, applied] = worker;
        let node =
            [&node.node_id, &node.cluster, &node.peer, &node.filter_version, &node.connected_at];
        let [id, cluster, peer, version, connected] = node.map(String::clone);
        [id, cluster, peer, version, connected, slot, revision, behind, applied]
    };
    if node.workers.is_empty() {
        return vec![row(["none yet", "-", "-", "-"].map(str::to_owned))];
    }
    let workers = node.workers.iter().map(|worker| {
        let Worker { slot, revision, applied_at, behind } = worker;
        row([slot.to_string(), revision.to_string(), behind.to_string(), applied_at.clone()])
    });
    workers.collect()
}
