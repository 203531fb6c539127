//! The worker: what one VM decides by.
//!
//! It verifies everything itself that it takes out of the cache, and never goes
//! back.

pub mod base;
pub mod cut;
pub mod hurry;
pub mod in_flight;
pub mod introspect;
mod news;
mod refresh;
pub mod slot;

use std::time::Duration;

use kya_core::jwt::VerifiedCache;
use kya_core::{
    Authority, Bearer, Body, Decision, DenyReason, Fingerprint, Freshness, Moment, Monotonic,
    Position, Request, Stop, TokenTable as _, UnixMillis, UnixSeconds, Unreadable, VerifiedUpdate,
    Verifier, decide,
};

use crate::audit::When;
use crate::cache::records::Head;
use crate::cache::{RING, Raised, Signal};
use crate::clock::{self, NANOS_PER_MILLI};
use crate::config::FailMode;
use crate::host::{Host, LogLevel, Refused};
use crate::plugin::Plugin;
use base::{Base, Tokens};
use cut::Subject;
pub use news::News;
pub use slot::{SLOT_EXPIRY_NANOS, SlotHolder};

/// Tokens are kept for so long after they expired, to be denied as expired.
const EXPIRED_KEPT_SECONDS: u64 = 3_600;
/// Tokens that one sweep looks at.
const SWEPT: usize = 1024;

/// What one VM decides by.
#[derive(Debug)]
pub struct Worker {
    verifier: Verifier,
    authority: Authority,
    base: Option<Base>,
    /// The capability tokens that it has verified.
    capabilities: VerifiedCache,
    /// What it decides by while it knows of a newer state that it cannot read.
    nothing: Authority,
    freshness: Freshness,
    /// The signal that stands for the head that was read last.
    seen: Option<Raised>,
    /// Numbers of the values that were read last.
    seen_fresh: u32,
    seen_keys: u32,
    seen_challenge: u32,
    /// The newest position that was announced and could not be read. It stays
    /// until it, or a newer one, is reached: a head that was set back is no
    /// reason to go on by what is known to be old.
    stuck_at: Option<Position>,
    /// The head at which reading failed last.
    failed_at: Option<Head>,
    /// There is no head, or it cannot be read: there may be news.
    blind: bool,
    applied_nanos: u64,
    challenge: u64,
    swept_to: Option<Fingerprint>,
    news: News,
}

/// How a VM looks for news in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only if the signal says that there are any.
    IfSignalled,
    /// In any case.
    Always,
    /// In any case, and again at what could not be read before.
    Again,
}

/// A decision, and how old the state was that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// In milliseconds; the greatest number if nothing was ever verified.
    pub state_age: u64,
    /// When it was made.
    pub when: When,
}

