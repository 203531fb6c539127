//! The image of all authority, kept up with what is published, and its last
//! publications, by which proxies fetch chunks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kya_core::jwt::VerifiedCache;
use kya_core::{
    Authority, Change, Fingerprint, Image, ImageId, Position, PublishedImage, TokenTable,
    UnixSeconds, wire,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::{Store, StoreError, StoredUpdate};
use crate::time::UnixMicros;

/// A token stays in the image for this long after it expired, so that a proxy
/// whose clock is behind still knows it, and says "expired" and not "unknown".
const KEEP_EXPIRED_SECONDS: u64 = 3600;
/// Chunks that are looked through for such tokens in a second: all of those of a
/// million tokens in half a minute, of the largest image in nine.
const CHUNKS_A_SECOND: usize = 256;
/// Capability tokens that were taken back and are forgotten in a second, when they have
/// expired.
const RECORDS_A_SECOND: usize = 4096;
/// Pages of records that wait while the image is built.
const WAITING_PAGES: usize = 4;

/// The image. What takes long happens under a lock that the publisher never
/// waits for.
#[derive(Debug)]
pub(super) struct Images {
    /// Published since the image was last brought up to date.
    noted: Mutex<Vec<StoredUpdate>>,
    current: Mutex<Current>,
    /// The newest last.
    published: Mutex<VecDeque<Arc<Published>>>,
    keep: usize,
    /// When this began, on both clocks. What is forgotten is forgotten by the
    /// one that is never set.
    began: (Instant, UnixMicros),
}

#[derive(Debug)]
struct Current {
    image: Image,
    /// The records of the image, as decisions need them; made when somebody first asks
    /// for one.
    authority: Option<Authority>,
    /// Capability tokens that were verified for such decisions.
    verified: VerifiedCache,
    position: Position,
    /// Whether it differs from what was last published.
    changed: bool,
    /// Where to go on looking for expired tokens.
    cursor: usize,
}

/// All authority as of a position.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) position: Position,
    pub(super) image: PublishedImage,
}

impl Images {
    /// Reads the store into an image.
    pub(super) async fn load(
        store: &dyn Store,
        now: UnixMicros,
        keep: usize,
    ) -> Result<Arc<Self>, StoreError> {
        let began = (Instant::now(), now);
        let (image, position) = read(store, now).await?;
        let tokens = image.token_count();
        let images = Arc::new(Self {
            noted: Mutex::default(),
            current: Mutex::new(Current::new(image, position)),
            published: Mutex::default(),
            keep,
            began,
        });
        // Hashed now, so that the first proxy need not wait.
        images.on_a_thread(Self::newest).await.ok_or_else(lost)?;
        tracing::info!(tokens, took = ?began.0.elapsed(), "read all authority");
        Ok(images)
    }

    /// Reads the store once more, whatever was known, and has `begin` called with the
    /// position in the same instant in which that is taken over.
    pub(super) async fn reload(
        self: &Arc<Self>,
        store: &dyn Store,
        now: UnixMicros,
        begin: impl FnOnce(Position) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (image, position) = read(store, now).await?;
        let take_over = move |images: &Self| {
            // Nobody publishes meanwhile: this is on behalf of who does.
            let mut current = images.up_to_date();
            *current = Current::new(image, position);
            begin(position);
        };
        self.on_a_thread(take_over).await.ok_or_else(lost)
    }

    /// Where the image is.
    pub(super) fn position(&self) -> Position {
        self.up_to_date().position
    }

