//! What is kept of the trail.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kya_core::audit::ChainHash;
use kya_core::audit::merkle::Tile;

use super::{DIGEST_BYTES, KillMark, KillRow};
use crate::time::UnixMicros;

/// Where the trail ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailHead {
    /// What its checkpoints are of.
    pub origin: String,
    /// Number of the last record, 0 before the first.
    pub size: u64,
    /// Hash of that record.
    pub hash: ChainHash,
    /// The tiles that are not full, from the lowest level up.
    pub edge: Vec<u8>,
    /// When that record was appended.
    pub recorded: UnixMicros,
    /// The last of the registry's events that is in the trail.
    pub event: EventCursor,
    /// Size of the newest checkpoint, and when it was signed.
    pub checkpoint: (u64, UnixMicros),
}

/// One of the registry's events. After the registry was put back from a backup, another
/// one may have its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCursor {
    /// Place in the log, 0 before the first.
    pub sequence: u64,
    /// Epoch of its commit.
    pub epoch: u64,
    /// When it was.
    pub at: UnixMicros,
}

/// Names a worker's VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// Envoy's `node.id`.
    pub node: String,
    /// Random identity of the VM.
    pub instance: u64,
}

/// Whether more is expected from a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// It is there.
    Alive,
    /// It is gone, and has not said that it would.
    Lost,
    /// It has ended.
    Closed,
}

/// How far the reports of a worker are in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its row, 0 of one that is new.
    pub id: i64,
    /// Slot of the worker in its proxy.
    pub slot: u32,
    /// Number of the event that is expected.
    pub next: u64,
    /// When it was last known to be there.
    pub seen: UnixMicros,
    /// Whether more is expected.
    pub state: SourceState,
    /// Requests that went on and of whose end nothing was reported.
    pub unended: u64,
    /// Those that were too many to be remembered.
    pub unremembered: u64,
    /// By which node registration its first report came; of one that has not reported there
    /// is none.
    pub registration: Option<String>,
    /// The record which says that two report as this worker.
    pub conflict: Option<u64>,
}

/// Numbers of a worker that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Place of the worker in [`Author::sources`](super::Author::sources).
    pub place: usize,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// The last of their records; 0 where nobody asks.
    pub seq: u64,
    /// What each was taken with; empty if they never came, and a record says so.
    pub hashes: Vec<[u8; DIGEST_BYTES]>,
}

/// What an [`Author`](super::Author) gets to know.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Where the trail ends.
    pub head: TrailHead,
    /// The key that signs checkpoints, by the newest record that names one, as a verifier
    /// key of a signed note.
    pub key: Option<String>,
    /// The workers that were asked for, in that order; `None` of those that are new.
    pub sources: Vec<Option<SourceRow>>,
    /// Of the requests that were asked for those that are known, with whose they are.
    pub unended: HashMap<(usize, u64), Option<String>>,
    /// What numbers were taken with, by place and first number.
    pub taken: BTreeMap<(usize, u64), Taken>,
    /// How many workers of a node are taken to be there, of each node of which one that is
    /// not was asked for.
    pub alive: HashMap<String, u64>,
    /// Of the kills that were asked for those that are in the trail, by their ids.
    pub kills: HashMap<String, KillRow>,
}

/// A record to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Its number.
    pub seq: u64,
    /// Its type.
    pub kind: &'static str,
    /// When it happened.
    pub time: UnixMicros,
    /// Whom it is about.
    pub agent_id: Option<String>,
    /// What somebody did.
    pub act: Option<String>,
    /// Of which kill it is part.
    pub kill_id: Option<String>,
    /// Canonical JSON.
    pub record: String,
    /// Its hash in the chain.
    pub hash: ChainHash,
}

/// A record that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Its number.
    pub seq: u64,
    /// Canonical JSON.
    pub record: String,
    /// Its hash in the chain.
    pub hash: ChainHash,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Of how many records.
    pub size: u64,
    /// When it was signed.
    pub signed: UnixMicros,
    /// The signed note.
    pub note: String,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The record that names it.
    pub seq: u64,
    /// As a verifier key of a signed note.
    pub verifier_key: String,
}

/// Records that were exported as a sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedRange {
    /// The record that says so.
    pub seq: u64,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// SHA-256 of the segment, 64 hexadecimal digits.
    pub sha256: String,
}

/// What one transaction adds.
#[derive(Debug, Clone)]
pub struct Additions {
    /// Where the trail ends then.
    pub head: TrailHead,
    /// The records, in order.
    pub lines: Vec<NewLine>,
    /// Tiles that are full by them.
    pub tiles: Vec<Tile>,
    /// How far the workers are, by their place in [`Author::sources`](super::Author::sources);
    /// `None` of those that stay as they are.
    pub sources: Vec<Option<SourceRow>>,
    /// Requests that went on, and whose they are.
    pub began: Vec<(usize, u64, Option<String>)>,
    /// Requests of the same kind that have ended; those that began in the same
    /// transaction are in neither.
    pub ended: Vec<(usize, u64)>,
    /// Workers of which the registration, the conflict or the number of requests that are
    /// not remembered has changed.
    pub marked: BTreeSet<usize>,
    /// Numbers that are taken by it.
    pub taken: Vec<Taken>,
    /// Workers of which no request is taken to go on.
    pub forgotten: Vec<usize>,
    /// A checkpoint of the whole.
    pub checkpoint: Option<CheckpointRow>,
    /// A key that one of the records names.
    pub key: Option<KeyRow>,
    /// A key that one of the records announces.
    pub announced: Option<KeyRow>,
    /// What one of the records says to be archived.
    pub archived: Option<ArchivedRange>,
    /// What the records say about kills.
    pub kills: Vec<KillMark>,
}

impl SourceState {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Alive, Self::Lost, Self::Closed].into_iter().find(|it| it.name() == name)
    }
}

impl Additions {
    /// None, where the trail ends like this.
    pub fn none(head: TrailHead, sources: usize) -> Self {
        Self {
            head,
            lines: Vec::new(),
            tiles: Vec::new(),
            sources: vec![None; sources],
            began: Vec::new(),
            ended: Vec::new(),
            marked: BTreeSet::new(),
            taken: Vec::new(),
            forgotten: Vec::new(),
            checkpoint: None,
            key: None,
            announced: None,
            archived: None,
            kills: Vec::new(),
        }
    }
}
