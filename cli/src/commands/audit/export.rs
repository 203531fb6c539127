//! `kya audit export`

use std::collections::BTreeMap;

use kya_core::audit::export::{ExportWriter, Header, Line};
use kya_core::audit::formats::{cloud_event, csv_header, csv_row};
use kya_core::audit::merkle::NodeHash;
use kya_core::audit::verify::Verifier;
use kya_core::audit::{Canonical, Filter, Record};

use super::draft::Draft;
use super::keys::options;
use super::progress::Progress;
use super::verdict;
use crate::args::{Export, ExportFormat};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, json_printable};

pub(super) async fn run(
    asked: Export,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let filter = asked.filter.filter().map_err(Error::Usage)?;
    match asked.verify_chain {
        true => proved(&asked, filter, client, output).await,
        false => as_it_comes(&asked, &filter, client, output).await,
    }
}

/// What the server picks.
async fn as_it_comes(
    asked: &Export,
    filter: &Filter,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut draft = asked.out.as_deref().map(|out| Draft::new(Some(out))).transpose()?;
    if filter.types.len() > 1 {
        return Err(Error::Usage(
            "the server picks one --type: name one, or add --verify-chain, with which `kya` picks"
                .to_owned(),
        ));
    }
    let mut stream = client.export(filter, asked.format.name(), &asked.at).await?;
    while let Some(bytes) = stream.bytes().await? {
        match &mut draft {
            Some(draft) => draft.write(&bytes)?,
            None if output.foreign(&bytes)? => {}
            None => return Ok(()),
        }
    }
    if let Some(draft) = draft {
        draft.publish(output)?;
    }
    output.aside("Not verified: --verify-chain proves the trail before it gives it out.");
    Ok(())
}

/// The whole trail, from which is picked here what was asked for.
async fn proved(
    asked: &Export,
    filter: Filter,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut draft = Draft::new(asked.out.as_deref())?;
    let (options, trust) = options(&asked.proving, client).await?;
    let mut verifier = Verifier::new(options);
    let kept =
        asked.proving.checkpoints.iter().map(|it| (it.unverified().size, it.note().to_string()));
    let mut picker = Picker::new(filter, asked.format, kept.collect());
    let mut progress = Progress::new(output);
    let mut stream =
        client.export(&Filter::default(), ExportFormat::Jsonl.name(), &asked.at).await?;
    let mut text = String::new();
    while let Some(line) = stream.line().await? {
        verifier.write(line.as_bytes());
        verifier.write(b"\n");
        picker.line(line, &mut text);
        draft.write(text.as_bytes())?;
        text.clear();
        progress.step(output);
        if let Some(last) = picker.last {
            progress.expect(last);
        }
    }
    progress.done(output);
    let report = verifier.finish();
    if !verdict::is_good(&report) {
        return Err(verdict::refused("nothing is given out", &report, trust));
    }
    if let Some(hides) = verdict::hides(&report, trust) {
        return Err(hides);
    }
    if let Some(what) = picker.broken {
        return Err(client.unexpected(what));
    }
    draft.publish(output)?;
    if output.is_json() {
        let mut document = verdict::document(&report, trust);
        document["matching"] = picker.picked.into();
        output.note(json_printable(&format!("{document:#}")));
        return Ok(());
    }
    for line in verdict::lines(&report, trust) {
        output.note(line);
    }
    let picked = picker.picked;
    output.note(format_args!("{picked} of the {} records are given out.", report.shown));
    Ok(())
}

/// Picks what was asked for out of the lines of a whole export, and writes it.
struct Picker {
    filter: Filter,
    format: ExportFormat,
    header: Option<Header>,
    writer: Option<ExportWriter>,
    /// Number of the last record, once that is known.
    last: Option<u64>,
    /// Checkpoints that the auditor has kept, by their sizes: where records are hidden
    /// around them they are written, so that the file can be compared with them later.
    kept: BTreeMap<u64, String>,
    /// Records that were asked for.
    picked: u64,
    /// Why no more is written.
    broken: Option<String>,
}

