//! `kya drill report`: the evidence of a drill, fetched, checked, and laid out.

use std::fs::File;
use std::time::{Duration, Instant};

use kya_core::audit::export::{ExportWriter, Header, Line};
use kya_core::audit::merkle::NodeHash;
use kya_core::audit::verify::Options;
use kya_core::audit::{Canonical, Entry, Filter, Receipt, Record, Timestamp};
use kya_core::drill::evidence::{Document, VERSION, belongs, check};
use kya_core::drill::raw::RawSample;
use kya_core::{DrillId, KillId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::args::{Global, ReportDrill, ReportFormat};
use crate::client::{Answer, Client};
use crate::commands::audit::draft::Draft;
use crate::commands::audit::keys::options;
use crate::commands::audit::verdict::{self, Trust};
use crate::error::Error;
use crate::output::{Output, json_printable};
use crate::report::{self, Form};
use crate::values::parse_moment;

/// How long all receipts together may wait until their kills are complete, and then the end
/// of the drill until it is in the trail.
const COMPLETE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);
/// So long after the end of a drill what belongs to it is looked for, before all of the
/// trail is.
const LATE: u64 = 10 * 60 * 1_000_000;

pub(super) async fn run(
    asked: ReportDrill,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut draft = Draft::new(asked.out.as_deref())?;
    let (mut document, options, trust) = match (&asked.from, asked.id) {
        (Some(path), _) => {
            let place = path.display();
            let unreadable =
                |why: String| Error::Usage(format!("--from {place}: cannot be read: {why}"));
            let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
            let shown = report::all(file).map_err(|error| unreadable(error.to_string()))?;
            let document = report::read(&shown).map_err(|error| unreadable(error.to_string()))?;
            let Some(key) = asked.proving.pinned.key.clone() else {
                return Err(Error::Usage(
                    "--from asks no server: pin the key of its trail with --key".to_owned(),
                ));
            };
            let earlier = asked.proving.checkpoints.clone();
            let options = Options { keys: vec![key], earlier, whole_since: None };
            (document, options, Trust::Pinned)
        }
        (None, id) => {
            let id = id.ok_or_else(|| Error::Usage("name a drill, or --from".to_owned()))?;
            let client = Client::new(global)?;
            let (options, trust) = options(&asked.proving, &client).await?;
            (fetched(id, &client).await?, options, trust)
        }
    };
    if asked.from.is_none() {
        // What follows from the rest is not asked of the server.
        let facts = check(&document, options.clone()).facts;
        document.drill = json!(facts.ok_or_else(|| refused(&document, &options))?);
    }
    let unwritable = |error: serde_json::Error| Error::Usage(error.to_string());
    let text = document.text().map_err(unwritable)?;
    // As whoever verifies it reads it.
    let document = Document::read(text.as_bytes())
        .map_err(|error| Error::Usage(format!("the evidence of this drill: {error}")))?;
    let checked = check(&document, options.clone());
    let (true, Some(facts)) = (checked.problems.is_empty(), &checked.facts) else {
        return Err(refused(&document, &options));
    };
    let form = match asked.format {
        ReportFormat::Html => Form::Html,
        ReportFormat::Pdf => Form::Pdf,
        ReportFormat::Json => Form::Json,
    };
    draft.write(&report::write(&document, facts, &text, form))?;
    draft.publish(output)?;
    if output.is_json() {
        let mut said = verdict::document(&checked.trail, trust);
        said["drill_id"] = json!(facts.drill_id);
        said["state"] = json!(facts.state);
        output.note(json_printable(&format!("{said:#}")));
        return Ok(());
    }
    for line in verdict::drill_lines(&checked) {
        output.note(line);
    }
    for line in verdict::lines(&checked.trail, trust) {
        output.note(line);
    }
    Ok(())
}

fn refused(document: &Document, options: &Options) -> Error {
    let checked = check(document, options.clone());
    verdict::refused_drill("the evidence of this drill, so that no report is given out", &checked)
}

