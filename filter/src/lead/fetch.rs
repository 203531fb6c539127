//! Fetching: the chunks of a manifest that are not in the cache yet.

use std::collections::BTreeSet;

use kya_core::{ImageId, MAX_CHUNK_BYTES, Manifest, Monotonic, Position, wire};

use crate::clock;
use crate::host::{Host, Refused};
use crate::plugin::Plugin;

/// Chunks that are asked for at a time: about 4 MB.
const BATCH: usize = 1024;
/// How long nothing may come of what was asked for.
const STALL_MILLIS: u64 = 5_000;

/// A manifest of which not every chunk is there.
#[derive(Debug)]
pub struct Fetch {
    /// What it describes.
    pub position: Position,
    /// The manifest.
    pub manifest: Manifest,
    /// Its `SignedUpdate`, as it arrived.
    pub signed: Vec<u8>,
    image: ImageId,
    missing: BTreeSet<u32>,
    asked: BTreeSet<u32>,
    asked_over: Way,
    progress: Monotonic,
}

/// What chunks are asked for over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The stream.
    Stream,
    /// A pull.
    Pull,
}

/// What became of chunks that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// They are of another image, or were not missing.
    Unasked,
    /// The control plane does not have this image any more.
    Gone,
    /// Those that fit were stored.
    Stored {
        /// How many did not fit their hash.
        bad: u32,
    },
}

impl Fetch {
    /// What is to be fetched of this manifest: what is not in `base`, what is
    /// known to be `torn`, and nothing that `before` had fetched already.
    pub fn new(
        (position, manifest, signed): (Position, Manifest, Vec<u8>),
        base: Option<&Manifest>,
        torn: &BTreeSet<u32>,
        before: Option<&Self>,
        now: Monotonic,
    ) -> Self {
        let there = |index: &u32| {
            before.is_some_and(|before| {
                !before.missing.contains(index)
                    && base.is_none_or(|base| base.hash(*index) != before.manifest.hash(*index))
                    && before.manifest.hash(*index) == manifest.hash(*index)
            })
        };
        let mut missing: BTreeSet<_> =
            manifest.changed_since(base).filter(|index| !there(index)).collect();
        missing.extend(torn.iter().filter(|index| manifest.hash(**index).is_some()));
        let image = manifest.image();
        let (asked, asked_over) = (BTreeSet::new(), Way::Stream);
        Self { position, image, manifest, signed, missing, asked, asked_over, progress: now }
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// How many chunks are missing.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Which image it is of.
    pub fn image(&self) -> ImageId {
        self.image
    }

    /// The next request, unless one is open.
    pub fn request(&mut self, way: Way, now: Monotonic) -> Option<wire::ChunkRequest> {
        if !self.asked.is_empty() || self.missing.is_empty() {
            return None;
        }
        self.asked = self.missing.iter().take(BATCH).copied().collect();
        self.asked_over = way;
        self.progress = now;
        Some(wire::ChunkRequest {
            image: self.image.0.to_vec(),
            indexes: self.asked.iter().copied().collect(),
        })
    }

    /// What was asked for over this will not come: it may be asked for again.
    pub fn forget_request(&mut self, way: Way) {
        if self.asked_over == way {
            self.asked.clear();
        }
    }

    /// Whether nothing has come of a request for too long.
    pub fn is_stalled(&self, now: Monotonic) -> bool {
        !self.asked.is_empty() && now.0.saturating_sub(self.progress.0) > STALL_MILLIS
    }

    /// Stores the chunks that fit beside those of `base`.
    pub fn take<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        base: Option<&Manifest>,
        chunks: &wire::Chunks,
    ) -> Result<Arrived, Refused> {
        if chunks.image != self.image.0 {
            return Ok(Arrived::Unasked);
        }
        if chunks.chunks.is_empty() {
            return Ok(Arrived::Gone);
        }
        let mut bad = 0u32;
        for wire::Chunk { index, content } in &chunks.chunks {
            if !self.missing.contains(index) {
                continue;
            }
            if content.len() > MAX_CHUNK_BYTES || !self.manifest.fits(*index, content) {
                bad = bad.saturating_add(1);
                continue;
            }
            plugin.cache.store_chunk(&plugin.host, base, *index, content)?;
            self.missing.remove(index);
            self.asked.remove(index);
            self.progress = clock::monotonic(&plugin.host);
        }
        Ok(Arrived::Stored { bad })
    }
}
