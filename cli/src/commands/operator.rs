//! `kya operator …` and `kya whoami`

use super::print_page;
use super::secrets::{self, Added, Revoked};
use crate::api::{AddedOperator, NewOperator, Operator, OperatorChange, Operators, WhoAmI, Why};
use crate::args::{OperatorCommand, Page};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, record};
use crate::values::PlainName;

const COLUMNS: [&str; 7] =
    ["OPERATOR", "ROLE", "STATUS", "CREATED AT", "CREATED BY", "EXPIRES AT", "REVOKED BY"];

pub(super) async fn run(
    command: OperatorCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        OperatorCommand::Add { name, role, expires_in, quiet } => {
            let ttl_seconds = expires_in.map(|time| time.as_secs());
            let new = NewOperator { name: &name, role: role.as_str(), ttl_seconds };
            let answer = client.add_operator(&new).await?;
            // A key of more than was asked for must not be taken for it.
            let Operator { name: told, role: given, .. } = &answer.value.operator;
            if *told != name || given != role.as_str() {
                return Err(client.unexpected(format!(
                    "asked to add {name} as {}, it says that {told} is {given}",
                    role.as_str()
                )));
            }
            print_added(output, &answer, quiet)
        }
        OperatorCommand::List { page } => list(client, output, &page).await,
        OperatorCommand::Revoke { name, why } => {
            let answer = client.revoke_operator(&name, &Why::from(&why)).await?;
            print_revoked(client, output, &name, &answer)
        }
    }
}

pub(super) async fn whoami(client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let Answer { value: WhoAmI { name, role, built_in, permissions }, json } =
        client.whoami().await?;
    if output.is_json() {
        return output.document(&json);
    }
    let name = if built_in { format!("{name} (built-in)") } else { name };
    output.lines(record([("Operator", name), ("Role", role), ("May", permissions.join(" "))]))
}

fn print_added(
    output: &mut Output<'_>,
    answer: &Answer<AddedOperator>,
    quiet: bool,
) -> Result<(), Error> {
    let AddedOperator { key, operator: Operator { name, role, expires_at, .. } } = &answer.value;
    let added = Added {
        secret: key,
        of: format!("{name}, {role}"),
        expires_at: expires_at.as_deref(),
        note: "The key is for KYA_TOKEN, and shown this once",
    };
    secrets::print_added(output, &answer.json, quiet, added)
}

fn print_revoked(
    client: &Client,
    output: &mut Output<'_>,
    name: &str,
    answer: &Answer<OperatorChange>,
) -> Result<(), Error> {
    let OperatorChange { operator, changed } = &answer.value;
    let revoked = Revoked {
        name: &operator.name,
        status: &operator.status,
        revoked_at: operator.revoked_at.as_deref(),
        changed: *changed,
        effect: "Its key is refused from now on",
    };
    secrets::print_revoked(client, output, name, &answer.json, revoked)
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    page: &Page<PlainName>,
) -> Result<(), Error> {
    let Answer { value: Operators { operators, next }, json } =
        client.operators(&page.query()).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows = operators.into_iter().map(row).collect();
    let none = "No operators but the built-in `admin`: `kya operator add` adds one.";
    print_page(output, COLUMNS, rows, none, next)
}

fn row(operator: Operator) -> [String; 7] {
    let Operator { name, role, status, created_at, created_by, expires_at, revoked_by, .. } =
        operator;
    [name, role, status, created_at, created_by, or_dash(expires_at), or_dash(revoked_by)]
}
