//! `kya token revoke --agent …|--selector …`

use std::time::Duration;

use super::dry::{self, counted};
use crate::acknowledgement::{self, Wording};
use crate::api::{Commit, RevokeTokens, TokenSelection, TokensChange};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

const REVOKE: Wording = Wording {
    done: "Revoked",
    effect: "All verify calls with these tokens will now return DENY",
    noun: "revocation",
    title: "Revocation",
    already: "already revoked",
    risk: "may still accept the tokens",
};

/// Revokes all tokens that are selected, and prints what became of them.
pub(super) async fn revoke(
    client: &Client,
    output: &mut Output<'_>,
    revoke: &RevokeTokens<'_>,
    wait: Duration,
) -> Result<(), Error> {
    let which = which(&revoke.selection);
    if revoke.dry_run {
        let answer = client.revoke_tokens(revoke).await?;
        return dry::print(client, output, &format!("revoke every token{which}"), answer);
    }
    let Answer { value: change, json } = client.revoke_tokens::<TokensChange>(revoke).await?;
    if change.selection() != revoke.selection {
        let told = self::which(&change.selection());
        return Err(client.unexpected(format!(
            "asked to revoke the tokens{which}, it says that it was those{told}"
        )));
    }
    let TokensChange { changed, tokens, tokens_not_before, .. } = change;
    let (Some(revision), Some(committed_at)) = (change.revision, change.committed_at) else {
        let said = format!("There is no token to revoke{which}: nothing was changed");
        return acknowledgement::nothing_changed(output, &json, &printable(&said));
    };
    let what = match (tokens, tokens_not_before) {
        (Some(count), _) => format!("{}{which}", counted(count, "token")),
        (None, Some(until)) => format!("every token{which} that was issued up to {until}"),
        (None, None) => format!("every token{which}"),
    };
    let commit = Commit { changed, revision, committed_at, kill_id: change.kill_id };
    let lines = acknowledgement::committed(&REVOKE, &printable(&what), REVOKE.effect, &commit);
    acknowledgement::report_lines(client, output, &REVOKE, lines, &commit, json, wait).await
}

/// ` of agt_… for the service shop`: each part with a space before it.
fn which(selection: &TokenSelection<'_>) -> String {
    let TokenSelection { agent_id, selector, service, action } = selection;
    [
        agent_id.map(|id| format!(" of {id}")),
        selector.map(|labels| format!(" of agents matching {labels}")),
        service.map(|name| format!(" for the service {name}")),
        action.map(|name| format!(" for the action {name}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
