//! Chunks of images, for whoever asks for them by index.

use kya_core::wire::{Chunk, ChunkRequest, Chunks};
use kya_core::{ImageId, PublishedImage};
use tokio::sync::mpsc;
use tonic::Status;

use super::Push;
use super::hello::Malformed;
use super::outbound::Lanes;

/// What the chunks of one message have together, about: the last one may make it
/// more.
pub(super) const MESSAGE_BYTES: usize = 256 * 1024;
/// Most chunks that are asked for at once.
const MAX_INDEXES: usize = 4096;

/// Chunks that somebody wants: at least one, and none twice.
#[derive(Debug)]
pub(super) struct Wanted {
    image: ImageId,
    indexes: Vec<u32>,
}

impl Wanted {
    /// Checks what can be checked without the image.
    pub(super) fn from_wire(request: ChunkRequest) -> Result<Self, Malformed> {
        let ChunkRequest { image, indexes } = request;
        let image = ImageId::from_slice(&image).ok_or_else(|| {
            Malformed(format!("the name of an image has 32 bytes, this has {}", image.len()))
        })?;
        if indexes.is_empty() {
            return Err(Malformed("no chunk is asked for".to_owned()));
        }
        if indexes.len() > MAX_INDEXES {
            let count = indexes.len();
            return Err(Malformed(format!(
                "{count} chunks are asked for at once, more than {MAX_INDEXES}"
            )));
        }
        let mut sorted = indexes.clone();
        sorted.sort_unstable();
        if let Some([twice, _]) = sorted.array_windows().find(|[one, next]| one == next) {
            return Err(Malformed(format!("chunk {twice} is asked for twice")));
        }
        Ok(Self { image, indexes })
    }

    fn check(&self, image: &PublishedImage) -> Result<(), Malformed> {
        match self.indexes.iter().find(|index| image.chunk(**index).is_none()) {
            None => Ok(()),
            Some(index) => {
                let count = image.manifest().count();
                Err(Malformed(format!("there is no chunk {index}: the image has {count}")))
            }
        }
    }

    /// The first of the chunks, as many as have about `bytes` together.
    pub(super) fn first(&self, push: &Push, bytes: usize) -> Result<Chunks, Malformed> {
        let mut message = Chunks { image: self.image.0.to_vec(), chunks: Vec::new() };
        if let Some(published) = push.images.find(self.image) {
            self.check(&published.image)?;
            fill(&mut message, &published.image, &mut self.indexes.iter(), bytes);
        }
        push.metrics.sent_chunks(message.chunks.len());
        Ok(message)
    }
}

/// Answers requests one after the other, message by message.
pub(super) async fn feed(
    push: &Push,
    lanes: &Lanes,
    mut requests: mpsc::Receiver<Wanted>,
) -> Result<(), Status> {
    while let Some(wanted) = requests.recv().await {
        let nothing = || Chunks { image: wanted.image.0.to_vec(), chunks: Vec::new() };
        let Some(published) = push.images.find(wanted.image) else {
            lanes.chunks(nothing()).await?;
            continue;
        };
        wanted.check(&published.image)?;
        let mut indexes = wanted.indexes.iter();
        while indexes.len() > 0 {
            let mut message = nothing();
            fill(&mut message, &published.image, &mut indexes, MESSAGE_BYTES);
            let count = message.chunks.len();
            lanes.chunks(message).await?;
            push.metrics.sent_chunks(count);
        }
    }
    // The session ends when the proxy says no more, and not here.
    std::future::pending().await
}

fn fill(
    message: &mut Chunks,
    image: &PublishedImage,
    indexes: &mut std::slice::Iter<'_, u32>,
    bytes: usize,
) {
    let mut filled = 0usize;
    while filled < bytes
        && let Some(index) = indexes.next()
    {
        // Every index was checked.
        let Some(content) = image.chunk(*index) else { continue };
        filled = filled.saturating_add(content.len());
        message.chunks.push(Chunk { index: *index, content: content.to_vec() });
    }
}
