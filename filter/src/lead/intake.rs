//! The intake: what a leader believes of what arrives, whatever it arrives over,
//! and how that gets into the cache.
//!
//! It believes nothing before a nonce has come back signed; from then on it takes
//! exactly the next delta each time. A manifest counts once all of its chunks are
//! in the cache. Whatever is accepted goes into the cache as it was signed.

use std::collections::BTreeSet;

use kya_core::{
    Anchor, Body, Freshness, ImageId, Manifest, Monotonic, Nonce, Position, UpdateError,
    VerifiedUpdate, Verifier, wire,
};
use prost::Message;

use crate::cache::records::{BaseAt, Fresh, Head, Place};
use crate::cache::{RING, StoreError};
use crate::clock;
use crate::host::Host;
use crate::lead::channel::Channel;
use crate::lead::fetch::{Arrived, Fetch};
use crate::vm::Plugin;

/// A base further back than this is replaced, while deltas still reach it.
const COMPACT_AFTER: u64 = RING / 2;
/// A head that stays ahead of the leader for so long is nobody's: another leader
/// would have been caught up with by then.
const AHEAD_MILLIS: u64 = 2_000;
/// A message that is so much older on arrival than it might be makes the leader
/// ask how the clocks stand.
const LATE_MILLIS: u64 = 5_000;
/// The clocks are compared anew so often.
const ANCHOR_MILLIS: u64 = 30_000;
/// Changes of the trusted keys that are kept for VMs that know the pinned ones.
const MAX_KEY_CHAIN: usize = 16;
/// Chunks that are looked at in one call of [`Intake::audit`].
const AUDITED: u32 = 64;

/// What a leader believes.
#[derive(Debug)]
pub struct Intake {
    verifier: Verifier,
    key_chain: Vec<Vec<u8>>,
    /// Newest position that was accepted, or that this VM had verified before.
    position: Option<Position>,
    /// What this leader has stored last, or found.
    head: Option<Head>,
    /// The manifest of the head.
    base: Option<Manifest>,
    /// Id of the key that signed the base.
    base_signer: Option<Vec<u8>>,
    fetch: Option<Fetch>,
    /// Chunks of the base that are not in the cache any more.
    torn: BTreeSet<u32>,
    audited_to: u32,
    freshness: Freshness,
    clock_ahead_millis: i64,
    /// A heartbeat that speaks of a position that the workers cannot have yet.
    early: Option<(Position, Vec<u8>)>,
    ahead_since: Option<Monotonic>,
    /// A manifest is needed.
    pub wants_manifest: bool,
    /// The clocks are to be compared.
    pub wants_probe: bool,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A short, stable name for counters.
    pub cause: &'static str,
    /// What is wrong, for people.
    pub why: String,
    /// Whether nothing more is to be taken over the channel.
    pub fatal: bool,
}

/// What a message that was accepted has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing that a worker would look at.
    Noted,
    /// The workers are to look.
    News,
}

type Outcome = Result<Taken, Refusal>;

fn refusal(cause: &'static str, why: impl Into<String>) -> Refusal {
    Refusal { cause, why: why.into(), fatal: false }
}

impl Intake {
    /// An intake that accepts nothing older than `floor`, which this VM verified
    /// itself, and goes on from what an earlier leader left in the cache.
    pub fn new<H: Host>(plugin: &Plugin<H>, verifier: Verifier, floor: Option<Position>) -> Self {
        let mut intake = Self {
            verifier,
            key_chain: Vec::new(),
            position: floor,
            head: None,
            base: None,
            base_signer: None,
            fetch: None,
            torn: BTreeSet::new(),
            audited_to: 0,
            freshness: Freshness::default(),
            clock_ahead_millis: 0,
            early: None,
            ahead_since: None,
            wants_manifest: false,
            wants_probe: false,
        };
        if let Some((chain, _)) = plugin.cache.keys(&plugin.host) {
            intake.key_chain = chain.iter().map(Message::encode_to_vec).collect();
        }
        if let Ok(Some(head)) = plugin.cache.head(&plugin.host)
            && Some(head.position) == floor
            && let Some(manifest) = intake.stored_manifest(plugin, &head)
        {
            intake.head = Some(head);
            intake.base_signer = plugin
                .cache
                .manifest(&plugin.host, head.base.place)
                .and_then(|bytes| signer_of(&bytes));
            intake.base = Some(manifest);
        }
        intake
    }

