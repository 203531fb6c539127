//! What a proxy has of the state, and what it still lacks.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use kya_core::{Position, Revision, chunk_hash, wire};

/// Chunks that are asked for at a time, as the filter does.
const AT_A_TIME: usize = 1024;
/// Of the hash of a chunk.
const HASH: usize = 32;

/// What a proxy has. It keeps that when its stream ends, and goes on from there with the
/// next.
#[derive(Debug, Clone, Default)]
pub struct Has {
    position: Option<Position>,
    base: Option<wire::Manifest>,
    fetch: Option<Fetch>,
}

/// A base of which something is missing.
#[derive(Debug, Clone)]
struct Fetch {
    manifest: wire::Manifest,
    /// What it is with the deltas that have come since.
    reached: Position,
    missing: Vec<u32>,
    awaited: BTreeSet<u32>,
    taken: Snapshot,
}

/// A manifest, and the chunks that were fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many chunks.
    pub chunks: usize,
    /// The bytes of all messages that it took.
    pub bytes: usize,
}

impl Has {
    /// Up to where it has everything.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// A stream begins: what was asked for on the last one does not come any more.
    pub(crate) fn begin(&mut self) {
        self.fetch = None;
    }

    /// A manifest of so many bytes has come. Chunks that its base has not are to be fetched,
    /// if the proxy `fetches` any.
    pub(crate) fn take_manifest(
        &mut self,
        at: Position,
        manifest: wire::Manifest,
        bytes: usize,
        fetches: bool,
    ) {
        let mut missing = match fetches {
            true => changed_since(&manifest, self.base.as_ref()),
            false => Vec::new(),
        };
        // The next is taken from the end.
        missing.reverse();
        self.fetch = Some(Fetch {
            manifest,
            reached: at,
            missing,
            awaited: BTreeSet::new(),
            taken: Snapshot { chunks: 0, bytes },
        });
    }

    /// What to ask for next, once what was asked for has come.
    pub(crate) fn request(&mut self) -> Option<wire::ChunkRequest> {
        let fetch = self.fetch.as_mut().filter(|fetch| fetch.awaited.is_empty())?;
        let rest = fetch.missing.len().saturating_sub(AT_A_TIME);
        let mut indexes = fetch.missing.split_off(rest);
        indexes.reverse();
        fetch.awaited.extend(&indexes);
        let image = chunk_hash(&fetch.manifest.chunk_hashes).to_vec();
        (!indexes.is_empty()).then_some(wire::ChunkRequest { image, indexes })
    }

    /// Some chunks have come, in a message of so many bytes.
    pub(crate) fn take_chunks(&mut self, chunks: &wire::Chunks, bytes: usize) -> Result<()> {
        let fetch = self.fetch.as_mut().context("chunks that nobody asked for")?;
        ensure!(!chunks.chunks.is_empty(), "the control plane has that image no more");
        for chunk in &chunks.chunks {
            ensure!(fetch.awaited.remove(&chunk.index), "chunk {} was not asked for", chunk.index);
        }
        fetch.taken.chunks += chunks.chunks.len();
        fetch.taken.bytes += bytes;
        Ok(())
    }

    /// A delta has come that leads to `at`. Whether it has everything up to there.
    pub(crate) fn take_delta(&mut self, at: Position) -> Result<bool> {
        let from = match &mut self.fetch {
            Some(fetch) => &mut fetch.reached,
            None => self.position.as_mut().context("a delta before any state")?,
        };
        let next = Position { revision: Revision(from.revision.0 + 1), ..*from };
        ensure!(at == next, "a delta that leads to {at:?} where {next:?} comes next");
        *from = at;
        Ok(self.fetch.is_none())
    }

    /// Takes the base, once nothing of it is missing any more.
    pub(crate) fn complete(&mut self) -> Option<Snapshot> {
        let whole = |fetch: &mut Fetch| fetch.missing.is_empty() && fetch.awaited.is_empty();
        let fetch = self.fetch.take_if(whole)?;
        self.position = Some(fetch.reached);
        self.base = Some(fetch.manifest);
        Some(fetch.taken)
    }
}

