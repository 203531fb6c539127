//! Exports: a file that can be verified without this server.

use std::collections::VecDeque;
use std::sync::Arc;

use kya_core::audit::export::{ExportError, ExportWriter, Header};
use kya_core::audit::formats::{NoRecord, cloud_event, csv_header, csv_row};
use kya_core::audit::merkle::Node;
use kya_core::audit::{ChainHash, Entry, Filter, Record, VerifierKey};
use thiserror::Error;

use super::Trail;
use super::group::Work;
use super::pieces::{Pieces, UNREAD, hand_on};
use crate::store::StoreError;
use crate::store::audit::{AuditStore, CheckpointRow, RecordFilter, StoredLine, TrailHead};

/// Records that are read at once.
const PAGE: u32 = 500;
/// Bytes that are handed on at once, about.
const PIECE: usize = 64 * 1024;

/// What stands in the second row of a kill, as canonical JSON writes it.
const SCOPE: &str = "\"type\":\"kill_scope\"";

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON Lines, which can be verified.
    #[default]
    Jsonl,
    /// Comma-separated values, for reading.
    Csv,
    /// One CloudEvent a line, for other systems.
    CloudEvents,
}

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which records are shown.
    pub filter: RecordFilter,
    /// The same, as the export says it.
    pub said: Filter,
    /// In which format.
    pub format: Format,
    /// Sizes of checkpoints that are to be in it, each after the last record that it covers.
    pub at: Vec<u64>,
}

/// Why there is no export, or no more of it.
#[derive(Debug, Error)]
pub enum ExportFailed {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no checkpoint that covers it.
    #[error("there is no checkpoint of {0} records or more yet: ask again in a moment")]
    NoCheckpoint(u64),
    /// None was signed of this size.
    #[error("no checkpoint was signed when the trail had {0} records")]
    NoSuchCheckpoint(u64),
    /// There is no such range.
    #[error("there are no records {0} to {1}: the trail has {2}")]
    Range(u64, u64, u64),
    /// It begins behind records that were removed.
    #[error(
        "record {0} is archived, and with it what an export that begins after it needs: begin at 1, or after the archive"
    )]
    Archived(u64),
    /// It does not fit together.
    #[error("the trail does not fit together: {0}")]
    Torn(#[from] ExportError),
    /// A record cannot be read.
    #[error(transparent)]
    NoRecord(#[from] NoRecord),
    /// Nobody takes it any more.
    #[error("nobody takes it any more")]
    Left,
    /// Whoever asked for it does not read it.
    #[error("it was not read for {UNREAD:?}")]
    Unread,
}

/// An export that is being written.
#[derive(Debug)]
pub(crate) struct Export {
    trail: Arc<Trail>,
    wanted: Wanted,
    head: TrailHead,
    checkpoint: CheckpointRow,
    keys: Vec<VerifierKey>,
    /// The records that name these keys.
    named: Vec<u64>,
    previous: ChainHash,
    /// Checkpoints that are to be in it, the first first.
    inner: VecDeque<CheckpointRow>,
}

impl Format {
    /// The media type of what is written.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => kya_core::audit::export::MEDIA_TYPE,
            Self::Csv => "text/csv; charset=utf-8",
            Self::CloudEvents => "application/jsonl",
        }
    }

    /// How files of it end.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::CloudEvents => "cloudevents.jsonl",
        }
    }
}

