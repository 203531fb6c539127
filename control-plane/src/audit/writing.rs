//! The trail as it grows within one transaction.

use std::collections::{BTreeMap, HashMap};

use kya_core::audit::merkle::NodeHash;
use kya_core::audit::{
    Archived, Canonical, CanonicalError, Checkpoint, Draft, Entry, KeyNamed, Record, Restored,
    Timestamp,
};

use super::acts;
use super::columns::Columns;
use super::edge::Edge;
use super::group::{Done, Signing};
use super::kills::rows;
use crate::store::audit::{
    Additions, ArchivedRange, CheckpointRow, EventCursor, KeyRow, KillMark, KillRow, Locked,
    NewLine, SourceRow, Taken,
};
use crate::store::{Event, Kill, StoreError};
use crate::time::UnixMicros;

/// How long the trail may grow without a checkpoint, in microseconds.
const CHECKPOINT_EVERY: u64 = 1_000_000;

/// The trail as it grows.
pub(super) struct Writing {
    pub(super) to: Additions,
    edge: Edge,
    pub(super) sources: Vec<Option<SourceRow>>,
    /// The key that signs, by the newest record that names one.
    key: Option<String>,
    /// Requests that went on before, and those that began here.
    pub(super) unended: HashMap<(usize, u64), Option<String>>,
    pub(super) began: HashMap<(usize, u64), Option<String>>,
    /// What numbers were taken with, by place and first number.
    pub(super) taken: BTreeMap<(usize, u64), Taken>,
    /// How many workers of a node are there.
    pub(super) alive: HashMap<String, u64>,
    /// Kills of which a row is to be written, as far as they are in the trail.
    kills: HashMap<String, KillRow>,
    pub(super) wants_checkpoint: bool,
    pub(super) now: UnixMicros,
}

impl Writing {
    pub(super) fn new(locked: Locked, now: UnixMicros) -> Result<Self, StoreError> {
        let Locked { mut head, key, sources, unended, taken, alive, kills } = locked;
        let edge = Edge::from_bytes(head.size, &head.edge);
        let wrong = || StoreError::Corrupt("the head of the audit trail".to_owned());
        let edge = edge.ok_or_else(wrong)?;
        // A clock that was set back must not make a later record look earlier.
        head.recorded = head.recorded.max(now);
        let now = head.recorded;
        let to = Additions::none(head, sources.len());
        let began = HashMap::new();
        let wants_checkpoint = false;
        Ok(Self {
            to,
            edge,
            sources,
            key,
            unended,
            began,
            taken,
            alive,
            kills,
            wants_checkpoint,
            now,
        })
    }

    /// Number of the last record.
    pub(super) fn size(&self) -> u64 {
        self.to.head.size
    }

    /// Appends a record.
    pub(super) fn add(&mut self, time: Timestamp, entry: Entry) -> Result<u64, StoreError> {
        let columns = Columns::of(&entry);
        let (seq, recorded) = (self.to.head.size + 1, Timestamp(self.now.0));
        let canonical = Canonical::of(&Record { seq, time, recorded, entry });
        self.append(time, columns, canonical)
    }

    /// Appends a record that is written but for its place.
    pub(super) fn place(
        &mut self,
        time: Timestamp,
        entry: &Entry,
        draft: &Draft,
    ) -> Result<u64, StoreError> {
        let canonical = draft.at(self.to.head.size + 1, Timestamp(self.now.0));
        self.append(time, Columns::of(entry), canonical)
    }

    fn append(
        &mut self,
        time: Timestamp,
        columns: Columns,
        canonical: Result<Canonical, CanonicalError>,
    ) -> Result<u64, StoreError> {
        let seq = self.to.head.size + 1;
        let unwritable = |error| StoreError::Corrupt(format!("record {seq}: {error}"));
        let canonical = canonical.map_err(unwritable)?;
        self.wants_checkpoint |= columns.is_a_kill;
        let head = &mut self.to.head;
        head.hash = head.hash.next(canonical.as_bytes());
        head.size = seq;
        self.edge.push(NodeHash::leaf(canonical.as_bytes()), &mut self.to.tiles);
        let Columns { kind, agent_id, act, kill_id, .. } = columns;
        self.to.lines.push(NewLine {
            seq,
            kind,
            time: UnixMicros(time.0),
            agent_id,
            act,
            kill_id,
            record: canonical.into_string(),
            hash: head.hash,
        });
        Ok(seq)
    }

    /// Those that follow what is in the trail. Another server may have been here before.
    pub(super) fn acts(
        &mut self,
        after: EventCursor,
        acts: &[(Event, Option<Kill>)],
    ) -> Result<Done, StoreError> {
        if after == self.to.head.event {
            for (event, kill) in acts {
                let (time, act) = acts::administered(event);
                self.add(time, Entry::Admin(Box::new(act)))?;
                if let Some(kill) = kill {
                    let seq = self.add(time, Entry::KillActivated(rows::activated(kill)))?;
                    self.to.kills.push(KillMark::Activated(rows::begun(kill, seq)));
                }
                self.to.head.event = acts::cursor(event);
            }
        }
        Ok(Done::Cursor(self.to.head.event))
    }