/// Everything that a drill left, without what follows from it.
async fn fetched(id: DrillId, client: &Client) -> Result<Document, Error> {
    let Answer { value: drill, json } = client.drill(id, true).await?;
    let Some(ended) = &drill.ended_at else {
        return Err(Error::Usage(format!(
            "{id} goes on: `kya drill show {id}` says how far it is"
        )));
    };
    let odd = |what: String| client.unexpected(what);
    let moment = |text: &str| parse_moment(text).map_err(odd);
    let since = moment(&drill.started_at)?;
    let until = Timestamp(moment(ended)?.0.saturating_add(LATE));
    let samples = Vec::<RawSample>::deserialize(&json["samples"]);
    let samples = samples.map_err(|error| odd(format!("samples: {error}")))?;
    let mut receipts = Vec::new();
    let mut named = Vec::new();
    let begun = Instant::now();
    for kill in samples.iter().filter_map(|sample| sample.kill_id.as_ref()) {
        let kill: KillId = kill.parse().map_err(|_| odd(format!("{kill} is no kill")))?;
        let wait = COMPLETE.saturating_sub(begun.elapsed());
        let receipt = client.kill_receipt(kill, wait).await?.json;
        named.extend(records(&receipt));
        receipts.push(receipt);
    }
    let last = named.iter().max().copied().unwrap_or_default();
    let kills: Vec<_> = samples.iter().filter_map(|sample| sample.kill_id.clone()).collect();
    let (mut until, end) = (Some(until), Instant::now() + COMPLETE);
    let export = loop {
        let filter = Filter { since: Some(since), until, ..Filter::default() };
        let mut picked = Picked::of(id, &kills, &named);
        let mut stream = client.export(&filter, "jsonl", &[]).await?;
        while let Some(line) = stream.line().await? {
            picked.line(line).map_err(odd)?;
        }
        let is_whole = picked.has_end && picked.shown_to >= last;
        if is_whole || until.is_none() && Instant::now() >= end {
            break picked.text.lines().map(str::to_owned).collect();
        }
        // What was done last is in the trail soon.
        if until.take().is_none() {
            sleep(AGAIN).await;
        }
    };
    let drill = json!({ "drill_id": id });
    Ok(Document { kya_drill_report: VERSION, drill, samples, receipts, export })
}

/// Whether a record is that of the end of this drill.
fn is_end(record: &Record, drill: &str) -> bool {
    matches!(&record.entry, Entry::Admin(act) if act.act == "drill.ended" && act.subject == drill)
}

/// The records that a receipt names.
fn records(receipt: &Value) -> Vec<u64> {
    let Ok(receipt) = Receipt::deserialize(&receipt["receipt"]) else { return Vec::new() };
    let workers = receipt.proxies.iter().flat_map(|proxy| &proxy.workers);
    let applied: Vec<_> = workers.filter_map(|worker| worker.record).collect();
    receipt.records.iter().copied().chain(applied).collect()
}

/// The records of a drill, out of the lines of an export.
struct Picked<'a> {
    drill: String,
    kills: &'a [String],
    named: &'a [u64],
    writer: Option<ExportWriter>,
    text: String,
    /// The last record that is shown.
    shown_to: u64,
    /// Whether the end of the drill was among them.
    has_end: bool,
}

impl<'a> Picked<'a> {
    fn of(drill: DrillId, kills: &'a [String], named: &'a [u64]) -> Self {
        let (drill, text) = (drill.to_string(), String::new());
        Self { drill, kills, named, writer: None, text, shown_to: 0, has_end: false }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let parsed = Line::parse(line).map_err(|error| error.to_string())?;
        let out = &mut self.text;
        let written = match (parsed, &mut self.writer) {
            (Line::Header(header), _) => {
                let filter = Some(json!({ "drill": self.drill }));
                let begun = ExportWriter::new(Header { filter, ..header }, out);
                begun.map(|writer| self.writer = Some(writer))
            }
            (Line::Record { hash, record }, Some(writer)) => {
                let outline = Canonical::read(record).map_err(|error| error.to_string())?;
                let (seq, kind) = (outline.seq, outline.kind);
                let is_of = |record: &Record| belongs(record, &self.drill, self.kills, self.named);
                let read = serde_json::from_str::<Record>(record);
                self.has_end |= read.as_ref().is_ok_and(|it| is_end(it, &self.drill));
                // Without these nobody could follow from a pinned key, or find an archive.
                let shown = matches!(kind, "key" | "archived") || read.is_ok_and(|it| is_of(&it));
                if shown {
                    self.shown_to = seq;
                    writer.show(seq, hash, record, out)
                } else {
                    writer.hide(seq, NodeHash::leaf(record.as_bytes()), hash)
                }
            }
            (Line::Skipped(it), Some(writer)) => writer.skip_to(it.last, it.cover, it.hash, out),
            (Line::Sealed(it), Some(writer)) => match it.keys {
                None => writer.checkpoint(&it.checkpoint, out),
                Some(keys) => match self.writer.take() {
                    Some(writer) => writer.finish(&it.checkpoint, keys, out),
                    None => Ok(()),
                },
            },
            (_, None) => return Err("an export that does not begin as one".to_owned()),
        };
        written.map_err(|error| error.to_string())
    }
}
