//! `kya audit show`, `checkpoint` and `keys`

use kya_core::audit::SignedCheckpoint;

use super::keys::signer;
use super::tail::readable;
use crate::api::AuditKeys;
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
    let Answer { value: AuditKeys { keys, announced }, json } = client.audit_keys().await?;
    if output.is_json() {
        return output.document(&json);
    }
    if keys.is_empty() {
        return output.lines("No keys.");
    }
    for key in keys {
        output.lines(printable(&key.verifier_key.to_string()))?;
    }
    if let Some(next) = announced {
        let next = printable(&next.verifier_key.to_string());
        output.note(format_args!("Announced, and signs nothing yet: {next}"));
    }
    Ok(())
}

pub(super) fn signed(note: &str, client: &Client) -> Result<SignedCheckpoint, Error> {
    SignedCheckpoint::parse(note).map_err(|error| client.unexpected(error.to_string()))
}
