//! `kya node …`

use crate::api::{Disconnected, Node, Nodes, Worker};
use crate::args::NodeCommand;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, table};

const COLUMNS: [&str; 10] = [
    "NODE",
    "CLUSTER",
    "PEER",
    "FILTER",
    "STATE",
    "SINCE",
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
    let Answer { value: Nodes { revision, epoch, nodes, disconnected }, json } =
        client.nodes().await?;
    if output.is_json() {
        return output.document(&json);
    }
    if nodes.is_empty() {
        output.lines("No proxy is connected.")?;
    }
    let rows: Vec<_> =
        nodes.iter().flat_map(rows).chain(disconnected.into_iter().map(absent)).collect();
    if !rows.is_empty() {
        output.lines(table(COLUMNS, rows))?;
    }
    output.lines(format_args!("\nNewest revision: {revision} (epoch {epoch})"))
}

/// One row a worker; a proxy that has reported none has a row all the same.
fn rows(node: &Node) -> Vec<[String; 10]> {
    let row = |worker: [String; 4]| {
        let [slot, revision, behind, applied] = worker;
        let node =
            [&node.node_id, &node.cluster, &node.peer, &node.filter_version, &node.connected_at];
        let [id, cluster, peer, version, connected] = node.map(String::clone);
        let state = "connected".to_owned();
        [id, cluster, peer, version, state, connected, slot, revision, behind, applied]
    };
    if node.workers.is_empty() {
        return vec![row(["none yet", "-", "-", "-"].map(str::to_owned))];
    }
    let workers = node.workers.iter().map(|worker| {
        let Worker { slot, revision, applied_at, behind } = worker;
        row([
            slot.to_string(),
            revision.to_string(),
            behind.to_string(),
            or_dash(applied_at.as_ref()),
        ])
    });
    workers.collect()
}

/// The row of a proxy that is not connected. What it decides by is not known.
fn absent(Disconnected { node_id, since }: Disconnected) -> [String; 10] {
    let [cluster, peer, version, worker, revision, behind, applied] = [(); 7].map(|()| "-".into());
    let state = "disconnected".to_owned();
    [node_id, cluster, peer, version, state, since, worker, revision, behind, applied]
}
