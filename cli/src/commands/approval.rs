//! `kya approval …`, and what is said where a restoration waits.

use kya_core::ApprovalId;
use serde_json::Value;

use super::print_page;
use crate::acknowledgement::{self, Wording};
use crate::api::{Approval, ApprovalChange, Approvals, Why};
use crate::args::{ApprovalCommand, Page};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable};

const APPROVE: Wording = Wording {
    done: "Approved",
    effect: "",
    noun: "restoration",
    title: "Restoration",
    already: "already approved",
    risk: "may still deny what was restored",
};

pub(super) async fn run(
    command: ApprovalCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        ApprovalCommand::List { all, page } => list(client, output, all, &page).await,
        ApprovalCommand::Approve { id, maybe, wait } => {
            let answer = client.approve(id, &Why::from(&maybe)).await?;
            let Answer { value: ApprovalChange { approval, commit }, json } = answer;
            is_so(client, &approval, id, "approved")?;
            let what = printable(&approval.what());
            let effect = format!("Restored: {what}, as {} asked", printable(&approval.asked_by));
            let lines = acknowledgement::committed(&APPROVE, &id.to_string(), &effect, &commit);
            acknowledgement::report_lines(client, output, &APPROVE, lines, &commit, json, wait.wait)
                .await
        }
        ApprovalCommand::Reject { id, maybe } => {
            let Answer { value: approval, json } = client.reject(id, &Why::from(&maybe)).await?;
            is_so(client, &approval, id, "rejected")?;
            if output.is_json() {
                return output.document(&json);
            }
            let what = printable(&approval.what());
            let at = printable(&or_dash(approval.settled_at));
            output
                .lines(format!("Rejected: {id}\nStays stopped: {what}\nRejection logged at: {at}"))
        }
    }
}

/// It is said only when the server says so, and of this one.
fn is_so(client: &Client, approval: &Approval, id: ApprovalId, status: &str) -> Result<(), Error> {
    if approval.approval_id == id && approval.status == status {
        return Ok(());
    }
    let Approval { approval_id, status: is, .. } = approval;
    Err(client
        .unexpected(format!("asked for {id} to be {status}, it says that {approval_id} is {is}")))
}

/// Says that nothing is restored yet, and who can do it.
pub(super) fn pending(
    output: &mut Output<'_>,
    approval: &Approval,
    json: &Value,
) -> Result<(), Error> {
    if output.is_json() {
        return output.document(json);
    }
    let Approval { approval_id: id, asked_by, expires_at, .. } = approval;
    output.lines(format!(
        "Waits for a second operator: {id}\nTo be restored: {}, as {} asked\nUntil {} somebody else may run: kya approval approve {id}",
        printable(&approval.what()),
        printable(asked_by),
        printable(expires_at),
    ))
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    all: bool,
    page: &Page<ApprovalId>,
) -> Result<(), Error> {
    let [after, limit] = page.query();
    let query = [("all", all.then(|| "true".to_owned())), after, limit];
    let Answer { value: Approvals { approvals, next }, json } = client.approvals(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = approvals
        .into_iter()
        .map(|approval| {
            let restores = approval.what();
            let Approval { approval_id, status, asked_by, expires_at, .. } = approval;
            let by = or_dash(approval.settled_by);
            let (reason, incident) = (or_dash(approval.reason), or_dash(approval.incident_id));
            [approval_id.to_string(), status, restores, asked_by, expires_at, by, reason, incident]
        })
        .collect();
    let columns = [
        "APPROVAL ID",
        "STATUS",
        "RESTORES",
        "ASKED BY",
        "EXPIRES AT",
        "SETTLED BY",
        "REASON",
        "INCIDENT ID",
    ];
    print_page(output, columns, rows, "Nothing waits for a second operator.", next)
}
