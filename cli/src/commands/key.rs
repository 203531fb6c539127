//! `kya key …`

use std::fmt::Display;
use std::time::Duration;

use kya_core::PublicKey;
use serde_json::{Value, json};

use crate::acknowledgement;
use crate::api::{Acknowledgements, CompactKeys, Key, KeyStep, Keys, KeysChange, NextKeyStep, Why};
use crate::args::{self, KeyCommand};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const COLUMNS: [&str; 3] = ["KEY ID", "ROLE", "PUBLIC KEY"];
const STEP_COLUMNS: [&str; 6] = ["STEP", "KEY ID", "REVISION", "AT", "BY", "REASON"];
/// More steps than there are in any replacement that was interrupted.
const MAX_STEPS: usize = 3;

pub(super) async fn run(
    command: KeyCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        KeyCommand::List => print(output, client.keys().await?),
        KeyCommand::Announce { why } => {
            let change = client.announce_key(&Why::from(&why)).await?;
            print_change(output, change, "announced")
        }
        KeyCommand::Activate { why, force } => {
            let step = NextKeyStep { why: Why::from(&why), force };
            print_change(output, client.key_step("activate", &step).await?, "activated")
        }
        KeyCommand::Retire { why, force } => {
            let step = NextKeyStep { why: Why::from(&why), force };
            print_change(output, client.key_step("retire", &step).await?, "retired")
        }
        KeyCommand::Compact { pinned, why } => compact(client, output, pinned, &why).await,
        KeyCommand::Rotate { why, wait, force } => {
            Rotation { client, why: &why, wait: wait.wait, force }.run(output).await
        }
    }
}

fn print(output: &mut Output<'_>, answer: Answer<Keys>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let Keys { keys, phase, chain, steps } = answer.value;
    let rows = keys
        .into_iter()
        .map(|Key { key_id, public_key, role }| [key_id, role, public_key.to_string()]);
    output.lines(table(COLUMNS, rows.collect()))?;
    if !steps.is_empty() {
        let rows = steps.into_iter().map(|step| {
            let KeyStep { action, key_id, revision, committed_at, actor, reason } = step;
            [action, key_id, revision.to_string(), committed_at, actor, or_dash(reason)]
        });
        output.lines(format_args!("\n{}", table(STEP_COLUMNS, rows.collect())))?;
    }
    output.note(next_step(&phase));
    if chain.length > 0 {
        output.note(format_args!(
            "{} of at most {} updates lead a proxy from the oldest key to the active one.",
            chain.length, chain.most
        ));
    }
    Ok(())
}

/// What there is to do next.
fn next_step(phase: &str) -> &'static str {
    match phase {
        "announced" => "Two keys count, and the old one signs: `kya key activate` is next.",
        "activated" => "Two keys count, and the new one signs: `kya key retire` is next.",
        _ => "One key counts: it is the one to pin.",
    }
}

fn print_change(
    output: &mut Output<'_>,
    answer: Answer<KeysChange>,
    done: &str,
) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&answer.json);
    }
    let KeysChange { keys, changed, revision } = answer.value;
    output.lines(said(done, &keys, changed, revision))?;
    output.note(next_step(&keys.phase));
    Ok(())
}

/// One line that says what a step has come to.
fn said(done: &str, keys: &Keys, changed: bool, revision: u64) -> String {
    let role = if done == "announced" { "next" } else { "active" };
    let key = keys.keys.iter().find(|key| key.role == role);
    let key = key.map_or_else(String::new, |key| {
        format!(": {} {} {}", printable(&key.role), printable(&key.key_id), key.public_key)
    });
    let before = if changed { "" } else { " before; nothing changed" };
    let title = match done {
        "announced" => "Announced",
        "activated" => "Activated",
        "retired" => "Retired the old key",
        _ => "Compacted",
    };
    format!("{title}{before}, revision {revision}{key}")
}

async fn compact(
    client: &Client,
    output: &mut Output<'_>,
    pinned: PublicKey,
    why: &args::Why,
) -> Result<(), Error> {
    let body = CompactKeys { pinned, why: Why::from(why) };
    print_change(output, client.compact_keys(&body).await?, "compacted")
}

/// A whole replacement, from wherever it stands.
struct Rotation<'a> {
    client: &'a Client,
    why: &'a args::Why,
    wait: Duration,
    force: bool,
}

impl Rotation<'_> {
    async fn run(&self, output: &mut Output<'_>) -> Result<(), Error> {
        let Answer { value: mut keys, mut json } = self.client.keys().await?;
        if let (true, Some(last)) = (keys.phase != "steady", keys.steps.last()) {
            progress(
                output,
                format_args!("Going on with the replacement that was {}.", printable(&keys.phase)),
            );
            self.acknowledged(output, last.revision).await?;
        }
        let mut taken: Vec<Value> = Vec::new();
        for _ in 0..MAX_STEPS {
            let (answer, done) = match &*keys.phase {
                "announced" => (self.step("activate").await?, "activated"),
                "activated" => (self.step("retire").await?, "retired"),
                _ => (self.client.announce_key(&Why::from(self.why)).await?, "announced"),
            };
            let KeysChange { keys: after, changed, revision } = answer.value;
            progress(output, said(done, &after, changed, revision));
            (keys, json) = (after, answer.json.clone());
            taken.push(answer.json);
            self.acknowledged(output, revision).await?;
            if keys.phase == "steady" {
                break;
            }
        }
        if output.is_json() {
            return output.document(&json!({ "keys": json, "steps": taken }));
        }
        let active = keys.keys.iter().find(|key| key.role == "active");
        let active = active.ok_or_else(|| self.client.unexpected("no key is active".to_owned()))?;
        output.lines(active.public_key)?;
        output.note(
            "This is the key that signs, and the only one that counts: pin it in every configuration, in place of the old one.",
        );
        Ok(())
    }

    async fn step(&self, action: &str) -> Result<Answer<KeysChange>, Error> {
        let step = NextKeyStep { why: Why::from(self.why), force: self.force };
        self.client.key_step(action, &step).await
    }

    /// Waits until every worker of every connected proxy has got the step.
    async fn acknowledged(&self, output: &mut Output<'_>, revision: u64) -> Result<(), Error> {
        let acks = self.client.acknowledgements(revision, self.wait).await?.value;
        let Acknowledgements { proxies, workers, workers_acknowledged, complete, .. } = acks;
        if proxies == 0 {
            progress(output, "  no proxy is connected; those that connect are told first");
        } else {
            progress(
                output,
                format_args!(
                    "  acknowledged by {workers_acknowledged} of {workers} workers of {proxies} proxies"
                ),
            );
        }
        for line in acknowledgement::disconnected(&acks) {
            progress(output, format_args!("  {line}"));
        }
        if complete || proxies == 0 || self.force {
            return Ok(());
        }
        Err(Error::NotAcknowledged { revision, wait: self.wait })
    }
}

/// Tells people how far it is: a program is told at the end.
fn progress(output: &mut Output<'_>, what: impl Display) {
    if !output.is_json() {
        output.note(what);
    }
}
