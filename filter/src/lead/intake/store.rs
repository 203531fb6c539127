//! What gets into the cache: manifests, deltas, and the head.

use kya_core::{ImageId, Manifest, Monotonic, Position, VerifiedUpdate, wire};
use prost::Message;

use super::{Intake, Outcome, Refusal, Taken, refusal};
use crate::cache::records::{BaseAt, Head, Place};
use crate::cache::{RING, StoreError};
use crate::clock;
use crate::host::Host;
use crate::lead::fetch::Fetch;
use crate::plugin::Plugin;

/// A head that stays ahead of the leader for so long is nobody's: another leader
/// would have been caught up with by then.
const AHEAD_MILLIS: u64 = 2_000;

impl Intake {
    pub(super) fn accept_manifest<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        manifest: &Manifest,
        signed: &wire::SignedUpdate,
        repeats: bool,
        now: Monotonic,
    ) -> Outcome {
        let position = update.position();
        if Some(position) < self.position {
            // The other way was quicker.
            if repeats {
                return Ok(Taken::Noted);
            }
            let why = format!("revision {}, older than what is enforced here", position.revision);
            return Err(Refusal { fatal: true, ..refusal("not_newer", why) });
        }
        self.wants_manifest = false;
        self.position = Some(position);
        let offer = (position, manifest.clone(), signed.encode_to_vec());
        let before = self.fetch.take();
        let fetch = Fetch::new(offer, self.base.as_ref(), &self.torn, before.as_ref(), now);
        self.fetch = Some(fetch);
        self.complete(plugin)
    }

    /// Makes the fetched manifest the base, once nothing of it is missing.
    pub(super) fn complete<H: Host>(&mut self, plugin: &Plugin<H>) -> Outcome {
        let Some(fetch) = self.fetch.take_if(|fetch| fetch.is_complete()) else {
            return Ok(Taken::Noted);
        };
        let position = self.position.unwrap_or(fetch.position);
        if position.revision.0.saturating_sub(fetch.position.revision.0) >= RING {
            // It took so long that deltas do not lead from it to the newest.
            self.wants_manifest = true;
            return Ok(Taken::Noted);
        }
        let place = self.head.map_or(Place::A, |head| head.base.place.other());
        let image: ImageId = fetch.image();
        let base = BaseAt { position: fetch.position, image: image.short(), place };
        let stored = plugin.cache.store_manifest(&plugin.host, place, &fetch.signed);
        let stored = stored
            .map_err(StoreError::from)
            .and_then(|()| plugin.cache.advance_head(&plugin.host, Head { position, base }));
        self.stored(plugin, Head { position, base }, stored)?;
        self.base_signer = super::keys::signer_of(&fetch.signed);
        self.base = Some(fetch.manifest);
        if !self.key_chain.is_empty() {
            // Another plugin may have written over it: whoever needed this base
            // may need the keys, too.
            let _ = plugin.cache.store_keys(&plugin.host, &self.key_chain);
        }
        self.torn.clear();
        self.audited_to = 0;
        Ok(Taken::News)
    }

    pub(super) fn accept_delta<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
    ) -> Outcome {
        let position = update.position();
        if Some(position) <= self.position {
            return Err(refusal("not_newer", "a change that is known already"));
        }
        if self.position.map(|have| have.next()) != Some(position) {
            self.wants_manifest = true;
            return Err(refusal("gap", "changes before it are missing"));
        }
        let (host, cache) = (&plugin.host, &plugin.cache);
        if let Err(error) = cache.store_delta(host, position.revision, &signed.encode_to_vec()) {
            self.wants_manifest = true;
            return Err(refusal("not_stored", error.to_string()));
        }
        match self.head.filter(|head| head.position.next() == position) {
            Some(head) => {
                let head = Head { position, ..head };
                let outcome = cache.advance_head(host, head);
                self.stored(plugin, head, outcome).inspect_err(|_| self.wants_manifest = true)?;
            }
            // What it follows is still being fetched.
            None => self.position = Some(position),
        }
        Ok(Taken::News)
    }

    /// The control plane has said something that this version does not
    /// understand, and that may be a denial unless it speaks of what is known
    /// already. Announce the position, so that every worker denies that cannot
    /// read it, and ask for a manifest, which says in known terms where things
    /// stand.
    pub(super) fn announce<H: Host>(&mut self, plugin: &Plugin<H>, position: Option<Position>) {
        let Some(mine) = self.head else { return };
        let position = position.unwrap_or_else(|| mine.position.next());
        if position <= mine.position {
            return;
        }
        self.wants_manifest = true;
        let head = Head { position, ..mine };
        let outcome = plugin.cache.advance_head(&plugin.host, head);
        // If it cannot be announced, there is no way to tell the workers.
        let _ = self.stored(plugin, head, outcome);
    }

    /// Takes note of what became of storing the head.
    pub(super) fn stored<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        head: Head,
        outcome: Result<(), StoreError>,
    ) -> Result<(), Refusal> {
        let now = clock::monotonic(&plugin.host);
        let stored = match outcome {
            Ok(()) => true,
            Err(StoreError::Newer) => {
                let since = *self.ahead_since.get_or_insert(now);
                now.0.saturating_sub(since.0) > AHEAD_MILLIS
                    && plugin.cache.restore_head(&plugin.host, head).is_ok()
            }
            Err(StoreError::Contended | StoreError::Refused(_)) => false,
        };
        if !stored {
            let why = "the proxy did not store it";
            return Err(Refusal { fatal: self.fetch.is_none(), ..refusal("not_stored", why) });
        }
        self.ahead_since = None;
        self.head = Some(head);
        self.position = self.position.max(Some(head.position));
        plugin.metrics.update_applied(&plugin.host, head.position.revision.0);
        if let Some((_, heartbeat)) = self.early.take_if(|(at, _)| *at <= head.position)
            && let Ok(update) = self.verifier.verify(&heartbeat)
        {
            self.take_heartbeat(plugin, &update, heartbeat, now);
        }
        Ok(())
    }
}
