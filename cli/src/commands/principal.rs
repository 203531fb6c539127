//! `kya principal …`

use std::time::Duration;

use super::dry::{self, reached};
use super::print_page;
use crate::acknowledgement::{self, Wording};
use crate::api::{Principal, PrincipalChange, Principals, Stop, Why};
use crate::args::{Page, PrincipalCommand, PrincipalStatus};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::{Output, or_dash, record};

const OFFBOARD: Change = Change {
    action: "offboard",
    status: "revoked",
    what_becomes: "will now return DENY, for ever",
    wording: Wording {
        done: "Offboarded",
        effect: "All verify calls on behalf of this principal will now return DENY, for ever",
        noun: "offboarding",
        title: "Offboarding",
        already: "already offboarded",
        risk: "may still allow agents of this principal",
    },
};

const SUSPEND: Change = Change {
    action: "suspend",
    status: "suspended",
    what_becomes: "will now return DENY, until the principal is restored",
    wording: Wording {
        done: "Suspended",
        effect: "All verify calls on behalf of this principal will now return DENY",
        noun: "suspension",
        title: "Suspension",
        already: "already suspended",
        risk: "may still allow agents of this principal",
    },
};

const RESTORE: Change = Change {
    action: "restore",
    status: "active",
    what_becomes: "will now be decided by what else was decided about them",
    wording: Wording {
        done: "Restored",
        effect: "Verify calls on behalf of this principal will now return ALLOW",
        noun: "restoration",
        title: "Restoration",
        already: "already active",
        risk: "may still deny agents of this principal",
    },
};

/// A change of a principal's status.
struct Change {
    /// Last segment of the path.
    action: &'static str,
    /// The status that it leaves.
    status: &'static str,
    /// What the verify calls of those whom it reaches will be.
    what_becomes: &'static str,
    wording: Wording,
}

pub(super) async fn run(
    command: PrincipalCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        PrincipalCommand::Add { name } => print(output, client.add_principal(&name).await?),
        PrincipalCommand::List { status, page } => list(client, output, status, &page).await,
        PrincipalCommand::Show { principal } => print(output, client.principal(&principal).await?),
        PrincipalCommand::Offboard { principal, stop } => {
            change(client, output, &OFFBOARD, &principal, &(&stop).into(), stop.wait.wait).await
        }
        PrincipalCommand::Suspend { principal, stop } => {
            change(client, output, &SUSPEND, &principal, &(&stop).into(), stop.wait.wait).await
        }
        PrincipalCommand::Restore { principal, maybe, wait } => {
            change(client, output, &RESTORE, &principal, &Why::from(&maybe).into(), wait.wait).await
        }
    }
}

async fn change(
    client: &Client,
    output: &mut Output<'_>,
    change: &Change,
    key: &str,
    stop: &Stop<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let place = Place::Principal(key);
    if stop.dry_run {
        let answer = client.stop(place, change.action, stop).await?;
        return dry::print(client, output, &format!("{} {key}", change.action), answer);
    }
    let answer: Answer<PrincipalChange> = client.stop(place, change.action, stop).await?;
    let Answer { value: PrincipalChange { principal, commit, reach }, json } = answer;
    // It is said only when the server says so, and of this principal.
    let named = principal.name == key || principal.principal_id.to_string() == key;
    if !named || principal.status != change.status {
        let Principal { name, status, .. } = principal;
        return Err(client.unexpected(format!(
            "asked to {} {key}, it says that {name} is {status}",
            change.action
        )));
    }
    let wording = &change.wording;
    let effect = reach.map_or_else(
        || wording.effect.to_owned(),
        |reach| format!("All verify calls of {} {}", reached(reach), change.what_becomes),
    );
    let lines = acknowledgement::committed(wording, &principal.name, &effect, &commit);
    acknowledgement::report_lines(client, output, wording, lines, &commit, json, wait).await
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    status: Option<PrincipalStatus>,
    page: &Page<kya_core::PrincipalId>,
) -> Result<(), Error> {
    let [after, limit] = page.query();
    let query = [("status", status.map(|status| status.as_str().to_owned())), after, limit];
    let Answer { value: Principals { principals, next }, json } = client.principals(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = principals
        .into_iter()
        .map(|principal| {
            let Principal { principal_id, name, status, created_at, revoked_at, .. } = principal;
            [principal_id.to_string(), name, status, created_at, or_dash(revoked_at)]
        })
        .collect();
    let columns = ["PRINCIPAL ID", "NAME", "STATUS", "CREATED AT", "REVOKED AT"];
    print_page(output, columns, rows, "No principals.", next)
}

fn print(output: &mut Output<'_>, answer: Answer<Principal>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let principal = answer.value;
    output.lines(record([
        ("Principal id", principal.principal_id.to_string()),
        ("Name", principal.name),
        ("Status", principal.status),
        ("Created at", principal.created_at),
        ("Revoked at", or_dash(principal.revoked_at)),
        ("Status changed at", or_dash(principal.status_changed_at)),
        ("Status reason", or_dash(principal.status_reason)),
        ("Incident id", or_dash(principal.incident_id)),
        ("Revision", or_dash(principal.revision)),
    ]))
}
