//! The base: what a manifest describes, read where it lies in the cache.

use kya_core::{
    Change, Fingerprint, Manifest, Position, TokenEntry, TokenTable, Unreadable, records, table,
};

use crate::cache::chunks::Found;
use crate::cache::records::BaseAt;
use crate::host::Host;
use crate::plugin::Plugin;

/// Look-ups that are remembered: 40 KB.
const RECENT: usize = 1024;

/// A verified manifest, and what is known of its chunks.
#[derive(Debug)]
pub struct Base {
    position: Position,
    image: u64,
    manifest: Manifest,
    /// By index: where the chunk was found last.
    found: Vec<Option<Found>>,
    recent: Vec<Option<(Fingerprint, Option<TokenEntry>)>>,
}

impl Base {
    /// What this manifest describes.
    pub fn new(position: Position, manifest: Manifest) -> Self {
        let found = vec![None; manifest.token_chunks()];
        let image = manifest.image().short();
        Self { position, image, manifest, found, recent: vec![None; RECENT] }
    }

    /// The position that it describes.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether this is the base that the cache speaks of.
    pub fn is(&self, at: &BaseAt) -> bool {
        (self.position, self.image) == (at.position, at.image)
    }

    /// Every record; `None` if a chunk of them is not in the cache.
    pub fn records<H: Host>(&self, plugin: &Plugin<H>) -> Option<Vec<Change>> {
        let mut all = Vec::new();
        for index in self.manifest.records() {
            let (content, _) = plugin.cache.chunk(&plugin.host, &self.manifest, index, None)?;
            all.extend(records(&content)?);
        }
        Some(all)
    }
}

/// The tokens of a base, or of none.
#[derive(Debug)]
pub struct Tokens<'a, H> {
    base: Option<&'a mut Base>,
    plugin: &'a Plugin<H>,
}

impl<'a, H> Tokens<'a, H> {
    /// The tokens of this base.
    pub fn of(base: Option<&'a mut Base>, plugin: &'a Plugin<H>) -> Self {
        Self { base, plugin }
    }
}

impl<H: Host> TokenTable for Tokens<'_, H> {
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
        let base = self.base.as_deref_mut().ok_or(Unreadable)?;
        let [.., low, high] = fingerprint.0;
        let place = usize::from(u16::from_le_bytes([low, high])).checked_rem(RECENT).unwrap_or(0);
        if let Some(Some((known, entry))) = base.recent.get(place)
            && *known == fingerprint
        {
            self.plugin.metrics.cache_hit();
            return Ok(*entry);
        }
        let index = base.manifest.token_chunk(fingerprint);
        let slot = usize::try_from(index).ok().and_then(|index| base.found.get_mut(index));
        let slot = slot.ok_or(Unreadable)?;
        let (host, cache) = (&self.plugin.host, &self.plugin.cache);
        let (chunk, found) = cache.chunk(host, &base.manifest, index, *slot).ok_or(Unreadable)?;
        *slot = Some(found);
        let entry = table::find(&chunk, fingerprint);
        if let Some(recent) = base.recent.get_mut(place) {
            *recent = Some((fingerprint, entry));
        }
        Ok(entry)
    }
}
