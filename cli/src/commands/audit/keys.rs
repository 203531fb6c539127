//! By which keys the trail of a server is verified, and whose word they are.

use kya_core::audit::verify::Options;
use kya_core::audit::{Entry, KeyStep, Record, SignedCheckpoint, VerifierKey};
use serde_json::json;

use super::verdict::Trust;
use crate::args::{Pinned, Proving};
use crate::client::Client;
use crate::error::Error;

/// The key that is pinned; with none, those that the server names.
async fn by(pinned: &Pinned, client: &Client) -> Result<(Vec<VerifierKey>, Trust), Error> {
    match &pinned.key {
        Some(key) => Ok((vec![key.clone()], Trust::Pinned)),
        None => {
            let known = client.audit_keys().await?.value.keys;
            Ok((known.into_iter().map(|it| it.verifier_key).collect(), Trust::Server))
        }
    }
}

/// By what the trail of this server is verified.
pub(in crate::commands) async fn options(
    proving: &Proving,
    client: &Client,
) -> Result<(Options, Trust), Error> {
    let (keys, trust) = by(&proving.pinned, client).await?;
    let earlier = proving.checkpoints.clone();
    Ok((Options { keys, earlier, ..Options::default() }, trust))
}

/// The key that counts and signed this checkpoint: one of those, or one that follows from
/// the one that is pinned.
pub(in crate::commands) async fn signer(
    signed: &SignedCheckpoint,
    pinned: &Pinned,
    client: &Client,
) -> Result<(VerifierKey, Trust), Error> {
    let (mut keys, trust) = by(pinned, client).await?;
    let signs = |key: &&VerifierKey| signed.verified_by(key).is_some();
    if trust == Trust::Pinned && !keys.iter().any(|key| signs(&key)) {
        keys.extend(following(&keys, client).await?);
    }
    match keys.iter().find(signs) {
        Some(key) => Ok((key.clone(), trust)),
        None => Err(nobody(signed, &keys)),
    }
}

/// The keys that followed each other from these on, each signed by the one before it.
async fn following(keys: &[VerifierKey], client: &Client) -> Result<Vec<VerifierKey>, Error> {
    let mut found: Vec<VerifierKey> = Vec::new();
    for key in client.audit_keys().await?.value.keys {
        let last = found.last().or(keys.first());
        if last == Some(&key.verifier_key) {
            continue;
        }
        let record = client.audit_record(key.seq).await?.value.record;
        let Ok(Record { entry: Entry::Key(named), .. }) = serde_json::from_value(record) else {
            continue;
        };
        if let Ok(KeyStep::Follows(it)) = named.verified()
            && last == Some(&it.previous)
        {
            found.push(it.key);
        }
    }
    Ok(found)
}

fn nobody(signed: &SignedCheckpoint, keys: &[VerifierKey]) -> Error {
    let counting: Vec<_> = keys.iter().map(|key| format!("{}+{}", key.name(), key.id())).collect();
    let signers = signed.note().signers().map(|(name, id)| format!("{name}+{id}"));
    refused(format!(
        "the checkpoint is signed by {}, and not by {}",
        signers.collect::<Vec<_>>().join(", "),
        counting.join(" or ")
    ))
}

/// What does not verify though it is no export.
pub(in crate::commands) fn refused(what: String) -> Error {
    Error::NotVerified { what, problems: Vec::new(), report: json!({ "verified": false }) }
}
