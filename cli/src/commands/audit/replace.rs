//! `kya audit keys announce`, `activate`, `rotate` and `recover`.

use crate::api::{AuditKey, AuditKeyStep, AuditKeys};
use crate::args::AuditKeysCommand;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

pub(super) async fn run(
    command: AuditKeysCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let (step, lost, why) = match command {
        AuditKeysCommand::Announce(why) => ("announce", None, why),
        AuditKeysCommand::Activate(why) => ("activate", None, why),
        AuditKeysCommand::Rotate { why, .. } => ("rotate", None, why),
        AuditKeysCommand::Recover { lost, why } => ("recover", Some(lost), why),
    };
    let asked = AuditKeyStep { lost: lost.as_deref(), reason: &why.reason };
    let Answer { value, json } = client.audit_key_step(step, &asked).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let AuditKeys { keys, announced } = value;
    let named = if step == "announce" { announced.as_ref() } else { keys.last() };
    let Some(AuditKey { seq, verifier_key }) = named else {
        return Err(client.unexpected("no key that it has named".to_owned()));
    };
    // Alone on stdout, so that a script can pin it.
    output.lines(printable(&verifier_key.to_string()))?;
    let id = verifier_key.id();
    output.note(match step {
        "announce" => format!(
            "Announced in record {seq}. It signs nothing yet: copy audit-<key id>.key to the other servers of the same database, let auditors pin the key, then `kya audit keys activate`."
        ),
        "recover" => format!(
            "Key {id} signs from record {seq} on, and nobody vouches for it: whoever has pinned the key before is told so, and must pin this one. Back up its file."
        ),
        _ => format!(
            "Key {id} signs from record {seq} on. Back up its file, copy it to the other servers of the same database, and pin it."
        ),
    });
    Ok(())
}