impl Worker {
    /// A worker that knows nothing yet and trusts these keys.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            authority: Authority::default(),
            base: None,
            capabilities: VerifiedCache::default(),
            nothing: Authority::default(),
            freshness: Freshness::default(),
            seen: None,
            seen_fresh: 0,
            seen_keys: 0,
            seen_challenge: 0,
            stuck_at: None,
            failed_at: None,
            blind: false,
            applied_nanos: 0,
            challenge: 0,
            swept_to: None,
            news: News::None,
        }
    }

    /// The state to decide by: the newest that could be verified, or none at
    /// all while the cache cannot be read, or is known to hold a newer state
    /// that could not be.
    pub fn authority(&self) -> &Authority {
        if self.blind || self.stuck_at.is_some() { &self.nothing } else { &self.authority }
    }

    /// The newest state that could be verified.
    pub fn known(&self) -> &Authority {
        &self.authority
    }

    /// The newest verified position.
    pub fn position(&self) -> Option<Position> {
        self.authority.position()
    }

    /// The keys that it trusts now.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// When it applied the newest position, by the wall clock.
    pub fn applied_nanos(&self) -> u64 {
        self.applied_nanos
    }

    /// The first 8 bytes of the nonce of the last challenge that it read.
    pub fn challenge(&self) -> u64 {
        self.challenge
    }

    /// Age of the state in milliseconds; the greatest number if nothing was ever
    /// verified.
    pub fn state_age<H: Host>(&self, plugin: &Plugin<H>) -> u64 {
        self.freshness.age(clock::monotonic(&plugin.host)).unwrap_or(u64::MAX)
    }

    /// How far the proxy's wall clock is ahead of the control plane's, in milliseconds: at
    /// most as much as the newest heartbeat was on its way more than it truly is. 0 if
    /// nothing is known.
    pub fn clock_ahead_millis<H: Host>(&self, plugin: &Plugin<H>) -> i64 {
        let monotonic = clock::monotonic(&plugin.host);
        let Some(theirs) = self.freshness.control_plane_time(monotonic) else { return 0 };
        let ours = plugin.host.now_nanos() / NANOS_PER_MILLI;
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        signed(ours).saturating_sub(signed(theirs.0))
    }

    /// What changed since this was asked last.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Decides a request. A chunk of the base that cannot be read is looked for
    /// once more in a newer base, if there is one.
    pub fn decide<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        request: &Request<'_>,
    ) -> Result<Decided, Refused> {
        let (mut moment, mut when) = self.moment(plugin)?;
        // The newest heartbeat may not have been read yet: a VM that has just
        // begun serves requests before its first tick.
        if moment.max_staleness.is_some_and(|limit| moment.state_age > limit) {
            self.read_fresh(plugin);
            (moment, when) = self.moment(plugin)?;
        }
        let mut decision = self.decide_at(plugin, request, &moment);
        if is_unsynced(&decision) && self.position().is_some() && self.sync(plugin, Look::Always) {
            decision = self.decide_at(plugin, request, &moment);
        }
        Ok(Decided { decision, state_age: moment.state_age, when })
    }

    fn decide_at<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        request: &Request<'_>,
        moment: &Moment,
    ) -> Decision {
        // Where requests may pass without a state, the last one still denies.
        let opened = plugin.config.fail_modes.unsynced == FailMode::Allow;
        let closed = (self.blind || self.stuck_at.is_some()) && !opened;
        let mut tokens = Tokens::of(self.base.as_mut(), plugin);
        let authority = if closed { &self.nothing } else { &self.authority };
        decide(authority, &mut tokens, &mut self.capabilities, request, moment)
    }

    /// What stops a request in flight, if anything does, by the newest verified
    /// state: also while a newer one is known that cannot be read, since what is
    /// stopped stays so until something says otherwise. [`Unreadable`] where the base
    /// may say more than can be read of it now.
    pub fn stop<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        subject: &Subject,
    ) -> Result<Option<Stop>, Unreadable> {
        if self.position().is_none() {
            return Ok(None);
        }
        let action = subject.action.and_then(|index| plugin.config.actions.name(index));
        let service = plugin.config.service.as_deref();
        let (fingerprint, token) = match &subject.bearer {
            Bearer::Opaque { fingerprint, token } => (*fingerprint, *token),
            Bearer::Capability(capability) => {
                return Ok(self.authority.stop(capability.as_ref(), action, service));
            }
        };
        // The base may say what no delta did that came by here.
        let found = match self.authority.token(fingerprint) {
            Some(changed) => Ok(Some(changed)),
            None => Tokens::of(self.base.as_mut(), plugin).find(fingerprint),
        };
        let known = found.ok().flatten().unwrap_or(token);
        let stop = self.authority.stop(&known, action, service);
        if stop.is_none() {
            found?;
        }
        Ok(stop)
    }

    /// The time to decide at is the later of the proxy's clock and what the
    /// control plane's must show by now: a clock that is behind, or was set back,
    /// revives no token.
    fn moment<H: Host>(&self, plugin: &Plugin<H>) -> Result<(Moment, When), Refused> {
        let max_staleness = match plugin.config.fail_modes.stale {
            FailMode::Deny => Some(millis(plugin.config.max_staleness)),
            FailMode::Allow => None,
        };
        let when = When::now(&plugin.host);
        let wall = match when.unix_nanos {
            // A proxy without a clock cannot tell what has expired.
            0 => return Err(Refused(0)),
            nanos => UnixMillis(nanos / NANOS_PER_MILLI),
        };
        let monotonic = Monotonic(when.monotonic_nanos / NANOS_PER_MILLI);
        let at_least = self.freshness.control_plane_time(monotonic).unwrap_or_default();
        let state_age = self.freshness.age(monotonic).unwrap_or(u64::MAX);
        Ok((Moment { now: wall.max(at_least), state_age, max_staleness }, when))
    }

    /// Brings the authority to the newest position in the cache. Cheap when it
    /// is there already. Says whether the state to decide by is another.
    ///
    /// What could not be read is tried again only when the cache has moved on,
    /// or at [`Look::Again`]: requests must not pay for it each time.
    pub fn sync<H: Host>(&mut self, plugin: &Plugin<H>, look: Look) -> bool {
        if look == Look::IfSignalled
            && !self.blind
            && self.seen.is_some()
            && plugin.cache.signal().value(&plugin.host) == self.seen
        {
            return false;
        }
        let Ok(Some(head)) = plugin.cache.head(&plugin.host) else {
            self.blind = true;
            return false;
        };
        self.blind = false;
        self.seen = Some(Signal::of(&head));
        let before = self.position();
        let rebased = self.wants_base(&head);
        if (before >= Some(head.position) && !rebased)
            || (self.failed_at == Some(head) && look != Look::Again)
        {
            return false;
        }
        self.learn_keys(plugin);
        if rebased {
            self.take_base(plugin, head);
        }
        self.apply_deltas(plugin, head.position);
        let after = self.position();
        let failed = after < Some(head.position);
        if failed && self.failed_at != Some(head) {
            let revision = head.position.revision;
            plugin.host.log(
                LogLevel::Warn,
                &format!(
                    "revision {revision} was announced but cannot be read: denying until it can"
                ),
            );
        }
        self.failed_at = failed.then_some(head);
        self.stuck_at = self
            .stuck_at
            .max(failed.then_some(head.position))
            .filter(|announced| after < Some(*announced));
        if after > before {
            self.applied_nanos = plugin.host.now_nanos();
        }
        after != before || (rebased && !self.wants_base(&head))
    }

    /// Forgets some of the tokens that expired long ago. Successive calls get
    /// round to all of them.
    ///
    /// What has expired says the control plane's clock, as far as it is known to be:
    /// the proxy's may be ahead and be set back, and then a token that was taken back
    /// and is forgotten would count again.
    pub fn sweep<H: Host>(&mut self, plugin: &Plugin<H>) {
        let monotonic = clock::monotonic(&plugin.host);
        let Some(now) = self.freshness.control_plane_time(monotonic) else { return };
        let horizon = UnixSeconds(now.seconds().0.saturating_sub(EXPIRED_KEPT_SECONDS));
        self.swept_to = self.authority.forget_expired(horizon, self.swept_to, SWEPT);
    }

    /// Whether the cache has another base than this worker, and no older one.
    fn wants_base(&self, head: &Head) -> bool {
        self.base
            .as_ref()
            .is_none_or(|base| !base.is(&head.base) && base.position() <= head.base.position)
    }

    /// Takes the manifest of the head as the base: only for its tokens where the
    /// state is that far already, and otherwise for the state, too.
    fn take_base<H: Host>(&mut self, plugin: &Plugin<H>, head: Head) {
        let Some(bytes) = plugin.cache.manifest(&plugin.host, head.base.place) else { return };
        let Some(update) = self.verify(plugin, &bytes) else { return };
        let Body::Manifest { manifest, .. } = update.body() else { return };
        let at = update.position();
        // One that is older than the base at hand was put back by somebody: it
        // does not say what has changed between the two.
        if self.base.as_ref().is_some_and(|base| at < base.position()) {
            return;
        }
        let base = Base::new(at, manifest.clone());
        let have = self.position();
        if have.is_some_and(|have| have.epoch == at.epoch && have >= at) {
            self.authority.rebase(at);
            self.base = Some(base);
            return;
        }
        // One that is not newer is no help, and no harm.
        if let Some(records) = base.records(plugin)
            && let Ok(authority) = self.authority.reloaded(at, records)
        {
            self.authority = authority;
            self.base = Some(base);
            self.news = News::Everything;
        }
    }

    /// Applies the deltas that lead to `target`, as far as they are there.
    fn apply_deltas<H: Host>(&mut self, plugin: &Plugin<H>, target: Position) {
        for _ in 0..RING {
            let Some(have) = self.position().filter(|have| *have < target) else { return };
            let next = have.next();
            let Some(bytes) = plugin.cache.delta(&plugin.host, next.revision) else { return };
            // Another position here means that the ring has gone round.
            let update = self.verify(plugin, &bytes).filter(|update| update.position() == next);
            let Some(update) = update else { return };
            let Ok(changes) = self.authority.apply(&update) else { return };
            self.news.add(changes);
        }
    }

    fn verify<H: Host>(&self, plugin: &Plugin<H>, bytes: &[u8]) -> Option<VerifiedUpdate> {
        self.verifier
            .verify(bytes)
            .inspect_err(|error| plugin.metrics.update_rejected(&plugin.host, error.cause()))
            .ok()
    }
}

fn is_unsynced(decision: &Decision) -> bool {
    matches!(decision, Decision::Deny { reason: DenyReason::Unsynced, .. })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