    pub(super) fn put_back(
        &mut self,
        from: EventCursor,
        to: EventCursor,
        epoch: u64,
    ) -> Result<Done, StoreError> {
        if from == self.to.head.event {
            let (event, known) = (from.sequence, to.sequence);
            let restored = Restored { event, known, epoch, trail_size: None, replaced_size: None };
            self.add(Timestamp(self.now.0), Entry::Restored(restored))?;
            self.to.head.event = to;
        }
        Ok(Done::Cursor(self.to.head.event))
    }

    /// A row of a kill, unless it is there.
    pub(super) fn kill_row(&mut self, entry: &Entry) -> Result<Done, StoreError> {
        let time = Timestamp(self.now.0);
        let (id, is_scope) = match entry {
            Entry::KillScope(scope) => (&scope.kill_id, true),
            Entry::KillCompleted(completed) => (&completed.kill_id, false),
            _ => return Ok(Done::Refused),
        };
        let is_open = |row: &KillRow| match is_scope {
            true => row.scope.is_none(),
            false => row.completed.is_none(),
        };
        if !self.kills.get(id).is_some_and(is_open) {
            return Ok(Done::Refused);
        }
        let seq = self.add(time, entry.clone())?;
        let id = id.clone();
        if let Some(row) = self.kills.get_mut(&id) {
            let written = if is_scope { &mut row.scope } else { &mut row.completed };
            *written = Some(seq);
        }
        self.to.kills.push(match is_scope {
            true => KillMark::Scoped { id, seq },
            false => KillMark::Completed { id, seq },
        });
        Ok(Done::At(seq))
    }

    /// The first key is the first record; each other one follows the one that signs now.
    pub(super) fn key(&mut self, named: &KeyNamed) -> Result<Done, StoreError> {
        if named.previous != self.key || self.to.key.is_some() {
            return Ok(Done::Refused);
        }
        let seq = self.add(Timestamp(self.now.0), Entry::Key(named.clone()))?;
        self.key = Some(named.key.clone());
        self.to.key = Some(KeyRow { seq, verifier_key: named.key.clone() });
        Ok(Done::At(seq))
    }

    /// The key that is to follow the one that signs now.
    pub(super) fn announce(&mut self, named: &KeyNamed) -> Result<Done, StoreError> {
        if named.previous != self.key || self.to.announced.is_some() {
            return Ok(Done::Refused);
        }
        let seq = self.add(Timestamp(self.now.0), Entry::KeyAnnounced(named.clone()))?;
        self.to.announced = Some(KeyRow { seq, verifier_key: named.key.clone() });
        Ok(Done::At(seq))
    }

    pub(super) fn archive(&mut self, archived: &Archived) -> Result<Done, StoreError> {
        if archived.last > self.to.head.size || self.to.archived.is_some() {
            return Ok(Done::Refused);
        }
        let seq = self.add(Timestamp(self.now.0), Entry::Archived(archived.clone()))?;
        let Archived { first, last, sha256, .. } = archived.clone();
        self.to.archived = Some(ArchivedRange { seq, first, last, sha256 });
        Ok(Done::At(seq))
    }

    /// A checkpoint, if there is anything new and it is time, or somebody was stopped. None
    /// by a key that another has followed: whoever verifies takes only the newest.
    pub(super) fn sign(&mut self, signing: &Signing) -> Result<(), StoreError> {
        if self.key.as_deref() != Some(signing.key.to_string().as_str()) {
            return Ok(());
        }
        let head = &self.to.head;
        let (size, at) = head.checkpoint;
        let is_time = self.now.0.saturating_sub(at.0) >= CHECKPOINT_EVERY;
        if head.size == size || !(self.wants_checkpoint || is_time) {
            return Ok(());
        }
        let wrong = |error: String| StoreError::Corrupt(format!("the audit trail: {error}"));
        let checkpoint = Checkpoint {
            origin: head.origin.clone(),
            size: head.size,
            root: self.edge.root().map_err(|error| wrong(error.to_string()))?,
            chain: head.hash,
            time: Timestamp(self.now.0),
        };
        let note = checkpoint.sign(&signing.signer).map_err(|error| wrong(error.to_string()))?;
        let row = CheckpointRow { size: head.size, signed: self.now, note };
        self.to.head.checkpoint = (row.size, row.signed);
        self.to.checkpoint = Some(row);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Additions {
        self.to.head.edge = self.edge.to_bytes();
        let began = self.began.into_iter().map(|((place, number), agent)| (place, number, agent));
        self.to.began = began.collect();
        self.to
    }
}
