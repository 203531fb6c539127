//! `kya audit proof`: what the newest checkpoint covers.

use kya_core::audit::merkle::{NodeHash, verify_consistency, verify_inclusion};
use kya_core::audit::{Canonical, SignedCheckpoint, VerifierKey};
use serde_json::{Value, json};

use super::keys::{refused, signer};
use super::show::signed;
use super::tail::readable;
use super::verdict::Trust;
use crate::api::RecordedLine;
use crate::args::{Pinned, ProofOf};
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// The newest checkpoint, whose signature was looked at.
struct Newest {
    note: String,
    signed: SignedCheckpoint,
    key: VerifierKey,
    trust: Trust,
}

pub(super) async fn run(
    asked: &ProofOf,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let note = client.audit_checkpoint().await?.value.note;
    let signed = signed(&note, client)?;
    let (key, trust) = signer(&signed, &asked.pinned, client).await?;
    let newest = Newest { note, signed, key, trust };
    let mut proofs = Vec::new();
    for kept in &asked.checkpoints {
        proofs.push(earlier(kept, &newest, &asked.pinned, client).await?);
    }
    if let Some(seq) = asked.seq {
        proofs.push(record(seq, &newest, client).await?);
    }
    if output.is_json() {
        let mut documents: Vec<_> = proofs.into_iter().map(|proof| proof.document).collect();
        return match documents.len() {
            1 => output.document(&documents.swap_remove(0)),
            _ => output.document(&json!({ "verified": true, "proofs": documents })),
        };
    }
    for proof in proofs {
        output.lines(proof.says)?;
    }
    output.note(trust.says());
    Ok(())
}

/// Something that was proved.
struct Proved {
    document: Value,
    says: String,
}

/// That the trail goes on from a checkpoint that was kept.
async fn earlier(
    kept: &SignedCheckpoint,
    newest: &Newest,
    pinned: &Pinned,
    client: &Client,
) -> Result<Proved, Error> {
    let Newest { note, signed, trust, .. } = newest;
    let (old, head) = (kept.unverified(), signed.unverified());
    // One that nobody who counts has signed is no evidence of anything.
    let (key, _) = signer(kept, pinned, client).await?;
    if old.size > head.size {
        return Err(refused(format!(
            "rollback: at {} there were {} records, and the newest checkpoint is of {}",
            old.time, old.size, head.size
        )));
    }
    let split = |why: &dyn std::fmt::Display| {
        refused(format!(
            "split_view: the trail of {} records does not begin with the {} that were signed at {}: {why}",
            head.size, old.size, old.time
        ))
    };
    let proof = match old.size == head.size {
        true => Vec::new(),
        false => client.consistency(old.size, head.size).await?.value.hashes,
    };
    verify_consistency(old.size, old.root, head.size, head.root, &proof)
        .map_err(|error| split(&error))?;
    if old.size == head.size && old.chain != head.chain {
        return Err(split(&"another last record"));
    }
    let document = json!({
        "verified": true, "keys_from": trust.name(), "size": old.size, "signed_at": old.time,
        "proof": proof, "checkpoint": note,
    });
    let says = format!(
        "Verified: the trail of {} records begins with the {} that {} signed at {}, by {} hashes.",
        head.size,
        old.size,
        key.id(),
        old.time,
        proof.len()
    );
    Ok(Proved { document, says })
}

/// That a record is in the trail of the newest checkpoint.
async fn record(seq: u64, newest: &Newest, client: &Client) -> Result<Proved, Error> {
    let Newest { note, signed, key, trust } = newest;
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
    let says = format!(
        "{}\nVerified: record {seq} is in the trail of {} records, by {} hashes up to the root that {} signed at {}.",
        readable(&record.record, false),
        head.size,
        proof.len(),
        key.id(),
        head.time
    );
    let RecordedLine { hash, record } = record;
    let document = json!({
        "verified": true, "keys_from": trust.name(), "seq": seq, "hash": hash, "record": record,
        "proof": proof, "checkpoint": note,
    });
    Ok(Proved { document, says })
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