    fn stored_manifest<H: Host>(&self, plugin: &Plugin<H>, head: &Head) -> Option<Manifest> {
        let bytes = plugin.cache.manifest(&plugin.host, head.base.place)?;
        let update = self.verifier.verify(&bytes).ok()?;
        let Body::Manifest { manifest, .. } = update.body() else { return None };
        let fits =
            update.position() == head.base.position && manifest.image().short() == head.base.image;
        fits.then(|| manifest.clone())
    }

    /// The newest position that was accepted.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// What the workers are to decide by.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The position from which deltas can go on: everything up to it is in the
    /// cache.
    pub fn have(&self) -> Option<Position> {
        let head = self.head?;
        let whole = self.base.is_some() && self.torn.is_empty() && !self.wants_manifest;
        (whole && Some(head.position) == self.position).then_some(head.position)
    }

    /// How far the proxy's wall clock is ahead of the control plane's.
    pub fn clock_ahead_millis(&self) -> i64 {
        self.clock_ahead_millis
    }

    /// Age of the state at the head.
    pub fn state_age(&self, now: Monotonic) -> Option<u64> {
        self.freshness.age(now)
    }

    /// The next chunks to ask for.
    pub fn request(&mut self, now: Monotonic) -> Option<wire::ChunkRequest> {
        self.fetch.as_mut()?.request(now)
    }

    /// How far it has come: another value after something was accepted.
    pub fn progress(&self) -> (Option<Position>, Option<Head>, usize) {
        (self.position, self.head, self.fetch.as_ref().map_or(0, Fetch::missing))
    }

    /// Whether chunks are missing.
    pub fn is_fetching(&self) -> bool {
        self.fetch.is_some()
    }

