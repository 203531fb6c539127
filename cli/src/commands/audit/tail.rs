//! `kya audit tail`

use std::io::{self, IsTerminal};
use std::time::Duration;

use kya_core::audit::{Filter, Record};
use serde_json::{Value, json};

use super::events::Events;
use super::line::line;
use crate::api::RecordedLine;
use crate::args::Tail;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, printable};

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
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut shown = Shown { last: None, colours };
    if asked.lines > 0 {
        let newest = client.newest_records(&filter, asked.lines).await?.value;
        for record in newest.records {
            if !shown.show(&record, output)? {
                return Ok(());
            }
        }
        if shown.last.is_none() && !asked.follow {
            output.aside("No records.");
        }
    }
    if asked.follow { follow(client, &filter, shown, output).await } else { Ok(()) }
}

/// What has been shown, and how.
struct Shown {
    /// Number of the last record.
    last: Option<u64>,
    colours: bool,
}

impl Shown {
    /// Shows a record, and returns whether anybody still reads.
    fn show(&mut self, it: &RecordedLine, output: &mut Output<'_>) -> Result<bool, Error> {
        self.last = it.record.get("seq").and_then(Value::as_u64).or(self.last);
        let text = if output.is_json() {
            json!({ "hash": it.hash, "record": it.record }).to_string()
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
async fn follow(
    client: &Client,
    filter: &Filter,
    mut shown: Shown,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let (mut wait, mut connected) = (SOON, false);
    loop {
        let before = shown.last;
        let error = match stream(client, filter, &mut shown, &mut connected, output).await {
            Ok(Ended::NobodyReads) => return Ok(()),
            Ok(Ended::ByServer) => "the server has ended it".to_owned(),
            // That it cannot be reached at first is more likely a wrong address.
            Err(error @ Error::Unreachable { .. }) if connected => error.to_string(),
            Err(error) => return Err(error),
        };
        wait = if shown.last == before { (wait * 2).min(LATER) } else { SOON };
        let again = humantime::format_duration(wait);
        output.aside(format_args!("{}; connecting again in {again}", printable(&error)));
        tokio::time::sleep(wait).await;
    }
}

enum Ended {
    NobodyReads,
    ByServer,
}

async fn stream(
    client: &Client,
    filter: &Filter,
    shown: &mut Shown,
    connected: &mut bool,
    output: &mut Output<'_>,
) -> Result<Ended, Error> {
    let mut stream = client.tail(filter, shown.last, SILENCE).await?;
    *connected = true;
    let mut events = Events::default();
    while let Some(line) = stream.line().await? {
        let event = events.line(line);
        let Some(event) = event.map_err(|error| client.unexpected(error.to_string()))? else {
            continue;
        };
        if event.kind != "record" {
            continue;
        }
        let record = serde_json::from_str::<RecordedLine>(&event.data);
        let record = record.map_err(|error| client.unexpected(error.to_string()))?;
        if !shown.show(&record, output)? {
            return Ok(Ended::NobodyReads);
        }
    }
    Ok(Ended::ByServer)
}
