//! `kya audit tail`

use std::io::{self, IsTerminal};
use std::time::Duration;

use kya_core::audit::{Filter, Record};
use serde_json::{Value, json};

use super::events::Events;
use super::line::line;
use crate::api::{AuditRecords, RecordedLine};
use crate::args::Tail;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, json_printable, printable};

/// The server says that it is there more often than this.
const SILENCE: Duration = Duration::from_secs(60);
/// How long it is waited before a connection is made again, at first and at most.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(15);

pub(super) async fn run(
    asked: Tail,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let filter = asked.filter.filter().map_err(Error::Usage)?;
    // https://no-color.org
    let plain = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    let colours = io::stdout().is_terminal() && !plain;
    let mut shown = Shown { filter, last: None, colours };
    if asked.follow {
        // What comes between this and the connection is not left out.
        let newest = client.newest_records(&Filter::default(), None, 1).await?.value.records;
        shown.last = Some(newest.first().map_or(0, number));
    }
    let newest = newest(client, &shown.filter, asked.lines.into()).await?;
    for record in &newest {
        if !shown.show(record, output)? {
            return Ok(());
        }
    }
    if asked.follow {
        return follow(client, shown, output).await;
    }
    if newest.is_empty() && asked.lines > 0 {
        output.aside("No records.");
    }
    Ok(())
}

/// So many of the newest records that match, the oldest of them first.
async fn newest(client: &Client, filter: &Filter, most: usize) -> Result<Vec<RecordedLine>, Error> {
    let (mut found, mut from) = (Vec::new(), None);
    while found.len() < most {
        let wanted = u16::try_from(most - found.len()).unwrap_or(u16::MAX);
        let AuditRecords { records, next } =
            client.newest_records(filter, from, wanted).await?.value;
        found.extend(records.into_iter().filter(|it| meant(filter, &it.record)));
        // A page that does not go on would be asked for for ever.
        match next {
            Some(next) if from.is_none_or(|from| next < from) => from = Some(next),
            _ => break,
        }
    }
    found.truncate(most);
    found.reverse();
    Ok(found)
}

/// Whether a record is one of those that were asked for: a server picks one type at most.
fn meant(filter: &Filter, record: &Value) -> bool {
    filter.types.len() < 2
        || record["type"].as_str().is_some_and(|kind| filter.types.iter().any(|it| it == kind))
}

fn number(it: &RecordedLine) -> u64 {
    it.record.get("seq").and_then(Value::as_u64).unwrap_or_default()
}

/// What has been shown, and how.
struct Shown {
    filter: Filter,
    /// Number of the last record.
    last: Option<u64>,
    colours: bool,
}

impl Shown {
    /// Shows a record, and returns whether anybody still reads.
    fn show(&mut self, it: &RecordedLine, output: &mut Output<'_>) -> Result<bool, Error> {
        self.last = self.last.max(Some(number(it)));
        let text = if output.is_json() {
            json_printable(&json!({ "hash": it.hash, "record": it.record }).to_string())
        } else {
            readable(&it.record, self.colours)
        };
        output.part(format!("{text}\n").as_bytes())
    }
}

/// A record as a line; of a type that is not known here, as it came.
pub(super) fn readable(record: &Value, colours: bool) -> String {
    match serde_json::from_value::<Record>(record.clone()) {
        Ok(record) => line(&record, colours),
        Err(_) => printable(&record.to_string()),
    }
}

/// Shows each record that comes, until nobody reads any more.
async fn follow(client: &Client, mut shown: Shown, output: &mut Output<'_>) -> Result<(), Error> {
    let (mut wait, mut connected) = (SOON, false);
    loop {
        let before = shown.last;
        let error = match stream(client, &mut shown, &mut connected, output).await {
            Ok(Ended::NobodyReads) => return Ok(()),
            // It does now and then, so that everybody shows their key again.
            Ok(Ended::ByServer) => None,
            // That it cannot be reached at first is more likely a wrong address.
            Err(error @ Error::Unreachable { .. }) if connected => Some(error),
            Err(error) => return Err(error),
        };
        wait = if shown.last == before { (wait * 2).min(LATER) } else { SOON };
        if let Some(error) = error {
            let (error, again) = (error.to_string(), humantime::format_duration(wait));
            output.aside(format_args!("{}; connecting again in {again}", printable(&error)));
        }
        tokio::time::sleep(wait).await;
    }
}

enum Ended {
    NobodyReads,
    ByServer,
}

async fn stream(
    client: &Client,
    shown: &mut Shown,
    connected: &mut bool,
    output: &mut Output<'_>,
) -> Result<Ended, Error> {
    let mut stream = client.tail(&shown.filter, shown.last, SILENCE).await?;
    *connected = true;
    let mut events = Events::default();
    while let Some(line) = stream.line().await? {
        let event = events.line(line);
        let Some(event) = event.map_err(|error| client.unexpected(error.to_string()))? else {
            continue;
        };
        let record = serde_json::from_str::<RecordedLine>(&event.data);
        let record = record.map_err(|error| client.unexpected(error.to_string()))?;
        if meant(&shown.filter, &record.record) && !shown.show(&record, output)? {
            return Ok(Ended::NobodyReads);
        }
    }
    Ok(Ended::ByServer)
}
