//! `kya token …`

use kya_core::{AgentId, TokenId};

use super::{dry, print_page};
use crate::acknowledgement::{self, Wording};
use crate::api::{IssuedToken, NewToken, Stop, Token, TokenChange, Tokens, Why};
use crate::args::{Page, TokenCommand};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const REVOKE: Wording = Wording {
    done: "Revoked",
    effect: "All verify calls with this token will now return DENY",
    noun: "revocation",
    title: "Revocation",
    already: "already revoked",
    risk: "may still accept the token",
};

pub(super) async fn run(
    command: TokenCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        TokenCommand::Issue { agent, services, actions, ttl } => {
            let ttl_seconds = ttl.as_secs();
            let token = NewToken { agent_id: agent, services, actions, ttl_seconds };
            print_issued(output, client.issue(&token).await?)
        }
        TokenCommand::List { agent, page } => list(client, output, agent, &page).await,
        TokenCommand::Revoke { token_id, why, dry, wait } => {
            let (place, stop) = (Place::Token(token_id), Stop::new(Why::from(&why), dry.dry_run));
            if stop.dry_run {
                let answer = client.stop(place, "revoke", &stop).await?;
                return dry::print(client, output, &format!("revoke {token_id}"), answer);
            }
            let answer: Answer<TokenChange> = client.stop(place, "revoke", &stop).await?;
            let Answer { value, json } = answer;
            // The status may say that it has expired meanwhile.
            if value.token.token_id != token_id || value.token.revoked_at.is_none() {
                let Token { token_id: told, status, .. } = value.token;
                return Err(client.unexpected(format!(
                    "asked to revoke {token_id}, it says that {told} is {status}"
                )));
            }
            let (id, commit) = (token_id.to_string(), &value.commit);
            acknowledgement::report(client, output, &REVOKE, &id, commit, json, wait.wait).await
        }
    }
}

/// The token alone goes to stdout, so that a shell can take it.
fn print_issued(output: &mut Output<'_>, answer: Answer<IssuedToken>) -> Result<(), Error> {
    if output.is_json() {
        output.document(&answer.json)?;
    } else {
        output.lines(printable(&answer.value.token))?;
    }
    let IssuedToken { token_id, agent_id, expires_at, .. } = answer.value;
    output.note(format_args!(
        "{token_id} of {agent_id}, expires {}. The token is shown this once: only its hash is kept.",
        printable(&expires_at)
    ));
    Ok(())
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    agent: Option<AgentId>,
    page: &Page<TokenId>,
) -> Result<(), Error> {
    let query = [
        ("agent_id", agent.map(|id| id.to_string())),
        ("after", page.after.map(|id| id.to_string())),
        ("limit", Some(page.limit.to_string())),
    ];
    let Answer { value: Tokens { tokens, next }, json } = client.tokens(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let Token { token_id, agent_id, status, issued_at, expires_at, revoked_at } = token;
            let (token_id, agent_id) = (token_id.to_string(), agent_id.to_string());
            [token_id, agent_id, status, issued_at, expires_at, or_dash(revoked_at)]
        })
        .collect();
    let columns = ["TOKEN ID", "AGENT ID", "STATUS", "ISSUED AT", "EXPIRES AT", "REVOKED AT"];
    let tokens = (!rows.is_empty()).then(|| table(columns, rows));
    print_page(output, tokens, "No tokens.", next.map(|id| id.to_string()))
}