impl Picker {
    fn new(filter: Filter, format: ExportFormat, kept: BTreeMap<u64, String>) -> Self {
        let (header, writer, last, broken) = (None, None, None, None);
        Self { filter, format, header, writer, last, kept, picked: 0, broken }
    }

    /// Takes a line, and adds what comes of it to `out`.
    fn line(&mut self, line: &str, out: &mut String) {
        if self.broken.is_some() {
            return;
        }
        if let Err(what) = self.take(line, out) {
            self.broken = Some(what);
        }
    }

    fn take(&mut self, line: &str, out: &mut String) -> Result<(), String> {
        let parsed = Line::parse(line).map_err(|error| error.to_string())?;
        let as_it_is = self.format == ExportFormat::Jsonl && self.filter.is_empty();
        if as_it_is {
            out.push_str(line);
            out.push('\n');
        }
        match parsed {
            Line::Header(header) => self.begin(header, as_it_is, out),
            Line::Record { .. } if as_it_is => {
                self.picked += 1;
                Ok(())
            }
            _ if as_it_is => Ok(()),
            Line::Record { hash, record } => {
                let Some(writer) = &mut self.writer else { return self.read(record, out) };
                let outline = Canonical::read(record).map_err(|error| error.to_string())?;
                let (seq, kind) = (outline.seq, outline.kind);
                let meant = meant(&self.filter, record);
                self.picked += u64::from(meant);
                // Without these nobody could follow from a pinned key, or find an archive.
                let written = if meant || matches!(kind, "key" | "archived") {
                    writer.show(seq, hash, record, out)
                } else {
                    writer.hide(seq, NodeHash::leaf(record.as_bytes()), hash)
                };
                let sealed = written.and_then(|()| match self.kept.get(&seq) {
                    Some(note) if self.last != Some(seq) => writer.checkpoint(note, out),
                    _ => Ok(()),
                });
                sealed.map_err(|error| error.to_string())
            }
            Line::Skipped(it) => {
                let Some(writer) = &mut self.writer else { return Ok(()) };
                let skipped = writer.skip_to(it.last, it.cover, it.hash, out);
                skipped.map_err(|error| error.to_string())
            }
            Line::Sealed(it) => match (it.keys, self.writer.take()) {
                (Some(keys), Some(writer)) => {
                    let written = writer.finish(&it.checkpoint, keys, out);
                    written.map_err(|error| error.to_string())
                }
                (None, Some(mut writer)) => {
                    let written = writer.checkpoint(&it.checkpoint, out);
                    self.writer = Some(writer);
                    written.map_err(|error| error.to_string())
                }
                (_, None) => Ok(()),
            },
        }
    }

    fn begin(&mut self, header: Header, as_it_is: bool, out: &mut String) -> Result<(), String> {
        self.last = Some(header.last);
        match self.format {
            ExportFormat::Jsonl if as_it_is => {}
            ExportFormat::Jsonl => {
                let filter = serde_json::to_value(&self.filter).map_err(|it| it.to_string())?;
                let header = Header { filter: Some(filter), ..header.clone() };
                let writer = ExportWriter::new(header, out);
                self.writer = Some(writer.map_err(|error| error.to_string())?);
            }
            ExportFormat::Csv => out.push_str(&csv_header()),
            ExportFormat::Cloudevents => {}
        }
        self.header = Some(header);
        Ok(())
    }

    /// Writes a record in a format that is for reading, if it was asked for.
    fn read(&mut self, record: &str, out: &mut String) -> Result<(), String> {
        if !meant(&self.filter, record) {
            return Ok(());
        }
        self.picked += 1;
        let origin = self.header.as_ref().map_or("", |it| &it.origin);
        let written = match self.format {
            ExportFormat::Csv => csv_row(record),
            _ => cloud_event(record, origin).map(|it| it + "\n"),
        };
        out.push_str(&written.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// Whether a record was asked for. One that cannot be judged here, because it is of a type
/// that is newer than this program, is not left out.
fn meant(filter: &Filter, record: &str) -> bool {
    filter.is_empty()
        || serde_json::from_str::<Record>(record).map_or(true, |it| filter.matches(&it))
}
