//! `kya token …`

use std::time::Duration;

use kya_core::AgentId;

use super::{dry, print_page, tokens};
use crate::acknowledgement::{self, Wording};
use crate::api::{
    IssuedToken, NewToken, RevokeTokens, Stop, Token, TokenChange, TokenSelection, Tokens,
};
use crate::args::{DEFAULT_TTL, Page, TokenCommand, TokenTargets};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::{Output, or_dash, printable};
use crate::token_id::AnyTokenId;

/// The longest that a capability token is asked for.
const MAX_CAPABILITY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

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
        TokenCommand::Issue { capability, agent, services, actions, ttl } => {
            let ttl = ttl.unwrap_or(DEFAULT_TTL[usize::from(capability)]);
            if capability && ttl > MAX_CAPABILITY_TTL {
                return Err(Error::Usage(
                    "`--ttl` of a capability token is 24h at most: leave --capability out for an opaque one".to_owned(),
                ));
            }
            let ttl_seconds = ttl.as_secs();
            let token = NewToken { agent_id: agent, services, actions, ttl_seconds };
            let issued = client.issue(capability, &token).await?;
            print_issued(client, output, capability, issued)
        }
        TokenCommand::List { capability, agent, page } => {
            if page.after.is_some_and(|after| after.is_capability() != capability) {
                return Err(Error::Usage(
                    "`--after` takes `cap_…` with --capability, and `tok_…` without".to_owned(),
                ));
            }
            list(client, output, capability, agent, &page).await
        }
        TokenCommand::Revoke { targets, stop } => {
            let wait = stop.wait.wait;
            let TokenTargets { token_id, agent, selector, service, action } = &targets;
            if let Some(id) = *token_id {
                return revoke(client, output, id, &Stop::from(&stop), wait).await;
            }
            let selection = TokenSelection {
                agent_id: *agent,
                selector: selector.as_deref(),
                service: service.as_deref(),
                action: action.as_deref(),
            };
            let revoke =
                RevokeTokens { selection, why: (&stop.why).into(), dry_run: stop.dry.dry_run };
            tokens::revoke(client, output, &revoke, wait).await
        }
    }
}

async fn revoke(
    client: &Client,
    output: &mut Output<'_>,
    token_id: AnyTokenId,
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
fn print_issued(
    client: &Client,
    output: &mut Output<'_>,
    capability: bool,
    answer: Answer<IssuedToken>,
) -> Result<(), Error> {
    let told = answer.value.token_id;
    if told.is_capability() != capability {
        return Err(client.unexpected(format!("it issued {told}, which is of the other kind")));
    }
    if output.is_json() {
        output.document(&answer.json)?;
    } else {
        output.lines(printable(&answer.value.token))?;
    }
    let IssuedToken { token_id, agent_id, expires_at, .. } = answer.value;
    let kept = if capability { "it is not kept" } else { "only its hash is kept" };
    output.note(format_args!(
        "{token_id} of {agent_id}, expires {}. The token is shown this once: {kept}.",
        printable(&expires_at)
    ));
    Ok(())
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    capability: bool,
    agent: Option<AgentId>,
    page: &Page<AnyTokenId>,
) -> Result<(), Error> {
    let [after, limit] = page.query();
    let query = [("agent_id", agent.map(|id| id.to_string())), after, limit];
    let Answer { value: Tokens { tokens, next }, json } = client.tokens(capability, &query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = tokens.into_iter().map(row).collect();
    print_page(output, COLUMNS, rows, "No tokens.", next)
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
