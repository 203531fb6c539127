//! `kya kill receipt` and `kya kill verify`: what has acknowledged a kill, signed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kya_core::audit::{
    BadReceipt, MAX_RECEIPT_BYTES, Receipt, ReceiptProxy, SignedReceipt, VerifierKey,
};
use serde_json::json;

use super::MAX_LISTED;
use crate::args::{KillReceipt, VerifyReceipt};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};

pub(super) async fn get(
    asked: KillReceipt,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let KillReceipt { id, wait, pinned } = asked;
    let Answer { value: _, json } = client.kill_receipt(id, wait).await?;
    let shown = json.to_string();
    let receipt = match &pinned.key {
        Some(key) => verified(shown.as_bytes(), key, "the server's answer")?,
        None => {
            let receipt = serde_json::from_value::<Receipt>(json["receipt"].clone());
            receipt.map_err(|error| client.unexpected(error.to_string()))?
        }
    };
    if receipt.kill_id != id.to_string() {
        return Err(client.unexpected(format!("asked about {id}, it tells of {}", receipt.kill_id)));
    }
    if output.is_json() {
        output.document(&json)?;
    } else {
        say(&receipt, output)?;
    }
    if pinned.key.is_none() {
        output.aside("Its signature was not looked at: pin a key with --key or KYA_AUDIT_KEY.");
    }
    Ok(())
}

/// No server is asked.
pub(super) fn verify(asked: &VerifyReceipt, output: &mut Output<'_>) -> Result<(), Error> {
    let shown = read(&asked.file)?;
    let receipt = verified(&shown, &asked.key, &asked.file.display().to_string())?;
    if output.is_json() {
        return output.document(&json!({ "verified": true, "receipt": receipt }));
    }
    say(&receipt, output)?;
    output.lines(format!("\nSigned by {}.", printable(&asked.key.to_string())))
}

fn verified(shown: &[u8], key: &VerifierKey, what: &str) -> Result<Receipt, Error> {
    SignedReceipt::verify(shown, key).map_err(|error| Error::NotVerified {
        what: format!("{what}: {error}"),
        problems: match error {
            BadReceipt::Key(_) => vec![
                "A receipt is signed by the key that signs checkpoints at that time: after a change of keys, `kya audit keys` names it.".to_owned(),
            ],
            _ => Vec::new(),
        },
        report: json!({ "problem": error.to_string() }),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::Usage(format!("{}: cannot be read: {error}", path.display()));
    let file: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(unreadable)?),
    };
    let (mut shown, most) = (Vec::new(), MAX_RECEIPT_BYTES as u64);
    file.take(most + 1).read_to_end(&mut shown).map_err(unreadable)?;
    Ok(shown)
}

fn say(receipt: &Receipt, output: &mut Output<'_>) -> Result<(), Error> {
    let Receipt { kill_id, act, subject, actor, role, reason, incident_id, .. } = receipt.clone();
    let by = role.map_or(actor.clone(), |role| format!("{actor} ({role})"));
    let flights = receipt.in_flight;
    output.lines(record([
        ("Kill", kill_id),
        ("Act", act),
        ("Subject", subject),
        ("At", receipt.committed_at.to_string()),
        ("Revision", receipt.revision.to_string()),
        ("By", by),
        ("Reason", or_dash(reason)),
        ("Incident id", or_dash(incident_id)),
        ("Trail", receipt.origin.clone()),
        ("Receipt of", receipt.issued_at.to_string()),
        ("Complete", if receipt.complete { "yes" } else { "no" }.to_owned()),
        ("Acknowledged", format!("{} of {} workers", receipt.acknowledged, receipt.workers_there)),
        ("Last after", milliseconds(receipt.last_acknowledged_after_us)),
        (
            "In flight",
            format!(
                "{}: {} committed, {} rolled back, {} escalated, {} go on",
                flights.requests,
                flights.committed,
                flights.rolled_back,
                flights.escalated,
                flights.open,
            ),
        ),
    ]))?;
    let rows: Vec<_> = receipt.proxies.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        let columns = ["PROXY", "WORKER", "INSTANCE", "STATE", "ACKNOWLEDGED AFTER", "RECORD"];
        output.lines(format!("\n{}", table(columns, rows)))?;
    }
    for name in receipt.not_connected.iter().take(MAX_LISTED) {
        output.lines(format!("Not connected: {}", printable(name)))?;
    }
    if receipt.not_connected.len() > MAX_LISTED || receipt.more_not_connected {
        output.lines("Not connected: and others (`-o json` names more)")?;
    }
    Ok(())
}

fn rows(proxy: &ReceiptProxy) -> Vec<[String; 6]> {
    let row = |worker: &kya_core::audit::ReceiptWorker| {
        let after = milliseconds(worker.acknowledged_after_us);
        let (slot, instance) = (worker.worker.to_string(), worker.instance.clone());
        [proxy.proxy.clone(), slot, instance, worker.state.clone(), after, or_dash(worker.record)]
    };
    proxy.workers.iter().map(row).collect()
}

fn milliseconds(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".to_owned(), |it| format!("{}.{} ms", it / 1000, it % 1000 / 100))
}
