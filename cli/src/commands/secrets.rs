//! Whoever has a secret: it is shown once, when they are added, and revoked for ever.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, printable};

/// Somebody who was added.
pub(super) struct Added<'a> {
    pub(super) secret: &'a str,
    /// Whom it is for, such as `web-1 for node.id web-*`.
    pub(super) of: String,
    pub(super) expires_at: Option<&'a str>,
    /// What to know of the secret: `The credential is shown this once`.
    pub(super) note: &'a str,
}

/// Prints that they were. The secret alone goes to stdout, so that a shell can take it.
pub(super) fn print_added(
    output: &mut Output<'_>,
    json: &Value,
    quiet: bool,
    Added { secret, of, expires_at, note }: Added<'_>,
) -> Result<(), Error> {
    match output.is_json() {
        true => output.document(json)?,
        false => output.lines(printable(secret))?,
    }
    if !quiet {
        let expires = expires_at.map_or("does not expire".to_owned(), |at| format!("expires {at}"));
        let said = printable(&format!("{of}, {expires}"));
        output.note(format_args!("{said}. {note}: only its hash is kept."));
    }
    Ok(())
}

/// Somebody who was to be revoked.
pub(super) struct Revoked<'a> {
    /// Of whom the server speaks.
    pub(super) name: &'a str,
    pub(super) status: &'a str,
    pub(super) revoked_at: Option<&'a str>,
    /// False when it already was so.
    pub(super) changed: bool,
    /// What that means from now on.
    pub(super) effect: &'a str,
}

/// Prints that `name` is, which is said only when the server says so, and of this one.
pub(super) fn print_revoked(
    client: &Client,
    output: &mut Output<'_>,
    name: &str,
    json: &Value,
    revoked: Revoked<'_>,
) -> Result<(), Error> {
    let Some(at) = revoked.revoked_at.filter(|_| revoked.name == name) else {
        let Revoked { name: told, status, .. } = revoked;
        return Err(
            client.unexpected(format!("asked to revoke {name}, it says that {told} is {status}"))
        );
    };
    if output.is_json() {
        return output.document(json);
    }
    let (effect, at) = (revoked.effect, printable(at));
    output.lines(format_args!("Revoked: {name}\n{effect}\nRevocation logged at: {at}"))?;
    match revoked.changed {
        true => Ok(()),
        false => output.lines("(already revoked; nothing changed)"),
    }
}
