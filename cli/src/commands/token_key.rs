//! `kya token-key …`

use std::time::Duration;

use kya_core::PublicKey;

use crate::acknowledgement::{self, Wording};
use crate::api::{Issuer, IssuerChange, TokenKey, WhichTokenKey, Why};
use crate::args::TokenKeyCommand;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const COLUMNS: [&str; 7] =
    ["KEY ID", "STATUS", "KID", "PUBLISHED AT", "ACTIVATED AT", "RETIRED AT", "PUBLIC KEY"];

const ACTIVATE: Wording = Wording {
    done: "Activated",
    effect: "It signs capability tokens from now on; those of the other keys count still",
    noun: "activation",
    title: "Activation",
    already: "it signed before",
    risk: "may not know the key yet, and deny what it signs",
};

const RETIRE: Wording = Wording {
    done: "Retired",
    effect: "All verify calls with a capability token that it has signed will now return DENY",
    noun: "retirement",
    title: "Retirement",
    already: "already retired",
    risk: "may still accept the tokens that it has signed",
};

/// What a worker that has not heard of a new key does.
const ANNOUNCED: Wording = Wording {
    done: "Announced",
    effect: "Capability tokens that it signs count; it does not sign yet",
    noun: "announcement",
    title: "Announcement",
    already: "it was before",
    risk: "does not know the key, and denies what it signs",
};

pub(super) async fn run(
    command: TokenKeyCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        TokenKeyCommand::List => print(output, client.token_keys().await?),
        TokenKeyCommand::Announce { wait } => {
            let answer = client.announce_token_key().await?;
            announced(client, output, answer, wait.wait).await
        }
        TokenKeyCommand::Activate { key, wait } => {
            let which = WhichTokenKey { public_key: key, why: None };
            let answer = client.activate_token_key(&which).await?;
            changed(client, output, (&ACTIVATE, "active"), key, answer, wait.wait).await
        }
        TokenKeyCommand::Retire { key, why, wait } => {
            let which = WhichTokenKey { public_key: key, why: Some(Why::from(&why)) };
            let answer = client.retire_token_key(&which).await?;
            changed(client, output, (&RETIRE, "retired"), key, answer, wait.wait).await
        }
    }
}

fn print(output: &mut Output<'_>, answer: Answer<Issuer>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let Issuer { issuer, max_lifetime_seconds, keys } = answer.value;
    let rows: Vec<_> = keys.into_iter().map(row).collect();
    match rows.is_empty() {
        true => output.lines("No keys.")?,
        false => output.lines(table(COLUMNS, rows))?,
    }
    output.note(match issuer {
        Some(name) => format!(
            "The issuer is {}; its tokens live for {} at most.",
            printable(&name),
            humantime::format_duration(Duration::from_secs(max_lifetime_seconds))
        ),
        None => "No capability tokens are issued: start the control plane with --issuer and its public address.".to_owned(),
    });
    Ok(())
}

fn row(key: TokenKey) -> [String; 7] {
    let TokenKey { public_key, kid, status, published_at, activated_at, retired_at } = key;
    [
        public_key.id().to_string(),
        status,
        kid,
        published_at,
        or_dash(activated_at),
        or_dash(retired_at),
        public_key.to_string(),
    ]
}

/// The new key alone goes to stdout, so that a shell can take it.
async fn announced(
    client: &Client,
    output: &mut Output<'_>,
    answer: Answer<IssuerChange>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value: IssuerChange { issuer, commit }, json } = answer;
    let Some(key) = issuer.keys.first().filter(|key| key.status != "retired") else {
        return Err(client.unexpected("it names no key that was announced".to_owned()));
    };
    let (key, id) = (key.public_key, key.public_key.id());
    if output.is_json() {
        let lines = String::new();
        return acknowledgement::report_lines(
            client, output, &ANNOUNCED, lines, &commit, json, wait,
        )
        .await;
    }
    output.lines(key)?;
    output.note(format_args!(
        "{}, {}. The private half is in token-{id}.key in the data directory of the control plane that answered.",
        ANNOUNCED.done,
        ANNOUNCED.effect
    ));
    for line in acknowledgement::told(client, &ANNOUNCED, &commit, wait).await? {
        output.note(line);
    }
    Ok(())
}

/// Reports a step, which is said only when the server says that the key is `status`.
async fn changed(
    client: &Client,
    output: &mut Output<'_>,
    (wording, status): (&Wording, &str),
    key: PublicKey,
    answer: Answer<IssuerChange>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value: IssuerChange { issuer, commit }, json } = answer;
    let found = issuer.keys.iter().find(|it| it.public_key == key);
    match found.map(|it| &*it.status) {
        Some(told) if told == status => {
            let id = key.to_string();
            acknowledgement::report(client, output, wording, &id, &commit, json, wait).await
        }
        told => {
            let told = told.unwrap_or("unknown");
            Err(client
                .unexpected(format!("asked that {key} be {status}, it says that it is {told}")))
        }
    }
}