impl Export {
    /// Looks whether there can be such an export. `last` is 0 for all that there is.
    pub(crate) async fn begin(trail: Arc<Trail>, mut wanted: Wanted) -> Result<Self, ExportFailed> {
        let store = trail.store();
        let last = wanted.filter.last;
        let mut checkpoint = match last {
            0 => None,
            last => store.checkpoint_from(last).await?,
        };
        if checkpoint.is_none() {
            // What is there now is to be in it.
            let _ = trail.queue.append(Work::Checkpoint).await;
            checkpoint = store.checkpoint(None).await?.filter(|it| it.size >= last);
        }
        let head = store.head().await?;
        let first = wanted.filter.first.max(1);
        if first > head.size || last > head.size || last != 0 && last < first {
            return Err(ExportFailed::Range(first, last, head.size));
        }
        let checkpoint = checkpoint.filter(|it| it.size >= first);
        let checkpoint = checkpoint.ok_or(ExportFailed::NoCheckpoint(last.max(first)))?;
        let last = if last == 0 { checkpoint.size } else { last };
        (wanted.filter.first, wanted.filter.last) = (first, last);
        wanted.filter.with_seams = !wanted.filter.is_all()
            && (wanted.format == Format::Jsonl || wanted.filter.agent_id.is_some());
        let previous = match first {
            1 => ChainHash::START,
            first => {
                let before = store.hash(first - 1).await?;
                before.ok_or(ExportFailed::Archived(first - 1))?
            }
        };
        let (mut keys, mut seqs) = (Vec::new(), Vec::new());
        // Those that came later say nothing about it.
        let named = store.keys().await?.into_iter().filter(|key| key.seq <= checkpoint.size);
        for key in named {
            let wrong = |_| StoreError::Corrupt("a key of the audit trail".to_owned());
            keys.push(key.verifier_key.parse().map_err(wrong)?);
            seqs.push(key.seq);
        }
        let inner = inner(store.as_ref(), &wanted.at, checkpoint.size).await?;
        Ok(Self { trail, wanted, head, checkpoint, keys, named: seqs, previous, inner })
    }

    /// Size of the checkpoint at its end.
    pub(crate) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Writes all of it, piece by piece.
    pub(crate) async fn write(mut self, pieces: &Pieces) -> Result<(), ExportFailed> {
        let mut out = String::with_capacity(2 * PIECE);
        let mut verifiable = match self.wanted.format {
            Format::Jsonl => Some(self.header(&mut out)?),
            Format::Csv => {
                out.push_str(&csv_header());
                None
            }
            Format::CloudEvents => None,
        };
        if let Some(writer) = &mut verifiable {
            let first = self.wanted.filter.first;
            self.show_keys_before(first, writer, &mut out).await?;
            if !self.skip_to(writer, first - 1, &mut out).await? {
                return Err(ExportFailed::Archived(first - 1));
            }
        }
        let mut filter = self.wanted.filter.clone();
        loop {
            let page = self.trail.store().lines(&filter, PAGE).await?;
            for line in &page.lines {
                if !self.is_meant(line) {
                    continue;
                }
                match &mut verifiable {
                    Some(writer) => {
                        // Among what is archived some stay for their hashes, and are
                        // shown only where the chain leads to them.
                        if !self.skip_to(writer, line.seq - 1, &mut out).await? {
                            continue;
                        }
                        writer.show(line.seq, line.hash, &line.record, &mut out)?;
                        self.seal(writer, &mut out)?;
                    }
                    None => self.show(line, &mut out)?,
                }
                if out.len() >= PIECE {
                    hand_on(pieces, std::mem::take(&mut out), UNREAD).await?;
                }
            }
            match page.next {
                Some(next) => filter.first = next,
                None => break,
            }
        }
        if let Some(mut writer) = verifiable {
            let size = self.checkpoint.size;
            if !self.skip_to(&mut writer, size, &mut out).await? {
                return Err(ExportFailed::Archived(size));
            }
            writer.finish(&self.checkpoint.note, self.keys.clone(), &mut out)?;
        }
        hand_on(pieces, out, UNREAD).await
    }

    /// Whether a line is to be shown that the store has found: of kills it finds every second
    /// row, and what is for reading needs no keys.
    fn is_meant(&self, line: &StoredLine) -> bool {
        if !self.wanted.filter.with_seams {
            return true;
        }
        let is_seam = |it: &Record| matches!(it.entry, Entry::Key(_) | Entry::Archived(_));
        let in_doubt = self.wanted.format != Format::Jsonl || line.record.contains(SCOPE);
        // One of a type that is not known here is not left out.
        !in_doubt
            || serde_json::from_str::<Record>(&line.record).map_or(true, |it| {
                self.wanted.said.matches(&it) || self.wanted.format == Format::Jsonl && is_seam(&it)
            })
    }