/// The chunks that are not the same in `older`, or all of them if they are spread otherwise.
fn changed_since(manifest: &wire::Manifest, older: Option<&wire::Manifest>) -> Vec<u32> {
    let alike = |older: &&wire::Manifest| {
        older.token_bits == manifest.token_bits && older.record_bits == manifest.record_bits
    };
    let older: &[u8] = match older.filter(alike) {
        Some(older) => &older.chunk_hashes,
        None => &[],
    };
    let (hashes, _) = manifest.chunk_hashes.as_chunks::<HASH>();
    let (known, _) = older.as_chunks::<HASH>();
    let changed = (0u32..)
        .zip(hashes)
        .filter(|(index, hash)| known.get(*index as usize).is_none_or(|known| known != *hash));
    changed.map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Position {
        Position { epoch: 1, revision: Revision(revision) }
    }

    fn manifest(contents: &[u8]) -> wire::Manifest {
        let chunk_hashes = contents.iter().flat_map(|content| chunk_hash(&[*content])).collect();
        wire::Manifest { chunk_hashes, ..wire::Manifest::default() }
    }

    fn chunks(indexes: &[u32]) -> wire::Chunks {
        let chunk = |index: &u32| wire::Chunk { index: *index, ..wire::Chunk::default() };
        wire::Chunks { chunks: indexes.iter().map(chunk).collect(), ..wire::Chunks::default() }
    }

    #[test]
    fn there_is_a_state_once_every_chunk_has_come_and_deltas_count_meanwhile() {
        let mut has = Has::default();
        assert!(has.take_delta(at(1)).is_err(), "there is no state that it could follow");
        has.take_manifest(at(4), manifest(&[1, 2, 3]), 100, true);
        let asked = has.request().unwrap();
        assert_eq!(asked.indexes, [0, 1, 2]);
        assert_eq!(asked.image, chunk_hash(&manifest(&[1, 2, 3]).chunk_hashes));
        assert_eq!(has.request(), None, "what was asked for has not come");
        has.take_chunks(&chunks(&[1, 0]), 10).unwrap();
        assert!(!has.take_delta(at(5)).unwrap());
        assert_eq!((has.complete(), has.position()), (None, None));
        has.take_chunks(&chunks(&[2]), 10).unwrap();
        assert_eq!(has.complete(), Some(Snapshot { chunks: 3, bytes: 120 }));
        assert_eq!(has.position(), Some(at(5)));
        assert!(has.take_delta(at(6)).unwrap());
        assert!(has.take_delta(at(8)).is_err(), "7 is missing");
        assert!(has.take_chunks(&chunks(&[2]), 10).is_err());
    }

    #[test]
    fn only_what_has_changed_since_the_last_base_is_fetched() {
        let mut has = Has::default();
        has.take_manifest(at(4), manifest(&[1, 2, 3]), 0, false);
        assert_eq!(has.complete(), Some(Snapshot::default()));
        has.take_manifest(at(9), manifest(&[1, 5, 3]), 0, true);
        assert_eq!(has.request().unwrap().indexes, [1]);
        // The stream ends, and the next one brings the same.
        has.begin();
        assert_eq!(has.position(), Some(at(4)));
        has.take_manifest(at(9), manifest(&[1, 5, 3]), 0, true);
        assert_eq!(has.request().unwrap().indexes, [1]);
        assert!(has.take_chunks(&chunks(&[]), 0).is_err(), "the image is gone");
        let spread = wire::Manifest { token_bits: 1, ..manifest(&[1, 5, 3]) };
        has.take_manifest(at(9), spread, 0, true);
        assert_eq!(has.request().unwrap().indexes, [0, 1, 2]);
    }

    #[test]
    fn many_chunks_are_asked_for_in_turns() {
        let (mut has, count) = (Has::default(), AT_A_TIME as u32 + 1);
        let contents = wire::Manifest { chunk_hashes: vec![7; HASH * 1025], ..manifest(&[]) };
        has.take_manifest(at(1), contents, 0, true);
        let first = has.request().unwrap().indexes;
        assert_eq!(first, (0..count - 1).collect::<Vec<_>>());
        has.take_chunks(&chunks(&first), 0).unwrap();
        assert_eq!(has.complete(), None);
        assert_eq!(has.request().unwrap().indexes, [count - 1]);
    }
}