    /// Whether chunks that were asked for do not come.
    pub fn is_stalled(&self, now: Monotonic) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| fetch.is_stalled(now))
    }

    /// The channel over which chunks were asked for has ended.
    pub fn forget_request(&mut self) {
        if let Some(fetch) = &mut self.fetch {
            fetch.forget_request();
        }
    }

    /// Takes a signed message.
    pub fn signed<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        signed: &wire::SignedUpdate,
        channel: &mut impl Channel,
    ) -> Outcome {
        let update = match self.verifier.verify_signed(signed) {
            Ok(update) => update,
            // The chain that leads from every key that was ever pinned to the one
            // that signs now comes whole. What leads to a key that is trusted here,
            // or was, is of no use, and nothing is wrong.
            Err(UpdateError::UnknownKey) if is_a_link(signed) => return Ok(Taken::Noted),
            Err(error) => {
                let hint = match error {
                    UpdateError::BadPayload { position } if channel.is_proven() => {
                        self.announce(plugin, position);
                        ""
                    }
                    UpdateError::UnknownKey => {
                        ": does `update_keys` hold what `kya-control-plane public-key` prints?"
                    }
                    _ => "",
                };
                return Err(refusal(error.cause(), format!("{error}{hint}")));
            }
        };
        let now = clock::monotonic(&plugin.host);
        self.mind_signer(&update, signed, channel);
        let unproven = || refusal("unproven", "a message before a nonce has come back");
        match update.body() {
            // It needs no nonce: its serial keeps it from being played back.
            Body::Keys { .. } => Ok(self.learn(plugin, &update, signed)),
            Body::Manifest { nonce, manifest } => {
                let anchor = self.anchored(plugin, channel, *nonce, &update, now)?;
                self.accept_manifest(plugin, &update, manifest, signed, now)
                    .inspect(|_| channel.prove())
                    .inspect(|_| self.note_anchor(anchor, now))
            }
            Body::Heartbeat { nonce: Some(nonce) } => {
                let first = !channel.is_proven();
                let anchor = self.anchored(plugin, channel, *nonce, &update, now)?;
                channel.prove();
                self.note_anchor(anchor, now);
                // Where it answers a greeting, what is missing follows.
                self.accept_heartbeat(plugin, &update, signed, first, now)
            }
            _ if !channel.is_proven() => Err(unproven()),
            Body::Heartbeat { nonce: None } => {
                self.accept_heartbeat(plugin, &update, signed, false, now)
            }
            Body::Delta(_) => {
                let known = Some(update.position()) <= self.position;
                if known && channel.repeats() {
                    return Ok(Taken::Noted);
                }
                self.accept_delta(plugin, &update, signed, now)
            }
            Body::Challenge(_) => {
                let stored = plugin.cache.store_challenge(&plugin.host, &signed.encode_to_vec());
                stored.map_err(|error| refusal("not_stored", error.to_string()))?;
                Ok(Taken::News)
            }
            Body::Introspection { .. } => {
                Err(refusal("unasked", "the answer to a question that was not asked here"))
            }
        }
    }

    /// Takes chunks.
    pub fn chunks<H: Host>(&mut self, plugin: &Plugin<H>, chunks: &wire::Chunks) -> Outcome {
        let Some(fetch) = &mut self.fetch else { return Ok(Taken::Noted) };
        match fetch.take(plugin, self.base.as_ref(), chunks) {
            Err(error) => Err(refusal("not_stored", error.to_string())),
            Ok(Arrived::Unasked) => Ok(Taken::Noted),
            Ok(Arrived::Gone) => {
                self.wants_manifest = true;
                Ok(Taken::Noted)
            }
            Ok(Arrived::Stored { bad: 0 }) => self.complete(plugin),
            Ok(Arrived::Stored { bad }) => {
                // It would come again and again.
                self.wants_manifest = true;
                Err(refusal("bad_chunk", format!("{bad} chunks that do not fit their hashes")))
            }
        }
    }

    fn anchored<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        channel: &mut impl Channel,
        nonce: Nonce,
        update: &VerifiedUpdate,
        now: Monotonic,
    ) -> Result<Anchor, Refusal> {
        let asked = channel
            .answers(nonce)
            .ok_or_else(|| refusal("wrong_nonce", "a message that answers no open question"))?;
        // Signed between the question and now: half-way is the best guess.
        let wall = plugin.host.now_nanos() / clock::NANOS_PER_MILLI;
        let middle = wall.saturating_sub(now.0.saturating_sub(asked.0) / 2);
        self.clock_ahead_millis =
            i64::try_from(i128::from(middle).saturating_sub(i128::from(update.issued().0)))
                .unwrap_or(0);
        Ok(Anchor { asked, signed: update.issued() })
    }

    fn note_anchor(&mut self, anchor: Anchor, now: Monotonic) {
        self.freshness.anchored(anchor, now);
        self.wants_probe = false;
    }

    fn learn<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
    ) -> Taken {
        if !self.verifier.learn(update) {
            return Taken::Noted;
        }
        if self.key_chain.len() >= MAX_KEY_CHAIN {
            self.key_chain.remove(0);
        }
        self.key_chain.push(signed.encode_to_vec());
        // Workers that do not learn them cannot read what comes, and deny.
        let _ = plugin.cache.store_keys(&plugin.host, &self.key_chain);
        Taken::News
    }

    /// The key that signs is another than the one that signed the base: as soon as
    /// that one is retired, no new worker could read the base, so it is renewed.
    fn mind_signer(
        &mut self,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
        channel: &impl Channel,
    ) {
        if let Body::Manifest { .. } | Body::Keys { .. } = update.body() {
            return;
        }
        let base_signer = self.base_signer.as_ref().filter(|_| self.fetch.is_none());
        if channel.is_proven() && base_signer.is_some_and(|by| *by != signed.key_id) {
            self.wants_manifest = true;
        }
    }

    fn accept_manifest<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        manifest: &Manifest,
        signed: &wire::SignedUpdate,
        now: Monotonic,
    ) -> Outcome {
        let position = update.position();
        if Some(position) < self.position {
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
    fn complete<H: Host>(&mut self, plugin: &Plugin<H>) -> Outcome {
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
        self.base_signer = signer_of(&fetch.signed);
        self.base = Some(fetch.manifest);
        self.torn.clear();
        self.audited_to = 0;
        Ok(Taken::News)
    }

    fn accept_delta<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
        _now: Monotonic,
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

    fn accept_heartbeat<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
        rest_follows: bool,
        now: Monotonic,
    ) -> Outcome {
        let position = update.position();
        if Some(position) > self.position && !rest_follows {
            self.wants_manifest = true;
            return Err(refusal("gap", "changes before a heartbeat are missing"));
        }
        let encoded = signed.encode_to_vec();
        if self.head.map(|head| head.position) < Some(position) {
            self.early = Some((position, encoded));
            return Ok(Taken::Noted);
        }
        self.take_heartbeat(plugin, update, encoded, now);
        Ok(Taken::Noted)
    }

    /// The state at the head was the newest when this was signed.
    fn take_heartbeat<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        heartbeat: Vec<u8>,
        now: Monotonic,
    ) {
        let newer = self.freshness.heard(update.issued(), now);
        let late = self.freshness.age(now).is_none_or(|age| age > LATE_MILLIS);
        let Some(anchor) = self.freshness.anchor() else { return };
        let due = now.0.saturating_sub(anchor.asked.0) > ANCHOR_MILLIS;
        self.wants_probe |= !newer || late || due;
        // One that is lost is followed by the next within a second.
        let _ = plugin.cache.store_fresh(&plugin.host, &Fresh { anchor, heartbeat });
    }

    /// The control plane has said something that this version does not
    /// understand, and that may be a denial unless it speaks of what is known
    /// already. Announce the position, so that every worker denies that cannot
    /// read it, and ask for a manifest, which says in known terms where things
    /// stand.
    fn announce<H: Host>(&mut self, plugin: &Plugin<H>, position: Option<Position>) {
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
    fn stored<H: Host>(
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

    /// Compares the cache with what this leader has stored in it: another plugin,
    /// or a leader that was overtaken, may have written since. Says whether the
    /// workers are to look.
    pub fn mind<H: Host>(&mut self, plugin: &Plugin<H>) -> bool {
        let Some(mine) = self.head else { return false };
        let there = plugin.cache.head(&plugin.host);
        let mut restored = false;
        if there != Ok(Some(mine)) {
            // One that is ahead is taken up when the next update is stored.
            let ahead = matches!(there, Ok(Some(there)) if there.position > mine.position);
            restored = !ahead && plugin.cache.restore_head(&plugin.host, mine).is_ok();
            self.wants_manifest = true;
        }
        let since = mine.position.revision.0.saturating_sub(mine.base.position.revision.0);
        self.wants_manifest |= since >= COMPACT_AFTER && self.fetch.is_none();
        self.audit(plugin);
        restored
    }

    /// Looks whether the next chunks of the base are there, and empties what an
    /// older base has left beside them. It gets round to all of them.
    fn audit<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some(base) = self.base.as_ref().filter(|_| self.fetch.is_none()) else { return };
        let end = self.audited_to.saturating_add(AUDITED);
        for index in self.audited_to..end {
            if base.hash(index).is_none() {
                self.audited_to = 0;
                return;
            }
            if plugin.cache.tidy_chunk(&plugin.host, base, index).is_err() {
                self.torn.insert(index);
                self.wants_manifest = true;
            }
        }
        self.audited_to = end;
    }
}

/// Which key a `SignedUpdate` says it is signed by.
fn signer_of(encoded: &[u8]) -> Option<Vec<u8>> {
    wire::SignedUpdate::decode(encoded).ok().map(|signed| signed.key_id)
}

/// Whether a message that nobody has verified says that it is a `Keys` update.
fn is_a_link(signed: &wire::SignedUpdate) -> bool {
    let update = wire::Update::decode(signed.payload.as_slice());
    update.is_ok_and(|update| matches!(update.body, Some(wire::update::Body::Keys(_))))
}
