//! `kya token …`

use std::time::Duration;

use kya_core::{AgentId, TokenId};

use super::{dry, print_page, tokens};
use crate::acknowledgement::{self, Wording};
use crate::api::{
    IssuedToken, NewToken, RevokeTokens, Stop, Token, TokenChange, TokenSelection, Tokens, Why,
};
use crate::args::{Page, Stopping, TokenCommand, TokenTargets};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const COLUMNS: [&str; 8] = [
    "TOKEN ID",
    "AGENT ID",
    "STATUS",
    "SERVICES",
    "ACTIONS",
    "ISSUED AT",
    "EXPIRES AT",
    "REVOKED AT",
];

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
        TokenCommand::Revoke { targets, stop: Stopping { why, dry, wait } } => {
            let (why, wait) = (Why::from(&why), wait.wait);
            let TokenTargets { token_id, agent, selector, service, action } = &targets;
            if let Some(id) = *token_id {
                return revoke(client, output, id, &Stop::new(why, dry.dry_run), wait).await;
            }
            let selection = TokenSelection {
                agent_id: *agent,
                selector: selector.as_deref(),
                service: service.as_deref(),
                action: action.as_deref(),
            };
            let revoke = RevokeTokens { selection, why, dry_run: dry.dry_run };
            tokens::revoke(client, output, &revoke, wait).await
        }
    }
}

async fn revoke(
    client: &Client,
    output: &mut Output<'_>,
    token_id: TokenId,
    stop: &Stop<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let place = Place::Token(token_id);
    if stop.dry_run {
        let answer = client.stop(place, "revoke", stop).await?;
        return dry::print(client, output, &format!("revoke {token_id}"), answer);
    }
    let answer: Answer<TokenChange> = client.stop(place, "revoke", stop).await?;
    let Answer { value, json } = answer;
    // The status may say that it has expired meanwhile.
    if value.token.token_id != token_id || value.token.revoked_at.is_none() {
        let Token { token_id: told, status, .. } = value.token;
        return Err(client
            .unexpected(format!("asked to revoke {token_id}, it says that {told} is {status}")));
    }
    let (id, commit) = (token_id.to_string(), &value.commit);
    acknowledgement::report(client, output, &REVOKE, &id, commit, json, wait).await
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
    let rows: Vec<_> = tokens.into_iter().map(row).collect();
    let tokens = (!rows.is_empty()).then(|| table(COLUMNS, rows));
    print_page(output, tokens, "No tokens.", next.map(|id| id.to_string()))
}

fn row(token: Token) -> [String; 8] {
    // No service and no action is called that.
    let only = |names: Vec<String>| match names.is_empty() {
        true => "*".to_owned(),
        false => names.join(","),
    };
    [
        token.token_id.to_string(),
        token.agent_id.to_string(),
        token.status,
        only(token.services),
        only(token.actions),
        token.issued_at,
        token.expires_at,
        or_dash(token.revoked_at),
    ]
}
