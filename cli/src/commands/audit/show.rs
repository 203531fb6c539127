//! `kya audit show`, `checkpoint`, `keys` and `proof`

use kya_core::audit::merkle::{NodeHash, verify_inclusion};
use kya_core::audit::{Canonical, SignedCheckpoint, VerifierKey};
use serde_json::{Value, json};

use super::export::by;
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
    let signed = signed(&value.checkpoint, client)?;
    let (options, trust) = by(pinned, client).await?;
    let key = signer(&signed, &options.keys)?;
    if output.is_json() {
        return output.document(&json);
    }
    // As it is: its line breaks are signed, too.
    output.part(value.checkpoint.as_bytes())?;
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
        output.lines(key.key)?;
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
    let (options, trust) = by(pinned, client).await?;
    let note = client.audit_checkpoint().await?.value.checkpoint;
    let signed = signed(&note, client)?;
    let key = signer(&signed, &options.keys)?;
    let head = signed.unverified();
    if seq > head.size {
        return Err(refused(format!(
            "record {seq} is not under the newest checkpoint, which is of {} records; ask again in a second",
            head.size
        )));
    }
    let record = client.audit_record(seq).await?.value;
    let leaf = leaf(seq, &record)?;
    let proof = client.inclusion(seq, head.size).await?.value.proof;
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

/// The key that counts and signed it.
fn signer<'a>(
    signed: &SignedCheckpoint,
    keys: &'a [VerifierKey],
) -> Result<&'a VerifierKey, Error> {
    keys.iter().find(|key| signed.verified_by(key).is_some()).ok_or_else(|| {
        let wanted: Vec<_> = keys.iter().map(|key| format!("{}+{}", key.name(), key.id())).collect();
        let signers = signed.note().signers().map(|(name, id)| format!("{name}+{id}"));
        refused(format!(
            "the checkpoint is signed by {}, and not by {}; where the key was replaced, `kya audit export --verify-chain` follows from the old one to the new",
            signers.collect::<Vec<_>>().join(", "),
            wanted.join(" or ")
        ))
    })
}

fn refused(what: String) -> Error {
    Error::NotVerified { what, problems: Vec::new(), report: json!({ "verified": false }) }
}