    fn header(&self, out: &mut String) -> Result<ExportWriter, ExportFailed> {
        let said = &self.wanted.said;
        let header = Header {
            version: kya_core::audit::export::VERSION,
            origin: self.head.origin.clone(),
            first: self.wanted.filter.first,
            last: self.checkpoint.size,
            previous: self.previous,
            filter: (!said.is_empty()).then(|| serde_json::to_value(said).unwrap_or_default()),
        };
        Ok(ExportWriter::new(header, out)?)
    }

    fn show(&self, line: &StoredLine, out: &mut String) -> Result<(), ExportFailed> {
        match self.wanted.format {
            Format::Csv => out.push_str(&csv_row(&line.record)?),
            Format::Jsonl | Format::CloudEvents => {
                out.push_str(&cloud_event(&line.record, &self.head.origin)?);
                out.push('\n');
            }
        }
        Ok(())
    }

    /// Shows the records before `first` that name keys, as far as they are not archived:
    /// whoever has pinned an old one is led to the one that signs.
    async fn show_keys_before(
        &mut self,
        first: u64,
        writer: &mut ExportWriter,
        out: &mut String,
    ) -> Result<(), ExportFailed> {
        let named = self.named.clone();
        for seq in named.into_iter().take_while(|seq| *seq < first) {
            let Some(line) = self.trail.store().line(seq).await? else { continue };
            if self.skip_to(writer, seq - 1, out).await? {
                writer.show(seq, line.hash, &line.record, out)?;
                self.seal(writer, out)?;
            }
        }
        Ok(())
    }

    /// Puts the checkpoints there that are to be after the record before.
    fn seal(&mut self, writer: &mut ExportWriter, out: &mut String) -> Result<(), ExportFailed> {
        while let Some(row) = self.inner.pop_front_if(|row| row.size < writer.next()) {
            writer.checkpoint(&row.note, out)?;
        }
        Ok(())
    }

    /// Leaves out what comes up to this number, unless that record is archived.
    async fn skip_to(
        &mut self,
        writer: &mut ExportWriter,
        last: u64,
        out: &mut String,
    ) -> Result<bool, ExportFailed> {
        let next = |it: &Self| it.inner.front().map(|row| row.size).filter(|size| *size < last);
        if next(self).is_some() && self.trail.store().hash(last).await?.is_some() {
            while let Some(size) = next(self) {
                if !self.skip_run(writer, size, out).await? {
                    return Err(ExportFailed::Archived(size));
                }
                self.seal(writer, out)?;
            }
        }
        let skipped = self.skip_run(writer, last, out).await?;
        if skipped {
            self.seal(writer, out)?;
        }
        Ok(skipped)
    }

    async fn skip_run(
        &self,
        writer: &mut ExportWriter,
        last: u64,
        out: &mut String,
    ) -> Result<bool, ExportFailed> {
        let first = writer.next();
        if last < first {
            return Ok(true);
        }
        let Some(hash) = self.trail.store().hash(last).await? else { return Ok(false) };
        let nodes = Node::cover(first - 1, last);
        let cover = self.trail.nodes(&self.head, &nodes).await?;
        writer.skip_to(last, cover, hash, out)?;
        Ok(true)
    }
}

/// The checkpoints of these sizes, but the one at the end, which is there in any case.
async fn inner(
    store: &dyn AuditStore,
    at: &[u64],
    end: u64,
) -> Result<VecDeque<CheckpointRow>, ExportFailed> {
    let mut sizes = at.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    let mut found = VecDeque::with_capacity(sizes.len());
    for size in sizes.into_iter().filter(|size| *size != end) {
        let row = store.checkpoint(Some(size)).await?.filter(|row| row.size < end);
        found.push_back(row.ok_or(ExportFailed::NoSuchCheckpoint(size))?);
        // Its hash is what a run of hidden records ends with.
        if store.hash(size).await?.is_none() {
            return Err(ExportFailed::Archived(size));
        }
    }
    Ok(found)
}
