//! The intake: what a leader believes of what arrives, whatever it arrives over,
//! and how that gets into the cache.
//!
//! It believes nothing before a nonce has come back signed; from then on it takes
//! exactly the next delta each time. A manifest counts once all of its chunks are
//! in the cache. Whatever is accepted goes into the cache as it was signed.

mod heartbeat;
mod keys;
mod store;
mod upkeep;

use std::collections::BTreeSet;

use kya_core::{Body, Freshness, Manifest, Monotonic, Position, UpdateError, Verifier, wire};
use prost::Message;

use crate::cache::records::Head;
use crate::clock;
use crate::host::Host;
use crate::lead::channel::Channel;
use crate::lead::fetch::{Arrived, Fetch, Way};
use crate::plugin::Plugin;

/// A message that is so much older on arrival than it might be makes the leader
/// ask how the clocks stand.
const LATE_MILLIS: u64 = 5_000;

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
            key_chain: keys::stored_key_chain(plugin),
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
        if let Ok(Some(head)) = plugin.cache.head(&plugin.host)
            && Some(head.position) == floor
            && let Some(manifest) = intake.stored_manifest(plugin, &head)
        {
            intake.head = Some(head);
            intake.base_signer = plugin
                .cache
                .manifest(&plugin.host, head.base.place)
                .and_then(|bytes| keys::signer_of(&bytes));
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
    pub fn request(&mut self, way: Way, now: Monotonic) -> Option<wire::ChunkRequest> {
        self.fetch.as_mut()?.request(way, now)
    }

    /// Whether chunks are missing.
    pub fn is_fetching(&self) -> bool {
        self.fetch.is_some()
    }

    /// Whether the control plane has more than the workers decide by.
    pub fn is_behind(&self) -> bool {
        self.is_fetching() || self.early.is_some() || self.have() < self.position
    }

    /// How far it has come: another value after something that was of use.
    pub fn progress(&self) -> impl PartialEq + use<> {
        let fetched = self.fetch.as_ref().map(|fetch| (fetch.image(), fetch.missing()));
        (self.position, self.head, fetched)
    }

    /// Whether chunks that were asked for do not come.
    pub fn is_stalled(&self, now: Monotonic) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| fetch.is_stalled(now))
    }

    /// What was asked for over this and has not come will not.
    pub fn forget_request(&mut self, way: Way) {
        if let Some(fetch) = &mut self.fetch {
            fetch.forget_request(way);
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
            Err(UpdateError::UnknownKey)
                if keys::link_serial(signed).is_some_and(|serial| {
                    !channel.is_proven() || serial <= self.verifier.key_serial()
                }) =>
            {
                return Ok(Taken::Noted);
            }
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
                self.accept_manifest(plugin, &update, manifest, signed, channel.repeats(), now)
                    .inspect(|_| {
                        channel.prove();
                        self.note_anchor(anchor, now);
                        self.wants_probe = false;
                    })
            }
            Body::Heartbeat { nonce: Some(nonce) } => {
                let first = !channel.is_proven();
                let anchor = self.anchored(plugin, channel, *nonce, &update, now)?;
                channel.prove();
                self.note_anchor(anchor, now);
                // Where it answers a greeting, what is missing follows.
                let outcome = self.accept_heartbeat(plugin, &update, signed, first, now);
                // An answer is no reason to ask again.
                self.wants_probe = false;
                outcome
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
                self.accept_delta(plugin, &update, signed)
            }
            Body::Challenge(_) => {
                let stored = plugin.cache.store_challenge(&plugin.host, &signed.encode_to_vec());
                stored.map_err(|error| refusal("not_stored", error.to_string()))?;
                Ok(Taken::News)
            }
            Body::Introspection { .. } | Body::AuditReceipt { .. } => {
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
}