    /// Takes an update up, and has it appended in the same instant: nobody sees
    /// one without the other.
    pub(super) fn note(&self, update: StoredUpdate, append: impl FnOnce()) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(update);
        append();
    }

    /// All authority at the newest published position. Takes milliseconds where
    /// much has changed.
    pub(super) fn newest(&self) -> Arc<Published> {
        let mut current = self.up_to_date();
        if let Some(newest) = self.published().back()
            && newest.position == current.position
            && !current.changed
        {
            return Arc::clone(newest);
        }
        let (position, image) = (current.position, current.image.publish());
        let newest = Arc::new(Published { position, image });
        current.changed = false;
        let mut published = self.published();
        // The same authority, which has the same name, may be at a later position.
        published.retain(|it| it.image.id() != newest.image.id());
        published.push_back(Arc::clone(&newest));
        while published.len() > self.keep.max(1) {
            published.pop_front();
        }
        newest
    }

    /// One of the last images.
    pub(super) fn find(&self, id: ImageId) -> Option<Arc<Published>> {
        self.published().iter().rev().find(|it| it.image.id() == id).map(Arc::clone)
    }

    /// Whether there is such a token, and as of which position.
    pub(super) fn knows(&self, token: Fingerprint) -> (Position, bool) {
        let current = self.up_to_date();
        let known = matches!((&current.image).find(token), Ok(Some(_)));
        (current.position, known)
    }

    /// Asks all that is published. Takes as long as it takes to read every record, the
    /// first time.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&Authority, &Image, &mut VerifiedCache) -> T,
    ) -> T {
        let mut current = self.up_to_date();
        let Current { image, authority, verified, position, .. } = &mut *current;
        let authority = authority.get_or_insert_with(|| {
            let mut authority = Authority::default();
            authority.follow(*position, image.records().filter_map(Change::from_wire));
            authority
        });
        question(authority, image, verified)
    }

    /// Forgets tokens that expired long ago, a few at a time, for ever.
    pub(super) async fn maintain(self: &Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (began, at) = self.began;
            let passed = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let now = UnixMicros(at.0.saturating_add(passed));
            self.on_a_thread(move |images| images.forget_expired(now, CHUNKS_A_SECOND)).await;
        }
    }

    fn forget_expired(&self, now: UnixMicros, chunks: usize) {
        let mut current = self.up_to_date();
        if let Some(authority) = &mut current.authority {
            authority.forget_expired(horizon(now), None, RECORDS_A_SECOND);
        }
        let before = current.image.token_count();
        let cursor = current.cursor;
        current.cursor = current.image.forget_expired(horizon(now), cursor, chunks);
        current.changed |= current.image.token_count() != before;
    }

    /// Runs what takes long where it holds nobody up. `None` if it was lost,
    /// which is when the process ends.
    pub(super) async fn on_a_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let images = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&images)).await.ok()
    }

    /// The image with everything that is published.
    fn up_to_date(&self) -> MutexGuard<'_, Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken while `current` is held, so that they are applied in order.
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        for update in noted {
            let position = update.committed.position;
            if let Some(authority) = &mut current.authority {
                let read = update.delta.changes.iter().filter_map(Change::from_wire);
                authority.follow(position, read);
            }
            for change in &update.delta.changes {
                if let Err(error) = current.image.apply(change) {
                    // Nothing is noted that was not read before.
                    tracing::error!(%error, "the image is incomplete");
                }
            }
            current.changed = true;
            current.position = position;
        }
        current
    }

    fn published(&self) -> MutexGuard<'_, VecDeque<Arc<Published>>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn new(image: Image, position: Position) -> Self {
        let (authority, verified) = Default::default();
        Self { image, authority, verified, position, changed: true, cursor: 0 }
    }
}

async fn read(store: &dyn Store, now: UnixMicros) -> Result<(Image, Position), StoreError> {
    let (pages, read) = mpsc::channel(WAITING_PAGES);
    let build = tokio::task::spawn_blocking(move || build(read));
    let position = store.records(horizon(now), pages).await?;
    let image = build.await.map_err(|_| lost())??;
    Ok((image, position))
}

fn lost() -> StoreError {
    StoreError::Corrupt("the image could not be built".to_owned())
}

fn build(mut pages: mpsc::Receiver<Vec<wire::Change>>) -> Result<Image, StoreError> {
    let mut image = Image::new();
    while let Some(page) = pages.blocking_recv() {
        for record in &page {
            image
                .apply(record)
                .map_err(|_| StoreError::Corrupt(format!("not a record: {record:?}")))?;
        }
    }
    Ok(image)
}

fn horizon(now: UnixMicros) -> UnixSeconds {
    UnixSeconds(now.seconds().0.saturating_sub(KEEP_EXPIRED_SECONDS))
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
