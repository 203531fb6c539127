//! `kya verify`

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::api::{Question, Verdict};
use crate::args::Verify;
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

/// More than any token has.
const MAX_TOKEN: u64 = 8 * 1024;

pub(super) async fn run(
    asked: Verify,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let token = asked.token_file.as_deref().map(token).transpose()?;
    let Verify { agent, action, service, .. } = asked;
    let question = Question { token, agent_id: agent, action, service };
    let Answer { value, json } = client.verify(&question).await?;
    let Verdict { decision, reason, agent_id, policy, revision } = value;
    let allowed = match (&*decision, &reason) {
        ("ALLOW", None) => true,
        ("DENY", Some(_)) => false,
        _ => return Err(client.unexpected(format!("it says {decision} and {reason:?}"))),
    };
    if output.is_json() {
        output.document(&json)?;
    } else {
        let mut line = decision;
        for part in [
            reason.clone(),
            agent_id.map(|id| format!("for {id}")),
            policy.map(|policy| format!("by version {} of {}", policy.version, policy.id)),
            revision.map(|revision| format!("at revision {revision}")),
        ] {
            line.extend(part.map(|part| format!(" {}", printable(&part))));
        }
        output.lines(line)?;
    }
    match allowed {
        true => Ok(()),
        false => Err(Error::Denied(reason.unwrap_or_default())),
    }
}

/// The token in a file, without the line break at its end.
fn token(path: &Path) -> Result<String, Error> {
    match path.as_os_str() == "-" {
        true => read(std::io::stdin().lock()),
        false => File::open(path).map_err(|error| error.to_string()).and_then(read),
    }
    .map_err(|why| Error::Usage(format!("--token-file {}: {why}", path.display())))
}

/// Nothing is cut off: a token is read whole, or not at all.
fn read(source: impl Read) -> Result<String, String> {
    let mut text = Vec::new();
    source.take(MAX_TOKEN + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_TOKEN {
        return Err(format!("it holds more than {MAX_TOKEN} bytes, which no token has"));
    }
    let text = String::from_utf8(text).map_err(|_| "it holds no text".to_owned())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("it holds no token".to_owned()),
        token => Ok(token.to_owned()),
    }
}
