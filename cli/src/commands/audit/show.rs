//! `kya audit show`, `checkpoint`, `keys` and `proof`

use kya_core::audit::merkle::{NodeHash, verify_inclusion};
use kya_core::audit::{Canonical, SignedCheckpoint};
use serde_json::{Value, json};

use super::keys::{refused, signer};
use super::tail::readable;
use crate::api::{AuditKeys, RecordedLine};
use crate::args::Pinned;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

/// One record: as a line, and all that it holds.
pub(super) async fn record(
    seq: u64,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let Answer { value, json } = client.audit_record(seq).await?;
    if output.is_json() {
        return output.document(&json);
    }
    output.lines(readable(&value.record, false))?;
    output.lines(format_args!("hash  {}", value.hash))?;
    for line in format!("{:#}", value.record).lines() {
        output.lines(printable(line))?;
    }
    Ok(())
}

/// The newest checkpoint, whose signature is looked at.
pub(super) async fn checkpoint(
    pinned: &Pinned,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let Answer { value, json } = client.audit_checkpoint().await?;
    let signed = signed(&value.note, client)?;
    let (key, trust) = signer(&signed, pinned, client).await?;
    if output.is_json() {
        return output.document(&json);
    }
    // As it is: its line breaks are signed, too.
    output.foreign(value.note.as_bytes())?;
    let it = signed.unverified();
    output.note(format_args!("{} records, signed at {} by {}", it.size, it.time, key.id()));
    output.note(trust.says());
    Ok(())
}

pub(super) async fn keys(client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let Answer { value: AuditKeys { keys }, json } = client.audit_keys().await?;
    if output.is_json() {
        return output.document(&json);
    }
    if keys.is_empty() {
        return output.lines("No keys.");
    }
    for key in keys {
        output.lines(printable(&key.verifier_key.to_string()))?;
    }
    Ok(())
}

/// That a record is in the trail of the newest checkpoint.
pub(super) async fn proof(
    seq: u64,
    pinned: &Pinned,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let note = client.audit_checkpoint().await?.value.note;
    let signed = signed(&note, client)?;
    let (key, trust) = signer(&signed, pinned, client).await?;
    let head = signed.unverified();
    if seq > head.size {
        return Err(refused(format!(
            "record {seq} is not under the newest checkpoint, which is of {} records; ask again in a second",
            head.size
        )));
    }
    let record = client.audit_record(seq).await?.value;
    let leaf = leaf(seq, &record)?;
    let proof = client.inclusion(seq, head.size).await?.value.hashes;
    verify_inclusion(leaf, seq - 1, head.size, &proof, head.root).map_err(|error| {
        refused(format!("record {seq} is not under the root that the checkpoint signs: {error}"))
    })?;
    if output.is_json() {
        let RecordedLine { hash, record } = record;
        return output.document(&json!({
            "verified": true, "keys_from": trust.name(), "seq": seq, "hash": hash,
            "record": record, "proof": proof, "checkpoint": note,
        }));
    }
    output.lines(readable(&record.record, false))?;
    output.lines(format_args!(
        "Verified: record {seq} is in the trail of {} records, by {} hashes up to the root that {} signed at {}.",
        head.size,
        proof.len(),
        key.id(),
        head.time
    ))?;
    output.note(trust.says());
    Ok(())
}

/// The leaf of a record, by its own canonical form.
fn leaf(seq: u64, record: &RecordedLine) -> Result<NodeHash, Error> {
    let canonical = Canonical::of(&record.record);
    let canonical = canonical.map_err(|error| refused(format!("record {seq}: {error}")))?;
    match record.record.get("seq").and_then(Value::as_u64) {
        Some(said) if said == seq => Ok(NodeHash::leaf(canonical.as_bytes())),
        _ => Err(refused(format!("another record was given in the place of record {seq}"))),
    }
}

fn signed(note: &str, client: &Client) -> Result<SignedCheckpoint, Error> {
    SignedCheckpoint::parse(note).map_err(|error| client.unexpected(error.to_string()))
}
