//! `kya agent revoke|suspend --selector …`

use std::time::Duration;

use super::dry::counted;
use crate::acknowledgement::{self, Wording};
use crate::api::{Commit, SelectionChange};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

/// Prints what became of every agent with these labels.
pub(super) async fn report(
    client: &Client,
    output: &mut Output<'_>,
    (wording, effect, status): (&Wording, &str, &str),
    selector: &str,
    answer: Answer<SelectionChange>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value: change, json } = answer;
    if change.selector != selector || change.status != status {
        let SelectionChange { selector: told, status: is, .. } = change;
        return Err(client.unexpected(format!(
            "asked for {selector} to be {status}, it says that {told} is {is}"
        )));
    }
    let SelectionChange { changed, agents, unchanged, .. } = change;
    let (Some(revision), Some(committed_at)) = (change.revision, change.committed_at) else {
        let said = format!("No agent matches {}: nothing was changed", printable(selector));
        return acknowledgement::nothing_changed(output, &json, &said);
    };
    let commit = Commit { changed, revision, committed_at, kill_id: change.kill_id };
    let what = format!("{} matching {}", counted(agents, "agent"), printable(selector));
    let mut lines = acknowledgement::committed(wording, &what, effect, &commit);
    if changed && unchanged > 0 {
        lines.push_str(&format!("\n({} more already stopped)", unchanged));
    }
    acknowledgement::report_lines(client, output, wording, lines, &commit, json, wait).await
}
