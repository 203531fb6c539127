//! Heartbeats: what they show of the age of the state.

use kya_core::{Anchor, Monotonic, Nonce, VerifiedUpdate, wire};
use prost::Message;

use super::{Intake, LATE_MILLIS, Outcome, Refusal, Taken, refusal};
use crate::cache::records::Fresh;
use crate::clock;
use crate::host::Host;
use crate::lead::channel::Channel;
use crate::plugin::Plugin;

/// The clocks are compared anew so often.
const ANCHOR_MILLIS: u64 = 30_000;

impl Intake {
    pub(super) fn anchored<H: Host>(
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

    pub(super) fn note_anchor(&mut self, anchor: Anchor, now: Monotonic) {
        self.freshness.anchored(anchor, now);
    }

    pub(super) fn accept_heartbeat<H: Host>(
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
        let (encoded, here) = (signed.encode_to_vec(), self.head.map(|head| head.position));
        if here < Some(position) {
            self.early = Some((position, encoded));
        } else if here == Some(position) {
            self.take_heartbeat(plugin, update, encoded, now);
        }
        // One that takes an older position for the newest does not know what is
        // known here.
        Ok(Taken::Noted)
    }

    /// The state at the head was the newest when this was signed.
    pub(super) fn take_heartbeat<H: Host>(
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
}
